"""Drawn photographs as files: who is learnt from, who is judged with, and who comes to the server."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from demo.learning.drawing import draw
from demo.learning.people import invent, pose

JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Cast:
    """How many drawn people there are for what, and how many photos of each; nobody is there for two things.

    Attributes:
        learnt: people of the training set, and photos of each.
        judged: people that accuracy and thresholds are measured with.
        enrolled: people that the server is told about; the first `ENROLLED_FROM` photos of each are enrolled.
        strangers: people that it is not told about.
        pairs: of two people, that the judged are compared in; as many of one as there are.
    """

    learnt: tuple[int, int]
    judged: tuple[int, int]
    enrolled: tuple[int, int]
    strangers: tuple[int, int]
    pairs: int


FULL = Cast(learnt=(160, 10), judged=(60, 6), enrolled=(12, 11), strangers=(12, 4), pairs=20_000)
TINY = Cast(learnt=(8, 4), judged=(6, 4), enrolled=(2, 7), strangers=(2, 2), pairs=300)

ENROLLED_FROM = 6


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who comes to the server.

    Attributes:
        name: who it is.
        enrolled: the photos that are enrolled; none of a stranger.
        shown: the photos that the server is asked about.
    """

    name: str
    enrolled: tuple[Path, ...]
    shown: tuple[Path, ...]


def name_of(person: int) -> str:
    """What a drawn person is called."""
    return f"Drawn {person:03d}"


def draw_folder(folder: Path, people: range, photos: int) -> None:
    """Photographs of people, one folder for each."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
        list(workers.map(partial(_draw_person, folder, photos), people, chunksize=8))


def _draw_person(folder: Path, photos: int, person: int) -> None:
    own = folder / name_of(person).replace(" ", "_")
    own.mkdir(parents=True, exist_ok=True)
    for number in range(photos):
        picture = draw(invent(person), pose(person, number))
        cv2.imwrite(str(own / f"{number}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def numbers(cast: Cast) -> tuple[range, range, range, range]:
    """The numbers of the people that are learnt, judged, enrolled, and strangers."""
    counts = [cast.learnt[0], cast.judged[0], cast.enrolled[0], cast.strangers[0]]
    ends = list(itertools.accumulate(counts))
    learnt, judged, enrolled, strangers = (range(end - count, end) for end, count in zip(ends, counts, strict=True))
    return learnt, judged, enrolled, strangers


def visitors(folder: Path, cast: Cast) -> tuple[Visitor, ...]:
    """Draws the people who come to the server."""
    _, _, enrolled, strangers = numbers(cast)
    draw_folder(folder, enrolled, cast.enrolled[1])
    draw_folder(folder, strangers, cast.strangers[1])
    return tuple(
        [_visitor(folder, person, ENROLLED_FROM) for person in enrolled]
        + [_visitor(folder, person, 0) for person in strangers]
    )


def _visitor(folder: Path, person: int, enrolled: int) -> Visitor:
    photos = sorted((folder / name_of(person).replace(" ", "_")).iterdir())
    return Visitor(name_of(person), tuple(photos[:enrolled]), tuple(photos[enrolled:]))


def write_pairs(path: Path, crops: Path, count: int) -> int:
    """Lists all pairs of one person, and `count` of two (or all there are), in a CSV file; how many there are."""
    people = [sorted(own.glob("*.jpg")) for own in sorted(crops.iterdir()) if own.is_dir()]
    rows = [(*pair, 1) for own in people for pair in itertools.combinations(own, 2)]
    rows += [(*pair, 0) for pair in _of_two(people, count)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("left", "right", "same"))
        writer.writerows((left.relative_to(crops), right.relative_to(crops), same) for left, right, same in rows)
    return len(rows)


def _of_two(people: list[list[Path]], count: int) -> Iterator[tuple[Path, Path]]:
    pairs = [(a, b) for left, right in itertools.combinations(people, 2) for a in left for b in right]
    order = np.random.default_rng(0).permutation(len(pairs))
    yield from (pairs[place] for place in order[:count])
