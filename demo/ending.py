"""The ending: the stranger, who came twice, gets a name, and the past follows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.commands import program, run, shown
from demo.errors import DemoError

_ADMIN_S = 60.0


def name_the_stranger(console: Console, name: str, address: str, out: Path) -> tuple[str, ...]:
    """Names the one person who was seen twice without being enrolled; what is wrong with the outcome, in words.

    Args:
        console: shows the commands and what they say.
        name: of the stranger.
        address: HOST:PORT of the server, which has seen the video.
        out: folder for a contact sheet, and for what the commands say to programs.

    Raises:
        DemoError: a command failed.
    """
    admin, server = program("facestream-admin"), ("--server", address)
    strangers = _asked(console, [admin, "unknown", "list", *server], out / "unknowns.json")["unknowns"]
    if len(strangers) != 1:
        return (f"{len(strangers)} people who are not enrolled have a group; {name} is the only one who should",)
    (stranger,) = strangers
    run(
        console,
        [admin, "unknown", "show", stranger["id"], "--save", shown(out / "stranger.jpg"), *server],
        timeout_s=_ADMIN_S,
    )
    run(console, [admin, "unknown", "name", stranger["id"], name, *server], timeout_s=_ADMIN_S)
    run(console, [admin, "sighting", "list", *server], timeout_s=_ADMIN_S)
    sightings = _asked(console, [admin, "sighting", "list", *server], out / "past.json")["sightings"]
    return past_faults(sightings, name, stranger)


def past_faults(sightings: Sequence[Mapping[str, Any]], name: str, stranger: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with the past after the stranger got a name.

    Args:
        sightings: all of them, as `sighting list --output json` says them.
        name: that the stranger got.
        stranger: the group, as `unknown list --output json` said it before.
    """
    faults = []
    his = [sighting for sighting in sightings if sighting["unknown"] == stranger["name"]]
    if len(his) != stranger["sighting_count"]:
        faults.append(f"{stranger['sighting_count']} sightings of {name} became {len(his)}")
    if any(sighting["display_name"] != name for sighting in his):
        faults.append(f"not every sighting of {name} shows the name")
    if any(sighting["display_name"] == name for sighting in sightings if sighting not in his):
        faults.append(f"somebody else's sighting shows the name of {name}")
    return tuple(faults)


def _asked(console: Console, command: Sequence[str], path: Path) -> dict[str, Any]:
    """What a command says to programs."""
    run(console, [*command, "--output", "json"], timeout_s=_ADMIN_S, output=path)
    try:
        answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DemoError(f"{path} holds no JSON: {error}") from error
    return answer
