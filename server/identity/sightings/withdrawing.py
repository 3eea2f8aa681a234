"""Taking back that sightings show a person: their matches, and the templates that were made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from server.errors import ConflictError
from server.identity import reads as gallery_reads
from server.identity.change import GalleryChange
from server.identity.entries import revised


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was taken back: sightings whose faces were templates, and the change of the gallery if there was one."""

    sightings: tuple[int, ...] = ()
    changes: tuple[GalleryChange, ...] = ()


def withdrawn(
    db: apsw.Connection, fingerprint: str, identity_key: int | None, sightings: Sequence[int], at_ns: int
) -> Withdrawn:
    """Takes back that these sightings show a person; nothing when that is nobody.

    Raises:
        ConflictError: LAST_TEMPLATE, when the person would be left without a template.
    """
    if identity_key is None:
        return Withdrawn()
    wanted = json.dumps(list(sightings))
    db.execute(
        "UPDATE sightings SET identity_key = NULL "
        "WHERE identity_key = ? AND sighting_key IN (SELECT value FROM json_each(?))",
        (identity_key, wanted),
    )
    templates = promoted_from(db, identity_key, sightings)
    if not templates:
        return Withdrawn()
    count = db.execute("SELECT count(*) FROM templates WHERE identity_key = ?", (identity_key,)).get
    if count == len(templates):
        name = gallery_reads.name_of(db, identity_key)
        raise ConflictError(
            "LAST_TEMPLATE",
            f"{name} would be left without a template to recognise the person by; undo the naming, or add a photograph "
            "of the person first",
            metadata={"identity": str(name)},
        )
    change = revised(db, identity_key, fingerprint, at_ns, removed=[key for key, _ in templates])
    return Withdrawn(tuple(sorted({sighting for _, sighting in templates})), (change,))


def promoted_from(db: apsw.Connection, identity_key: int, sightings: Sequence[int]) -> list[tuple[int, int]]:
    """Templates of a person that were made of these sightings, each with its sighting."""
    rows = db.execute(
        "SELECT p.template_key, p.sighting_key FROM promotions p JOIN templates t USING (template_key) "
        "WHERE t.identity_key = ? AND p.sighting_key IN (SELECT value FROM json_each(?)) ORDER BY p.template_key",
        (identity_key, json.dumps(list(sightings))),
    )
    return [(template, sighting) for template, sighting in rows]
