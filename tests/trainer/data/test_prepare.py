from __future__ import annotations

import csv
import re

import cv2
import numpy as np
import pytest

from server.domain import Faces
from server.errors import StorageError
from server.vision.align import align
from trainer.data.catalog import read_folders, read_list
from trainer.data.prepare import Fate, Preparation, detector_of, most_prominent, write_dropped
from trainer.data.template import template_for
from trainer.errors import DatasetError

TEMPLATE = template_for(96, 96)
LANDMARKS = np.array([[[30, 40], [60, 40], [45, 55], [33, 70], [57, 70]]], np.float32)


def face(*boxes):
    points = np.repeat(LANDMARKS, len(boxes), axis=0)
    return Faces(np.array(boxes, np.float32).reshape(-1, 4), points, np.ones(len(boxes), np.float32))


@pytest.fixture
def photographs(tmp_path):
    root = tmp_path / "photographs"
    drawn = np.random.default_rng(0)
    for name in ("ann", "bo"):
        (root / name).mkdir(parents=True)
        for number in range(2):
            coarse = drawn.integers(0, 256, (10, 9, 3), dtype=np.uint8)
            cv2.imwrite(str(root / name / f"{number}.png"), cv2.resize(coarse, (90, 100)))
    return root


def preparation(tmp_path, detect=lambda image: face([20, 20, 70, 80])):
    return Preparation(detect, TEMPLATE, tmp_path / "crops")


def fates(how, photographs):
    return [item.fate for item in how.all(read_folders(photographs), workers=2)]


def test_every_photograph_becomes_the_crop_that_the_server_would_make(photographs, tmp_path):
    assert fates(preparation(tmp_path), photographs) == [Fate.CROPPED] * 4
    catalog = read_folders(tmp_path / "crops")
    assert catalog.identities == ("ann", "bo")
    for crop, photograph in zip(catalog.paths, read_folders(photographs).paths, strict=True):
        want = align(cv2.imread(str(photograph)), LANDMARKS, TEMPLATE)[0]
        ours = cv2.imread(str(crop))
        assert ours.shape == (96, 96, 3)
        assert np.abs(ours.astype(int) - want).mean() < 3


def test_a_second_run_does_only_what_is_missing(photographs, tmp_path):
    fates(preparation(tmp_path), photographs)
    (tmp_path / "crops" / "bo" / "1.jpg").unlink()
    again = fates(preparation(tmp_path), photographs)
    assert again == [Fate.ALREADY_THERE] * 3 + [Fate.CROPPED]


def test_photographs_that_differ_in_their_ending_only_both_become_crops(photographs, tmp_path):
    (photographs / "bo" / "1.jpg").write_bytes((photographs / "bo" / "1.png").read_bytes())
    assert fates(preparation(tmp_path), photographs) == [Fate.CROPPED] * 5
    names = sorted(path.name for path in (tmp_path / "crops" / "bo").iterdir())
    assert names == ["0.jpg", "1.jpg.jpg", "1.png.jpg"]


def test_photographs_of_one_person_with_one_name_in_several_folders_all_become_crops(photographs, tmp_path):
    (photographs / "list.csv").write_text("path,identity\nann/0.png,ann\nbo/0.png,ann\nann/1.png,ann\n")
    catalog = read_list(photographs / "list.csv")
    done = list(preparation(tmp_path).all(catalog, workers=2))
    assert [item.fate for item in done] == [Fate.CROPPED] * 3
    names = sorted(path.name for path in (tmp_path / "crops" / "ann").iterdir())
    assert len(names) == 3
    assert names[2] == "1.jpg"
    assert all(re.fullmatch(r"0-[0-9a-f]{8}\.jpg", name) for name in names[:2])
    again = list(preparation(tmp_path).all(catalog, workers=2))
    assert [item.fate for item in again] == [Fate.ALREADY_THERE] * 3


