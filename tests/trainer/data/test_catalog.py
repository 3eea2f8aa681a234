from __future__ import annotations

import shutil

import numpy as np
import pytest

from server.errors import StorageError
from trainer.data.catalog import (
    hold_out,
    other_files,
    read_catalog,
    read_folders,
    read_list,
    require_trainable,
    set_aside,
    write_list,
)
from trainer.errors import DatasetError


@pytest.fixture
def root(tmp_path):
    for name, count in (("bo", 3), ("ann", 2), ("cy", 1)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "faces" / name / f"{number}.jpg").write_bytes(f"{name}{number}".encode())
    return tmp_path / "faces"


def test_each_folder_is_a_person_in_the_order_of_their_names(root):
    catalog = read_folders(root)
    assert catalog.identities == ("ann", "bo", "cy")
    assert [path.relative_to(root).as_posix() for path in catalog.paths] == [
        "ann/0.jpg",
        "ann/1.jpg",
        "bo/0.jpg",
        "bo/1.jpg",
        "bo/2.jpg",
        "cy/0.jpg",
    ]
    assert catalog.labels.tolist() == [0, 0, 1, 1, 1, 2]
    assert catalog.counts().tolist() == [2, 3, 1]
    assert len(catalog) == 6


def test_other_files_hidden_ones_and_empty_folders_are_left_out(root):
    before = read_folders(root)
    (root / "bo" / "notes.txt").write_text("x")
    (root / "bo" / ".hidden.jpg").write_text("x")
    (root / ".trash").mkdir()
    (root / ".trash" / "1.jpg").write_text("x")
    (root / "empty").mkdir()
    (root / "readme.jpg").write_text("x")
    assert read_folders(root).paths == before.paths
    assert read_folders(root).identities == before.identities


def test_files_that_are_left_out_for_their_ending_can_be_told(root, tmp_path):
    for name in ("ann/9.webp", "dan/1", "ann/.hidden.webp"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    assert [path.relative_to(root).as_posix() for path in other_files(root)] == ["ann/9.webp", "dan/1"]
    (tmp_path / "list.csv").write_text("path,identity\n")
    assert other_files(tmp_path / "list.csv") == ()


def test_a_list_names_crops_and_people(root):
    (root / "list.csv").write_text("identity,path\nBo,bo/0.jpg\nAnn,ann/1.jpg\nBo,bo/2.jpg\n")
    catalog = read_catalog(root / "list.csv")
    assert catalog.identities == ("Bo", "Ann")
    assert catalog.labels.tolist() == [0, 1, 0]
    assert catalog.paths[1] == root / "ann" / "1.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,who\na,b\n", "path and identity"),
        ("path,identity\nbo/0.jpg,\n", "line 2"),
        ("path,identity\nbo/0.jpg,Bo\nbo/9.jpg,Bo\n", "line 3.*9.jpg"),
        ("path,identity\n", "no crops"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(root, text, message):
    (root / "list.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_list(root / "list.csv")


def test_an_absent_folder_and_one_without_crops_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="absent"):
        read_catalog(tmp_path / "absent")
    with pytest.raises(DatasetError, match="folder of their own"):
        read_catalog(tmp_path)


def test_one_person_alone_cannot_be_trained_on(root):
    catalog = read_folders(root)
    with pytest.raises(DatasetError, match="one person, 'bo'"):
        require_trainable(catalog.take(catalog.labels == 1))


def test_people_with_a_single_crop_each_cannot_be_trained_on(root):
    with pytest.raises(DatasetError, match="3 people has a single crop"):
        require_trainable(read_folders(root).take(np.array([0, 2, 5])))


def test_people_with_a_single_crop_are_fine_beside_others(root):
    require_trainable(read_folders(root))


def test_taking_crops_renumbers_the_people_who_remain(root):
    part = read_folders(root).take(np.array([5, 3, 4]))
    assert part.identities == ("bo", "cy")
    assert part.labels.tolist() == [1, 0, 0]


def test_held_out_people_are_on_one_side_only_and_have_two_crops(root):
    catalog = read_folders(root)
    kept, held = hold_out(catalog, people=1, seed=3)
    assert len(kept) + len(held) == len(catalog)
    assert set(kept.identities) | set(held.identities) == set(catalog.identities)
    assert not set(kept.identities) & set(held.identities)
    assert held.counts().min() >= 2
    again = hold_out(catalog, people=1, seed=3)
    assert again[1].identities == held.identities


@pytest.mark.parametrize("people", [0, 2])
def test_holding_out_too_many_is_refused_with_the_range(root, people):
    with pytest.raises(DatasetError, match=r"at most 1 can.*add people"):
        hold_out(read_folders(root), people=people, seed=0)


def test_two_people_remain_to_train_on(root):
    for number in (2, 3):
        (root / "cy" / f"{number}.jpg").write_bytes(b"cy")
    with pytest.raises(DatasetError, match="at most 1 can"):
        hold_out(read_folders(root), people=2, seed=0)
    for name in ("dee", "eve"):
        shutil.copytree(root / "bo", root / name)
    kept, _ = hold_out(read_folders(root), people=3, seed=0)
    require_trainable(kept)
    with pytest.raises(DatasetError, match=r'at most 3 can.*"people": 3'):
        hold_out(read_folders(root), people=4, seed=0)


def test_the_fingerprint_follows_the_content_and_not_the_place(root, tmp_path):
    first = read_folders(root).fingerprint()
    shutil.copytree(root, tmp_path / "copy")
    assert read_folders(tmp_path / "copy").fingerprint() == first
    (root / "bo" / "1.jpg").write_bytes(b"another")
    assert read_folders(root).fingerprint() != first


def test_the_fingerprint_of_a_file_that_went_away_is_refused(root):
    catalog = read_folders(root)
    (root / "bo" / "1.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1\.jpg"):
        catalog.fingerprint()


def test_crops_set_aside_are_so_many_of_each_person_who_can_spare_them(root):
    catalog = read_folders(root)
    kept, aside = set_aside(catalog, crops=1, seed=0)
    assert kept.identities == ("ann", "bo", "cy")
    assert kept.counts().tolist() == [1, 2, 1]
    assert aside.identities == ("ann", "bo")
    assert aside.counts().tolist() == [1, 1]
    assert set(kept.paths) | set(aside.paths) == set(catalog.paths)
    assert {set_aside(catalog, crops=1, seed=seed)[1].paths for seed in range(9)} > {aside.paths}


@pytest.mark.parametrize("crops", [0, 3])
def test_more_crops_than_anybody_has_cannot_be_set_aside(root, crops):
    with pytest.raises(DatasetError, match="set aside 1 to 2"):
        set_aside(read_folders(root), crops=crops, seed=0)


def test_a_written_list_is_read_back_from_anywhere(root, tmp_path):
    catalog = read_folders(root)
    (tmp_path / "elsewhere").mkdir()
    write_list(tmp_path / "elsewhere" / "list.csv", catalog)
    again = read_list(tmp_path / "elsewhere" / "list.csv")
    assert again.paths == catalog.paths
    assert again.identities == catalog.identities
    assert again.labels.tolist() == catalog.labels.tolist()


def test_a_list_in_a_folder_that_is_not_there_is_an_error(root, tmp_path):
    with pytest.raises(StorageError, match=r"list\.csv"):
        write_list(tmp_path / "none" / "list.csv", read_folders(root))
