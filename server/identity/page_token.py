"""Page tokens: where a list goes on, for one list only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Final

from server.domain import GalleryName
from server.errors import InvalidInputError

_LAYOUT: Final = struct.Struct(">B8sQ")
_VERSION: Final = 1


def token_for(gallery: GalleryName, contains: str, after: int) -> str:
    """A token for the part of a list behind the key `after`."""
    packed = _LAYOUT.pack(_VERSION, _list_digest(gallery, contains), after)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def key_of(token: str, gallery: GalleryName, contains: str) -> int:
    """The key that a token stands for; 0 for an empty token.

    Raises:
        InvalidInputError: PAGE_TOKEN_INVALID, when it is no token of this list.
    """
    if not token:
        return 0
    try:
        packed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        version, digest, after = _LAYOUT.unpack(packed)
    except (binascii.Error, struct.error, ValueError):
        version, digest, after = 0, b"", 0
    if version != _VERSION or digest != _list_digest(gallery, contains) or after >= 2**63:
        raise InvalidInputError(
            "PAGE_TOKEN_INVALID",
            f"{token[:60]!r} is no page token of this list; give next_page_token of the page before, with the same "
            "gallery and filter",
            field="page_token",
        )
    return int(after)


def _list_digest(gallery: GalleryName, contains: str) -> bytes:
    return hashlib.sha256(f"{gallery}\n{contains}".encode()).digest()[:8]
