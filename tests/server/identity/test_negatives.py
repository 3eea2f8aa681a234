from __future__ import annotations

import numpy as np
import pytest

from server.identity.negatives import NegativeFaces
from tests.server.identity.crowd import unit

FACE = unit(1, 0)[0]


def at(distance: float) -> np.ndarray:
    """A unit vector so far from FACE, squared L2."""
    other = unit(1, 1)[0]
    other = other - (other @ FACE) * FACE
    other /= np.linalg.norm(other)
    cosine = 1 - distance / 2
    return (cosine * FACE + np.sqrt(1 - cosine**2) * other).astype(np.float32)


@pytest.mark.parametrize(
    ("negative", "person", "forbidden"),
    [
        (0.2, 0.5, True),  # nearer to what was denied
        (0.5, 0.2, False),  # nearer to the person
        (0.9, 1.0, False),  # beyond the radius
        (0.0, 0.1, True),
        (0.3, 0.3, False),
    ],
)
def test_a_face_is_forbidden_within_the_radius_and_nearer_than_the_person(negative, person, forbidden):
    faces = NegativeFaces(np.stack([at(negative), unit(1, 7)[0]]), np.array([0.8, 0.8], np.float32))
    distance = float(((at(negative) - FACE) ** 2).sum()) if negative == person else person
    assert faces.forbid(FACE, distance) is forbidden


def test_nobody_is_forbidden_by_nothing():
    assert not NegativeFaces(np.zeros((0, 16), np.float32), np.zeros(0, np.float32)).forbid(FACE, 4.0)
