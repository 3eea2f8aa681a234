"""The parity gate: does a backend answer what the reference answers?

A runtime that is faster and a little wrong would cost accuracy in silence. Before one is used it answers the same
probes as the reference, ONNX Runtime in float32, and what comes out of the two is compared in the terms that matter:
directions of embeddings, boxes and landmarks of faces. What the probes are is the caller's to say; a gate whose probes
tell nothing, because the reference finds no face in them or makes the same embedding of all, passes nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.domain import Faces
from server.errors import InferenceError
from server.inference.backend import Backend, Tensor
from server.inference.batch import run_in_buckets
from server.inference.precision import Precision

LEAST_COSINE: Mapping[Precision, float] = MappingProxyType(
    {Precision.FLOAT32: 0.9999, Precision.FLOAT16: 0.999, Precision.BFLOAT16: 0.997, Precision.INT8: 0.98}
)
"""Least cosine of an embedding to the reference's, by what the backend computes in.

At 0.997 an embedding moves by at most 0.006 in squared distance; SFace in bfloat16 keeps above 0.9998 on faces and
its accuracy on LFW. At 0.98 it moves by at most 0.04: who chooses int8 chooses that.
"""

LEAST_IOU = 0.95
"""Least intersection over union of a box with the reference's."""

MOST_SHIFT = 0.01
"""How far a landmark may lie from the reference's, as a share of the longer side of the face's box."""

_UNSURE = 0.02
"""Of faces whose score is so near the threshold, either side may miss one."""

_TELLING = 4.0
"""Probes must lie so many times further apart than the gate lets an embedding move."""

_MIN_NORM = 1e-6

Answers: TypeAlias = list[tuple[Tensor, ...]]
"""Outputs for each batch of probes."""

ReadFaces: TypeAlias = Callable[[Sequence[Tensor], tuple[int, int]], list[Faces]]
"""A detector's outputs and the (width, height) of its input, pixels, to the faces of each image."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        passed: whether the backend may take the reference's place.
        finding: what was compared and what came out, in words.
    """

    passed: bool
    finding: str


class Gate(Protocol):
    """Compares a backend's answers with the reference's."""

    @property
    def probes(self) -> tuple[Tensor, ...]:
        """Batches (N, 3, H, W) float32."""
        ...

    def compare(self, wanted: Answers, found: Answers, precision: Precision) -> Verdict:
        """The verdict on a candidate.

        Args:
            wanted: the reference's outputs for the probes.
            found: the candidate's.
            precision: what the candidate computes in.
        """
        ...


def answers(gate: Gate, backend: Backend) -> Answers:
    """A backend's outputs for a gate's probes.

    Raises:
        InferenceError: it fails.
    """
    return [run_in_buckets(backend, batch) for batch in gate.probes]


def judge(gate: Gate, wanted: Answers, candidate: Backend, precision: Precision) -> Verdict:
    """The verdict on a candidate that computes in `precision`; one that fails doesn't pass.

    Args:
        gate: what must agree.
        wanted: `answers` of the reference.
        candidate: to be judged.
        precision: what it computes in.
    """
    try:
        found = answers(gate, candidate)
    except InferenceError as error:
        return Verdict(False, error.message)
    return gate.compare(wanted, found, precision)


@dataclass(frozen=True, slots=True, eq=False)
class EmbedderGate:
    """Embeddings must keep their directions.

    Attributes:
        probes: batches (N, 3, H, W) float32 of crops of different faces, two or more in all.
    """

    probes: tuple[Tensor, ...]

    def compare(self, wanted: Answers, found: Answers, precision: Precision) -> Verdict:
        """As `Gate.compare`."""
        least = LEAST_COSINE[precision]
        one, other = (_unit(np.concatenate([outputs[0] for outputs in both])) for both in (wanted, found))
        apart = 1 - float(np.median((one @ one.T)[~np.eye(len(one), dtype=bool)]))
        if not apart > _TELLING * (1 - least):
            return Verdict(False, f"the probes' embeddings differ by {apart:.2g} only, too little to tell anything")
        cosine = float((one * other).sum(axis=1).min())
        # Written so that a NaN does not pass.
        return Verdict(cosine >= least, f"cosine {_floor(cosine)} over {len(one)} faces, at least {least}")


