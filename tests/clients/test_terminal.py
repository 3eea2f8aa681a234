from __future__ import annotations

import pytest

from clients.errors import ClientError
from clients.terminal import Terminal

Captured = pytest.CaptureFixture[str]


def test_tables_in_pipes_are_neither_cut_nor_wrapped(capsys: Captured) -> None:
    Terminal().table(("name", "x"), [("A" * 300, "1"), ("B", "2")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "A" * 300 in lines[1]


def test_names_are_neither_escapes_nor_markup(capsys: Captured) -> None:
    terminal = Terminal()
    terminal.table(("name",), [("\x1b[31m[red]:smile:\nB",)])
    terminal.note("[bold]\x1b[2J:smile:")
    terminal.error(ClientError("[link]\x07", "do \x9b2J this"))
    captured = capsys.readouterr()
    assert "[red]:smile: B" in captured.out
    assert captured.err.splitlines() == ["[bold]:smile:", "error: [link]", "  do  this"]
    assert "\x1b" not in captured.out + captured.err


def test_errors_go_to_standard_error(capsys: Captured) -> None:
    Terminal().error(ClientError("it broke", "mend it"))
    assert capsys.readouterr() == ("", "error: it broke\n  mend it\n")


def test_there_is_no_progress_bar_in_a_pipe(capsys: Captured) -> None:
    with Terminal().progress(shown=True) as bar:
        bar.advance(bar.add_task("x", total=2))
    assert capsys.readouterr() == ("", "")


def test_colours_need_a_terminal_and_leave_when_asked(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    Terminal().error(ClientError("it broke"))
    assert "\x1b[1;31merror" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    Terminal().error(ClientError("it broke"))
    assert "\x1b[1;31m" not in capsys.readouterr().err
