"""What becomes of the GPU shows in metrics, and in health once nothing runs a model."""

from __future__ import annotations

import asyncio

from server.inference.standby import Standing, Status
from server.models.probes import Role
from server.rpc.gpu_watch import GpuWatch
from server.rpc.health import Health
from server.telemetry.metrics import Metrics


async def standings(metrics, kind="embedder"):
    """Which of the gauges of a model are 1."""
    values = {
        standing: metrics.registry.get_sample_value(
            "facestream_gpu_backend", {"kind": kind, "standing": standing.value}
        )
        for standing in Standing
    }
    return [standing for standing, value in values.items() if value == 1]


class WatchedHealth(Health):
    """Health that notes what it said."""

    def __init__(self):
        super().__init__(())
        self.said = asyncio.Event()

    async def not_serving(self):
        self.said.set()


async def test_metrics_follow_a_model_to_its_gpu_and_back():
    metrics, health = Metrics.registered(), WatchedHealth()
    watch = GpuWatch(metrics.networks, health)
    for standing in (Standing.PREPARING, Standing.LIVE, Standing.LOST):
        serving = "tensorrt-sm86-f16" if standing is Standing.LIVE else "openvino-cpu-f32"
        await asyncio.to_thread(watch.told, Role.EMBEDDER, Status(standing, "tensorrt-sm86-f16", serving, ""))
        assert await standings(metrics) == [standing]
    await asyncio.sleep(0.01)
    assert not health.said.is_set(), "the CPU serves on"
    assert not watch.failed


async def test_health_says_not_serving_when_nothing_runs_a_model_any_more():
    health = WatchedHealth()
    watch = GpuWatch(Metrics.registered().networks, health)
    await asyncio.to_thread(
        watch.told, Role.DETECTOR, Status(Standing.LOST, "tensorrt-sm86-f16", "", "fell off the bus")
    )
    await health.said.wait()
    assert watch.failed
