"""Resource names: tenants/T/galleries/G, and what is of a gallery: .../identities/I, .../unknowns/U and so on."""

from __future__ import annotations

import re

_DEFAULT_GALLERY = "tenants/default/galleries/default"
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def gallery_name(text: str) -> str:
    """The resource name of a gallery that may be given by its id alone; "" stays the server's default."""
    return text if not text or "/" in text else f"tenants/default/galleries/{text}"


def identity_name(gallery: str, text: str) -> str:
    """The resource name of an identity that may be given by its id alone; "" when the text can be neither."""
    if text.startswith("tenants/"):  # a display name may have a slash in it
        return text
    return f"{gallery or _DEFAULT_GALLERY}/identities/{text}" if _ID.fullmatch(text) else ""


def resource_name(gallery: str, collection: str, text: str) -> str:
    """The resource name of something of a gallery that may be given by its id alone.

    Args:
        gallery: resource name; "" means the server's default.
        collection: such as "unknowns".
        text: resource name or id.
    """
    return text if "/" in text else f"{gallery or _DEFAULT_GALLERY}/{collection}/{text}"
