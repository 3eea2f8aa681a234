"""`python -m server` is `facestream-server`."""

from server.cli import main

if __name__ == "__main__":
    main()
