"""facestream-admin unknown and sighting."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from facestream.v1 import sighting_pb2

from clients.fake.server import FakeServer
from tests.clients.commands.test_admin import Admin, Captured

GALLERY = "tenants/default/galleries/default"


@pytest.fixture
def run(threaded: FakeServer, capsys: Captured) -> Admin:
    return Admin(threaded, capsys)


def crop(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((112, 112, 3), grey, np.uint8))[1].tobytes()


def test_unknown_people_are_listed(run: Admin) -> None:
    run.server.unknowns.add("mb2xq", camera="yard")
    code, out = run("unknown", "list")
    assert code == 0
    heading, row = out.splitlines()
    assert heading.split()[:4] == ["id", "who", "sightings", "cameras"]
    assert row.split()[:4] == ["mb2xq", "(unknown)", "2", "yard"]
    assert run.json("unknown", "list", "--state", "ignored") == {"unknowns": []}


def test_nobody_to_list_is_said(run: Admin) -> None:
    assert run("unknown", "list")[0] == 0
    assert "no unknown person was seen well twice" in run.err
    assert run("sighting", "list")[0] == 0
    assert "nobody was seen" in run.err


@pytest.mark.parametrize("group", ["unknown", "sighting"])
def test_a_sheet_of_nobody_is_not_written_and_that_is_no_failure(run: Admin, tmp_path: Path, group: str) -> None:
    sheet = tmp_path / "faces.jpg"
    assert run(group, "list", "--save", sheet)[0] == 0
    assert "faces.jpg was not written: there are no faces to show" in run.err
    assert not sheet.exists()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "10:00"])
def test_what_is_no_time_is_refused_with_how_to_write_one(run: Admin, text: str) -> None:
    assert run("sighting", "list", "--since", text)[0] == 2
    assert f"'{text}' is no time; write a day as 2026-11-24" in run.err


def test_an_unknown_person_is_shown_with_sightings_and_a_sheet(run: Admin, tmp_path: Path) -> None:
    run.server.unknowns.add("mb2xq", crop=crop(90))
    sheet = tmp_path / "faces.jpg"
    code, out = run("unknown", "show", "mb2xq", "--save", sheet)
    assert code == 0
    assert "mb2xq" in out.splitlines()[1]
    assert [line.split()[0] for line in out.splitlines()[4:]] == ["1", "2"]
    picture = cv2.imread(str(sheet))
    assert abs(int(picture[80, 80, 0]) - 90) < 4


def test_naming_says_who_it_is_and_how_to_take_it_back(run: Admin) -> None:
    run.server.unknowns.add("mb2xq")
    code, out = run("unknown", "name", "mb2xq", "Ada Lovelace")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["mb2xq", "Ada", "Lovelace"]
    assert "facestream-admin unknown undo 1" in run.err
    shown = run.json("sighting", "list", "--person", "Ada Lovelace")
    assert [sighting["display_name"] for sighting in shown["sightings"]] == ["Ada Lovelace"] * 2


def test_naming_as_somebody_who_is_enrolled(run: Admin) -> None:
    run.server.gallery.add("Bob")
    run.server.unknowns.add("mb2xq")
    assert run.json("unknown", "name", "mb2xq", "--to", "bob")["identity"]["display_name"] == "Bob"
    assert len(run.server.gallery.identities) == 1


@pytest.mark.parametrize(
    "arguments",
    [("name", "mb2xq"), ("name", "mb2xq", "Ada", "--to", "Bob"), ("merge", "mb2xq"), ("delete", "mb2xq")],
)
def test_what_is_not_said_clearly_is_refused(run: Admin, arguments: tuple[str, ...]) -> None:
    run.server.unknowns.add("mb2xq")
    code, out = run("unknown", *arguments)
    assert (code, out) == (2, "")
    assert not run.server.unknowns.operations


def test_merge_split_ignore_delete_undo_and_history(run: Admin) -> None:
    for name in ("a", "b"):
        run.server.unknowns.add(name)
    assert run.json("unknown", "merge", "a", "b")["sighting_count"] == 4
    parts = run.json("unknown", "split", "a", "3")
    assert (parts["unknown"]["sighting_count"], parts["other"]["sighting_count"]) == (3, 1)
    assert run.json("unknown", "ignore", "a")["state"] == "ignored"
    assert run.json("unknown", "ignore", "a", "--show")["state"] == "open"
    assert run.json("unknown", "delete", "a", "--yes")["sighting_count"] == 3
    assert run.json("unknown", "undo", "2")["kind"] == "split"
    code, out = run("unknown", "history")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["delete", "show", "ignore", "split", "merge"]
    assert "split (undone)" in out
    assert "unknown a, unknown b" in out


def test_who_is_not_there_exits_3(run: Admin) -> None:
    assert run("unknown", "show", "nobody")[0] == 3
    assert run("sighting", "reject", "7")[0] == 3


def test_sightings_are_listed_with_who_they_show_now(run: Admin, tmp_path: Path) -> None:
    run.server.sightings.add(unknown=f"{GALLERY}/unknowns/mb2xq", at_s=60, distance=1.31)
    run.server.sightings.add(camera="yard", identity=f"{GALLERY}/identities/a", display_name="Ada")
    run.server.sightings.add(ignored=True)
    sheet = tmp_path / "sheet.png"
    code, out = run("sighting", "list", "--save", sheet)
    assert code == 0
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["2", "Ada", "yard"], ["1", "(mb2xq)", "door"]]
    assert "1.31 of 1.10" in out or "1.31 of" in out
    assert cv2.imread(str(sheet)) is not None
    assert len(run.json("sighting", "list", "--ignored")["sightings"]) == 3
    assert len(run.json("sighting", "list", "--limit", "1")["sightings"]) == 1
    run.json("sighting", "list", "--since", "2026-11-24 10:00")
    assert run.server.sightings.listed[-1].HasField("start_time")


def test_watching_says_what_happens(run: Admin) -> None:
    told = sighting_pb2.WatchSightingsResponse
    seen = run.server.sightings.add(at_s=60)
    person = sighting_pb2.PersonChange(name=f"{GALLERY}/unknowns/u", now=f"{GALLERY}/identities/i", display_name="Ada")
    for event in (told(sighting=seen), told(person=person), told(deleted_sighting=seen.name)):
        run.server.sightings.events.put_nowait(event)
    code, out = run("sighting", "watch", "--limit", 3)
    assert code == 0
    first, second, third = out.splitlines()
    assert first.startswith("sighting 1  (unknown)  door")
    assert (second, third) == ("unknown u is Ada", "sighting 1 is gone")


def test_a_match_is_rejected(run: Admin) -> None:
    run.server.sightings.add(identity=f"{GALLERY}/identities/a", display_name="Ada")
    code, out = run("sighting", "reject", "1")
    assert code == 0
    assert out.splitlines()[1].split()[:2] == ["1", "(unknown)"]
    assert "unknown undo 1" in run.err
    assert run("sighting", "reject", "1")[0] == 4


def test_the_past_is_searched(run: Admin, tmp_path: Path) -> None:
    run.server.sightings.add()
    run.server.sightings.add()
    photo = tmp_path / "ada.png"
    cv2.imwrite(str(photo), np.zeros((20, 20, 3), np.uint8))
    code, out = run("sighting", "search", photo)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["1", "0.50"], ["1", "1.50"]]
    assert "2 sightings were searched" in run.err
