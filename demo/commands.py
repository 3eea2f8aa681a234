"""Runs the installed commands, and shows them so that they can be repeated."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from demo.errors import DemoError

PROJECT = Path(__file__).resolve().parent.parent
"""Commands run here, and their paths are relative to it."""


def program(name: str) -> str:
    """The path of an installed command.

    Raises:
        DemoError: it isn't installed.
    """
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise DemoError(f"{path} is not there: install the server and the clients with `make install`")
    return shown(path)


def shown(path: Path) -> str:
    """The path as commands get it: from the project's folder if it is inside."""
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)


def announce(console: Console, command: Sequence[str], *, then: str = "") -> None:
    """Shows a command line."""
    console.print(Text(f"$ {shlex.join(command)}{then}", style="bold cyan"), soft_wrap=True)


def run(console: Console, command: Sequence[str], *, timeout_s: float, output: Path | None = None) -> None:
    """Runs a command to its end; what it says on standard error goes to the user.

    Args:
        console: shows the command.
        command: program and arguments.
        timeout_s: it is stopped after this.
        output: file for its standard output; the user's terminal without one.

    Raises:
        DemoError: it failed, or took too long.
    """
    announce(console, command, then=f" > {shown(output)}" if output else "")
    try:
        if output is None:
            done = subprocess.run(command, cwd=PROJECT, timeout=timeout_s, check=False)
        else:
            with output.open("wb") as file:
                done = subprocess.run(command, cwd=PROJECT, stdout=file, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"{command[0]} took longer than {timeout_s:.0f} s and was stopped") from error
    if done.returncode:
        raise DemoError(f"{command[0]} ended with exit code {done.returncode}; the reason is above")
