"""CenterFace is freed from its fixed size; test_default_models holds its outputs to the published file's."""

from __future__ import annotations

import onnx
import pytest

from server.models.catalogue import CENTERFACE


@pytest.mark.models
def test_only_the_picture_is_an_input_and_every_size_is_free(models_dir):
    graph = onnx.load(models_dir / CENTERFACE.model / "model.onnx").graph
    (picture,) = graph.input
    for tensor, wanted in ((picture, 3), *((output, None) for output in graph.output)):
        batch, channels, *sides = tensor.type.tensor_type.shape.dim
        assert batch.dim_param
        assert all(side.dim_param for side in sides)
        assert wanted in (None, channels.dim_value)
