import numpy as np

from server.identity.exemplars import diverse
from server.identity.regrouping import UnknownFace
from tests.server.identity.unknown_crowd import face


def chosen(faces: list[UnknownFace], limit: int) -> list[int]:
    return diverse(faces, limit, good_quality=0.5, least_apart=0.01)


def test_begins_with_the_best_and_goes_on_with_the_farthest():
    faces = [face(key, 1, quality=0.6 + key / 100) for key in range(1, 20)]

    keys = chosen(faces, 4)

    by_key = {one.key: one for one in faces}
    assert keys[0] == 19
    for position in range(1, 4):
        gaps = {
            key: min(np.sum((by_key[key].embedding - by_key[other].embedding) ** 2) for other in keys[:position])
            for key in by_key
        }
        assert np.isclose(gaps[keys[position]], max(gaps.values()), atol=1e-6)


def test_a_poor_face_stands_for_a_group_only_when_there_is_no_other():
    poor = [face(1, 1, quality=0.1), face(2, 1, quality=0.2)]

    assert chosen(poor, 4) == [2]
    assert chosen([*poor, face(3, 1, quality=0.9)], 4) == [3]


def test_a_face_that_adds_nothing_is_left_out():
    first = face(1, 1)
    twin = UnknownFace(2, first.embedding, 0.8)

    assert chosen([first, twin], 4) == [1]
