from __future__ import annotations

import base64

import pytest

from server.domain import GalleryName, IdentityName
from server.errors import InvalidInputError
from server.identity.gallery import Galleries
from server.identity.page_token import key_of, token_for
from server.identity.records import NewPerson
from tests.server.identity.crowd import GALLERY, enrol, template, unit


@pytest.fixture
def names(galleries: Galleries) -> list[str]:
    """25 people in the order of their enrolment."""
    people = [NewPerson(f"Person {n}", (template(v),)) for n, v in enumerate(unit(25, 1))]
    return list(galleries.enrol_many(GALLERY, people, at_ns=1).names)


def pages(galleries: Galleries, page_size: int, contains: str = "") -> list[list[str]]:
    found, token = [], ""
    while True:
        page = galleries.list_page(GALLERY, page_size=page_size, page_token=token, contains=contains)
        found.append([identity.name for identity in page.identities])
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.parametrize("page_size", [1, 7, 24, 25, 26, 5_000])
def test_pages_hold_everybody_once_and_in_order(galleries: Galleries, names: list[str], page_size: int) -> None:
    found = pages(galleries, page_size)
    assert [name for page in found for name in page] == names
    assert all(len(page) == page_size for page in found[:-1])
    assert found[-1]


def test_no_page_size_means_a_hundred_and_more_than_a_thousand_is_cut(galleries: Galleries) -> None:
    people = [NewPerson(f"Person {n}", (template(v),)) for n, v in enumerate(unit(1_100, 1))]
    galleries.enrol_many(GALLERY, people, at_ns=1)
    assert len(galleries.list_page(GALLERY).identities) == 100
    assert len(galleries.list_page(GALLERY, page_size=2_000).identities) == 1_000


def test_who_stays_is_listed_once_while_others_come_and_go(galleries: Galleries, names: list[str]) -> None:
    seen, token = [], ""
    gone = iter(names[::3])
    for turn in range(100):
        page = galleries.list_page(GALLERY, page_size=2, page_token=token)
        seen += [identity.name for identity in page.identities]
        token = page.next_page_token
        if not token:
            break
        victim = next(gone, None)
        if victim:
            galleries.delete(IdentityName.parse(victim), at_ns=1)
        if turn < 5:
            enrol(galleries, "Newcomer", unit(1, 100 + turn))
    stayed = [name for number, name in enumerate(names) if number % 3]
    assert [name for name in seen if name in set(stayed)] == stayed
    assert len(seen) == len(set(seen))


def test_a_list_goes_on_after_the_last_one_seen_is_deleted(galleries: Galleries, names: list[str]) -> None:
    page = galleries.list_page(GALLERY, page_size=5)
    galleries.delete(IdentityName.parse(names[4]), at_ns=1)
    after = galleries.list_page(GALLERY, page_size=5, page_token=page.next_page_token)
    assert [identity.name for identity in after.identities] == names[5:10]


def test_only_names_that_hold_the_text_are_listed_whatever_the_case(galleries: Galleries) -> None:
    for name in ("Ada Lovelace", "Émile Zola", "STRAẞE 7", "100%_sure", "Ada Yonath"):
        enrol(galleries, name, unit(1, len(name)))

    def found(contains: str) -> list[str]:
        return [identity.display_name for identity in galleries.list_page(GALLERY, contains=contains).identities]

    assert found("ada") == ["Ada Lovelace", "Ada Yonath"]
    assert found("ÉMILE") == found("e\u0301mile") == ["Émile Zola"]
    assert found("strasse") == ["STRAẞE 7"]
    assert found("%") == found("_") == ["100%_sure"]
    assert found("nobody") == []


def test_a_filter_pages_too(galleries: Galleries, names: list[str]) -> None:
    assert pages(galleries, 3, "person 1") == [
        [names[1], names[10], names[11]],
        [names[12], names[13], names[14]],
        [names[15], names[16], names[17]],
        [names[18], names[19]],
    ]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!",
        "AAAA",
        "é",
        token_for(GALLERY, "", 3)[:-1],
        token_for(GALLERY, "other filter", 3),
        token_for(GalleryName("default", "other"), "", 3),
        base64.urlsafe_b64encode(b"\x02" + base64.urlsafe_b64decode(token_for(GALLERY, "", 3) + "==")[1:]).decode(),
        "A" * 100_000,
    ],
)
def test_a_token_of_no_list_or_another_list_is_refused(galleries: Galleries, token: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        galleries.list_page(GALLERY, page_token=token)
    assert refusal.value.reason == "PAGE_TOKEN_INVALID"


def test_a_negative_page_size_is_refused(galleries: Galleries) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        galleries.list_page(GALLERY, page_size=-1)
    assert refusal.value.reason == "PAGE_SIZE_INVALID"


@pytest.mark.parametrize("after", [1, 2**31, 2**62])
def test_a_token_gives_back_its_key(after: int) -> None:
    assert key_of(token_for(GALLERY, "x", after), GALLERY, "x") == after
