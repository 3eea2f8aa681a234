"""Faces drawn on frames: a box, and who it is with distance and threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from clients.faces import Box, Face, Match, Undecided, UndecidedReason, Unknown, UnknownReason
from clients.frames import Image
from clients.lettering import Colour, Lettering
from clients.text import clipped, printable

_MATCH: Colour = (60, 150, 30)
_UNKNOWN: Colour = (0, 90, 235)
_UNDECIDED: Colour = (110, 110, 110)
_TEXT: Colour = (255, 255, 255)

_LETTERS_PER_LABEL = 28


@dataclass(frozen=True, slots=True)
class _Area:
    """A label's rectangle, pixels."""

    left: int
    top: int
    width: int
    height: int

    def meets(self, other: _Area) -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )

    def inside(self, image: Image) -> bool:
        height, width = image.shape[:2]
        return min(self.left, self.top) >= 0 and self.left + self.width <= width and self.top + self.height <= height


def draw_faces(image: Image, faces: Sequence[Face], lettering: Lettering) -> Image:
    """A copy of the picture with every face in its box and labelled: known people green, strangers orange.

    Args:
        image: (H, W, 3) uint8 BGR.
        faces: boxes in pixels of `image`.
        lettering: draws the names.
    """
    drawn = image.copy()
    line = max(2, round(image.shape[0] / 270))
    for face in faces:
        box = face.box
        corners = ((round(box.left), round(box.top)), (round(box.left + box.width), round(box.top + box.height)))
        cv2.rectangle(drawn, *corners, _colour(face), line, cv2.LINE_AA)
    placed: list[_Area] = []
    # Those who are recognised get the best places.
    for face in sorted(faces, key=lambda face: not isinstance(face.answer, Match)):
        _draw_label(drawn, face, placed, lettering)
    return drawn


def letter_size(image: Image) -> int:
    """Height of the letters, pixels: readable at 360 lines and not in the way at 1080."""
    return min(40, max(13, round(int(image.shape[0]) / 34)))


def label(face: Face) -> str:
    """What is written at a face: the name, or what is known instead, and the numbers behind it.

    A provisional name has a question mark.
    """
    match face.answer:
        case Match(display_name=name, distance=distance, threshold=threshold, confidence=confidence) as match:
            shown = clipped(printable(name), _LETTERS_PER_LABEL) + ("?" if match.provisional else "")
            return f"{shown}  {distance:.2f} < {threshold:.2f}{_certainty(confidence)}"
        case Unknown(reason=UnknownReason.GALLERY_EMPTY):
            return "unknown, nobody enrolled"
        case Unknown(distance=None):
            return "unknown"
        case Unknown(reason=UnknownReason.AMBIGUOUS, distance=distance):
            return f"unknown, two alike  {distance:.2f}"
        case Unknown(distance=distance, threshold=threshold):
            return f"unknown  {distance:.2f} > {threshold:.2f}"
        case Undecided(reason=UndecidedReason.LOW_QUALITY):
            return "too poor to tell"
        case Undecided():
            return "not sure yet"
        case _:
            return ""


def _certainty(confidence: float | None) -> str:
    """The probability that the name is right, in whole per cent, which are never a hundred."""
    if confidence is None:
        return ""
    return "  >99%" if confidence >= 0.995 else f"  {confidence:.0%}"


def _colour(face: Face) -> Colour:
    match face.answer:
        case Match():
            return _MATCH
        case Unknown():
            return _UNKNOWN
        case _:
            return _UNDECIDED


def _draw_label(image: Image, face: Face, placed: list[_Area], lettering: Lettering) -> None:
    text = label(face)
    if not text:
        return
    size = letter_size(image)
    padding = max(2, size // 5)
    width = lettering.width(text, size) + 2 * padding
    area = _place(face.box, width, round(size * 1.4), image, placed)
    placed.append(area)
    corners = ((area.left, area.top), (area.left + area.width, area.top + area.height))
    cv2.rectangle(image, *corners, _colour(face), cv2.FILLED)
    lettering.draw(image, text, (area.left + padding, area.top + round(size * 1.05)), size, _TEXT)


def _place(box: Box, width: int, height: int, image: Image, placed: Sequence[_Area]) -> _Area:
    """Above the box, below it, or inside it: the first place that is in the picture and free."""
    left = max(0, min(round(box.left), image.shape[1] - width))
    above, below = round(box.top) - height, round(box.top + box.height)
    places = [_Area(left, top, width, height) for top in (above, below, above - height, below + height, round(box.top))]
    for place in places:
        if place.inside(image) and not any(place.meets(other) for other in placed):
            return place
    top = max(0, min(above, image.shape[0] - height))
    return _Area(left, top, width, height)
