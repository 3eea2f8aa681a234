"""A gallery looked through for references that mislead, by the rule that names people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from server.domain import GalleryName
from server.identity.doctor import CheckRule
from server.identity.gallery import Galleries
from server.identity.records import GalleryCheck
from server.pipeline.naming import RecognitionRule

_DUPLICATE_SHARE: Final = 0.01
"""Two people are probably one when they are as near as one in a hundred of the strangers taken for somebody."""
_STRICTEST_FAR: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Advice:
    """A check of a gallery and what to set.

    Attributes:
        check: what was found.
        target_far: at which the server's threshold is the advised one; None when nothing need change.
    """

    check: GalleryCheck
    target_far: float | None


def check_gallery(galleries: Galleries, rule: RecognitionRule, gallery: GalleryName, *, far: float) -> Advice:
    """Looks through a gallery; changes nothing.

    Args:
        galleries: who is enrolled.
        rule: when a face is named.
        gallery: which.
        far: wanted false accept rate of one face against everybody.

    Raises:
        FingerprintError: the gallery holds embeddings of other models.
    """
    templates = 0

    def rule_for(count: int) -> CheckRule:
        nonlocal templates
        templates = count
        return CheckRule(rule.threshold(_DUPLICATE_SHARE * far, count), rule.threshold(far, count), far)

    found = galleries.check(gallery, rule_for)
    checkup = found.checkup
    if checkup.advised_threshold >= checkup.threshold:
        return Advice(found, None)
    return Advice(found, far_at(rule, checkup.advised_threshold, templates, at_most=far))


def far_at(rule: RecognitionRule, threshold: float, templates: int, *, at_most: float) -> float:
    """The largest false accept rate, of one face against so many templates, whose threshold is at most this one.

    Bisection over the logarithm: the threshold grows with the rate.
    """
    low, high = math.log(_STRICTEST_FAR), math.log(at_most)
    for _ in range(40):
        middle = (low + high) / 2
        if rule.threshold(math.exp(middle), templates) <= threshold:
            low = middle
        else:
            high = middle
    return math.exp(low)
