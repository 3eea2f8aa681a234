"""Names as people read them: normalised, and free of characters that cannot be seen."""

from __future__ import annotations

import unicodedata

from server.errors import InvalidInputError

MAX_CHARACTERS = 200

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: control, format (zero width, bidirectional override), surrogate, line and paragraph separator."""


def check_display_name(text: str, field: str = "display_name") -> str:
    """The name in NFC.

    Raises:
        InvalidInputError: DISPLAY_NAME_INVALID, for 0 or more than 200 characters, for blanks alone, and for
            characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text)
    problem = "is blank" if not name.strip() else _problem(name)
    if problem:
        raise InvalidInputError(
            "DISPLAY_NAME_INVALID",
            f"the display name {problem}; write 1 to {MAX_CHARACTERS} visible characters",
            field=field,
        )
    return name


def check_source(text: str, field: str) -> str:
    """A photograph's name in NFC; may be empty.

    Raises:
        InvalidInputError: SOURCE_INVALID, for more than 200 characters or characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text)
    problem = _problem(name)
    if problem:
        raise InvalidInputError(
            "SOURCE_INVALID",
            f"the photo's source {problem}; write at most {MAX_CHARACTERS} visible characters",
            field=field,
        )
    return name


def folded(text: str) -> str:
    """The text as it is compared when case and compatibility forms don't count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _problem(name: str) -> str:
    if len(name) > MAX_CHARACTERS:
        return f"has {len(name)} characters"
    for position, character in enumerate(name):
        if unicodedata.category(character) in _UNSEEN:
            return f"holds U+{ord(character):04X} at position {position}"
    return ""
