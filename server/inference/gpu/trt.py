"""TensorRT's engines behind `LoadedEngine`; the libraries for memory and streams differ, this doesn't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.inference.engines.library import EngineLibrary
from server.inference.engines.messages import Said, listening, logger_of
from server.inference.engines.profiles import Shape
from server.inference.gpu.device import DeviceBuffer, DeviceError, ExecutionContext, Stream, Trouble, UnfitLibraryError
from server.inference.gpu.loss import trouble_in

_LEAST_SCRATCH = 256
"""Bytes. Whether a context whose memory is ours runs with none installed, where it needs none, is not documented."""


class TensorRtRuntime:
    """Loads plans. Made and used in the thread that owns the device.

    Args:
        library: TensorRT or TensorRT-RTX.

    Raises:
        DeviceError: as an `UnfitLibraryError` where it finds no CUDA that it could use.
    """

    def __init__(self, library: EngineLibrary) -> None:
        self._api = library.api
        with listening() as said:
            try:
                self._runtime = self._api.Runtime(logger_of(self._api))
            except Exception as error:  # pybind raises TypeError when CUDA is missing
                reason = error_of(f"no runtime: {error}", said)
                if reason.trouble is not Trouble.FAILED:
                    raise reason from error
                raise UnfitLibraryError(reason.trouble, reason.message) from error

    def load(self, plan: bytes) -> TensorRtEngine:
        """The engine of a plan whose seal was checked.

        Raises:
            DeviceError: the library refuses it.
        """
        with listening() as said:
            engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise error_of("the engine is refused", said)
        return TensorRtEngine(self._api, engine)


class TensorRtEngine:
    """An engine on the device."""

    def __init__(self, api: Any, engine: Any) -> None:  # noqa: ANN401 - TensorRT has no types
        self._api = api
        self._engine: Any = engine
        self._kernels: Any = None
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        sources = [name for name in names if engine.get_tensor_mode(name) == api.TensorIOMode.INPUT]
        self.inputs = tuple(sources)
        self.outputs = tuple(name for name in names if name not in sources)
        wrong = [name for name in names if engine.get_tensor_dtype(name) != api.DataType.FLOAT]
        if wrong:
            raise DeviceError(Trouble.FAILED, f"the engine's tensors {wrong} are not float32")

    def context(self, profile: int, shape: Shape, stream: Stream) -> ExecutionContext:
        """As `LoadedEngine.context`."""
        with listening() as said:
            context, capturable = self._created()
            if context is None:
                raise error_of("no execution context", said)
            try:
                return _Context(context, self, (profile, shape, stream), said, capturable=capturable)
            except RuntimeError as error:  # which the bindings raise where the library itself answers False
                raise error_of(f"the shape {shape} in profile {profile}: {error}", said) from error

    def free(self) -> None:
        """As `LoadedEngine.free`."""
        self._engine = self._kernels = None

    def _created(self) -> tuple[Any, bool]:
        """A context that computes in memory of ours; TensorRT-RTX records its graphs itself."""
        user_managed = self._api.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(self._api, "CudaGraphStrategy"):
            return self._engine.create_execution_context(user_managed), True
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(user_managed)
        config.cuda_graph_strategy = self._api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        # Kernels for a shape before its first run, and once for all contexts: answers don't change when they come.
        strategy = self._api.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = strategy
        if self._kernels is None:
            self._kernels = config.create_runtime_cache()
        config.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(config), False


class _Context:
    """An engine made ready for one shape."""

    def __init__(
        self,
        context: Any,  # noqa: ANN401
        engine: TensorRtEngine,
        case: tuple[int, Shape, Stream],
        said: Said,
        *,
        capturable: bool,
    ) -> None:
        profile, shape, stream = case
        self.capturable = capturable
        self._context = context
        self._engine = engine
        # In the very stream in which it will run: others don't wait for the switch.
        if not context.set_optimization_profile_async(profile, stream.handle) or not context.set_input_shape(
            engine.inputs[0], shape
        ):
            raise error_of(f"the shape {shape} is refused in profile {profile}", said)
        missing = context.infer_shapes()
        if missing:
            raise error_of(f"the shapes of {missing} are not known for {shape}", said)
        self.output_shapes = tuple(tuple(context.get_tensor_shape(name)) for name in engine.outputs)
        # Of this shape, not of the profile's largest, which may not fit where this one does.
        needed = int(context.update_device_memory_size_for_shapes())
        if needed == 0 and said.own:  # which is also what nothing needed looks like
            raise error_of(f"the memory for {shape} is not known", said)
        self.scratch_bytes = max(needed, _LEAST_SCRATCH)

    def bind(self, source: DeviceBuffer, outputs: Sequence[DeviceBuffer], scratch: DeviceBuffer) -> None:
        """As `ExecutionContext.bind`."""
        names = (self._engine.inputs[0], *self._engine.outputs)
        with listening() as said:
            for name, buffer in zip(names, (source, *outputs), strict=True):
                if not self._context.set_tensor_address(name, buffer.address):
                    raise error_of(f"the address of {name} was not taken", said)
            self._context.set_device_memory(scratch.address, scratch.nbytes)
            if said.own:  # it has no other way to refuse
                raise error_of("the memory to compute in was not taken", said)

    def enqueue(self, stream: Stream) -> None:
        """As `ExecutionContext.enqueue`."""
        with listening() as said:
            taken = self._context.execute_async_v3(stream.handle)
        if not taken:
            raise error_of("the batch was not taken", said)


def error_of(what: str, said: Said) -> DeviceError:
    """A failure of the library, sorted by what it said; it has no other way to tell."""
    why = said.text[:300] or "TensorRT does not say why"
    return DeviceError(trouble_in(f"{what}; {said.text}"), f"{what}: {why}")
