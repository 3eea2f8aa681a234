"""Painted models, loaded once, and a gallery for each test."""

from __future__ import annotations

import pytest

from server.identity.gallery import Galleries
from server.pipeline.load import load_vision
from tests.painted import DIMENSION, painted_choice, write_painted_models
from tests.server.pipeline.parts import enroller_of, recogniser_of


@pytest.fixture(scope="session")
def painted_models(tmp_path_factory):
    return write_painted_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def loaded(painted_models):
    vision = load_vision(painted_choice(painted_models), say=lambda model: None)
    yield vision
    vision.close()


@pytest.fixture
def galleries(tmp_path, loaded):
    opened = Galleries.open(tmp_path / "data", fingerprint=loaded.vision.fingerprint, dimension=DIMENSION)
    yield opened
    opened.close()


@pytest.fixture
def recogniser(loaded, galleries):
    return recogniser_of(loaded, galleries)


@pytest.fixture
def enroller(loaded, galleries):
    return enroller_of(loaded, galleries)
