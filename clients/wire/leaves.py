"""The smallest conversions."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_ReasonT = TypeVar("_ReasonT", bound=StrEnum)


def moment(timestamp: Timestamp) -> datetime:
    """A point in time, UTC."""
    return timestamp.ToDatetime(tzinfo=UTC)


def seconds(duration: Duration) -> float:
    """A length of time."""
    return duration.ToNanoseconds() / 1e9


def named(wire_enum: object, number: int, kind: type[_ReasonT]) -> _ReasonT:
    """The reason with this number; the UNSPECIFIED one when a newer server gives one that this client doesn't know."""
    descriptor = wire_enum.DESCRIPTOR  # type: ignore[attr-defined]
    value = descriptor.values_by_number.get(number)
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    name = value.name.removeprefix(prefix).lower() if value else "unspecified"
    return kind(name) if name in kind.__members__.values() else kind("unspecified")
