from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from trainer.export.onnx import WeightType, to_onnx
from trainer.models.build import architecture, build
from trainer.models.layers import Normalisation

CASES = [
    *(("nns2", Normalisation.BATCH), ("nns2", Normalisation.LOCAL_RESPONSE), ("nn4", Normalisation.BATCH)),
    ("dlib-resnet", Normalisation.BATCH),
]


def trained(name, normalisation):
    """A network with running statistics that are not those of a fresh one."""
    torch.manual_seed(3)
    network = build(name, normalisation=normalisation).train()
    found = architecture(name)
    with torch.no_grad():
        network(torch.randn(4, 3, found.height, found.width) + 0.3)
    return network, found


@pytest.mark.parametrize(("name", "normalisation"), CASES)
@pytest.mark.parametrize("weights", WeightType)
def test_the_onnx_answers_what_the_network_does_at_any_batch(name, normalisation, weights):
    network, found = trained(name, normalisation)
    content = to_onnx(network, found, weights)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    network.eval()
    for count in (1, 3):
        images = torch.randn(count, 3, found.height, found.width)
        with torch.no_grad():
            want = network(images).numpy()
        (ours,) = session.run(None, {"input": images.numpy()})
        assert ours.dtype == np.float32
        cosine = (ours * want).sum(axis=1).min()
        assert cosine >= (0.99999 if weights is WeightType.FLOAT32 else 0.999)


def test_exporting_leaves_the_network_as_it_was():
    network, found = trained("nns2", Normalisation.BATCH)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    to_onnx(network, found, WeightType.FLOAT16)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("normalisation", Normalisation)
def test_the_graph_is_plain_enough_for_engines(normalisation):
    network, found = trained("nns2", normalisation)
    graph = onnx.load_from_string(to_onnx(network, found, WeightType.FLOAT32)).graph
    assert {node.op_type for node in graph.node}.isdisjoint({"If", "Loop", "BatchNormalization", "Scan"})
    assert [i.name for i in graph.input] == ["input"]
    assert [o.name for o in graph.output] == ["embedding"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_half_the_bytes_with_float16():
    network, found = trained("nns2", Normalisation.BATCH)
    sizes = [len(to_onnx(network, found, weights)) for weights in WeightType]
    assert sizes[1] < 0.55 * sizes[0]
