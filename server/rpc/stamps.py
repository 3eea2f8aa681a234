"""Request ids: what makes a write that is sent twice happen once."""

from __future__ import annotations

import re

from server.errors import InvalidInputError
from server.identity.records import RequestStamp

_REQUEST_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def request_id_from(text: str) -> str:
    """A request id in lower case; may be empty.

    Raises:
        InvalidInputError: REQUEST_ID_INVALID, when it is no UUID.
    """
    if text and not _REQUEST_ID.fullmatch(text):
        raise InvalidInputError(
            "REQUEST_ID_INVALID", f"{text[:80]!r} is no UUID; make a new one for each request", field="request_id"
        )
    return text.lower()


def stamp_of(request_id: str, content: str) -> RequestStamp:
    """The stamp of a request with this content.

    Raises:
        InvalidInputError: as `request_id_from`.
    """
    return RequestStamp(request_id_from(request_id), content, b"")
