"""CUDA graphs by stream capture, through cuda-bindings; pycuda has no graphs, but its streams can be captured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from server.inference.gpu.device import DeviceError, Graph, Stream, Trouble
from server.inference.gpu.driver import Driver


class CapturedGraph:
    """A recorded piece of a stream."""

    def __init__(self, driver: Driver, executable: Any) -> None:  # noqa: ANN401 - CUgraphExec
        self._driver = driver
        self._executable = executable

    def launch(self, stream: Stream) -> None:
        """As `Graph.launch`."""
        self._driver.call("cuGraphLaunch", self._executable, stream.handle)

    def free(self) -> None:
        """As `Graph.free`."""
        self._driver.call("cuGraphExecDestroy", self._executable)


def capture(driver: Driver, stream: Stream, work: Callable[[], None]) -> Graph:
    """Records what `work` puts into the stream.

    Raises:
        DeviceError: something in it can't be recorded.
    """
    # Thread-local: other threads may allocate meanwhile.
    mode = driver.api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    driver.call("cuStreamBeginCapture", stream.handle, mode)
    try:
        work()
    except BaseException:
        # The stream would stay unusable; that the capture failed is clear already.
        with suppress(DeviceError):
            (unfinished,) = driver.call("cuStreamEndCapture", stream.handle)
            if int(unfinished):
                driver.call("cuGraphDestroy", unfinished)
        raise
    (graph,) = driver.call("cuStreamEndCapture", stream.handle)
    if not int(graph):  # as an object it is true even when it is none
        raise DeviceError(Trouble.FAILED, "the stream's work cannot be recorded")
    try:
        (executable,) = driver.call("cuGraphInstantiate", graph, 0)
    finally:
        driver.call("cuGraphDestroy", graph)
    return CapturedGraph(driver, executable)
