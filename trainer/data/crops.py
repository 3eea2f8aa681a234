"""Reads crops, many at a time, into batches of bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from server.domain import Codec, ColourOrder, EncodedImage, Image, PixelSpec
from server.errors import ImageError
from server.vision.decode import ImageLimits, decode
from server.vision.header import read_header
from trainer.data.augment import Augmentation, augment
from trainer.data.catalog import Catalog
from trainer.data.imagine import Imagination, blend, warp
from trainer.errors import DatasetError

T = TypeVar("T")

_NAMED = 5
_MAX_DISTORTION = 0.03
"""Sides that are rounded to whole pixels may differ by so much."""


@dataclass(frozen=True, slots=True)
class Request:
    """The part of a mini-batch that a process reads.

    Attributes:
        step: number of the mini-batch.
        indices: (B,) crops of the whole mini-batch.
        rows: which of them are read.
    """

    step: int
    indices: NDArray[np.intp]
    rows: slice


def read_crop(path: Path, *, height: int, width: int) -> Image:
    """The crop in a file, resized to the network's input where it has another size.

    Raises:
        DatasetError: when the file is missing, empty or no photograph, or its sides have another ratio, so that
            resizing would distort the face.
    """
    try:
        image = decode(EncodedImage(Codec.UNSPECIFIED, path.read_bytes()), ImageLimits())
    except OSError as error:
        raise DatasetError("CROP_UNREADABLE", f"{path} cannot be read: {error.strerror}") from error
    except ImageError as error:
        raise DatasetError(
            "CROP_UNREADABLE",
            f"{path} is no photograph: {error.message}; fetch the very file again, or delete it and train into a new "
            "folder, beginning with this run's last checkpoint (--weights)",
        ) from error
    if image.shape[:2] == (height, width):
        return image
    _require_same_shape(path, image, height, width)
    smaller = image.shape[0] * image.shape[1] > height * width
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def require_readable(paths: Sequence[Path]) -> None:
    """Passes files that begin as photographs do; whatever lies behind the header is found when it is read.

    Raises:
        DatasetError: CROP_UNREADABLE with all that do not.
    """

    def fault(path: Path) -> str:
        try:
            read_header(path.read_bytes())
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        except ImageError as error:
            return f"{path} is no photograph: {error.message}"
        return ""

    with ThreadPoolExecutor(thread_name_prefix="headers") as pool:
        faults = [found for found in pool.map(fault, paths) if found]
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise DatasetError("CROP_UNREADABLE", f"{'; '.join(faults[:_NAMED])}{more}. Delete them or fetch them again")


def _require_same_shape(path: Path, image: Image, height: int, width: int) -> None:
    ratio = (image.shape[1] / image.shape[0]) / (width / height)
    if abs(ratio - 1) > _MAX_DISTORTION:
        raise DatasetError(
            "CROP_SHAPE_WRONG",
            f"{path} is {image.shape[1]} pixels wide and {image.shape[0]} high, and the network wants {width} by "
            f"{height}; prepare crops for this network",
        )


@dataclass(frozen=True, slots=True)
class CropReader:
    """How the crops of a catalog become batches.

    Attributes:
        catalog: the crops.
        height: of the network's input.
        width: of the network's input.
        augmentation: what happens to each crop.
        seed: of the augmentation; with the step and the place in the batch it decides every crop's fate.
        imagination: how faces are changed into others before that.
    """

    catalog: Catalog
    height: int
    width: int
    augmentation: Augmentation
    seed: int = 0
    imagination: Imagination = field(default_factory=Imagination)

    def read(self, request: Request, pool: ThreadPoolExecutor) -> Tensor:
        """The crops asked for, (n, H, W, 3) uint8 BGR: bytes, since float32 would need four times the memory.

        Raises:
            DatasetError: when a file is missing, empty or no photograph.
        """
        places = range(len(request.indices))[request.rows]
        seeds = [[self.seed, 2, request.step, place] for place in places]
        crops = pool.map(self._one, request.indices[request.rows].tolist(), seeds)
        return torch.from_numpy(np.stack(list(crops)))

    def _one(self, index: int, seed: list[int]) -> Image:
        generator = np.random.default_rng(seed)
        image = self._imagined(self._crop(index), generator)
        return augment(image, self.augmentation, generator)

    def _imagined(self, image: Image, generator: np.random.Generator) -> Image:
        how = self.imagination
        if generator.random() < how.blend:
            other = self._crop(int(generator.integers(len(self.catalog))))
            parts = int(generator.integers(1, how.parts, endpoint=True))
            image = blend(image, other, parts=parts, generator=generator)
        if generator.random() < how.warp:
            image = warp(image, bend=how.bend, generator=generator)
        return image

    def _crop(self, index: int) -> Image:
        return read_crop(self.catalog.paths[index], height=self.height, width=self.width)


def ahead(read: Callable[[Request], T], requests: Iterator[Request], *, depth: int = 1) -> Iterator[tuple[Request, T]]:
    """Reads what is asked for while the caller works on what came before; yields each request with what was read.

    Args:
        read: called for one request after the other, in their order.
        requests: what to read.
        depth: at most so many are read and not yet yielded. More than 1 is for reading that is slow for a while and
            fast for a while, and costs their memory.
    """
    waiting: deque[tuple[Request, Future[T]]] = deque()
    one = ThreadPoolExecutor(1, "next-batch")
    try:
        for request in requests:
            waiting.append((request, one.submit(read, request)))
            if len(waiting) > depth:
                asked, answer = waiting.popleft()
                yield asked, answer.result()
        while waiting:
            asked, answer = waiting.popleft()
            yield asked, answer.result()
    finally:
        one.shutdown(cancel_futures=True)


def to_input(images: Tensor, pixels: PixelSpec, device: torch.device) -> Tensor:
    """Bytes to a network's input, as `server.vision.preprocess.to_tensor` makes it, on the device.

    Args:
        images: (N, H, W, 3) uint8 BGR on the CPU.
        pixels: the network's wish.
        device: where to.

    Returns:
        (N, 3, H, W) float32, in the channels-last memory format that convolutions are fastest with.
    """
    images = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
    if pixels.colour is ColourOrder.RGB:
        images = images.flip(1)
    mean, std = (torch.tensor(part, device=device)[:, None, None] for part in (pixels.mean, pixels.std))
    return (images.float() - mean).div_(std).contiguous(memory_format=torch.channels_last)
