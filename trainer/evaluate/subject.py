"""What can be evaluated: a checkpoint of the trainer, or a model folder of the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from server.inference.load import Runtime, load_backend
from server.inference.manifest import MANIFEST_FILE
from trainer.checkpoint import load_checkpoint
from trainer.evaluate.embed import Embed, of_network
from trainer.evaluate.model_folder import of_backend
from trainer.models.build import Architecture, architecture, build
from trainer.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Subject:
    """An embedder to be judged.

    Attributes:
        name: for reports.
        embed: crops to embeddings.
        height: of its crops, pixels.
        width: of its crops, pixels.
    """

    name: str
    embed: Embed
    height: int
    width: int


def open_subject(path: Path, *, device: torch.device, threads: int = 2) -> Subject:
    """The embedder at a path: a model folder, or a checkpoint, which runs on the device.

    Raises:
        CheckpointError: when it is neither.
        ModelError: when the model folder is damaged or no embedder.
    """
    if (path / MANIFEST_FILE).is_file():
        manifest, backend = load_backend(path, runtime=Runtime.OPENVINO, threads=threads)
        template = manifest.template()
        return Subject(manifest.model, of_backend(manifest, backend), template.height, template.width)
    recipe, found, network = open_checkpoint(path)
    name = f"{recipe.network.name}, {path.parent.name}/{path.name}"
    return Subject(name, of_network(network.to(device), found.pixels), found.height, found.width)


def open_checkpoint(path: Path) -> tuple[Recipe, Architecture, nn.Sequential]:
    """The recipe, architecture and trained network of a checkpoint, on the CPU in evaluation mode.

    Raises:
        CheckpointError: when the file is no checkpoint.
    """
    checkpoint = load_checkpoint(path)
    choice = checkpoint.recipe.network
    network = build(choice.name, dimension=choice.dimension, normalisation=choice.normalisation)
    network.load_state_dict(dict(checkpoint.judged))
    return checkpoint.recipe, architecture(choice.name), network.eval()
