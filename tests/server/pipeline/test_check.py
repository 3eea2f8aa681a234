import pytest

from server.domain import OperatingPoint
from server.pipeline.check import far_at
from server.pipeline.naming import RecognitionRule
from server.vision.quality import Legibility

RULE = RecognitionRule((OperatingPoint(1e-3, 1.2, 0.99), OperatingPoint(1e-5, 1.0, 0.95)), 0.03, Legibility())


@pytest.mark.parametrize("templates", [1, 50, 5_000])
@pytest.mark.parametrize("threshold", [0.7, 0.85, 1.0])
def test_the_advised_rate_gives_the_advised_threshold(threshold, templates):
    far = far_at(RULE, threshold, templates, at_most=0.05)

    assert RULE.threshold(far, templates) == pytest.approx(threshold, abs=1e-4)
    assert RULE.threshold(far, templates) <= threshold
