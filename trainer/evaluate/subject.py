"""What can be evaluated: a checkpoint of the trainer, or a model folder of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from server.domain import AlignmentTemplate
from server.inference.load import Runtime, load_backend
from server.inference.manifest import MANIFEST_FILE
from trainer.checkpoint import load_checkpoint
from trainer.data.template import template_for
from trainer.evaluate.embed import Embed, embed_files, of_network
from trainer.evaluate.model_folder import of_backend, through_template
from trainer.models.build import Architecture, architecture, build
from trainer.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Subject:
    """An embedder to be judged.

    Attributes:
        name: for reports.
        embed: crops of its template to embeddings.
        template: size of its crops, and where the landmarks lie in them.
    """

    name: str
    embed: Embed
    template: AlignmentTemplate

    def embed_crops(self, paths: Sequence[Path], template: AlignmentTemplate | None = None) -> NDArray[np.float32]:
        """The embeddings (N, D) of crops in files, which were made for another template where one is given.

        Raises:
            DatasetError: when a file is missing, empty or no photograph, or there is none.
        """
        made_for = template or self.template
        embed = self.embed if made_for == self.template else through_template(self.embed, made_for, self.template)
        return embed_files(paths, embed, height=made_for.height, width=made_for.width)


def open_subject(path: Path, *, device: torch.device, threads: int = 2) -> Subject:
    """The embedder at a path: a model folder, or a checkpoint, which runs on the device.

    Raises:
        CheckpointError: when it is neither.
        ModelError: when the model folder is damaged or no embedder.
    """
    if (path / MANIFEST_FILE).is_file():
        manifest, backend = load_backend(path, runtime=Runtime.OPENVINO, threads=threads)
        return Subject(manifest.model, of_backend(manifest, backend), manifest.template())
    recipe, found, network = open_checkpoint(path)
    name = f"{recipe.network.name}, {path.parent.name}/{path.name}"
    template = template_for(found.height, found.width)
    return Subject(name, of_network(network.to(device), found.pixels), template)


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
