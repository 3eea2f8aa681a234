"""facestream-admin top, against a fake server."""

from __future__ import annotations

import json

import pytest

from clients import admin
from clients.fake.server import FakeServer

Captured = pytest.CaptureFixture[str]


def test_once_shows_the_cameras(threaded: FakeServer, capsys: Captured) -> None:
    assert admin.command(["--server", threaded.target, "top", "--once"]) == 0
    assert "1280x720" in capsys.readouterr().out


def test_once_as_json_is_one_line(threaded: FakeServer, capsys: Captured) -> None:
    assert admin.command(["top", "--once", "--output", "json", "--server", threaded.target]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["cameras"][0]["camera"] == "door"


def test_a_live_view_needs_a_terminal_and_says_what_to_do_without(threaded: FakeServer, capsys: Captured) -> None:
    assert admin.command(["--server", threaded.target, "top"]) == 2
    assert "--once" in capsys.readouterr().err


def test_a_server_that_is_not_there_exits_5(capsys: Captured) -> None:
    assert admin.command(["--server", "127.0.0.1:1", "top", "--once", "--output", "json"]) == 5
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err
