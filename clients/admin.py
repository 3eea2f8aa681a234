"""facestream-admin: enrols people and asks a server questions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from clients.channel import DEFAULT_TARGET, checked_target
from clients.commands import gallery as gallery_commands
from clients.commands import look, person, sighting, top, unknown
from clients.commands.admin_context import AdminContext, Output, hoisted
from clients.commands.run import run

_SHARED = frozenset({"--server", "--gallery", "--output", "--timeout"})

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 refused, 5 server unavailable. The options of this "
    "page may stand before or after the command.",
)
app.add_typer(person.app, name="person")
app.add_typer(gallery_commands.app, name="gallery")
app.add_typer(unknown.app, name="unknown")
app.add_typer(sighting.app, name="sighting")
app.command(epilog="Example: facestream-admin search party.jpg --limit 3")(look.search)
app.command(epilog="Example: facestream-admin verify passport.jpg selfie.jpg && echo same")(look.verify)
app.command(epilog="Example: facestream-admin status --server camera-hub:50051")(look.status)
app.command(epilog="Example: facestream-admin top --once --output json")(top.top)


@app.callback()
def shared(
    context: typer.Context,
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="FACESTREAM_SERVER", help="The server.")
    ] = DEFAULT_TARGET,
    gallery: Annotated[
        str, typer.Option(metavar="NAME", envvar="FACESTREAM_GALLERY", help="The gallery: its id or resource name.")
    ] = "default",
    output: Annotated[
        Output, typer.Option(help="Standard output: tables for people, JSON for programs.")
    ] = Output.TABLE,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            envvar="FACESTREAM_TIMEOUT",
            help="For each call; enrolment gets 2 more a photo.",
        ),
    ] = 10.0,
) -> None:
    """Enrol people, and ask a facestream server questions."""
    context.obj = AdminContext(checked_target(server), gallery, output, timeout)


def command(arguments: Sequence[str]) -> int:
    """The exit code of a command line."""
    return run(app, hoisted(arguments, _SHARED))


def main() -> None:
    """The command facestream-admin."""
    sys.exit(command(sys.argv[1:]))


if __name__ == "__main__":
    main()
