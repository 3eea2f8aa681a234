"""One step of training: a mini-batch goes in, the weights have moved."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from server.domain import PixelSpec
from trainer.data.crops import to_input
from trainer.errors import DivergenceError, RecipeError
from trainer.loop.chance import Purpose, generator_for, seed_for
from trainer.loop.optimiser import learning_rate, set_learning_rate
from trainer.loop.world import World, chunk_sizes, share
from trainer.loss.chunked import backward_chunks, embed_chunks
from trainer.loss.classification import classification_loss
from trainer.loss.collapse import spread
from trainer.loss.compatible import CompatibleLoss, TripletRule, compatible_loss
from trainer.loss.distance import squared_l2
from trainer.loss.mining import mine
from trainer.loss.triplet import triplet_loss
from trainer.models.layers import device_of
from trainer.recipe import Precision, Recipe


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did.

    Attributes:
        loss: mean hinge of the active triplets of the network itself, 0 where the recipe gives them no weight; in the
            warm start the cross entropy.
        total: what the step made smaller: the loss and the terms of the older model with their weights.
        active_share: share of the anchor-positive pairs (with the hardest mining: of the anchors) of the batch that
            have an active triplet, 0..1; in the warm start the share of faces that are taken for somebody else.
        triplets: how many were mined.
        spread: of the batch's embeddings, 0 (one point) .. 1.
        regression: mean squared L2 distance to the older model's embeddings; 0 for a network of its own.
        gradient_norm: before clipping.
        learning_rate: of this step.
        faces: in the batch, over all processes.
    """

    loss: float
    total: float
    active_share: float
    triplets: int
    spread: float
    regression: float
    gradient_norm: float
    learning_rate: float
    faces: int


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of a batch a process embeds.

    Attributes:
        chunks: sizes of all chunks of the batch.
        mine: numbers of this process's chunks.
        counts: faces of each process.
    """

    chunks: tuple[int, ...]
    mine: range
    counts: tuple[int, ...]

    @property
    def rows(self) -> slice:
        """This process's rows of the batch."""
        start = sum(self.chunks[: self.mine.start])
        return slice(start, start + sum(self.chunks[self.mine.start : self.mine.stop]))


def place_of(faces: int, chunk: int, world: World) -> Place:
    """This process's part of a batch of so many faces; chunks are smaller where processes would have none otherwise.

    Raises:
        RecipeError: when there are fewer than two faces for each process.
    """
    if world.size > 1 and faces < 2 * world.size:
        raise RecipeError(
            "TOO_MANY_PROCESSES",
            f"a batch of {faces} faces is too small for {world.size} processes, each of which needs two faces; start "
            f"{max(1, faces // 2)} at most, which a run that is resumed may do as well",
        )
    chunks = chunk_sizes(faces, chunk, least=world.size)
    shares = [share(len(chunks), rank, world.size) for rank in range(world.size)]
    counts = tuple(sum(chunks[part.start : part.stop]) for part in shares)
    return Place(chunks, shares[world.rank], counts)


@dataclass(frozen=True, slots=True)
class _Own:
    """The loss of the network itself."""

    value: Tensor
    active_share: float
    triplets: int


