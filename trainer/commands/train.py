"""`facestream-train train`: a run, fresh or resumed, alone or under torchrun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from server.inference.load import Runtime, load_backend
from trainer.checkpoint import is_checkpoint, load_checkpoint, require_same_recipe
from trainer.commands.remarks import tell_how_prepared
from trainer.data.catalog import read_catalog
from trainer.data.template import template_for
from trainer.device import device_named
from trainer.errors import RecipeError
from trainer.evaluate.embed import Embed
from trainer.evaluate.model_folder import of_backend, through_template
from trainer.evaluate.verification import ValAtFar
from trainer.loop.listeners import JsonLines, Listener, TensorBoard
from trainer.loop.run import LAST, Outcome, Run, Setting, Start
from trainer.loop.step import StepResult
from trainer.loop.world import Alone, Together, World
from trainer.loss.compatible import Compatibility, Shown
from trainer.models.build import architecture
from trainer.models.weights import Loaded, read_weights
from trainer.recipe import RECIPES, Recipe, from_json, to_json
from trainer.storage import replace_file

RECIPE_FILE = "recipe.json"


def train(  # noqa: PLR0913 one parameter an option
    crops: Annotated[Path, typer.Argument(help="A folder with one folder of crops for each person, or a CSV list.")],
    folder: Annotated[Path, typer.Argument(help="Where the run's recipe, log, checkpoints and results go.")],
    recipe: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(RECIPES)}, or a JSON file.", show_default="small")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="For a named recipe: the network.", show_default="the recipe's")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Other than the recipe's number of mini-batches.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the folder's last checkpoint, as the run began: without --recipe, --network, --steps and "
            "--weights.",
        ),
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="A checkpoint or state_dict to begin with instead of random weights.")
    ] = None,
    compatible_with: Annotated[
        Path | None, typer.Option(help="Model folder whose embeddings the new ones can be compared with.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Trains a network with the triplet loss, and keeps the best and the last checkpoint.

    Under torchrun the processes share each mini-batch.

    Example: facestream-train train crops runs/first --recipe small --network nn4
    """
    start = Start.RESUME if resume else Start.FRESH
    if resume:
        _refuse_with_resume({"--recipe": recipe, "--network": network, "--steps": steps, "--weights": weights})
    chosen = _recipe_of(folder) if resume else _recipe(recipe or "small", network, steps)
    tensors = _initial(weights) if weights is not None else ()
    catalog = read_catalog(crops)
    chosen, older = _older(chosen, compatible_with, start)
    with _world(device) as (world, place):
        run = Run(chosen, Setting(catalog, folder, world, place, start, older, tensors))
        if world.rank == 0:
            if start is Start.FRESH:
                replace_file(folder / RECIPE_FILE, f"{to_json(chosen)}\n".encode(), what="the recipe")
            tell_how_prepared(catalog.paths, template_for(run.architecture.height, run.architecture.width))
            if run.taken_over is not None:
                typer.echo(_taken_over(run.taken_over))
            typer.echo(f"{len(run.training)} crops of {len(run.training.identities)} people to train on, ", nl=False)
            typer.echo(f"{len(run.held_out)} of {len(run.held_out.identities)} held out, on {place}")
        outcome = _go(run, world)
    if world.rank == 0:
        _print(outcome, chosen, folder)


