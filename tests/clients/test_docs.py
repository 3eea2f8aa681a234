"""The examples of docs/client.md are run as they stand, against a fake server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import clients
from clients.client import Client
from clients.fake.script import Say, matching
from clients.fake.server import FakeServer
from tests.clients.conftest import MakeClip

PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"
TEXT = PAGE.read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_example_runs(
    number: int,
    threaded: FakeServer,
    make_clip: MakeClip,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    threaded.recognition.script = lambda _: Say((matching("Ada Lovelace"),))
    monkeypatch.chdir(make_clip("clip.mp4", frames=5).parent)
    assert photo.parent == Path.cwd()
    program = EXAMPLES[number].replace("localhost:50051", threaded.target)
    exec(compile(program, f"{PAGE.name} example {number + 1}", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_the_fakes_example_does_what_its_comment_says(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_clip("clip.mp4", frames=5).parent)
    exec(compile(EXAMPLES[-1], "example", "exec"), {"__name__": "__main__"})
    outcomes = eval(capsys.readouterr().out)
    assert outcomes == ["Recognised", "Recognised", "Lost", "Recognised", "Recognised"]


def test_every_method_of_the_client_is_on_the_page() -> None:
    methods = {name for name in vars(Client) if not name.startswith("_") and name != "aclose"}
    assert {name for name in methods if f"`{name}(" not in TEXT and f", `{name}(" not in TEXT} == set()


def test_every_error_is_on_the_page() -> None:
    errors = [name for name in clients.__all__ if name.endswith("Error")]
    assert [name for name in errors if f"`{name}`" not in TEXT] == []
