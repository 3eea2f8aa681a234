"""Models are found by NAME/VERSION, or by NAME while that says enough."""

from __future__ import annotations

import shutil

import pytest

from server.errors import ModelError, NotFoundError
from server.models.folders import installed, locate
from server.models.tiny import write_tiny_detector, write_tiny_embedder


@pytest.fixture
def models(tmp_path):
    write_tiny_embedder(tmp_path)
    write_tiny_detector(tmp_path)
    (tmp_path / ".unfinished" / "v1").mkdir(parents=True)
    shutil.copy(tmp_path / "tiny-detector/v1/manifest.json", tmp_path / ".unfinished/v1")
    shutil.copytree(tmp_path / "tiny-detector/v1", tmp_path / "tiny-detector/.v1.abc")
    return tmp_path


def test_every_folder_with_a_manifest_is_installed_but_hidden_ones_are_not(models):
    assert installed(models) == ("tiny-detector/v1", "tiny-embedder/v1")


def test_nothing_is_installed_where_nothing_is(tmp_path):
    assert installed(tmp_path / "nothing") == ()


@pytest.mark.parametrize("name", ["tiny-embedder", "tiny-embedder/v1"])
def test_a_model_is_found_with_or_without_its_version(models, name):
    assert locate(models, name) == models / "tiny-embedder/v1"


def test_a_name_with_two_versions_is_ambiguous(models):
    shutil.copytree(models / "tiny-embedder/v1", models / "tiny-embedder/v2")
    with pytest.raises(ModelError, match="v1, tiny-embedder/v2") as caught:
        locate(models, "tiny-embedder")
    assert caught.value.reason == "MODEL_AMBIGUOUS"
    assert locate(models, "tiny-embedder/v2").name == "v2"


@pytest.mark.parametrize("name", ["", "tiny", "tiny-embedder/v9", "../tiny-embedder", "tiny-embedder/v1/model.onnx"])
def test_an_unknown_name_says_what_is_there(models, name):
    with pytest.raises(NotFoundError, match="tiny-detector/v1, tiny-embedder/v1") as caught:
        locate(models, name)
    assert caught.value.reason == "MODEL_UNKNOWN"
