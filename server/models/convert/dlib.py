"""dlib's face recognition network, rebuilt from dlib's own file as ONNX.

The file lists the layers from the input on, and among them the weights: per convolution filters then biases, per
affine layer gamma then beta, last the fully connected layer. The architecture is that of dlib's
dnn_face_recognition_ex.cpp: a ResNet of 29 convolutions for crops of 150x150.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from server.errors import ModelError
from server.models.convert.graph import PRODUCER, serialise

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Weights = NDArray[np.float32]

SIDE = 150
DIMENSION = 128
STEM = 32
BLOCKS = (
    *((32, False),) * 3,
    (64, True),
    *((64, False),) * 3,
    (128, True),
    *((128, False),) * 2,
    (256, True),
    *((256, False),) * 2,
    (256, True),
)
"""The residual blocks from the input on: channels, and whether the block halves the picture."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with the affine layer behind it.

    Attributes:
        filters: (out, in, k, k) float32.
        biases: (out,) float32.
        gamma: (out,) float32, the affine layer's factor.
        beta: (out,) float32, the affine layer's summand.
    """

    filters: Weights
    biases: Weights
    gamma: Weights
    beta: Weights

    def folded(self) -> tuple[Weights, Weights]:
        """Filters and biases of the one convolution that does the same."""
        return self.filters * self.gamma[:, None, None, None], self.biases * self.gamma + self.beta


@dataclass(frozen=True, slots=True)
class Network:
    """The weights: stem, two convolutions for each of BLOCKS, and the embedding matrix (256, 128)."""

    convolutions: tuple[Convolution, ...]
    embedding: Weights


def convert_dlib(data: bytes) -> bytes:
    """The network in dlib's file as ONNX: `data` (N, 3, 150, 150) -> `embedding` (N, 128)."""
    return build(read(data))


def read(data: bytes) -> Network:
    """The weights in dlib's file.

    Raises:
        ModelError: MODEL_UNREADABLE when the file is not that network.
    """
    reader = _Reader(data)
    shapes = [(STEM, 3, 7)]
    channels = STEM
    for width, _ in BLOCKS:
        shapes += [(width, channels, 3), (width, width, 3)]
        channels = width
    convolutions = tuple(_read_convolution(reader, *shape) for shape in shapes)
    embedding = reader.tensor((channels, DIMENSION, 1, 1)).reshape(channels, DIMENSION)
    return Network(convolutions, embedding)


def _read_convolution(reader: _Reader, out: int, into: int, side: int) -> Convolution:
    size = out * into * side * side
    flat = reader.tensor((size + out, 1, 1, 1))
    affine = reader.tensor((2 * out, 1, 1, 1))
    return Convolution(flat[:size].reshape(out, into, side, side), flat[size:], affine[:out], affine[out:])


class _Reader:
    """Finds dlib's tensors, one after the other, by the header that a tensor of a known shape must have."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def tensor(self, shape: tuple[int, int, int, int]) -> Weights:
        """The next tensor of this shape (samples, k, nr, nc), flat."""
        header = _integer(2) + b"".join(_integer(size) for size in shape)
        found = self._data.find(header, self._position)
        start = found + len(header)
        end = start + 4 * int(np.prod(shape))
        if found < 0 or end > len(self._data):
            raise ModelError(
                "MODEL_UNREADABLE",
                f"no tensor of shape {shape} from byte {self._position} of {len(self._data)} on: this is not dlib's "
                "dlib_face_recognition_resnet_model_v1.dat; fetch the package again",
            )
        self._position = end
        values = np.frombuffer(self._data[start:end], "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise ModelError(
                "MODEL_UNREADABLE",
                f"the tensor at byte {start} holds values that are not finite; fetch the package again",
            )
        return values


def _integer(value: int) -> bytes:
    """A positive integer as dlib writes it: a byte that says how many, then the little-endian bytes."""
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "little")


class _Graph:
    """An ONNX graph that grows; tensors are named by their number."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: list[int]) -> str:
        """Adds a node and gives the name of its output."""
        from onnx import helper

        name = output or f"t{len(self.nodes)}"
        node = helper.make_node(operation, list(inputs), [name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def store(self, array: NDArray[np.generic]) -> str:
        """Stores weights and gives their name."""
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def convolve(self, tensor: str, layer: Convolution, *, stride: int, padding: int) -> str:
        """Adds a convolution with its affine layer folded in."""
        filters, biases = layer.folded()
        return self.add(
            "Conv",
            tensor,
            self.store(filters),
            self.store(biases),
            kernel_shape=[filters.shape[2]] * 2,
            strides=[stride] * 2,
            pads=[padding] * 4,
        )

    def grow(self, tensor: str, *, channels: int, pixels: int) -> str:
        """Adds zeros behind the last channel, row and column."""
        if not channels and not pixels:
            return tensor
        pads = np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)
        return self.add("Pad", tensor, self.store(pads))


def build(network: Network) -> bytes:
    """The network as the bytes of an ONNX file."""
    from onnx import TensorProto, helper

    graph = _Graph()
    layers = iter(network.convolutions)
    tensor = graph.add("Relu", graph.convolve("data", next(layers), stride=2, padding=0))
    tensor = graph.add("MaxPool", tensor, kernel_shape=[3, 3], strides=[2, 2])
    side = _halved(_halved(SIDE, 7), 3)
    channels = STEM
    for width, down in BLOCKS:
        pair = (next(layers), next(layers))
        tensor, side = _block(graph, tensor, pair, side, width - channels if down else None)
        channels = width
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", tensor))
    graph.add("MatMul", pooled, graph.store(network.embedding), output="embedding")
    proto = helper.make_graph(
        graph.nodes,
        "dlib_resnet",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIMENSION])],
        graph.weights,
    )
    opset = helper.make_opsetid("", 17)
    return serialise(helper.make_model(proto, producer_name=PRODUCER, opset_imports=[opset], ir_version=8))


def _halved(side: int, kernel: int) -> int:
    """Side of a picture after a stride of 2 without padding."""
    return (side - kernel) // 2 + 1


def _block(
    graph: _Graph, tensor: str, pair: tuple[Convolution, Convolution], side: int, added: int | None
) -> tuple[str, int]:
    """Adds a residual block and gives its output and that one's side.

    `added` is None for a block that keeps its size, else how many channels a halving block adds. dlib sums tensors
    of different sizes by filling the smaller up with zeros.
    """
    down = added is not None
    inner = graph.add("Relu", graph.convolve(tensor, pair[0], stride=2 if down else 1, padding=0 if down else 1))
    inner = graph.convolve(inner, pair[1], stride=1, padding=1)
    if added is not None:
        skip_side, inner_side = _halved(side, 2), _halved(side, 3)
        side = max(skip_side, inner_side)
        skip = graph.add("AveragePool", tensor, kernel_shape=[2, 2], strides=[2, 2])
        tensor = graph.grow(skip, channels=added, pixels=side - skip_side)
        inner = graph.grow(inner, channels=0, pixels=side - inner_side)
    return graph.add("Relu", graph.add("Add", inner, tensor)), side
