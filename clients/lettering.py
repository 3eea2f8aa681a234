"""Text on pictures.

OpenCV 5 draws any script with fonts that it brings along; OpenCV 4 draws ASCII only. With OpenCV 4 names are shown in
their nearest ASCII spelling, and letters that have none as '?'.
"""

from __future__ import annotations

from typing import Protocol

import cv2

from clients.frames import Image
from clients.text import ascii_spelling

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255."""


class Lettering(Protocol):
    """Draws one line of text."""

    def width(self, text: str, size: int) -> int:
        """How wide the text gets, pixels, in letters `size` pixels high."""
        ...

    def draw(self, image: Image, text: str, at: tuple[int, int], size: int, colour: Colour) -> None:
        """Draws into the image, with the left end of the base line at (x, y)."""
        ...


class TrueTypeLettering:
    """Any script, with OpenCV 5."""

    _WEIGHT = 500

    def __init__(self) -> None:
        self._font = cv2.FontFace("sans")

    def width(self, text: str, size: int) -> int:
        """How wide the text gets, pixels."""
        x, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, size, self._WEIGHT)
        return int(x + width)

    def draw(self, image: Image, text: str, at: tuple[int, int], size: int, colour: Colour) -> None:
        """Draws into the image."""
        cv2.putText(image, text, at, colour, self._font, size, self._WEIGHT)


class HersheyLettering:
    """ASCII, with OpenCV 4: names in their nearest ASCII spelling."""

    _FONT = cv2.FONT_HERSHEY_SIMPLEX
    _HEIGHT = 30
    """Of the font's letters with their depths at scale 1, pixels."""

    def width(self, text: str, size: int) -> int:
        """How wide the text gets, pixels."""
        (width, _), _ = cv2.getTextSize(ascii_spelling(text), self._FONT, size / self._HEIGHT, self._thickness(size))
        return int(width)

    def draw(self, image: Image, text: str, at: tuple[int, int], size: int, colour: Colour) -> None:
        """Draws into the image."""
        scale, thickness = size / self._HEIGHT, self._thickness(size)
        cv2.putText(image, ascii_spelling(text), at, self._FONT, scale, colour, thickness, cv2.LINE_AA)

    def _thickness(self, size: int) -> int:
        return max(1, round(size / 16))


def default_lettering() -> Lettering:
    """The best that the installed OpenCV can do."""
    return TrueTypeLettering() if hasattr(cv2, "FontFace") else HersheyLettering()
