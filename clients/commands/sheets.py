"""The option that saves faces as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from clients.commands.admin_context import AdminContext
from clients.lettering import default_lettering
from clients.sheet import SheetFace, save_sheets
from clients.text import printable

Sheet = Annotated[
    Path | None,
    typer.Option(
        "--save", metavar="FILE", help="Write a contact sheet of the faces, .jpg or .png.", show_default=False
    ),
]


def save_faces(admin: AdminContext, save: Path | None, faces: Sequence[SheetFace]) -> None:
    """Writes the sheets where the option was given; says so when they are several, or there is nothing to show.

    Raises:
        OutputError: the file cannot be written.
    """
    if save is None:
        return
    if faces:
        files = save_sheets(save, faces, default_lettering())
        if len(files) > 1:
            admin.terminal.note(f"the {len(faces)} faces are on {len(files)} sheets, the last {printable(files[-1])}")
    else:
        admin.terminal.note(f"{printable(save)} was not written: there are no faces to show")
