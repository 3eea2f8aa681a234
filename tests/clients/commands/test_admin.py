from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from facestream.v1 import gallery_pb2
from grpc_health.v1 import health_pb2

from clients import admin
from clients.commands.admin_context import hoisted
from clients.fake.script import matching, stranger
from clients.fake.server import FakeServer

Captured = pytest.CaptureFixture[str]


class Admin:
    """facestream-admin against a fake server."""

    def __init__(self, server: FakeServer, captured: Captured) -> None:
        self.server = server
        self._captured = captured
        self.err = ""

    def __call__(self, *arguments: object) -> tuple[int, str]:
        """Exit code and standard output; standard error is in `err`."""
        code = admin.command(["--server", self.server.target, *map(str, arguments)])
        out, self.err = self._captured.readouterr()
        assert "Traceback" not in self.err
        return code, out

    def json(self, *arguments: object) -> dict:
        code, out = self(*arguments, "--output", "json")
        assert code == 0
        return json.loads(out)


@pytest.fixture
def run(threaded: FakeServer, capsys: Captured) -> Admin:
    return Admin(threaded, capsys)


MakePhotos = Callable[..., list[Path]]


@pytest.fixture
def make_photos(tmp_path: Path) -> MakePhotos:
    def make(*names: str) -> list[Path]:
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((20, 20, 3), len(path.name), np.uint8))
        return paths

    return make


# ---- enrol


def test_enrolling_shows_every_photograph_and_the_new_id(run: Admin, make_photos: MakePhotos) -> None:
    run.server.gallery.refusals = {"b.jpg": (gallery_pb2.PHOTO_REFUSAL_NO_FACE, "no face was found")}
    code, out = run("person", "enrol", "Ada Lovelace", *make_photos("a.jpg", "b.jpg"))
    assert code == 0
    (ada,) = run.server.gallery.identities.values()
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["a.jpg", "accepted", "-"]
    assert lines[2] == ["b.jpg", "refused", "-", "no", "face", "was", "found"]
    assert f"Ada Lovelace is {ada.name.rpartition('/')[2]}: 1 of 2 photographs accepted" in run.err


def test_enrolling_as_json(run: Admin, make_photos: MakePhotos) -> None:
    run.server.gallery.refusals = {"b.jpg": (gallery_pb2.PHOTO_REFUSAL_NO_FACE, "no face was found")}
    shown = run.json("person", "enrol", "Ada", *make_photos("a.jpg", "b.jpg"))
    assert shown["identity"]["display_name"] == "Ada"
    assert shown["photos"] == [
        {"source": "a.jpg", "accepted": True},
        {"source": "b.jpg", "accepted": False, "refusal": "no_face", "message": "no face was found"},
    ]


def test_enrolling_from_a_folder(run: Admin, pictures: Path) -> None:
    shown = run.json("person", "enrol", "Ada", pictures)
    assert [photo["source"] for photo in shown["photos"]] == ["img1.png", "img2.png", "img10.png"]


def test_a_file_that_cannot_be_read_is_refused_and_the_others_are_enrolled(
    run: Admin, make_photos: MakePhotos, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.webp"
    broken.write_bytes(b"RIFF0000WEBPxxxx")
    shown = run.json("person", "enrol", "Ada", broken, *make_photos("a.jpg"))
    assert [(photo["source"], photo["accepted"]) for photo in shown["photos"]] == [
        ("a.jpg", True),
        ("broken.webp", False),
    ]


def test_only_unreadable_files_are_a_failure(run: Admin, tmp_path: Path) -> None:
    broken = tmp_path / "broken.webp"
    broken.write_bytes(b"RIFF0000WEBPxxxx")
    code, out = run("person", "enrol", "Ada", broken)
    assert (code, out) == (1, "")
    assert "no picture that can be read" in run.err


def test_no_usable_photograph_exits_4_with_the_servers_reasons(run: Admin, make_photos: MakePhotos) -> None:
    run.server.gallery.refusals = dict.fromkeys(
        ("a.jpg", "b.jpg"), (gallery_pb2.PHOTO_REFUSAL_TOO_SMALL, "the face is 9 pixels wide")
    )
    code, out = run("person", "enrol", "Ada", *make_photos("a.jpg", "b.jpg"))
    assert (code, out) == (4, "")
    assert "error: none of the 2 photographs can be used" in run.err
    assert "the face is 9 pixels wide" in run.err
    assert "too small" in run.err


def test_photographs_are_added_to_a_person_by_name(run: Admin, make_photos: MakePhotos) -> None:
    run.server.gallery.add("Ada")
    shown = run.json("person", "enrol", "--to", "ada", *make_photos("a.jpg", "b.jpg"))
    assert shown["identity"]["template_count"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["person", "enrol"], 2),
        (["person", "enrol", "Ada"], 2),
        (["person", "enrol", "Ada", "nowhere.jpg"], 3),
        (["person", "enrol", "--to", "Nobody", "PHOTO"], 3),
        (["person", "frobnicate"], 2),
        (["person", "show", "Nobody"], 3),
        (["person", "rename", "Nobody", "X"], 3),
        (["person", "delete", "Nobody", "--yes"], 3),
        (["search", "nowhere.jpg"], 3),
        (["search", "PHOTO", "--limit", "101"], 2),
        (["verify", "PHOTO"], 2),
        (["verify", "PHOTO", "PHOTO", "--target-far", "0.5"], 2),
        (["--timeout", "0", "status"], 2),
        (["--output", "xml", "status"], 2),
        (["--server", "localhost", "status"], 2),
    ],
)
def test_mistakes_have_their_exit_codes_and_a_word_on_standard_error(
    run: Admin, photo: Path, arguments: list[str], code: int
) -> None:
    found, out = run(*(str(photo) if word == "PHOTO" else word for word in arguments))
    assert (found, out) == (code, "")
    assert run.err.strip()


