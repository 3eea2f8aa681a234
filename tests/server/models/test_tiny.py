"""The tiny models' outputs are those that numpy says; tests/conformance/test_backend.py runs them on every backend."""

from __future__ import annotations

import numpy as np

from server.models.tiny import detector_outputs, embedder_outputs, write_tiny_detector, write_tiny_embedder


def test_the_same_model_is_written_every_time(tmp_path):
    for write in (write_tiny_embedder, write_tiny_detector):
        one, other = write(tmp_path / "one"), write(tmp_path / "other")
        for name in ("model.onnx", "manifest.json"):
            assert (one / name).read_bytes() == (other / name).read_bytes()


def test_the_detector_looks_at_each_four_by_four_pixels():
    batch = np.zeros((1, 3, 8, 8), np.float32)
    batch[0, 1, 5, 2] = 16
    heat, scale, offset, landmarks = detector_outputs(batch)
    assert [output.shape[1] for output in (heat, scale, offset, landmarks)] == [1, 2, 2, 10]
    assert np.argwhere(landmarks[0, 0]).tolist() == [[1, 0]]


def test_the_embedder_is_linear():
    batch = np.random.default_rng(0).normal(0, 1, (2, 3, 8, 8)).astype(np.float32)
    (both,) = embedder_outputs(batch)
    (total,) = embedder_outputs(batch.sum(0, keepdims=True))
    np.testing.assert_allclose(total[0], both.sum(0), rtol=1e-4, atol=1e-5)
