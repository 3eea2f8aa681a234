"""Are people falsely named by means of looks more often than by single pictures? At the thresholds of single pictures.

    python -m tests.benchmarks.tracks

A template is a photograph of its own, or the mean of several looks as naming a group of strangers makes it; a probe is
one look, or the mean of a track's. Looks are photographs of their own here, so that they agree less than those of most
tracks in a video. The square root in `server.identity.coherence` was chosen on every second person; what is printed are
the others. Part of `make bench-clusters`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.domain import OperatingPoint
from server.identity.coherence import as_of_one_look
from server.inference.manifest import load_manifest
from tests.benchmarks.embedded import SFACE, EmbeddedSet, celeba247
from tests.benchmarks.report import Bar, Figure, finish

FAR = 1e-3
"""Of one comparison; at smaller rates these people give too few false accepts to tell."""
FEWEST = 10
"""Photographs of a person, at least."""
REPEATS = 40
NO_MORE = 1.25
"""Times a single picture's false accepts: what REPEATS galleries can tell from 1."""


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    given = parser.parse_args()
    points = load_manifest(given.models_dir / SFACE).operating_points()
    finish("tracks", false_accepts(celeba247(given.models_dir), points))


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Everybody's template against everybody's probe, in several galleries.

    Attributes:
        distances: (G, N, N) squared L2, row the template, column the probe; the diagonal is of one person.
        coherences: (G, N, 1) of the templates.
    """

    distances: NDArray[np.float64]
    coherences: NDArray[np.float64]

    def accepted(self, threshold: float) -> tuple[float, float]:
        """Shares of the strangers and of the very people who are within a threshold."""
        same = np.eye(self.distances.shape[1], dtype=bool)
        within = self.distances <= threshold
        return float(within[:, ~same].mean()), float(within[:, same].mean())

    def mended(self) -> Comparisons:
        """The distances as the gallery counts them."""
        return Comparisons(as_of_one_look(self.distances, self.coherences), self.coherences)


def false_accepts(embedded: EmbeddedSet, points: Sequence[OperatingPoint]) -> list[Figure]:
    """How often strangers are accepted, over how often they are with one picture on either side."""
    held_out = embedded.take(embedded.found & (embedded.people % 2 == 1))
    threshold = next(point.distance for point in points if point.far == FAR)
    single_far, single_val = _compared(held_out, 1, 1).accepted(threshold)
    figures = [
        Figure(f"one picture against one at {threshold:.3f}: FAR", single_far, ""),
        Figure("one picture against one: VAL", single_val, ""),
    ]
    for template, probe in ((2, 1), (3, 1), (5, 1), (1, 5), (5, 5)):
        compared = _compared(held_out, template, probe)
        plain, _ = compared.accepted(threshold)
        far, val = compared.mended().accepted(threshold)
        what = f"template of {template}, probe of {probe}"
        figures.append(Figure(f"{what}: FAR over that, distances as they are", plain / single_far, "x"))
        if template == 1:
            continue
        bar = (Bar.AT_MOST, NO_MORE) if probe == 1 else (None, None)
        figures.append(Figure(f"{what}: the same as the gallery counts them", far / single_far, "x", *bar))
        figures.append(Figure(f"{what}: VAL as the gallery counts them", val, ""))
    return figures


def _compared(embedded: EmbeddedSet, template: int, probe: int) -> Comparisons:
    random = np.random.default_rng([template, probe])
    distances, coherences = zip(*(_gallery(embedded, template, probe, random) for _ in range(REPEATS)), strict=True)
    return Comparisons(np.stack(distances), np.stack(coherences))


def _gallery(
    embedded: EmbeddedSet, template: int, probe: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, N) distances and (N, 1) coherences of the templates; one photograph is embedded as enrolment does it."""
    templates, probes = [], []
    for person in np.unique(embedded.people):
        rows = random.permutation(np.flatnonzero(embedded.people == person))
        if len(rows) >= FEWEST:
            kept = embedded.mirrored if template == 1 else embedded.single
            templates.append(kept[rows[-template:]].mean(axis=0, dtype=np.float64))
            probes.append(embedded.single[rows[:probe]].mean(axis=0, dtype=np.float64))
    coherences = np.linalg.norm(templates, axis=1, keepdims=True)
    units = probes / np.linalg.norm(probes, axis=1, keepdims=True)
    return 2 - 2 * (templates / coherences) @ units.T, np.minimum(coherences, 1)


if __name__ == "__main__":
    main()
