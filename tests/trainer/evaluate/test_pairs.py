from __future__ import annotations

import pytest

from trainer.errors import DatasetError
from trainer.evaluate.pairs import read_pairs


@pytest.fixture
def root(tmp_path):
    for name, count in (("Ann_Lee", 3), ("Bo", 2), ("Cy", 1)):
        (tmp_path / name).mkdir()
        for number in range(1, count + 1):
            suffix = ".png" if name == "Cy" else ".jpg"
            (tmp_path / name / f"{name}_{number:04d}{suffix}").write_bytes(b"x")
    return tmp_path


def write(root, text, name="pairs.txt"):
    path = root / name
    path.write_text(text)
    return path


def names(pairs):
    return [
        (pairs.images[a].stem, pairs.images[b].stem, bool(same), int(fold))
        for a, b, same, fold in zip(pairs.left, pairs.right, pairs.same, pairs.folds, strict=True)
    ]


def test_lfws_ten_fold_format_is_read_with_its_folds(root):
    text = "2\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBo\t2\nBo\t1\t2\nBo\t1\tCy\t1\n"
    pairs = read_pairs(write(root, text), root)
    assert names(pairs) == [
        ("Ann_Lee_0001", "Ann_Lee_0002", True, 0),
        ("Ann_Lee_0001", "Bo_0002", False, 0),
        ("Bo_0001", "Bo_0002", True, 1),
        ("Bo_0001", "Cy_0001", False, 1),
    ]
    assert len(pairs) == 4
    assert len(set(pairs.images)) == len(pairs.images) == 5


def test_lfws_development_format_is_one_fold(root):
    pairs = read_pairs(write(root, "1\nBo 1 2\nBo 1 Cy 1\n"), root)
    assert names(pairs) == [("Bo_0001", "Bo_0002", True, 0), ("Bo_0001", "Cy_0001", False, 0)]


def test_a_csv_is_read_with_and_without_folds(root):
    text = "left,right,same\nBo/Bo_0001.jpg,Bo/Bo_0002.jpg,1\nBo/Bo_0001.jpg,Cy/Cy_0001.png,0\n"
    pairs = read_pairs(write(root, text, "p.csv"), root)
    assert names(pairs) == [("Bo_0001", "Bo_0002", True, 0), ("Bo_0001", "Cy_0001", False, 0)]
    text = "fold,left,right,same\n3,Bo/Bo_0001.jpg,Cy/Cy_0001.png,0\n"
    assert names(read_pairs(write(root, text, "q.csv"), root)) == [("Bo_0001", "Cy_0001", False, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("ten 300\n", "line 1"),
        ("1 1\nBo 1 2\n", "has 1"),
        ("1 1\nBo 1 2\nBo 1 Cy\n", "line 3"),
        ("1 1\nBo 1 2\nBo x Cy 1\n", "line 3"),
        ("1 1\nBo 1 2\nBo 1 Cy 9\n", "line 3.*Cy_0009"),
        ("1 1\nBo 1 2\nBo 1 Nobody 1\n", "Nobody_0001"),
        ("0 0\n", "no pairs"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(root, text, message):
    with pytest.raises(DatasetError, match=message):
        read_pairs(write(root, text), root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "left, right, same"),
        ("left,right,same\nBo/Bo_0001.jpg,Bo/Bo_0002.jpg,yes\n", "line 2: same is 0 or 1"),
        ("left,right,same\nBo/Bo_0001.jpg,Bo/Bo_0009.jpg,1\n", "line 2.*Bo_0009"),
        ("left,right,same\nBo/Bo_0001.jpg\n", "line 2"),
        ("same,left,right\n1,Bo/Bo_0001.jpg\n", "line 2: left and right"),
        ("left,right,same,fold\nBo/Bo_0001.jpg,Bo/Bo_0002.jpg,1,a\n", "fold"),
        ("left,right,same\n", "no pairs"),
    ],
)
def test_a_broken_csv_is_refused_with_its_line(root, text, message):
    with pytest.raises(DatasetError, match=message):
        read_pairs(write(root, text, "pairs.csv"), root)


@pytest.mark.parametrize("name", ["absent.txt", "latin.txt"])
def test_an_unreadable_list_is_refused(root, name):
    (root / "latin.txt").write_bytes(b"1 1\n\xff\xfe")
    with pytest.raises(DatasetError, match=name):
        read_pairs(root / name, root)
