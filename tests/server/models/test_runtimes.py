"""A model folder gets the runtime that was measured to be the fastest here, and the decision is kept beside it."""

from __future__ import annotations

import itertools

import pytest

from server.errors import ModelError
from server.inference.choose import Clock
from server.inference.cores import Cores
from server.inference.decisions import DECISIONS_FILE
from server.inference.engines.half import to_half
from server.inference.load import Runtime, candidates, load_backend
from server.inference.manifest import Kind, load_manifest, verified_weights
from server.inference.onnx import OnnxBackend
from server.inference.parity import DetectorGate, answers, judge
from server.inference.precision import Precision
from server.models.catalogue import CATALOGUE
from server.models.probes import Role, job_of
from server.models.runtimes import RuntimeChooser, roles_of
from server.models.tiny import write_tiny_detector, write_tiny_embedder


@pytest.fixture
def models(tmp_path):
    write_tiny_embedder(tmp_path)
    write_tiny_detector(tmp_path)
    return tmp_path


def chooser(models, **options):
    ticks = itertools.count(0, 1_000_000)
    clock = Clock(cpu=lambda: next(ticks), wall=lambda: 0)
    return RuntimeChooser(models, Cores(1, options.pop("lanes", 2)), detect_side=64, clock=clock, **options)


def test_what_was_decided_once_is_remembered(models):
    first = chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER)
    again = chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER)
    assert [trial.runtime for trial in first.trials] == list(candidates(Kind.EMBEDDER))
    assert (first.remembered, again.remembered) == (False, True)
    assert (again.runtime, again.trials) == (first.runtime, first.trials)


def test_other_lanes_are_another_decision(models):
    chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER)
    assert not chooser(models, lanes=1).choose(models / "tiny-embedder/v1", Role.EMBEDDER).remembered


def test_one_may_ask_for_it_to_be_measured_again(models):
    chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER)
    assert not chooser(models, afresh=True).choose(models / "tiny-embedder/v1", Role.EMBEDDER).remembered


def test_a_damaged_file_is_replaced(models):
    (models / DECISIONS_FILE).write_text("junk")
    assert not chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER).remembered
    assert chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER).remembered


@pytest.mark.parametrize("role", [Role.DETECTOR, Role.LANDMARKER], ids=lambda role: role.value)
def test_a_detector_that_sees_no_face_in_the_probes_keeps_the_reference(models, role):
    decision = chooser(models).choose(models / "tiny-detector/v1", role)
    assert decision.runtime is Runtime.ONNXRUNTIME
    assert "no face" in decision.why


def test_damaged_weights_are_never_measured(models):
    weights = models / "tiny-embedder/v1/model.onnx"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(ModelError) as caught:
        chooser(models).choose(models / "tiny-embedder/v1", Role.EMBEDDER)
    assert caught.value.reason == "MODEL_DAMAGED"


@pytest.mark.parametrize(("model", "role"), [("tiny-embedder/v1", Role.DETECTOR), ("tiny-detector/v1", Role.EMBEDDER)])
def test_a_model_is_not_measured_for_what_it_cannot_do(models, model, role):
    with pytest.raises(ModelError) as caught:
        chooser(models).choose(models / model, role)
    assert caught.value.reason == "MODEL_KIND_WRONG"


def test_a_detector_may_place_landmarks_too():
    assert roles_of(Kind.EMBEDDER) == (Role.EMBEDDER,)
    assert roles_of(Kind.DETECTOR) == (Role.DETECTOR, Role.LANDMARKER)


def test_a_detector_is_measured_at_the_detection_size(models):
    manifest = load_manifest(models / "tiny-detector/v1")
    (batch,) = job_of(manifest, Role.DETECTOR, detect_side=640, lanes=1).batches
    assert batch.shape == (1, 3, 360, 640)
    windows = job_of(manifest, Role.LANDMARKER, detect_side=640, lanes=1).batches
    assert [window.shape for window in windows] == [(count, 3, 128, 128) for count in (1, 2, 4)]


DETECTORS = [entry for entry in CATALOGUE if entry.kind is Kind.DETECTOR]


@pytest.mark.models
@pytest.mark.parametrize("entry", DETECTORS, ids=lambda entry: entry.name)
@pytest.mark.parametrize(
    ("role", "side", "most"),
    [
        (Role.LANDMARKER, 640, 1),
        (Role.DETECTOR, 640, 15),
        *((Role.DETECTOR, side, 1) for side in (64, 70, 96, 128, 144, 160, 176, 192, 224, 256, 288)),
        (Role.DETECTOR, 320, 5),
        (Role.DETECTOR, 480, 5),
        (Role.DETECTOR, 1280, 32),
    ],
)
def test_the_default_detectors_are_sure_of_a_face_in_every_picture_of_the_probes(models_dir, entry, role, side, most):
    manifest, backend = load_backend(models_dir / entry.model, runtime=Runtime.ONNXRUNTIME, threads=1)
    gate = job_of(manifest, role, detect_side=side, lanes=1).gate
    assert isinstance(gate, DetectorGate)
    found = answers(gate, backend)
    sure = [count for agreement in gate.agreements(found, found) for count in agreement.sure]
    assert min(sure) >= 1
    assert max(sure) >= most


@pytest.mark.models
@pytest.mark.parametrize("entry", DETECTORS, ids=lambda entry: entry.name)
@pytest.mark.parametrize(
    ("role", "side"), [(Role.LANDMARKER, 640), *((Role.DETECTOR, side) for side in (64, 128, 320, 640))]
)
def test_the_default_detectors_pass_in_float16_and_in_every_runtime_in_float32(models_dir, entry, role, side):
    manifest, reference = load_backend(models_dir / entry.model, runtime=Runtime.ONNXRUNTIME, threads=1)
    half = OnnxBackend(manifest, to_half(verified_weights(models_dir / entry.model, manifest)), threads=1)
    _, other = load_backend(models_dir / entry.model, runtime=Runtime.OPENVINO, threads=1)
    gate = job_of(manifest, role, detect_side=side, lanes=1).gate
    wanted = answers(gate, reference)
    for backend, precision in ((half, Precision.FLOAT16), (other, Precision.FLOAT32)):
        verdict = judge(gate, wanted, backend, precision)
        assert verdict.passed, verdict.finding


@pytest.mark.models
@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_runtime_in_float32_passes_with_the_default_models(models_dir, entry):
    manifest, reference = load_backend(models_dir / entry.model, runtime=Runtime.ONNXRUNTIME, threads=1)
    for role in roles_of(entry.kind):
        gate = job_of(manifest, role, detect_side=320, lanes=1).gate
        for runtime in candidates(entry.kind):
            if runtime.precision is not Precision.FLOAT32:
                continue  # not every processor has the others
            _, backend = load_backend(models_dir / entry.model, runtime=runtime, threads=1)
            verdict = judge(gate, answers(gate, reference), backend, runtime.precision)
            assert verdict.passed, verdict.finding
