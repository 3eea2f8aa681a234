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

MOST_SCORE: Mapping[Precision, float] = MappingProxyType(
    {Precision.FLOAT32: 0.02, Precision.FLOAT16: 0.02, Precision.BFLOAT16: 0.05, Precision.INT8: 0.05}
)
"""How far a face's score may lie from the reference's, by what the backend computes in: thresholds were chosen for the
reference's scores. On drawn faces the default detectors keep within 0.005 in float16 and 0.031 in bfloat16.
"""

MOST_FACES = 1500
"""In one picture, and of proposals too: twenty times as many as are drawn in the fullest one. Who finds more finds
them everywhere, and comparing them takes minutes and gigabytes.
"""

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
    def probes(self) -> Sequence[Tensor]:
        """Batches (N, 3, H, W) float32; they may be made anew each time that they are asked for."""
        ...

    def compare(self, wanted: Answers, found: Answers, precision: Precision) -> Verdict:
        """The verdict on a candidate.

        Args:
            wanted: the reference's outputs for the probes.
            found: the candidate's.
            precision: what the candidate computes in.
        """
        ...


def _never_stops() -> None:
    """Nobody can call it off."""


def answers(gate: Gate, backend: Backend, go_on: Callable[[], None] = _never_stops) -> Answers:
    """A backend's outputs for a gate's probes.

    Args:
        gate: whose probes they are.
        backend: answers.
        go_on: asked before every probe; what it raises ends it.

    Raises:
        InferenceError: it fails.
    """
    found: Answers = []
    for batch in gate.probes:
        go_on()
        found.append(run_in_buckets(backend, batch))
    return found


def judge(
    gate: Gate,
    wanted: Answers,
    candidate: Backend,
    precision: Precision,
    go_on: Callable[[], None] = _never_stops,
) -> Verdict:
    """The verdict on a candidate that computes in `precision`; one that fails doesn't pass.

    Args:
        gate: what must agree.
        wanted: `answers` of the reference.
        candidate: to be judged.
        precision: what it computes in.
        go_on: asked before every probe; what it raises ends it.
    """
    try:
        found = answers(gate, candidate, go_on)
    except InferenceError as error:
        return Verdict(False, error.message)
    return gate.compare(wanted, found, precision)


@dataclass(frozen=True, slots=True, eq=False)
class EmbedderGate:
    """Embeddings must keep their directions.

    Attributes:
        probes: batches (N, 3, H, W) float32 of crops of faces, of several people; the same crop may come again.
    """

    probes: Sequence[Tensor]

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
            f"least cosine {_floor(cosines[worst])} {_where(self.probes[worst].shape)}, at least {least}; {len(one)} "
            f"crops in {_shapes([probe.shape for probe in self.probes])}",
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a candidate agrees with the reference on a probe.

    Attributes:
        sure: how many faces the reference is sure of in each picture.
        iou: the least of a face that either side is sure of.
        shift: the furthest that a landmark moved, in faces.
        score: the most that a face's score differs.
        shape: of the probe, (N, 3, H, W).
    """

    sure: tuple[int, ...]
    iou: float
    shift: float
    score: float
    shape: tuple[int, ...]


class CrowdedError(Exception):
    """One of the two finds so many faces that comparing them would take minutes; says who, and where."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectorGate:
    """The same faces must be found, with the same boxes, landmarks and scores.

    Attributes:
        probes: batches (N, 3, H, W) float32 of pictures with faces.
        read: what the outputs mean.
        min_score: below it a face is none, 0..1.
        propose: as `read`, with all boxes of a face and not the most confident alone; None when there is one of each.
        max_overlap: of two proposed boxes with a greater intersection over union, `read` keeps one.
    """

    probes: Sequence[Tensor]
    read: ReadFaces
    min_score: float
    propose: ReadFaces | None = None
    max_overlap: float = 1.0

    def compare(self, wanted: Answers, found: Answers, precision: Precision) -> Verdict:
        """As `Gate.compare`; boxes and landmarks must agree as well whatever `precision` is."""
        try:
            agreements = self.agreements(wanted, found)
        except CrowdedError as error:
            return Verdict(False, str(error))
        blind = [one for one in agreements if not all(one.sure)]
        if blind:
            count = f"{len(blind)} of {len(agreements)} probes"
            return Verdict(False, f"the reference is sure of no face in {count}, first {_where(blind[0].shape)}")
        # NumPy's find the first NaN, if there is one.
        box = agreements[int(np.argmin([one.iou for one in agreements]))]
        landmark = agreements[int(np.argmax([one.shift for one in agreements]))]
        score = agreements[int(np.argmax([one.score for one in agreements]))]
        most = MOST_SCORE[precision]
        # Written so that a NaN does not pass.
        return Verdict(
            box.iou >= LEAST_IOU and landmark.shift <= MOST_SHIFT and score.score <= most,
            f"least IoU {_floor(box.iou)} {_where(box.shape)}, at least {LEAST_IOU}; landmarks within "
            f"{landmark.shift:.2g} of a face {_where(landmark.shape)}, at most {MOST_SHIFT}; scores within "
            f"{score.score:.2g} {_where(score.shape)}, at most {most}; "
            f"{sum(sum(one.sure) for one in agreements)} faces in {_shapes([one.shape for one in agreements])}",
        )

    def agreements(self, wanted: Answers, found: Answers) -> list[Agreement]:
        """How far the candidate agrees on each probe.

        Args:
            wanted: the reference's outputs for the probes.
            found: the candidate's.

        Raises:
            CrowdedError: either finds more than `MOST_FACES` in a picture.
        """
        return [self._agreement(probe.shape, *both) for probe, *both in zip(self.probes, wanted, found, strict=True)]

    def _agreement(self, shape: tuple[int, ...], wanted: Sequence[Tensor], found: Sequence[Tensor]) -> Agreement:
        ious: list[float] = []
        pairs: list[tuple[Faces, Faces]] = []
        sure: list[int] = []
        seen = zip(self._seen(wanted, shape, "the reference"), self._seen(found, shape, "the candidate"), strict=True)
        for (one, ones), (other, others) in seen:
            sure.append(int(self._sure(one).sum()))
            ious += (self._worst_iou(one, others), self._worst_iou(other, ones))
            # Both ways: what the candidate keeps, the reference may have among its tied ones alone.
            pairs += (_paired(one, others), _paired(other, ones)[::-1])
        # NumPy's, since Python's own lose a NaN.
        return Agreement(
            sure=tuple(sure),
            iou=float(np.min(ious)),
            shift=float(np.max([_worst_shift(*pair) for pair in pairs])),
            score=float(np.max([np.abs(a.scores - b.scores).max(initial=0.0) for a, b in pairs])),
            shape=shape,
        )

    def _seen(self, outputs: Sequence[Tensor], shape: tuple[int, ...], who: str) -> list[tuple[Faces, Faces]]:
        """Of each picture the faces, and these with what is tied with them.

        Raises:
            CrowdedError: there are too many.
        """
        faces = _countable(self.read(outputs, (shape[3], shape[2])), shape, who)
        if self.propose is None:
            return [(one, one) for one in faces]
        proposed = _countable(self.propose(outputs, (shape[3], shape[2])), shape, who)
        return [(one, _tied(one, all_of, self.max_overlap)) for one, all_of in zip(faces, proposed, strict=True)]

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


