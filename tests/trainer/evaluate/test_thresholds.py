from __future__ import annotations

import pytest

from server.errors import ModelError
from server.inference.manifest import load_manifest
from tests.painted import EMBEDDER, write_painted_models
from trainer.evaluate.proportion import wilson
from trainer.evaluate.thresholds import write_thresholds
from trainer.evaluate.verification import ValAtFar


def point(far, threshold, accepted):
    return ValAtFar(far, threshold, wilson(accepted, 100), wilson(1, 100))


def test_only_the_thresholds_and_what_they_were_fitted_on_change(tmp_path):
    folder = write_painted_models(tmp_path) / EMBEDDER
    before = load_manifest(folder)
    write_thresholds(folder, [point(1e-3, 0.7, 80), point(1e-2, 0.9, 95)], "100 pairs")
    after = load_manifest(folder)
    assert [(p.far, p.distance, p.val) for p in after.operating_points()] == [(1e-3, 0.7, 0.8), (1e-2, 0.9, 0.95)]
    assert after.as_embedder().fitted_on == "100 pairs"
    assert after.model_copy(update={"embedder": before.embedder}) == before


def test_thresholds_are_kept_on_the_sphere(tmp_path):
    folder = write_painted_models(tmp_path) / EMBEDDER
    write_thresholds(folder, [point(1e-3, -1e-9, 0), point(1e-2, 4.5, 100)], "pairs")
    assert [p.distance for p in load_manifest(folder).operating_points()] == [1e-6, 4.0]


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no model at"):
        write_thresholds(tmp_path, [], "nothing")
