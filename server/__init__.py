"""The facestream server: frames in, names out."""
