"""What every operation is told: who asks, when, and how to repeat it safely."""

from __future__ import annotations

from dataclasses import dataclass

from server.identity.records import UNSTAMPED, RequestStamp
from server.identity.sightings.operations import ANONYMOUS


@dataclass(frozen=True, slots=True)
class Order:
    """An admin's word.

    Attributes:
        at_ns: when, wall-clock nanoseconds since the epoch.
        request: a request that was done before gets its first answer again.
        principal: who.
    """

    at_ns: int
    request: RequestStamp = UNSTAMPED
    principal: str = ANONYMOUS
