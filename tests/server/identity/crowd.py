"""People for tests: unit vectors from a seed, and galleries small enough to fold often."""

from __future__ import annotations

import numpy as np

from server.domain import Embedding, Embeddings, GalleryName, IdentityName, Quality
from server.identity.gallery import Galleries
from server.identity.index_settings import IndexSettings
from server.identity.records import EnrolReceipt, NewTemplate

DIMENSION = 16
FINGERPRINT = "test-model"
GALLERY = GalleryName()
QUALITY = Quality(0.9, 112.0, 25.0, 3.0, -2.0, 1.0, 128.0, 0.97)

SMALL = IndexSettings(exact_limit=12, links=4, build_width=40, delta_limit=6)
"""A graph from 13 templates on, extended after 7 more."""


def unit(count: int, seed: int, dimension: int = DIMENSION) -> Embeddings:
    """(count, dimension) unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def template(
    vector: Embedding, *, photo: str = "", crop: bytes = b"", source: str = "", coherence: float = 1.0
) -> NewTemplate:
    """A template with this embedding."""
    return NewTemplate(vector, QUALITY, source, photo, crop, coherence)


def enrol(galleries: Galleries, name: str, vectors: Embeddings, gallery: GalleryName = GALLERY) -> EnrolReceipt:
    """Enrols a new person with these embeddings."""
    return galleries.enrol(gallery, identity=None, display_name=name, templates=[template(v) for v in vectors], at_ns=1)


def change_log(galleries: Galleries, gallery: GalleryName = GALLERY) -> list[tuple[int, str, str, int]]:
    """Revision, kind, identity's id and time of every change of a gallery, as the store has them."""
    with galleries.store.reading() as db:
        return db.execute(
            "SELECT c.revision, c.kind, c.identity_id, c.at_ns FROM changes c JOIN galleries g USING (gallery_key) "
            "WHERE g.tenant = ? AND g.gallery = ? ORDER BY c.revision",
            (gallery.tenant, gallery.gallery),
        ).fetchall()


def name_of(receipt: EnrolReceipt) -> IdentityName:
    """Whom an enrolment was about."""
    return IdentityName.parse(receipt.identity.name)
