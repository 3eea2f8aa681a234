"""The fake RecognitionService."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

import grpc
from facestream.v1 import face_pb2, recognition_pb2, recognition_pb2_grpc
from google.protobuf.any_pb2 import Any as PackedDetail
from google.rpc import code_pb2, error_details_pb2, status_pb2

from clients.fake.script import (
    THRESHOLD,
    Abort,
    Advise,
    Close,
    DrainStream,
    Drop,
    Fail,
    Hang,
    Ignore,
    Say,
    Script,
    answer_nothing,
    found_face,
)

Response: TypeAlias = recognition_pb2.StreamRecognizeResponse
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class FakeRecognition(recognition_pb2_grpc.RecognitionServiceServicer):
    """Plays a script, one frame after the other, and remembers what it was sent.

    Attributes:
        script: what to do with a frame; may be replaced while a stream runs.
        faces: in every still image.
        configs: of the streams, in order.
        frames: of all streams, in order.
        max_frame_age_s: told to streams.
        advice: told to streams after `ready`; None tells nothing.
        held_back: answers that come so many frames late, like those of a decoder of B-frames.
        size: width and height that results claim; 0 says nothing.
    """

    def __init__(self) -> None:
        self.script: Script = answer_nothing
        self.faces: Sequence[face_pb2.Face] = ()
        self.configs: list[recognition_pb2.StreamConfig] = []
        self.frames: list[recognition_pb2.CameraFrame] = []
        self.max_frame_age_s = 10.0
        self.advice: recognition_pb2.FlowAdvice | None = None
        self.held_back = 0
        self.size = (0, 0)

    async def StreamRecognize(  # noqa: N802 - the name in the API
        self, request_iterator: AsyncIterator[recognition_pb2.StreamRecognizeRequest], context: Context
    ) -> AsyncIterator[Response]:
        """Answers `ready`, then what the script says."""
        first = await anext(request_iterator)
        self.configs.append(first.config)
        ready = recognition_pb2.StreamReady(
            session=f"fake-{len(self.configs)}", gallery=first.config.gallery, target_far=0.001
        )
        ready.max_frame_age.FromNanoseconds(round(self.max_frame_age_s * 1e9))
        yield Response(ready=ready)
        if self.advice is not None:
            yield Response(advice=self.advice)
        late: deque[Response] = deque()
        async for request in request_iterator:
            self.frames.append(request.frame)
            step = self.script(request.frame)
            if isinstance(step, Abort):
                await context.abort(step.code, step.message, step.trailing)
            if isinstance(step, Hang):
                await asyncio.Event().wait()
            if isinstance(step, Say):
                await asyncio.sleep(step.after_s)
            late += _responses(step, request.frame, self.size)
            while len(late) > self.held_back:
                yield late.popleft()
            if isinstance(step, Close | DrainStream):
                break
        for response in late:
            yield response

    async def Recognize(  # noqa: N802
        self, request: recognition_pb2.RecognizeRequest, context: Context
    ) -> recognition_pb2.RecognizeResponse:
        """The scripted faces."""
        del request, context
        return recognition_pb2.RecognizeResponse(
            result=recognition_pb2.FrameResult(faces=self.faces, width=320, height=240, gallery_revision=1)
        )

    async def Verify(  # noqa: N802
        self, request: recognition_pb2.VerifyRequest, context: Context
    ) -> recognition_pb2.VerifyResponse:
        """The same person when the bytes are the same."""
        del context
        same = request.first.data == request.second.data
        return recognition_pb2.VerifyResponse(
            same=same,
            distance=0.2 if same else 1.6,
            threshold=THRESHOLD,
            target_far=request.target_far or 0.001,
            first_face=found_face(),
            second_face=found_face(),
        )

    async def Embed(  # noqa: N802
        self, request: recognition_pb2.EmbedRequest, context: Context
    ) -> recognition_pb2.EmbedResponse:
        """A unit vector for every scripted face."""
        del request, context
        return recognition_pb2.EmbedResponse(
            faces=[recognition_pb2.EmbeddedFace(face=face, embedding=[1.0, *[0.0] * 127]) for face in self.faces],
            fingerprint="fake",
        )


def _responses(step: object, frame: recognition_pb2.CameraFrame, size: tuple[int, int]) -> list[Response]:
    answer = Response(sequence=frame.sequence, captured_at=frame.captured_at)
    match step:
        case Say(faces=faces) | Advise(faces=faces) | DrainStream(faces=faces, drop=False):
            answer.result.CopyFrom(_result(faces, size))
        case Drop(reason=reason):
            answer.dropped.reason = reason
        case DrainStream():
            answer.dropped.reason = recognition_pb2.DROP_REASON_DRAINING
        case Fail(reason=reason, message=message):
            detail = PackedDetail()
            detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="facestream"))
            answer.error.CopyFrom(status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=message, details=[detail]))
        case Ignore() | Close():
            return []
    if isinstance(step, DrainStream):
        return [Response(drain=recognition_pb2.Drain()), answer]
    if isinstance(step, Advise):
        return [Response(advice=step.advice), answer]
    return [answer]


def _result(faces: Sequence[face_pb2.Face], size: tuple[int, int]) -> recognition_pb2.FrameResult:
    width, height = size
    result = recognition_pb2.FrameResult(faces=faces, width=width, height=height, gallery_revision=1)
    result.timing.total.FromMilliseconds(5)
    return result
