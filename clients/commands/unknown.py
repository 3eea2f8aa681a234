"""facestream-admin unknown: people who were seen and are not enrolled."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from clients.client import Client
from clients.commands.admin_context import AdminContext, Output
from clients.commands.sheets import Sheet, save_faces
from clients.errors import ClientError, UsageError
from clients.output import identity_json
from clients.output_seen import (
    OPERATION_COLUMNS,
    SIGHTING_COLUMNS,
    UNKNOWN_COLUMNS,
    clock,
    operation_json,
    operation_row,
    sighting_json,
    sighting_row,
    unknown_json,
    unknown_row,
)
from clients.seen import Naming, Operation, UnknownFace, UnknownPerson, UnknownReceipt, UnknownState
from clients.sheet import SheetFace
from clients.text import printable

app = typer.Typer(help="People who were seen and are not enrolled.", no_args_is_help=True, rich_markup_mode=None)

Who = Annotated[
    str, typer.Argument(metavar="UNKNOWN", help="Id or resource name, as the list shows it.", show_default=False)
]


class Listed(StrEnum):
    """Which groups are listed."""

    OPEN = "open"
    IGNORED = "ignored"
    NAMED = "named"
    ALL = "all"


@app.command("list", epilog="Example: facestream-admin unknown list --save strangers.jpg")
def list_unknowns(
    context: typer.Context,
    state: Annotated[Listed, typer.Option(help="Those about whom nothing was said, or others.")] = Listed.OPEN,
    save: Sheet = None,
) -> None:
    """List unknown people in the order in which they were first seen."""
    admin: AdminContext = context.obj
    states = (UnknownState.OPEN, UnknownState.IGNORED, UnknownState.NAMED)
    wanted = states if state is Listed.ALL else (UnknownState(state.value),)

    async def listed(client: Client) -> tuple[list[UnknownPerson], list[SheetFace]]:
        found = [unknown async for unknown in client.unknowns.list(*wanted)]
        shown = found if save else []
        return found, [
            SheetFace((await client.sightings.get(each.best_sighting))[1], _caption(each))
            for each in shown
            if each.best_sighting
        ]

    unknowns, faces = admin.call(listed)
    save_faces(admin, save, faces)
    admin.answer(
        {"unknowns": [unknown_json(unknown) for unknown in unknowns]},
        UNKNOWN_COLUMNS,
        [unknown_row(unknown) for unknown in unknowns],
    )
    if not unknowns and admin.output is Output.TABLE:
        admin.terminal.note("no unknown person was seen well twice" if state is Listed.OPEN else "there are none")


def _caption(unknown: UnknownPerson) -> tuple[str, ...]:
    return unknown.display_name or unknown.id, f"{unknown.sighting_count} times, last", clock(unknown.last_seen_at)


@app.command(epilog="Example: facestream-admin unknown show mb2xq --save faces.jpg")
def show(
    context: typer.Context,
    unknown: Who,
    faces: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Faces to show, the best first.")] = 16,
    save: Sheet = None,
) -> None:
    """Show an unknown person and where the person was seen."""
    admin: AdminContext = context.obj
    details = admin.call(lambda client: client.unknowns.get(unknown, face_limit=faces))
    save_faces(admin, save, [_sheet_face(face) for face in details.faces])
    if admin.output is Output.TABLE:
        admin.terminal.table(UNKNOWN_COLUMNS, [unknown_row(details.unknown)])
        admin.terminal.say("")
    admin.answer(
        unknown_json(details.unknown) | {"faces": [sighting_json(face.sighting) for face in details.faces]},
        SIGHTING_COLUMNS,
        [sighting_row(face.sighting) for face in details.faces],
    )


def _sheet_face(face: UnknownFace) -> SheetFace:
    seen = face.sighting
    return SheetFace(face.crop, (f"{seen.id}  {seen.camera}", clock(seen.first_seen_at)))


@app.command(epilog="Example: facestream-admin unknown name mb2xq 'Ada Lovelace'")
def name(
    context: typer.Context,
    unknown: Who,
    display_name: Annotated[
        str, typer.Argument(metavar="NAME", help="Display name of a new person.", show_default=False)
    ] = "",
    to: Annotated[
        str,
        typer.Option(metavar="PERSON", help="It is this person, who is enrolled already.", show_default=False),
    ] = "",
) -> None:
    """Say who an unknown person is.

    The best faces become templates, cameras recognise the person from now on, and the past follows.
    """
    admin: AdminContext = context.obj
    if bool(display_name) == bool(to):
        raise UsageError("say who it is", "write UNKNOWN NAME for a new person, or UNKNOWN --to PERSON")

    async def named(client: Client) -> Naming:
        identity = (await client.find(to)).name if to else ""
        return await client.unknowns.name(unknown, display_name, identity=identity)

    naming = admin.call(named)
    admin.answer(
        {
            "unknown": unknown_json(naming.unknown),
            "identity": identity_json(naming.identity),
            "template_count": naming.template_count,
            "operation": naming.operation,
        },
        ("unknown", "is", "id", "templates", "sightings"),
        [
            (
                naming.unknown.id,
                naming.identity.display_name,
                naming.identity.id,
                str(naming.template_count),
                str(naming.unknown.sighting_count),
            )
        ],
    )
    _say_how_to_undo(admin, naming.operation)


@app.command(epilog="Example: facestream-admin unknown merge mb2xq 7kdfa")
def merge(
    context: typer.Context,
    unknowns: Annotated[
        list[str], typer.Argument(metavar="UNKNOWN UNKNOWN", help="Two or more ids.", show_default=False)
    ],
) -> None:
    """Say that unknown people are one person."""
    admin: AdminContext = context.obj
    if len(unknowns) < 2:
        raise UsageError("there is nothing to merge", "name at least two unknown people")
    merged = admin.call(lambda client: client.unknowns.merge(unknowns))
    _answer_group(admin, merged.unknown, merged.operation)


@app.command(epilog="Example: facestream-admin unknown split mb2xq 17 23")
def split(
    context: typer.Context,
    unknown: Who,
    sightings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SIGHTING",
            help="Ids of the sightings that are somebody else; without any, the server finds the two most distinct "
            "halves.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say that an unknown person is two people."""
    admin: AdminContext = context.obj
    parts = admin.call(lambda client: client.unknowns.split(unknown, sightings or ()))
    admin.answer(
        {
            "unknown": unknown_json(parts.unknown),
            "other": unknown_json(parts.other),
            "operation": parts.operation,
        },
        UNKNOWN_COLUMNS,
        [unknown_row(parts.unknown), unknown_row(parts.other)],
    )
    _say_how_to_undo(admin, parts.operation)


