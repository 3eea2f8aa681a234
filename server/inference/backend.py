"""The one seam between the server and whatever runs a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.errors import InferenceError
from server.inference.cuts import Batch, as_tensor
from server.inference.parts import Input

Tensor: TypeAlias = NDArray[np.float32]


class Backend(Protocol):
    """Runs one network.

    The contract, which tests/conformance/test_backend.py holds every implementation to:

    - A batch is (N, 3, H, W) float32, C order or not, writable or not, with any N >= 1 and an H and W that the network
      takes; or `Cuts`, the same before it is made, which a backend makes where it likes: the answers differ by no more
      than inputs that lie half a grey level apart on average.
    - The answer has one float32 array per output, in the order of `Manifest.outputs()`, each of length N, row i for
      crop or frame i, whatever else is in the batch. The arrays belong to the caller.
    - The same batch gives the same answer. The batch is not written to.
    - `run` may be called by several threads at once; they may have to take turns.
    - InferenceError, and nothing else, is raised: INPUT_INVALID for a wrong rank, channel count, dtype, N = 0 or a
      size that the network does not take, OUTPUT_INVALID when an output is not finite or has another length,
      BACKEND_FAILED when the library fails, BACKEND_CLOSED after `close`.
    - `close` releases memory and may be called again.

    Attributes:
        name: library, device and precision, such as "onnxruntime-cpu".
    """

    @property
    def name(self) -> str:
        """Library, device and precision."""
        ...

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """The network's outputs for a batch."""
        ...

    def close(self) -> None:
        """Releases what the network holds."""
        ...


def check_batch(batch: Batch) -> None:
    """Passes a batch that fits the contract.

    Raises:
        InferenceError: INPUT_INVALID.
    """
    dtype = batch.dtype if isinstance(batch, np.ndarray) else np.dtype(np.float32)
    if len(batch.shape) != 4 or batch.shape[1] != 3 or 0 in batch.shape or dtype != np.float32:
        raise InferenceError(
            "INPUT_INVALID",
            f"a batch is (N, 3, H, W) float32 with N, H, W >= 1, not {batch.shape} {dtype}",
        )


def check_size(batch: Batch, wanted: Input) -> None:
    """Passes a batch whose pictures have a size that the network takes.

    Raises:
        InferenceError: INPUT_INVALID.
    """
    height, width = batch.shape[2:]
    if wanted.width is not None and (width, height) != (wanted.width, wanted.height):
        raise InferenceError(
            "INPUT_INVALID",
            f"the network takes {wanted.width}x{wanted.height} pixels, not {width}x{height}",
        )
    if width % wanted.size_multiple or height % wanted.size_multiple:
        raise InferenceError(
            "INPUT_INVALID",
            f"the network takes sides that are multiples of {wanted.size_multiple}, not {width}x{height}",
        )


def check_outputs(outputs: tuple[Tensor, ...], length: int) -> tuple[Tensor, ...]:
    """Gives back outputs that fit the contract.

    Raises:
        InferenceError: OUTPUT_INVALID.
    """
    for number, output in enumerate(outputs):
        if output.dtype != np.float32 or output.ndim < 1 or len(output) != length:
            raise InferenceError(
                "OUTPUT_INVALID",
                f"output {number} is {output.shape} {output.dtype} for a batch of {length}; it must be float32 and "
                "as long as the batch: export the network with a free first dimension",
            )
        if not np.isfinite(output).all():
            raise InferenceError(
                "OUTPUT_INVALID",
                f"output {number} holds values that are not finite; the weights overflow at this precision or the "
                "input does",
            )
    return outputs


def closed(name: str) -> InferenceError:
    """The error of a backend that is used after `close`."""
    return InferenceError("BACKEND_CLOSED", f"{name} was closed and takes no more batches")


class FakeBackend:
    """A network that is a Python function, for tests of everything around it.

    Attributes:
        calls: shapes of the batches run so far.
    """

    def __init__(
        self,
        function: Callable[[Tensor], tuple[Tensor, ...]],
        *,
        name: str = "fake",
        takes: Input | None = None,
        seconds: float = 0.0,
        failure: Exception | None = None,
    ) -> None:
        """Holds the function; it is called once per batch.

        Args:
            function: outputs of a batch.
            name: as in `Backend`.
            takes: sizes that the imagined network takes; None for any.
            seconds: how long each batch takes at least.
            failure: what the imagined library raises at every batch; None for a library that works.
        """
        self.name = name
        self.calls: list[tuple[int, ...]] = []
        self._function = function
        self._takes = takes
        self._seconds = seconds
        self._failure = failure
        self._open = True

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """The function's outputs for a batch."""
        if not self._open:
            raise closed(self.name)
        check_batch(batch)
        if self._takes is not None:
            check_size(batch, self._takes)
        self.calls.append(batch.shape)
        if self._seconds:
            time.sleep(self._seconds)
        if self._failure is not None:
            raise InferenceError("BACKEND_FAILED", f"{self.name} failed: {self._failure}") from self._failure
        return check_outputs(self._function(as_tensor(batch)), len(batch))

    def close(self) -> None:
        """Takes no more batches."""
        self._open = False
