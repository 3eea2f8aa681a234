"""Pictures on the device: uploaded once, kept while somebody wants them and there is room, given back."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.fake import FakeDevice, Faults, Record
from server.inference.gpu.frames import ResidentFrames

SIDE = 256
PICTURE_BYTES = SIDE * SIDE * 3
"""A multiple of the pieces in which buffers come."""


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def device(faults, record):
    opened = FakeDevice(faults, record)
    yield opened
    opened.close()


@pytest.fixture
def stream(device):
    return device.stream()


@pytest.fixture
def frames(device):
    return ResidentFrames(device, limit=4 * PICTURE_BYTES)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def shown(device, resident):
    """What lies where a picture is said to lie."""
    home = device.pinned(PICTURE_BYTES)
    stream = device.stream()
    stream.after(resident._place.uploaded)
    device.copy_out(home, resident._place.device, PICTURE_BYTES, stream)
    stream.synchronise()
    values = home.array.copy()
    home.free()
    return values.reshape(SIDE, SIDE, 3)


def test_a_picture_lies_on_the_device_as_it_is(device, frames, stream):
    image = picture()
    resident = frames.lease(image, stream)
    np.testing.assert_array_equal(shown(device, resident), image)
    assert resident.size == (SIDE, SIDE)
    assert frames.holds(image)


def test_a_picture_that_is_no_block_of_memory_is_uploaded_as_it_looks(device, frames, stream):
    image = picture()[:, ::-1]
    np.testing.assert_array_equal(shown(device, frames.lease(image, stream)), image)


def test_an_equal_picture_is_another_one(frames, stream):
    image = picture()
    frames.lease(image, stream)
    assert not frames.holds(image.copy())


def test_a_picture_goes_when_the_host_lets_go_of_it(frames, stream):
    for seed in range(50):
        frames.release(frames.lease(picture(seed), stream))
    assert frames.uploads == 50
    assert frames.nbytes <= 2 * PICTURE_BYTES, "each took the place of the one before"


def test_what_the_host_keeps_goes_when_others_need_the_room_the_unused_first(frames, stream):
    images = [picture(seed) for seed in range(5)]
    for image in images[:4]:
        frames.release(frames.lease(image, stream))
    frames.release(frames.lease(images[0], stream))
    frames.release(frames.lease(images[4], stream))
    assert [frames.holds(image) for image in images] == [True, False, True, True, True]
    assert frames.nbytes <= 4 * PICTURE_BYTES


def test_pictures_in_use_stay_beyond_the_limit(device, frames, stream):
    images = [picture(seed) for seed in range(7)]
    leased = [frames.lease(image, stream) for image in images]
    for resident, image in zip(leased, images, strict=True):
        np.testing.assert_array_equal(shown(device, resident), image)
    for resident in leased:
        frames.release(resident)
    frames.release(frames.lease(picture(99), stream))
    assert frames.nbytes <= 4 * PICTURE_BYTES


def test_a_picture_in_use_is_not_buried_with_its_host(device, frames, stream):
    image = picture(3)
    want = image.copy()
    resident = frames.lease(image, stream)
    del image
    gc.collect()
    frames.release(frames.lease(picture(4), stream))
    np.testing.assert_array_equal(shown(device, resident), want)
    frames.release(resident)
    frames.shrink()
    assert frames.nbytes == 0


def test_a_picture_that_gets_the_identity_of_one_that_is_gone_is_not_taken_for_it(device, frames, stream):
    for seed in range(200):
        image = picture(seed)
        resident = frames.lease(image, stream)
        np.testing.assert_array_equal(shown(device, resident), image)
        del image  # while it is still leased: its identity is free, its place is not
        frames.release(resident)


def test_when_memory_runs_out_what_is_idle_goes_first(faults, record, frames, stream):
    kept = [picture(seed) for seed in range(3)]
    for image in kept:
        frames.release(frames.lease(image, stream))
    faults.memory = record.held
    frames.release(frames.lease(picture(9), stream))
    assert not any(frames.holds(image) for image in kept)


def test_when_there_is_no_memory_at_all_that_is_said_and_nothing_leaks(faults, record, frames, stream):
    faults.memory = PICTURE_BYTES + 1  # room on the device, none for the page-locked half
    image = picture()
    with pytest.raises(DeviceError) as caught:
        frames.lease(image, stream)
    assert caught.value.trouble is Trouble.OUT_OF_MEMORY
    assert record.held == 0
    assert not frames.holds(image)


def test_shrinking_gives_all_memory_back_that_is_not_in_use(record, frames, stream):
    images = [picture(seed) for seed in range(3)]
    leased = [frames.lease(image, stream) for image in images]
    frames.release(leased[0])
    frames.release(leased[1])
    frames.shrink()
    assert record.held == 2 * PICTURE_BYTES
    frames.release(leased[2])
    frames.shrink()
    assert record.held == 0
