"""Reads lists of pairs of photographs: LFW's format, and CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError

SUFFIXES = (".jpg", ".jpeg", ".png")
_REMEDY = "; prepared crops end in .jpg, and dropped.csv beside them says which photographs gave none and why"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of photographs, as a struct of arrays.

    Attributes:
        images: every photograph once.
        left: (P,) index into `images`.
        right: (P,) index into `images`.
        same: (P,) whether both show one person.
        folds: (P,) number of the pair's fold, from 0.
    """

    images: tuple[Path, ...]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]
    folds: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.same)


@dataclass(frozen=True, slots=True)
class _Pair:
    left: Path
    right: Path
    same: bool
    fold: int


def read_pairs(path: Path, root: Path) -> Pairs:
    """Reads a list of pairs whose photographs lie under `root`.

    A name that ends in .csv is read as CSV with the columns left, right (paths relative to `root`), same (1 or 0) and
    perhaps fold. Anything else is LFW's format: a first line with the number of folds and of pairs of each kind in a
    fold (or the latter alone, for one fold), then lines `NAME A B` for the photographs NAME/NAME_000A and _000B of one
    person, and `NAME A OTHER B` for those of two.

    Raises:
        DatasetError: when the file is unreadable or breaks its format (with the line), or a photograph is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("PAIRS_UNREADABLE", f"the list of pairs {path} cannot be read: {error}") from error
    pairs = _read_csv(path, text, root) if path.suffix == ".csv" else _read_lfw(path, text, root)
    if not pairs:
        raise DatasetError("NO_PAIRS", f"the list {path} holds no pairs")
    return _columns(pairs)


def _read_csv(path: Path, text: str, root: Path) -> list[_Pair]:
    reader = csv.DictReader(text.splitlines())
    if not {"left", "right", "same"} <= set(reader.fieldnames or ()):
        raise DatasetError(
            "PAIRS_INVALID", f"{path} has the columns {reader.fieldnames}; it needs left, right, same, and perhaps fold"
        )
    pairs = []
    for row in reader:
        if row["same"] not in ("0", "1") or not (row.get("fold") or "0").isdecimal():
            raise _broken(path, reader.line_num, "same is 0 or 1, and fold a number from 0")
        if not row["left"] or not row["right"]:
            raise _broken(path, reader.line_num, "left and right are paths")
        photographs = [root / row["left"], root / row["right"]]
        missing = [photograph for photograph in photographs if not photograph.is_file()]
        if missing:
            raise DatasetError(
                "PHOTOGRAPH_MISSING", f"{path} line {reader.line_num}: there is no {missing[0]}{_REMEDY}"
            )
        pairs.append(_Pair(photographs[0], photographs[1], row["same"] == "1", int(row.get("fold") or 0)))
    return pairs


def _read_lfw(path: Path, text: str, root: Path) -> list[_Pair]:
    lines = [line.split("\t") if "\t" in line else line.split() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    header = lines[0] if lines else []
    if len(header) not in (1, 2) or not all(field.isdecimal() for field in header):
        raise _broken(path, 1, "the first line holds the number of folds and of pairs of each kind in one")
    folds, size = (1, int(header[0])) if len(header) == 1 else (int(header[0]), int(header[1]))
    if len(lines) - 1 != folds * size * 2:
        raise DatasetError(
            "PAIRS_INVALID",
            f"{path} announces {folds} folds of {size} pairs of one person and {size} of two, {folds * size * 2} lines "
            f"in all, but has {len(lines) - 1}",
        )
    return [
        _lfw_pair(path, number, fields, root, fold=(number - 2) // (2 * size))
        for number, fields in enumerate(lines[1:], start=2)
    ]


def _lfw_pair(path: Path, number: int, fields: list[str], root: Path, *, fold: int) -> _Pair:
    match fields:
        case [name, first, second] if first.isdecimal() and second.isdecimal():
            people, same = ((name, first), (name, second)), True
        case [name, first, other, second] if first.isdecimal() and second.isdecimal():
            people, same = ((name, first), (other, second)), False
        case _:
            raise _broken(path, number, "a pair is NAME A B or NAME A OTHER B")
    left, right = (
        _photograph(root / name / f"{name}_{int(index):04d}", f"{path} line {number}") for name, index in people
    )
    return _Pair(left, right, same, fold)


def _photograph(stem: Path, where: str) -> Path:
    for suffix in SUFFIXES:
        candidate = stem.with_name(stem.name + suffix)
        if candidate.is_file():
            return candidate
    raise DatasetError("PHOTOGRAPH_MISSING", f"{where}: there is no {stem} with any of {', '.join(SUFFIXES)}{_REMEDY}")


def _broken(path: Path, line: int, rule: str) -> DatasetError:
    return DatasetError("PAIRS_INVALID", f"{path} line {line}: {rule}")


def _columns(pairs: list[_Pair]) -> Pairs:
    index: dict[Path, int] = {}
    for pair in pairs:
        index.setdefault(pair.left, len(index))
        index.setdefault(pair.right, len(index))
    return Pairs(
        tuple(index),
        np.array([index[pair.left] for pair in pairs], np.intp),
        np.array([index[pair.right] for pair in pairs], np.intp),
        np.array([pair.same for pair in pairs], np.bool_),
        np.array([pair.fold for pair in pairs], np.intp),
    )
