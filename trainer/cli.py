"""`facestream-train`: parse, one call, print."""

from __future__ import annotations

import sys

import typer

from server.errors import FacestreamError
from trainer.commands import cluster, evaluate, export, identify, models, prepare, split, train

FAILURE = 1
INTERRUPTED = 130

app = typer.Typer(
    help="FaceNet models, from photographs to a model folder that the server runs.",
    epilog="Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("models")(models.models)
app.command("prepare")(prepare.prepare)
app.command("split")(split.split)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("identify")(identify.identify_people)
app.command("cluster")(cluster.cluster)
app.command("export")(export.export)


def main() -> None:
    """Runs the command line; errors that are raised on purpose become one line and exit code 1."""
    try:
        app()
    except FacestreamError as error:
        sys.stderr.write(f"facestream-train: {error.message}\n")
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        sys.stderr.write("facestream-train: interrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
