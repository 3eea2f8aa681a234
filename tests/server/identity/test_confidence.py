import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Calibration
from server.identity.confidence import confidence

CALIBRATION = Calibration(intercept=34.0, distance=-26.0, log_templates=-1.0)


@given(st.floats(0, 4), st.integers(1, 10**7))
def test_is_a_probability(distance, templates):
    assert 0 <= confidence(CALIBRATION, distance, templates) <= 1


@given(st.floats(0, 3.9), st.integers(1, 10**6))
def test_falls_with_the_distance_and_with_the_number_of_templates(distance, templates):
    here = confidence(CALIBRATION, distance, templates)

    assert confidence(CALIBRATION, distance + 0.1, templates) <= here
    assert confidence(CALIBRATION, distance, 10 * templates) <= here


def test_is_even_odds_where_the_log_odds_are_zero():
    assert confidence(CALIBRATION, 34.0 / 26.0, 1) == pytest.approx(0.5)


def test_ten_templates_cost_the_odds_of_ten():
    alone, among = confidence(CALIBRATION, 1.2, 1), confidence(CALIBRATION, 1.2, 10)

    assert alone / (1 - alone) == pytest.approx(10 * among / (1 - among))
