"""Faces are searched for in every so many frames, and while nothing moves only now and then."""

from __future__ import annotations

import numpy as np
import pytest

from server.domain import Codec, EncodedImage
from server.pipeline.rhythm import DetectionPace, Rhythm, Search
from server.vision.decode import Picture
from tests.painted import PaintedFace, paint, person

SECOND = 10**9
EMPTY = paint([])


def whole(pixels):
    return Picture(pixels, 1, pixels.shape[1], pixels.shape[0], EncodedImage(Codec.PNG, b""))


def steps(rhythm, pictures, step_ns=SECOND // 25):
    return [rhythm.step(i, whole(pixels), i * step_ns) for i, pixels in enumerate(pictures)]


def wants(rhythm, pictures, step_ns=SECOND // 25):
    return [step is Search.NOW for step in steps(rhythm, pictures, step_ns)]


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_every_so_many_frames_are_searched_the_first_among_them(interval):
    asked = wants(Rhythm(DetectionPace(interval)), [EMPTY] * 20)
    assert asked == [number % interval == 0 for number in range(20)]


def test_without_a_saving_a_still_picture_is_searched_every_time():
    assert all(wants(Rhythm(DetectionPace()), [EMPTY] * 10))


def test_a_still_picture_is_searched_as_often_as_the_rule_says():
    asked = wants(Rhythm(DetectionPace(still_ns=SECOND)), [EMPTY] * 10, step_ns=SECOND // 4)
    assert asked == [True, False, False, False] * 2 + [True, False]


def test_a_face_that_comes_moves_or_goes_is_searched_for_at_once():
    here, there = (paint([PaintedFace(person(1), x=x, y=96)]) for x in (60, 72))
    asked = wants(Rhythm(DetectionPace(still_ns=SECOND)), [EMPTY, EMPTY, here, here, there, there, EMPTY, EMPTY])
    assert asked == [True, False] * 4


def test_noise_of_a_sensor_is_stillness():
    rng = np.random.default_rng(1)
    noisy = [np.clip(EMPTY + rng.normal(0, 6, EMPTY.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    assert sum(wants(Rhythm(DetectionPace(still_ns=SECOND)), noisy)) == 1


def test_a_change_that_creeps_adds_up_until_it_is_searched():
    creeping = [np.full((48, 64, 3), 100 + i, np.uint8) for i in range(20)]
    asked = wants(Rhythm(DetectionPace(still_ns=60 * SECOND)), creeping)
    assert [number for number, asks in enumerate(asked) if asks] == [0, 5, 10, 15]


def test_frames_that_the_interval_skips_are_no_measure_of_stillness():
    # what changes only between two searches is the same again at the second
    blink = [EMPTY, np.full_like(EMPTY, 250), EMPTY, EMPTY]
    assert wants(Rhythm(DetectionPace(2, still_ns=SECOND)), blink) == [True, False, False, False]


def test_a_frame_tells_why_it_is_not_searched():
    moved = np.full_like(EMPTY, 250)
    said = steps(Rhythm(DetectionPace(2, still_ns=SECOND)), [EMPTY, moved, EMPTY, moved, moved])
    assert said == [Search.NOW, Search.SKIPPED, Search.STILL, Search.SKIPPED, Search.NOW]


@pytest.mark.parametrize("pace", [DetectionPace(100), DetectionPace(still_ns=SECOND)])
def test_a_picture_of_another_size_is_searched_at_once_since_places_in_it_are_others(pace):
    sizes = [(48, 64), (48, 64), (24, 32), (24, 32), (1080, 1920), (1, 1), (1, 1)]
    said = wants(Rhythm(pace), [np.full((*size, 3), 80, np.uint8) for size in sizes])
    assert said == [True, False, True, False, True, True, False]


def test_the_same_picture_decoded_smaller_is_still():
    rhythm = Rhythm(DetectionPace(still_ns=SECOND))
    half = Picture(EMPTY[::2, ::2].copy(), 2, 192, 192, EncodedImage(Codec.JPEG, b""))
    assert rhythm.step(0, whole(EMPTY), 0) is Search.NOW
    assert rhythm.step(1, half, 1) is Search.STILL


def test_a_frame_that_a_later_one_overtook_is_searched_and_does_not_become_the_measure():
    rhythm = Rhythm(DetectionPace(still_ns=SECOND))
    moved = np.full_like(EMPTY, 250)
    assert rhythm.step(1, whole(moved), SECOND // 25) is Search.NOW
    assert rhythm.step(0, whole(moved), 0) is Search.NOW
    assert rhythm.step(2, whole(moved), 2 * SECOND // 25) is Search.STILL
