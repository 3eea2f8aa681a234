"""Variations of the tiny models, wrong in one way each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import onnx
import pytest

from server.inference.manifest import Manifest, load_manifest
from server.models.tiny import write_tiny_embedder

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture
def embedder(tmp_path):
    """The folder of the tiny embedder."""
    return write_tiny_embedder(tmp_path)


@pytest.fixture
def rebuilt(embedder):
    """Manifest and weights of the tiny embedder after a change to its graph."""

    def rebuild(change: Change) -> tuple[Manifest, bytes]:
        model = onnx.load(embedder / "model.onnx")
        change(model)
        weights = model.SerializeToString()
        digest = hashlib.sha256(weights).hexdigest()
        return load_manifest(embedder).model_copy(update={"sha256": digest}), weights

    return rebuild


@pytest.fixture
def one_at_a_time(rebuilt):
    """A network that takes batches of 1 only."""

    def fix(model: onnx.ModelProto) -> None:
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_value = 1

    return rebuilt(fix)
