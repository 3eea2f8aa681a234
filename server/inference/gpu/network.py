"""An engine on the device, with places for the batches on their way through it."""

from __future__ import annotations

from collections import deque

from server.inference.engines.profiles import ShapeProfile
from server.inference.gpu.device import Device, LoadedEngine
from server.inference.gpu.preprocess import GpuPreprocessor
from server.inference.gpu.slot import Slot

SLOTS = 2
"""Batches of one network on their way at once: one is copied while the other is computed."""


class Network:
    """An engine on the device; only the worker's thread uses it.

    Attributes:
        limit: rows in one batch at most; halved whenever the device runs out of memory.
    """

    def __init__(
        self,
        device: Device,
        plan: bytes,
        profiles: tuple[ShapeProfile, ...],
        preprocessor: GpuPreprocessor | None = None,
    ) -> None:
        """Loads the engine.

        Args:
            device: open in this thread.
            plan: of the engine.
            profiles: that it was built for.
            preprocessor: makes batches on the device; None where they are made on the CPU.

        Raises:
            DeviceError: the device refuses it.
        """
        self.profiles = profiles
        self.limit = max(profile.max_batch for profile in profiles)
        self.engine: LoadedEngine = device.load(plan)
        self.slots = [Slot(device, self.engine, profiles, preprocessor) for _ in range(SLOTS)]
        self.idle = deque(self.slots)
        self.open = True

    def longest(self, size: tuple[int, ...]) -> int:
        """Rows of this size (3, H, W) that one batch may have; 0 when no profile takes it."""
        fitting = [one.max_batch for one in self.profiles if one.takes((1, *size))]
        return min(self.limit, max(fitting, default=0))

    def shrink(self) -> None:
        """Gives back the memory that it holds between batches; nothing is on its way."""
        for slot in self.slots:
            slot.shrink()

    def close(self) -> None:
        """Gives all memory back."""
        self.open = False
        for slot in self.slots:
            slot.close()
        self.engine.free()
