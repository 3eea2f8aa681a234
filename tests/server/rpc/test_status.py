"""Every error of the server has a gRPC status that programs and people understand, and that arrives."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from server import errors
from server.errors import Code, FacestreamError
from server.rpc.status import code_of, fitting, status_of, trailing_metadata

MAX_TRAILERS = 8 * 1024
"""Bytes that gRPC's clients take."""


def all_errors(base=FacestreamError):
    return [base, *(error for child in base.__subclasses__() for error in all_errors(child))]


def details_of(error):
    info = error_details_pb2.ErrorInfo()
    status = status_of(error)
    assert status.details[0].Unpack(info)
    return status, info


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_the_grpc_code_of_its_name_and_says_its_reason(kind):
    error = kind("SOME_REASON", "what was wrong", metadata={"limit": "3"})
    status, info = details_of(error)
    assert code_of(error).name == kind.code.value
    assert status.code == code_of(error).value[0]
    assert status.message == "what was wrong"
    assert (info.reason, info.domain, dict(info.metadata)) == ("SOME_REASON", "facestream", {"limit": "3"})


def test_every_code_of_the_errors_is_a_code_of_grpc():
    assert {code.value for code in Code} <= {code.name for code in grpc.StatusCode}


def test_the_offending_field_is_named_when_there_is_one():
    error = errors.InvalidInputError("TOO_LONG", "shorten it", field="photos[2].source")
    violation = error_details_pb2.BadRequest()
    status, _ = details_of(error)
    assert status.details[1].Unpack(violation)
    assert [(v.field, v.description, v.reason) for v in violation.field_violations] == [
        ("photos[2].source", "shorten it", "TOO_LONG")
    ]
    assert len(details_of(errors.InvalidInputError("TOO_LONG", "shorten it"))[0].details) == 1


def naive_size(text):
    """Bytes of a text as grpc-message: everything but printable ASCII, and the percent sign, takes three."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != ord("%") else 3 for byte in text.encode())


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=50).map(lambda text: text * 60))
def test_a_long_message_is_cut_where_it_no_longer_fits_and_not_before(message):
    cut = fitting(message)
    if naive_size(message) <= 2000:
        assert cut == message
    else:
        kept = cut.removesuffix("...")
        assert message.startswith(kept)
        assert naive_size(kept) <= 2000 < naive_size(message[: len(kept) + 1])


@pytest.mark.parametrize("letter", ["x", "%", "\u732b", "\n", "\U0001f600"])
def test_the_largest_refusal_fits_into_what_clients_take(letter):
    reasons = {f"photo_{i}": "MULTIPLE_FACES" for i in range(64)}
    error = errors.EnrolmentError("NO_USABLE_PHOTO", letter * 20_000, metadata=reasons)
    carried = trailing_metadata(error)
    # grpc adds the code and the message, percent-encoded; binary values travel as base64
    size = sum(len(key) + len(value) * 4 // 3 for key, value in carried) + naive_size(fitting(error.message)) + 200
    assert size < MAX_TRAILERS
