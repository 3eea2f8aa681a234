"""Strangers: online clustering against offline, what a new face costs, false names of pictures and of tracks,
calibrated confidence, who is known after one pass, the past against a plain model, and a stage performance.

    python -m tests.benchmarks.clusters
    python -m tests.benchmarks.clusters --write-calibration   fit the calibrations and put them into the catalogue

LFW's people with at least two pictures, and celeba247, each embedded by the server's own code with the default models
(once: the embeddings are kept in benchmarks-out). The settings' defaults were chosen on every second person; what is
printed here are the others. Offline methods get the threshold that is best on the first half of the same set.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from server.domain import Look, Match, OperatingPoint
from server.identity.cluster import Clusters
from server.identity.cluster_settings import ClusterSettings
from server.identity.corroboration import corroborated
from server.identity.match import Candidate, decide, threshold_for
from server.identity.regrouping import ClusterRows, FaceRow, GroupRow, UnknownFace
from server.inference.manifest import load_manifest
from server.settings import Settings
from tests.benchmarks.calibration import calibration, write_calibrations
from tests.benchmarks.embedded import SFACE, EmbeddedSet, celeba247, celeba247_far, lfw
from tests.benchmarks.offline_clustering import METHODS, offline
from tests.benchmarks.online_clustering import faces_of, online, tracks_of
from tests.benchmarks.report import OUT, Bar, Figure, finish
from tests.benchmarks.tracks import false_accepts

SEEDS = range(5)
PRECISION = 0.995
TRACK_LOOKS = (2, 3, 5)
SIZES = MappingProxyType({"few": 1_000, "some": 10_000, "many": 100_000})
FACES_EACH = 3
TIMED = 400
ENROLLED = 1_000
SEARCH_FAR = 1e-3
FAR_PX, FAR_PICTURES = 20, 6
"""Shorter side of a face that is far away, as those in the back of a hall; pictures of each person."""
TRACKS = 5_000
MIXED = 1e-3
STAGE = "tests/e2e/test_strangers.py"
NOT_TWO_PEOPLE = (("Diana_Taurasi", "Shavon_Earp"), ("Carolina_Moraes", "Isabela_Moraes"))
"""People of LFW whom nobody can tell apart: a woman who is there under two names, and twins."""


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--write-calibration", action="store_true", help="fit and write, and measure nothing")
    given = parser.parse_args()
    if given.write_calibration:
        write_calibrations(given.models_dir)
        return
    points = load_manifest(given.models_dir / SFACE).operating_points()
    settings = ClusterSettings(points)
    faces, famous = lfw(given.models_dir), celeba247(given.models_dir)
    figures = clustering(_repeated(faces), settings) + clustering(famous, settings)
    figures += grouped_tracks(famous, settings)
    figures += cost(settings)
    figures += false_names(faces, points)
    figures += false_accepts(famous, points)
    figures += calibration(faces, famous)
    figures += one_pass(celeba247_far(given.models_dir, face_px=FAR_PX, each=FAR_PICTURES), settings)
    figures += past()
    figures.append(stage())
    finish("clusters", figures)


def _repeated(embedded: EmbeddedSet) -> EmbeddedSet:
    """The people with at least two pictures."""
    return embedded.take(np.bincount(embedded.people)[embedded.people] >= 2)


def clustering(embedded: EmbeddedSet, settings: ClusterSettings) -> list[Figure]:
    """Online against offline, on the half of the people that nothing was chosen on."""
    fit, held_out = (embedded.take(embedded.people % 2 == half) for half in (0, 1))
    best = 0.0
    figures = []
    for method in METHODS:
        found = offline(method, (fit.single, fit.people), (held_out.single, held_out.people))
        best = max(best, found.scores.f1)
        figures.append(
            Figure(f"{embedded.name}: B-cubed F1, {method.name} at {found.setting:.3g}", found.scores.f1, "")
        )
    faces = faces_of(held_out)
    seen = [online(faces, held_out.people, settings, seed) for seed in track(SEEDS, f"{embedded.name}, online")]
    f1 = float(np.mean([one.f1 for one in seen]))
    spread = max(one.f1 for one in seen) - min(one.f1 for one in seen)
    precision = min(one.pairwise_precision for one in seen)
    return [
        *figures,
        Figure(f"{embedded.name}: B-cubed F1, online", f1, ""),
        Figure(f"{embedded.name}: B-cubed precision, online", float(np.mean([one.precision for one in seen])), ""),
        Figure(f"{embedded.name}: B-cubed recall, online", float(np.mean([one.recall for one in seen])), ""),
        Figure(f"{embedded.name}: F1, online over best offline", round(f1 / best, 4), "x", Bar.AT_LEAST, 1.0),
        Figure(f"{embedded.name}: pairwise precision, worst order", precision, "", Bar.AT_LEAST, PRECISION),
        Figure(f"{embedded.name}: spread of F1 over {len(SEEDS)} orders", spread, "", Bar.AT_MOST, 0.01),
    ]


def grouped_tracks(embedded: EmbeddedSet, settings: ClusterSettings) -> list[Figure]:
    """Tracks of several looks each, as a server has them, on the half of the people that nothing was chosen on."""
    held_out = embedded.take(embedded.found & (embedded.people % 2 == 1))
    figures = []
    for looks in TRACK_LOOKS:
        tracks, people = tracks_of(held_out, looks)
        seen = [online(tracks, people, settings, seed) for seed in SEEDS]
        what = f"{embedded.name}, tracks of {looks} looks"
        precision = min(one.pairwise_precision for one in seen)
        figures.append(Figure(f"{what}: B-cubed F1, online", float(np.mean([one.f1 for one in seen])), ""))
        figures.append(Figure(f"{what}: pairwise precision, worst order", precision, ""))
    return figures


@dataclass(frozen=True, slots=True)
class Cost:
    """What a new face costs, and what becomes of it.

    Attributes:
        place_ms: placing and applying.
        consolidate_ms: the consolidation that follows.
        at_once: whether it joined its own group; None for somebody new.
        settled: whether it is in its own group afterwards; None for somebody new.
    """

    place_ms: float
    consolidate_ms: float
    at_once: bool | None
    settled: bool | None


def cost(settings: ClusterSettings) -> list[Figure]:
    """What a new face costs among few and among many, timed in turns so that both see the same machine."""
    crowds = {name: _crowd(settings, count) for name, count in SIZES.items()}
    spent: dict[str, list[Cost]] = {name: [] for name in SIZES}
    for round_ in range(TIMED):
        for name, clusters in crowds.items():
            spent[name].append(_one(clusters, SIZES[name], round_))
    place = {name: float(np.median([one.place_ms for one in costs])) for name, costs in spent.items()}
    settle = {name: float(np.mean([one.consolidate_ms for one in costs])) for name, costs in spent.items()}
    there = {name: [one for one in costs if one.settled is not None] for name, costs in spent.items()}
    return [
        *(
            _share(f"joins its group at once, among {SIZES[name]:,}", [one.at_once for one in there[name]])
            for name in there
        ),
        *(
            _share(f"is there once settled, among {SIZES[name]:,}", [one.settled for one in there[name]])
            for name in there
        ),
        *(Figure(f"placing a face among {SIZES[name]:,}", value, "ms") for name, value in place.items()),
        *(Figure(f"consolidating after it among {SIZES[name]:,}", value, "ms") for name, value in settle.items()),
        Figure("placing among many over placing among few", place["many"] / place["few"], "x", Bar.AT_MOST, 1.5),
        Figure("placing among many over among some", place["many"] / place["some"], "x"),
        Figure("consolidating among many over among few", settle["many"] / settle["few"], "x"),
    ]


def _share(what: str, found: Sequence[bool | None]) -> Figure:
    return Figure(f"a new face of somebody known {what}", sum(map(bool, found)) / len(found), "")


def _crowd(settings: ClusterSettings, count: int) -> Clusters:
    """Unknown people with some faces each, as far apart as real ones."""
    people = np.arange(count) // FACES_EACH
    vectors = _faces(people, np.random.default_rng(1))
    rows = ClusterRows(
        faces=tuple(FaceRow(UnknownFace(i + 1, vectors[i], 0.8), int(people[i]) + 1) for i in range(count)),
        groups=tuple(GroupRow(int(person) + 1, known=True) for person in np.unique(people)),
        next_group=int(people[-1]) + 2,
    )
    clusters = Clusters.restored(rows, settings, vectors.shape[1])
    while clusters.needs_fold:
        clusters.fold(lambda: False)
    return clusters


def _faces(people: NDArray[np.int64], random: np.random.Generator, dimension: int = 128) -> NDArray[np.float32]:
    """Random faces of numbered people: those of one person 0.65 apart, strangers 1.8, as with SFace on LFW."""
    common = np.zeros(dimension)
    common[0] = 1
    numbers, place = np.unique(people, return_inverse=True)
    own = np.stack([np.random.default_rng([7, int(number)]).normal(size=dimension) for number in numbers])
    centres = own[place] / np.sqrt(dimension)
    noise = random.normal(size=centres.shape) / np.sqrt(dimension)
    vectors = 0.31 * common + 0.76 * centres + 0.57 * noise
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _one(clusters: Clusters, count: int, round_: int) -> Cost:
    """Every second face is of somebody who is there, the others are new people."""
    known = bool(round_ % 2)
    person = round_ % (count // FACES_EACH) if known else count + round_
    (vector,) = _faces(np.array([person]), np.random.default_rng([3, round_]))
    face = UnknownFace(count + 1 + round_, vector, 0.8)
    start = time.perf_counter()
    clusters.apply(clusters.place(face).regrouping)
    placed = time.perf_counter()
    at_once = clusters.group_of(face.key) == person + 1
    began = time.perf_counter()
    while clusters.unsettled:
        clusters.apply(clusters.consolidate())
    spent = Cost(1e3 * (placed - start), 1e3 * (time.perf_counter() - began), None, None)
    return replace(spent, at_once=at_once, settled=clusters.group_of(face.key) == person + 1) if known else spent


def one_pass(far: EmbeddedSet, settings: ClusterSettings) -> list[Figure]:
    """Tracks of people far away: how often their looks corroborate each other, and how often those at two people do.

    A track is replayed with three photographs of a person, which differ more than three frames of one visit; a mixed
    one has two of one person and one of another, as after a cut that tracking missed. The half of the people that the
    rule was not chosen on.
    """
    held_out = far.take((far.people % 2 == 1) & (far.quality >= settings.min_quality))
    of = {person: np.flatnonzero(held_out.people == person) for person in np.unique(held_out.people).tolist()}
    of = {person: rows for person, rows in of.items() if len(rows) >= settings.corroborating_looks}
    random = np.random.default_rng(0)
    one, two = [], []
    for _ in range(TRACKS):
        person, other = random.choice(list(of), 2, replace=False).tolist()
        rows = random.permutation(of[person])[: settings.corroborating_looks]
        one.append(corroborated(_looks(held_out, rows, settings), settings))
        rows[-1] = random.choice(of[other])
        two.append(corroborated(_looks(held_out, rows, settings), settings))
    what = f"one pass, faces of {FAR_PX} pixels: tracks that become known"
    return [
        Figure("one pass: median quality of the far faces", float(np.median(held_out.quality)), ""),
        Figure(f"{what}, of one person", float(np.mean(one)), ""),
        Figure(f"{what}, of two people in one track", float(np.mean(two)), "", Bar.AT_MOST, MIXED),
    ]


def _looks(embedded: EmbeddedSet, rows: NDArray[np.int64], settings: ClusterSettings) -> list[Look]:
    return [
        Look(embedded.single[row], float(embedded.quality[row]), at * settings.corroborating_ns)
        for at, row in enumerate(rows.tolist())
    ]


def past() -> list[Figure]:
    """What `make bench-sightings` finds, in a process of its own, which it restarts and kills children of."""
    report = OUT / "sightings.json"
    report.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "tests.benchmarks.sightings"], check=False)
    rows = json.loads(report.read_text())["figures"]
    return [
        Figure(f"past: {row['name']}", row["value"], row["unit"], Bar(row["side"]) if row["side"] else None, row["bar"])
        for row in rows
    ]


def stage() -> Figure:
    """Whether the test holds that plays a stage performance to a server which knows nobody."""
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", STAGE], check=False, capture_output=True, text=True
    )
    print(told.stdout[-2_000:], flush=True)
    shown = told.returncode == 0 and "skipped" not in told.stdout
    return Figure(f"{STAGE}: one group for each of two people in one pass", float(shown), "", Bar.AT_LEAST, 1)


def false_names(embedded: EmbeddedSet, points: Sequence[OperatingPoint]) -> list[Figure]:
    """Of people who are not enrolled, the share of pictures that get a name; not the thresholds' people."""
    others = embedded.take((embedded.people % 2 == 1) & embedded.found)
    names = np.array([path.partition("/")[0] for path in others.paths.tolist()])
    probes, named, excused = 0, 0, 0
    for seed in SEEDS:
        people = np.random.default_rng(seed).permutation(np.unique(others.people))
        enrolled = np.isin(others.people, people[:ENROLLED])
        templates, strangers = others.take(enrolled), others.take(~enrolled)
        threshold = threshold_for(points, SEARCH_FAR, len(templates))
        distances = 2 - 2 * strangers.single.astype(np.float64) @ templates.mirrored.T
        probes += len(strangers)
        for name, row in zip(names[~enrolled].tolist(), distances, strict=True):
            given = _named(row, names[enrolled], threshold)
            named += given != ""
            excused += tuple(sorted((name, given))) in NOT_TWO_PEOPLE
    what = f"false names: {probes:,} searches against {ENROLLED:,} at FAR {SEARCH_FAR:g}"
    return [
        Figure(what, named / probes, "", Bar.AT_MOST, 1.5e-3),
        Figure(f"{what}, without twins and one woman under two names", (named - excused) / probes, ""),
    ]


def _named(distances: NDArray[np.float64], people: NDArray[np.str_], threshold: float) -> str:
    """The name that a face gets; empty for none."""
    order = np.argsort(distances)
    _, first = np.unique(people[order], return_index=True)
    nearest = order[np.sort(first)[:2]]
    candidates = [Candidate(str(people[row]), "", float(distances[row]), "") for row in nearest]
    answer = decide(candidates, threshold=threshold, min_margin=Settings.model_fields["min_margin"].default)
    return answer.identity if isinstance(answer, Match) else ""


if __name__ == "__main__":
    main()
