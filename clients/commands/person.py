"""facestream-admin person: who is enrolled."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from clients.client import Client
from clients.commands.admin_context import AdminContext, Output
from clients.commands.enrol import Person, enrol_folder, enrol_person
from clients.errors import ClientError, UsageError
from clients.output import identity_json, template_json
from clients.people import Identity, IdentityDetails, Receipt
from clients.photos import photo_files
from clients.text import printable

app = typer.Typer(help="The people who are enrolled.", no_args_is_help=True, rich_markup_mode=None)

Who = Annotated[
    str,
    typer.Argument(
        metavar="PERSON",
        help="Resource name, id, or display name if nobody else has it.",
        show_default=False,
    ),
]

_COLUMNS = ("id", "name", "photos", "enrolled", "changed")


@app.command(epilog="Example: facestream-admin person enrol 'Ada Lovelace' ada1.jpg ada2.jpg")
def enrol(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME PHOTO",
            help="Display name of the new person, and pictures of this person alone or folders of them. With --to: "
            "only the pictures.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="PERSON", help="Add the pictures to this person, who is there already.", show_default=False
        ),
    ] = "",
    allow_lookalikes: Annotated[
        bool,
        typer.Option("--allow-lookalikes", help="Accept faces that could be taken for another person, such as a twin."),
    ] = False,
) -> None:
    """Enrol a person from photographs.

    Weak photographs are refused one by one, with the reason; one good photograph is enough.
    """
    admin: AdminContext = context.obj
    name, photos = ("", words) if to else (words[0], words[1:])
    if not photos:
        raise UsageError(f"there is no photograph of {printable(name)}", "write NAME PHOTO... or NAME FOLDER")
    files = photo_files([Path(photo) for photo in photos])
    person = Person(display_name=name, to=to, allow_lookalikes=allow_lookalikes, files=files)
    admin.call(lambda client: enrol_person(admin, client, person))


@app.command("enrol-folder", epilog="Example: facestream-admin person enrol-folder staff/")
def enrol_people(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Holds a folder of pictures for each person, under the person's name."),
    ],
    allow_lookalikes: Annotated[
        bool,
        typer.Option("--allow-lookalikes", help="Accept faces that could be taken for another person, such as a twin."),
    ] = False,
) -> None:
    """Enrol many people from a folder of folders. Those whose names are enrolled already are left out."""
    admin: AdminContext = context.obj
    admin.call(lambda client: enrol_folder(admin, client, folder, allow_lookalikes=allow_lookalikes))


@app.command("list", epilog="Example: facestream-admin person list --contains ada --output json")
def list_people(
    context: typer.Context,
    contains: Annotated[
        str, typer.Option(metavar="TEXT", help="Only names with this text in them.", show_default=False)
    ] = "",
) -> None:
    """List the people who are enrolled, in the order of their enrolment."""
    admin: AdminContext = context.obj

    async def listed(client: Client) -> list[Identity]:
        return [identity async for identity in client.list(contains)]

    people = admin.call(listed)
    admin.answer(
        {"people": [identity_json(person) for person in people]}, _COLUMNS, [_row(person) for person in people]
    )
    if not people and admin.output is Output.TABLE:
        admin.terminal.note("nobody is enrolled" if not contains else f"no name contains {contains}")


@app.command(epilog="Example: facestream-admin person show 'Ada Lovelace'")
def show(context: typer.Context, person: Who) -> None:
    """Show a person and the photographs behind the person."""
    admin: AdminContext = context.obj

    async def found(client: Client) -> IdentityDetails:
        return await client.get((await client.find(person)).name)

    details = admin.call(found)
    templates = details.templates
    if admin.output is Output.TABLE:
        admin.terminal.table(_COLUMNS, [_row(details.identity)])
        admin.terminal.say("")
    admin.answer(
        identity_json(details.identity) | {"templates": [template_json(template) for template in templates]},
        ("template", "photo", "quality", "added"),
        [(t.id, t.source, f"{t.quality.score:.2f}", f"{t.created_at:%Y-%m-%d %H:%M}") for t in templates],
    )


@app.command(epilog="Example: facestream-admin person rename 'Ada Lovelace' 'Ada King'")
def rename(
    context: typer.Context,
    person: Who,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new display name.", show_default=False)],
) -> None:
    """Give a person another display name."""
    admin: AdminContext = context.obj

    async def renamed(client: Client) -> Identity:
        return await client.rename((await client.find(person)).name, name)

    identity = admin.call(renamed)
    admin.answer(identity_json(identity), _COLUMNS, [_row(identity)])


@app.command(epilog="Example: facestream-admin person delete 'Ada Lovelace' --yes")
def delete(
    context: typer.Context,
    person: Who,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a person and everything derived from the person's photographs. There is no way back."""
    admin: AdminContext = context.obj
    asks = sys.stdin.isatty()
    if not yes and not asks:
        raise UsageError("nothing was deleted: nobody is there to confirm it", "add --yes")

    async def deleted(client: Client) -> Receipt:
        identity = await client.find(person)
        question = f"Delete {printable(identity.display_name)} ({identity.id}, {identity.template_count} photographs)?"
        if not yes and not typer.confirm(question, err=True):
            raise ClientError("nothing was deleted")
        return await client.delete(identity.name)

    receipt = admin.call(deleted)
    shown = {
        "name": receipt.name,
        "template_count": receipt.template_count,
        "deleted_at": receipt.deleted_at.isoformat(),
        "gallery_revision": receipt.gallery_revision,
    }
    row = (
        receipt.name,
        str(receipt.template_count),
        f"{receipt.deleted_at:%Y-%m-%d %H:%M:%S} UTC",
        str(receipt.gallery_revision),
    )
    admin.answer(shown, ("deleted", "photos", "at", "gallery revision"), [row])


def _row(identity: Identity) -> tuple[str, ...]:
    return (
        identity.id,
        identity.display_name,
        str(identity.template_count),
        f"{identity.created_at:%Y-%m-%d %H:%M}",
        f"{identity.updated_at:%Y-%m-%d %H:%M}",
    )