@dataclass(frozen=True, slots=True, eq=False)
class DetectorGate:
    """The same faces must be found, with the same boxes and landmarks.

    Attributes:
        probes: batches (N, 3, H, W) float32 of pictures with faces.
        read: what the outputs mean.
        min_score: below it a face is none, 0..1.
    """

    probes: tuple[Tensor, ...]
    read: ReadFaces
    min_score: float

    def compare(self, wanted: Answers, found: Answers, precision: Precision) -> Verdict:
        """As `Gate.compare`; boxes and landmarks must agree whatever `precision` is."""
        del precision
        ones, others = self._faces(wanted), self._faces(found)
        sure = [int(self._sure(faces).sum()) for faces in ones]
        if not all(sure):
            return Verdict(False, f"the reference is sure of no face in {sure.count(0)} of {len(sure)} probes")
        iou, shift = self.agreement(ones, others)
        return Verdict(
            iou >= LEAST_IOU and shift <= MOST_SHIFT,
            f"IoU {_floor(iou)} over {sum(sure)} faces, at least {LEAST_IOU}; landmarks within {shift:.2g} of a face, "
            f"at most {MOST_SHIFT}",
        )

    def agreement(self, ones: Sequence[Faces], others: Sequence[Faces]) -> tuple[float, float]:
        """The least IoU of a face that either side is sure of, and the furthest that a landmark moved, in faces.

        Args:
            ones: the reference's faces of each probe.
            others: the candidate's.
        """
        pairs = list(zip(ones, others, strict=True))
        iou = min(min(self._worst_iou(one, other), self._worst_iou(other, one)) for one, other in pairs)
        return iou, max(_worst_shift(one, other) for one, other in pairs)

    def _faces(self, outputs: Answers) -> list[Faces]:
        sizes = [(batch.shape[3], batch.shape[2]) for batch in self.probes]
        return [faces for output, size in zip(outputs, sizes, strict=True) for faces in self.read(output, size)]

    def _sure(self, faces: Faces) -> NDArray[np.bool_]:
        return np.asarray(faces.scores >= self.min_score + _UNSURE, np.bool_)

    def _worst_iou(self, faces: Faces, others: Faces) -> float:
        """Of each face that is beyond doubt with the best of the others, the least."""
        sure = faces.take(self._sure(faces))
        if len(sure) == 0:
            return 1.0
        if len(others) == 0:
            return 0.0
        return float(overlaps(sure.boxes, others.boxes).max(axis=1).min())


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of every box of one set with every one of another.

    Args:
        first: (N, 4) float32, left, top, right, bottom.
        second: (M, 4) float32.

    Returns:
        (N, M) float64, 0..1.
    """
    one, other = first[:, None].astype(np.float64), second[None].astype(np.float64)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    union = (one[..., 2:] - one[..., :2]).prod(axis=-1) + (other[..., 2:] - other[..., :2]).prod(axis=-1) - shared
    return np.asarray(shared / np.maximum(union, _MIN_NORM))


def _worst_shift(wanted: Faces, found: Faces) -> float:
    """The furthest that a landmark moved, as a share of its face's longer side; only faces that both have count."""
    if len(wanted) == 0 or len(found) == 0:
        return 0.0
    shared = overlaps(wanted.boxes, found.boxes)
    partner = shared.argmax(axis=1)
    away = np.linalg.norm(wanted.landmarks - found.landmarks[partner], axis=2).max(axis=1)
    sides = (wanted.boxes[:, 2:] - wanted.boxes[:, :2]).max(axis=1)
    both = shared.max(axis=1) >= LEAST_IOU
    return float((away / sides)[both].max(initial=0.0))


def _unit(vectors: Tensor) -> Tensor:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, _MIN_NORM), np.float32)


def _floor(value: float) -> str:
    """Five digits, never rounded up to what the gate asks for."""
    return f"{np.floor(value * 1e5) / 1e5:.5f}"
