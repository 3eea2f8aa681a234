"""The facestream client library and the two commands that are thin over it."""
