"""The GPU benchmark runs to its end on a fake GPU, and says so where there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.store import EngineStore
from server.inference.gpu.fake import FakeBuilder, fake_device
from server.inference.gpu.runtime import Gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import load_manifest, verified_weights
from tests.benchmarks.gpu.flops import multiply_adds
from tests.benchmarks.gpu.measure import throughput
from tests.benchmarks.gpu.run import Plan, run
from tests.gpu import gpu_is_there
from tests.server_process import MODELS, PROJECT

WORKLOAD = Workload(max_crops=4, max_frames=4)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def gpu(request, tmp_path):
    if request.param == "real":
        return Gpu.open(tmp_path / "engines", WORKLOAD)
    return Gpu(EngineManager(FakeBuilder(), EngineStore(tmp_path / "engines"), WORKLOAD), GpuWorker(fake_device()))


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_sections_are_written_down(tmp_path, gpu):
    name = gpu.worker.device_name
    plan = Plan(
        models_dir=MODELS,
        models=("yunet/2023mar", "dlib-resnet/v1"),
        batches=(1, 3),
        cameras=(1,),
        seconds=0.05,
        minutes=0.005,
        side=64,
    )
    code = run(gpu, plan, tmp_path / "out", problems=[])
    report = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert (code, report["problems"]) == (0, [])
    assert report["facts"]["gpu"] == name
    assert {row["result"] for row in report["parity"]} == {"passed"}
    assert {(row["model"], row["batch"]) for row in report["speeds"]} == {
        (model, batch) for model in plan.models for batch in plan.batches
    }
    assert {row["input made on"].partition(",")[0] for row in report["preparing"]} == {"CPU", "GPU"}
    assert all(row["grey levels from the CPU"] <= 1 for row in report["preparing"])
    assert all(row["faces a frame"] > 0 for row in report["pipeline"])
    assert len(report["memory"]) == 12
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert "| dlib-resnet/v1 | f16 | 3 |" in page
    assert page.endswith("None.\n")


@pytest.mark.models
def test_what_there_is_no_time_for_is_named_and_the_rest_written_down(tmp_path):
    manager = EngineManager(FakeBuilder(), EngineStore(tmp_path / "engines"), Workload(max_crops=4, max_frames=4))
    plan = Plan(MODELS, ("yunet/2023mar",), (1,), (1,), seconds=0.01, minutes=0.001, side=64, budget_s=0.0)
    assert run(Gpu(manager, GpuWorker(fake_device())), plan, tmp_path / "out", problems=[]) == 0
    report = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert report["left_out"][:2] == ["facts", "parity"]
    assert "Left out for want of time" in (tmp_path / "out" / "gpu.md").read_text()


@pytest.mark.skipif(gpu_is_there(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_with_a_code_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.gpu"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith("no GPU to measure: ")
    assert "install" in done.stderr


def test_multiply_adds_are_counted_as_by_hand():
    weight = np.zeros((8, 3, 3, 3), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(np.zeros((8, 5), np.float32), "m")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    by_hand = 8 * 8 * 8 * (3 * 3 * 3) + 8 * 5
    assert multiply_adds(model.SerializeToString(), (1, 3, 16, 16)) == by_hand
    assert multiply_adds(model.SerializeToString(), (4, 3, 16, 16)) == 4 * by_hand


@pytest.mark.models
@pytest.mark.parametrize(("model", "millions"), [("sface/2021dec", 569), ("dlib-resnet/v1", 279)])
def test_multiply_adds_of_the_default_embedders(model, millions):
    manifest = load_manifest(MODELS / model)
    shape = (1, 3, manifest.input.height, manifest.input.width)
    found = multiply_adds(verified_weights(MODELS / model, manifest), shape)
    assert found / 1e6 == pytest.approx(millions, rel=0.05)


def test_throughput_counts_every_picture_of_every_caller():
    counted = []
    per_s = throughput(lambda: counted.append(1), 8, seconds=0.05, callers=3)
    assert per_s > 0
    assert len(counted) >= 3
