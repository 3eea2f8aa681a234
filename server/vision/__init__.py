"""Pictures: decode, find, align and judge faces. Pure numpy, OpenCV and, for video, FFmpeg."""
