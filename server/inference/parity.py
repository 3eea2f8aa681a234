"""The parity gate: does a backend answer what the reference answers?

A runtime that is faster and a little wrong would cost accuracy in silence. Before one is used it answers the same
probes as the reference, ONNX Runtime in float32, and what comes out of the two is compared in the terms that matter:
directions of embeddings, boxes and landmarks of faces. What the probes are is the caller's to say; a gate whose probes
tell nothing, because the reference finds no face in them or makes the same embedding of all, passes nobody. Every shape
is compared by itself, and the worst is named: a backend may have other kernels for each.
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

_TIE = 0.01
"""Of two boxes of a face whose scores are so near, either side may keep the other one."""

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
        ones, others = ([_unit(outputs[0]) for outputs in both] for both in (wanted, found))
        one = np.concatenate(ones)
        apart = 1 - float(np.median((one @ one.T)[~np.eye(len(one), dtype=bool)]))
        if not apart > _TELLING * (1 - least):
            return Verdict(False, f"the probes' embeddings differ by {apart:.2g} only, too little to tell anything")
        cosines = [float((a * b).sum(axis=1).min()) for a, b in zip(ones, others, strict=True)]
        worst = int(np.argmin(cosines))  # the first NaN, if there is one
        # Written so that a NaN does not pass.
        return Verdict(
            cosines[worst] >= least,
            f"least cosine {_floor(cosines[worst])} {_where(self.probes[worst])}, at least {least}; {len(one)} faces "
            f"in {_shapes(self.probes)}",
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a candidate agrees with the reference on a probe.

    Attributes:
        sure: how many faces the reference is sure of in each picture.
        iou: the least of a face that either side is sure of.
        shift: the furthest that a landmark moved, in faces.
    """

    sure: tuple[int, ...]
    iou: float
    shift: float


@dataclass(frozen=True, slots=True, eq=False)
class DetectorGate:
    """The same faces must be found, with the same boxes and landmarks.

    Attributes:
        probes: batches (N, 3, H, W) float32 of pictures with faces.
        read: what the outputs mean.
        min_score: below it a face is none, 0..1.
        propose: as `read`, with all boxes of a face and not the most confident alone; None when there is one of each.
    """

    probes: tuple[Tensor, ...]
    read: ReadFaces
    min_score: float
    propose: ReadFaces | None = None

    def compare(self, wanted: Answers, found: Answers, precision: Precision) -> Verdict:
        """As `Gate.compare`; boxes and landmarks must agree whatever `precision` is."""
        del precision
        agreements = self.agreements(wanted, found)
        blind = [probe for probe, one in zip(self.probes, agreements, strict=True) if not all(one.sure)]
        if blind:
            count = f"{len(blind)} of {len(agreements)} probes"
            return Verdict(False, f"the reference is sure of no face in {count}, first {_where(blind[0])}")
        ious, shifts = [one.iou for one in agreements], [one.shift for one in agreements]
        worst, furthest = int(np.argmin(ious)), int(np.argmax(shifts))  # the first NaN, if there is one
        # Written so that a NaN does not pass.
        return Verdict(
            ious[worst] >= LEAST_IOU and shifts[furthest] <= MOST_SHIFT,
            f"least IoU {_floor(ious[worst])} {_where(self.probes[worst])}, at least {LEAST_IOU}; landmarks within "
            f"{shifts[furthest]:.2g} of a face {_where(self.probes[furthest])}, at most {MOST_SHIFT}; "
            f"{sum(sum(one.sure) for one in agreements)} faces in {_shapes(self.probes)}",
        )

    def agreements(self, wanted: Answers, found: Answers) -> list[Agreement]:
        """How far the candidate agrees on each probe.

        Args:
            wanted: the reference's outputs for the probes.
            found: the candidate's.
        """
        return [self._agreement(*all_of) for all_of in zip(self.probes, wanted, found, strict=True)]

    def _agreement(self, probe: Tensor, wanted: Sequence[Tensor], found: Sequence[Tensor]) -> Agreement:
        size = (probe.shape[3], probe.shape[2])
        ious: list[float] = []
        shifts: list[float] = []
        sure: list[int] = []
        for (one, ones), (other, others) in zip(self._seen(wanted, size), self._seen(found, size), strict=True):
            sure.append(int(self._sure(one).sum()))
            ious += (self._worst_iou(one, others), self._worst_iou(other, ones))
            shifts.append(_worst_shift(one, others))
        # NumPy's, since Python's own lose a NaN.
        return Agreement(tuple(sure), float(np.min(ious)), float(np.max(shifts)))

    def _seen(self, outputs: Sequence[Tensor], size: tuple[int, int]) -> list[tuple[Faces, Faces]]:
        """Of each picture the faces, and these with what is tied with them."""
        faces = self.read(outputs, size)
        if self.propose is None:
            return [(one, one) for one in faces]
        return [(one, _tied(one, all_of)) for one, all_of in zip(faces, self.propose(outputs, size), strict=True)]

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


def _tied(faces: Faces, proposed: Faces) -> Faces:
    """Of the proposed faces, those that a little rounding would have put in place of a face that they overlap."""
    near = proposed.scores[:, None] >= faces.scores[None] - _TIE
    tied = near & (overlaps(proposed.boxes, faces.boxes) > 0)
    return proposed.take(np.asarray(tied.any(axis=1), np.bool_))


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


def _where(probe: Tensor) -> str:
    """The shape of a probe in words, width before height."""
    length, _, height, width = probe.shape
    return f"at {width}x{height} " + ("alone" if length == 1 else f"in a batch of {length}")


def _shapes(probes: Sequence[Tensor]) -> str:
    """How many shapes the probes have, in words."""
    count = len({probe.shape for probe in probes})
    return f"{count} shape{'s' * (count > 1)}"


def _floor(value: float) -> str:
    """Five digits, never rounded up to what the gate asks for."""
    return f"{np.floor(value * 1e5) / 1e5:.5f}"
