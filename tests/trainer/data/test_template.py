from __future__ import annotations

import numpy as np
import pytest

from trainer.data.template import template_for


def test_the_template_of_112_pixels_is_the_usual_one():
    assert template_for(112, 112).points[0] == (38.29, 51.7)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (140, 116), (116, 140), (220, 220)])
def test_every_template_is_a_scaled_and_centred_one(height, width):
    points, usual = (np.array(template_for(*size).points) for size in ((height, width), (112, 112)))
    scale = min(height, width) / 112
    np.testing.assert_allclose(points - points[0], (usual - usual[0]) * scale, atol=0.011)
    middle = np.array([width, height]) / 2
    np.testing.assert_allclose(points[2] - middle, (usual[2] - 56) * scale, atol=0.011)
    assert (points > 0).all()
    assert (points < [width, height]).all()
