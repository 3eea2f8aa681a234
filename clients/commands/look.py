"""facestream-admin search, verify and status: questions that change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.commands.admin_context import AdminContext, Output
from clients.faces import Face
from clients.output import search_json, status_json
from clients.people import Candidate, FaceCandidates, Health, LoadedModel, Status
from clients.photos import read_photo
from clients.render import label

DIFFERENT = 1
"""Exit code of `verify` for two people."""

NOT_SERVING = 5

Far = Annotated[
    float,
    typer.Option(min=0.0, max=0.1, metavar="F", help="Wanted false accept rate, such as 0.001; 0 takes the server's."),
]


def search(
    context: typer.Context,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture with any number of faces.")],
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="People to list for each face.")] = 5,
    target_far: Far = 0.0,
) -> None:
    """Show who is nearest to each face of a photograph, also those who are too far away to be the same person."""
    admin: AdminContext = context.obj
    picture = read_photo(photo)
    result = admin.call(lambda client: client.search(picture, limit=limit, target_far=target_far))
    rows = [row for number, found in enumerate(result.faces, start=1) for row in _candidate_rows(number, found)]
    admin.answer(search_json(result), ("face", "at", "answer", "person", "distance", "id"), rows)
    if not result.faces:
        admin.terminal.note("no face was found")


def verify(
    context: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="A picture with one face.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another picture with one face.")],
    target_far: Far = 0.0,
) -> None:
    """Say whether two photographs show the same person.

    The exit code is 0 when they do and 1 when they don't.
    """
    admin: AdminContext = context.obj
    pictures = (read_photo(first), read_photo(second))
    result = admin.call(lambda client: client.verify(*pictures, target_far=target_far))
    shown = {
        "same": result.same,
        "distance": round(result.distance, 4),
        "threshold": round(result.threshold, 4),
        "target_far": result.target_far,
    }
    row = (
        "same" if result.same else "different",
        f"{result.distance:.3f}",
        f"{result.threshold:.3f}",
        f"{result.target_far:g}",
    )
    admin.answer(shown, ("person", "distance", "threshold", "false accept rate"), [row])
    if not result.same:
        raise typer.Exit(DIFFERENT)


def status(context: typer.Context) -> None:
    """Show whether the server serves, what it runs, and how large the gallery is.

    The exit code is 5 when it does not serve.
    """
    admin: AdminContext = context.obj
    found = admin.call(lambda client: client.status())
    admin.answer(status_json(found), ("what", "value"), _status_rows(admin.server, found))
    if found.health is Health.NOT_SERVING:
        if admin.output is Output.TABLE:
            admin.terminal.note("the server starts or stops; ask again in a few seconds")
        raise typer.Exit(NOT_SERVING)


def _candidate_rows(number: int, found: FaceCandidates) -> list[tuple[str, ...]]:
    head = (str(number), _place(found.face), label(found.face))
    rows = [_candidate(candidate) for candidate in found.candidates] or [("-", "-", "-")]
    return [(*head, *rows[0]), *(("", "", "", *row) for row in rows[1:])]


def _candidate(candidate: Candidate) -> tuple[str, str, str]:
    near = "" if candidate.within_threshold else " (too far)"
    return candidate.identity.display_name, f"{candidate.distance:.2f}{near}", candidate.identity.id


def _place(face: Face) -> str:
    return f"{face.box.left:.0f},{face.box.top:.0f} {face.box.width:.0f}x{face.box.height:.0f}"


def _status_rows(target: str, status: Status) -> list[tuple[str, str]]:
    server, gallery = status.server, status.gallery
    hours, rest = divmod(round(server.uptime_s), 3600)
    return [
        ("server", f"{target}, version {server.version}, {status.health.replace('_', ' ')}"),
        ("up for", f"{hours}:{rest // 60:02d}:{rest % 60:02d} h"),
        ("open streams", f"{server.open_streams} of {server.limits.streams}{_of_one(server.workers)}"),
        ("sightings", "kept" if server.keeps_sightings else "not kept, and strangers not grouped: several workers"),
        ("false accept rate", f"{server.target_far:g}"),
        *(row for model in server.models for row in _model_rows(model)),
        ("gallery", gallery.gallery),
        ("people", f"{gallery.identity_count}, {gallery.template_count} photographs"),
        ("threshold", f"{gallery.threshold:.3f}"),
        ("revision", str(gallery.revision)),
    ]


def _model_rows(model: LoadedModel) -> list[tuple[str, str]]:
    shown = (model.kind, f"{model.model} on {model.backend} ({model.licence})")
    return [shown, ("", model.backend_reason)] if model.backend_reason else [shown]


def _of_one(workers: int) -> str:
    return f" (of the one of {workers} workers that answers)" if workers > 1 else ""
