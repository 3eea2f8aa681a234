"""Photographs to aligned crops, with the server's own vision code, so that training sees what the server will show."""

from __future__ import annotations

import csv
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import cv2
import numpy as np

from server.domain import AlignmentTemplate, Codec, EncodedImage, Faces, Image
from server.errors import ImageError, StorageError
from server.inference.backend import Backend
from server.inference.manifest import Manifest
from server.vision.align import align
from server.vision.decode import ImageLimits, decode
from server.vision.detect import DetectionRule, find_faces
from server.vision.preprocess import fit, letterbox_for, to_tensor
from trainer.data.catalog import Catalog
from trainer.errors import DatasetError

DROPPED_FILE = "dropped.csv"
JPEG_QUALITY = 95

Detect = Callable[[Image], Faces]
"""Finds the faces of an image, in its pixels."""


class Fate(Enum):
    """What became of a photograph."""

    CROPPED = "cropped"
    ALREADY_THERE = "already there"
    UNREADABLE = "unreadable"
    OTHER_FORMAT = "neither JPEG nor PNG by its name"
    NO_FACE = "no face"
    TOO_SMALL = "too small"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of one photograph.

    Attributes:
        photograph: its file.
        fate: what happened.
        detail: why, in words; "" where there is nothing to explain.
    """

    photograph: Path
    fate: Fate
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How photographs become crops.

    Attributes:
        detect: finds the faces.
        template: size of the crops, and where the landmarks go.
        folder: where the crops go: one folder for each person, files named as the photographs. Of photographs of a
            person that share their name, in several folders, the crops' names end with a hash of the photograph's path.
        min_size: faces whose box has a shorter side below this are dropped, pixels.
    """

    detect: Detect
    template: AlignmentTemplate
    folder: Path
    min_size: float = 20.0

    def one(self, photograph: Path, target: Path) -> Prepared:
        """Crops one photograph's most prominent face into a file; nothing is done where the file is there already.

        Raises:
            StorageError: when the crop cannot be written.
        """
        if target.exists():
            return Prepared(photograph, Fate.ALREADY_THERE)
        try:
            image = decode(EncodedImage(Codec.UNSPECIFIED, photograph.read_bytes()), ImageLimits())
        except OSError as error:
            return Prepared(photograph, Fate.UNREADABLE, str(error.strerror))
        except ImageError as error:
            return Prepared(photograph, Fate.UNREADABLE, error.message)
        faces = self.detect(image)
        if not len(faces):
            return Prepared(photograph, Fate.NO_FACE)
        chosen = faces.take(np.array([most_prominent(faces, image)]))
        side = float((chosen.boxes[0, 2:] - chosen.boxes[0, :2]).min())
        if side < self.min_size:
            return Prepared(photograph, Fate.TOO_SMALL, f"{side:.0f} pixels, at least {self.min_size:.0f} are wanted")
        _write(target, align(image, chosen.landmarks, self.template)[0])
        return Prepared(photograph, Fate.CROPPED)

    def all(self, catalog: Catalog, *, workers: int) -> Iterator[Prepared]:
        """Crops every photograph of a catalog, several at a time; a second call goes on where the first one stopped.

        Raises:
            DatasetError: IDENTITY_INVALID when a person's name cannot be a folder's.
            StorageError: when a crop cannot be written.
        """
        with ThreadPoolExecutor(workers, "prepare") as pool:
            yield from pool.map(self.one, catalog.paths, self._targets(catalog))

    def _targets(self, catalog: Catalog) -> list[Path]:
        """The crop's file for each photograph, the same in every run over the same photographs.

        Its name with .jpg instead of the ending, which stays if it must; where that isn't enough, with a hash.
        """
        for identity in catalog.identities:
            _require_folder_name(identity)
        folders = [self.folder / catalog.identities[label] for label in catalog.labels]
        targets = [folder / f"{path.stem}.jpg" for folder, path in zip(folders, catalog.paths, strict=True)]
        for name in (lambda path: path.name, _hashed):
            counts = Counter(targets)
            targets = [
                target.with_name(f"{name(path)}.jpg") if counts[target] > 1 else target
                for target, path in zip(targets, catalog.paths, strict=True)
            ]
        return targets


def _require_folder_name(identity: str) -> None:
    if identity.startswith(".") or "/" in identity or "\\" in identity:
        raise DatasetError(
            "IDENTITY_INVALID",
            f"{identity!r} cannot be the name of a folder of crops: give the person a name without slashes that does "
            "not begin with a dot",
        )


def _hashed(photograph: Path) -> str:
    """The name of a photograph that shares it with others, however its path is spelled."""
    path = str(photograph.resolve())
    return f"{photograph.stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def most_prominent(faces: Faces, image: Image) -> int:
    """Index of the face that the photograph is of: large, and near its middle."""
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    middle = np.array([image.shape[1], image.shape[0]], np.float32) / 2
    offsets = (faces.boxes[:, 2:] + faces.boxes[:, :2]) / 2 - middle
    return int(np.argmax(sides.prod(axis=1) - 2 * (offsets**2).sum(axis=1)))


def detector_of(manifest: Manifest, backend: Backend, *, longest_side: int = 640) -> Detect:
    """Finds faces with a model folder's network; images are shrunk to `longest_side` pixels for it.

    Raises:
        ModelError: when the model is no detector.
    """
    part = manifest.as_detector()
    rule = DetectionRule(part.decoding, part.score_threshold, part.nms_iou)
    pixels, multiple = manifest.pixels(), manifest.input.size_multiple

    def detect(image: Image) -> Faces:
        box = letterbox_for(image, longest_side=longest_side, multiple=multiple)
        outputs = backend.run(to_tensor([fit(image, box)], pixels))
        (found,) = find_faces(outputs, rule, input_size=(box.width, box.height))
        return box.to_image(found)

    return detect


def write_dropped(folder: Path, prepared: Sequence[Prepared]) -> None:
    """Lists the photographs that gave no crop, and why, in dropped.csv.

    Raises:
        StorageError: when it cannot be written.
    """
    lost = [item for item in prepared if item.fate not in (Fate.CROPPED, Fate.ALREADY_THERE)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / DROPPED_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("photograph", "reason", "detail"))
            writer.writerows((item.photograph, item.fate.value, item.detail) for item in lost)
    except OSError as error:
        raise _not_written(folder / DROPPED_FILE, error) from error


def _write(target: Path, crop: Image) -> None:
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data.tobytes())
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise _not_written(target, error) from error


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError("CROP_NOT_WRITTEN", f"{path} cannot be written: {error.strerror}; free space and run again")
