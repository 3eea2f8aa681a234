"""Holds a gallery of 100,000 people to its bars: `python -m tests.benchmarks.gallery`.

Two kinds of synthetic unit vectors. "faces" has the moments of SFace's embeddings of everyday photos: 114 effective
dimensions of 128, a mean of length 0.3, strangers 1.83 apart, and probes 0.65 from their template. "uniform" is the
same on the whole sphere. Recall is measured against exact search. Latencies are those of one query at a time. A p99
is held to its bar over the searches that ran undisturbed: those during which the scheduler took the processor away for
other work (involuntary context switches) say more about the machine's other work. The p99 of all is reported beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings, GalleryName, IdentityName, Quality
from server.identity.gallery import Galleries
from server.identity.index_settings import IndexSettings
from server.identity.records import GallerySearch, NewPerson, NewTemplate
from tests.benchmarks.report import OUT, Bar, Figure, finish

DIMENSION = 128
GALLERY = GalleryName()
QUALITY = Quality(0.9, 120.0, 20.0, 2.0, 1.0, 0.5, 130.0, 0.95)
PROBES = 2_000
FACE_SPECTRUM = np.arange(1, DIMENSION + 1) ** -0.12
FACE_MEAN = 0.3
PROBE_NOISE = 1.1
"""Of a probe, as a share of the spread between people: a squared L2 of 0.65 on average."""


@dataclass(frozen=True, slots=True)
class People:
    """Embeddings of enrolled people, of other photos of some of them, and of strangers."""

    enrolled: Embeddings
    probes: Embeddings
    strangers: Embeddings


def people(kind: str, count: int) -> People:
    """Embeddings of one kind, the same in every run."""
    random = np.random.default_rng(7)
    faces = kind == "faces"
    spectrum = FACE_SPECTRUM / np.linalg.norm(FACE_SPECTRUM) if faces else np.full(DIMENSION, DIMENSION**-0.5)
    mean = np.eye(DIMENSION)[DIMENSION // 2] * (FACE_MEAN if faces else 0)
    enrolled = unit(mean + random.standard_normal((count, DIMENSION)) * spectrum)
    noise = random.standard_normal((PROBES, DIMENSION)) * spectrum * PROBE_NOISE
    strangers = mean + random.standard_normal((PROBES, DIMENSION)) * spectrum
    return People(enrolled, unit(enrolled[random.integers(0, count, PROBES)] + noise), unit(strangers))


def unit(vectors: NDArray[np.float64]) -> Embeddings:
    normalised: Embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return normalised


def template(vector: NDArray[np.float32]) -> NewTemplate:
    return NewTemplate(vector, QUALITY, "benchmark")


@contextmanager
def opened(path: Path, build_threads: int = 1) -> Iterator[Galleries]:
    galleries = Galleries.open(
        path,
        fingerprint="benchmark",
        dimension=DIMENSION,
        index=IndexSettings(build_threads=build_threads),
    )
    try:
        yield galleries
    finally:
        galleries.close()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass
class Latencies:
    """Of searches one after the other, in milliseconds.

    Attributes:
        all: every one.
        undisturbed: those during which the scheduler did not take the processor away.
    """

    all: list[float] = field(default_factory=list)
    undisturbed: list[float] = field(default_factory=list)

    def time(self, search: Callable[[], GallerySearch]) -> GallerySearch:
        """Runs a search and notes how long it took."""
        switches, start = involuntary_switches(), time.perf_counter()
        found = search()
        took = (time.perf_counter() - start) * 1e3
        self.all.append(took)
        if involuntary_switches() == switches:
            self.undisturbed.append(took)
        return found

    def figures(self, name: str) -> list[Figure]:
        """p50, p99 and how calm it was."""
        return [
            Figure(f"{name} p50", float(np.median(self.all)), "ms"),
            Figure(f"{name} p99, undisturbed", float(np.percentile(self.undisturbed, 99)), "ms", Bar.AT_MOST, 5),
            Figure(f"{name} p99, all", float(np.percentile(self.all, 99)), "ms"),
            Figure(f"{name}, disturbed by other work", 100 * (1 - len(self.undisturbed) / len(self.all)), "%"),
        ]


def involuntary_switches() -> int:
    """How often the scheduler has taken the processor away from this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def latencies(galleries: Galleries, queries: Embeddings) -> Latencies:
    """Of these queries."""
    taken = Latencies()
    for query in queries:
        taken.time(partial(galleries.search, GALLERY, query[None], limit=2))
    return taken


def recall(galleries: Galleries, enrolled: Embeddings, queries: Embeddings) -> float:
    """Share of queries whose nearest person is the exact one, or exactly as near."""
    hits = 0
    for query in queries:
        (found,) = galleries.search(GALLERY, query[None], limit=1).candidates
        difference = enrolled[np.argmax(enrolled @ query)] - query
        hits += found[0].distance <= np.vecdot(difference, difference) + 1e-6
    return float(hits / len(queries))


def setup(path: Path, enrolled: Embeddings) -> list[Figure]:
    """Enrols everybody and builds the index."""
    with opened(path, build_threads=os.cpu_count() or 1) as galleries:
        crowd = [NewPerson(f"Person {i}", (template(v),)) for i, v in enumerate(enrolled)]
        load = timed(lambda: galleries.enrol_many(GALLERY, crowd, at_ns=0))
        fold = timed(lambda: galleries.settle(1_800))
        statistics = galleries.statistics(GALLERY)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return [
        Figure("bulk enrolment", len(enrolled) / load, "people/s"),
        Figure("set-up: bulk enrolment and index", load + fold, "s"),
        Figure("index: candidates kept while searching", statistics.index_width, "ef"),
        Figure("index: recall it measured on itself", statistics.index_recall, ""),
        Figure("data directory", size / 2**20, "MiB"),
    ]


