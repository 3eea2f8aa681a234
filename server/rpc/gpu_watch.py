"""What becomes of the GPU, told to metrics and health."""

from __future__ import annotations

import asyncio
import logging

from server.inference.standby import Standing, Status
from server.models.probes import Role
from server.rpc.health import Health
from server.telemetry.metrics import NetworkMetrics

_log = logging.getLogger(__name__)


class GpuWatch:
    """Tells metrics and health what becomes of the GPU. Made in the event loop, told from any thread.

    Attributes:
        failed: whether a model has nothing left that runs it.
    """

    def __init__(self, metrics: NetworkMetrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._loop = asyncio.get_running_loop()
        self.failed = False

    def told(self, role: Role, status: Status) -> None:
        """What runs a model has changed."""
        for standing in Standing:
            self._metrics.gpu_standings.labels(role.value, standing.value).set(standing is status.standing)
        _log.info("%s on %s", role.value, status.name, extra={"why": status.why})
        if status.standing is Standing.LOST and not status.serving:
            self.failed = True
            asyncio.run_coroutine_threadsafe(self._health.not_serving(), self._loop)
