"""Writes a model folder: the ONNX file first, the manifest last, and both appear at once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import nn

from server.errors import InvalidInputError, ModelError
from server.inference.manifest import WEIGHTS_FILE, Kind, Manifest, write_manifest
from server.inference.onnx import OnnxBackend
from server.inference.parts import Embedder, Identifier, Input, Pixels, StatedSource, Text
from trainer.data.template import template_for
from trainer.evaluate.embed import of_network
from trainer.evaluate.model_folder import of_backend
from trainer.evaluate.thresholds import operating_points
from trainer.evaluate.verification import ValAtFar
from trainer.export.onnx import INPUT, OUTPUT, WeightType, to_onnx
from trainer.export.parity import least_cosine, require_parity
from trainer.models.build import Architecture

_TEXTS: Mapping[str, TypeAdapter[str]] = MappingProxyType(
    {
        "name": TypeAdapter(Identifier),
        "version": TypeAdapter(Identifier),
        "licence": TypeAdapter(Text),
        "attribution": TypeAdapter(Text),
    }
)
"""What the manifest asks of the texts that people choose."""


@dataclass(frozen=True, slots=True)
class Card:
    """What the manifest says about a model besides its network.

    Attributes:
        name: of the model, as in NAME/VERSION.
        version: of the model.
        licence: under which it may be used.
        attribution: whose work it is.
        source: how it was made.
        points: VAL at some FARs; without any the server names nobody.
        fitted_on: what they were measured on, in words.
    """

    name: str
    version: str
    licence: str
    attribution: str
    source: str
    points: Sequence[ValAtFar] = ()
    fitted_on: str = ""

    def __post_init__(self) -> None:
        """Checks the texts.

        Raises:
            InvalidInputError: MODEL_CARD_INVALID with the text that a manifest cannot hold.
        """
        for what, kind in _TEXTS.items():
            text = getattr(self, what)
            try:
                kind.validate_python(text)
            except ValidationError as error:
                raise InvalidInputError(
                    "MODEL_CARD_INVALID",
                    f"{text[:100]!r} cannot be a model's {what}: {error.errors()[0]['msg']}; give another {what}",
                ) from error


def vacant(models: Path, card: Card) -> Path:
    """Where in the models directory a model goes.

    Raises:
        ModelError: MODEL_EXISTS when one is there.
    """
    target = models / card.name / card.version
    if target.exists():
        raise ModelError("MODEL_EXISTS", f"{target} is there already; choose another version or delete it")
    return target


def export_folder(
    network: nn.Sequential,
    architecture: Architecture,
    *,
    models: Path,
    card: Card,
    crops: NDArray[np.uint8],
    weights: WeightType = WeightType.FLOAT32,
) -> tuple[Path, float]:
    """Writes models/NAME/VERSION, and answers its path and the smallest cosine to the network on the crops.

    Args:
        network: on any device.
        architecture: of the network.
        models: the models directory.
        card: what the manifest says.
        crops: (N, H, W, 3) uint8 BGR, on which the export is held to the network; real faces where there are some.
        weights: the numbers in the file.

    Raises:
        ModelError: MODEL_EXISTS, EXPORT_DIFFERS, or MODEL_NOT_WRITTEN; nothing is left behind then.
    """
    target = vacant(models, card)
    content = to_onnx(network, architecture, weights)
    manifest = _manifest(network, architecture, card, hashlib.sha256(content).hexdigest())
    backend = OnnxBackend(manifest, content, threads=1)
    cosine = least_cosine(of_network(network, architecture.pixels), of_backend(manifest, backend), crops)
    backend.close()
    require_parity(cosine, weights)
    _write(target, content, manifest)
    return target, cosine


def _manifest(network: nn.Sequential, architecture: Architecture, card: Card, sha256: str) -> Manifest:
    pixels, height, width = architecture.pixels, architecture.height, architecture.width
    points = template_for(height, width).points
    return Manifest(
        name=card.name,
        version=card.version,
        kind=Kind.EMBEDDER,
        input=Input(
            tensor=INPUT,
            width=width,
            height=height,
            pixels=Pixels(colour=pixels.colour, mean=pixels.mean, std=pixels.std),
        ),
        embedder=Embedder(
            output=OUTPUT,
            dimension=_dimension(network),
            template=(points[0], points[1], points[2], points[3], points[4]),
            operating_points=operating_points(card.points),
            fitted_on=card.fitted_on,
        ),
        licence=card.licence,
        attribution=card.attribution,
        source=StatedSource(text=card.source),
        sha256=sha256,
    )


def _dimension(network: nn.Sequential) -> int:
    return [block for block in network.children() if isinstance(block, nn.Linear)][-1].out_features


def _write(target: Path, content: bytes, manifest: Manifest) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.mkdir(parents=True)
        with (unfinished / WEIGHTS_FILE).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        write_manifest(unfinished, manifest)
        unfinished.rename(target)
    except OSError as error:
        raise ModelError("MODEL_NOT_WRITTEN", f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
