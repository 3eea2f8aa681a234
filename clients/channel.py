"""How the server is reached."""

from __future__ import annotations

import json

import grpc

from clients.errors import UsageError

DEFAULT_TARGET = "localhost:50051"
MAX_MESSAGE_BYTES = 24 * 2**20
"""Of one message in either direction; the server's default limit is the same."""

_RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                # Streams are left out: that of a camera resumes by reconnecting, and a watch begins anew.
                "name": [
                    *(
                        {"service": "facestream.v1.RecognitionService", "method": method}
                        for method in ("Recognize", "Verify", "Embed")
                    ),
                    *(
                        {"service": "facestream.v1.SightingService", "method": method}
                        for method in ("ListSightings", "GetSighting", "SearchSightings")
                    ),
                    {"service": "facestream.v1.UnknownService"},
                    {"service": "facestream.v1.GalleryService"},
                    {"service": "facestream.v1.ServerService"},
                    {"service": "grpc.health.v1.Health", "method": "Check"},
                ],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)
"""Service config: reads are idempotent by nature, writes by their request_id."""

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A cut cable is noticed within 40 s. The server allows pings from 10 s on and while no call is open.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Each channel has its own connection, so that a new one never rides on a connection that is half dead.
    ("grpc.use_local_subchannel_pool", 1),
    # A request that doesn't fit into this buffer is sent once only.
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    ("grpc.service_config", _RETRIES),
)


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel to HOST:PORT (or a gRPC target with a scheme, such as unix:/run/facestream). The caller closes it.

    Nothing is encrypted or authenticated: use it on loopback, inside a trusted network or through a tunnel.

    Raises:
        UsageError: when the target has no port.
    """
    return grpc.aio.insecure_channel(checked_target(target), options=_OPTIONS)


def checked_target(target: str) -> str:
    """The target as it is.

    Raises:
        UsageError: when it is neither HOST:PORT nor a gRPC target with a scheme.
    """
    if target.startswith(("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:")):
        return target
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{target!r} is no address of a server", "write HOST:PORT, such as localhost:50051")
    return target
