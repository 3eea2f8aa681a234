from __future__ import annotations

from pathlib import Path

import pytest

from clients.reference import APPS, command_paths, help_text, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
COMMANDS = [(program, path) for program, app in APPS.items() for path in command_paths(app)]


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == reference(APPS), "run `python -m clients.reference > docs/cli.md`"


@pytest.mark.parametrize(("program", "path"), COMMANDS)
def test_every_command_explains_itself(program: str, path: tuple[str, ...]) -> None:
    text = help_text(APPS[program], program, path)
    assert text.startswith(f"Usage: {' '.join((program, *path))}")
    group = any(other[: len(path)] == path and len(other) > len(path) for each, other in COMMANDS if each == program)
    assert group or "Example" in text


def test_help_does_not_depend_on_the_terminal_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("FACESTREAM_SERVER", "elsewhere:1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert reference(APPS) == PAGE.read_text()
