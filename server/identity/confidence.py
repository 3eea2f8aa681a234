"""How probable it is that a name is right: from the distance and from how many templates it was the nearest of.

A logistic regression on the distance and the logarithm of the number of comparisons (Platt 1999). It is fitted on
searches of which half are for people who are enrolled, so it says what is true where as many strangers as enrolled
people come by; where nearly all are strangers a name is less probable than it says. Quality is not part of it: on
LFW's and celeba247's faces it made the calibration no better once the distance was known.
"""

from __future__ import annotations

import math

from server.domain import Calibration


def confidence(calibration: Calibration, distance: float, templates: int) -> float:
    """The probability that the nearest of so many templates shows the same person as the probe, 0..1.

    Args:
        calibration: of the embedder.
        distance: to the nearest template, squared L2.
        templates: that were compared, at least 1.
    """
    logit = calibration.intercept + calibration.distance * distance + calibration.log_templates * math.log(templates)
    # The form that does not overflow on either side.
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
