"""Every error that the server raises on purpose.

    FacestreamError            code INTERNAL
    +- InvalidInputError       code INVALID_ARGUMENT     what the caller sent is wrong; sending it again won't help
    |  +- ImageError           the bytes are no image that we read
    |  +- EmbeddingError       a vector that must not enter or query a gallery
    +- NotFoundError           code NOT_FOUND            the named thing isn't there
    +- ConflictError           code FAILED_PRECONDITION  the state of the server forbids it
    |  +- FingerprintError     embeddings of different models would mix
    |  +- EnrolmentError       no photograph was good enough
    |  +- KeyFrameNeededError  a packet builds on pictures that the decoder doesn't have
    +- ExhaustedError          code RESOURCE_EXHAUSTED   a limit was hit; later or smaller may work
    +- UnavailableError        code UNAVAILABLE          not now; the same call may work later
    +- ModelError              code FAILED_PRECONDITION  a model folder is missing, damaged or not what it says
    +- InferenceError          code INTERNAL             a network failed or answered nonsense
    +- VideoDecoderError       code INTERNAL             a video decoder crashed, hung or ran out of memory
    +- StorageError            code INTERNAL             the store failed or is damaged
       +- StorageFullError     code RESOURCE_EXHAUSTED   no space left to write
       +- DataDirectoryInUseError  code FAILED_PRECONDITION  another server holds the data directory

Libraries' own errors are translated into these where the library is called, and these into gRPC statuses in
`server.rpc.interceptors`, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import ClassVar


class Code(Enum):
    """What kind of failure it is; the names are those of the gRPC status codes."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class FacestreamError(Exception):
    """Base of all errors that are raised on purpose.

    Attributes:
        reason: UPPER_SNAKE_CASE name of the cause, stable across versions, for programs.
        message: what was wrong, with which value, what is allowed and what to do next, for people.
        field: path of the offending request field, such as "photos[2].image", or "".
        metadata: the values behind the message, for programs.
    """

    code: ClassVar[Code] = Code.INTERNAL

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        field: str = "",
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata = dict(metadata)


class InvalidInputError(FacestreamError):
    """What the caller sent is wrong."""

    code = Code.INVALID_ARGUMENT


class ImageError(InvalidInputError):
    """The bytes are not an image that the server reads."""


class EmbeddingError(InvalidInputError):
    """A vector that must not enter or query a gallery: wrong dimension, not finite, or zero."""


class NotFoundError(FacestreamError):
    """The named thing isn't there."""

    code = Code.NOT_FOUND


class ConflictError(FacestreamError):
    """The state of the server forbids the call."""

    code = Code.FAILED_PRECONDITION


class FingerprintError(ConflictError):
    """Embeddings made by different models, aligners or preprocessing would mix."""


class EnrolmentError(ConflictError):
    """No photograph of an enrolment was good enough."""


class KeyFrameNeededError(ConflictError):
    """A packet builds on pictures that the decoder doesn't have; the stream goes on with its next key frame."""


class ExhaustedError(FacestreamError):
    """A limit was hit."""

    code = Code.RESOURCE_EXHAUSTED


class UnavailableError(FacestreamError):
    """Not now: the server is starting or stopping."""

    code = Code.UNAVAILABLE


class ModelError(FacestreamError):
    """A model folder is missing, damaged, or not what its manifest says."""

    code = Code.FAILED_PRECONDITION


class InferenceError(FacestreamError):
    """A network failed, or its answer has the wrong shape or isn't finite."""


class VideoDecoderError(FacestreamError):
    """A video decoder crashed, hung or ran out of memory. A new one begins with the next key frame."""


class StorageError(FacestreamError):
    """The store failed or is damaged."""


class StorageFullError(StorageError):
    """No space is left to write."""

    code = Code.RESOURCE_EXHAUSTED


class StorageBusyError(StorageError):
    """The store can't be written now: another process of the server is rewriting its file."""

    code = Code.UNAVAILABLE


class DataDirectoryInUseError(StorageError):
    """Another server holds the data directory."""

    code = Code.FAILED_PRECONDITION
