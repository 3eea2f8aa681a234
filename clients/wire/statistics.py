"""How busy a server is, from its answer."""

from __future__ import annotations

from facestream.v1 import recognition_pb2, server_pb2

from clients.frames import DropReason
from clients.statistics import CameraStatistics, Drops, NetworkStatistics, ServerStatistics, StageStatistics
from clients.wire.leaves import named, seconds


def read_server_statistics(response: server_pb2.GetServerStatisticsResponse) -> ServerStatistics:
    """How busy the server is."""
    return ServerStatistics(
        period_s=seconds(response.period),
        cameras=tuple(_camera(camera) for camera in response.cameras),
        stages=tuple(
            StageStatistics(stage.stage, stage.frame_count, seconds(stage.p50), seconds(stage.p95), seconds(stage.p99))
            for stage in response.stages
        ),
        networks=tuple(_network(network) for network in response.networks),
        resident_bytes=response.resident_bytes if response.HasField("resident_bytes") else None,
        cpu_s=seconds(response.cpu_time),
        uptime_s=seconds(response.uptime),
    )


def _camera(message: server_pb2.CameraStatistics) -> CameraStatistics:
    return CameraStatistics(
        camera=message.camera,
        session=message.session,
        gallery=message.gallery,
        connected_s=seconds(message.connected),
        received_count=message.received_count,
        result_count=message.result_count,
        error_count=message.error_count,
        drops={
            named(recognition_pb2.DropReason, drop.reason, DropReason): Drops(drop.frame_count, drop.frames_per_second)
            for drop in message.drops
        },
        received_per_second=message.received_per_second,
        results_per_second=message.results_per_second,
        latency_p50_s=seconds(message.latency_p50) if message.HasField("latency_p50") else None,
        latency_p95_s=seconds(message.latency_p95) if message.HasField("latency_p95") else None,
        face_count=message.face_count,
        track_count=message.track_count,
        width=message.width,
        height=message.height,
    )


def _network(message: server_pb2.NetworkStatistics) -> NetworkStatistics:
    return NetworkStatistics(
        network=message.network,
        batch_count=message.batch_count,
        image_count=message.image_count,
        batches_per_second=message.batches_per_second,
        images_per_batch=message.images_per_batch,
        largest_batch=message.largest_batch,
        load=message.load,
    )
