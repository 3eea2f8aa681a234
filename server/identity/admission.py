"""What may enter a gallery, or be asked of it: checked before anything is written or searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from server.domain import GalleryName, IdentityName
from server.errors import FingerprintError, InvalidInputError
from server.identity.display_name import check_display_name, check_source
from server.identity.records import NewPerson, NewTemplate
from server.identity.vectors import check_embedding

MOST_CANDIDATES: Final = 1_000
DEFAULT_PAGE: Final = 100
MOST_PER_PAGE: Final = 1_000


def check_fingerprint(gallery: GalleryName, pinned: str, wanted: str) -> None:
    """Refuses to mix embeddings of different models.

    Raises:
        FingerprintError: when the gallery is pinned to another fingerprint.
    """
    if pinned and pinned != wanted:
        raise FingerprintError(
            "FINGERPRINT_MISMATCH",
            f"{gallery} holds embeddings of models {pinned}, this server runs {wanted}, and the two cannot be "
            "compared; start the server with the models that the gallery was enrolled with, or enrol the people "
            "again in another gallery",
            metadata={"gallery": str(gallery), "pinned": pinned, "running": wanted},
        )


def check_templates(templates: Sequence[NewTemplate], dimension: int) -> tuple[NewTemplate, ...]:
    """The templates, their sources in NFC.

    Raises:
        InvalidInputError: TEMPLATES_MISSING, SOURCE_INVALID.
        EmbeddingError: when an embedding is not a finite unit vector of this dimension.
    """
    if not templates:
        raise InvalidInputError("TEMPLATES_MISSING", "give at least one template", field="templates")
    return tuple(
        replace(
            template,
            embedding=check_embedding(template.embedding, dimension, f"templates[{number}].embedding"),
            source=check_source(template.source, f"templates[{number}].source"),
        )
        for number, template in enumerate(templates)
    )


def check_people(people: Sequence[NewPerson], dimension: int) -> list[NewPerson]:
    """The people, their names in NFC.

    Raises:
        InvalidInputError: PEOPLE_MISSING, DISPLAY_NAME_INVALID, and as `check_templates`.
        EmbeddingError: as `check_templates`.
    """
    if not people:
        raise InvalidInputError("PEOPLE_MISSING", "give at least one person", field="people")
    return [
        NewPerson(
            check_display_name(person.display_name, f"people[{number}].display_name"),
            check_templates(person.templates, dimension),
        )
        for number, person in enumerate(people)
    ]


def name_to_enrol(gallery: GalleryName, identity: IdentityName | None, display_name: str) -> str:
    """The name of a new person in NFC; empty for one who is there.

    Raises:
        InvalidInputError: DISPLAY_NAME_INVALID, DISPLAY_NAME_UNWANTED, IDENTITY_ELSEWHERE.
    """
    if identity is None:
        return check_display_name(display_name)
    if identity.gallery != gallery:
        raise InvalidInputError(
            "IDENTITY_ELSEWHERE", f"{identity} is not of {gallery}; name its own gallery", field="identity"
        )
    if display_name:
        raise InvalidInputError(
            "DISPLAY_NAME_UNWANTED",
            f"{identity} has a name; leave display_name empty to add photos, or rename the identity",
            field="display_name",
        )
    return ""


def check_time(at_ns: int) -> int:
    """The time.

    Raises:
        InvalidInputError: TIME_INVALID, when it is before 1970 or does not fit 63 bits.
    """
    if not 0 <= at_ns < 2**63:
        raise InvalidInputError("TIME_INVALID", f"time {at_ns} is outside 1970..2262, in nanoseconds since the epoch")
    return at_ns


def check_limit(limit: int) -> int:
    """How many people to find.

    Raises:
        InvalidInputError: LIMIT_INVALID.
    """
    if not 1 <= limit <= MOST_CANDIDATES:
        raise InvalidInputError(
            "LIMIT_INVALID", f"limit is {limit}; ask for 1 to {MOST_CANDIDATES} people", field="limit"
        )
    return limit


def check_page_size(page_size: int) -> int:
    """How many people a page holds.

    Raises:
        InvalidInputError: PAGE_SIZE_INVALID, when it is negative.
    """
    if page_size < 0:
        raise InvalidInputError(
            "PAGE_SIZE_INVALID",
            f"page_size is {page_size}; give 0 for {DEFAULT_PAGE}, or up to {MOST_PER_PAGE}",
            field="page_size",
        )
    return min(page_size or DEFAULT_PAGE, MOST_PER_PAGE)
