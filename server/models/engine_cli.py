"""`facestream-models engine`: build, list, verify and clean the engines that GPUs run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.defaults import DETECT_SIDE, MAX_BATCH
from server.errors import ConflictError, FacestreamError
from server.inference.precision import Precision
from server.models.folders import folder_named, installed
from server.models.report import Output, Row, Talk, print_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.inference.engines.builder import EngineBuilder
    from server.inference.engines.manager import Engine
    from server.models.engines import Order

FAILURE = 1
BUILT, KEPT = "built", "kept"
SUCCESSES = frozenset({BUILT, KEPT})
NOT_OURS = frozenset({"refused", "foreign"})
"""States that `verify` finds fault with."""

app = typer.Typer(
    help="Engines for NVIDIA GPUs: built from model folders, sealed, kept in a cache.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEFAULT_DIR = Path("engines")
MODELS_DIR = Path("models")


class EnginePrecision(Enum):
    """What an engine computes in; the values are those of `Precision`."""

    F32 = "f32"
    F16 = "f16"
    INT8 = "int8"


DEFAULT_PRECISIONS = (EnginePrecision.F32, EnginePrecision.F16)

EnginesDir = Annotated[
    Path,
    typer.Option("--engines-dir", envvar="FACESTREAM_ENGINES_DIR", metavar="DIR", help="Where engines are kept."),
]
ModelsDir = Annotated[
    Path,
    typer.Option("--models-dir", envvar="FACESTREAM_MODELS_DIR", metavar="DIR", help="Where NAME/VERSION folders lie."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON for programs.")]


@app.command("build")
def build(  # noqa: PLR0913 - an option each
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="NAME or NAME/VERSION.")] = None,
    precision: Annotated[
        list[EnginePrecision] | None, typer.Option("--precision", help="What it computes in; may be repeated.")
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="SM", help="GPU architecture, such as sm86 or sm80+; this machine's GPU when empty.")
    ] = "",
    detect_side: Annotated[
        int,
        typer.Option(min=64, max=4096, envvar="FACESTREAM_DETECT_SIDE", help="Longer side of frames, as the server's."),
    ] = DETECT_SIDE,
    max_batch: Annotated[
        int,
        typer.Option(
            min=1, max=256, envvar="FACESTREAM_MAX_BATCH", help="Crops in one batch at most, as the server's."
        ),
    ] = MAX_BATCH,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Aligned crops to measure ranges on, for int8.")
    ] = None,
    parity_crops: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Aligned crops to compare on, as well as drawn faces.")
    ] = None,
    models_dir: ModelsDir = MODELS_DIR,
    engines_dir: EnginesDir = DEFAULT_DIR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Builds engines of all installed models, or of those named; what is there already is kept.

    Without a GPU, TensorRT-RTX builds for `--target`, or portably for compute capability 8.0 and later. A server finds
    engines of its own GPU, --detect-side and --max-batch alone.

    Example: facestream-models engine build sface --precision f16
    """
    from server.inference.engines.builder import TensorRtBuilder
    from server.inference.engines.interrupt import interruptible
    from server.inference.engines.library import find_library
    from server.inference.engines.profiles import workload_for
    from server.inference.engines.progress import Progress
    from server.inference.engines.store import EngineStore
    from server.inference.gpu.runtime import own_architecture
    from server.models.engines import Order, build_engine

    builder = TensorRtBuilder(find_library())
    store = EngineStore(engines_dir)
    architecture = target or own_architecture()
    workload = workload_for(detect_side=detect_side, max_batch=max_batch)
    crops = {EnginePrecision.INT8: calibration}
    orders = [
        Order(Precision(one.value), architecture, workload, crops.get(one), parity_crops)
        for one in precision or DEFAULT_PRECISIONS
    ]
    with Talk() as talk, interruptible() as unwanted:
        progress = Progress(talk.step, unwanted)

        def build_one(name: str, order: Order) -> tuple[Engine, str]:
            progress.go_on()
            return build_engine(folder_named(models_dir, name), order, builder, store, progress=progress)

        rows = [_row(name, order, build_one) for name in names or installed(models_dir) for order in orders]
    print_rows(rows, output)
    if any(row["result"] not in SUCCESSES for row in rows):
        raise typer.Exit(FAILURE)


def _row(name: str, order: Order, build_one: Callable[[str, Order], tuple[Engine, str]]) -> Row:
    """What became of one order: the reason of its failure is its result."""
    of_what = {"model": name, "precision": order.precision.value}
    try:
        engine, finding = build_one(name, order)
    except FacestreamError as error:
        return of_what | {"result": error.reason, "engine": "", "notes": error.message}
    return of_what | {"result": BUILT if engine.built else KEPT, "engine": engine.name, "notes": finding}


@app.command("list")
def list_all(engines_dir: EnginesDir = DEFAULT_DIR, output: OutputOption = Output.TABLE) -> None:
    """Lists the engines that are there, and what else has the name of one.

    Example: facestream-models engine list
    """
    print_rows(_rows(engines_dir), output)


@app.command("verify")
def verify(engines_dir: EnginesDir = DEFAULT_DIR, output: OutputOption = Output.TABLE) -> None:
    """Checks that every engine is intact and was written by this installation; exit code 1 when one isn't.

    Example: facestream-models engine verify
    """
    rows = _rows(engines_dir)
    print_rows(rows, output)
    if any(row["state"] in NOT_OURS for row in rows):
        raise typer.Exit(FAILURE)


@app.command("clean")
def clean(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are of use.")] = False,
    engines_dir: EnginesDir = DEFAULT_DIR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Deletes engines that are damaged, foreign, or of another version of the library; exit code 1 when one is left.

    What is no file is foreign too: of a link, only the link is deleted; a folder is left. With --all, locks that no
    build holds go as well; the key that engines are sealed with stays.

    Example: facestream-models engine clean
    """
    from server.inference.engines.store import EngineStore
    from server.models.engines import clean_engines

    if not engines_dir.exists():
        print_rows([], output)
        return
    gone = clean_engines(EngineStore(engines_dir), _builder(), everything=everything)
    rows = [
        {"file": one.path.name, "state": one.what, "action": "left" if one.problem else "deleted", "notes": one.problem}
        for one in gone
    ]
    print_rows(rows, output)
    if any(one.problem for one in gone):
        raise typer.Exit(FAILURE)


def _rows(engines_dir: Path) -> list[Row]:
    from server.inference.engines.store import EngineStore
    from server.models.engines import list_engines

    if not engines_dir.exists():
        return []
    return [
        {
            "model": one.about.get("model", ""),
            "precision": one.about.get("precision", ""),
            "target": one.about.get("target", ""),
            "library": f"{one.about.get('library', '')} {one.about.get('library_version', '')}".strip(),
            "bytes": one.about.get("plan_bytes", str(one.size)),
            "built at": one.about.get("built_at", ""),
            "state": one.state.value,
            "file": one.path.name,
            "notes": one.why,
        }
        for one in list_engines(EngineStore(engines_dir), _builder())
    ]


def _builder() -> EngineBuilder | None:
    """What engines would be built with; None where nothing is installed that builds."""
    from server.inference.engines.builder import TensorRtBuilder
    from server.inference.engines.library import find_library

    try:
        return TensorRtBuilder(find_library())
    except ConflictError:
        return None
