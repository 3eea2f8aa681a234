from __future__ import annotations

import pytest

from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.store import EngineStore
from server.inference.gpu.fake import FakeBuilder
from server.inference.manifest import load_manifest, verified_weights
from server.models import tiny


@pytest.fixture
def embedder(tmp_path):
    """Manifest and weights of a tiny embedder."""
    folder = tiny.write_tiny_embedder(tmp_path / "models")
    manifest = load_manifest(folder)
    return manifest, verified_weights(folder, manifest)


@pytest.fixture
def engines_dir(tmp_path):
    return tmp_path / "engines"


@pytest.fixture
def store(engines_dir):
    return EngineStore(engines_dir)


@pytest.fixture
def builder():
    return FakeBuilder()


@pytest.fixture
def manager(builder, store):
    return EngineManager(builder, store, Workload())
