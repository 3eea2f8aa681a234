"""The gRPC server: who may reach it, where, and within which limits."""

from __future__ import annotations

import grpc
from grpc_reflection.v1alpha import reflection

from server.errors import ConflictError, InvalidInputError
from server.rpc.health import HEALTH_SERVICE
from server.rpc.interceptors import CallInterceptor
from server.rpc.late import LateServices
from server.settings import Settings
from server.telemetry.metrics import CallMetrics

SERVICES = (
    "facestream.v1.RecognitionService",
    "facestream.v1.GalleryService",
    "facestream.v1.SightingService",
    "facestream.v1.UnknownService",
    "facestream.v1.ServerService",
)
_OTHER_CALLS = 128
"""Calls that may be open beside the streams; more are refused with RESOURCE_EXHAUSTED instead of piling up."""
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def refuse_open_plaintext(settings: Settings) -> None:
    """Refuses an address that others can reach, unless that risk is taken.

    Raises:
        InvalidInputError: PLAINTEXT_REFUSED.
    """
    host = settings.listen.rpartition(":")[0]
    if host not in _LOOPBACK_HOSTS and not settings.allow_plaintext:
        raise InvalidInputError(
            "PLAINTEXT_REFUSED",
            f"--listen {settings.listen} is no loopback address, and nothing is encrypted or authenticated: put a "
            "proxy that does both in front of a loopback address, or accept the risk with --allow-plaintext",
        )


def endpoint_of(settings: Settings, metrics: CallMetrics, late: LateServices, *, shared_port: bool) -> grpc.aio.Server:
    """A gRPC server that doesn't listen yet.

    Args:
        settings: its limits.
        metrics: calls are counted into.
        late: the services, which come once their models are loaded.
        shared_port: whether other processes listen on the same port.
    """
    options = (
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", 8 * 2**10),
        ("grpc.max_concurrent_streams", settings.max_streams + 36),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", int(shared_port)),
    )
    server = grpc.aio.server(
        interceptors=[CallInterceptor(metrics)],
        options=options,
        maximum_concurrent_rpcs=settings.max_streams + _OTHER_CALLS,
    )
    server.add_generic_rpc_handlers((late,))
    if settings.reflection:
        reflection.enable_server_reflection((*SERVICES, reflection.SERVICE_NAME, HEALTH_SERVICE), server)
    return server


async def listen(server: grpc.aio.Server, address: str) -> int:
    """Starts a server on HOST:PORT; gives the port.

    Raises:
        ConflictError: ADDRESS_UNAVAILABLE.
    """
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConflictError(
            "ADDRESS_UNAVAILABLE", f"can't listen on {address}: {error}; choose another with --listen"
        ) from error
    await server.start()
    return port
