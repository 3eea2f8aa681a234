"""Saves a run so that it can go on as if it had never stopped.

Whatever chance decides in a run follows from the recipe's seed and the step (`trainer.loop.chance`), so that a
checkpoint needs no state of random generators.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainer.errors import CheckpointError
from trainer.recipe import Recipe, differences, from_json, to_json
from trainer.storage import WriteBytes, replace_file, write_bytes

MAGIC = b"facestream checkpoint 1\n"
"""What a checkpoint begins with; the sha256 of the rest follows, since torch does not notice changed weights."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: mini-batches done.
        best_val: the best validation rate so far, 0..1; -1 before the first look.
        best_step: when it was reached.
        stale: looks since without a better one.
        collapsed_steps: the collapse alarm's count.
    """

    step: int = 0
    best_val: float = -1.0
    best_step: int = 0
    stale: int = 0
    collapsed_steps: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run at one moment.

    Attributes:
        recipe: what is run.
        data: fingerprint of the catalog.
        progress: how far it has come.
        network: the network's state_dict.
        optimiser: the optimiser's state_dict.
        classifier: the state_dict of the warm start's classifier; empty without one.
        average: the state_dict of the weights' running mean; empty without one.
    """

    recipe: Recipe
    data: str
    progress: Progress
    network: Mapping[str, Any]
    optimiser: Mapping[str, Any]
    classifier: Mapping[str, Any] = field(default_factory=dict)
    average: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> Mapping[str, Any]:
        """The state_dict of the network that the run is for: of the running mean where there is one."""
        prefix = "module."
        mean = {name.removeprefix(prefix): value for name, value in self.average.items() if name.startswith(prefix)}
        return mean or self.network


def save_checkpoint(path: Path, checkpoint: Checkpoint, write: WriteBytes = write_bytes) -> None:
    """Replaces the file at once: whatever happens, it holds the old checkpoint or the new one.

    Raises:
        StorageFullError: when the disk is full; the old checkpoint is untouched.
        StorageError: when it cannot be written otherwise; likewise.
    """
    buffer = io.BytesIO()
    torch.save(_content(checkpoint), buffer)
    payload = buffer.getvalue()
    content = MAGIC + hashlib.sha256(payload).digest() + payload
    replace_file(path, content, what="the checkpoint", write=write)


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins as a checkpoint does; its content is not checked."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        CheckpointError: when it is missing, damaged, or of another version of the trainer.
    """
    if path.is_dir():
        raise CheckpointError(
            "CHECKPOINT_UNREADABLE",
            f"{path} is a folder, but none of a model (with a manifest.json, such as models/sface/2021dec); name one, "
            "or a checkpoint's file, such as runs/first/best.ckpt",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError("CHECKPOINT_UNREADABLE", f"{path} cannot be read: {error.strerror}") from error
    start = len(MAGIC) + hashlib.sha256().digest_size
    payload = content[start:]
    if not content.startswith(MAGIC):
        raise CheckpointError(
            "CHECKPOINT_UNREADABLE",
            f"{path} is no checkpoint of this version; weights alone are loaded as a warm start",
        )
    if content[len(MAGIC) : start] != hashlib.sha256(payload).digest():
        raise CheckpointError("CHECKPOINT_DAMAGED", f"{path} is damaged: its checksum does not fit; take another copy")
    values = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return Checkpoint(
        from_json(values["recipe"]),
        values["data"],
        Progress(**values["progress"]),
        values["network"],
        values["optimiser"],
        values.get("classifier", {}),
        values.get("average", {}),
    )


def require_same_recipe(of_checkpoint: Recipe, recipe: Recipe) -> None:
    """Passes a recipe that is the checkpoint's.

    Raises:
        CheckpointError: with the settings that differ.
    """
    changed = differences(of_checkpoint, recipe)
    if changed:
        raise CheckpointError(
            "RECIPE_CHANGED",
            f"the checkpoint belongs to another recipe ({'; '.join(changed[:5])}); resume with the recipe that the run "
            "was begun with, or train into a new folder, with the checkpoint as --weights",
        )


def require_same_run(checkpoint: Checkpoint, recipe: Recipe, data: str) -> None:
    """Passes a checkpoint of this recipe and these data.

    Raises:
        CheckpointError: with the settings that differ.
    """
    require_same_recipe(checkpoint.recipe, recipe)
    if checkpoint.data != data:
        raise CheckpointError(
            "DATA_CHANGED",
            f"the checkpoint was trained on other data (fingerprint {checkpoint.data[:12]}, these have {data[:12]}); "
            "restore the crops, or train into a new folder with the old weights as a warm start",
        )


def _content(checkpoint: Checkpoint) -> dict[str, object]:
    progress = checkpoint.progress
    return {
        "recipe": to_json(checkpoint.recipe),
        "data": checkpoint.data,
        "progress": {name: getattr(progress, name) for name in progress.__slots__},
        "network": dict(checkpoint.network),
        "optimiser": dict(checkpoint.optimiser),
        "classifier": dict(checkpoint.classifier),
        "average": dict(checkpoint.average),
    }
