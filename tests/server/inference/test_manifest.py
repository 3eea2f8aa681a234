"""Manifests are read as written, and refused with the field that is wrong."""

from __future__ import annotations

import json

import pytest

from server.domain import AlignmentTemplate, ColourOrder, Decoding, OperatingPoint, PixelSpec
from server.errors import ModelError
from server.inference.manifest import Manifest, load_manifest, verified_weights, verify_weights, write_manifest
from server.models.tiny import write_tiny_detector, write_tiny_embedder


@pytest.fixture
def embedder(tmp_path):
    return write_tiny_embedder(tmp_path)


@pytest.fixture
def detector(tmp_path):
    return write_tiny_detector(tmp_path)


def changed(folder, change):
    """Rewrites the folder's manifest after `change` did something to its JSON."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def put(path: str, value):
    """A change that sets a dotted path."""

    def change(content):
        *parents, last = path.split(".")
        for parent in parents:
            content = content[parent]
        content[last] = value

    return change


def test_what_is_written_is_read_again(embedder, detector):
    for folder in (embedder, detector):
        manifest = load_manifest(folder)
        write_manifest(folder, manifest)
        assert load_manifest(folder) == manifest
        assert not list(folder.glob(".*"))


def test_the_file_carries_its_schema(embedder):
    assert json.loads((embedder / "manifest.json").read_text())["schema"] == 1


def test_an_embedder_gives_domain_values(embedder):
    manifest = load_manifest(embedder)
    assert manifest.model == "tiny-embedder/v1"
    assert manifest.outputs() == ("embedding",)
    assert manifest.pixels() == PixelSpec(ColourOrder.RGB, (127.5, 127.5, 127.5), (1.0, 1.0, 1.0))
    points = ((2.5, 3.0), (5.5, 3.0), (4.0, 4.5), (3.0, 6.0), (5.0, 6.0))
    assert manifest.template() == AlignmentTemplate(8, 8, points)
    assert manifest.operating_points() == (OperatingPoint(0.001, 1.0, 0.5),)


def test_a_detector_gives_its_outputs_in_order(detector):
    manifest = load_manifest(detector)
    assert manifest.outputs() == ("heat", "scale", "offset", "landmarks")
    assert manifest.as_detector().decoding is Decoding.CENTERFACE


def test_operating_points_come_with_the_smallest_far_first(embedder):
    points = [{"far": far, "distance": distance, "val": 0.9} for far, distance in ((0.01, 1.4), (0.0001, 1.0))]
    manifest = load_manifest(changed(embedder, put("embedder.operating_points", points)))
    assert [point.far for point in manifest.operating_points()] == [0.0001, 0.01]


def test_asking_a_model_for_the_other_kind_says_what_it_is(embedder, detector):
    with pytest.raises(ModelError, match="kind embedder, wanted is the kind detector") as caught:
        load_manifest(embedder).as_detector()
    assert caught.value.reason == "MODEL_KIND_WRONG"
    for ask in (Manifest.as_embedder, Manifest.template, Manifest.operating_points):
        with pytest.raises(ModelError, match="detector"):
            ask(load_manifest(detector))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 2),
        ("name", "Tiny Embedder"),
        ("name", "../up"),
        ("name", ""),
        ("version", "a/b"),
        ("kind", "landmarker"),
        ("kind", "detector"),
        ("surprise", 1),
        ("sha256", "0" * 63),
        ("sha256", "G" * 64),
        ("licence", ""),
        ("input.width", None),
        ("input.width", 0),
        ("input.size_multiple", 3),
        ("input.tensor", ""),
        ("input.pixels.colour", "GBR"),
        ("input.pixels.std", [1, 0, 1]),
        ("input.pixels.mean", [1, 1]),
        ("input.pixels.mean", [1, 1, float("nan")]),
        ("embedder", None),
        ("embedder.dimension", 1),
        ("embedder.metric", "cosine"),
        ("embedder.template", [[1, 1]] * 4),
        ("embedder.template", [[1, 1, 1]] * 5),
        ("embedder.operating_points", [{"far": 0, "distance": 1, "val": 0.5}]),
        ("embedder.operating_points", [{"far": 0.1, "distance": 4.1, "val": 0.5}]),
        ("embedder.operating_points", [{"far": 0.1, "distance": 1, "val": 1.5}]),
        ("source", {"kind": "rumour", "text": "x"}),
        ("source", {"kind": "stated", "text": ""}),
    ],
)
def test_a_field_that_makes_no_sense_is_refused_by_name(embedder, path, value):
    with pytest.raises(ModelError) as caught:
        load_manifest(changed(embedder, put(path, value)))
    assert caught.value.reason == "MANIFEST_INVALID"
    assert str(embedder) in caught.value.message
    assert "docs/models.md" in caught.value.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("detector.outputs", ["heat", "scale", "offset"]),
        ("detector.outputs", ["heat", "scale", "offset", "offset"]),
        ("detector.decoding", "yunet"),
        ("detector.decoding", "ssd"),
        ("detector.score_threshold", 0),
        ("detector.nms_iou", 1.5),
        ("input.height", 8),
    ],
)
def test_a_detector_field_that_makes_no_sense_is_refused(detector, path, value):
    with pytest.raises(ModelError) as caught:
        load_manifest(changed(detector, put(path, value)))
    assert caught.value.reason == "MANIFEST_INVALID"


@pytest.mark.parametrize(
    "points",
    [
        [(0.01, 1.0, 0.9), (0.001, 1.2, 0.8)],
        [(0.01, 1.2, 0.8), (0.001, 1.0, 0.9)],
        [(0.01, 1.2, 0.8), (0.01, 1.2, 0.8)],
    ],
)
def test_operating_points_that_contradict_each_other_are_refused(embedder, points):
    listed = [{"far": far, "distance": distance, "val": val} for far, distance, val in points]
    with pytest.raises(ModelError, match="contradict"):
        load_manifest(changed(embedder, put("embedder.operating_points", listed)))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"schema": 1}'])
def test_a_file_that_is_no_manifest_is_refused(embedder, text):
    (embedder / "manifest.json").write_bytes(text)
    with pytest.raises(ModelError) as caught:
        load_manifest(embedder)
    assert caught.value.reason == "MANIFEST_INVALID"


def test_a_folder_without_a_manifest_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelError, match="facestream-models fetch") as caught:
        load_manifest(tmp_path / "nothing")
    assert caught.value.reason == "MODEL_MISSING"


def test_writing_into_a_folder_that_is_not_there_is_an_error(tmp_path, embedder):
    with pytest.raises(ModelError) as caught:
        write_manifest(tmp_path / "nothing", load_manifest(embedder))
    assert caught.value.reason == "MODEL_NOT_WRITTEN"


def test_intact_weights_are_given(embedder):
    manifest = load_manifest(embedder)
    verify_weights(embedder, manifest)
    assert verified_weights(embedder, manifest) == (embedder / "model.onnx").read_bytes()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "append"])
def test_damaged_weights_are_refused_with_both_hashes(embedder, damage):
    path = embedder / "model.onnx"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"truncate": data[:-1], "empty": b"", "append": data + b"\0"}.get(damage, data))
    manifest = load_manifest(embedder)
    with pytest.raises(ModelError) as caught:
        verify_weights(embedder, manifest)
    assert caught.value.reason == "MODEL_DAMAGED"
    assert manifest.sha256 in caught.value.message
    assert caught.value.metadata["sha256"] != manifest.sha256


def test_missing_weights_are_refused(embedder):
    (embedder / "model.onnx").unlink()
    with pytest.raises(ModelError) as caught:
        verify_weights(embedder, load_manifest(embedder))
    assert caught.value.reason == "MODEL_MISSING"
