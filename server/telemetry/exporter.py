"""Shows metrics over HTTP, as Prometheus asks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from server.errors import ConflictError

_log = logging.getLogger(__name__)


@contextmanager
def exported(address: str, registry: CollectorRegistry) -> Iterator[int]:
    """Shows a registry as long as the context lasts; gives the port.

    Args:
        address: HOST:PORT, or [ADDRESS]:PORT of IPv6; port 0 takes any that is free.
        registry: what is shown.

    Raises:
        ConflictError: ADDRESS_UNAVAILABLE.
    """
    host, _, port = address.rpartition(":")
    try:
        exporter, _ = start_http_server(int(port), host.removeprefix("[").removesuffix("]"), registry)
    except OSError as error:
        raise ConflictError(
            "ADDRESS_UNAVAILABLE",
            f"can't serve metrics on {address}: {error.strerror}; choose another with --metrics-listen",
        ) from error
    try:
        _log.info("metrics on port %d", exporter.server_port, extra={"metrics_port": exporter.server_port})
        yield exporter.server_port
    finally:
        exporter.shutdown()
        exporter.server_close()
