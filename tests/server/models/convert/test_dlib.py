"""dlib's file is read by shapes, rebuilt as ONNX, and held to a forward pass written down in torch."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import ModelError
from server.models.catalogue import DLIB_RESNET
from server.models.convert.dlib import BLOCKS, Convolution, Network, build, read


def written_integer(value: int) -> bytes:
    """As dlib's serialize.h: a control byte with the count of the bytes that follow, lowest first."""
    data = b""
    while value:
        data += bytes([value & 255])
        value >>= 8
    return bytes([len(data)]) + data


def written_tensor(values: np.ndarray, shape: tuple[int, ...]) -> bytes:
    header = b"".join(written_integer(size) for size in (2, *shape))
    return header + values.astype("<f4").tobytes()


def random_network(seed: int = 0) -> Network:
    generator = np.random.default_rng(seed)

    def layer(out: int, into: int, side: int) -> Convolution:
        filters = generator.normal(0, (into * side * side) ** -0.5, (out, into, side, side))
        vectors = generator.normal(0, 0.1, (3, out)) + np.array([[0], [1], [0]])
        return Convolution(*(part.astype(np.float32) for part in (filters, *vectors)))

    convolutions = [layer(32, 3, 7)]
    channels = 32
    for width, _ in BLOCKS:
        convolutions += [layer(width, channels, 3), layer(width, width, 3)]
        channels = width
    return Network(tuple(convolutions), generator.normal(0, 0.1, (256, 128)).astype(np.float32))


def written(network: Network) -> bytes:
    """dlib's file: the tensors between descriptions of layers."""
    parts = [b"\x01\x01\x01\rloss_metric_2" + bytes(range(40))]
    for number, layer in enumerate(network.convolutions):
        flat = np.concatenate([layer.filters.ravel(), layer.biases])
        parts += [b"con_4", written_tensor(flat, (flat.size, 1, 1, 1)), b"\x01\x02 affine_"]
        both = np.concatenate([layer.gamma, layer.beta])
        parts += [written_tensor(both, (both.size, 1, 1, 1)), b"\x02\x01" * (number % 7)]
    parts += [b"fc_2", written_tensor(network.embedding, (256, 128, 1, 1)), b"\0" * 50]
    return b"".join(parts)


@functools.cache
def valid_file() -> bytes:
    return written(random_network())


def test_every_weight_is_found_between_the_descriptions():
    network = random_network()
    found = read(valid_file())
    np.testing.assert_array_equal(found.embedding, network.embedding)
    assert len(found.convolutions) == 29
    for got, want in zip(found.convolutions, network.convolutions, strict=True):
        for part in ("filters", "biases", "gamma", "beta"):
            np.testing.assert_array_equal(getattr(got, part), getattr(want, part))


@given(st.binary(max_size=4000))
def test_random_bytes_are_refused_with_an_error_of_ours(data):
    with pytest.raises(ModelError) as caught:
        read(data)
    assert caught.value.reason == "MODEL_UNREADABLE"


@given(st.integers(0, 100_000))
@settings(max_examples=50, deadline=None)
def test_a_file_that_is_cut_off_is_refused(length):
    with pytest.raises(ModelError) as caught:
        read(valid_file()[:length])
    assert caught.value.reason == "MODEL_UNREADABLE"


@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 255)), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_a_file_with_changed_bytes_is_read_or_refused_but_never_crashes(changes):
    data = bytearray(valid_file()[:60_000])
    for place, value in changes:
        data[place % len(data)] = value
    with pytest.raises(ModelError):
        read(bytes(data))


def test_weights_that_are_not_finite_are_refused():
    network = random_network()
    network.convolutions[3].gamma[5] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        read(written(network))


def torch_forward(network: Network, crops: np.ndarray) -> np.ndarray:
    """dnn_face_recognition_ex.cpp, layer by layer, the affine layers apart."""
    import torch
    from torch.nn import functional as nn

    def convolve(x, layer: Convolution, stride: int, padding: int):
        filters, biases, gamma, beta = (
            torch.from_numpy(part) for part in (layer.filters, layer.biases, layer.gamma, layer.beta)
        )
        x = nn.conv2d(x, filters, biases, stride=stride, padding=padding)
        return x * gamma[:, None, None] + beta[:, None, None]

    def add(one, other):
        """dlib's add_prev: a tensor as large as the larger in every dimension, zeros where one has nothing."""
        size = [max(a, b) for a, b in zip(one.shape, other.shape, strict=True)]
        total = torch.zeros(size)
        for x in (one, other):
            total[:, : x.shape[1], : x.shape[2], : x.shape[3]] += x
        return total

    layers = iter(network.convolutions)
    x = convolve(torch.from_numpy(crops), next(layers), 2, 0).relu()
    x = nn.max_pool2d(x, 3, 2)
    for _, down in BLOCKS:
        inner = convolve(x, next(layers), 2 if down else 1, 0 if down else 1).relu()
        inner = convolve(inner, next(layers), 1, 1)
        x = add(inner, nn.avg_pool2d(x, 2, 2) if down else x).relu()
    return (x.mean((2, 3)) @ torch.from_numpy(network.embedding)).numpy()


def onnx_forward(network: Network, crops: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(build(network), providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"data": crops})[0]


def test_the_rebuilt_network_computes_what_dlibs_layers_do():
    network = random_network(seed=3)
    crops = np.random.default_rng(0).normal(0, 0.3, (3, 3, 150, 150)).astype(np.float32)
    wanted = torch_forward(network, crops)
    np.testing.assert_allclose(onnx_forward(network, crops), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.models
def test_the_default_weights_compute_what_dlibs_layers_do(original):
    network = read(original(DLIB_RESNET))
    crops = np.random.default_rng(0).normal(0, 0.3, (2, 3, 150, 150)).astype(np.float32)
    np.testing.assert_allclose(onnx_forward(network, crops), torch_forward(network, crops), rtol=0, atol=1e-5)


@pytest.mark.models
def test_the_default_network_has_dlibs_number_of_parameters(original):
    network = read(original(DLIB_RESNET))
    layers = sum(sum(getattr(layer, part).size for part in Convolution.__slots__) for layer in network.convolutions)
    assert (layers, network.embedding.size) == (5_581_824, 32_768)


def test_the_same_weights_give_the_same_bytes():
    network = random_network()
    assert build(network) == build(network)
    onnx.checker.check_model(onnx.load_model_from_string(build(network)))
