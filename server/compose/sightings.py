"""How sightings are kept, and whether they are."""

from __future__ import annotations

import logging
import time

from server.identity.cluster_settings import ClusterSettings
from server.identity.sightings.book import SightingRule, Sightings
from server.identity.sightings.retention import DAY_NS, RetentionPolicy
from server.pipeline.enrol import EnrolmentRule, find_weakness
from server.pipeline.followed import NobodyWatches, TrackObserver
from server.pipeline.load import LoadedVision
from server.settings import Settings
from server.vision.jpeg import jpeg_of

_log = logging.getLogger(__name__)


def sighting_rule(settings: Settings, loaded: LoadedVision) -> SightingRule:
    """When strangers are one person, and what is kept of whom for how long."""
    rule = EnrolmentRule()
    return SightingRule(
        clusters=ClusterSettings(loaded.operating_points),
        retention=RetentionPolicy(
            sighting_age_ns=round(settings.sighting_days * DAY_NS),
            stranger_age_ns=round(settings.unknown_days * DAY_NS),
            sighting_count=settings.sighting_max_count,
        ),
        encode=jpeg_of if settings.store_crops else lambda _: b"",
        fit=lambda quality: find_weakness(quality, rule) is None,
        clock=time.time_ns,
    )


def track_observer(settings: Settings, sightings: Sightings) -> TrackObserver:
    """Who is told of tracks. Groups of strangers live in one process: several would each make their own."""
    if not keeps_sightings(settings):
        _log.warning("strangers are not grouped and sightings not kept: --workers is above 1")
        return NobodyWatches()
    return sightings


def keeps_sightings(settings: Settings) -> bool:
    """Whether strangers are grouped and sightings kept."""
    return settings.workers == 1
