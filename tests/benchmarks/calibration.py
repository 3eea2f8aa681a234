"""Is the confidence in a name right? Fits calibrations on half of LFW's people and measures them on everybody else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from server.domain import Calibration
from server.identity.confidence import confidence
from server.models.catalogue import SFACE as SFACE_ENTRY
from server.models.operating_points import OPERATING_POINTS_FILE
from tests.benchmarks.embedded import DLIB, SFACE, EmbeddedSet, lfw
from tests.benchmarks.report import Bar, Figure

SIZES = (1, 3, 10, 30, 100, 300, 1000)
"""People in the galleries that are fitted on."""
TRIALS = 4_000
BINS = 15
ECE = 0.03


@dataclass(frozen=True, slots=True)
class Trials:
    """Searches, of which half are for people who are enrolled.

    Attributes:
        distances: (N,) to the nearest template, squared L2.
        templates: (N,) how many were compared.
        right: (N,) bool, whether the nearest template is of the same person.
    """

    distances: NDArray[np.float64]
    templates: NDArray[np.int64]
    right: NDArray[np.bool_]


def trials(embedded: EmbeddedSet, people: int, photos: int, seed: int) -> Trials:
    """Random galleries of so many people with so many templates each, searched until there are TRIALS searches.

    As the server compares: a template with the mirrored pass against a probe without it.
    """
    random = np.random.default_rng([seed, people, photos])
    rows = {person: np.flatnonzero(embedded.people == person) for person in np.unique(embedded.people).tolist()}
    found: list[tuple[float, int, bool]] = []
    while len(found) < TRIALS:
        order = random.permutation(list(rows))
        enrolled, strangers = order[:people].tolist(), order[people:].tolist()
        templates, probes = [], []
        for person in enrolled:
            shuffled = random.permutation(rows[person])
            kept = min(photos, max(1, len(shuffled) - 1))
            templates += shuffled[:kept].tolist()
            probes += shuffled[kept : kept + 3].tolist()
        others = np.concatenate([rows[person][:3] for person in strangers]) if strangers else np.zeros(0, np.int64)
        count = min(len(probes), len(others), 200)
        chosen = [*random.permutation(probes)[:count].astype(int), *random.permutation(others)[:count].astype(int)]
        if chosen:
            found += _searched(embedded, np.array(templates), np.array(chosen))
    distances, counts, right = zip(*found[:TRIALS], strict=True)
    return Trials(np.array(distances), np.array(counts), np.array(right))


def _searched(
    embedded: EmbeddedSet, templates: NDArray[np.int64], probes: NDArray[np.int64]
) -> list[tuple[float, int, bool]]:
    distances = 2 - 2 * embedded.single[probes].astype(np.float64) @ embedded.mirrored[templates].T
    nearest = np.argmin(distances, axis=1)
    right = embedded.people[templates[nearest]] == embedded.people[probes]
    return [
        (float(row[near]), len(templates), bool(same))
        for row, near, same in zip(distances, nearest, right, strict=True)
    ]


def fitted(embedded: EmbeddedSet) -> Calibration:
    """A calibration for searches among these people."""
    tried = [trials(embedded, people, photos=1, seed=0) for people in SIZES]
    features = np.concatenate([np.stack([t.distances, np.log(t.templates)], axis=1) for t in tried])
    model = LogisticRegression(C=np.inf).fit(features, np.concatenate([t.right for t in tried]))
    distance, log_templates = model.coef_[0].tolist()
    return Calibration(round(float(model.intercept_[0]), 3), round(distance, 3), round(log_templates, 3))


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well stated and seen probabilities agree, in bins of equal width (Guo et al. 2017, section 2).

    Attributes:
        error: expected calibration error: the mean difference, weighted by the searches in each bin.
        bins: (searches, mean stated, share seen) of each bin that has any.
    """

    error: float
    bins: tuple[tuple[int, float, float], ...]


def reliability(stated: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """The reliability of stated probabilities."""
    bin_of = np.minimum((stated * BINS).astype(int), BINS - 1)
    bins = tuple(
        (int(inside.sum()), float(stated[inside].mean()), float(right[inside].mean()))
        for inside in (bin_of == number for number in range(BINS))
        if inside.any()
    )
    return Reliability(sum(count * abs(said - seen) for count, said, seen in bins) / len(right), bins)


def calibration(faces: EmbeddedSet, famous: EmbeddedSet) -> list[Figure]:
    """The errors of the catalogue's calibration, with their tables, on LFW's other people and on celeba247."""
    part = SFACE_ENTRY.manifest("0" * 64).calibration()
    if part is None:
        raise SystemExit("the catalogue has no calibration; run with --write-calibration first")
    others = faces.take(faces.people % 2 == 1)
    tests = {
        "LFW pairs": trials(others, 1, 1, seed=1),
        "LFW identification among 1,000": trials(others, 1_000, 1, seed=1),
        "celeba247 identification among 123, 1 photo each": trials(famous, 123, 1, seed=1),
        "celeba247 identification among 123, 3 photos each": trials(famous, 123, 3, seed=1),
    }
    return [_judged(name, tried, part) for name, tried in tests.items()]


def _judged(name: str, tried: Trials, part: Calibration) -> Figure:
    stated = np.array([
        confidence(part, distance, count)
        for distance, count in zip(tried.distances.tolist(), tried.templates.tolist(), strict=True)
    ])  # fmt: skip
    seen = reliability(stated, tried.right)
    table = Table("searches", "stated", "right", title=f"{name}: of {len(stated):,} nearest people")
    for count, said, right in seen.bins:
        table.add_row(f"{count:,}", f"{said:.3f}", f"{right:.3f}")
    Console(width=80).print(table)
    return Figure(f"expected calibration error, {name}", seen.error, "", Bar.AT_MOST, ECE)


def write_calibrations(models_dir: Path) -> None:
    """Fits every default embedder on every second person of LFW and puts the outcome beside the catalogue."""
    known = json.loads(OPERATING_POINTS_FILE.read_text())
    how = (
        f"LFW, every second of its people: searches of galleries of {', '.join(map(str, SIZES))} people with one "
        "template each, half of them for people who are enrolled"
    )
    for embedder in (SFACE, DLIB):
        embedded = lfw(models_dir, embedder)
        found = fitted(embedded.take(embedded.people % 2 == 0))
        known[embedder]["calibration"] = {
            "intercept": found.intercept,
            "distance": found.distance,
            "log_templates": found.log_templates,
            "fitted_on": how,
        }
    OPERATING_POINTS_FILE.write_text(json.dumps(known, indent=2) + "\n")
