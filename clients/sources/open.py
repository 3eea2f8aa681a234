"""From what a user writes to a source."""

from __future__ import annotations

from pathlib import Path

from clients.errors import SourceNotFoundError
from clients.photos import PHOTO_SUFFIXES
from clients.sources.folder import Pictures, picture_folder
from clients.sources.network import SCHEMES, NetworkCamera
from clients.sources.reopening import Reopening
from clients.sources.source import Source
from clients.sources.video import VideoFile
from clients.sources.webcam import Webcam
from clients.text import printable


def open_source(text: str, *, fps: float = 0.0) -> Source:
    """The source that the text names: a URL, the number of a webcam, a folder, a picture or a video file.

    Args:
        text: what the user wrote.
        fps: frames per second to keep at most; 0 keeps all (for pictures: five a second).

    Raises:
        SourceNotFoundError: it is not there.
        SourceError: it cannot be read.
    """
    scheme = text.partition("://")[0].lower()
    if "://" in text and scheme in SCHEMES:
        return Reopening(lambda: NetworkCamera(text, fps=fps))
    if text.isascii() and text.isdigit():
        return Reopening(lambda: Webcam(int(text), fps=fps))
    path = Path(text)
    if path.is_dir():
        return picture_folder(path, fps=fps)
    if not path.exists():
        raise SourceNotFoundError(
            f"{printable(text)}: no such file or folder",
            "a source is a video file, a folder of pictures, the number of a webcam, or an rtsp:// or http:// URL",
        )
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return Pictures([path], fps=fps, description=printable(path))
    return VideoFile(path, fps=fps)