def test_an_invalid_name_is_refused_by_the_server_with_code_2(run: Admin, photo: Path) -> None:
    run.server.gallery.fail = [grpc.StatusCode.INVALID_ARGUMENT]
    code, _ = run("person", "enrol", "x" * 300, photo)
    assert code == 2


def test_a_folder_of_folders_enrols_many_people(run: Admin, make_photos: MakePhotos, tmp_path: Path) -> None:
    make_photos("staff/Ada/1.jpg", "staff/Ada/2.jpg", "staff/Bob/1.jpg", "staff/Cyd/bad.jpg")
    run.server.gallery.refusals = {"bad.jpg": (gallery_pb2.PHOTO_REFUSAL_NO_FACE, "no face was found")}
    run.server.gallery.add("bob")
    code, out = run("person", "enrol-folder", tmp_path / "staff")
    assert code == 4
    assert "1 of 3 people could not be enrolled" in run.err
    rows = [line.split(maxsplit=2) for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["Ada", "Bob", "Cyd"]
    assert "2 of 2" in rows[0][2]
    assert "enrolled already" in out
    assert [identity.display_name for identity in run.server.gallery.identities.values()] == ["bob", "Ada"]


def test_people_who_cannot_be_enrolled_are_no_reason_to_leave_the_others_out(
    run: Admin, make_photos: MakePhotos, tmp_path: Path
) -> None:
    make_photos("staff/Ada/1.jpg", "staff/Cyd/1.jpg", "staff/Dan/1.jpg")
    unreadable = tmp_path / "staff" / "Bob" / "1.webp"
    unreadable.parent.mkdir()
    unreadable.write_bytes(b"RIFF1234WEBP and no picture")
    run.server.gallery.fail = [None, None, grpc.StatusCode.INVALID_ARGUMENT]  # the list, Ada, then Cyd
    code, out = run("person", "enrol-folder", tmp_path / "staff")
    assert code == 4
    assert "2 of 4 people could not be enrolled" in run.err
    rows = [line.split(maxsplit=2) for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["Ada", "Bob", "Cyd", "Dan"]
    assert "no picture that can be read" in rows[1][2]
    assert "scripted" in rows[2][2]
    assert [request.display_name for request in run.server.gallery.enrolments] == ["Ada", "Cyd", "Dan"]


def test_a_folder_without_folders_is_an_error(run: Admin, pictures: Path) -> None:
    code, _ = run("person", "enrol-folder", pictures)
    assert code == 1
    assert "make one for each person" in run.err


# ---- list, show, rename, delete


def test_people_are_listed(run: Admin) -> None:
    for name in ("Ada", "Bob", "Adam"):
        run.server.gallery.add(name)
    code, out = run("person", "list", "--contains", "ad")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["name", "Ada", "Adam"]
    assert [person["display_name"] for person in run.json("person", "list")["people"]] == ["Ada", "Bob", "Adam"]


def test_an_empty_list_says_so_on_standard_error_only(run: Admin) -> None:
    code, out = run("person", "list")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert run.err == "nobody is enrolled\n"
    assert run.json("person", "list") == {"people": []}


def test_names_cannot_move_the_cursor(run: Admin) -> None:
    run.server.gallery.add("\x1b[2JAda\x07 [red]\u202e")
    _, out = run("person", "list")
    assert "Ada [red]" in out
    assert "\x1b" not in out
    assert "\x07" not in out
    _, out = run("person", "list", "--output", "json")
    assert "\x1b" not in out
    assert json.loads(out)["people"][0]["display_name"] == "\x1b[2JAda\x07 [red]\u202e"


def test_a_person_is_shown_with_photographs(run: Admin) -> None:
    ada = run.server.gallery.add("Ada", "one.jpg", "two.jpg")
    code, out = run("person", "show", "Ada")
    assert code == 0
    assert "one.jpg" in out
    shown = run.json("person", "show", ada.name)
    assert [template["source"] for template in shown["templates"]] == ["one.jpg", "two.jpg"]


def test_a_person_is_renamed(run: Admin) -> None:
    run.server.gallery.add("Ada")
    assert run.json("person", "rename", "Ada", "Ada King")["display_name"] == "Ada King"


def test_an_ambiguous_name_exits_4_and_lists_the_ids(run: Admin) -> None:
    ids = [run.server.gallery.add("Ada").name.rpartition("/")[2] for _ in range(2)]
    code, _ = run("person", "delete", "Ada", "--yes")
    assert code == 4
    assert all(each in run.err for each in ids)
    assert len(run.server.gallery.identities) == 2


def test_deleting_prints_a_receipt(run: Admin) -> None:
    ada = run.server.gallery.add("Ada", "1.jpg", "2.jpg")
    shown = run.json("person", "delete", "Ada", "--yes")
    assert (shown["name"], shown["template_count"]) == (ada.name, 2)
    assert run.server.gallery.identities == {}


def test_nothing_is_deleted_without_yes_where_nobody_can_be_asked(run: Admin) -> None:
    run.server.gallery.add("Ada")
    code, out = run("person", "delete", "Ada")
    assert (code, out) == (2, "")
    assert "--yes" in run.err
    assert len(run.server.gallery.identities) == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("", 1, 1)])
