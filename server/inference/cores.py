"""How a machine's cores are shared out."""

from __future__ import annotations

from dataclasses import dataclass

from server.errors import InvalidInputError

_MOST_LANES = 4
"""Beyond a few, batches that run beside each other fight for the caches."""


@dataclass(frozen=True, slots=True)
class Cores:
    """What one network may use.

    Attributes:
        threads: that one batch is spread over.
        lanes: batches that run at once.

    Raises:
        InvalidInputError: THREADS_INVALID when either is below 1.
    """

    threads: int
    lanes: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1 or self.lanes < 1:
            raise InvalidInputError(
                "THREADS_INVALID", f"a backend needs at least 1 thread and 1 lane, not {self.threads} and {self.lanes}"
            )


def share_out(cores: int, *, threads: int = 0, lanes: int = 0) -> Cores:
    """Cores for a network; what is 0 is chosen: a lane for every core, at most 4, and the cores divided among them."""
    lanes = lanes or min(cores, _MOST_LANES)
    return Cores(threads or max(1, cores // lanes), lanes)
