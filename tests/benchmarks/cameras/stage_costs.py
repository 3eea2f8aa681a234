"""What the stages cost alone: with the server's own code and settings, on all cores, nothing else running."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from server.compose.models import load_models  # the server's own choice of threads and lanes
from server.domain import Codec, EncodedImage
from server.pipeline.load import LoadedVision
from server.settings import load_settings
from server.vision.decode import ImageLimits, decode, decode_for
from tests.server_process import MODELS

ItemT = TypeVar("ItemT")

_BATCH = 8
_LIMITS = ImageLimits(2**24, 2**25)


@dataclass(frozen=True, slots=True)
class StageCosts:
    """Seconds of the whole machine for one item: the reciprocal of what all cores together do in a second.

    Attributes:
        decode: of a frame, as far as detection needs it.
        whole: of a frame, decoded at full size.
        detect: of a frame.
        place: of a crop: landmarks placed anew, alignment and quality, as many at a time as a frame has faces.
        embed: of a crop, in batches of 8.
    """

    decode: float
    whole: float
    detect: float
    place: float
    embed: float

    def frame(self, embeddings: float) -> float:
        """Decoding, detecting, and so many embeddings."""
        return self.decode + self.detect + embeddings * self.embed


class StageBench:
    """The stages, warm.

    Args:
        pictures: JPEG frames that stand for all.
    """

    def __init__(self, pictures: Sequence[bytes]) -> None:
        cv2.setNumThreads(1)  # as the server
        cores = os.cpu_count() or 1
        settings = load_settings(["--models-dir", str(MODELS)])
        self._loaded: LoadedVision = load_models(settings, cores, lambda *batch: None)
        self._pool = ThreadPoolExecutor(cores)
        vision = self._loaded.vision
        self._encoded = [EncodedImage(Codec.JPEG, picture) for picture in pictures]
        self._images = [decode(encoded, _LIMITS) for encoded in self._encoded]
        side = vision.detector.longest_side
        self._small = [decode_for(encoded, _LIMITS, longest_side=side).pixels for encoded in self._encoded]
        self._found = [(image, vision.detector.detect(image)) for image in self._images]
        self._faces = sum(len(faces) for _, faces in self._found) / len(self._found)
        crops = np.concatenate([vision.analyse(*found).crops for found in self._found])
        self._batches = [np.take(crops, range(i, i + _BATCH), axis=0, mode="wrap") for i in range(len(self._images))]

    def measure(self, seconds: float) -> StageCosts:
        """All stages, each for a fifth of the time."""
        vision, share = self._loaded.vision, seconds / 5
        side = vision.detector.longest_side
        return StageCosts(
            self._seconds_each(lambda encoded: decode_for(encoded, _LIMITS, longest_side=side), self._encoded, share),
            self._seconds_each(lambda encoded: decode(encoded, _LIMITS), self._encoded, share),
            self._seconds_each(vision.detector.detect, self._small, share),
            self._seconds_each(lambda found: vision.analyse(*found), self._found, share) / self._faces,
            self._seconds_each(vision.embedder.embed, self._batches, share) / _BATCH,
        )

    def close(self) -> None:
        """Ends threads and releases networks."""
        self._pool.shutdown()
        self._loaded.close()

    def _seconds_each(self, work: Callable[[ItemT], object], items: Sequence[ItemT], seconds: float) -> float:
        """Seconds for each item while every core works on some."""
        until = time.perf_counter() + seconds

        def some(first: int) -> int:
            done = 0
            while time.perf_counter() < until:
                work(items[(first + done) % len(items)])
                done += 1
            return done

        workers = os.cpu_count() or 1
        began = time.perf_counter()
        done = sum(self._pool.map(some, (round(i * len(items) / workers) for i in range(workers))))
        return (time.perf_counter() - began) / done
