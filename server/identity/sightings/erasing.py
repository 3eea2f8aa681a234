"""Complete removal of what was kept of somebody who was seen: sightings, crops, faces, negative references."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

_OF_PERSON = (
    "SELECT sighting_key FROM sightings WHERE identity_key = ?1 UNION "
    "SELECT f.sighting_key FROM faces f JOIN unknowns u USING (unknown_key) WHERE u.identity_key = ?1"
)
_OF_UNKNOWN = "SELECT sighting_key FROM faces WHERE unknown_key = ?1"


@dataclass(frozen=True, slots=True)
class Erased:
    """What went.

    Attributes:
        sightings: keys.
        others: keys of other identities of which negative references went too.
    """

    sightings: tuple[int, ...]
    others: tuple[int, ...]


def erase_person(db: apsw.Connection, identity_key: int) -> Erased:
    """Removes every sighting that shows a person; the groups that have the person's name go with the identity's row."""
    erased = _erase(db, _OF_PERSON, identity_key)
    return Erased(erased.sightings, tuple(key for key in erased.others if key != identity_key))


def erase_unknown(db: apsw.Connection, unknown_key: int) -> Erased:
    """Removes a group and its sightings."""
    erased = _erase(db, _OF_UNKNOWN, unknown_key)
    db.execute("DELETE FROM unknowns WHERE unknown_key = ?", (unknown_key,))
    return erased


def _erase(db: apsw.Connection, which: str, key: int) -> Erased:
    others = tuple(
        other
        for (other,) in db.execute(
            f"SELECT DISTINCT identity_key FROM negatives WHERE sighting_key IN ({which}) ORDER BY identity_key", (key,)
        )
    )
    db.execute(f"DELETE FROM negatives WHERE sighting_key IN ({which})", (key,))
    sightings = tuple(sighting for (sighting,) in db.execute(f"{which} ORDER BY sighting_key", (key,)))
    db.execute(f"DELETE FROM sightings WHERE sighting_key IN ({which})", (key,))
    return Erased(sightings, others)
