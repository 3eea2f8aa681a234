"""Errors to gRPC statuses with google.rpc details (AIP-193): the one mapping."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from server.errors import Code, FacestreamError

DOMAIN = "facestream"

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
    details = [_packed(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))]
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message, reason=error.reason)
        details.append(_packed(BadRequest(field_violations=[violation])))
    number, _ = code_of(error).value
    return Status(code=number, message=error.message, details=details)


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
