"""The whole pipeline on the GPU: JPEG frames of many cameras, decoded, searched for faces, aligned, embedded."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import cv2

from server.domain import Codec, EncodedImage
from server.pipeline.vision import FaceVision
from server.vision.decode import ImageLimits, decode_for
from server.vision.portrait import draw_crowd

WIDTH, HEIGHT = 1280, 720
FACES = 4
_LIMITS = ImageLimits(2**24, 2**25)


def frame() -> EncodedImage:
    """A 720p JPEG with four drawn faces."""
    crowd = draw_crowd(range(FACES), columns=FACES, side=WIDTH // FACES)
    top = (HEIGHT - crowd.shape[0]) // 2
    picture = cv2.copyMakeBorder(crowd, top, HEIGHT - crowd.shape[0] - top, 0, 0, cv2.BORDER_REPLICATE)
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return EncodedImage(Codec.JPEG, encoded.tobytes())


def frames_per_s(vision: FaceVision, cameras: int, *, seconds: float) -> tuple[float, float]:
    """Frames a second of all cameras together, each sending when its last was answered, and faces in a frame.

    Every face of every frame is looked at closely and embedded; a session does that only for new and better looks.
    """
    encoded = frame()
    end = time.perf_counter() + seconds

    def camera(_number: int) -> tuple[int, int]:
        frames = faces = 0
        while not frames or time.perf_counter() < end:
            picture = decode_for(encoded, _LIMITS, longest_side=vision.detector.longest_side)
            found = vision.detector.detect(picture.pixels).scaled(picture.reduction)
            analysis = vision.analyse(picture.whole(), found)
            vision.embedder.embed_of(analysis, range(len(found)))
            frames, faces = frames + 1, faces + len(analysis.faces)
        return frames, faces

    began = time.perf_counter()
    with ThreadPoolExecutor(cameras) as pool:
        counts = list(pool.map(camera, range(cameras)))
    frames = sum(count for count, _ in counts)
    return frames / (time.perf_counter() - began), sum(faces for _, faces in counts) / frames
