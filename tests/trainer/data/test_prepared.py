from __future__ import annotations

import dataclasses

import pytest

from server.errors import StorageError
from trainer.data.prepared import SETTINGS_FILE, CropSettings, claim
from trainer.errors import DatasetError

SETTINGS = CropSettings("yunet/1", "ab" * 32, 96, 96, ((30.5, 40.0), (60.0, 40.0)), 20.0)


def test_a_folder_takes_crops_of_the_same_settings_again(tmp_path):
    claim(tmp_path / "crops", SETTINGS)
    claim(tmp_path / "crops", SETTINGS)


@pytest.mark.parametrize(
    "change",
    [{"width": 116}, {"detector_sha256": "cd" * 32}, {"min_size": 40.0}, {"landmarks": ((30.0, 40.0), (60.0, 40.0))}],
)
def test_a_folder_with_crops_of_other_settings_is_refused_with_what_differs(tmp_path, change):
    claim(tmp_path, SETTINGS)
    before = (tmp_path / SETTINGS_FILE).read_bytes()
    with pytest.raises(DatasetError, match=f"{next(iter(change))} .*, now ") as caught:
        claim(tmp_path, dataclasses.replace(SETTINGS, **change))
    assert caught.value.reason == "CROPS_DIFFER"
    assert (tmp_path / SETTINGS_FILE).read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_folder_that_does_not_tell_how_its_crops_were_made_is_refused(tmp_path, content):
    (tmp_path / SETTINGS_FILE).write_text(content)
    with pytest.raises(DatasetError, match="does not tell"):
        claim(tmp_path, SETTINGS)


def test_a_folder_that_cannot_be_written_is_an_error_of_the_disk(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        claim(tmp_path / "file" / "crops", SETTINGS)
