from __future__ import annotations

import dataclasses

import pytest

from server.errors import StorageError
from trainer.data.prepared import SETTINGS_FILE, CropSettings, claim, unlike
from trainer.data.template import template_for
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


def test_a_folder_with_pictures_of_which_nobody_knows_how_they_were_made_is_refused(tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "1.JPG").write_bytes(b"a photograph")
    with pytest.raises(DatasetError, match="choose an empty folder"):
        claim(tmp_path, SETTINGS)
    assert not (tmp_path / SETTINGS_FILE).exists()


def test_a_folder_of_other_things_can_hold_crops(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.csv").write_text("path,identity")
    claim(tmp_path, SETTINGS)
    assert (tmp_path / SETTINGS_FILE).exists()


def made_for(template, folder):
    points = tuple((float(x), float(y)) for x, y in template.points)
    claim(folder, CropSettings("yunet/1", "ab" * 32, template.width, template.height, points, 20.0))
    return [folder / "ada" / f"{number}.jpg" for number in range(3)]


def test_nothing_is_said_of_crops_that_were_made_for_the_network(tmp_path):
    template = template_for(140, 116)
    assert unlike(made_for(template, tmp_path), template) == ()


@pytest.mark.parametrize(
    ("template", "remark"),
    [
        (template_for(112, 112), "96x96 pixels and are resized to 112x112"),
        (dataclasses.replace(template_for(96, 96), points=((1.0, 2.0),) * 5), "landmarks elsewhere"),
    ],
)
def test_crops_for_another_template_are_remarked_on_once(tmp_path, template, remark):
    (said,) = unlike(made_for(template_for(96, 96), tmp_path), template)
    assert remark in said
    assert str(tmp_path) in said


def test_pictures_of_which_nobody_knows_how_they_were_made_are_remarked_on(tmp_path):
    known = made_for(template_for(96, 96), tmp_path / "known")
    (said,) = unlike([*known, tmp_path / "unknown" / "ada" / "1.jpg"], template_for(96, 96))
    assert f"{tmp_path / 'unknown'} has no prepared.json" in said


def test_a_folder_that_cannot_be_written_is_an_error_of_the_disk(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        claim(tmp_path / "file" / "crops", SETTINGS)
