"""facestream-admin sighting: who was seen where and when."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.client import Client
from clients.commands.admin_context import AdminContext, Output
from clients.commands.sheets import Sheet, save_faces
from clients.output_seen import (
    SIGHTING_COLUMNS,
    clock,
    event_json,
    event_line,
    past_json,
    past_rows,
    sighting_json,
    sighting_row,
    who_is,
)
from clients.photos import read_photo
from clients.seen import PastSearch, RecordedSighting, SightingQuery, WatchBegan
from clients.sheet import SheetFace

app = typer.Typer(help="Who was seen where and when.", no_args_is_help=True, rich_markup_mode=None)

Which = Annotated[
    str, typer.Argument(metavar="SIGHTING", help="Id or resource name, as the list shows it.", show_default=False)
]
Camera = Annotated[str, typer.Option(metavar="NAME", help="Only of this camera.", show_default=False)]
Ignored = Annotated[bool, typer.Option("--ignored", help="Also of people who are ignored.")]


def _time(text: str) -> datetime:
    """A day, or a time of a day, in local time."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write a day as 2026-11-24, or a time as 2026-11-24T18:30"
        ) from None


@app.command("list", epilog="Example: facestream-admin sighting list --person 'Ada Lovelace' --since 2026-11-24")
def list_sightings(  # noqa: PLR0913 - one for each option
    context: typer.Context,
    person: Annotated[
        str,
        typer.Option(metavar="PERSON", help="Only of this enrolled person: name or id.", show_default=False),
    ] = "",
    unknown: Annotated[
        str, typer.Option(metavar="UNKNOWN", help="Only of this unknown person: id.", show_default=False)
    ] = "",
    camera: Camera = "",
    since: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", parser=_time, help="Only those not over before, local time.", show_default=False),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME", parser=_time, help="Only those that began before, local time.", show_default=False
        ),
    ] = None,
    ignored: Ignored = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, the newest first.")] = 100,
    save: Sheet = None,
) -> None:
    """List sightings, the newest first, under the names of now."""
    admin: AdminContext = context.obj

    async def listed(client: Client) -> tuple[list[RecordedSighting], list[SheetFace]]:
        query = SightingQuery(
            identity=(await client.find(person)).name if person else "",
            unknown=unknown,
            camera=camera,
            start_at=since,
            end_at=until,
            include_ignored=ignored,
        )
        found = []
        async for sighting in client.sightings.list(query):
            found.append(sighting)
            if len(found) == limit:
                break
        shown = found if save else []
        return found, [SheetFace((await client.sightings.get(seen.name))[1], _caption(seen)) for seen in shown]

    sightings, faces = admin.call(listed)
    save_faces(admin, save, faces)
    admin.answer(
        {"sightings": [sighting_json(sighting) for sighting in sightings]},
        SIGHTING_COLUMNS,
        [sighting_row(sighting) for sighting in sightings],
    )
    if not sightings and admin.output is Output.TABLE:
        admin.terminal.note("nobody was seen")


def _caption(sighting: RecordedSighting) -> tuple[str, ...]:
    return who_is(sighting), f"{sighting.id}  {sighting.camera}", clock(sighting.first_seen_at)


@app.command(epilog="Example: facestream-admin sighting watch --camera door --output json")
def watch(
    context: typer.Context,
    camera: Camera = "",
    ignored: Ignored = False,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="End after so many events; 0 for never.")] = 0,
) -> None:
    """Show sightings as they come and change, and people as they get other names. Ends with Ctrl-C."""
    admin: AdminContext = context.obj

    async def watched(client: Client) -> None:
        count = 0
        async for event in client.sightings.watch(camera=camera, include_ignored=ignored):
            if isinstance(event, WatchBegan):
                continue
            if admin.output is Output.JSON:
                admin.terminal.json(event_json(event))
            else:
                admin.terminal.say(event_line(event))
            count += 1
            if count == limit:
                return

    admin.call(watched)


@app.command(epilog="Example: facestream-admin sighting reject 17")
def reject(context: typer.Context, sighting: Which) -> None:
    """Say that a sighting does not show the person whom it is said to show; no face like it ever will."""
    admin: AdminContext = context.obj
    rejection = admin.call(lambda client: client.sightings.reject(sighting))
    admin.answer(
        {
            "sighting": sighting_json(rejection.sighting),
            "rejected_identity": rejection.rejected_identity,
            "operation": rejection.operation,
        },
        SIGHTING_COLUMNS,
        [sighting_row(rejection.sighting)],
    )
    if admin.output is Output.TABLE:
        admin.terminal.note(
            f"take it back with: facestream-admin unknown undo {rejection.operation.rpartition('/')[2]}"
        )


@app.command(epilog="Example: facestream-admin sighting search ada.jpg")
def search(
    context: typer.Context,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture with any number of faces.")],
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Sightings to list for each face.")] = 10,
    everybody: Annotated[bool, typer.Option("--everybody", help="Also sightings of people who are enrolled.")] = False,
    save: Sheet = None,
) -> None:
    """Find out whether somebody was here before: the sightings of unknown people that are nearest to a photograph."""
    admin: AdminContext = context.obj
    picture = read_photo(photo)

    async def searched(client: Client) -> tuple[PastSearch, list[SheetFace]]:
        result = await client.sightings.search(picture, limit=limit, include_identified=everybody)
        near = [near for found in result.faces for near in found.candidates] if save else []
        return result, [
            SheetFace(
                (await client.sightings.get(each.sighting.name))[1], (f"{each.distance:.2f}", *_caption(each.sighting))
            )
            for each in near
        ]

    result, faces = admin.call(searched)
    save_faces(admin, save, faces)
    admin.answer(
        past_json(result), ("face", "distance", "id", "who", "camera", "first seen", "last seen"), past_rows(result)
    )
    if admin.output is Output.TABLE:
        admin.terminal.note(
            f"{result.searched_count} sightings were searched; up to {result.threshold:.2f} it is probably the person"
        )