def test_on_a_terminal_deleting_asks(
    run: Admin, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    import io

    class TerminalInput(io.StringIO):
        def isatty(self) -> bool:
            return True

    run.server.gallery.add("Ada")
    monkeypatch.setattr("sys.stdin", TerminalInput(answer))
    monkeypatch.setattr(
        "builtins.input", lambda _="": answer.rstrip("\n") if answer else (_ for _ in ()).throw(EOFError)
    )
    found, _ = run("person", "delete", "Ada")
    assert found == code
    assert len(run.server.gallery.identities) == left


# ---- search, verify, status


def test_search_lists_candidates_for_each_face(run: Admin, photo: Path) -> None:
    run.server.gallery.add("Ada")
    run.server.gallery.add("Bob")
    run.server.gallery.faces = [matching("Ada"), stranger()]
    code, out = run("search", photo)
    assert code == 0
    assert "0.50 < 1.10" in out
    assert "1.50 (too far)" in out
    faces = run.json("search", photo, "--limit", "1")["faces"]
    assert [len(face["candidates"]) for face in faces] == [1, 1]
    assert faces[0]["candidates"][0]["within_threshold"] is True


def test_a_picture_without_faces_is_an_answer(run: Admin, photo: Path) -> None:
    code, _ = run("search", photo)
    assert code == 0
    assert "no face was found" in run.err


def test_verify_exits_0_for_one_person_and_1_for_two(run: Admin, photo: Path, make_photos: MakePhotos) -> None:
    (other,) = make_photos("other.jpg")
    assert run("verify", photo, photo)[0] == 0
    code, out = run("verify", photo, other)
    assert code == 1
    assert out.splitlines()[1].split() == ["different", "1.600", "1.100", "0.001"]
    assert run.json("verify", photo, photo)["same"] is True


def test_status_shows_server_models_and_gallery(run: Admin) -> None:
    run.server.gallery.add("Ada")
    code, out = run("status")
    assert code == 0
    for text in (
        "serving",
        "1:02:03",
        "sface/2021dec on fake (Apache-2.0)",
        "nothing else is there",
        "tenants/default/galleries/default",
        "1.100",
    ):
        assert text in out
    shown = run.json("status")
    assert shown["health"] == "serving"
    assert shown["keeps_sightings"] is True
    assert shown["gallery"]["identity_count"] == 1
    (model,) = shown["models"]
    assert model["backend_reason"] == "nothing else is there"
    assert model["runtimes"] == [{"runtime": "fake", "passed": True, "finding": "the reference", "cpu_ms": 1.5}]


def test_status_of_a_server_that_does_not_serve_exits_5(run: Admin, threaded: FakeServer) -> None:
    # The health servicer takes its status in any event loop.
    import asyncio

    asyncio.run(threaded.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING))
    code, out = run("status")
    assert code == 5
    assert "not serving" in out