@app.command(epilog="Example: facestream-admin unknown ignore mb2xq")
def ignore(
    context: typer.Context,
    unknown: Who,
    again: Annotated[bool, typer.Option("--show", help="Show a person again who was ignored.")] = False,
) -> None:
    """Hide an unknown person, such as the postman, and all sightings of the person."""
    admin: AdminContext = context.obj
    hidden = admin.call(lambda client: client.unknowns.ignore(unknown, show=again))
    _answer_group(admin, hidden.unknown, hidden.operation)


@app.command(epilog="Example: facestream-admin unknown delete mb2xq --yes")
def delete(
    context: typer.Context,
    unknown: Who,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete an unknown person and everything that was kept of the person. There is no way back."""
    admin: AdminContext = context.obj
    if not yes and not sys.stdin.isatty():
        raise UsageError("nothing was deleted: nobody is there to confirm it", "add --yes")

    async def deleted(client: Client) -> UnknownReceipt:
        found = (await client.unknowns.get(unknown, face_limit=1)).unknown
        question = f"Delete {printable(found.id)} and {found.sighting_count} sightings?"
        if not yes and not typer.confirm(question, err=True):
            raise ClientError("nothing was deleted")
        return await client.unknowns.delete(found.name)

    receipt = admin.call(deleted)
    admin.answer(
        {
            "name": receipt.name,
            "sighting_count": receipt.sighting_count,
            "deleted_at": receipt.deleted_at.isoformat(),
        },
        ("deleted", "sightings", "at"),
        [(receipt.name, str(receipt.sighting_count), clock(receipt.deleted_at))],
    )


@app.command(epilog="Example: facestream-admin unknown undo")
def undo(
    context: typer.Context,
    operation: Annotated[
        str,
        typer.Argument(
            metavar="OPERATION",
            help="Id of an operation; the last one that can be undone without.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Take back a naming, merge, split, ignoring or rejection."""
    admin: AdminContext = context.obj
    undone = admin.call(lambda client: client.unknowns.undo(operation))
    admin.answer(operation_json(undone), OPERATION_COLUMNS, [operation_row(undone)])


@app.command(epilog="Example: facestream-admin unknown history")
def history(context: typer.Context) -> None:
    """List what was done to unknown people and sightings, the newest first."""
    admin: AdminContext = context.obj

    async def listed(client: Client) -> list[Operation]:
        return [operation async for operation in client.unknowns.operations()]

    operations = admin.call(listed)
    admin.answer(
        {"operations": [operation_json(operation) for operation in operations]},
        OPERATION_COLUMNS,
        [operation_row(operation) for operation in operations],
    )


def _answer_group(admin: AdminContext, unknown: UnknownPerson, operation: str) -> None:
    admin.answer(unknown_json(unknown) | {"operation": operation}, UNKNOWN_COLUMNS, [unknown_row(unknown)])
    _say_how_to_undo(admin, operation)


def _say_how_to_undo(admin: AdminContext, operation: str) -> None:
    if admin.output is Output.TABLE:
        admin.terminal.note(f"take it back with: facestream-admin unknown undo {operation.rpartition('/')[2]}")
