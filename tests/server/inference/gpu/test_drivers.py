"""The libraries that reach a GPU are called as they want it: against stand-ins, because no GPU is needed for that."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from server.errors import ConflictError
from server.inference.engines.library import EngineLibrary
from server.inference.engines.messages import logger_of
from server.inference.engines.profiles import ShapeProfile
from server.inference.gpu.cuda_python import CudaPythonDevice, compiled
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.driver import Driver
from server.inference.gpu.open import open_gpu
from server.inference.gpu.pycuda import PycudaDevice, translated
from server.inference.gpu.slot import RECORDINGS, Slot

PROFILE = ShapeProfile((1, 3, 2, 2), (2, 3, 2, 2), (4, 3, 2, 2))


class Severity:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Logger:
    Severity = Severity


class Context:
    """An execution context that adds one to every value, at once."""

    needs = 1024

    def __init__(self, log, refusal):
        self.log = log
        self.refusal = refusal
        self.addresses = {}

    def set_optimization_profile_async(self, profile, stream):
        if self.refusal:
            raise RuntimeError(self.refusal)
        self.log.append(("profile", profile, stream))
        return True

    def set_input_shape(self, name, shape):
        self.shape = tuple(shape)
        return name == "x"

    def infer_shapes(self):
        return []

    def update_device_memory_size_for_shapes(self):
        return self.needs * self.shape[0]

    def get_tensor_shape(self, name):
        return self.shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_device_memory(self, address, nbytes):
        self.log.append(("scratch", nbytes))

    def execute_async_v3(self, stream):
        assert stream
        self.log.append("run")
        source, target = (floats(self.addresses[name], self.shape) for name in ("x", "y"))
        target[:] = source + 1
        return True


class Engine:
    num_io_tensors = 2

    def __init__(self, log, refusal):
        self.log = log
        self.refusal = refusal

    def get_tensor_name(self, index):
        return "xy"[index]

    def get_tensor_mode(self, name):
        return {"x": "in", "y": "out"}[name]

    def get_tensor_dtype(self, name):
        return "float"

    def create_execution_context(self, how):
        self.log.append(("context", how))
        return Context(self.log, self.refusal)

    def create_runtime_config(self):
        config = SimpleNamespace(set_execution_context_allocation_strategy=lambda how: self.log.append(how))
        config.create_runtime_cache = lambda: self.log.append("cache made") or "cache"
        config.set_runtime_cache = lambda cache: self.log.append(("cache", cache))
        self.log.append(config)
        return config


def library_of(log, *, rtx=False, refusal=""):
    """Something that answers as tensorrt does, or as tensorrt_rtx."""

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, plan):
            if plan == b"plan":
                return Engine(log, refusal)
            self.logger.log(Severity.ERROR, "the plan is for another version")
            return None

    api = SimpleNamespace(
        ILogger=type("ILogger", (Logger,), {"__init__": lambda self: None}),
        Runtime=Runtime,
        TensorIOMode=SimpleNamespace(INPUT="in"),
        DataType=SimpleNamespace(FLOAT="float"),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="ours"),
    )
    if rtx:
        api.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")
        api.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    return EngineLibrary("tensorrt", "0", api)


def floats(address, shape):
    values = (ctypes.c_float * int(np.prod(shape))).from_address(address)
    return np.ctypeslib.as_array(values).reshape(shape)


class Memory:
    """The device's memory, which is the host's."""

    def __init__(self):
        self.held = {}

    def allocate(self, nbytes):
        block = (ctypes.c_uint8 * (nbytes + 256))()
        address = -(-ctypes.addressof(block) // 256) * 256
        self.held[address] = block
        return address

    def free(self, address):
        del self.held[address]


class FakePycuda:
    """What `PycudaDevice` uses of `pycuda.driver`."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    class LaunchError(Error):
        pass

    event_flags = SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)

    def __init__(self, log):  # noqa: C901 - a class for each of pycuda's
        self.log = log
        self.device_memory = Memory()
        outer = self

        class Device:
            def __init__(self, index):
                assert index == 0

            def name(self):
                return "Stand-in"

            def compute_capability(self):
                return (8, 6)

            def retain_primary_context(self):
                return SimpleNamespace(
                    push=lambda: log.append("push"), pop=lambda: log.append("pop"), detach=lambda: log.append("detach")
                )

        class Stream:
            handle = 77

            def __del__(self):
                log.append("cuStreamDestroy")

            def __init__(self, flags):
                assert flags == 1

            def synchronize(self):
                pass

            def wait_for_event(self, event):
                assert isinstance(event, Event)
                log.append("after")

        class Event:
            def __init__(self, flags):
                assert flags == 3

            def __del__(self):
                log.append("cuEventDestroy")

            def record(self, stream):
                assert isinstance(stream, Stream)

            def synchronize(self):
                log.append("waited")

        class Allocation:
            def __init__(self, nbytes):
                self.address = outer.device_memory.allocate(nbytes)

            def __int__(self):
                return self.address

            def free(self):
                outer.device_memory.free(self.address)

        self.Device, self.Stream, self.Event, self.mem_alloc = Device, Stream, Event, Allocation

    def init(self):
        self.log.append("init")

    def mem_get_info(self):
        return (123, 456)

    def pagelocked_empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def memcpy_htod_async(self, target, source, stream):
        ctypes.memmove(target, source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(self, target, source, stream):
        ctypes.memmove(target.ctypes.data, source, target.nbytes)


class Code:
    def __init__(self, name):
        self.name = name


class FakeDriver:
    """What `CudaPythonDevice` and graphs use of `cuda.bindings.driver`."""

    CUresult = SimpleNamespace(CUDA_SUCCESS=Code("CUDA_SUCCESS"))
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major", CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor"
    )
    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUevent_flags = SimpleNamespace(CU_EVENT_BLOCKING_SYNC=1, CU_EVENT_DISABLE_TIMING=2)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL="thread")

    def __init__(self, log, failing=None):
        self.log = log
        self.failing = failing or {}
        self.memory = Memory()

    def __getattr__(self, name):
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments):
            self.log.append(name)
            if name in self.failing:
                return (Code(self.failing[name]),)
            return (self.CUresult.CUDA_SUCCESS, *self.answer(name, *arguments))

        return call

    def answer(self, name, *arguments):
        match name:
            case "cuDeviceGetName":
                return (b"Stand-in\0\0\0",)
            case "cuDeviceGetAttribute":
                return ({"major": 9, "minor": 0}[arguments[0]],)
            case "cuMemAlloc":
                return (self.memory.allocate(arguments[0]),)
            case "cuMemHostAlloc":
                return (self.memory.allocate(arguments[0]),)
            case "cuMemFree" | "cuMemFreeHost":
                self.memory.free(arguments[0])
                return ()
            case "cuMemcpyHtoDAsync" | "cuMemcpyDtoHAsync":
                ctypes.memmove(*arguments[:3])
                return ()
            case "cuMemGetInfo":
                return (123, 456)
            case "cuDeviceGet" | "cuDevicePrimaryCtxRetain" | "cuStreamCreate" | "cuEventCreate":
                return (5,)
            case "cuStreamEndCapture" | "cuGraphInstantiate" | "cuModuleLoadData" | "cuModuleGetFunction":
                return (6,)
            case _:
                return ()


@pytest.fixture
def log():
    return []


@pytest.fixture(params=["pycuda", "cuda-python"])
def device(request, log):
    library = library_of(log)
    bindings = FakeDriver(log)
    if request.param == "pycuda":
        return PycudaDevice(library, FakePycuda(log), bindings)
    return CudaPythonDevice(library, bindings)


def test_a_batch_goes_there_and_back(device, log):
    engine = device.load(b"plan")
    assert (engine.inputs, engine.outputs) == (("x",), ("y",))
    slot = Slot(device, engine, (PROFILE,))
    rows = np.arange(36, dtype=np.float32).reshape(3, 3, 2, 2)
    for number in range(3):
        slot.start(rows + number, 4)
        (output,) = slot.land()
        if number < 1:  # later runs are launched from a graph, which the stand-in doesn't play back
            np.testing.assert_array_equal(output, rows + number + 1)
    assert log.count("run") == 2, "a plain run, and a recorded one"
    assert log.count("cuGraphLaunch") == 2
    assert ("context", "ours") in log
    assert ("profile", 0, slot._stream.handle) in log
    slot.shrink()
    device.close()


def test_everything_that_was_taken_is_given_back(device, log):
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    slot.start(np.zeros((3, 3, 2, 2), np.float32), 4)
    slot.land()
    slot.close()
    assert {"cuStreamDestroy", "cuEventDestroy"} <= set(log)
    memory = device._cuda.device_memory if isinstance(device, PycudaDevice) else device._driver.api.memory
    assert memory.held == {}


def test_a_stream_waits_for_a_mark_in_another(device, log):
    mark = device.event()
    mark.record(device.stream())
    device.stream().after(mark)
    assert {"after", "cuStreamWaitEvent"} & set(log)


def test_name_architecture_and_free_memory_are_the_gpus(device):
    assert device.name == "Stand-in"
    assert device.architecture in ("sm86", "sm90")
    assert device.free_bytes() == 123


def test_a_refused_plan_is_an_error_in_the_librarys_words(device):
    with pytest.raises(DeviceError, match="for another version"):
        device.load(b"foreign")


def test_rtx_records_graphs_by_itself(log):
    device = CudaPythonDevice(library_of(log, rtx=True), FakeDriver(log))
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    for _ in range(4):
        slot.start(np.zeros((1, 3, 2, 2), np.float32), 1)
        slot.land()
    assert log.count("run") == 4
    assert "cuStreamBeginCapture" not in log


def test_rtx_has_its_kernels_before_the_first_run_and_once_for_all_contexts(log):
    device = CudaPythonDevice(library_of(log, rtx=True), FakeDriver(log))
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    for length in (1, 2):
        slot.start(np.zeros((length, 3, 2, 2), np.float32), length)
        slot.land()
    configs = [one for one in log if isinstance(one, SimpleNamespace)]
    assert [one.dynamic_shapes_kernel_specialization_strategy for one in configs] == ["eager", "eager"]
    assert log.count("cache made") == 1
    assert log.count(("cache", "cache")) == 2


def test_a_run_computes_in_as_much_memory_as_its_shape_needs(device, log):
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    for length in (2, 4):
        slot.start(np.zeros((length, 3, 2, 2), np.float32), length)
        slot.land()
    assert [one[1] for one in log if isinstance(one, tuple) and one[0] == "scratch"] == [2048, 4096]


def test_a_run_that_needs_no_memory_is_given_some_since_none_is_refused(device, log, monkeypatch):
    monkeypatch.setattr(Context, "needs", 0)
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    slot.start(np.zeros((1, 3, 2, 2), np.float32), 1)
    slot.land()
    assert ("scratch", 256) in log


def test_an_address_or_memory_that_the_library_refuses_is_an_error(device, monkeypatch):
    context = device.load(b"plan").context(0, (1, 3, 2, 2), device.stream())
    source, output, scratch = (device.memory(256) for _ in range(3))
    monkeypatch.setattr(Context, "set_tensor_address", lambda self, name, _address: name != "y")
    with pytest.raises(DeviceError, match="address of y"):
        context.bind(source, [output], scratch)


def test_memory_that_the_library_refuses_without_an_answer_is_an_error_in_its_words(log, monkeypatch):
    library = library_of(log)
    device = CudaPythonDevice(library, FakeDriver(log))
    logger = logger_of(library.api)
    context = device.load(b"plan").context(0, (1, 3, 2, 2), device.stream())
    refuse = lambda self, _address, _nbytes: logger.log(Severity.ERROR, "too small")  # noqa: E731
    monkeypatch.setattr(Context, "set_device_memory", refuse)
    with pytest.raises(DeviceError, match="too small"):
        context.bind(device.memory(256), [device.memory(256)], device.memory(256))


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ("CUDA error 2: out of memory", Trouble.OUT_OF_MEMORY),
        ("an illegal memory access was encountered", Trouble.LOST),
        ("", Trouble.FAILED),
    ],
)
def test_what_the_bindings_raise_is_an_error_of_ours(log, said, trouble):
    library = library_of(log, refusal=f"Error in set optimization profile async. {said}")
    device = CudaPythonDevice(library, FakeDriver(log))
    with pytest.raises(DeviceError, match="set optimization profile") as caught:
        device.load(b"plan").context(0, (1, 3, 2, 2), device.stream())
    assert caught.value.trouble is trouble


def test_a_device_whose_library_finds_no_cuda_is_left(log):
    library = library_of(log)
    library.api.Runtime = lambda _logger: (_ for _ in ()).throw(TypeError("no CUDA"))
    with pytest.raises(DeviceError, match="no runtime"):
        PycudaDevice(library, FakePycuda(log), None)
    assert "detach" in log, "pycuda ends the process when a thread ends in a context"
    with pytest.raises(DeviceError, match="no runtime"):
        CudaPythonDevice(library, FakeDriver(log))
    assert "cuDevicePrimaryCtxRelease" in log


def test_a_library_that_cannot_use_the_driver_is_not_called_a_missing_gpu(log):
    library = library_of(log)
    library.api.Runtime = lambda _logger: (_ for _ in ()).throw(TypeError("factory function returned nullptr"))
    with pytest.raises(ConflictError, match=r"facestream\[tensorrt-cu12\]") as caught:
        open_gpu(library, {"cuda-python": lambda library: CudaPythonDevice(library, FakeDriver(log))})
    assert caught.value.reason == "ENGINE_LIBRARY_UNFIT"


def test_a_gpu_whose_memory_is_full_at_the_start_is_no_fault_of_the_library(log):
    library = library_of(log)
    library.api.Runtime = lambda _logger: (_ for _ in ()).throw(RuntimeError("Cuda Runtime (out of memory)"))
    with pytest.raises(ConflictError, match="out of memory") as caught:
        open_gpu(library, {"cuda-python": lambda library: CudaPythonDevice(library, FakeDriver(log))})
    assert caught.value.reason == "GPU_MISSING"


def test_without_bindings_pycuda_runs_without_graphs(log):
    device = PycudaDevice(library_of(log), FakePycuda(log), None)
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    for _ in range(4):
        slot.start(np.zeros((1, 3, 2, 2), np.float32), 1)
        slot.land()
    assert log.count("run") == 4


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY", Trouble.OUT_OF_MEMORY),
        ("CUDA_ERROR_ILLEGAL_ADDRESS", Trouble.LOST),
        ("CUDA_ERROR_ECC_UNCORRECTABLE", Trouble.LOST),
        ("CUDA_ERROR_UNKNOWN", Trouble.LOST),
        ("CUDA_ERROR_INVALID_VALUE", Trouble.FAILED),
    ],
)
def test_errors_of_the_driver_are_sorted(log, name, trouble):
    with pytest.raises(DeviceError, match=f"cuMemAlloc: {name}") as caught:
        Driver(FakeDriver(log, {"cuMemAlloc": name})).call("cuMemAlloc", 4)
    assert caught.value.trouble is trouble


def test_errors_of_pycuda_are_sorted(log):
    cuda = FakePycuda(log)
    cases = {
        cuda.MemoryError("cuMemAlloc failed: out of memory"): Trouble.OUT_OF_MEMORY,
        cuda.LaunchError("cuLaunchKernel failed: the launch timed out and was terminated"): Trouble.LOST,
        cuda.LaunchError("cuLaunchKernel failed: too many resources requested for launch"): Trouble.FAILED,
        cuda.Error("cuEventSynchronize failed: an illegal memory access was encountered"): Trouble.LOST,
        cuda.Error("cuEventSynchronize failed: unknown error"): Trouble.LOST,
        cuda.Error("cuEventRecord failed: invalid resource handle"): Trouble.FAILED,
    }
    for error, trouble in cases.items():
        with pytest.raises(DeviceError) as caught, translated(cuda):
            raise error
        assert caught.value.trouble is trouble


def test_a_capture_is_ended_also_when_its_work_fails(log):
    device = CudaPythonDevice(library_of(log), FakeDriver(log))

    def fail():
        raise DeviceError(Trouble.FAILED, "no")

    with pytest.raises(DeviceError, match="no"):
        device.capture(device.stream(), fail)
    assert log[-2:] == ["cuStreamEndCapture", "cuGraphDestroy"]


def test_the_error_of_a_capture_is_that_of_its_work_and_not_that_of_its_end(log):
    driver = FakeDriver(log, {"cuStreamEndCapture": "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"})
    device = CudaPythonDevice(library_of(log), driver)

    def fail():
        raise DeviceError(Trouble.OUT_OF_MEMORY, "no room")

    with pytest.raises(DeviceError, match="no room") as caught:
        device.capture(device.stream(), fail)
    assert caught.value.trouble is Trouble.OUT_OF_MEMORY


def test_a_run_that_cannot_be_recorded_is_put_together_anew_each_time(log, caplog):
    driver = FakeDriver(log, {"cuStreamEndCapture": "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"})
    device = CudaPythonDevice(library_of(log), driver)
    slot = Slot(device, device.load(b"plan"), (PROFILE,))
    rows = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    for number in range(6):
        slot.start(rows + number, 1)
        np.testing.assert_array_equal(slot.land()[0], rows + number + 1)
    assert log.count("cuStreamBeginCapture") == RECORDINGS
    assert "can't be recorded" in caplog.text


def test_a_gpu_that_does_not_work_is_said_to_be_missing(log):
    def opener(library):
        return CudaPythonDevice(library, FakeDriver(log, {"cuInit": "CUDA_ERROR_NO_DEVICE"}))

    with pytest.raises(ConflictError, match=r"cuInit: CUDA_ERROR_NO_DEVICE.*nvidia-smi") as caught:
        open_gpu(library_of(log), {"cuda-python": opener})
    assert caught.value.reason == "GPU_MISSING"


def test_the_next_library_is_tried_where_one_is_not_installed(log):
    def missing(_library):
        raise ImportError

    opened = open_gpu(
        library_of(log), {"pycuda": missing, "cuda-python": lambda library: CudaPythonDevice(library, FakeDriver(log))}
    )
    assert opened.name == "Stand-in"


def test_kernels_that_do_not_compile_are_an_error_with_the_compilers_words():
    def log_of(_program, log):
        ctypes.memmove(log, b"kernels.cu(3): error: ;", 23)

    nvrtc = SimpleNamespace(
        nvrtcResult=SimpleNamespace(NVRTC_SUCCESS=0),
        nvrtcCreateProgram=lambda *_arguments: (0, "program"),
        nvrtcCompileProgram=lambda _program, count, options: (6,) if options == [b"--gpu-architecture=sm_86"] else (0,),
        nvrtcGetProgramLogSize=lambda _program: (0, 23),
        nvrtcGetProgramLog=log_of,
    )
    with pytest.raises(DeviceError, match=r"kernels\.cu\(3\): error"):
        compiled(nvrtc, "nonsense", "sm86")


def nvrtc_that_makes(image):
    return SimpleNamespace(
        nvrtcResult=SimpleNamespace(NVRTC_SUCCESS=0),
        nvrtcCreateProgram=lambda *_arguments: (0, "program"),
        nvrtcCompileProgram=lambda *_arguments: (0,),
        nvrtcGetCUBINSize=lambda _program: (0, len(image)),
        nvrtcGetCUBIN=lambda _program, target: ctypes.memmove(target, image, len(image)),
    )


def test_pycuda_loads_what_nvrtc_compiled_and_hands_arguments_over_as_numpy_values(log):
    calls = []
    cuda = FakePycuda(log)
    cuda.module_from_buffer = lambda image: SimpleNamespace(
        get_function=lambda name: lambda *passed, **how: calls.append((image, name, passed, how))
    )
    device = PycudaDevice(library_of(log), cuda, None, nvrtc=nvrtc_that_makes(b"cubin"))
    stream = device.stream()
    device.compile("source").launch("warp", (1, 2, 3), (16, 16, 1), (2**40, np.int32(7), b"pixels"), stream)
    ((image, name, passed, how),) = calls
    assert (image, name) == (b"cubin", "warp")
    assert [type(one) for one in passed] == [np.uintp, np.int32, np.ndarray]
    assert passed[0] == 2**40
    assert passed[2].tobytes() == b"pixels"
    assert how == {"grid": (1, 2, 3), "block": (16, 16, 1), "stream": stream.stream}


def test_a_driver_that_is_not_there_is_an_error_of_ours():
    def missing(_flags):
        raise RuntimeError('"cuda" can only be found via system search')

    with pytest.raises(DeviceError, match=r"cuInit: .*system search"):
        Driver(SimpleNamespace(cuInit=missing)).call("cuInit", 0)


def test_a_compiler_that_is_not_there_is_an_error_of_ours():
    def missing(*_arguments):
        raise RuntimeError("no libnvrtc")

    with pytest.raises(DeviceError, match="NVRTC is missing: no libnvrtc"):
        compiled(SimpleNamespace(nvrtcCreateProgram=missing), "source", "sm86")
