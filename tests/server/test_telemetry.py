"""Log lines are JSON objects or readable lines, with the call's id."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from server.telemetry import JsonFormatter, Metrics, TextFormatter, request_id

PROJECT = Path(__file__).parents[2]


def record(**extra):
    made = logging.LogRecord("server.app", logging.INFO, "", 0, "listening on %s", ("here",), None)
    made.__dict__.update(extra)
    return made


def test_a_json_line_holds_the_event_its_fields_and_the_call_s_id():
    token = request_id.set("abc")
    try:
        line = json.loads(JsonFormatter().format(record(port=5)))
    finally:
        request_id.reset(token)
    assert (line["event"], line["level"], line["port"], line["request_id"]) == ("listening on here", "INFO", 5, "abc")


def test_a_json_line_is_one_line_even_with_a_traceback():
    failed = record()
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        failed.exc_info = sys.exc_info()
    line = JsonFormatter().format(failed)
    assert "\n" not in line
    assert "broken" in json.loads(line)["exception"]


def test_the_time_of_a_line_is_the_record_s_own():
    made = record()
    made.created = 0.0
    assert json.loads(JsonFormatter().format(made))["time"] == "1970-01-01T00:00:00.000+00:00"


def test_a_text_line_shows_fields_as_key_value():
    assert TextFormatter().format(record(port=5)).endswith("listening on here port=5")


def test_two_servers_in_one_process_don_t_share_metrics():
    first, second = Metrics(), Metrics()
    first.frames.labels("result").inc()
    assert second.registry.get_sample_value("facestream_frames_total", {"outcome": "result"}) is None


def test_every_metric_is_explained_with_its_labels_in_the_docs():
    page = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    lines = {name: line for line in page.splitlines() for name in re.findall(r"^\| `(\w+)`(?=[ |,])", line)}
    metrics = [metric for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]
    for metric in metrics:
        (name,) = {sample for sample in (metric._name, f"{metric._name}_total") if sample in lines}
        assert [label for label in metric._labelnames if f"`{label}`" not in lines[name]] == []
        assert metric._type in lines[name]
    assert len(metrics) >= 14


def test_a_worker_s_number_is_in_each_of_its_lines():
    """In a process of its own, because the log is set up for a whole process."""
    code = (
        "import logging; from server.telemetry import set_up_logging\n"
        "set_up_logging(style='json', level='INFO', worker=3); logging.getLogger('server.app').info('here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert json.loads(done.stderr)["worker"] == 3


def test_metrics_of_several_processes_are_added_up(tmp_path):
    code = (
        "from server.telemetry import Metrics\n"
        "metrics = Metrics(); metrics.frames.labels('result').inc(2); metrics.streams.set(3)\n"
        "metrics.identities.labels('g').set(7); metrics.build.labels('1', 'f', 'd', 'e', 'b').set(1)\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, env=environment)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    assert registry.get_sample_value("facestream_frames_total", {"outcome": "result"}) == 4
    assert registry.get_sample_value("facestream_streams") == 6
    assert registry.get_sample_value("facestream_gallery_identities", {"gallery": "g"}) == 7
