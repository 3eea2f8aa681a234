"""A model folder becomes a backend only when it is intact and the runtime is one that we have."""

from __future__ import annotations

import json

import numpy as np
import pytest

from server.errors import InvalidInputError, ModelError
from server.inference.load import REFERENCE, Runtime, candidates, load_backend
from server.inference.manifest import Kind
from server.inference.precision import Precision
from server.models.tiny import embedder_outputs


def test_a_folder_becomes_its_manifest_and_a_backend(embedder):
    manifest, backend = load_backend(embedder, runtime=Runtime.ONNXRUNTIME, threads=1)
    batch = np.ones((2, 3, 8, 8), np.float32)
    assert manifest.model == "tiny-embedder/v1"
    np.testing.assert_allclose(backend.run(batch)[0], embedder_outputs(batch)[0], rtol=1e-5)


@pytest.mark.parametrize("runtime", [r for r in Runtime if r is not Runtime.AUTO], ids=lambda runtime: runtime.value)
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


def test_auto_opens_nothing_by_itself(embedder):
    with pytest.raises(InvalidInputError, match="auto") as caught:
        load_backend(embedder, runtime=Runtime.AUTO, threads=1)
    assert caught.value.reason == "RUNTIME_UNDECIDED"


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
def test_the_reference_is_the_first_candidate_and_auto_none(kind):
    assert candidates(kind)[0] is REFERENCE
    assert Runtime.AUTO not in candidates(kind)


def test_only_embedders_may_get_less_than_float32():
    lower = {kind: [r for r in candidates(kind) if r.precision is not Precision.FLOAT32] for kind in Kind}
    assert lower == {Kind.DETECTOR: [], Kind.EMBEDDER: [Runtime.OPENVINO_BF16]}
