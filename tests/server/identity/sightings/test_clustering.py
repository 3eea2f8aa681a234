"""The clustering in memory is that of the store, also after a transaction of which nothing is left."""

from __future__ import annotations

from server.identity.entries import pinned
from server.identity.group_commit import Outcome
from server.identity.regrouping import UnknownFace
from server.identity.sightings.clustering import Clusterings, Place, next_face_key, outdate
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY
from tests.server.identity.sightings.passers import SETTINGS, face_of


def test_a_face_that_was_rolled_back_is_gone_although_the_store_was_written_as_often_since(galleries, hall):
    hall.passes(1)
    clusterings = Clusterings(SETTINGS, fingerprint=FINGERPRINT, dimension=DIMENSION)

    def job(db):
        key = pinned(db, GALLERY, FINGERPRINT, 1).gallery_key
        before = len(clusterings.of(db, key))
        db.execute("SAVEPOINT lost")
        face = UnknownFace(next_face_key(db), face_of(2, 0), 0.9, 1.0)
        clusters = clusterings.of(db, key)
        sighting = db.execute("SELECT max(sighting_key) FROM sightings").get
        db.execute("DELETE FROM faces")
        clusterings.write(db, Place(GALLERY, key, 1), clusters.place(face).regrouping, {face.key: sighting})
        db.execute("ROLLBACK TO lost; RELEASE lost")
        outdate(db, key)  # as a write does that the clustering has no part in
        return Outcome((before, len(clusterings.of(db, key))))

    assert galleries.store.write(job) == (1, 1)