def test_a_server_that_is_not_there_exits_5_and_says_what_to_do(capsys: Captured) -> None:
    code = admin.command(["--server", "127.0.0.1:1", "status"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (5, "")
    assert "no answer from 127.0.0.1:1" in captured.err
    assert "facestream-server" in captured.err


# ---- options


@pytest.mark.parametrize(
    ("arguments", "front"),
    [
        (["person", "list", "--server", "h:1"], ["--server", "h:1", "person", "list"]),
        (["person", "--output=json", "list"], ["--output=json", "person", "list"]),
        (["search", "a.jpg", "--limit", "3", "--gallery", "g"], ["--gallery", "g", "search", "a.jpg", "--limit", "3"]),
        (["person", "show", "--", "--server"], ["person", "show", "--", "--server"]),
        (["status", "--server"], ["--server", "status"]),
        ([], []),
    ],
)
def test_shared_options_may_stand_anywhere(arguments: list[str], front: list[str]) -> None:
    assert hoisted(arguments, frozenset({"--server", "--gallery", "--output"})) == front


def test_server_and_gallery_come_from_the_environment(
    run: Admin, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    run.server.gallery.add("Ada", gallery="tenants/default/galleries/office")
    monkeypatch.setenv("FACESTREAM_SERVER", run.server.target)
    monkeypatch.setenv("FACESTREAM_GALLERY", "office")
    assert admin.command(["person", "list"]) == 0
    assert "Ada" in capsys.readouterr().out
    assert admin.command(["person", "list", "--gallery", "default"]) == 0
    assert "Ada" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["person", "--help"], ["person", "enrol", "-h"]])
def test_help_is_data(arguments: list[str], capsys: Captured) -> None:
    assert admin.command(arguments) == 0
    captured = capsys.readouterr()
    assert "Usage:" in captured.out
    assert captured.err == ""


# ---- gallery check


def trouble(kind: gallery_pb2.GalleryTrouble.ValueType, **fields: object) -> gallery_pb2.GalleryFinding:
    own = gallery_pb2.TemplateReference(identity="tenants/default/galleries/default/identities/a", display_name="Ada")
    other = gallery_pb2.TemplateReference(identity="tenants/default/galleries/default/identities/b", display_name="Bea")
    return gallery_pb2.GalleryFinding(trouble=kind, template=own, other=other, quality=0.8, **fields)


def test_a_check_shows_each_finding_with_the_command_that_mends_it(run: Admin) -> None:
    run.server.gallery.checkup = gallery_pb2.CheckGalleryResponse(
        findings=[
            trouble(gallery_pb2.GALLERY_TROUBLE_DUPLICATE, distance=0.21),
            trouble(gallery_pb2.GALLERY_TROUBLE_MISPLACED, distance=0.9, own_distance=1.4),
        ],
        finding_count=7,
        template_count=50,
        checked_count=20,
        threshold=1.1,
        advised_threshold=1.1,
    )
    shown = run.json("gallery", "check")
    assert [finding["trouble"] for finding in shown["findings"]] == ["duplicate", "misplaced"]
    assert "person delete b && facestream-admin person enrol --to a PHOTOS" in shown["findings"][0]["remedy"]
    assert (shown["finding_count"], shown["checked"], shown["advised_target_far"]) == (7, 20, None)
    code, out = run("gallery", "check")
    assert code == 0
    assert "duplicate" in out
    assert "20 of 50 templates looked at, 7 findings, 2 shown (--limit shows more)" in run.err
    assert "the threshold 1.100 suits this gallery" in run.err


def test_a_check_says_which_setting_gives_the_advised_threshold(run: Admin) -> None:
    run.server.gallery.checkup = gallery_pb2.CheckGalleryResponse(
        threshold=1.1, advised_threshold=0.9, advised_target_far=2e-6, observed_far=0.031
    )
    code, _ = run("gallery", "check")
    assert code == 0
    assert "3.1 % of the templates would be taken for somebody else" in run.err
    assert "facestream-server --target-far 2.0e-06" in run.err
