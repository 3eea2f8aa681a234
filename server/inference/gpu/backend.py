"""A network on a GPU, as a `Backend`."""

from __future__ import annotations

from server.errors import InferenceError
from server.inference.backend import Tensor, check_batch, check_outputs, check_size, closed
from server.inference.cuts import Batch
from server.inference.engines.manager import Engine
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import Manifest
from server.inference.native import check_tensors


class GpuBackend:
    """Runs an engine in the worker's thread; any number of threads may call it.

    Args:
        manifest: names the tensors.
        engine: of the model.
        worker: owns the device; it outlives this.

    Raises:
        InferenceError: ENGINE_NOT_LOADED, DEVICE_LOST.
        ModelError: MODEL_MISMATCH when the manifest names tensors that the engine hasn't got.
    """

    def __init__(self, manifest: Manifest, engine: Engine, worker: GpuWorker) -> None:
        self.name = engine.name
        self._input = manifest.input
        self._worker = worker
        self._network = worker.load(engine.plan, engine.profiles)
        found = self._network.engine
        try:
            check_tensors(manifest, inputs=found.inputs, outputs=found.outputs)
        except BaseException:
            worker.unload(self._network)
            raise
        self._order = [found.outputs.index(name) for name in manifest.outputs()]
        self._open = True

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """The network's outputs for a batch.

        Raises:
            InferenceError: as `Backend.run`; also DEVICE_LOST and DEVICE_OUT_OF_MEMORY.
        """
        if not self._open:
            raise closed(self.name)
        check_batch(batch)
        check_size(batch, self._input)
        self._check_profile(batch)
        outputs = self._worker.run(self._network, batch)
        return check_outputs(tuple(outputs[index] for index in self._order), len(batch))

    def close(self) -> None:
        """Gives the device's memory back."""
        if self._open:
            self._open = False
            self._worker.unload(self._network)

    def _check_profile(self, batch: Batch) -> None:
        if self._network.longest(batch.shape[1:]) == 0:
            height, width = batch.shape[2:]
            largest = self._network.profiles[-1].largest
            raise InferenceError(
                "INPUT_INVALID",
                f"the engine takes pictures up to {largest[3]}x{largest[2]}, not {width}x{height}; it is built for "
                "--detect-side, so build it for a larger one",
            )
