"""From the store, and a snapshot when it can be trusted, to a gallery in memory."""

from __future__ import annotations

import logging
from pathlib import Path

import apsw
import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings, GalleryName
from server.errors import EmbeddingError, StorageError
from server.identity import reads
from server.identity.graph import Graph
from server.identity.graph_state import GraphError, GraphShape, GraphState
from server.identity.hnsw import HnswIndex
from server.identity.index import BruteForceIndex
from server.identity.index_settings import IndexSettings
from server.identity.live import LiveGallery, View
from server.identity.reads import GalleryRow, StoredTemplates
from server.identity.roster import Roster
from server.identity.rows import TemplateRows
from server.identity.snapshot import Snapshot, SnapshotError, read_snapshot
from server.identity.vectors import check_embeddings

_logger = logging.getLogger(__name__)


class Loader:
    """Loads the galleries of one data directory.

    Attributes:
        fingerprint: of the server's models; embeddings of another one stay where they are.
        dimension: of the server's embeddings.
        settings: of the indexes.
        snapshots: directory of the snapshots.
        keeps_snapshots: whether this process writes them; of several that share the directory one does.
    """

    def __init__(
        self,
        *,
        fingerprint: str,
        dimension: int,
        settings: IndexSettings,
        snapshots: Path,
        keeps_snapshots: bool = True,
    ) -> None:
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.settings = settings
        self.snapshots = snapshots
        self.keeps_snapshots = keeps_snapshots

    def new(self, name: GalleryName, key: int) -> LiveGallery:
        """A gallery that came into being."""
        view = View(0, -1, "", BruteForceIndex.empty(self.dimension), Roster.of({}))
        return self._live(name, key, view)

    def load(self, db: apsw.Connection, row: GalleryRow) -> LiveGallery:
        """A stored gallery, ready to be searched: exactly when there is no good snapshot of a graph.

        Raises:
            StorageError: when an embedding is damaged.
        """
        index: BruteForceIndex | HnswIndex = BruteForceIndex.empty(self.dimension)
        problem = ""
        if row.fingerprint == self.fingerprint:
            stored = checked(reads.templates(db, row.key, self.dimension), self.dimension)
            index = index.added(stored.keys, stored.owners, stored.vectors)
            if len(index) > self.settings.exact_limit or self._path(row.key).exists():
                try:
                    index = self._with_graph(db, row, stored)
                except (SnapshotError, GraphError) as error:
                    problem = f"index snapshot not used: {error}"
                    _logger.warning("index snapshot not used", extra={"cause": str(error)})
        stamp = reads.stamp_of(db, row.key, row.revision)
        roster = Roster.of(reads.people(db, row.key))
        negatives = reads.negatives(db, row.key, self.fingerprint)
        view = View(row.revision, stamp, row.fingerprint, index, roster, negatives, reads.coherences(db, row.key))
        live = self._live(row.name, row.key, view)
        live.problem = problem
        return live

    def _live(self, name: GalleryName, key: int, view: View) -> LiveGallery:
        snapshot = self._path(key) if self.keeps_snapshots else None
        return LiveGallery(name, key, view, settings=self.settings, snapshot=snapshot)

    def _path(self, key: int) -> Path:
        return self.snapshots / f"{key}.graph"

    def _with_graph(self, db: apsw.Connection, row: GalleryRow, stored: StoredTemplates) -> HnswIndex:
        snapshot = read_snapshot(self._path(row.key))
        self._check_about(db, row, snapshot)
        return restored(snapshot, stored, removed_share=self.settings.removed_share)

    def _check_about(self, db: apsw.Connection, row: GalleryRow, snapshot: Snapshot) -> None:
        """Refuses a snapshot of another gallery, model, history or shape."""
        header = snapshot.header
        shape = GraphShape(self.dimension, self.settings.links, self.settings.build_width)
        if header.gallery != str(row.name):
            raise SnapshotError(f"it is of {header.gallery}")
        if header.fingerprint != row.fingerprint:
            raise SnapshotError(f"it is of models {header.fingerprint}")
        if reads.stamp_of(db, row.key, header.revision) != header.stamp:
            raise SnapshotError(f"revision {header.revision} of it is not in the change log")
        if snapshot.state.shape != shape:
            raise SnapshotError(f"it was built as {snapshot.state.shape}")


def restored(snapshot: Snapshot, stored: StoredTemplates, *, removed_share: float) -> HnswIndex:
    """The index that the snapshot's graph and the stored templates make.

    Templates that came later are the delta. Templates that are gone have left holes in the graph: each is filled with
    the mean of its neighbours, which leads a search on its way and is nobody's face.

    Raises:
        SnapshotError: when the two don't belong together, or more than `removed_share` are gone.
        GraphError: when the graph contradicts itself.
    """
    keys = np.asarray(snapshot.keys, np.int64)
    if not len(keys) or (np.diff(keys) <= 0).any():
        raise SnapshotError("its keys don't ascend")
    kept = np.isin(keys, stored.keys, assume_unique=True)
    inside = np.isin(stored.keys, keys, assume_unique=True)
    behind = stored.keys > keys[-1]
    if not (inside | behind).all():
        raise SnapshotError("it lacks templates that were there when it was made")
    if np.count_nonzero(~kept) > removed_share * len(keys):
        raise SnapshotError(f"{np.count_nonzero(~kept)} of its {len(keys)} templates are gone")
    vectors = np.zeros((len(keys), stored.vectors.shape[1]), np.float32)
    vectors[kept] = stored.vectors[inside]
    owners = np.full(len(keys), -1, np.int64)
    owners[kept] = stored.owners[inside]
    _fill_holes(vectors, kept, snapshot.state)
    graph = Graph.restored(snapshot.state, vectors)
    rows = TemplateRows.empty(vectors.shape[1]).appended(keys, owners, vectors)
    if not kept.all():
        rows = rows.without(keys[~kept])
    rows = rows.appended(stored.keys[behind], stored.owners[behind], stored.vectors[behind])
    return HnswIndex(rows, graph)


def _fill_holes(vectors: Embeddings, kept: NDArray[np.bool_], state: GraphState) -> None:
    holes = np.flatnonzero(~kept)
    if not len(holes) or state.links.shape != (len(kept), 1 + 2 * state.shape.links):
        return
    node_of = np.argsort(state.rows)
    first = vectors[np.argmax(kept)]
    for row in holes:
        links = state.links[node_of[row]]
        nodes = links[1 : 1 + min(links[0], 2 * state.shape.links)]
        near = state.rows[nodes[nodes < len(kept)]]
        mean = vectors[near[kept[near]]].sum(axis=0, dtype=np.float64)
        norm = np.linalg.norm(mean)
        vectors[row] = mean / norm if norm > 0 else first


def checked(stored: StoredTemplates, dimension: int) -> StoredTemplates:
    """Passes embeddings that may enter an index.

    Raises:
        StorageError: when one may not.
    """
    try:
        check_embeddings(np.asarray(stored.vectors, np.float32), dimension, "template")
    except EmbeddingError as error:
        raise StorageError(
            "STORAGE_DAMAGED",
            f"the store is damaged: {error.message}; restore a backup of the data directory",
        ) from error
    return stored