def _refuse_with_resume(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter(
                f"a resumed run goes on with its own recipe and weights, not with {option} {value}; leave it out, or "
                "train into a new folder without --resume",
                param_hint=option,
            )


def _go(run: Run, world: World) -> Outcome:
    done, folder = run.progress.step, run.setting.folder
    listeners: list[Listener] = []
    with ExitStack() as undo:  # which closes them all, whatever one of them raises
        if world.rank == 0:
            for begin in (
                lambda: JsonLines(folder / "log.jsonl", done=done),
                lambda: TensorBoard(folder / "tensorboard", done=done),
                lambda: Bar(run.recipe, done=done),
            ):
                listeners.append(begin())
                undo.callback(listeners[-1].close)
        return run.go(listeners)


class Bar:
    """A progress bar with the loss, the share of active triplets, faces per second and the last VAL.

    With an older model the squared distance to it stands where the share of active triplets does otherwise.
    """

    def __init__(self, recipe: Recipe, *, done: int) -> None:
        """Shows itself."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        figures = TextColumn("{task.fields[figures]}")
        self._progress = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), figures)
        self._task: Any = self._progress.add_task("", total=recipe.steps, completed=done, figures="")
        self._older = recipe.compatible is not None
        self._val = ""
        self._progress.start()

    def on_step(self, step: int, result: StepResult, faces_per_second: float) -> None:
        """Moves on."""
        told = f"to the older model {result.regression:.4f}" if self._older else f"active {result.active_share:.0%}"
        figures = f"loss {result.total:.4f}  {told}  {faces_per_second:.0f} faces/s{self._val}"
        self._progress.update(self._task, completed=step, figures=figures)

    def on_validation(self, step: int, result: ValAtFar) -> None:
        """Shows VAL, and keeps a line of it."""
        self._val = f"  VAL {result.val.value:.1%}"
        self._progress.console.print(
            f"step {step}: VAL@FAR {result.target:g} {result.val}, threshold {result.threshold:.3f}"
        )

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._progress.stop()


def _initial(path: Path) -> tuple[tuple[str, Tensor], ...]:
    """The weights of another run's checkpoint, or of a state_dict file."""
    tensors = load_checkpoint(path).judged if is_checkpoint(path) else read_weights(path)
    return tuple(tensors.items())


def _taken_over(weights: Loaded) -> str:
    """What became of the initial weights, in words."""
    text = f"{len(weights.loaded)} tensors of the network begin with the weights given"
    if weights.fresh:
        text += f"; {', '.join(weights.fresh)} begin anew, having another shape there or being absent"
    if weights.ignored:
        text += f"; {len(weights.ignored)} that the network doesn't have are left out"
    return text


def _older(recipe: Recipe, folder: Path | None, start: Start) -> tuple[Recipe, Embed | None]:
    """The recipe with the older model in it, and what embeds with that model."""
    if folder is None:
        return recipe, None
    how = recipe.compatible or Compatibility()
    threads = _share_cores() if how.shown is Shown.CHANGED else torch.get_num_threads()
    manifest, backend = load_backend(folder, runtime=_fastest(), threads=threads)
    if start is Start.FRESH:
        network = replace(recipe.network, dimension=manifest.as_embedder().dimension)
        named = replace(how, model=manifest.model, sha256=manifest.sha256)
        recipe = replace(recipe, network=network, compatible=named)
    elif recipe.compatible is None or recipe.compatible.sha256 != manifest.sha256:
        raise RecipeError("OLDER_MODEL_MISMATCH", f"the run was not begun with {manifest.model}; resume it as it began")
    found = architecture(recipe.network.name)
    own = template_for(found.height, found.width)
    return recipe, through_template(of_backend(manifest, backend), own, manifest.template())


def _share_cores() -> int:
    """Threads of the older model, which answers the next question while the network learns from the one before.

    It gets half of them and torch keeps the others: two that want every core wait for each other.
    """
    threads = torch.get_num_threads()
    older = max(1, threads // 2)
    torch.set_num_threads(max(1, threads - older))
    return older


def _fastest() -> Runtime:
    """What runs the older model: nearly all of such a run's time may be its."""
    from server.inference.openvino import capabilities

    return Runtime.OPENVINO_BF16 if "BF16" in capabilities() else Runtime.OPENVINO


def _recipe(recipe: str, network: str | None, steps: int | None) -> Recipe:
    if recipe in RECIPES:
        chosen = RECIPES[recipe](network) if network else RECIPES[recipe]()
    elif network is None:
        chosen = _read(Path(recipe))
    else:
        raise typer.BadParameter(
            f"the recipe in {recipe} names its own network; write {network} there, or name one of {', '.join(RECIPES)}",
            param_hint="--network",
        )
    return chosen if steps is None else replace(chosen, steps=steps)


def _recipe_of(folder: Path) -> Recipe:
    """The recipe of a run, as its checkpoint has it.

    Raises:
        CheckpointError: RECIPE_CHANGED when the folder's own file says something else.
    """
    if not (folder / LAST).exists():
        raise RecipeError("NO_RUN", f"{folder} holds no run to resume ({LAST} is absent); train without --resume")
    recipe = load_checkpoint(folder / LAST).recipe
    with suppress(RecipeError):  # an absent or damaged file says nothing; the checkpoint can't be cut off
        require_same_recipe(recipe, _read(folder / RECIPE_FILE))
    return recipe


def _read(path: Path) -> Recipe:
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            "RECIPE_UNREADABLE",
            f"{path} cannot be read as a recipe ({error}); name one of {', '.join(RECIPES)}, or a JSON file",
        ) from error


@contextmanager
def _world(device: str) -> Iterator[tuple[World, torch.device]]:
    """The processes that torchrun started, or this one alone, and its device."""
    from torch import distributed

    chosen = device_named(device)
    kind = chosen.type
    if not distributed.is_torchelastic_launched():
        yield Alone(), chosen
        return
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        place = torch.device(kind, distributed.get_node_local_rank()) if kind == "cuda" else chosen
        if kind == "cuda":
            torch.cuda.set_device(place)
        yield Together(), place
    finally:
        distributed.destroy_process_group()


def _print(outcome: Outcome, recipe: Recipe, folder: Path) -> None:
    progress = outcome.progress
    typer.echo(
        f"{outcome.end.value} after {progress.step} steps; best VAL@FAR {recipe.validation.far:g} on the held-out "
        f"people: {progress.best_val:.2%} at step {progress.best_step} ({folder / 'best.ckpt'})"
    )
