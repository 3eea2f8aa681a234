from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.data.catalog import read_folders
from trainer.data.crops import read_crop
from trainer.errors import DatasetError
from trainer.evaluate.embed import embed_files, of_network
from trainer.models.build import architecture, build


def test_files_are_embedded_in_order_whatever_the_chunk(faces):
    paths = read_folders(faces).paths[:7]

    def mean_colour(images):
        return images.mean(axis=(1, 2)).astype(np.float32)

    want = [read_crop(path, height=70, width=58).mean(axis=(0, 1)) for path in paths]
    for chunk in (3, 100):
        found = embed_files(paths, mean_colour, height=70, width=58, chunk=chunk)
        np.testing.assert_allclose(found, want, rtol=1e-5)


def test_no_files_give_no_embeddings():
    assert len(embed_files([], lambda images: images, height=5, width=5)) == 0


def test_a_broken_file_is_refused_by_name(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"x\.jpg"):
        embed_files([tmp_path / "x.jpg"], lambda images: images, height=5, width=5)


def test_a_network_embeds_in_evaluation_mode_and_goes_back_to_training():
    network = build("nns2", dimension=64).train()
    before = network.conv1.norm.running_mean.clone()
    images = np.random.default_rng(0).integers(0, 256, (2, 140, 116, 3), dtype=np.uint8)
    embeddings = of_network(network, architecture("nns2").pixels)(images)
    assert network.training
    assert torch.equal(network.conv1.norm.running_mean, before)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