def _countable(pictures: list[Faces], shape: tuple[int, ...], who: str) -> list[Faces]:
    """The same, when they can be compared.

    Raises:
        CrowdedError: there are too many.
    """
    most = max(len(faces) for faces in pictures)
    if most > MOST_FACES:
        raise CrowdedError(f"{who} finds {most} faces in one picture {_where(shape)}, where {MOST_FACES} are too many")
    return pictures


def _tied(faces: Faces, proposed: Faces, max_overlap: float) -> Faces:
    """The faces, and of the proposed ones those that a little rounding would have put in place of one of them."""
    near = proposed.scores[:, None] >= faces.scores[None] - _TIE
    shared = overlaps(proposed.boxes, faces.boxes)
    # A face is among the proposed ones, overlaps itself fully, and stays even where nothing goes.
    tied = near & ((shared > max_overlap) | (shared >= 1))
    return proposed.take(np.asarray(tied.any(axis=1), np.bool_))


def _paired(faces: Faces, others: Faces) -> tuple[Faces, Faces]:
    """The faces whose boxes the others have too, and beside each the other one whose landmarks are most like its own.

    Tied boxes may lie so near each other that rounding would pair the wrong ones by their boxes.
    """
    if len(faces) == 0 or len(others) == 0:
        return faces.take(np.zeros(len(faces), np.bool_)), others.take(np.zeros(len(others), np.bool_))
    same = overlaps(faces.boxes, others.boxes) >= LEAST_IOU
    away = np.linalg.norm(faces.landmarks[:, None] - others.landmarks[None], axis=3).max(axis=2)
    partner = np.where(same, away, np.inf).argmin(axis=1)  # the first NaN, if there is one
    both = np.asarray(same.any(axis=1), np.bool_)
    return faces.take(both), others.take(partner[both])


def _worst_shift(wanted: Faces, found: Faces) -> float:
    """The furthest that a landmark moved between pairs, as a share of the longer side of the wanted face."""
    away = np.linalg.norm(wanted.landmarks - found.landmarks, axis=2).max(axis=1, initial=0.0)
    sides = (wanted.boxes[:, 2:] - wanted.boxes[:, :2]).max(axis=1, initial=_MIN_NORM)
    return float((away / sides).max(initial=0.0))


def _unit(vectors: Tensor) -> Tensor:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, _MIN_NORM), np.float32)


def _where(shape: tuple[int, ...]) -> str:
    """The shape of a probe in words, width before height."""
    length, _, height, width = shape
    return f"at {width}x{height} " + ("alone" if length == 1 else f"in a batch of {length}")


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    """How many shapes there are, in words."""
    count = len(set(shapes))
    return f"{count} shape{'s' * (count > 1)}"


def _floor(value: float) -> str:
    """Five digits, never rounded up to what the gate asks for."""
    return f"{np.floor(value * 1e5) / 1e5:.5f}"
