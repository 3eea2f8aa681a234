"""A run is a recipe: every setting that decides its outcome, besides the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from trainer.data.augment import Augmentation
from trainer.data.imagine import Imagination
from trainer.data.sampler import BatchShape
from trainer.errors import RecipeError
from trainer.loss.classification import WarmStart
from trainer.loss.collapse import CollapseRule
from trainer.loss.compatible import Compatibility, Shown
from trainer.loss.mining import Mining
from trainer.loss.triplet import MARGIN
from trainer.models.layers import Normalisation


class OptimiserKind(Enum):
    """How gradients become steps: ADAGRAD is the paper's."""

    ADAGRAD = "adagrad"
    ADAMW = "adamw"


class Precision(Enum):
    """The numbers that the network computes with; weights, distances and the loss are float32 always.

    BFLOAT16 needs about half the time on GPUs and on processors with AMX or AVX-512 BF16, and has float32's range.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """The network.

    Attributes:
        name: one of `facestream-train models`.
        dimension: of the embedding, 64..512.
        normalisation: what keeps its activations in range.
    """

    name: str
    dimension: int = 128
    normalisation: Normalisation = Normalisation.BATCH


@dataclass(frozen=True, slots=True)
class Optimiser:
    """How the weights move.

    Attributes:
        kind: the method.
        learning_rate: its greatest value.
        weight_decay: share of each weight that is taken off, times the learning rate.
        clip_norm: gradients with a greater L2 norm are scaled down to it.
        warm_up: steps over which the learning rate rises from 0.
        final_share: the learning rate falls along half a cosine to this share of its greatest value at the last step;
            1 keeps it.
    """

    kind: OptimiserKind = OptimiserKind.ADAMW
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    warm_up: int = 0
    final_share: float = 0.01

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.clip_norm > 0 and self.weight_decay >= 0):
            raise ValueError(f"learning_rate and clip_norm must be above 0 and weight_decay not below: {self}")
        if self.warm_up < 0 or not 0 <= self.final_share <= 1:
            raise ValueError(f"warm_up must not be below 0, and final_share lie in 0..1: {self}")


@dataclass(frozen=True, slots=True)
class Validation:
    """How the run is watched, on people whom it does not train on.

    Attributes:
        people: how many are held out.
        every: steps between two looks.
        far: the false accept rate at which VAL is measured.
        patience: looks without a better VAL before the run stops.
        seed: decides who is held out, so that runs with other seeds are judged on the same people, and one that begins
            with another's weights has not learnt them.
    """

    people: int = 20
    every: int = 50
    far: float = 1e-2
    patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.people - 1, self.every, self.patience, self.seed + 1) < 1 or not 0 < self.far < 1:
            raise ValueError(
                "validation needs 2 people, 1 step, patience 1 or more each, a FAR in (0, 1), and a seed of 0 or more: "
                f"{self}"
            )


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Attributes:
        network: what is trained.
        steps: mini-batches at most.
        batch: what a mini-batch is made of.
        chunk: faces that go through the network at a time; the largest that fits into memory is fastest. Batch
            normalisation looks at one chunk.
        margin: of the triplet loss, squared L2.
        mining: which triplets are looked at.
        optimiser: how the weights move.
        precision: what the network computes with.
        augmentation: what happens to the crops.
        validation: how the run is watched.
        collapse: when the alarm stops it.
        warm_start: the first steps, with softmax instead of triplets.
        compatible: the older model whose embeddings the network's can be compared with; None for a network of its own.
        imagination: how faces are changed into other people's; only where the loss looks at no labels.
        averaging: what is judged and kept is a running mean of the weights, of which each step keeps this share; 0 for
            the weights themselves.
        checkpoint_every: steps between two checkpoints.
        seed: decides everything that chance decides.
    """

    network: NetworkChoice
    steps: int = 1000
    batch: BatchShape = field(default_factory=BatchShape)
    chunk: int = 90
    margin: float = MARGIN
    mining: Mining = Mining.SEMI_HARD
    optimiser: Optimiser = field(default_factory=Optimiser)
    precision: Precision = Precision.FLOAT32
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation: Validation = field(default_factory=Validation)
    collapse: CollapseRule = field(default_factory=CollapseRule)
    warm_start: WarmStart = field(default_factory=WarmStart)
    compatible: Compatibility | None = None
    imagination: Imagination = field(default_factory=Imagination)
    averaging: float = 0.0
    checkpoint_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.chunk < 3 or self.checkpoint_every < 1:
            raise ValueError(
                f"steps {self.steps} and checkpoint_every {self.checkpoint_every} must be 1 or more, and chunk "
                f"{self.chunk} 3 or more, so that no face is alone in one"
            )
        if not 0 < self.margin < 4 or self.seed < 0:
            raise ValueError(f"the margin {self.margin} must lie in (0, 4), and the seed {self.seed} not be below 0")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging keeps a share of 0 or more and less than 1, not {self.averaging}")
        if self.imagination.active and (self.compatible is None or self.compatible.needs_labels):
            raise ValueError(
                "imagined faces are nobody's: imagination needs compatible with mixed 0 and own 0, so that no label is "
                "looked at"
            )
        if self.imagination.active and self.compatible is not None and self.compatible.shown is Shown.ORIGINAL:
            raise ValueError("the older model must see imagined faces: imagination needs compatible.shown changed")
        if self.imagination.active and self.warm_start.steps:
            raise ValueError("imagined faces are nobody's, and a warm start looks at labels: set warm_start.steps to 0")


