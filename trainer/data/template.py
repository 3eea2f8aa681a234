"""Where the landmarks lie in the crops that a network is trained on, and thus in those that the server makes for it."""

from __future__ import annotations

from server.domain import AlignmentTemplate

_SIDE = 112
_POINTS = ((38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20))
"""The widely used five points in a 112x112 crop: eyes, nose tip, mouth corners."""


def template_for(height: int, width: int) -> AlignmentTemplate:
    """The five points in a crop of another size: scaled with the shorter side, and centred along the longer."""
    scale = min(height, width) / _SIDE
    left, top = (width - scale * _SIDE) / 2, (height - scale * _SIDE) / 2
    points = tuple((round(x * scale + left, 2), round(y * scale + top, 2)) for x, y in _POINTS)
    return AlignmentTemplate(width, height, points)
