"""A whole run: steps, looks at held-out people, checkpoints, and its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_UP, Context, Decimal
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainer.checkpoint import (
    Checkpoint,
    Progress,
    load_checkpoint,
    require_same_run,
    save_checkpoint,
)
from trainer.data.catalog import Catalog, hold_out, require_trainable
from trainer.data.crops import CropReader, Request, ahead, require_readable
from trainer.data.echo import WINDOW, Memory, turn_of
from trainer.data.sampler import Sampler
from trainer.errors import CheckpointError, DatasetError, RecipeError
from trainer.evaluate.embed import Embed, embed_files, of_network
from trainer.evaluate.verification import ValAtFar, across_pairs, all_pairs, val_at_far
from trainer.loop.chance import Purpose, seed_for
from trainer.loop.listeners import Listener
from trainer.loop.optimiser import make_optimiser
from trainer.loop.step import Stepper, StepResult, place_of
from trainer.loop.targets import OfTheBatch, OfTheCrops, Targets
from trainer.loop.world import World
from trainer.loss.classification import make_classifier
from trainer.loss.collapse import CollapseAlarm
from trainer.loss.compatible import Shown
from trainer.models.build import Architecture, architecture, build
from trainer.models.weights import Loaded, load_weights
from trainer.recipe import Recipe, to_json
from trainer.storage import not_written, replace_file

LAST, BEST = "last.ckpt", "best.ckpt"
_TWO_DIGITS_UP = Context(prec=2, rounding=ROUND_UP)


class Start(Enum):
    """How a run begins: FRESH wants a folder without a checkpoint, RESUME one with."""

    FRESH = "fresh"
    RESUME = "resume"


class End(Enum):
    """Why a run ended."""

    STEPS_DONE = "steps done"
    NO_IMPROVEMENT = "no improvement"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run needs besides its recipe.

    Attributes:
        catalog: the crops, of which the recipe's number of people is held out.
        folder: where checkpoints and results go.
        world: who trains along.
        device: what computes.
        start: how it begins.
        older: embeds the network's own crops with the model that the recipe names as compatible; None where it names
            none.
        weights: a state_dict to begin with instead of random weights; empty for random ones. A resumed run has its own.
    """

    catalog: Catalog
    folder: Path
    world: World
    device: torch.device
    start: Start = Start.FRESH
    older: Embed | None = None
    weights: tuple[tuple[str, Tensor], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        end: why.
        progress: how far it came.
    """

    end: End
    progress: Progress


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What a process has read of a mini-batch.

    Attributes:
        images: (n, H, W, 3) uint8 BGR, its rows.
        targets: (n, D) float32, the older model's embeddings of them; None without one.
    """

    images: Tensor
    targets: Tensor | None


class Run:
    """A run that is ready to go on from `progress`."""

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        """Builds the network and the optimiser, or restores them.

        Raises:
            RecipeError: when the recipe contradicts itself or the network.
            DatasetError: when nothing can be learnt from the crops, or some are none.
            CheckpointError: when there is a checkpoint for a fresh run, none for a resumed one, or another run's.
            WeightsError: when the initial weights don't fit.
        """
        self.recipe, self.setting = recipe, setting
        checkpoint = _restored(setting)
        self.data = setting.catalog.fingerprint()
        if checkpoint is not None:
            require_same_run(checkpoint, recipe, self.data)
        require_trainable(setting.catalog)
        require_readable(setting.catalog.paths)
        held = seed_for(recipe.validation.seed, Purpose.HOLD_OUT)
        self.training, self.held_out = hold_out(setting.catalog, people=recipe.validation.people, seed=held)
        _require_measurable(self.held_out, recipe)
        self.sampler = Sampler(self.training, recipe.batch, seed=recipe.seed)
        self.architecture: Architecture = architecture(recipe.network.name)
        self.held_out_targets = self._held_out_targets()
        self.reader = self._reader()
        self.targets = self._targets()
        self.network, self.taken_over = _initial_network(recipe, setting)
        self.average = _average(self.network, recipe.averaging)
        self.classifier = self._classifier()
        trained = nn.ModuleList([self.network, *([self.classifier] if self.classifier else [])])
        self.optimiser = make_optimiser(trained, recipe.optimiser)
        self.progress = Progress()
        if checkpoint is not None:
            self.network.load_state_dict(dict(checkpoint.network))
            self.optimiser.load_state_dict(dict(checkpoint.optimiser))
            if self.classifier:
                self.classifier.load_state_dict(dict(checkpoint.classifier))
            if self.average:
                self.average.load_state_dict(dict(checkpoint.average))
            self.progress = checkpoint.progress

    def go(self, listeners: Sequence[Listener] = ()) -> Outcome:
        """Trains until the steps are done or VAL stops rising; of a run that has come to its end, nothing more.

        Raises:
            CollapseError: when all embeddings became one point.
            DivergenceError: when the loss is no longer a number.
            DatasetError: when a crop cannot be read.
            StorageFullError: when a checkpoint doesn't fit on the disk.
        """
        if self._stale:
            return self._finish(End.NO_IMPROVEMENT)
        pixels, world = self.architecture.pixels, self.setting.world
        stepper = Stepper(self.recipe, self.network, self.optimiser, pixels, world, self.classifier)
        rule = self.recipe.collapse
        alarm = CollapseAlarm(rule, self.recipe.mining, self.recipe.margin, self.progress.collapsed_steps)
        end = End.STEPS_DONE
        with ThreadPoolExecutor(thread_name_prefix="crops") as pool:
            started = time.perf_counter()
            turn = partial(self._turn, Memory(partial(self._read, pool), uses=self._uses))
            for request, batch in ahead(turn, self._requests(), depth=self._depth):
                labels = torch.from_numpy(self.training.labels[request.indices])
                result = stepper.step(request.step, batch.images, labels, self._targets_of(request, batch))
                if self.average:
                    self.average.update_parameters(self.network)
                alarm.observe(loss=result.loss, spread=result.spread)
                self.progress = replace(self.progress, step=request.step + 1, collapsed_steps=alarm.steps)
                now = time.perf_counter()
                self._tell(listeners, result, now - started)
                if self._look_and_save(listeners):
                    end = End.NO_IMPROVEMENT
                    break
                started = time.perf_counter()
        return self._finish(end)

    def validate(self) -> ValAtFar:
        """VAL on the held-out people, over all pairs of their crops.

        With an older model the first of a pair is embedded by the network and the second by that model.

        Raises:
            DatasetError: when they make too few pairs for the recipe's FAR.
        """
        embed = of_network(self.average.module if self.average else self.network, self.architecture.pixels)
        height, width = self.architecture.height, self.architecture.width
        embeddings = embed_files(self.held_out.paths, embed, height=height, width=width)
        labels = self.held_out.labels.astype(np.intp)
        older = self.held_out_targets
        same, different = all_pairs(embeddings, labels) if older is None else across_pairs(embeddings, older, labels)
        return val_at_far(same, different, self.recipe.validation.far)

    def _held_out_targets(self) -> NDArray[np.float32] | None:
        older = self.setting.older
        if (older is None) != (self.recipe.compatible is None):
            raise RecipeError(
                "OLDER_MODEL_MISMATCH",
                "a recipe that names a compatible model needs that model's folder, and one that names none needs none; "
                "say --compatible-with as in the first run",
            )
        if older is None:
            return None
        found = self.architecture
        embeddings = embed_files(self.held_out.paths, older, height=found.height, width=found.width)
        if embeddings.shape[1] != self.recipe.network.dimension:
            raise RecipeError(
                "DIMENSIONS_DIFFER",
                f"the older model's embeddings have {embeddings.shape[1]} dimensions and the network's "
                f"{self.recipe.network.dimension}; build the network with {embeddings.shape[1]}",
            )
        return embeddings

    def _targets(self) -> Targets | None:
        older, how = self.setting.older, self.recipe.compatible
        if older is None or how is None:
            return None
        if how.shown is Shown.CHANGED:
            return OfTheBatch(older)
        return OfTheCrops(older, self.reader)

    def _turn(self, memory: Memory[_Batch], request: Request) -> _Batch:
        """What a step learns from: a batch that is read now, or one that was, mirrored every second time."""
        turn = turn_of(request.step, self._uses)
        batch = memory.get(turn.question)
        return batch if turn.use % 2 == 0 else replace(batch, images=batch.images.flip(2))

    def _read(self, pool: ThreadPoolExecutor, question: int) -> _Batch:
        """Reads crops and asks the older model about them, while the network still learns from those before."""
        request = self._request(question, question)
        images = self.reader.read(request, pool)
        if self.targets is None:
            return _Batch(images, None)
        return _Batch(images, torch.from_numpy(self.targets.of(request, images.numpy())))

    def _targets_of(self, request: Request, batch: _Batch) -> Tensor | None:
        """The targets of the whole batch, of which each process asked the older model for its own rows."""
        if batch.targets is None:
            return None
        world = self.setting.world
        counts = place_of(len(request.indices), self.recipe.chunk, world).counts
        return world.gather(batch.targets.to(self.setting.device), counts)

    def _classifier(self) -> nn.Linear | None:
        if not self.recipe.warm_start.steps:
            return None
        torch.manual_seed(seed_for(self.recipe.seed, Purpose.CLASSIFIER))
        classifier = make_classifier(self.recipe.network.dimension, len(self.training.identities))
        return classifier.to(self.setting.device)

    def _reader(self) -> CropReader:
        recipe, found = self.recipe, self.architecture
        return CropReader(
            self.training,
            found.height,
            found.width,
            recipe.augmentation,
            seed=recipe.seed,
            imagination=recipe.imagination,
        )

    def _requests(self) -> Iterator[Request]:
        for step in range(self.progress.step, self.recipe.steps):
            yield self._request(step, turn_of(step, self._uses).question)

    def _request(self, step: int, question: int) -> Request:
        indices = self.sampler.batch(question)
        rows = place_of(len(indices), self.recipe.chunk, self.setting.world).rows
        return Request(step, indices, rows)

    @property
    def _uses(self) -> int:
        return self.recipe.compatible.uses if self.recipe.compatible else 1

    @property
    def _depth(self) -> int:
        """Batches that come once more need no asking: meanwhile the older model answers those that come next."""
        return WINDOW if self._uses > 1 else 1

    @property
    def _stale(self) -> bool:
        return self.progress.stale >= self.recipe.validation.patience

    def _tell(self, listeners: Sequence[Listener], result: StepResult, seconds: float) -> None:
        for listener in listeners:
            listener.on_step(self.progress.step, result, result.faces / seconds)

    def _look_and_save(self, listeners: Sequence[Listener]) -> bool:
        """Whether the run should stop."""
        step, last = self.progress.step, self.progress.step == self.recipe.steps
        best = False
        if step % self.recipe.validation.every == 0 or last:
            best = self._look(listeners)
        stop = self._stale
        if self.setting.world.rank == 0:
            if best:
                self.save(BEST)
            if step % self.recipe.checkpoint_every == 0 or last or stop:
                self.save(LAST)
        return stop

    def _look(self, listeners: Sequence[Listener]) -> bool:
        """Whether VAL is the best so far, which the first process decides for all."""
        val = 0.0
        if self.setting.world.rank == 0:
            result = self.validate()
            val = result.val.value
            for listener in listeners:
                listener.on_validation(self.progress.step, result)
        val = self.setting.world.from_first(val)
        best = val > self.progress.best_val
        if best:
            self.progress = replace(self.progress, best_val=val, best_step=self.progress.step, stale=0)
        else:
            self.progress = replace(self.progress, stale=self.progress.stale + 1)
        return best

    def save(self, name: str) -> None:
        """Writes a checkpoint into the run's folder.

        Raises:
            StorageFullError: when the disk is full; the old checkpoint is untouched.
        """
        content = Checkpoint(
            self.recipe,
            self.data,
            self.progress,
            self.network.state_dict(),
            self.optimiser.state_dict(),
            self.classifier.state_dict() if self.classifier else {},
            self.average.state_dict() if self.average else {},
        )
        save_checkpoint(self.setting.folder / name, content)

    def _finish(self, end: End) -> Outcome:
        outcome = Outcome(end, self.progress)
        if self.setting.world.rank == 0:
            results = {
                "end": end.value,
                "progress": asdict(self.progress),
                "data": self.data,
                "people": len(self.training.identities),
                "crops": len(self.training),
                "recipe": json.loads(to_json(self.recipe)),
            }
            path = self.setting.folder / "results.json"
            replace_file(path, (json.dumps(results, indent=2) + "\n").encode(), what="the results")
        return outcome


def _require_measurable(held_out: Catalog, recipe: Recipe) -> None:
    """Passes held-out people who make enough pairs of two for the FAR; otherwise the first look would fail."""
    pairs = len(held_out) ** 2 - int((held_out.counts() ** 2).sum())
    if recipe.compatible is None:
        pairs //= 2  # across two models a pair is compared both ways
    far = recipe.validation.far
    if pairs * far < 1:
        raise DatasetError(
            "HELD_OUT_TOO_FEW",
            f"the {len(held_out)} crops of {len(held_out.identities)} held-out people make {pairs} comparisons of two "
            f"people, too few for a FAR of {far:g}; hold out more people, or set validation.far to "
            f"{_TWO_DIGITS_UP.divide(Decimal(1), Decimal(max(pairs, 1)))} or more",
        )


def _restored(setting: Setting) -> Checkpoint | None:
    path = setting.folder / LAST
    if setting.start is Start.RESUME:
        return load_checkpoint(path)
    if path.exists():
        raise CheckpointError(
            "RUN_EXISTS", f"{setting.folder} holds a run already; resume it, or train into a new folder"
        )
    try:
        setting.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(setting.folder, error, what="the run's folder") from error
    return None


def _initial_network(recipe: Recipe, setting: Setting) -> tuple[nn.Sequential, Loaded | None]:
    """The network, and what it took over of the initial weights; None where there are none."""
    torch.manual_seed(seed_for(recipe.seed, Purpose.INITIAL_WEIGHTS))
    choice = recipe.network
    network = build(choice.name, dimension=choice.dimension, normalisation=choice.normalisation)
    fresh = setting.weights and setting.start is Start.FRESH
    taken_over = load_weights(network, dict(setting.weights)) if fresh else None
    network.to(setting.device)
    # the layout that convolutions are fastest in
    return network.to(memory_format=torch.channels_last), taken_over  # type: ignore[call-overload]


def _average(network: nn.Sequential, share: float) -> AveragedModel | None:
    """The running mean of the weights and of batch normalisation's statistics; None where none is kept."""
    if not share:
        return None
    mean = get_ema_multi_avg_fn(share)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