@pytest.mark.parametrize("identity", ["Smith/John", "../up", ".hidden", "C:\\me"])
def test_a_name_that_cannot_be_a_folders_is_refused_before_any_work(photographs, tmp_path, identity):
    (photographs / "list.csv").write_text(f"path,identity\nann/0.png,ann\nbo/0.png,{identity}\n")
    with pytest.raises(DatasetError, match="cannot be the name of a folder"):
        list(preparation(tmp_path).all(read_list(photographs / "list.csv"), workers=1))
    assert not (tmp_path / "crops").exists()


def test_a_name_with_its_ending_may_be_that_of_another_photograph(photographs, tmp_path):
    for name in ("1.jpg", "1.png.jpg"):
        (photographs / "bo" / name).write_bytes((photographs / "bo" / "1.png").read_bytes())
    assert fates(preparation(tmp_path), photographs) == [Fate.CROPPED] * 6
    assert len(list((tmp_path / "crops" / "bo").iterdir())) == 4


def test_what_gives_no_crop_is_listed_with_its_reason(photographs, tmp_path):
    (photographs / "ann" / "0.png").write_bytes(b"")
    (photographs / "ann" / "1.png").write_bytes(b"rubbish")
    sizes = iter([Faces.none(), face([20, 20, 33, 80])])
    done = list(preparation(tmp_path, lambda image: next(sizes)).all(read_folders(photographs), workers=1))
    assert [item.fate for item in done] == [Fate.UNREADABLE, Fate.UNREADABLE, Fate.NO_FACE, Fate.TOO_SMALL]
    write_dropped(tmp_path / "crops", done)
    with (tmp_path / "crops" / "dropped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == ["unreadable", "unreadable", "no face", "too small"]
    assert rows[3]["detail"] == "13 pixels, at least 20 are wanted"
    assert all(row["detail"] for row in rows[:2])


def test_of_several_faces_the_large_one_near_the_middle_is_taken():
    image = np.zeros((100, 100, 3), np.uint8)
    assert most_prominent(face([0, 0, 30, 30], [35, 35, 65, 65]), image) == 1
    assert most_prominent(face([40, 40, 50, 50], [10, 10, 80, 80]), image) == 1


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_no_rubbish(photographs, tmp_path):
    (tmp_path / "crops").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"0\.jpg cannot be written"):
        fates(preparation(tmp_path), photographs)


def test_a_model_folders_network_finds_faces_in_pixels_of_the_photograph():
    """A network that sees one face in the letterboxed picture, at half the photograph's size."""
    from server.domain import ColourOrder, Decoding
    from server.inference.backend import FakeBackend
    from server.inference.manifest import Kind, Manifest
    from server.inference.parts import Detector, Input, Pixels, StatedSource

    def network(batch):
        rows, columns = batch.shape[2] // 4, batch.shape[3] // 4
        heat = np.zeros((1, 1, rows, columns), np.float32)
        heat[0, 0, 10, 8] = 0.9
        scale = np.full((1, 2, rows, columns), np.log(5.0), np.float32)
        return heat, scale, np.zeros_like(scale), np.full((1, 10, rows, columns), 0.5, np.float32)

    manifest = Manifest(
        name="fake",
        version="1",
        kind=Kind.DETECTOR,
        input=Input(tensor="x", width=None, height=None, size_multiple=32, pixels=Pixels(colour=ColourOrder.RGB)),
        detector=Detector(decoding=Decoding.CENTERFACE, outputs=("a", "b", "c", "d"), score_threshold=0.5, nms_iou=0.3),
        licence="none",
        attribution="none",
        source=StatedSource(text="none"),
        sha256="0" * 64,
    )
    found = detector_of(manifest, FakeBackend(network), longest_side=64)(np.zeros((128, 96, 3), np.uint8))
    # cell (8, 10) of stride 4 is (34, 42) in the input and twice that in the photograph; the box is 20 wide there
    np.testing.assert_allclose(found.boxes, [[48, 64, 88, 104]], atol=0.5)
