"""Metrics are shown over HTTP for as long as they are wanted."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from server.errors import ConflictError
from server.telemetry.exporter import exported
from server.telemetry.metrics import Metrics


def page(port, host="127.0.0.1"):
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_metrics_are_shown_until_the_end():
    metrics = Metrics.registered()
    metrics.frames.answered.labels("result").inc(3)
    with exported("127.0.0.1:0", metrics.registry) as port:
        assert 'facestream_frames_total{outcome="result"} 3.0' in page(port).splitlines()
    with pytest.raises(urllib.error.URLError):
        page(port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="IPv6")
def test_an_address_of_ipv6_stands_in_brackets():
    with exported("[::1]:0", Metrics.registered().registry) as port:
        assert "facestream_streams" in page(port, "[::1]")


def test_a_port_that_is_taken_is_refused_by_its_flag():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(ConflictError, match="--metrics-listen") as refused,
            exported(address, Metrics.registered().registry),
        ):
            pass
    assert refused.value.reason == "ADDRESS_UNAVAILABLE"
    assert address in refused.value.message
