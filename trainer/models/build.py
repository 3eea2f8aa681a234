"""From a name to a network, and what is known about it beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from server.domain import ColourOrder, PixelSpec
from trainer.errors import RecipeError
from trainer.models.dlib_resnet import dlib_resnet
from trainer.models.facenet_inception import nn2, nn4
from trainer.models.inception_resnet_v1 import inception_resnet_v1
from trainer.models.layers import Normalisation
from trainer.models.small_inception import nns1, nns2
from trainer.models.small_resnet import resnet_s
from trainer.models.zeiler_fergus import nn1

MIN_DIMENSION, MAX_DIMENSION = 64, 512

_FACENET_PIXELS = PixelSpec(ColourOrder.RGB, (127.5, 127.5, 127.5), (128.0, 128.0, 128.0))
_DLIB_PIXELS = PixelSpec(ColourOrder.RGB, (122.782, 117.001, 104.298), (256.0, 256.0, 256.0))
_BOTH = (Normalisation.BATCH, Normalisation.LOCAL_RESPONSE)


@dataclass(frozen=True, slots=True)
class Published:
    """The totals that a network's authors state; None where they state none."""

    parameters: float | None
    multiply_adds: float | None


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of network.

    Attributes:
        name: as the recipes say it.
        height: of the input, pixels.
        width: of the input, pixels.
        pixels: how grey levels become the network's input.
        normalisations: the kinds it can be built with, the default first.
        layout: where its layers come from.
        published: totals for 128 dimensions with the authors' normalisation.
        make: builds it, given the embedding dimension and the normalisation.
    """

    name: str
    height: int
    width: int
    pixels: PixelSpec
    normalisations: tuple[Normalisation, ...]
    layout: str
    published: Published
    make: Callable[[int, Normalisation], nn.Sequential]


def _facenet(
    name: str,
    size: tuple[int, int],
    layout: str,
    published: Published,
    make: Callable[[int, Normalisation], nn.Sequential],
) -> Architecture:
    return Architecture(name, *size, _FACENET_PIXELS, _BOTH, layout, published, make)


def _residual(
    name: str, side: int, pixels: PixelSpec, layout: str, make: Callable[[int], nn.Sequential]
) -> Architecture:
    return Architecture(
        name,
        side,
        side,
        pixels,
        (Normalisation.BATCH,),
        layout,
        Published(None, None),
        lambda dimension, _: make(dimension),
    )


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        architecture.name: architecture
        for architecture in (
            _facenet("nn1", (220, 220), "paper, table 1", Published(140e6, 1.6e9), nn1),
            _facenet("nn2", (224, 224), "paper, table 2", Published(7.5e6, 1.6e9), nn2),
            _facenet("nn3", (160, 160), "paper: table 2 at this size", Published(7.5e6, None), nn2),
            _facenet(
                "nn4",
                (96, 96),
                "ours: table 2 without 5x5 in 4e, 5a, 5b",
                Published(6.6e6, 285e6),
                nn4,
            ),
            _facenet("nns1", (165, 165), "ours, to the paper's totals", Published(26e6, 220e6), nns1),
            _facenet("nns2", (140, 116), "ours, to the paper's totals", Published(4.3e6, 20e6), nns2),
            _residual("resnet-s", 112, _FACENET_PIXELS, "ours", resnet_s),
            _residual("dlib-resnet", 150, _DLIB_PIXELS, "dlib's", dlib_resnet),
            _residual("inception-resnet-v1", 160, _FACENET_PIXELS, "facenet-pytorch's", inception_resnet_v1),
        )
    }
)
"""Every network by its name. NN4's 6.6 M is the lower end of the paper's "6.6M-7.5M" for its Inception networks."""


def architecture(name: str) -> Architecture:
    """What is known about a network.

    Raises:
        RecipeError: when there is none of that name.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise RecipeError(
            "NETWORK_UNKNOWN", f"there is no network {name!r}; choose one of {', '.join(ARCHITECTURES)}"
        ) from None


def build(name: str, *, dimension: int = 128, normalisation: Normalisation | None = None) -> nn.Sequential:
    """A freshly initialised network: (N, 3, height, width) float32 -> (N, dimension) float32 of L2 norm 1.

    Its initial weights come from torch's global generator. Without a `normalisation` the network's default is taken.

    Raises:
        RecipeError: when the name, the dimension or the normalisation is none that can be built.
    """
    found = architecture(name)
    if not MIN_DIMENSION <= dimension <= MAX_DIMENSION:
        raise RecipeError(
            "DIMENSION_OUT_OF_RANGE",
            f"an embedding of {dimension} dimensions cannot be built; choose "
            f"{MIN_DIMENSION} to {MAX_DIMENSION} (128 in the paper)",
        )
    chosen = normalisation or found.normalisations[0]
    if chosen not in found.normalisations:
        allowed = ", ".join(kind.value for kind in found.normalisations)
        raise RecipeError("NORMALISATION_UNSUPPORTED", f"{name} has no {chosen.value} normalisation; it has {allowed}")
    return found.make(dimension, chosen)
