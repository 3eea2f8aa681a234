"""Metrics are a server's own, explained in the docs, and add up over processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from server.telemetry.metrics import Metrics

PROJECT = Path(__file__).parents[3]


def every_metric():
    metrics = Metrics.registered()
    groups = [metrics, metrics.frames, metrics.networks, metrics.calls, metrics.galleries]
    values = [getattr(group, each.name) for group in groups for each in fields(group)]
    return [value for value in values if isinstance(value, MetricWrapperBase)]


def test_two_servers_in_one_process_don_t_share_metrics():
    first, second = Metrics.registered(), Metrics.registered()
    first.frames.answered.labels("result").inc()
    assert second.registry.get_sample_value("facestream_frames_total", {"outcome": "result"}) is None


def test_every_metric_is_explained_with_its_labels_in_the_docs():
    page = (PROJECT / "docs" / "metrics.md").read_text()
    lines = {name: line for line in page.splitlines() for name in re.findall(r"^\| `(\w+)`(?=[ |,])", line)}
    metrics = every_metric()
    for metric in metrics:
        (name,) = {sample for sample in (metric._name, f"{metric._name}_total") if sample in lines}
        assert [label for label in metric._labelnames if f"`{label}`" not in lines[name]] == []
        assert metric._type in lines[name]
    assert len(metrics) >= 14


def test_tracks_are_added_up_over_the_processes_whose_streams_they_are_in(tmp_path):
    code = """
        import asyncio, os, time
        from facestream.v1 import face_pb2, recognition_pb2
        from server.rpc.books import ServerBooks
        from server.telemetry.metrics import Metrics

        async def nowhere(message): pass

        async def stream(seconds):
            with books.camera() as tap:
                for tracks in ("abcd", "ab"):
                    faces = [face_pb2.Face(track=track) for track in tracks]
                    result = recognition_pb2.FrameResult(faces=faces)
                    await tap.write(nowhere, recognition_pb2.StreamRecognizeResponse(result=result))
                await asyncio.sleep(seconds)

        async def streams():
            await asyncio.wait([asyncio.create_task(stream(0)), asyncio.create_task(stream(60))], timeout=0.2)
            os._exit(0)

        books = ServerBooks(time.monotonic_ns, Metrics.registered())
        asyncio.run(streams())
    """
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "proto")])
    environment = {**os.environ, "PYTHONPATH": paths, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=PROJECT, env=environment)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    assert registry.get_sample_value("facestream_tracks") == 4


def test_metrics_of_several_processes_are_added_up(tmp_path):
    code = (
        "from server.telemetry.metrics import Metrics\n"
        "metrics = Metrics.registered()\n"
        "metrics.frames.answered.labels('result').inc(2); metrics.frames.streams.set(3)\n"
        "metrics.networks.gpu_standings.labels('detector', 'live').set(1)\n"
        "metrics.galleries.identities.labels('g').set(7); metrics.build.labels('1', 'f', 'd', 'e', 'b').set(1)\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, env=environment)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    assert registry.get_sample_value("facestream_frames_total", {"outcome": "result"}) == 4
    assert registry.get_sample_value("facestream_streams") == 6
    assert registry.get_sample_value("facestream_gallery_identities", {"gallery": "g"}) == 7
    assert registry.get_sample_value("facestream_gpu_backend", {"kind": "detector", "standing": "live"}) == 2
