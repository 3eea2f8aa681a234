"""What a write did to a gallery, told to everybody who keeps the gallery in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from server.domain import Embeddings, GalleryName
from server.identity.negatives import NegativeFaces
from server.identity.roster import GONE, Person
from server.identity.sightings.records import SightingChange


@dataclass(frozen=True, slots=True)
class GalleryChange:
    """What a write did to one gallery.

    Attributes:
        gallery: which.
        gallery_key: the store's key of it.
        revision: after the change.
        stamp: of the change in the change log.
        fingerprint: the gallery's after the change; empty when nobody is left.
        identity_key: whom it is about.
        person: who that is now; `GONE` when removed.
        added: keys of new templates, ascending.
        vectors: (len(added), D) their embeddings.
        coherences: of those templates of the person, the new ones at least, that are means of several looks, by key.
        removed: keys of templates that are gone.
        negatives: everything that the person was said not to look like; None when that did not change.
    """

    gallery: GalleryName
    gallery_key: int
    revision: int
    stamp: int
    fingerprint: str
    identity_key: int
    person: Person = GONE
    added: Sequence[int] = ()
    vectors: Embeddings = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    coherences: Mapping[int, float] = field(default_factory=dict)
    removed: Sequence[int] = ()
    negatives: NegativeFaces | None = None


StoreChange: TypeAlias = GalleryChange | SightingChange
"""What a write did to whatever is in the store."""
