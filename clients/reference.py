"""The page of docs/ that lists every command: its own --help, so that page and program cannot differ.

Write it anew with `python -m clients.reference > docs/cli.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

import typer
from typer.testing import CliRunner

from clients import admin, camera

_WIDTH = 100
APPS: Mapping[str, typer.Typer] = {"facestream-camera": camera.app, "facestream-admin": admin.app}

_HEAD = """# Commands

`facestream-camera` shows a server what a camera sees; `facestream-admin` enrols people and asks questions. Data goes to
standard output, everything else to standard error, so that output can be piped; colours and progress bars appear only
on a terminal (and never where `NO_COLOR` is set). An option is taken from the command line, then from the environment
variable named with it, then from its default.

| exit code | meaning |
| --- | --- |
| 0 | ok; `verify`: the same person |
| 1 | failure: something cannot be read or written, the server has a fault, no frame was recognised; \
`verify`: different people |
| 2 | usage: an option or argument is wrong |
| 3 | not found: a person, file, folder or webcam is not there |
| 4 | refused: the photographs or the state of the server forbid it |
| 5 | unavailable: the server is out of reach, overloaded or not ready |
| 130 | interrupted (`facestream-camera` ends with 0 after one Ctrl-C) |

A line of `facestream-camera --output jsonl` is one frame: `sequence` (its number in the source), `captured_at`,
`position_s`, and `outcome`:

| outcome | more fields |
| --- | --- |
| `result` | `latency_ms`, `server_ms`, `faces`: `box` (left, top, width, height in pixels of the source), `name` \
(null unless somebody enrolled was recognised), `answer` (`match`, `unknown`, `undecided`, `none`), `identity`, \
`distance`, `threshold`, `margin`, `confidence`, `provisional` (true while only one look at the face says so), \
`reason`, `quality`, `score`, `track` (of the face, while it is followed), `unknown` \
(of somebody who is not enrolled: the group of unknown faces, null while there is none) |
| `dropped` | `by` (`client`, `server`), `reason` (`superseded` by a newer frame, `too_old`, `draining`, \
`not_connected`, `closing`) |
| `error` | `by`, `reason`, `message` |
| `lost` | `message`: the connection ended before the answer came |

This page is made from the commands' own help; `python -m clients.reference > docs/cli.md` writes it anew.
"""


def reference(apps: Mapping[str, typer.Typer]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    for program, app in apps.items():
        for path in command_paths(app):
            title = " ".join((program, *path))
            parts.append(f"{'##' if not path else '###'} {title}\n\n```text\n{help_text(app, program, path)}```\n")
    return "\n".join(parts)


def command_paths(app: typer.Typer) -> Iterator[tuple[str, ...]]:
    """The words that lead to each command and group of an app, () first."""

    def walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    yield from walk(typer.main.get_command(app), ())


def help_text(app: typer.Typer, program: str, path: Sequence[str]) -> str:
    """What a command says when it is asked for help."""
    result = CliRunner().invoke(
        app,
        [*path, "--help"],
        prog_name=program,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        env={"COLUMNS": "100"},
    )
    return "".join(f"{line.rstrip()}\n" for line in result.output.rstrip().splitlines())


if __name__ == "__main__":
    sys.stdout.write(reference(APPS))
