"""What the runner needs of a GPU: memory, streams, events, engines. Thin, so that several libraries can provide it.

All of it is used by the one thread that opened the device. Implementations: pycuda, cuda-python, and a shipped fake
that computes with ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.inference.engines.profiles import Shape

Bytes: TypeAlias = NDArray[np.uint8]


class Trouble(Enum):
    """What went wrong on a device, as far as the runner treats it differently."""

    OUT_OF_MEMORY = "out of memory"
    """Less at a time may work."""
    LOST = "device lost"
    """Nothing will work any more in this process."""
    FAILED = "failed"
    """This call didn't work; others may."""


class DeviceError(Exception):
    """A device didn't do what it was asked. Stays inside `server.inference`, which translates it."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message


class UnfitLibraryError(DeviceError):
    """The device works, and the library that runs engines on it doesn't."""


class HostBuffer(Protocol):
    """Page-locked memory of the host, which the device copies from and to while the processor does other things."""

    @property
    def array(self) -> Bytes:
        """The memory, (nbytes,) uint8."""
        ...

    def free(self) -> None:
        """Gives it back."""
        ...


class DeviceBuffer(Protocol):
    """Memory of the device."""

    @property
    def address(self) -> int:
        """Where it begins; a multiple of 256."""
        ...

    @property
    def nbytes(self) -> int:
        """How long it is."""
        ...

    def free(self) -> None:
        """Gives it back."""
        ...


class Stream(Protocol):
    """A queue of work on the device: in order within itself, beside other streams."""

    @property
    def handle(self) -> int:
        """CUstream, for TensorRT."""
        ...

    def after(self, mark: Event) -> None:
        """What is put in from now on begins when the stream of a recorded mark has come to it."""
        ...

    def synchronise(self) -> None:
        """Waits until all of it is done.

        Raises:
            DeviceError: work in it failed.
        """
        ...

    def free(self) -> None:
        """Gives it back; nothing may be in it."""
        ...


def drain(stream: Stream) -> None:
    """Waits until a stream is empty, of which an error was reported before or is about to be."""
    with suppress(DeviceError):
        stream.synchronise()


class Event(Protocol):
    """A mark in a stream."""

    def record(self, stream: Stream) -> None:
        """Puts the mark behind what is in the stream now."""
        ...

    def wait(self) -> None:
        """Lets the calling thread sleep until the stream has come to the mark.

        Raises:
            DeviceError: work before the mark failed.
        """
        ...

    def free(self) -> None:
        """Gives it back."""
        ...


class Graph(Protocol):
    """Work that was recorded once and is launched with one call (a CUDA graph)."""

    def launch(self, stream: Stream) -> None:
        """Puts the work into a stream."""
        ...

    def free(self) -> None:
        """Gives its memory back."""
        ...


class ExecutionContext(Protocol):
    """An engine made ready for one input shape."""

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the outputs, in the engine's order."""
        ...

    @property
    def capturable(self) -> bool:
        """Whether its work may be recorded into a `Graph`; not when the library records graphs by itself."""
        ...

    @property
    def scratch_bytes(self) -> int:
        """Memory that a run computes in; more than none."""
        ...

    def bind(self, source: DeviceBuffer, outputs: Sequence[DeviceBuffer], scratch: DeviceBuffer) -> None:
        """Says where the input lies, where the outputs go, and what memory is free to compute in.

        Raises:
            DeviceError: the library refuses.
        """
        ...

    def enqueue(self, stream: Stream) -> None:
        """Puts one run into a stream.

        Raises:
            DeviceError: the library refuses.
        """
        ...


class LoadedEngine(Protocol):
    """An engine on a device."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, all float32."""
        ...

    def context(self, profile: int, shape: Shape, stream: Stream) -> ExecutionContext:
        """The engine for one input shape, which the profile takes; it is made ready in a stream."""
        ...

    def free(self) -> None:
        """Gives its memory back."""
        ...


Argument: TypeAlias = int | np.int32 | bytes
"""Of a kernel: a device address, a C int, or the bytes of a structure passed by value."""


class Kernels(Protocol):
    """Functions that were compiled for the device."""

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        """Puts one run of a function, declared extern "C", into a stream.

        Raises:
            DeviceError: the device refuses.
        """
        ...


class Device(Protocol):
    """A GPU, open in this thread."""

    @property
    def name(self) -> str:
        """As its maker calls it."""
        ...

    @property
    def architecture(self) -> str:
        """Such as "sm86" for compute capability 8.6."""
        ...

    def free_bytes(self) -> int:
        """Memory that nobody holds."""
        ...

    def pinned(self, nbytes: int) -> HostBuffer:
        """Page-locked host memory.

        Raises:
            DeviceError: OUT_OF_MEMORY.
        """
        ...

    def memory(self, nbytes: int) -> DeviceBuffer:
        """Device memory.

        Raises:
            DeviceError: OUT_OF_MEMORY.
        """
        ...

    def stream(self) -> Stream:
        """A new stream."""
        ...

    def event(self) -> Event:
        """A new event."""
        ...

    def copy_in(self, target: DeviceBuffer, source: HostBuffer, nbytes: int, stream: Stream) -> None:
        """Puts a copy of the first bytes, host to device, into a stream."""
        ...

    def copy_out(self, target: HostBuffer, source: DeviceBuffer, nbytes: int, stream: Stream) -> None:
        """Puts a copy of the first bytes, device to host, into a stream."""
        ...

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        """Records what `work` puts into the stream, without doing it; None where graphs are not to be had."""
        ...

    def load(self, plan: bytes) -> LoadedEngine:
        """Loads an engine, whose seal was checked.

        Raises:
            DeviceError: the library refuses it.
        """
        ...

    def compile(self, source: str) -> Kernels:
        """Compiles CUDA C++ for this device.

        Raises:
            DeviceError: the compiler refuses it, with its words.
        """
        ...

    def close(self) -> None:
        """Leaves the device."""
        ...


OpenDevice: TypeAlias = Callable[[], Device]
"""Opens a device in the calling thread, which alone may use it."""
