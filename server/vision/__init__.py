"""Pictures: decode, find, align and judge faces. Pure numpy and OpenCV."""
