"""How long things take on a GPU: latency of one caller, throughput of several, copies, products, memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from server.inference.backend import Backend, Tensor
from server.inference.engines.builder import EngineBuilder
from server.inference.engines.profiles import Shape, ShapeProfile
from server.inference.engines.progress import Progress
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.device import Device
from server.inference.gpu.worker import GpuWorker

CALLERS = 4
SIDE = 4096
_MOST_IN_A_ROW = 32
"""Runs that are put into a stream before anybody waits for it."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast batches of one length are answered, copies to and from the device included.

    Attributes:
        batch: pictures in each.
        p50_ms: of the latency of one caller.
        p95_ms: of the latency of one caller.
        per_s: pictures a second with several callers.
    """

    batch: int
    p50_ms: float
    p95_ms: float
    per_s: float


def speed(backend: Backend, batch: Tensor, *, seconds: float) -> Speed:
    """Latency, then throughput, each over so many seconds after a warm-up."""
    for _ in range(3):
        backend.run(batch)
    latencies = []
    end = time.perf_counter() + seconds
    while not latencies or time.perf_counter() < end:
        began = time.perf_counter()
        backend.run(batch)
        latencies.append(1000 * (time.perf_counter() - began))
    p50, p95 = np.percentile(latencies, [50, 95])
    return Speed(
        len(batch), float(p50), float(p95), throughput(lambda: backend.run(batch), len(batch), seconds=seconds)
    )


def throughput(work: Callable[[], object], pictures: int, *, seconds: float, callers: int = CALLERS) -> float:
    """Pictures a second when several threads do the same work over and over."""
    end = time.perf_counter() + seconds

    def caller(_number: int) -> int:
        done = 0
        while not done or time.perf_counter() < end:
            work()
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        runs = sum(pool.map(caller, range(callers)))
    return runs * pictures / (time.perf_counter() - began)


def kernels_alone(worker: GpuWorker, backend: GpuBackend, shape: Shape, *, seconds: float) -> float:
    """Pictures a second of the engine alone: input and outputs stay on the device, one batch after another."""
    network = backend._network

    def compute(device: Device) -> float:
        profile = next(index for index, one in enumerate(network.profiles) if one.takes(shape))
        stream = device.stream()
        context = network.engine.context(profile, shape, stream)
        sides = (shape, *context.output_shapes)
        source, *outputs = (device.memory(4 * math.prod(one)) for one in sides)
        scratch = device.memory(context.scratch_bytes)
        context.bind(source, outputs, scratch)
        context.enqueue(stream)
        stream.synchronise()
        graph = device.capture(stream, lambda: context.enqueue(stream)) if context.capturable else None
        runs, burst, began = 0, 1, time.perf_counter()
        while not runs or time.perf_counter() < began + seconds:
            for _ in range(burst):
                if graph is None:
                    context.enqueue(stream)
                else:
                    graph.launch(stream)
            stream.synchronise()
            runs, burst = runs + burst, min(_MOST_IN_A_ROW, 2 * burst)
        spent = time.perf_counter() - began
        if graph is not None:
            graph.free()
        for held in (source, *outputs, scratch, stream):
            held.free()
        return runs * shape[0] / spent

    return worker.do(compute)


def copy_ceiling(worker: GpuWorker, *, nbytes: int = 2**26, repeats: int = 10) -> float:
    """Gigabytes a second from page-locked memory to the device: nothing can be fed faster."""

    def copy(device: Device) -> float:
        stream, host, memory = device.stream(), device.pinned(nbytes), device.memory(nbytes)
        device.copy_in(memory, host, nbytes, stream)
        stream.synchronise()
        began = time.perf_counter()
        for _ in range(repeats):
            device.copy_in(memory, host, nbytes, stream)
        stream.synchronise()
        spent = time.perf_counter() - began
        for held in (host, memory, stream):
            held.free()
        return repeats * nbytes / spent / 1e9

    return worker.do(copy)


def matrix_ceiling(
    worker: GpuWorker, builder: EngineBuilder, *, half: bool, side: int = SIDE, repeats: int = 20
) -> float:
    """Tera multiply-adds a second of one large matrix product, by the same library: nothing computes faster."""
    network = _product(side, half=half)
    shape = (1, 3, 1, 1)
    plan = builder.build(
        network, (ShapeProfile(shape, shape, shape),), builder.target_for(worker.architecture), Progress()
    )

    def multiply(device: Device) -> float:
        engine = device.load(plan)
        stream = device.stream()
        context = engine.context(0, shape, stream)
        source, output = device.memory(256), device.memory(256)
        scratch = device.memory(context.scratch_bytes)
        context.bind(source, [output], scratch)
        for _ in range(3):
            context.enqueue(stream)
        stream.synchronise()
        began = time.perf_counter()
        for _ in range(repeats):
            context.enqueue(stream)
        stream.synchronise()
        spent = time.perf_counter() - began
        del context  # before its engine
        for held in (source, output, scratch, stream, engine):
            held.free()
        return repeats * side**3 / spent / 1e12

    return worker.do(multiply)


def _product(side: int, *, half: bool) -> bytes:
    """A network (1, 3, 1, 1) -> (1, 1): the sum of the product of two matrices, one of them scaled by the input.

    The scale keeps the builder from computing the product once and for all.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    dtype = np.float16 if half else np.float32
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["scale"], to=kind),
        helper.make_node("Mul", ["left", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "right"], ["product"]),
        helper.make_node("Cast", ["product"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["wide", "sides"], ["most"], keepdims=1),
        helper.make_node("Reshape", ["most", "shape"], ["y"]),
    ]
    small = np.random.default_rng(0).normal(0, 1 / side, (2, side, side)).astype(dtype)
    stored = {
        "left": small[0],
        "right": small[1],
        "axes": np.asarray([0, 1, 2, 3], np.int64),
        "sides": np.asarray([0, 1], np.int64),
        "shape": np.asarray([1, 1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())
