"""A model folder becomes a backend only when it is intact and the runtime is one that we have."""

from __future__ import annotations

import json

import numpy as np
import pytest

from server.errors import InvalidInputError, ModelError
from server.inference.load import Runtime, load_backend
from server.inference.openvino import computes_bf16
from server.models.tiny import embedder_outputs, write_tiny_detector


def test_a_folder_becomes_its_manifest_and_a_backend(embedder):
    manifest, backend = load_backend(embedder, runtime=Runtime.ONNXRUNTIME, threads=1)
    batch = np.ones((2, 3, 8, 8), np.float32)
    assert manifest.model == "tiny-embedder/v1"
    np.testing.assert_allclose(backend.run(batch)[0], embedder_outputs(batch)[0], rtol=1e-5)


@pytest.mark.parametrize("runtime", list(Runtime), ids=lambda runtime: runtime.value)
def test_damaged_weights_never_reach_a_native_loader(embedder, runtime):
    """The bytes are junk that every loader would refuse as unreadable; the hash speaks first."""
    (embedder / "model.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError) as caught:
        load_backend(embedder, runtime=runtime, threads=1)
    assert caught.value.reason == "MODEL_DAMAGED"


def test_a_damaged_manifest_is_refused(embedder):
    content = json.loads((embedder / "manifest.json").read_text())
    content["embedder"]["dimension"] = "many"
    (embedder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="dimension"):
        load_backend(embedder, runtime=Runtime.ONNXRUNTIME, threads=1)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_backend_without_threads_is_refused(embedder, threads):
    with pytest.raises(InvalidInputError, match=str(threads)):
        load_backend(embedder, runtime=Runtime.ONNXRUNTIME, threads=threads)


def test_runtimes_are_read_by_name():
    assert [Runtime.parse(runtime.value) for runtime in Runtime] == list(Runtime)


def test_an_unknown_runtime_names_the_known_ones():
    with pytest.raises(InvalidInputError, match="onnxruntime, openvino, openvino-bf16") as caught:
        Runtime.parse("abacus")
    assert caught.value.reason == "RUNTIME_UNKNOWN"


def test_auto_runs_detectors_in_float32_and_embedders_as_fast_as_the_processor_can(embedder, tmp_path):
    detector = write_tiny_detector(tmp_path)
    _, embedding = load_backend(embedder, runtime=Runtime.AUTO, threads=1)
    _, detecting = load_backend(detector, runtime=Runtime.AUTO, threads=1)
    assert detecting.name == "openvino-cpu-f32"
    assert embedding.name == ("openvino-cpu-bf16" if computes_bf16() else "openvino-cpu-f32")
