"""Model folders become a warm set of models, or an error that names the model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from server.errors import InferenceError, ModelError
from server.inference.load import Runtime
from server.pipeline.load import load_vision
from tests.painted import DETECTOR, DIMENSION, EMBEDDER, painted_choice


@pytest.fixture
def models(painted_models, tmp_path):
    """A copy of the models, to be changed."""
    return shutil.copytree(painted_models, tmp_path / "models")


def load(models_dir, **changes):
    return load_vision(replace(painted_choice(models_dir), **changes), say=lambda model: None)


def edit_manifest(models_dir, model, edit):
    path = models_dir / model / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_every_model_is_told_with_what_runs_it(painted_models):
    told = []
    load_vision(replace(painted_choice(painted_models), landmarker=DETECTOR), say=told.append)
    models = (f"detector {DETECTOR}", f"landmarker {DETECTOR}", f"embedder {EMBEDDER}")
    assert told == [f"{model} on onnxruntime-cpu: named in the settings" for model in models]


def test_auto_gives_every_model_what_was_measured_and_says_why(models, loaded):
    told = []
    auto = load_vision(replace(painted_choice(models), runtime=Runtime.AUTO), say=told.append)
    for model, line in zip(auto.models, told, strict=True):
        assert model.decision is not None
        assert model.why in line
        assert model.backend.name.startswith(model.decision.runtime.value.split("-")[0])
    assert auto.vision.fingerprint == loaded.vision.fingerprint
    again = load_vision(replace(painted_choice(models), runtime=Runtime.AUTO), say=told.append)
    assert all(model.decision.remembered for model in again.models)


def test_the_manifests_say_how_the_models_are_used(loaded):
    vision = loaded.vision
    assert vision.embedder.dimension == DIMENSION
    assert (vision.embedder.template.width, vision.embedder.template.height) == (32, 32)
    assert (vision.detector.size_multiple, vision.detector.rule.min_score) == (4, 0.5)
    assert vision.landmarker is None
    assert [point.far for point in loaded.operating_points] == [1e-4, 1e-2]


def test_the_same_models_have_the_same_fingerprint_whatever_runs_them(painted_models, loaded):
    assert load(painted_models, runtime=Runtime.OPENVINO, threads=2).vision.fingerprint == loaded.vision.fingerprint


def shift_the_template(manifest):
    manifest["embedder"]["template"][0][0] += 1


def shift_the_pixels(manifest):
    manifest["input"]["pixels"]["mean"] = [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("model", "edit"), [(EMBEDDER, shift_the_template), (EMBEDDER, shift_the_pixels), (DETECTOR, shift_the_pixels)]
)
def test_whatever_shapes_an_embedding_changes_the_fingerprint(models, loaded, model, edit):
    edit_manifest(models, model, edit)
    assert load(models).vision.fingerprint != loaded.vision.fingerprint


def test_a_landmarker_changes_the_fingerprint(painted_models, loaded):
    with_landmarker = load(painted_models, landmarker=DETECTOR)
    assert with_landmarker.vision.landmarker is not None
    assert with_landmarker.vision.fingerprint != loaded.vision.fingerprint


def test_thresholds_do_not_change_the_fingerprint(models, loaded):
    edit_manifest(models, EMBEDDER, lambda manifest: manifest["embedder"]["operating_points"].pop())
    changed = load(models)
    assert len(changed.operating_points) == 1
    assert changed.vision.fingerprint == loaded.vision.fingerprint


@pytest.mark.parametrize("change", [{"embedder": DETECTOR}, {"detector": EMBEDDER}, {"landmarker": EMBEDDER}])
def test_a_model_of_the_wrong_kind_is_refused(painted_models, change):
    with pytest.raises(ModelError) as refused:
        load(painted_models, **change)
    assert refused.value.reason == "MODEL_KIND_WRONG"


def test_a_model_that_is_not_there_is_refused(painted_models):
    with pytest.raises(ModelError, match="no-such/v1") as refused:
        load(painted_models, embedder="no-such/v1")
    assert refused.value.reason == "MODEL_MISSING"


def test_weights_that_the_manifest_does_not_speak_of_are_refused(models):
    weights = models / EMBEDDER / "model.onnx"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(ModelError) as refused:
        load(models)
    assert refused.value.reason == "MODEL_DAMAGED"


def test_after_closing_no_network_runs(painted_models):
    opened = load(painted_models)
    opened.close()
    with pytest.raises(InferenceError):
        opened.vision.embedder.embed(np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(InferenceError):
        opened.vision.detector.detect(np.zeros((32, 32, 3), np.uint8))
