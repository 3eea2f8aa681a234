from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.sources.source import Frames, Thinning
from tests.clients.conftest import frame


def kept(fps: float, source_fps: float, count: int) -> list[int]:
    thinning = Thinning(fps)
    return [n for n in range(count) if thinning.keep(round(n / source_fps * 1e9))]


def test_without_a_limit_every_frame_is_kept() -> None:
    assert kept(0, 30, 10) == list(range(10))


@pytest.mark.parametrize(
    ("fps", "source_fps", "first"),
    [(10, 30, [0, 3, 6, 9, 12]), (30, 30, [0, 1, 2, 3, 4]), (60, 30, [0, 1, 2, 3, 4]), (29.97, 29.97, [0, 1, 2, 3, 4])],
)
def test_kept_frames_are_evenly_spread(fps: float, source_fps: float, first: list[int]) -> None:
    assert kept(fps, source_fps, 30)[:5] == first


@given(st.floats(0.5, 60), st.floats(1, 120))
def test_the_rate_is_close_to_the_smaller_of_both_and_never_much_above(fps: float, source_fps: float) -> None:
    seconds = 20
    count = len(kept(fps, source_fps, round(source_fps * seconds)))
    assert count <= min(fps, source_fps) * seconds * 1.12 + 2
    assert count >= min(fps, source_fps) * seconds * 0.7 - 2


def test_after_a_gap_frames_do_not_come_in_a_burst() -> None:
    thinning = Thinning(1)
    positions_s = [0, 0.5, 1, 60, 60.2, 60.4, 61]
    assert [p for p in positions_s if thinning.keep(round(p * 1e9))] == [0, 1, 60, 61]


def test_a_programs_own_frames_are_a_source_that_can_be_ended() -> None:
    source = Frames([frame(1), frame(2), frame(3)], live=True, fps=5, expected=3)
    seen = []
    for each in source:
        seen.append(each.stamp.sequence)
        if len(seen) == 2:
            source.interrupt()
    assert seen == [1, 2]
    assert (source.live, source.fps, source.expected) == (True, 5, 3)
