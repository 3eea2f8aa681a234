"""gRPC's errors and google.rpc.Status to this package's errors: the one translation."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.any_pb2 import Any as PackedDetail
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from clients.errors import (
    Cause,
    ExhaustedError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    RpcError,
    UnavailableError,
)

_DETAILS_KEY = "grpc-status-details-bin"

_KINDS: dict[str, type[RpcError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "FAILED_PRECONDITION": RefusedError,
    "ALREADY_EXISTS": RefusedError,
    "ABORTED": RefusedError,
    "PERMISSION_DENIED": RefusedError,
    "UNAUTHENTICATED": RefusedError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": UnavailableError,
    "CANCELLED": UnavailableError,
    "RESOURCE_EXHAUSTED": ExhaustedError,
}

_HINTS = {
    "UNAVAILABLE": "check that facestream-server runs there, and the address (--server HOST:PORT)",
    "DEADLINE_EXCEEDED": "give it more time (--timeout SECONDS), or look whether the server is overloaded",
    "RESOURCE_EXHAUSTED": "try again later or with less at a time",
    "UNIMPLEMENTED": "client and server are of different versions; compare with facestream-admin status",
    "UNAUTHENTICATED": "the server wants to know who calls",
    "PERMISSION_DENIED": "ask the server's administrator for the right to do this",
    "INTERNAL": "the server's log says why",
    "UNKNOWN": "the server's log says why",
}


def error_of_call(error: grpc.aio.AioRpcError, target: str) -> RpcError:
    """The error that a failed call to the server at `target` means."""
    code = error.code().name
    cause = cause_of(code, _details(error))
    message = error.details() or code
    if not cause.reason and code == "UNAVAILABLE":
        message = f"no answer from {target}: {_bare(message)}"
    if not cause.reason and code == "DEADLINE_EXCEEDED":
        message = f"{target} did not answer in time"
    return _KINDS.get(code, RpcError)(message, _hint(code, cause), cause=cause)


def error_of_status(status: status_pb2.Status) -> RpcError:
    """The error that a google.rpc.Status inside an answer means."""
    code = _code_name(status.code)
    cause = cause_of(code, status.details)
    return _KINDS.get(code, RpcError)(status.message or code, _hint(code, cause), cause=cause)


def cause_of(code: str, details: Iterable[PackedDetail]) -> Cause:
    """The code and the details that this client understands; others are left out."""
    reason, retry_after_s = "", 0.0
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    for detail in details:
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if _unpacked(detail, info):
            reason, metadata = info.reason, dict(info.metadata)
        elif _unpacked(detail, request):
            violations += [FieldViolation(item.field, item.description) for item in request.field_violations]
        elif _unpacked(detail, retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    return Cause(code, reason, metadata, tuple(violations), retry_after_s)


def _unpacked(detail: PackedDetail, message: object) -> bool:
    try:
        return bool(detail.Unpack(message))  # type: ignore[arg-type]
    except DecodeError:
        return False


def _details(error: grpc.aio.AioRpcError) -> Iterable[PackedDetail]:
    """The packed details of a status; none when the server sent none or they are damaged."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return tuple(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return ()
    return ()


def _hint(code: str, cause: Cause) -> str:
    """What to do next, where the server's own message can't know it."""
    if cause.reason:
        return ""
    return _HINTS.get(code, "")


def _bare(message: str) -> str:
    """What went wrong, without gRPC's account of how it found out."""
    return message.rpartition(": ")[2] if message.startswith("failed to connect") else message


def _code_name(number: int) -> str:
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return names.get(number, f"CODE_{number}")
