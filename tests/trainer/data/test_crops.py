from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from server.domain import ColourOrder, PixelSpec
from server.vision.preprocess import to_tensor
from trainer.data.augment import Augmentation
from trainer.data.catalog import read_folders
from trainer.data.crops import CropReader, Request, ahead, read_crop, require_readable, to_input
from trainer.data.imagine import Imagination
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


def test_a_crop_that_resizing_would_distort_is_refused_with_both_sizes(root):
    with pytest.raises(DatasetError, match=r"16 pixels wide and 20 high.*96 by 96; prepare crops"):
        read_crop(root / "p0" / "1.png", height=96, width=96)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 cut off"])
def test_a_file_that_is_no_photograph_is_refused_by_name(root, content):
    (root / "p0" / "bad.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.jpg"):
        read_crop(root / "p0" / "bad.jpg", height=20, width=16)


def test_a_file_that_is_not_there_is_refused_by_name(root):
    with pytest.raises(DatasetError, match=r"gone\.jpg"):
        read_crop(root / "gone.jpg", height=20, width=16)


def test_all_files_that_are_no_photographs_are_told_at_once(root):
    paths = read_folders(root).paths
    require_readable(paths)
    paths[0].write_bytes(b"")
    paths[1].write_bytes(b"rubbish")
    with pytest.raises(DatasetError) as caught:
        require_readable([*paths, *(root / f"absent{number}.jpg" for number in range(5))])
    assert caught.value.reason == "CROP_UNREADABLE"
    for path in (*paths[:2], root / "absent0.jpg"):
        assert str(path) in caught.value.message
    assert "; and 2 more." in caught.value.message


def test_a_batch_holds_the_crops_in_order(root, pool):
    catalog = read_folders(root)
    reader = CropReader(catalog, 20, 16, Augmentation.none())
    images = reader.read(Request(0, np.array([5, 0, 11]), slice(0, 3)), pool)
    assert images.shape == (3, 20, 16, 3)
    assert images.dtype == torch.uint8
    for image, index in zip(images, (5, 0, 11), strict=True):
        assert np.array_equal(image.numpy(), cv2.imread(str(catalog.paths[index])))


def test_augmentation_depends_on_seed_step_and_place_alone(root, pool):
    catalog = read_folders(root)

    def read(*, seed=1, step=4):
        reader = CropReader(catalog, 20, 16, Augmentation(), seed)
        return reader.read(Request(step, np.array([3, 3, 7]), slice(0, 3)), pool)

    first = read()
    assert torch.equal(read(), first)
    assert not torch.equal(read(step=5), first)
    assert not torch.equal(read(seed=2), first)
    assert not torch.equal(first[0], first[1])


def test_a_process_reads_its_rows_of_a_batch_as_a_single_one_would(root, pool):
    reader = CropReader(read_folders(root), 20, 16, Augmentation(), seed=1)
    indices = np.array([3, 8, 7, 1])
    whole = reader.read(Request(2, indices, slice(0, 4)), pool)
    parts = [reader.read(Request(2, indices, rows), pool) for rows in (slice(0, 1), slice(1, 4))]
    assert torch.equal(torch.cat(parts), whole)


def test_imagined_faces_depend_on_seed_step_and_place_too(root, pool):
    reader = CropReader(read_folders(root), 20, 16, Augmentation(), 1, Imagination(blend=0.9, warp=0.9))
    one, again, other = (reader.read(Request(step, np.array([3, 8, 7]), slice(0, 3)), pool) for step in (2, 2, 3))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def requests(count):
    return (Request(step, np.array([step, step + 1]), slice(0, 2)) for step in range(count))


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_reading_ahead_gives_every_batch_in_order(root, pool, depth):
    reader = CropReader(read_folders(root), 20, 16, Augmentation.none())
    batches = list(ahead(lambda request: reader.read(request, pool), requests(5), depth=depth))
    assert [request.step for request, _ in batches] == [0, 1, 2, 3, 4]
    assert all(torch.equal(images, reader.read(request, pool)) for request, images in batches)


def test_reading_ahead_hands_on_a_broken_photograph(root, pool):
    (root / "p0" / "2.png").write_bytes(b"broken")
    reader = CropReader(read_folders(root), 20, 16, Augmentation.none())
    batches = ahead(lambda request: reader.read(request, pool), requests(3))
    assert next(batches)[0].step == 0
    with pytest.raises(DatasetError, match=r"2\.png"):
        next(batches)


def test_reading_goes_on_while_the_caller_works_but_only_so_far_ahead():
    begun = [threading.Event() for _ in range(6)]

    def read(request):
        begun[request.step].set()

    batches = ahead(read, requests(6), depth=3)
    assert next(batches)[0].step == 0
    assert all(event.wait(10) for event in begun[:4])
    assert not any(event.is_set() for event in begun[4:])
    batches.close()


def test_what_was_to_be_read_is_left_when_the_caller_stops(root):
    go_on, read = threading.Event(), []

    def slowly(request):
        read.append(request.step)
        assert request.step == 0 or go_on.wait(10)

    batches = ahead(slowly, requests(9), depth=5)
    next(batches)
    threading.Timer(0.2, go_on.set).start()
    batches.close()
    assert len(read) <= 2


@pytest.mark.parametrize("colour", ColourOrder)
def test_the_networks_input_is_what_the_server_makes_of_the_same_crops(colour):
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    pixels = PixelSpec(colour, (10.0, 127.5, 90.25), (128.0, 127.0, 256.0))
    ours = to_input(torch.from_numpy(images), pixels, torch.device("cpu"))
    np.testing.assert_allclose(ours.numpy(), to_tensor(images, pixels), atol=1e-6)
