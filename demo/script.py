"""What the demonstration plays: who is enrolled from which photographs, and who walks through the hall when."""

from __future__ import annotations

from dataclasses import dataclass

from demo.geometry import Box
from demo.motion import Walk, Waypoint
from demo.portraits import (
    ARDERN_2018,
    ARDERN_2022,
    BIDEN_2010,
    MACRON_2014,
    MACRON_2025,
    OBAMA_2009,
    OBAMA_2012,
    OBAMA_SENATE,
    SUNAK,
    Photograph,
)

FPS = 15
SECONDS = 35


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who walks.

    Attributes:
        photo: what the figure is cut out of; never one that is enrolled.
        face: box of the face in the photo, pixels.
    """

    photo: Photograph
    face: Box


ENROLLED = (ARDERN_2018, BIDEN_2010, MACRON_2014, OBAMA_2009, OBAMA_2012)
"""Photographs that are enrolled. Joe Biden's is among them although he never walks: he must never be named."""

ACTORS = (
    Actor(OBAMA_SENATE, Box(220, 176, 233, 317)),
    Actor(ARDERN_2022, Box(205, 136, 287, 388)),
    Actor(MACRON_2025, Box(207, 163, 312, 412)),
    Actor(SUNAK, Box(237, 181, 277, 403)),
)
"""Rishi Sunak walks without being enrolled: the stranger. He comes back, and gets his name when all is over."""

STRANGER = SUNAK.person
"""Who is not enrolled."""


def _walk(photo: Photograph, phase: float, *points: tuple[float, float, float]) -> Walk:
    return Walk(photo.person, tuple(Waypoint(*point) for point in points), phase)


WALKS = (
    _walk(OBAMA_SENATE, 0.1, (1.2, -130, 105), (4.2, 470, 135), (5.0, 500, 140), (8.3, 1520, 205)),
    _walk(ARDERN_2022, 0.6, (5.6, 1420, 96), (9.4, 700, 128), (12.6, -230, 195)),
    _walk(SUNAK, 0.3, (11.4, -130, 110), (15.0, 560, 150), (16.2, 620, 160), (19.2, 1520, 215)),
    _walk(MACRON_2025, 0.8, (13.6, 1400, 100), (17.0, 820, 125), (20.4, -180, 150)),
    _walk(OBAMA_SENATE, 0.4, (21.2, 1380, 86), (26.4, 420, 110), (29.2, -150, 122)),
    _walk(ARDERN_2022, 0.2, (21.8, -240, 200), (24.2, 560, 190), (26.6, 1520, 180)),
    _walk(SUNAK, 0.5, (28.4, 1420, 96), (31.4, 760, 130), (34.6, -260, 205)),
)
