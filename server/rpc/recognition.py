"""RecognitionService: pumps and conversions around the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import grpc
from facestream.v1 import recognition_pb2, recognition_pb2_grpc

from server.domain import EncodedImage, GalleryName
from server.errors import ExhaustedError, UnavailableError
from server.pipeline.recognise import Recogniser, Recognition
from server.pipeline.verify import embed_image, verify
from server.rpc import wire
from server.rpc.books import ServerBooks
from server.rpc.outbox import Outbox
from server.rpc.stream import CameraStream, StreamClock, StreamShare
from server.rpc.threads import run_to_its_end
from server.rpc.writing import write
from server.telemetry.metrics import FrameMetrics

T = TypeVar("T")

_STILL_IMAGES = "still images"
"""All still images together have the share of the work that one camera has; no session is called so."""


@dataclass(slots=True)
class Streams:
    """The open streams: how many, how many at most, and the word to stop.

    Attributes:
        at_most: streams at the same time.
        books: of what passes through them.
        draining: set when the server is about to stop.
    """

    at_most: int
    books: ServerBooks
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = field(default=0, init=False)

    def enter(self) -> None:
        """Counts a stream in.

        Raises:
            UnavailableError: the server is about to stop.
            ExhaustedError: too many are open.
        """
        if self.draining.is_set():
            raise UnavailableError("SERVER_DRAINING", "the server is stopping; connect again in a moment")
        if self.open >= self.at_most:
            raise ExhaustedError(
                "STREAMS_EXCEEDED",
                f"{self.open} streams are open, the limit is {self.at_most}; close one or raise --max-streams",
            )
        self.open += 1

    def leave(self) -> None:
        """Counts a stream out."""
        self.open -= 1


class RecognitionServicer(recognition_pb2_grpc.RecognitionServiceServicer):
    """Answers RecognitionService.

    Args:
        recogniser: names the people in images.
        executor: runs it.
        streams: the open streams.
        share: what they share.
        clock: time.
        metrics: counted into.
    """

    def __init__(
        self,
        *,
        recogniser: Recogniser,
        executor: Executor,
        streams: Streams,
        share: StreamShare,
        clock: StreamClock,
        metrics: FrameMetrics,
    ) -> None:
        self._recogniser = recogniser
        self._executor = executor
        self._streams = streams
        self._share = share
        self._clock = clock
        self._metrics = metrics

    # grpc.aio takes a coroutine that writes to the context too; the generated type knows iterators only.
    async def StreamRecognize(  # type: ignore[override]  # noqa: N802 - the name in the API
        self,
        request_iterator: AsyncIterator[recognition_pb2.StreamRecognizeRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """One camera's live stream."""
        self._streams.enter()
        self._metrics.streams.set(self._streams.open)
        try:
            with self._streams.books.camera() as tap:
                outbox = Outbox(partial(tap.write, partial(write, context)), self._metrics)
                stream = CameraStream(outbox=outbox, clock=self._clock, share=self._share)
                await stream.run(tap.requests(request_iterator))
        finally:
            self._streams.leave()
            self._metrics.streams.set(self._streams.open)

    async def Recognize(  # noqa: N802
        self, request: recognition_pb2.RecognizeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> recognition_pb2.RecognizeResponse:
        """The faces of one still image."""
        del context
        started_ns = self._clock.monotonic_ns()
        gallery = GalleryName.parse(request.gallery)
        far = wire.far_from(request.target_far, self._share.limits.target_far)
        recognition = await self._recognise(wire.image_from(request.image), gallery, far)
        total_ns = self._clock.monotonic_ns() - started_ns
        queue_ns = max(0, total_ns - sum(recognition.spent_ns.values()))
        result = wire.result_message(recognition, queue_ns=queue_ns, total_ns=total_ns)
        return recognition_pb2.RecognizeResponse(result=result)

    async def Verify(  # noqa: N802
        self, request: recognition_pb2.VerifyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> recognition_pb2.VerifyResponse:
        """Whether two images show the same person."""
        del context
        far = wire.far_from(request.target_far, self._share.limits.target_far)
        first, second = wire.image_from(request.first), wire.image_from(request.second)
        verdict = await self._run(lambda: verify(self._recogniser, first, second, far=far))
        (first_face,), (second_face,) = (wire.analysed_faces(face) for face in verdict.analyses)
        return recognition_pb2.VerifyResponse(
            same=verdict.distance <= verdict.threshold,
            distance=verdict.distance,
            threshold=verdict.threshold,
            target_far=far,
            first_face=first_face,
            second_face=second_face,
        )

    async def Embed(  # noqa: N802
        self, request: recognition_pb2.EmbedRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> recognition_pb2.EmbedResponse:
        """The embedding of every face in one image."""
        del context
        image = wire.image_from(request.image)
        analysis, embeddings = await self._run(lambda: embed_image(self._recogniser, image, mirrored=request.mirrored))
        faces = [
            recognition_pb2.EmbeddedFace(face=face, embedding=embedding.tolist())
            for face, embedding in zip(wire.analysed_faces(analysis), embeddings, strict=True)
        ]
        return recognition_pb2.EmbedResponse(faces=faces, fingerprint=self._recogniser.vision.fingerprint)

    async def _recognise(self, image: EncodedImage, gallery: GalleryName, far: float) -> Recognition:
        return await self._run(lambda: self._recogniser.recognise(image, gallery, far=far))

    async def _run(self, work: Callable[[], T]) -> T:
        """Does the work of a still image in its turn among the cameras' frames."""
        async with self._share.permits.held(_STILL_IMAGES):
            return await run_to_its_end(self._executor, work)
