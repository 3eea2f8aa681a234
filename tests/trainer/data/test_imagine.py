from __future__ import annotations

import numpy as np
import pytest

from trainer.data.imagine import Imagination, blend, warp


def generator(seed=0):
    return np.random.default_rng(seed)


def grey(level):
    return np.full((28, 24, 3), level, np.uint8)


def test_a_whole_face_blended_has_one_share_of_each_everywhere():
    mixed = blend(grey(40), grey(240), parts=1, generator=generator())
    share = float(generator().random((1, 1), np.float32)[0, 0])
    assert np.unique(mixed).size == 1
    assert int(mixed[0, 0, 0]) == pytest.approx(40 * share + 240 * (1 - share), abs=1)


def test_a_face_blended_in_parts_has_more_of_one_here_and_of_the_other_there():
    mixed = blend(grey(0), grey(255), parts=3, generator=generator())
    shares = 1 - generator().random((3, 3), np.float32)
    # the middles of the cells have the cells' own shares, up to what the soft borders add
    middles = mixed[[4, 13, 23]][:, [3, 11, 20], 0] / 255
    assert np.corrcoef(middles.ravel(), shares.ravel())[0, 1] > 0.95
    assert mixed.min() < 100 < 150 < mixed.max()


def test_a_warped_ramp_shows_where_each_pixel_came_from_and_moves_smoothly():
    ramp = np.repeat(np.tile(np.arange(0, 240, 10, dtype=np.uint8), (28, 1))[:, :, None], 3, axis=2)
    moved = (warp(ramp, bend=0.05, generator=generator())[..., 0].astype(float) - ramp[..., 0]) / 10
    inside = moved[3:-3, 4:-4]
    assert 0.2 < inside.std() < 4 * 0.05 * 24
    assert np.abs(np.diff(inside, axis=0)).max() < 1.0


def test_nothing_moves_without_bend():
    face = generator().integers(0, 256, (28, 24, 3), dtype=np.uint8)
    assert np.array_equal(warp(face, bend=0.0, generator=generator(1)), face)


@pytest.mark.parametrize("wrong", [{"blend": 1.1}, {"warp": -0.1}, {"parts": 0}, {"bend": -1.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Imagination(**wrong)


def test_only_chances_above_0_change_faces():
    assert not Imagination().active
    assert Imagination(blend=0.1).active
    assert Imagination(warp=0.1).active
