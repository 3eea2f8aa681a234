"""A server that answers what a test scripts: for this package's tests, and those of programs built on it."""
