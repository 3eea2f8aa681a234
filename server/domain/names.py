"""Resource names, as the API writes them: read, checked and written here alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.errors import InvalidInputError

_ID = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_GALLERY = re.compile(rf"tenants/({_ID})/galleries/({_ID})")
_IDENTITY = re.compile(rf"(tenants/{_ID}/galleries/{_ID})/identities/({_ID})")
_UNKNOWN = re.compile(rf"(tenants/{_ID}/galleries/{_ID})/unknowns/({_ID})")
_NUMBERED = re.compile(rf"(tenants/{_ID}/galleries/{_ID})/(sightings|operations)/([1-9][0-9]{{0,17}})")


@dataclass(frozen=True, slots=True)
class GalleryName:
    """Resource name of a gallery: tenants/T/galleries/G."""

    tenant: str = "default"
    gallery: str = "default"

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/galleries/{self.gallery}"

    def identity(self, identity_id: str) -> str:
        """Resource name of an identity of this gallery."""
        return f"{self}/identities/{identity_id}"

    def unknown(self, unknown_id: str) -> str:
        """Resource name of a group of unknown faces of this gallery."""
        return f"{self}/unknowns/{unknown_id}"

    def sighting(self, key: int) -> str:
        """Resource name of a sighting of this gallery."""
        return f"{self}/sightings/{key}"

    def operation(self, key: int) -> str:
        """Resource name of an admin's operation on this gallery."""
        return f"{self}/operations/{key}"

    @staticmethod
    def parse(text: str, field: str = "gallery") -> GalleryName:
        """Reads a resource name; an empty text is the default gallery.

        Raises:
            InvalidInputError: when the text is no gallery's resource name.
        """
        if not text:
            return GalleryName()
        found = _GALLERY.fullmatch(text)
        if not found:
            raise InvalidInputError(
                "RESOURCE_NAME_INVALID",
                f"{text[:100]!r} is no gallery; write tenants/T/galleries/G with ids of 1 to 63 characters a-z, 0-9 "
                "and '-'",
                field=field,
            )
        return GalleryName(found[1], found[2])


@dataclass(frozen=True, slots=True)
class IdentityName:
    """Resource name of an identity: tenants/T/galleries/G/identities/I."""

    gallery: GalleryName
    identity_id: str

    def __str__(self) -> str:
        return self.gallery.identity(self.identity_id)

    @staticmethod
    def parse(text: str, field: str = "name") -> IdentityName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no identity's resource name.
        """
        found = _IDENTITY.fullmatch(text)
        if not found:
            raise _invalid_name(text, "identity", "identities/I", field)
        return IdentityName(GalleryName.parse(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class UnknownName:
    """Resource name of a group of unknown faces: tenants/T/galleries/G/unknowns/U."""

    gallery: GalleryName
    unknown_id: str

    def __str__(self) -> str:
        return self.gallery.unknown(self.unknown_id)

    @staticmethod
    def parse(text: str, field: str = "name") -> UnknownName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no unknown's resource name.
        """
        found = _UNKNOWN.fullmatch(text)
        if not found:
            raise _invalid_name(text, "unknown", "unknowns/U", field)
        return UnknownName(GalleryName.parse(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class SightingName:
    """Resource name of a sighting: tenants/T/galleries/G/sightings/S."""

    gallery: GalleryName
    key: int

    def __str__(self) -> str:
        return self.gallery.sighting(self.key)

    @staticmethod
    def parse(text: str, field: str = "name") -> SightingName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no sighting's resource name.
        """
        found = _NUMBERED.fullmatch(text)
        if not found or found[2] != "sightings":
            raise _invalid_name(text, "sighting", "sightings/S", field)
        return SightingName(GalleryName.parse(found[1]), int(found[3]))


@dataclass(frozen=True, slots=True)
class OperationName:
    """Resource name of an operation: tenants/T/galleries/G/operations/O."""

    gallery: GalleryName
    key: int

    def __str__(self) -> str:
        return self.gallery.operation(self.key)

    @staticmethod
    def parse(text: str, field: str = "name") -> OperationName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no operation's resource name.
        """
        found = _NUMBERED.fullmatch(text)
        if not found or found[2] != "operations":
            raise _invalid_name(text, "operation", "operations/O", field)
        return OperationName(GalleryName.parse(found[1]), int(found[3]))


def _invalid_name(text: str, kind: str, form: str, field: str) -> InvalidInputError:
    return InvalidInputError(
        "RESOURCE_NAME_INVALID",
        f"{text[:100]!r} is no {kind}; write tenants/T/galleries/G/{form} as the list shows it",
        field=field,
    )
