"""From what a user writes to a source."""

from __future__ import annotations

from pathlib import Path

from clients.errors import SourceNotFoundError, UsageError
from clients.photos import PHOTO_SUFFIXES
from clients.sources.folder import Pictures, picture_folder
from clients.sources.network import SCHEMES, NetworkCamera
from clients.sources.packets import PacketCamera, PacketFile
from clients.sources.reopening import Reopening, ReopeningPackets
from clients.sources.source import PacketSource, Source
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
    if _is_url(text):
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


def open_packets(text: str) -> PacketSource:
    """The source that the text names, not decoded: a URL or a video file in H.264 or HEVC.

    Args:
        text: what the user wrote.

    Raises:
        UsageError: it names something that makes no packets.
        SourceNotFoundError: it is not there.
        SourceError: it cannot be read, or is in another codec.
    """
    if _is_url(text):
        return ReopeningPackets(lambda: PacketCamera(text))
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in PHOTO_SUFFIXES or (text.isascii() and text.isdigit()):
        raise UsageError(
            f"{printable(text)} gives pictures, not packets that could be forwarded",
            "forward a video file or an rtsp:// or http:// URL, or leave --forward out",
        )
    return PacketFile(path)


def _is_url(text: str) -> bool:
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES
