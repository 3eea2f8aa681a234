"""`tensorrt` for the emulated driver: what we use of TensorRT 10's API, computed by ONNX Runtime where the driver says.

Not TensorRT: it says nothing of its kernels, their speed or their rounding. As strict as TensorRT in what a caller can
get wrong: shapes outside of the profile, addresses that are missing or not aligned, too little memory to compute in,
a run that is recorded before a plain one, a network whose tensors are not float32. A run is a function that the driver
calls when its stream comes to it, and again for each launch of a graph.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import pathlib
import threading
import time

import numpy as np
import onnx
import onnxruntime

__version__ = "10.0.0.emulated"

BUILD_UNTIL = "FACESTREAM_EMULATED_BUILD_UNTIL"
"""Set in the environment: a file without which no build comes to its end."""
_STEPS = 3
_MAGIC = b"plan of the emulated TensorRT\n"
_ALIGNED = 256
_SCRATCH_OF_A_ROW = 4096
_driver = ctypes.CDLL("libcuda.so.1")
_driver.emulated_host_address.restype = ctypes.c_void_p
_driver.emulated_host_address.argtypes = [ctypes.c_uint64, ctypes.c_size_t]
_driver.emulated_is_captured.argtypes = [ctypes.c_void_p]
_HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_driver.cuLaunchHostFunc.argtypes = [ctypes.c_void_p, _HostFunction, ctypes.c_void_p]
_ILLEGAL_ADDRESS = 700


class TensorIOMode(enum.IntEnum):
    NONE, INPUT, OUTPUT = range(3)


class DataType(enum.IntEnum):
    FLOAT, HALF, OTHER = range(3)


class ExecutionContextAllocationStrategy(enum.IntEnum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH, STRONGLY_TYPED = range(2)


class BuilderFlag(enum.IntEnum):
    FP16, TF32 = range(2)


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class IProgressMonitor:
    pass


class Builder:
    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return _Definition()

    def create_builder_config(self):
        return _Config()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, definition, config):
        assert not config.tf32
        assert config.profiles
        monitor, phase, awaited = config.progress_monitor, "building", os.environ.get(BUILD_UNTIL)
        monitor.phase_start(phase, None, _STEPS)
        step = 0
        while step < _STEPS:
            if _driver.emulated_wait_for_all():
                self.logger.log(ILogger.Severity.ERROR, "the device could not be waited for")
                return None
            if not monitor.step_complete(phase, step):
                self.logger.log(ILogger.Severity.ERROR, "the build was cancelled")
                return None
            if awaited is None or pathlib.Path(awaited).exists():
                step += 1
            else:
                time.sleep(0.05)
        monitor.phase_finish(phase)
        about = json.dumps([profile.shapes for profile in config.profiles]).encode()
        return _MAGIC + about + b"\n" + definition.network


class OnnxParser:
    num_errors = 0

    def __init__(self, definition, logger):
        self._definition = definition
        self._logger = logger

    def parse(self, network):
        self._definition.read(bytes(network))
        return True


class _Definition:
    def read(self, network):
        self.network = network
        self.names = [one.name for one in onnx.load_from_string(network).graph.input]

    def get_input(self, index):
        return type("Tensor", (), {"name": self.names[index]})


class _Config:
    def __init__(self):
        self.tf32 = True
        self.profiles = []
        self.progress_monitor = None

    def clear_flag(self, flag):
        assert flag is BuilderFlag.TF32
        self.tf32 = False

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return len(self.profiles) - 1


class _Profile:
    def set_shape(self, name, smallest, typical, largest):
        if not all(a <= b <= c for a, b, c in zip(smallest, typical, largest, strict=True)):
            raise ValueError("the shapes are not in order")
        self.shapes = [list(smallest), list(typical), list(largest)]


class Runtime:
    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        if not bytes(plan).startswith(_MAGIC):
            self.logger.log(ILogger.Severity.ERROR, "the plan is not of this version")
            return None
        about, _, network = bytes(plan)[len(_MAGIC) :].partition(b"\n")
        return _Engine(self.logger, json.loads(about), network)


class _Engine:
    def __init__(self, logger, profiles, network):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.logger = logger
        self.profiles = profiles
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.inputs = {one.name: one.type for one in self.session.get_inputs()}
        self.outputs = {one.name: one.type for one in self.session.get_outputs()}
        self.names = [*self.inputs, *self.outputs]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        kind = {**self.inputs, **self.outputs}[name]
        return {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF}.get(kind, DataType.OTHER)

    def create_execution_context(self, strategy):
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        return _Context(self)


class _Context:
    """An execution context. Callbacks that a stream or graph may still call are kept as long as the process lives."""

    _kept: list = []  # noqa: RUF012
    _lock = threading.Lock()

    def __init__(self, engine):
        self.engine = engine
        self.profile = None
        self.shape = None
        self.addresses = {}
        self.scratch = (0, 0)
        self.ran = False

    def set_optimization_profile_async(self, index, stream):
        assert stream
        if not 0 <= index < len(self.engine.profiles):
            return self._refused(f"there is no profile {index}")
        self.profile = self.engine.profiles[index]
        return True

    def set_input_shape(self, name, shape):
        smallest, _, largest = self.profile
        if not all(a <= one <= b for a, one, b in zip(smallest, shape, largest, strict=True)):
            return self._refused(f"{shape} lies outside of the profile from {smallest} to {largest}")
        assert name in self.engine.inputs
        self.shape = tuple(shape)
        blank = {name: np.ones(self.shape, np.float32)}
        self.shapes = {
            one: output.shape
            for one, output in zip(self.engine.outputs, self.engine.session.run(None, blank), strict=True)
        }
        self.shapes[name] = self.shape
        return True

    def infer_shapes(self):
        return []

    def update_device_memory_size_for_shapes(self):
        self.needed = _SCRATCH_OF_A_ROW * self.shape[0]
        return self.needed

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_device_memory(self, address, nbytes):
        self.scratch = (address, nbytes)

    def execute_async_v3(self, stream):
        missing = [name for name in self.engine.names if not self.addresses.get(name)]
        if missing:
            return self._refused(f"no address was set for {missing}")
        if any(address % _ALIGNED for address in self.addresses.values()):
            return self._refused("an address is not aligned")
        if not self.scratch[0] or self.scratch[1] < self.needed:
            return self._refused(f"{self.needed} bytes to compute in are needed, {self.scratch[1]} were given")
        if _driver.emulated_is_captured(stream) and not self.ran:
            return self._refused("the first run with new shapes can't be recorded")
        self.ran = True
        callback = _HostFunction(self._run_of(dict(self.addresses), self.scratch[0]))
        with self._lock:
            self._kept.append(callback)
        code = _driver.cuLaunchHostFunc(stream, callback, None)
        return code == 0 or self._refused(f"CUDA error {code}")

    def _run_of(self, addresses, scratch):
        """What is done when the stream comes to it; the context may be set up otherwise by then."""
        engine, shapes, needed = self.engine, dict(self.shapes), self.needed

        def run(_given):
            try:
                view = {name: _floats(addresses[name], shape) for name, shape in shapes.items()}
                _floats(scratch, (needed // 4,))[:] = np.nan
                outputs = engine.session.run(None, {name: view[name] for name in engine.inputs})
                for name, output in zip(engine.outputs, outputs, strict=True):
                    view[name][:] = output
            except _IllegalAddressError:
                _driver.emulated_break(_ILLEGAL_ADDRESS)

        return run

    def _refused(self, why):
        self.engine.logger.log(ILogger.Severity.ERROR, why)
        return False


class _IllegalAddressError(Exception):
    pass


def _floats(address, shape):
    """An array of the device's memory, where the host finds it."""
    count = int(np.prod(shape))
    place = _driver.emulated_host_address(address, 4 * count)
    if place is None:
        raise _IllegalAddressError
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(place)).reshape(shape)
