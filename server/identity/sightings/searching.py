"""Whom a face was before: the sightings nearest to it, compared with every one of them."""

from __future__ import annotations

import apsw
import numpy as np

from server.domain import Embeddings, GalleryName
from server.identity.coherence import as_of_one_look
from server.identity.sightings import reads
from server.identity.sightings.records import NearSighting, SightingSearch


def search(
    db: apsw.Connection,
    gallery: GalleryName,
    embeddings: Embeddings,
    *,
    fingerprint: str,
    limit: int,
    include_identified: bool,
) -> SightingSearch:
    """The sightings nearest to each face, whatever the distance.

    Args:
        db: a connection inside a transaction.
        gallery: where.
        embeddings: (N, D) float32 of norm 1.
        fingerprint: of the embeddings; sightings of other models are not compared.
        limit: sightings per face, at least 1.
        include_identified: also those that show somebody enrolled.
    """
    best: list[list[tuple[float, int]]] = [[] for _ in embeddings]
    searched = 0
    for block in reads.templates(db, gallery, fingerprint, include_identified=include_identified):
        searched += len(block.keys)
        for near, query in zip(best, embeddings, strict=True):
            difference = block.vectors - query
            distances = as_of_one_look(np.vecdot(difference, difference), block.coherences)
            near += zip(distances.tolist(), block.keys.tolist(), strict=True)
            near.sort()
            del near[limit:]
    count = reads.people_count(db, gallery, fingerprint, include_identified=include_identified)
    keys = sorted({key for near in best for _, key in near})
    shown = {seen.key: seen for seen in reads.sightings_by_key(db, gallery, keys)}
    candidates = tuple(tuple(NearSighting(shown[key], distance) for distance, key in near) for near in best)
    return SightingSearch(candidates, count, searched)
