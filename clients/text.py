"""Text from elsewhere, made safe to show. Names and messages may hold anything, also what moves a terminal's cursor."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x1b\\|\x07|\x9c|$)"  # strings: titles, links
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_JOINERS = frozenset("\u200c\u200d")
"""Zero-width joiners belong to the spelling of Persian, Indic scripts and emoji."""

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: object) -> str:
    """The text on one line without terminal escapes, control, direction and other invisible characters."""
    plain = _ESCAPES.sub("", str(text)).replace("\t", " ").replace("\n", " ")
    return "".join(c for c in plain if c in _JOINERS or unicodedata.category(c) not in _UNPRINTABLE)


def composed(text: str) -> str:
    """The text with accents in their letters, as the server keeps names; Macs take them apart in files' names."""
    return unicodedata.normalize("NFC", text)


def comparable(name: str) -> str:
    """A name as it is compared with others: whatever its case, and however its accents are encoded."""
    return composed(composed(name).casefold())


def clipped(text: str, length: int) -> str:
    """The text, cut to a length of at least 1 with an ellipsis when it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def ascii_spelling(text: str) -> str:
    """The nearest ASCII spelling: accents go, letters without a relative become '?'."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    bare = "".join(c for c in plain if not unicodedata.combining(c) and c not in _JOINERS)
    return bare.encode("ascii", "replace").decode("ascii")


_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D"}
    | {"ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "\u0131": "i", "ħ": "h", "Ħ": "H", "ŋ": "n"}
    | {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
"""Letters that have no decomposition, and typographic marks."""


def json_line(value: Mapping[str, object]) -> str:
    """One line of JSON with readable letters; what `printable` would take out is escaped."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    return "".join(c if unicodedata.category(c) not in _UNPRINTABLE else _escaped(c) for c in line)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
