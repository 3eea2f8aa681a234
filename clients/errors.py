"""Every error that the clients raise on purpose.

    ClientError                 exit 1
    +- UsageError               exit 2   an option or argument is wrong
    +- SourceError              exit 1   a camera, video, folder or photograph cannot be read
    |  +- SourceNotFoundError   exit 3   it is not there
    +- OutputError              exit 1   a video or window cannot be written
    +- RpcError                 exit 1   the server answered with an error that is its own fault
       +- InvalidRequestError   exit 2   INVALID_ARGUMENT, OUT_OF_RANGE
       +- NotFoundError         exit 3   NOT_FOUND
       +- RefusedError          exit 4   FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED, PERMISSION_DENIED,
       |                              UNAUTHENTICATED
       |  +- NoUsablePhotoError  exit 4   none of the photographs of an enrolment was good enough
       +- UnavailableError      exit 5   UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED: the same call may work later
       +- ExhaustedError        exit 5   RESOURCE_EXHAUSTED: a limit was hit; later or smaller may work

gRPC's errors are translated into these in `clients.rpc`, nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from clients.people import PhotoOutcome


class ClientError(Exception):
    """Base of all errors that are raised on purpose.

    Attributes:
        message: what was wrong, with the value.
        hint: what to do next; "" when the message says it.
        exit_code: of a command that ends with this error.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ClientError):
    """An option or argument is wrong."""

    exit_code = 2


class SourceError(ClientError):
    """A camera, video, folder or photograph cannot be read."""


class SourceNotFoundError(SourceError):
    """A file, folder or camera is not there."""

    exit_code = 3


class OutputError(ClientError):
    """A video or window cannot be written."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request, such as "photos[2].image", and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What the server said besides its message.

    Attributes:
        code: name of the gRPC status code.
        reason: UPPER_SNAKE_CASE name of the cause, stable across versions; "" when the server gave none.
        metadata: the values behind the message.
        violations: the fields that were wrong.
        retry_after_s: how long the server asks to wait; 0 when it doesn't.
    """

    code: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_s: float = 0.0


class RpcError(ClientError):
    """The server answered with an error, or did not answer.

    Attributes:
        cause: code, reason and details, for programs.
    """

    def __init__(self, message: str, hint: str = "", *, cause: Cause) -> None:
        super().__init__(message, hint)
        self.cause = cause


class InvalidRequestError(RpcError):
    """The request is wrong; sending it again won't help."""

    exit_code = 2


class NotFoundError(RpcError):
    """The named thing is not on the server."""

    exit_code = 3


class RefusedError(RpcError):
    """The server understood and refuses."""

    exit_code = 4


class NoUsablePhotoError(RefusedError):
    """None of the photographs of an enrolment was good enough; nothing was changed.

    Attributes:
        photos: what is wrong with each.
    """

    def __init__(self, message: str, *, cause: Cause, photos: Sequence[PhotoOutcome]) -> None:
        super().__init__(message, cause=cause)  # no hint: each photograph's reason says what is wanted
        self.photos = tuple(photos)


class UnavailableError(RpcError):
    """The server cannot be reached, or not in time."""

    exit_code = 5


class ExhaustedError(RpcError):
    """A limit of the server was hit."""

    exit_code = 5
