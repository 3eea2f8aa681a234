"""pycuda, cuda-bindings and NVRTC themselves do what `Device` promises; the emulated driver is as strict as it says."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from server.inference.engines.library import find_library
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.loss import LOST
from server.inference.gpu.open import OPENERS
from server.inference.gpu.preprocess import kernel_source
from tests.emulated_gpu.build import BUILT, WITHOUT_PYCUDA

COUNT = 1000


@pytest.fixture(params=sorted(OPENERS))
def device(request, driver):
    try:
        opened = OPENERS[request.param](find_library())
    except ImportError:
        if WITHOUT_PYCUDA not in os.environ:
            raise
        pytest.skip("this run is without pycuda")
    before = driver.emulated_held()
    yield opened
    driver.emulated_break(0)
    assert driver.emulated_held() == before, "not everything was given back"
    opened.close()


class Buffers:
    """Bytes on the host, on the device, and on the host again, and a stream."""

    def __init__(self, device):
        self.device = device
        self.stream = device.stream()
        self.source, self.target = device.pinned(COUNT), device.pinned(COUNT)
        self.memory = device.memory(COUNT)

    def there(self, value, stream=None):
        self.source.array[:] = value
        self.device.copy_in(self.memory, self.source, COUNT, stream or self.stream)

    def back(self, stream=None):
        self.device.copy_out(self.target, self.memory, COUNT, stream or self.stream)

    def free(self):
        for held in (self.source, self.target, self.memory, self.stream):
            held.free()


@pytest.fixture
def buffers(device):
    made = Buffers(device)
    yield made
    made.free()


def test_bytes_go_there_and_back_and_not_before_they_are_waited_for(buffers):
    buffers.there(7)
    buffers.back()
    assert set(buffers.target.array) == {0xFF}
    buffers.stream.synchronise()
    assert set(buffers.target.array) == {7}


def test_what_the_host_writes_before_a_copy_is_done_is_what_is_copied(buffers):
    buffers.there(7)
    buffers.source.array[:] = 8
    buffers.back()
    buffers.stream.synchronise()
    assert set(buffers.target.array) == {8}, "which is why a buffer must not be used again too soon"


def test_an_event_is_waited_for_as_far_as_its_mark(device, buffers):
    mark = device.event()
    buffers.there(1)
    buffers.back()
    mark.record(buffers.stream)
    buffers.there(2)
    buffers.back()
    mark.wait()
    assert set(buffers.target.array) == {2}, "the source was overwritten before its first copy was done"
    buffers.stream.synchronise()
    mark.free()


@pytest.mark.parametrize("waits", [True, False])
def test_streams_know_nothing_of_each_other_unless_one_waits(device, buffers, waits):
    other, mark = device.stream(), device.event()
    buffers.there(5)
    mark.record(buffers.stream)
    if waits:
        other.after(mark)
    buffers.back(other)
    other.synchronise()
    assert set(buffers.target.array) == ({5} if waits else {0xFF})
    buffers.stream.synchronise()
    mark.free()
    other.free()


def test_memory_that_is_freed_too_soon_is_a_lost_device_and_so_is_all_that_follows(device, driver):
    held = Buffers(device)
    held.there(1)
    held.memory.free()
    for work in (held.stream.synchronise, device.stream, device.free_bytes):
        with pytest.raises(DeviceError, match=r"ILLEGAL_ADDRESS|illegal memory access") as caught:
            work()
        assert caught.value.trouble is Trouble.LOST
    driver.emulated_break(0)
    for one in (held.source, held.target, held.stream):
        one.free()


def test_memory_runs_out_as_out_of_memory_and_comes_back_when_it_is_freed(device, driver):
    driver.emulated_capacity(2**20)
    held = device.memory(2**19)
    assert device.free_bytes() == 2**19
    with pytest.raises(DeviceError) as caught:
        device.memory(2**20)
    assert caught.value.trouble is Trouble.OUT_OF_MEMORY
    held.free()
    device.memory(2**20).free()


def test_a_copy_from_memory_that_is_not_page_locked_is_refused(device, buffers):
    class Ordinary:
        array = np.zeros(COUNT, np.uint8)

    with pytest.raises(DeviceError) as caught:
        device.copy_in(buffers.memory, Ordinary(), COUNT, buffers.stream)
    assert caught.value.trouble is Trouble.FAILED


@pytest.mark.parametrize("code", sorted(LOST))
def test_every_loss_is_known_as_one_through_either_library(device, driver, code):
    from cuda.bindings import driver as bindings

    driver.emulated_break(int(getattr(bindings.CUresult, code)))
    with pytest.raises(DeviceError) as caught:
        device.memory(4)
    assert caught.value.trouble is Trouble.LOST


def test_the_words_for_losses_are_nvidias():
    runtime = ctypes.CDLL(str(BUILT / "site" / "nvidia" / "cu13" / "lib" / "libcudart.so.13"))
    runtime.cudaGetErrorString.restype = ctypes.c_char_p
    from cuda.bindings import driver as bindings

    codes = {code: int(getattr(bindings.CUresult, code)) for code in LOST}
    assert {code: runtime.cudaGetErrorString(number).decode() for code, number in codes.items()} == dict(LOST)


def test_recorded_work_is_done_at_each_launch_and_not_when_it_is_recorded(device, buffers):
    def work():
        buffers.device.copy_in(buffers.memory, buffers.source, COUNT, buffers.stream)
        buffers.back()

    graph = device.capture(buffers.stream, work)
    buffers.stream.synchronise()
    assert set(buffers.target.array) == {0xFF}
    for value in (3, 4):
        buffers.source.array[:] = value
        graph.launch(buffers.stream)
        buffers.stream.synchronise()
        assert set(buffers.target.array) == {value}
    graph.free()


@pytest.mark.parametrize(
    "spoil", [lambda device, _stream: device.memory(4), lambda _device, stream: stream.synchronise()]
)
def test_work_that_cannot_be_recorded_is_an_error_and_the_stream_serves_on(device, buffers, spoil):
    with pytest.raises(DeviceError, match=r"CAPTURE|captur") as caught:
        device.capture(buffers.stream, lambda: spoil(device, buffers.stream))
    assert caught.value.trouble is Trouble.FAILED
    buffers.there(9)
    buffers.back()
    buffers.stream.synchronise()
    assert set(buffers.target.array) == {9}


def test_a_thread_that_did_not_open_the_device_cannot_use_it(device):
    errors = []

    def use():
        try:
            device.memory(4)
        except DeviceError as error:
            errors.append(error.message)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert "INVALID_CONTEXT" in errors[0] or "invalid device context" in errors[0]


def test_the_kernels_are_compiled_and_launched_with_every_parameter_in_its_place(device):
    kernels = device.compile(kernel_source())
    stream, image, out = device.stream(), device.memory(2 * 2 * 3), device.memory(3 * 4 * 4 * 4)
    source, home = device.pinned(12), device.pinned(3 * 4 * 4 * 4)
    source.array[:] = np.arange(12)
    device.copy_in(image, source, 12, stream)
    pixels = np.asarray([1, 2, 3, 2, 4, 8], np.float32).tobytes() + np.int32(1).tobytes()
    sizes = [np.int32(2), np.int32(2)], [np.int32(value) for value in (4, 4, 2, 2, 2, 2)]
    arguments = (image.address, *sizes[0], out.address, *sizes[1], pixels)
    kernels.launch("letterbox", (1, 1, 1), (16, 16, 1), arguments, stream)
    device.copy_out(home, out, 3 * 4 * 4 * 4, stream)
    stream.synchronise()
    made = home.array.view(np.float32).reshape(3, 4, 4)
    want = np.zeros((4, 4, 3), np.float32)
    want[:2, :2] = np.arange(12).reshape(2, 2, 3)[..., ::-1]
    np.testing.assert_array_equal(made, ((want - [1, 2, 3]) / [2, 4, 8]).transpose(2, 0, 1).astype(np.float32))
    for held in (image, out, source, home, stream):
        held.free()


def test_source_that_does_not_compile_is_an_error_in_the_compilers_words(device, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match=r"nvcc|not compile"):
        device.compile('extern "C" __global__ void f() { nonsense; }')


def test_the_host_cannot_read_the_devices_memory():
    script = (
        "import ctypes; from server.inference.engines.library import find_library; "
        "from server.inference.gpu.open import open_gpu; "
        "memory = open_gpu(find_library()).memory(256); ctypes.string_at(memory.address, 1)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=60)
    assert done.returncode == -11
