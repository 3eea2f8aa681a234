from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.text import ascii_spelling, clipped, json_line, printable

VISIBLE = {"L", "M", "N", "P", "S", "Zs"}


@given(st.text())
def test_printable_text_holds_nothing_that_moves_a_cursor(text: str) -> None:
    for character in printable(text):
        category = unicodedata.category(character)
        assert category in VISIBLE or category[0] in VISIBLE or character in "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("bell\x07back\x08", "bellback"),
        ("Zoë 李小龙 👩‍🚀", "Zoë 李小龙 👩‍🚀"),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_escapes_go_and_spelling_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(), st.integers(1, 20))
def test_clipped_text_is_no_longer_than_allowed(text: str, length: int) -> None:
    shown = clipped(text, length)
    assert len(shown) <= length
    assert shown == text or shown.endswith("…")


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("Zoë Ångström", "Zoe Angstrom"),
        ("Łukasz Groß", "Lukasz Gross"),
        ("Søren Æ", "Soren AE"),
        ("李", "?"),
        ("Ada", "Ada"),
    ],
)
def test_ascii_spelling_takes_accents_away(text: str, spelt: str) -> None:
    assert ascii_spelling(text) == spelt


@given(st.text())
def test_ascii_spelling_is_ascii(text: str) -> None:
    assert ascii_spelling(text).isascii()


@given(
    st.dictionaries(
        st.text(), st.one_of(st.text(), st.integers(), st.none(), st.floats(allow_nan=False, allow_infinity=False))
    )
)
def test_a_json_line_reads_back_as_it_was_and_is_one_safe_line(value: dict[str, object]) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert printable(line.replace("\u200c", "").replace("\u200d", "")) == line


def test_a_json_line_keeps_letters_readable_and_escapes_what_is_not() -> None:
    assert json_line({"name": "Zoë\x1b\x7f\u202e\U000e0001"}) == '{"name": "Zoë\\u001b\\u007f\\u202e\\udb40\\udc01"}'
