"""Strangers that come one after the other, and the scores of the groups that they end up in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.identity.cluster import Clusters
from server.identity.cluster_settings import ClusterSettings
from server.identity.regrouping import UnknownFace
from tests.benchmarks.embedded import EmbeddedSet
from tests.benchmarks.offline_clustering import Scores, scores

STEPS = 2
"""Steps of consolidation after each face; a server has far more time between two."""


def faces_of(embedded: EmbeddedSet) -> list[UnknownFace]:
    """Every picture as a face of its own."""
    rows = zip(embedded.single, embedded.quality.tolist(), strict=True)
    return [UnknownFace(key, embedding, quality) for key, (embedding, quality) in enumerate(rows, 1)]


def tracks_of(embedded: EmbeddedSet, looks: int) -> tuple[list[UnknownFace], NDArray[np.int64]]:
    """Each person's pictures, so many at a time, as the looks of tracks; and whose tracks they are."""
    random = np.random.default_rng(looks)
    tracks: list[UnknownFace] = []
    people: list[int] = []
    for person in np.unique(embedded.people).tolist():
        rows = random.permutation(np.flatnonzero(embedded.people == person))
        for start in range(0, len(rows) - looks + 1, looks):
            taken = rows[start : start + looks]
            mean = embedded.single[taken].mean(axis=0, dtype=np.float64)
            coherence = float(np.linalg.norm(mean))
            quality = float(embedded.quality[taken].max())
            tracks.append(UnknownFace(len(tracks) + 1, (mean / coherence).astype(np.float32), quality, coherence))
            people.append(person)
    return tracks, np.array(people)


def online(faces: Sequence[UnknownFace], people: NDArray[np.int64], settings: ClusterSettings, seed: int) -> Scores:
    """The scores after every face was placed, one at a time in a shuffled order; one that is too poor stays alone."""
    clusters = Clusters(settings, len(faces[0].embedding))
    for row in np.random.default_rng(seed).permutation(len(faces)):
        clusters.apply(clusters.place(faces[row]).regrouping)
        for _ in range(STEPS):
            clusters.apply(clusters.consolidate())
    while clusters.unsettled:
        clusters.apply(clusters.consolidate())
    placed = np.array([clusters.group_of(face.key) for face in faces])
    return scores(np.where(placed > 0, placed, -1 - np.arange(len(faces))), people)
