"""Metrics, and the whole gallery service on painted faces."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from server.identity.gallery import Galleries
from server.pipeline.load import load_vision
from server.telemetry.metrics import Metrics
from tests.painted import DIMENSION, painted_choice, write_painted_models


@pytest.fixture
def metrics():
    return Metrics.registered()


@pytest.fixture
def count(metrics):
    """The value of a metric; 0 when it never was counted."""
    return lambda name, **labels: metrics.registry.get_sample_value(name, labels) or 0


@pytest.fixture(scope="session")
def loaded(tmp_path_factory):
    vision = load_vision(
        painted_choice(write_painted_models(tmp_path_factory.mktemp("models"))), say=lambda model: None
    )
    yield vision
    vision.close()


@pytest.fixture
def galleries(tmp_path, loaded):
    opened = Galleries.open(tmp_path / "data", fingerprint=loaded.vision.fingerprint, dimension=DIMENSION)
    yield opened
    opened.close()


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as pool:
        yield pool
