from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from demo.commands import PROJECT, program, run, shown
from demo.errors import DemoError


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(text: io.StringIO) -> Console:
    return Console(file=text, width=200)


def test_a_command_is_shown_as_the_user_would_type_it(text, console, tmp_path):
    output = tmp_path / "out.txt"
    run(console, [sys.executable, "-c", "print('two words')"], timeout_s=30, output=output)
    assert f"$ {sys.executable} -c 'print('\"'\"'two words'\"'\"')' > {output}" in text.getvalue()
    assert output.read_text() == "two words\n"


def test_a_command_that_fails_ends_the_demonstration(console):
    with pytest.raises(DemoError, match="exit code 3"):
        run(console, [sys.executable, "-c", "raise SystemExit(3)"], timeout_s=30)


def test_a_command_that_hangs_is_stopped(console):
    with pytest.raises(DemoError, match="took longer than"):
        run(console, [sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_paths_inside_the_project_are_shown_from_its_folder():
    assert shown(PROJECT / "demo" / "out" / "walk.mp4") == str(Path("demo/out/walk.mp4"))
    assert shown(Path("/elsewhere/walk.mp4")) == "/elsewhere/walk.mp4"


def test_a_command_that_is_not_installed_says_how_to_install_it():
    with pytest.raises(DemoError, match="make install"):
        program("facestream-nothing")
