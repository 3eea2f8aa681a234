"""What must be known of a network to use it: its input, its output, and what its distances mean."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ColourOrder(Enum):
    """Order of the three channels that a network wants."""

    RGB = "RGB"
    BGR = "BGR"


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """How pixels become a network's input: (value - mean) / std per channel.

    Attributes:
        colour: order of the channels; `mean` and `std` are in this order.
        mean: three values in grey levels 0..255.
        std: three values in grey levels, none of them 0.
    """

    colour: ColourOrder
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Decoding(Enum):
    """How a detector's output tensors become faces; it fixes their order.

    YUNET: cls_8, cls_16, cls_32, obj_8, obj_16, obj_32, bbox_8, bbox_16, bbox_32, kps_8, kps_16, kps_32, each
    (N, cells, 1 | 1 | 4 | 10) with the cells of the stride row by row.
    CENTERFACE: heat map (N, 1, h, w), log-scale (N, 2, h, w), offset (N, 2, h, w), landmarks (N, 10, h, w), where h
    and w are a quarter of the input's.
    """

    YUNET = "yunet"
    CENTERFACE = "centerface"


@dataclass(frozen=True, slots=True)
class AlignmentTemplate:
    """Where the five landmarks lie in an aligned crop.

    Attributes:
        width: of the crop, pixels.
        height: of the crop, pixels.
        points: five (x, y) in pixels of the crop, in the order of `Faces.landmarks`.
    """

    width: int
    height: int
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.points) != 5 or any(len(point) != 2 for point in self.points):
            raise ValueError(f"an alignment template has five (x, y) points, not {self.points}")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A distance threshold and what it was measured to do.

    Attributes:
        far: false accept rate of one comparison of two different people, in (0, 1).
        distance: the threshold, squared L2; a comparison is accepted when its distance is at most this.
        val: share of comparisons of one person that are accepted (validation rate), 0..1.
    """

    far: float
    distance: float
    val: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How distances become probabilities; `server.identity.confidence` has the formula.

    Attributes:
        intercept: log-odds at distance 0 among one template.
        distance: log-odds per unit of squared L2; negative.
        log_templates: log-odds per unit of the natural logarithm of the number of templates; at most 0.
    """

    intercept: float
    distance: float
    log_templates: float
