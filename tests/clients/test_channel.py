from __future__ import annotations

import json

import pytest

from clients import channel
from clients.channel import checked_target
from clients.errors import UsageError


@pytest.mark.parametrize("target", ["localhost:50051", "10.0.0.1:1", "[::1]:50051", "unix:/run/x.sock", "dns:///a:1"])
def test_addresses_are_taken_as_they_are(target: str) -> None:
    assert checked_target(target) == target


@pytest.mark.parametrize(
    "target", ["", "localhost", "localhost:", ":50051", "localhost:http", "h:0", "h:65536", "http://h"]
)
def test_what_is_no_address_is_refused_with_an_example(target: str) -> None:
    with pytest.raises(UsageError) as error:
        checked_target(target)
    assert "localhost:50051" in error.value.hint


def test_every_unary_method_is_retried_and_streams_are_not() -> None:
    from facestream.v1 import gallery_pb2, recognition_pb2, server_pb2, sighting_pb2, unknown_pb2

    (config,) = json.loads(channel._RETRIES)["methodConfig"]
    named = {(name["service"], name.get("method", "")) for name in config["name"]}
    for module in (gallery_pb2, recognition_pb2, server_pb2, sighting_pb2, unknown_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                retried = (service.full_name, "") in named or (service.full_name, method.name) in named
                assert retried != (method.client_streaming or method.server_streaming), method.full_name