def paper(network: str = "nn2") -> Recipe:
    """The paper's settings: AdaGrad at 0.05, margin 0.2, semi-hard negatives, 1,800 faces, 40 of each person.

    It states no augmentation; the mirror image is ours.
    """
    return Recipe(
        network=NetworkChoice(network, 128, Normalisation.LOCAL_RESPONSE),
        steps=500_000,
        batch=BatchShape(people=40, faces=40, negatives=200),
        optimiser=Optimiser(OptimiserKind.ADAGRAD, 0.05, final_share=0.01),
        augmentation=replace(Augmentation.none(), mirror=0.5),
        validation=Validation(people=100, every=500, far=1e-3, patience=40),
        checkpoint_every=500,
    )


def small(network: str = "nn4") -> Recipe:
    """For thousands of photographs instead of millions: batch normalisation, AdamW, strong augmentation, bfloat16."""
    return Recipe(
        network=NetworkChoice(network),
        steps=2500,
        batch=BatchShape(people=24, faces=8, negatives=48),
        chunk=240,
        optimiser=Optimiser(OptimiserKind.ADAMW, 1e-3, weight_decay=0.05, warm_up=50, final_share=0.01),
        precision=Precision.BFLOAT16,
        validation=Validation(people=25, every=100, far=1e-2, patience=15),
        checkpoint_every=100,
    )


def compatible(network: str = "resnet-s") -> Recipe:
    """For a network that answers as an older one does, from thousands of photographs: distillation without labels.

    The older model sees every crop as the network does, changed, and often imagined, so that there is always something
    new to ask it (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
    """
    return Recipe(
        network=NetworkChoice(network),
        steps=6000,
        batch=BatchShape(people=24, faces=2, negatives=16),
        chunk=64,
        optimiser=Optimiser(OptimiserKind.ADAMW, 2e-3, weight_decay=0.02, warm_up=200, final_share=0.005),
        precision=Precision.BFLOAT16,
        validation=Validation(people=20, every=250, far=1e-2, patience=1000),
        compatible=Compatibility(regression=4.0, mixed=0.0, relations=1.0, own=0.0, shown=Shown.CHANGED, uses=2),
        imagination=Imagination(blend=0.5, warp=0.5),
        averaging=0.998,
        checkpoint_every=250,
    )


class NamedRecipe(Protocol):
    """A recipe for any network, with one that it is meant for."""

    def __call__(self, network: str = ...) -> Recipe:
        """The recipe with this network."""
        ...


RECIPES: Mapping[str, NamedRecipe] = MappingProxyType({"paper": paper, "small": small, "compatible": compatible})
"""Recipes by name."""

LIKE = "like"
"""What a JSON text calls the named recipe that it begins with."""

_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def to_json(recipe: Recipe) -> str:
    """The recipe as JSON, every setting named."""
    return json.dumps(json.loads(_ADAPTER.dump_json(recipe)), indent=2, sort_keys=True)


def from_json(text: str) -> Recipe:
    """The recipe that a JSON text states.

    Settings that it doesn't name are those of the recipe that it names as "like", or else the defaults.

    Raises:
        RecipeError: when it is no JSON, or a setting is unknown or out of its range, with the setting's name.
    """
    try:
        values = _completed(json.loads(text))
        recipe = _ADAPTER.validate_python(values)
    except json.JSONDecodeError as error:
        raise RecipeError("RECIPE_INVALID", f"the recipe is no JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the recipe"
        raise RecipeError("RECIPE_INVALID", f"the recipe is wrong at {place}: {first['msg']}") from error
    unknown = _unknown(values, json.loads(to_json(recipe)))
    if unknown:
        raise RecipeError("RECIPE_INVALID", f"the recipe has no setting {unknown!r}; see docs/training.md")
    return recipe


def _completed(values: object) -> object:
    """The values with those of the named recipe that they begin with, if any."""
    if not isinstance(values, dict) or LIKE not in values:
        return values
    name, changes = values[LIKE], {key: value for key, value in values.items() if key != LIKE}
    if not isinstance(name, str) or name not in RECIPES:
        raise RecipeError("RECIPE_INVALID", f"the recipe is like {name!r}, but there are only {', '.join(RECIPES)}")
    return _overlaid(json.loads(to_json(RECIPES[name]())), changes)


def _overlaid(base: object, changes: object) -> object:
    """The base with what the changes name, and only that, replaced."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: _overlaid(base.get(key), value) for key, value in changes.items()}


def _unknown(given: object, known: object, prefix: str = "") -> str:
    if not isinstance(given, dict) or not isinstance(known, dict):
        return ""
    for name, value in given.items():
        if name not in known:
            return f"{prefix}{name}"
        found = _unknown(value, known[name], f"{prefix}{name}.")
        if found:
            return found
    return ""


def fingerprint(recipe: Recipe) -> str:
    """Hash of every setting."""
    return hashlib.sha256(to_json(recipe).encode()).hexdigest()


def differences(left: Recipe, right: Recipe) -> tuple[str, ...]:
    """The settings in which two recipes differ, as "name: left, right"."""
    return tuple(_differences(json.loads(to_json(left)), json.loads(to_json(right)), ""))


def _differences(left: Mapping[str, object], right: Mapping[str, object], prefix: str) -> list[str]:
    found: list[str] = []
    for name in left:
        one, other = left[name], right[name]
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differences(one, other, f"{prefix}{name}.")
        elif one != other:
            found.append(f"{prefix}{name}: {one}, {other}")
    return found
