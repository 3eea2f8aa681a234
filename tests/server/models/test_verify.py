"""A folder passes when its network does what its manifest says, and every lie is found."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from server.errors import ModelError
from server.inference.load import Runtime
from server.inference.manifest import load_manifest, write_manifest
from server.models.tiny import write_tiny_detector, write_tiny_embedder
from server.models.verify import probe, verify


@pytest.fixture
def embedder(tmp_path):
    return write_tiny_embedder(tmp_path)


@pytest.fixture
def detector(tmp_path):
    return write_tiny_detector(tmp_path)


def rebuild(folder, change):
    """Changes the graph and writes a manifest with its hash."""
    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    weights = model.SerializeToString()
    (folder / "model.onnx").write_bytes(weights)
    restate(folder, sha256=hashlib.sha256(weights).hexdigest())


def restate(folder, **fields):
    write_manifest(folder, load_manifest(folder).model_copy(update=fields))


def refused(folder) -> ModelError:
    with pytest.raises(ModelError) as caught:
        verify(folder, runtime=Runtime.ONNXRUNTIME)
    return caught.value


def test_an_honest_embedder_and_an_honest_detector_pass(embedder, detector):
    for folder in (embedder, detector):
        findings = verify(folder, runtime=Runtime.ONNXRUNTIME)
        assert findings.manifest == load_manifest(folder)
        assert findings.backend == "onnxruntime-cpu"
        assert findings.warnings == ()


def test_a_wrong_dimension_is_found(embedder):
    part = load_manifest(embedder).as_embedder()
    restate(embedder, embedder=part.model_copy(update={"dimension": 5}))
    error = refused(embedder)
    assert error.reason == "MODEL_MISMATCH"
    assert "(3, 4)" in error.message
    assert "(3, 5)" in error.message


def test_outputs_in_another_order_are_found(detector):
    part = load_manifest(detector).as_detector()
    restate(detector, detector=part.model_copy(update={"outputs": part.outputs[::-1]}))
    assert "landmarks" in refused(detector).message


def test_an_output_that_is_not_there_is_found(embedder):
    part = load_manifest(embedder).as_embedder()
    restate(embedder, embedder=part.model_copy(update={"output": "vector"}))
    assert "vector" in refused(embedder).message


def test_a_wrong_size_is_found(embedder):
    restate(embedder, input=load_manifest(embedder).input.model_copy(update={"width": 16, "height": 16}))
    error = refused(embedder)
    assert error.reason == "MODEL_MISMATCH"
    assert "16" in error.message


def test_a_fixed_batch_is_found(embedder):
    def fix(graph):
        for tensor in (*graph.input, *graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_value = 1

    rebuild(embedder, fix)
    error = refused(embedder)
    assert error.reason == "MODEL_MISMATCH"
    assert "free first dimension" in error.message


def test_a_network_whose_rows_depend_on_each_other_is_found(embedder):
    """As one that was exported in training mode, with batch statistics."""

    def centre(graph):
        graph.node[1].output[0] = "raw"
        graph.node.append(helper.make_node("ReduceMean", ["raw", "rows"], ["mean"], keepdims=1))
        graph.node.append(helper.make_node("Sub", ["raw", "mean"], ["embedding"]))
        graph.initializer.append(numpy_helper.from_array(np.array([0]), "rows"))

    def opset(folder):
        model = onnx.load(folder / "model.onnx")
        model.opset_import[0].version = 18
        onnx.save(model, folder / "model.onnx")

    opset(embedder)
    rebuild(embedder, centre)
    assert "evaluation mode" in refused(embedder).message


def test_a_network_that_overflows_is_found(embedder):
    def overflow(graph):
        graph.node[1].output[0] = "raw"
        graph.node.append(helper.make_node("Div", ["raw", "zero"], ["embedding"]))
        graph.initializer.append(numpy_helper.from_array(np.zeros(1, "f4"), "zero"))

    rebuild(embedder, overflow)
    assert "not finite" in refused(embedder).message


def test_an_embedder_without_operating_points_passes_with_a_warning(embedder):
    part = load_manifest(embedder).as_embedder()
    restate(embedder, embedder=part.model_copy(update={"operating_points": ()}))
    (warning,) = verify(embedder, runtime=Runtime.ONNXRUNTIME).warnings
    assert "operating points" in warning


def test_an_embedder_that_ignores_its_input_passes_with_a_warning(embedder):
    def blind(graph):
        graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((192, 4), "f4"), "matrix"))

    rebuild(embedder, blind)
    (warning,) = verify(embedder, runtime=Runtime.ONNXRUNTIME).warnings
    assert "same embedding" in warning


def test_a_folder_of_another_name_passes_with_a_warning(embedder):
    other = embedder.parent / "v2"
    embedder.rename(other)
    (warning,) = verify(other, runtime=Runtime.ONNXRUNTIME).warnings
    assert "tiny-embedder/v2" in warning


def test_the_probe_fits_the_manifest(detector, embedder):
    assert probe(load_manifest(embedder).input).shape == (3, 3, 8, 8)
    batch = probe(load_manifest(detector).input)
    assert batch.shape == (3, 3, 320, 320)
    assert batch.min() < -100
    assert batch.max() > 100
