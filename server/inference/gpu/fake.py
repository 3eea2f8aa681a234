"""A GPU that is none: it computes with ONNX Runtime, and fails on request. For tests of everything above `Device`.

It is as unforgiving as a real one: work in a stream is done later, by another thread, with whatever the buffers then
hold; memory is counted; only the thread that opened the device may use it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from server.inference.backend import Tensor
from server.inference.engines.profiles import Shape, ShapeProfile
from server.inference.engines.progress import Progress
from server.inference.gpu.device import (
    Bytes,
    DeviceBuffer,
    DeviceError,
    Event,
    ExecutionContext,
    Graph,
    HostBuffer,
    Kernels,
    LoadedEngine,
    OpenDevice,
    Stream,
    Trouble,
)
from server.inference.gpu.fake_kernels import OpenCvKernels

Compiler: TypeAlias = Callable[[str], Kernels]
"""Makes kernels of CUDA C++, for the processor."""

_MAGIC = b"fake plan\n"


class FakeBuilder:
    """Builds plans for the fake device: the network itself, and the shapes that it was built for.

    Attributes:
        builds: how many plans were built.
    """

    name = "fake"

    def __init__(self, *, version: str = "1", before: Callable[[], None] = lambda: None) -> None:
        """Makes a builder.

        Args:
            version: of the imagined library.
            before: called at the start of each build; may wait, or raise.
        """
        self.version = version
        self.builds = 0
        self._before = before

    def target_for(self, architecture: str | None) -> str:
        """Every target is as good."""
        return architecture or "sm00"

    def build(self, network: bytes, profiles: Sequence[ShapeProfile], target: str, progress: Progress) -> bytes:
        """The plan of a network."""
        self._before()
        progress("faking")
        self.builds += 1
        about = json.dumps({"target": target, "profiles": len(profiles)}).encode() + b"\n"
        return _MAGIC + about + network


@dataclass(slots=True)
class Faults:
    """What goes wrong on a fake device.

    Attributes:
        memory: bytes that the device has.
        enqueued: called with each batch before it is computed; may raise DeviceError.
        spoilt: what becomes of the outputs.
        loading: called with each plan that is loaded; may raise DeviceError.
        freeing: called with the bytes of memory that are given back; may raise DeviceError.
    """

    memory: int = 2**34
    enqueued: Callable[[Tensor], None] = lambda _batch: None
    spoilt: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] = lambda outputs: outputs
    loading: Callable[[bytes], None] = lambda _plan: None
    freeing: Callable[[int], None] = lambda _nbytes: None


@dataclass(slots=True)
class Record:
    """What a fake device was seen to do.

    Attributes:
        shapes: of the batches, in the order in which they were done.
        launches: runs that came from a graph.
        held: bytes of device and page-locked memory that were not given back.
        most_at_once: batches that were on their way at the same time at most.
        closed: whether it was left.
    """

    shapes: list[Shape] = field(default_factory=list)
    launches: int = 0
    held: int = 0
    most_at_once: int = 0
    closed: bool = False
    _on_their_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_out(self) -> None:
        """A batch was put into a stream."""
        with self._lock:
            self._on_their_way += 1
            self.most_at_once = max(self.most_at_once, self._on_their_way)

    def arrived(self, shape: Shape) -> None:
        """A batch was computed, or failed."""
        with self._lock:
            self._on_their_way -= 1
            self.shapes.append(shape)


def _into(stream: Stream, work: Callable[[], None]) -> None:
    _stream(stream).put(work)


def opencv_kernels(_source: str) -> Kernels:
    """The kernels as OpenCV computes them, whatever the source says."""
    return OpenCvKernels(_into)


def fake_device(
    faults: Faults | None = None,
    record: Record | None = None,
    *,
    graphs: bool = True,
    compiler: Compiler | None = opencv_kernels,
) -> OpenDevice:
    """Opens fake devices that fail as told.

    Args:
        faults: what goes wrong.
        record: filled with what the device does.
        graphs: whether work can be recorded.
        compiler: makes its kernels; None for a device without a compiler.
    """
    return lambda: FakeDevice(faults or Faults(), record or Record(), graphs=graphs, compiler=compiler)


class FakeDevice:
    """A `Device` in the host's memory."""

    name = "fake GPU"
    architecture = "sm00"

    def __init__(
        self, faults: Faults, record: Record, *, graphs: bool = True, compiler: Compiler | None = None
    ) -> None:
        self._compiler = compiler
        self.faults = faults
        self.record = record
        self._graphs = graphs
        self._owner = threading.get_ident()
        self._streams: list[_Stream] = []
        self._arrays: dict[int, Bytes] = {}

    def free_bytes(self) -> int:
        """What is left of the memory."""
        self._check_thread()
        return self.faults.memory - self.record.held

    def pinned(self, nbytes: int) -> HostBuffer:
        """As `Device.pinned`."""
        return self._allocate(nbytes)

    def memory(self, nbytes: int) -> DeviceBuffer:
        """As `Device.memory`."""
        return self._allocate(nbytes)

    def stream(self) -> Stream:
        """As `Device.stream`."""
        self._check_thread()
        self._streams.append(_Stream())
        return self._streams[-1]

    def event(self) -> Event:
        """As `Device.event`."""
        self._check_thread()
        return _Event()

    def copy_in(self, target: DeviceBuffer, source: HostBuffer, nbytes: int, stream: Stream) -> None:
        """As `Device.copy_in`; done later, as on a real device."""
        self._copy(_buffer(target), _buffer(source), nbytes, stream)

    def copy_out(self, target: HostBuffer, source: DeviceBuffer, nbytes: int, stream: Stream) -> None:
        """As `Device.copy_out`; done later, as on a real device."""
        self._copy(_buffer(target), _buffer(source), nbytes, stream)

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        """As `Device.capture`."""
        self._check_thread()
        if not self._graphs:
            return None
        queue = _stream(stream)
        queue.recording = []
        work()
        recorded, queue.recording = queue.recording, None
        return _Graph(recorded, self.record)

    def load(self, plan: bytes) -> LoadedEngine:
        """As `Device.load`."""
        self._check_thread()
        self.faults.loading(plan)
        if not plan.startswith(_MAGIC):
            raise DeviceError(Trouble.FAILED, "this is no plan of the fake builder")
        network = plan[len(_MAGIC) :].partition(b"\n")[2]
        return _Engine(self, network)

    def compile(self, source: str) -> Kernels:
        """As `Device.compile`, with the compiler that the device was opened with."""
        self._check_thread()
        if self._compiler is None:
            raise DeviceError(Trouble.FAILED, "this fake device has no compiler")
        return self._compiler(source)

    def close(self) -> None:
        """Ends the streams' threads."""
        self.record.closed = True
        for stream in self._streams:
            stream.free()
        self._streams.clear()

    def _copy(self, target: _Memory, source: _Memory, nbytes: int, stream: Stream) -> None:
        self._check_thread()
        into, out_of = target.array[:nbytes], source.array[:nbytes]
        _stream(stream).put(lambda: np.copyto(into, out_of))

    def _allocate(self, nbytes: int) -> _Memory:
        self._check_thread()
        if self.record.held + nbytes > self.faults.memory:
            raise DeviceError(Trouble.OUT_OF_MEMORY, f"{nbytes} bytes are not to be had")
        self.record.held += nbytes
        memory = _Memory(nbytes, self._release)
        self._arrays[memory.address] = memory.array
        return memory

    def _release(self, memory: _Memory) -> None:
        """Spoils memory, which goes when all streams have done what they were given: kernels know it by its address."""
        self.faults.freeing(memory.nbytes)
        self.record.held -= memory.nbytes
        memory.array.fill(0xFF)
        array = self._arrays.pop(memory.address)
        for stream in self._streams:
            stream.hold(array)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise DeviceError(Trouble.FAILED, "the device was used from a thread that doesn't own it")


