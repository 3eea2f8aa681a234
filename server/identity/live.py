"""One gallery in memory: the state that searches see, and how changes and folds replace it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import numpy as np

from server.domain import Embedding, Embeddings, GalleryName
from server.identity.admission import check_fingerprint
from server.identity.calibrate import calibrate
from server.identity.change import GalleryChange
from server.identity.coherence import counted
from server.identity.graph import Graph
from server.identity.graph_state import GraphShape
from server.identity.hnsw import HnswIndex
from server.identity.index import BruteForceIndex
from server.identity.index_settings import IndexSettings
from server.identity.match import Candidate
from server.identity.negatives import NegativeFaces
from server.identity.records import GallerySearch
from server.identity.roster import GONE, Roster
from server.identity.rows import TemplateRows
from server.identity.snapshot import Snapshot, SnapshotHeader, write_snapshot

_SPARE = 8
"""Templates asked for beyond four per wanted person."""


@dataclass(frozen=True, slots=True)
class View:
    """A consistent state of a gallery.

    Attributes:
        revision: of the last change in it.
        stamp: of that change in the change log.
        fingerprint: of the model that made the embeddings; empty while there are none.
        index: the templates; empty when they are of another fingerprint than the server's.
        roster: the people.
        negatives: who they are not, by identity key.
        coherences: of the templates that are means of several looks, by template key.
    """

    revision: int
    stamp: int
    fingerprint: str
    index: BruteForceIndex | HnswIndex
    roster: Roster
    negatives: Mapping[int, NegativeFaces] = field(default_factory=dict)
    coherences: Mapping[int, float] = field(default_factory=dict)

    def after(self, changes: Sequence[GalleryChange]) -> View:
        """The state with these changes, which are in order and follow it."""
        index = self.index
        grown = [change for change in changes if change.added]
        if grown:
            index = index.added(
                np.concatenate([change.added for change in grown]),
                np.concatenate([[c.identity_key] * len(c.added) for c in grown]),
                np.concatenate([change.vectors for change in grown]),
            )
        removed = [key for change in changes for key in change.removed]
        if removed:
            index = index.removed(np.array(removed, np.int64))
        last = changes[-1]
        roster = self.roster.changed({change.identity_key: change.person for change in changes})
        return View(
            last.revision,
            last.stamp,
            last.fingerprint,
            index,
            roster,
            self._negatives_after(changes),
            self._coherences_after(changes, removed),
        )

    def _negatives_after(self, changes: Sequence[GalleryChange]) -> Mapping[int, NegativeFaces]:
        negatives = dict(self.negatives)
        for change in changes:
            if change.person is GONE:
                negatives.pop(change.identity_key, None)
            elif change.negatives is not None:
                negatives[change.identity_key] = change.negatives
        return {key: faces for key, faces in negatives.items() if len(faces)}

    def _coherences_after(self, changes: Sequence[GalleryChange], removed: Sequence[int]) -> Mapping[int, float]:
        added = {key: coherence for change in changes for key, coherence in change.coherences.items()}
        gone = set(removed)
        if not added and not gone & self.coherences.keys():
            return self.coherences
        return {key: value for key, value in {**self.coherences, **added}.items() if key not in gone}

    def forbids(self, identity_key: int, probe: Embedding, distance: float) -> bool:
        """True when it was said of a face like this that it is not this person, whose nearest template is so far."""
        faces = self.negatives.get(identity_key)
        return faces is not None and faces.forbid(probe, distance)


class Fold(Enum):
    """What the index needs."""

    NOTHING = "nothing"
    COMPACT = "compact"
    BUILD = "build"
    EXTEND = "extend"


def fold_for(index: BruteForceIndex | HnswIndex, settings: IndexSettings) -> Fold:
    """What brings an index back into its bounds."""
    rows = index.rows
    if isinstance(index, BruteForceIndex):
        if rows.living > settings.exact_limit:
            return Fold.BUILD
        dead = rows.count - rows.living
        return Fold.COMPACT if dead > settings.removed_share * rows.count else Fold.NOTHING
    base = len(index.graph)
    if rows.living <= settings.exact_limit // 2:
        return Fold.COMPACT
    if index.graph_dead_count > settings.removed_share * base:
        return Fold.BUILD
    if index.delta_count > max(settings.delta_limit, settings.delta_share * base):
        return Fold.EXTEND
    return Fold.NOTHING


class LiveGallery:
    """A gallery that is searched while it changes.

    Searches take the state as it is and never wait. Changes come from the writing thread, folds from the folding
    thread; each replaces the state by another one.

    Attributes:
        name: resource name.
        key: the store's key of it.
        problem: the last trouble with the index; empty when there was none.

    Without a path for its snapshot it keeps none.
    """

    def __init__(
        self, name: GalleryName, key: int, view: View, *, settings: IndexSettings, snapshot: Path | None
    ) -> None:
        self.name = name
        self.key = key
        self.problem = ""
        self._view = view
        self._settings = settings
        self._snapshot = snapshot
        self._replacing = threading.Lock()

    @property
    def view(self) -> View:
        """The state of now."""
        return self._view

    @property
    def needs_fold(self) -> bool:
        """True when the index is out of its bounds."""
        return fold_for(self._view.index, self._settings) is not Fold.NOTHING

    def apply(self, changes: Sequence[GalleryChange]) -> None:
        """Makes committed changes visible."""
        with self._replacing:
            self._view = self._view.after(changes)

    def fold(self, cancelled: Callable[[], bool]) -> None:
        """Brings the index back into its bounds and keeps a new graph on disk.

        Raises:
            CancelledError: soon after `cancelled` answers True.
            OSError: when the snapshot could not be written; the index is folded all the same.
        """
        view = self._view
        fold = fold_for(view.index, self._settings)
        if fold is Fold.COMPACT:
            self._replace(view.index.rows.compacted(), None)
            if self._snapshot is not None:
                self._snapshot.unlink(missing_ok=True)
        elif fold is Fold.BUILD:
            base = view.index.rows.compacted()
            shape = GraphShape(base.dimension, self._settings.links, self._settings.build_width)
            threads = self._settings.build_threads
            graph = Graph.built(base.vectors, shape, threads=threads, cancelled=cancelled)
            self._measure(graph, base)
            self._replace(base, graph)
            self._keep(view, base, graph)
        elif fold is Fold.EXTEND and isinstance(view.index, HnswIndex):
            rows = view.index.rows
            threads = self._settings.build_threads
            graph = view.index.graph.extended(rows.vectors, threads=threads, cancelled=cancelled)
            self._measure(graph, rows)
            self._replace(rows, graph)
            self._keep(view, rows, graph)

    def _measure(self, graph: Graph, rows: TemplateRows) -> None:
        calibrate(
            graph,
            rows.vectors,
            recall=self._settings.recall,
            threads=self._settings.build_threads,
        )

    def _replace(self, base: TemplateRows, graph: Graph | None) -> None:
        """Puts in these rows, with what happened since they were taken."""
        with self._replacing:
            rows = base.caught_up(self._view.index.rows)
            index = HnswIndex(rows, graph) if graph else BruteForceIndex(rows)
            self._view = replace(self._view, index=index)

    def _keep(self, view: View, rows: TemplateRows, graph: Graph) -> None:
        if self._snapshot is None:
            return
        header = SnapshotHeader(str(self.name), view.fingerprint, view.revision, view.stamp)
        keys = rows.keys[: len(graph)]
        write_snapshot(self._snapshot, Snapshot(header, keys, graph.state()))

    def search(self, queries: Embeddings, limit: int, fingerprint: str) -> GallerySearch:
        """The nearest people to each query.

        Args:
            queries: (N, D), checked.
            limit: people per query, at least 1.
            fingerprint: of the model that made the queries.

        Raises:
            FingerprintError: when the gallery's embeddings were made by another model.
        """
        view = self._view
        check_fingerprint(self.name, view.fingerprint, fingerprint)
        return GallerySearch(
            candidates=tuple(self._nearest(view, query, limit) for query in queries),
            revision=view.revision,
            identity_count=view.roster.count,
            template_count=len(view.index),
        )

    def _nearest(self, view: View, query: Embedding, limit: int) -> tuple[Candidate, ...]:
        """One candidate per person; asks for more templates until enough people are among them.

        Whoever the face was said not to be is left out, as if not enrolled. No template that was not found is nearer
        than the farthest that was, so the candidates are the nearest once they are all within that.
        """
        index, asked = view.index, 4 * limit + _SPARE
        while True:
            (labels,), (found,) = index.search(query[None], asked)
            distances = counted(labels, found, view.coherences)
            order = np.argsort(distances, kind="stable")
            owners = index.rows.owners[index.rows.positions(labels)]
            people, nearest = np.unique(owners, return_index=True)
            plain = dict(zip(people.tolist(), found[nearest].tolist(), strict=True))
            firsts = [
                first
                for first in order[np.sort(np.unique(owners[order], return_index=True)[1])]
                if not view.forbids(int(owners[first]), query, plain[int(owners[first])])
            ][:limit]
            enough = len(firsts) == limit and distances[firsts[-1]] <= found[-1]
            if enough or len(labels) == len(index):
                break
            asked *= 4
        shown = [view.roster[int(owners[first])] for first in firsts]
        return tuple(
            Candidate(
                self.name.identity(person.identity_id),
                person.display_name,
                float(distances[first]),
                str(labels[first]),
            )
            for person, first in zip(shown, firsts, strict=True)
        )
