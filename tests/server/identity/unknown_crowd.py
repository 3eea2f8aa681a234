"""Unknown people for tests of clustering: numbered, each with as many looks as wanted."""

from __future__ import annotations

import numpy as np

from server.domain import Embedding, OperatingPoint
from server.identity.cluster import Clusters
from server.identity.cluster_settings import ClusterSettings
from server.identity.regrouping import Placement, Regrouping, UnknownFace

DIMENSION = 32
POINTS = (OperatingPoint(1e-2, 1.0, 0.99), OperatingPoint(1e-5, 0.7, 0.9))
SETTINGS = ClusterSettings(POINTS)


def look(person: int, number: int, *, spread: float = 0.3) -> Embedding:
    """One look at a person: two looks are about 2 * spread**2 apart, two people about 2."""
    own = np.random.default_rng([1, person]).normal(size=DIMENSION)
    noise = np.random.default_rng([2, person, number]).normal(size=DIMENSION)
    vector = own / np.linalg.norm(own) + spread * noise / np.linalg.norm(noise)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def face(key: int, person: int, *, quality: float = 0.9, spread: float = 0.3, coherence: float = 1.0) -> UnknownFace:
    """A face of a person; the key tells looks apart."""
    return UnknownFace(key, look(person, key, spread=spread), quality, coherence)


def placed(clusters: Clusters, new: UnknownFace) -> Placement:
    """Places a face and applies the plan."""
    placement = clusters.place(new)
    clusters.apply(placement.regrouping)
    return placement


def settled(clusters: Clusters) -> list[Regrouping]:
    """Consolidates until nothing is left to do."""
    plans = []
    while clusters.unsettled:
        plans.append(clusters.consolidate())
        clusters.apply(plans[-1])
    return plans


def crowd(people: list[int], settings: ClusterSettings = SETTINGS) -> Clusters:
    """One face of each person in the list, in its order, keys from 1."""
    clusters = Clusters(settings, DIMENSION)
    for key, person in enumerate(people, start=1):
        placed(clusters, face(key, person))
    return clusters