class _Memory:
    """Memory of the host or the imagined device; freed memory is spoilt, so that using it shows."""

    def __init__(self, nbytes: int, release: Callable[[_Memory], None]) -> None:
        self.array: Bytes = np.full(nbytes, 0xFF, np.uint8)
        self._release = release

    @property
    def address(self) -> int:
        return int(self.array.ctypes.data)

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    def free(self) -> None:
        self._release(self)


class _Stream:
    """A thread that does what is put into it, in order, until something fails."""

    handle = 0

    def __init__(self) -> None:
        self.recording: list[Callable[[], object]] | None = None
        self._thread = ThreadPoolExecutor(1, "fake-stream")
        self.broken: DeviceError | None = None
        self.freed = False

    def put(self, work: Callable[[], object]) -> None:
        if self.recording is not None:
            self.recording.append(work)
        else:
            self._thread.submit(self._do, work)

    def hold(self, array: Bytes) -> None:
        """Keeps memory until what was put in before is done."""
        if not self.freed:
            self._thread.submit(len, array)

    def mark(self) -> Future[DeviceError | None]:
        return self._thread.submit(self._report)

    def after(self, mark: Event) -> None:
        assert isinstance(mark, _Event)
        self.put(mark.passed)

    def synchronise(self) -> None:
        error = self.mark().result()
        if error is not None:
            raise error

    def free(self) -> None:
        """Ends its thread, once it has done what was put into it; the device forgets it when it is closed."""
        self._thread.shutdown()
        self.freed = True

    def _do(self, work: Callable[[], object]) -> None:
        if self.broken is None:
            try:
                work()
            except DeviceError as error:
                self.broken = error

    def _report(self) -> DeviceError | None:
        """What went wrong before the mark; a lost device stays lost."""
        error = self.broken
        if error is not None and error.trouble is not Trouble.LOST:
            self.broken = None
        return error


