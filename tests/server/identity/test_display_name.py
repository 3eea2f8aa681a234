from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidInputError
from server.identity.display_name import check_display_name, check_source, folded


@pytest.mark.parametrize(
    "name",
    [
        "Ada",
        "Jacinda Ardern",
        "Владимир",
        "李小龍",
        "محمد",
        "O'Brien-Smith, Jr.",
        "🙂",
        "=cmd|'/C calc'!A0",
        "a" * 200,
        "../x",
    ],
)
def test_names_that_people_can_read_pass(name: str) -> None:
    assert check_display_name(name) == name


def test_letters_and_their_accents_are_joined() -> None:
    assert check_display_name("Zoe\u0308") == "Zo\u00eb"


def test_length_counts_after_joining() -> None:
    assert len(check_display_name("e\u0301" * 200)) == 200


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u00a0\u2003",
        "a" * 201,
        "a\nb",
        "a\0",
        "\x1b[31mred",
        "a\u200bb",  # zero-width space
        "a\u200db",  # zero-width joiner
        "\u202egnp.exe",  # right-to-left override
        "\u2066a\u2069",  # isolates
        "\ufeffa",  # byte order mark
        "a\u2028b",  # line separator
        "a\u2029b",  # paragraph separator
        "\ud800",  # lone surrogate
        "a\u00adb",  # soft hyphen
        "\U000e0041",  # tag
        "x" * 4096,
    ],
)
def test_names_that_hide_something_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        check_display_name(name)
    assert (refusal.value.reason, refusal.value.field) == ("DISPLAY_NAME_INVALID", "display_name")
    refusal.value.message.encode()  # can be sent, whatever the name was


@given(st.text(max_size=210))
def test_every_text_is_refused_or_comes_back_as_the_same_text_in_nfc(text: str) -> None:
    try:
        name = check_display_name(text)
    except InvalidInputError:
        return
    assert name == unicodedata.normalize("NFC", text)
    assert check_display_name(name) == name


def test_a_photo_may_have_no_name() -> None:
    assert check_source("", "templates[0].source") == ""


def test_a_photo_name_with_a_line_break_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"U\+000A at position 1"):
        check_source("a\nb", "templates[0].source")


@pytest.mark.parametrize(("one", "other"), [("STRASSE", "straße"), ("Zoë", "ZOE\u0308"), ("\uff26ull", "full")])
def test_case_and_compatibility_forms_don_t_count_in_folded_text(one: str, other: str) -> None:
    assert folded(one) == folded(other)
