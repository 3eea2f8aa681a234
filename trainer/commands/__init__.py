"""The commands of `facestream-train`, one a module: parse, call, print."""
