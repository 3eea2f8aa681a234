"""Networks as ONNX, with a free batch."""

from __future__ import annotations

import io
import warnings
from copy import deepcopy
from enum import Enum

import torch
from torch import Tensor, nn

from trainer.models.build import Architecture

INPUT, OUTPUT = "input", "embedding"
OPSET = 17


class WeightType(Enum):
    """The numbers in the file; FLOAT16 halves its size, and input and output remain float32."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class _Half(nn.Module):
    """A network of float16 with a float32 input; L2 pooling and the last normalisation compute in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.network(images.half())
        return embeddings


def to_onnx(network: nn.Module, architecture: Architecture, weights: WeightType) -> bytes:
    """The network as an ONNX file: `input` (N, 3, H, W) float32 -> `embedding` (N, D) float32, any N.

    The network itself is not changed. Batch normalisations are folded into their convolutions.
    """
    copy = deepcopy(network).cpu().eval()
    whole = _Half(copy) if weights is WeightType.FLOAT16 else copy
    example = torch.zeros(2, 3, architecture.height, architecture.width)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # torch's newer exporter needs a further package; this one warns of its age, and of every shape that it
        # takes for fixed, as height and width are; `parity` holds its result to the network
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            (example,),
            file,  # type: ignore[arg-type]
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()
