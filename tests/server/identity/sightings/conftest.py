"""Sightings in a fresh directory, and people who pass by."""

from __future__ import annotations

import pytest

from server.identity.gallery import Galleries
from server.identity.sightings.book import Sightings
from tests.server.identity.sightings.passers import Passers, rule_of


@pytest.fixture
def sightings(galleries: Galleries) -> Sightings:
    return Sightings(galleries, rule_of())


@pytest.fixture
def hall(galleries: Galleries, sightings: Sightings) -> Passers:
    return Passers(galleries, sightings)
