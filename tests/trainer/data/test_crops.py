from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from server.domain import ColourOrder, PixelSpec
from server.vision.preprocess import to_tensor
from trainer.data.augment import Augmentation
from trainer.data.catalog import read_folders
from trainer.data.crops import CropReader, ahead, read_crop, to_input
from trainer.errors import DatasetError


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def root(tmp_path):
    drawn = np.random.default_rng(0)
    for person in range(3):
        (tmp_path / f"p{person}").mkdir()
        for number in range(4):
            noise = drawn.integers(0, 256, (20, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f"p{person}" / f"{number}.png"), noise)
    return tmp_path


def test_a_crop_of_the_right_size_comes_as_it_is(root):
    path = root / "p0" / "1.png"
    assert np.array_equal(read_crop(path, height=20, width=16), cv2.imread(str(path)))


@pytest.mark.parametrize(("height", "width"), [(10, 8), (40, 32)])
def test_a_crop_of_another_size_is_resized(root, height, width):
    assert read_crop(root / "p0" / "1.png", height=height, width=width).shape == (height, width, 3)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 cut off"])
def test_a_file_that_is_no_photograph_is_refused_by_name(root, content):
    (root / "p0" / "bad.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.jpg"):
        read_crop(root / "p0" / "bad.jpg", height=20, width=16)


def test_a_file_that_is_not_there_is_refused_by_name(root):
    with pytest.raises(DatasetError, match=r"gone\.jpg"):
        read_crop(root / "gone.jpg", height=20, width=16)


def test_a_batch_holds_the_crops_in_order_with_their_labels(root, pool):
    catalog = read_folders(root)
    reader = CropReader(catalog, 20, 16, Augmentation.none())
    batch = reader.read(np.array([5, 0, 11]), step=0, pool=pool)
    assert batch.images.shape == (3, 20, 16, 3)
    assert batch.images.dtype == torch.uint8
    assert batch.labels.tolist() == [1, 0, 2]
    for image, index in zip(batch.images, (5, 0, 11), strict=True):
        assert np.array_equal(image.numpy(), cv2.imread(str(catalog.paths[index])))


def test_augmentation_depends_on_seed_step_and_place_alone(root, pool):
    catalog = read_folders(root)
    indices = np.array([3, 3, 7])

    def read(*, seed=1, step=4):
        return CropReader(catalog, 20, 16, Augmentation(), seed).read(indices, step=step, pool=pool)

    first = read().images
    assert torch.equal(read().images, first)
    assert not torch.equal(read(step=5).images, first)
    assert not torch.equal(read(seed=2).images, first)
    many = [read().images[place] for place in range(2)]
    assert not torch.equal(many[0], many[1])


def test_reading_ahead_gives_every_batch_in_order(root, pool):
    reader = CropReader(read_folders(root), 20, 16, Augmentation.none())
    steps = [(step, np.array([step, step + 1])) for step in range(5)]
    batches = list(ahead(reader, iter(steps), pool))
    assert [step for step, _ in batches] == [0, 1, 2, 3, 4]
    for step, batch in batches:
        want = reader.read(np.array([step, step + 1]), step=step, pool=pool)
        assert torch.equal(batch.images, want.images)


def test_reading_ahead_hands_on_a_broken_photograph(root, pool):
    (root / "p1" / "0.png").write_bytes(b"broken")
    reader = CropReader(read_folders(root), 20, 16, Augmentation.none())
    batches = ahead(reader, iter([(0, np.array([0])), (1, np.array([4]))]), pool)
    assert next(batches)[0] == 0
    with pytest.raises(DatasetError, match=r"0\.png"):
        next(batches)


@pytest.mark.parametrize("colour", ColourOrder)
def test_the_networks_input_is_what_the_server_makes_of_the_same_crops(colour):
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    pixels = PixelSpec(colour, (10.0, 127.5, 90.25), (128.0, 127.0, 256.0))
    ours = to_input(torch.from_numpy(images), pixels, torch.device("cpu"))
    np.testing.assert_allclose(ours.numpy(), to_tensor(images, pixels), atol=1e-6)