@dataclass(frozen=True, slots=True)
class Stepper:
    """Takes steps.

    Attributes:
        recipe: how.
        network: what moves.
        optimiser: of its weights.
        pixels: the network's wish.
        world: who trains along.
        classifier: of the warm start; its weights are among the optimiser's.
    """

    recipe: Recipe
    network: nn.Module
    optimiser: torch.optim.Optimizer
    pixels: PixelSpec
    world: World
    classifier: nn.Linear | None = None

    def step(self, step: int, images: Tensor, labels: Tensor, targets: Tensor | None = None) -> StepResult:
        """One step.

        Args:
            step: its number, from 0.
            images: (n, H, W, 3) uint8 BGR, this process's rows of the batch.
            labels: (B,) int64, of the whole batch.
            targets: (B, D) float32, the older model's embeddings of the whole batch; None exactly when the recipe names
                no older model.

        Raises:
            DivergenceError: when the loss or the gradient is not finite; the weights have not moved then.
            RecipeError: when the batch has fewer than two faces for each process.
        """
        device = device_of(self.network)
        place = place_of(len(labels), self.recipe.chunk, self.world)
        inputs = self._inputs(step, images, place, device)
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        precision = precision_of(self.recipe.precision, device)
        embedded = embed_chunks(self.network, inputs, len(place.mine), precision)
        everyone = self.world.gather(embedded.embeddings, place.counts).requires_grad_()
        loss = self._own(step, everyone, labels.to(device))
        older = self._older(step, everyone, targets, labels)
        total = self._own_weight(step) * loss.value + older.value
        gradient = self._gradient(total, everyone)
        backward_chunks(self.network, inputs, embedded, gradient[place.rows], precision=precision)
        self.world.sum_gradients(self.network)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip_norm)
        self._check(step, total, norm)
        rate = learning_rate(step, self.recipe.steps, self.recipe.optimiser)
        set_learning_rate(self.optimiser, rate)
        self.optimiser.step()
        self.world.average_statistics(self.network)
        return StepResult(
            loss=loss.value.item(),
            total=total.item(),
            active_share=loss.active_share,
            triplets=loss.triplets,
            spread=spread(everyone),
            regression=older.regression,
            gradient_norm=norm.item(),
            learning_rate=rate,
            faces=len(labels),
        )

    def _inputs(self, step: int, images: Tensor, place: Place, device: torch.device) -> Callable[[int], Tensor]:
        parts = torch.split(images, list(place.chunks[place.mine.start : place.mine.stop]))

        def inputs(number: int) -> Tensor:
            # dropout of a chunk is the same whichever process embeds it, and in both passes
            torch.manual_seed(seed_for(self.recipe.seed, Purpose.NETWORK, step, place.mine[number]))
            return to_input(parts[number], self.pixels, device)

        return inputs

    def _own(self, step: int, embeddings: Tensor, labels: Tensor) -> _Own:
        warm_start = self.recipe.warm_start
        if self.classifier is not None and step < warm_start.steps:
            told = classification_loss(embeddings, labels, self.classifier, warm_start.scale)
            return _Own(told.value, told.mistaken / len(labels), 0)
        if not self._own_weight(step):
            return _Own(embeddings.new_zeros(()), 0.0, 0)
        distances = squared_l2(embeddings, embeddings)
        mined = mine(
            self.recipe.mining,
            distances.detach(),
            labels,
            margin=self.recipe.margin,
            generator=generator_for(self.recipe.seed, Purpose.MINING, step),
        )
        loss = triplet_loss(distances, mined.triplets, self.recipe.margin)
        return _Own(loss.value, loss.active / max(mined.considered, 1), loss.triplets)

    def _own_weight(self, step: int) -> float:
        warming_up = self.classifier is not None and step < self.recipe.warm_start.steps
        return 1.0 if warming_up or self.recipe.compatible is None else self.recipe.compatible.own

    def _gradient(self, loss: Tensor, embeddings: Tensor) -> Tensor:
        """The gradient with respect to the embeddings; the classifier's goes to its weights.

        Every process has all embeddings, and so the classifier's whole gradient.
        """
        weights = [] if self.classifier is None else [self.classifier.weight]
        gradient, *rest = torch.autograd.grad(loss, [embeddings, *weights], allow_unused=True)
        for weight, part in zip(weights, rest, strict=True):
            weight.grad = part
        return gradient

    def _older(self, step: int, embeddings: Tensor, targets: Tensor | None, labels: Tensor) -> CompatibleLoss:
        how = self.recipe.compatible
        if how is None or targets is None:
            return CompatibleLoss(embeddings.new_zeros(()), 0.0)
        rule = TripletRule(
            self.recipe.mining, self.recipe.margin, generator_for(self.recipe.seed, Purpose.MIXED_MINING, step)
        )
        device = embeddings.device
        return compatible_loss(embeddings, targets.to(device), labels.to(device), how=how, rule=rule)

    def _check(self, step: int, loss: Tensor, norm: Tensor) -> None:
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise DivergenceError(
                "TRAINING_DIVERGED",
                f"at step {step} the loss is {loss.item()} and the gradient's norm {norm.item()}; lower the "
                f"learning rate ({self.recipe.optimiser.learning_rate}) and begin again from the last "
                "checkpoint's weights",
            )


def precision_of(precision: Precision, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Opens the context in which a network computes with a recipe's numbers."""
    if precision is Precision.FLOAT32:
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
