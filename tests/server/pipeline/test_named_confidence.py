import pytest

from server.domain import Calibration, Match, OperatingPoint, Unknown
from server.identity.confidence import confidence
from server.identity.match import Candidate
from server.identity.records import GallerySearch
from server.pipeline.naming import RecognitionRule
from server.vision.quality import Legibility

POINTS = (OperatingPoint(1e-3, 1.2, 0.99), OperatingPoint(1e-5, 1.0, 0.95))
CALIBRATION = Calibration(intercept=30.0, distance=-25.0, log_templates=-1.0)
NEAR = (Candidate("i", "Ada", 0.9, "1"),)
FAR_AWAY = (Candidate("i", "Ada", 1.5, "1"),)


def search(people: int, templates: int) -> GallerySearch:
    return GallerySearch((), 1, people, templates)


def test_a_match_says_how_probable_it_is_among_all_templates():
    rule = RecognitionRule(POINTS, 0.03, Legibility(), CALIBRATION)

    answer = rule.answer(NEAR, search(10, 40), 1e-3)

    assert isinstance(answer, Match)
    assert answer.confidence == pytest.approx(confidence(CALIBRATION, 0.9, 40))


def test_without_a_calibration_a_match_has_no_confidence():
    answer = RecognitionRule(POINTS, 0.03, Legibility()).answer(NEAR, search(10, 40), 1e-3)

    assert isinstance(answer, Match)
    assert answer.confidence is None


def test_an_unknown_has_no_confidence():
    rule = RecognitionRule(POINTS, 0.03, Legibility(), CALIBRATION)

    assert isinstance(rule.answer(FAR_AWAY, search(10, 40), 1e-3), Unknown)