def searching(path: Path, crowd: People) -> list[Figure]:
    """Start, latency and recall."""
    start = time.perf_counter()
    with opened(path) as galleries:
        galleries.search(GALLERY, crowd.probes[:1], limit=2)
        ready = time.perf_counter() - start
        graph = galleries.statistics(GALLERY).index_base_count
        latencies(galleries, crowd.probes[:200])
        taken = latencies(galleries, np.concatenate([crowd.probes, crowd.strangers]))
        wanted = 0.9 * len(crowd.enrolled) if len(crowd.enrolled) > IndexSettings().exact_limit else 0
        found = recall(galleries, crowd.enrolled, crowd.probes)
        strangers = recall(galleries, crowd.enrolled, crowd.strangers)
    return [
        Figure("reopen to first answer", ready, "s", Bar.AT_MOST, 10),
        Figure("templates in the graph after reopening", graph, "", Bar.AT_LEAST, wanted),
        *taken.figures("search"),
        Figure("recall@1, enrolled people", found, "", Bar.AT_LEAST, 0.995),
        # Strangers on a sphere without structure have no near neighbour worth finding, and nobody is named for it.
        Figure("recall@1, strangers", strangers, ""),
    ]


def changing(path: Path, crowd: People) -> list[Figure]:
    """Enrolment and deletion while a loop searches."""
    with opened(path) as galleries:
        taken = Latencies()
        newcomer = unit(np.random.default_rng(3).standard_normal((1, DIMENSION)))
        seen: list[float] = []
        stop = threading.Event()

        def search() -> None:
            while not stop.is_set():
                turn = len(taken.all)
                query = newcomer if turn % 2 else crowd.probes[turn % PROBES][None]
                found = taken.time(partial(galleries.search, GALLERY, query, limit=2))
                if not seen and found.candidates[0][0].display_name == "Newcomer":
                    seen.append(time.perf_counter())

        searcher = threading.Thread(target=search)
        searcher.start()
        time.sleep(0.5)
        asked = time.perf_counter()
        receipt = enrol(galleries, newcomer[0], "Newcomer")
        answered = time.perf_counter()
        while not seen:
            time.sleep(0.001)
        writes = [timed(partial(enrol, galleries, v, "Another")) for v in crowd.strangers[:300]]
        stop.set()
        searcher.join()
        name = IdentityName.parse(receipt)
        removal = timed(lambda: galleries.delete(name, at_ns=0))
        gone = galleries.search(GALLERY, newcomer, limit=1).candidates[0][0].identity != receipt
    return [
        Figure("enrolment to first sight by a running search", seen[0] - asked, "s", Bar.AT_MOST, 1),
        Figure("enrolment acknowledged", (answered - asked) * 1e3, "ms"),
        *taken.figures("search while enrolling"),
        Figure("enrolment p50 while searching", float(np.median(writes)) * 1e3, "ms"),
        Figure("deletion", removal * 1e3, "ms"),
        Figure("deleted person found", float(not gone), "", Bar.AT_MOST, 0),
    ]


def enrol(galleries: Galleries, vector: NDArray[np.float32], name: str) -> str:
    receipt = galleries.enrol(GALLERY, identity=None, display_name=name, templates=[template(vector)], at_ns=0)
    return receipt.identity.name


def enrol_all(galleries: Galleries, vectors: Embeddings) -> None:
    """Enrols them one after the other."""
    for vector in vectors:
        enrol(galleries, vector, "Somebody")


def writing(path: Path, crowd: People) -> list[Figure]:
    """Throughput of single and of grouped enrolments."""
    with opened(path) as galleries:
        alone = timed(partial(enrol_all, galleries, crowd.strangers[:300]))
        lots = np.array_split(crowd.strangers[:1600], 32)
        threads = [threading.Thread(target=enrol_all, args=(galleries, lot)) for lot in lots]

        def all_of_them() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        together = timed(all_of_them)
    return [
        Figure("enrolment, one at a time", 300 / alone, "people/s"),
        Figure("enrolment, 32 at a time", 1600 / together, "people/s"),
    ]


def figures(kind: str, count: int, folder: Path) -> list[Figure]:
    """Everything about one kind of vectors."""
    crowd = people(kind, count)
    rounds = [setup(folder, crowd.enrolled), searching(folder, crowd), changing(folder, crowd), writing(folder, crowd)]
    return [replace(figure, name=f"{kind}: {figure.name}") for seen in rounds for figure in seen]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identities", type=int, default=100_000, help="people in the gallery")
    parser.add_argument("--kinds", nargs="+", choices=["faces", "uniform"], default=["faces", "uniform"])
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    seen: list[Figure] = []
    for kind in options.kinds:
        print(f"{kind}: enrolling {options.identities} people and measuring; takes some minutes", flush=True)
        with tempfile.TemporaryDirectory(dir=OUT, prefix="gallery-") as folder:
            seen += figures(kind, options.identities, Path(folder))
    finish("gallery", seen)


if __name__ == "__main__":
    main()
