"""What all tests share: real data and models where they are, and a clear skip where they aren't."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.gpu import gpu_is_there
from tests.real_data import data_folder
from tests.server_process import MODELS, models_are_there

# No test asserts a time: the machines that run them are shared.
settings.register_profile("facestream", deadline=None)
settings.load_profile("facestream")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests whose models, GPU or data aren't there."""
    no_models = pytest.mark.skip(reason=f"no default models in {MODELS.name}/; run `make models`")
    no_gpu = pytest.mark.skip(reason="no NVIDIA GPU")
    no_data = pytest.mark.skip(reason="no real test data; set FACESTREAM_TEST_DATA to its folder")
    for item in items:
        if item.get_closest_marker("models") and not models_are_there():
            item.add_marker(no_models)
        if item.get_closest_marker("gpu") and not gpu_is_there():
            item.add_marker(no_gpu)
        if item.get_closest_marker("data") and not data_folder().is_dir():
            item.add_marker(no_data)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real faces and clips."""
    return data_folder()
