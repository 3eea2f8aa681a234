from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedDetail
from google.rpc import error_details_pb2, status_pb2

from clients.errors import (
    ExhaustedError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    RpcError,
    UnavailableError,
)
from clients.rpc import error_of_call, error_of_status


def packed(*messages: object) -> list[PackedDetail]:
    details = []
    for message in messages:
        detail = PackedDetail()
        detail.Pack(message)
        details.append(detail)
    return details


def failed_call(code: grpc.StatusCode, message: str, *details: object, raw: bytes = b"") -> grpc.aio.AioRpcError:
    status = status_pb2.Status(code=code.value[0], message=message, details=packed(*details))
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", raw or status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, message)


EXIT_CODES = {
    "INVALID_ARGUMENT": (InvalidRequestError, 2),
    "OUT_OF_RANGE": (InvalidRequestError, 2),
    "NOT_FOUND": (NotFoundError, 3),
    "FAILED_PRECONDITION": (RefusedError, 4),
    "ALREADY_EXISTS": (RefusedError, 4),
    "ABORTED": (RefusedError, 4),
    "PERMISSION_DENIED": (RefusedError, 4),
    "UNAUTHENTICATED": (RefusedError, 4),
    "UNAVAILABLE": (UnavailableError, 5),
    "DEADLINE_EXCEEDED": (UnavailableError, 5),
    "CANCELLED": (UnavailableError, 5),
    "RESOURCE_EXHAUSTED": (ExhaustedError, 5),
    "INTERNAL": (RpcError, 1),
    "UNKNOWN": (RpcError, 1),
    "DATA_LOSS": (RpcError, 1),
    "UNIMPLEMENTED": (RpcError, 1),
}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_has_its_error_and_exit_code(code: grpc.StatusCode) -> None:
    kind, exit_code = EXIT_CODES[code.name]
    error = error_of_call(failed_call(code, "what went wrong"), "host:1")
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert error.cause.code == code.name


def test_the_servers_reason_values_and_fields_arrive() -> None:
    error = error_of_call(
        failed_call(
            grpc.StatusCode.INVALID_ARGUMENT,
            "a name has 1 to 200 characters",
            error_details_pb2.ErrorInfo(reason="NAME_TOO_LONG", domain="facestream", metadata={"length": "4096"}),
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field="display_name", description="too long")
                ]
            ),
        ),
        "host:1",
    )
    assert error.message == "a name has 1 to 200 characters"
    assert error.cause.reason == "NAME_TOO_LONG"
    assert error.cause.metadata == {"length": "4096"}
    assert error.cause.violations == (FieldViolation("display_name", "too long"),)


def test_the_servers_wish_to_wait_arrives() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    error = error_of_call(failed_call(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams", retry), "host:1")
    assert error.cause.retry_after_s == 1.5


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x08"])
def test_damaged_details_leave_code_and_message(raw: bytes) -> None:
    error = error_of_call(failed_call(grpc.StatusCode.NOT_FOUND, "nobody", raw=raw), "host:1")
    assert isinstance(error, NotFoundError)
    assert error.message == "nobody"


def test_details_of_a_kind_that_is_not_known_are_left_out() -> None:
    error = error_of_call(failed_call(grpc.StatusCode.NOT_FOUND, "nobody", error_details_pb2.Help()), "host:1")
    assert error.cause.reason == ""


def test_an_unreachable_server_is_named_with_what_to_do() -> None:
    text = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:5: Connection refused"
    error = error_of_call(
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), text), "hub:5"
    )
    assert error.message == "no answer from hub:5: Connection refused"
    assert "facestream-server" in error.hint


def test_a_status_inside_an_answer_becomes_the_same_error() -> None:
    status = status_pb2.Status(
        code=3, message="damaged", details=packed(error_details_pb2.ErrorInfo(reason="IMAGE_DAMAGED"))
    )
    error = error_of_status(status)
    assert isinstance(error, InvalidRequestError)
    assert (error.message, error.cause.reason) == ("damaged", "IMAGE_DAMAGED")


def test_a_status_code_from_the_future_is_an_error_too() -> None:
    error = error_of_status(status_pb2.Status(code=99))
    assert (type(error), error.message) == (RpcError, "CODE_99")
