"""The only code that knows grpc and facestream.v1."""