class _Event:
    def __init__(self) -> None:
        self._mark: Future[DeviceError | None] | None = None

    def record(self, stream: Stream) -> None:
        self._mark = _stream(stream).mark()

    def wait(self) -> None:
        error = self.passed()
        if error is not None:
            raise error

    def free(self) -> None:
        self._mark = None

    def passed(self) -> DeviceError | None:
        """What went wrong before the mark, once the stream has come to it."""
        assert self._mark is not None
        return self._mark.result()


class _Graph:
    def __init__(self, recorded: list[Callable[[], object]], record: Record) -> None:
        self._recorded = recorded
        self._record = record

    def launch(self, stream: Stream) -> None:
        self._record.launches += 1
        self._record.set_out()
        for work in self._recorded:
            _stream(stream).put(work)

    def free(self) -> None:
        self._recorded = []


class _Engine:
    """A plan that was loaded: an ONNX Runtime session."""

    def __init__(self, device: FakeDevice, network: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session: Any = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(tensor.name for tensor in self.session.get_inputs())
        self.outputs = tuple(tensor.name for tensor in self.session.get_outputs())
        self.device = device

    def context(self, profile: int, shape: Shape, stream: Stream) -> ExecutionContext:
        del stream
        return _Context(self, shape, 1024 * (1 + profile))

    def free(self) -> None:
        self.session = None


class _Context:
    capturable = True

    def __init__(self, engine: _Engine, shape: Shape, scratch_bytes: int) -> None:
        self._engine = engine
        self._shape = shape
        self.scratch_bytes = scratch_bytes
        # A real library works the shapes out from the network; this one has to try.
        probe = engine.session.run(list(engine.outputs), {engine.inputs[0]: np.ones(shape, np.float32)})
        self.output_shapes = tuple(output.shape for output in probe)

    def bind(self, source: DeviceBuffer, outputs: Sequence[DeviceBuffer], scratch: DeviceBuffer) -> None:
        del scratch
        self._source = _buffer(source)
        self._targets = [_buffer(output) for output in outputs]

    def enqueue(self, stream: Stream) -> None:
        if _stream(stream).recording is None:
            self._engine.device.record.set_out()
        _stream(stream).put(self._compute)

    def _compute(self) -> None:
        try:
            self._compute_now()
        finally:
            self._engine.device.record.arrived(self._shape)

    def _compute_now(self) -> None:
        device, engine = self._engine.device, self._engine
        batch = _floats(self._source, self._shape)
        device.faults.enqueued(batch)
        outputs = tuple(engine.session.run(list(engine.outputs), {engine.inputs[0]: batch}))
        outputs = device.faults.spoilt(outputs)
        for target, output in zip(self._targets, outputs, strict=True):
            _floats(target, output.shape)[:] = output


def _floats(memory: _Memory, shape: Sequence[int]) -> Tensor:
    count = int(np.prod(shape))
    return memory.array[: 4 * count].view(np.float32).reshape(shape)


def _buffer(buffer: DeviceBuffer | HostBuffer) -> _Memory:
    assert isinstance(buffer, _Memory)
    return buffer


def _stream(stream: Stream) -> _Stream:
    assert isinstance(stream, _Stream)
    return stream
