"""Errors to gRPC statuses with google.rpc details (AIP-193): the one mapping."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from server.errors import Code, FacestreamError

DOMAIN = "facestream"

_MESSAGE_BYTES = 2000
"""Of a message as trailers carry it, percent-encoded. Clients refuse 8 KiB of trailers, which hold it three times."""

_CODES = {
    Code.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Code.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
}


def status_of(error: FacestreamError) -> Status:
    """The status message of an error: code, text, ErrorInfo, and the offending field when there is one."""
    message = fitting(error.message)
    details = [_packed(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))]
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=message, reason=error.reason)
        details.append(_packed(BadRequest(field_violations=[violation])))
    number, _ = code_of(error).value
    return Status(code=number, message=message, details=details)


def fitting(message: str) -> str:
    """As much of a message as trailers can carry."""
    room = _MESSAGE_BYTES
    for i, character in enumerate(message):
        room -= sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in character.encode())
        if room < 0:
            return f"{message[:i]}..."
    return message


def code_of(error: FacestreamError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return _CODES[error.code]


def trailing_metadata(error: FacestreamError) -> tuple[tuple[str, str | bytes], ...]:
    """What carries the details to a client."""
    return tuple(rpc_status.to_status(status_of(error)).trailing_metadata)


def _packed(message: ErrorInfo | BadRequest) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
