"""The sections of the GPU benchmark, in order, and what they write."""

from __future__ import annotations

import importlib.metadata
import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from server.errors import FacestreamError
from server.inference.backend import Backend, Tensor
from server.inference.combine import CombiningBackend
from server.inference.engines.progress import Progress
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.runtime import Gpu
from server.inference.load import Runtime
from server.inference.manifest import Kind, Manifest, load_manifest, verified_weights
from server.inference.precision import Precision
from server.models.engines import read_crops
from server.models.probes import Role, job_of
from server.models.verify import probe
from server.pipeline.gpu import GpuChoice
from server.pipeline.kernel_gate import judge_kernels
from server.pipeline.load import ModelChoice, load_vision
from tests.benchmarks.gpu.cameras import frames_per_s
from tests.benchmarks.gpu.flops import multiply_adds
from tests.benchmarks.gpu.measure import copy_ceiling, kernels_alone, matrix_ceiling, speed, throughput
from tests.benchmarks.gpu.preparing import preparing
from tests.benchmarks.gpu.yardsticks import onnxruntime_cuda, torch_eager
from tests.benchmarks.report import machine

PRECISIONS = (Precision.FLOAT16, Precision.FLOAT32)
"""The one that servers should use comes first."""
PARITY_SHARE = 0.5
"""Of the budget that building engines and comparing them may take: a library may build for minutes."""
FRAME = (384, 640)
"""Height and width of a detector's input: a 720p frame after letterboxing."""
YARDSTICK_NETWORK, YARDSTICK_BATCH = "dlib-resnet", 64
TORCH_BAR, BEST_BAR = 3.0, 1.2
GROWTH_BAR = 64 * 2**20
"""Bytes by which the device's free memory may shrink while batches of all lengths come and go."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        models_dir: folder of NAME/VERSION folders.
        models: NAME/VERSION of each.
        batches: lengths.
        cameras: numbers of cameras.
        seconds: of each measurement.
        minutes: for which the memory is watched.
        side: of the matrices whose product is a ceiling.
        budget_s: nothing is begun later than this; None for no limit.
        calibration: folder of aligned crops to measure int8's ranges on; None to leave int8 out.
        tests: runs the contract suite within so many seconds and answers what is wrong; None to leave it out.
    """

    models_dir: Path
    models: tuple[str, ...]
    batches: tuple[int, ...]
    cameras: tuple[int, ...]
    seconds: float
    minutes: float
    side: int = 4096
    budget_s: float | None = None
    calibration: Path | None = None
    tests: Callable[[float | None], str] | None = None


@dataclass(slots=True)
class Report:
    """What was seen.

    Attributes:
        facts: of the machine.
        parity: a row for each model, role and precision.
        speeds: a row for each model, precision and batch.
        preparing: a row for each way to make a detector's input.
        yardsticks: a row for each way to run one network.
        pipeline: a row for each number of cameras.
        memory: a row for each look at the device's memory.
        problems: what failed or missed its bar, in words.
        left_out: what there was no time for.
        out: folder that it is written to.
        began: monotonic seconds.
        budget_s: nothing is begun later than so many seconds after that.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    preparing: list[dict[str, Any]] = field(default_factory=list)
    yardsticks: list[dict[str, Any]] = field(default_factory=list)
    pipeline: list[dict[str, Any]] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    out: Path = Path("benchmarks-out")
    began: float = field(default_factory=time.monotonic)
    budget_s: float = math.inf

    def add(self, table: list[dict[str, Any]], row: dict[str, Any]) -> None:
        """A row of one of the tables, written down at once."""
        table.append(row)
        _write(self, self.out)

    def time_for(self, what: str, *, share: float = 1.0) -> bool:
        """Whether there is time to begin this, within a share of the budget; noted when there isn't."""
        if time.monotonic() < self.began + share * self.budget_s:
            return True
        self.left_out.append(what)
        return False

    def left_s(self) -> float | None:
        """Seconds left; None without a limit."""
        left = self.began + self.budget_s - time.monotonic()
        return None if math.isinf(left) else max(0.0, left)


def run(gpu: Gpu, plan: Plan, out: Path, *, problems: list[str]) -> int:
    """Measures everything that can be, writes it down, and answers the exit code; the GPU is closed at the end."""
    report = Report(problems=problems, out=out, budget_s=math.inf if plan.budget_s is None else plan.budget_s)
    _write(report, out)
    # What matters most comes first.
    sections: list[Callable[[Gpu, Plan, Report], None]] = [
        _facts, _parity, _tests, _preparing, _pipeline, _yardsticks, _speeds_of_all, _memory
    ]  # fmt: skip
    for section in sections:
        if not report.time_for(section.__name__.strip("_")):
            continue
        sys.stderr.write(f"{section.__name__.strip('_')}\n")
        try:
            section(gpu, plan, report)
        except FacestreamError as error:
            report.problems.append(f"{section.__name__.strip('_')}: {error.message}")
        except Exception as error:  # noqa: BLE001 - the other sections are worth having
            report.problems.append(f"{section.__name__.strip('_')}: {error!r}")
            traceback.print_exc()
        _write(report, out)
    _write(report, out)
    gpu.close()
    sys.stdout.write((out / "gpu.md").read_text())
    return 1 if report.problems else 0


def _facts(gpu: Gpu, plan: Plan, report: Report) -> None:
    builder = gpu.manager.builder
    report.facts = {
        "gpu": gpu.worker.device_name,
        "architecture": gpu.worker.architecture,
        "library": f"{builder.name} {builder.version}",
        "engines for": builder.target_for(gpu.worker.architecture),
        "machine": machine(),
        "installed": ", ".join(_installed()),
        "free MiB at the start": gpu.worker.free_bytes() // 2**20,
        "copy ceiling, GB/s": copy_ceiling(gpu.worker),
    }
    for half, name in ((False, "float32"), (True, "float16")):
        ceiling = matrix_ceiling(gpu.worker, builder, half=half, side=plan.side)
        report.facts[f"matrix ceiling in {name}, tera multiply-adds/s"] = ceiling


def _installed() -> Iterator[str]:
    """Libraries that matter here, with their versions."""
    engines = ("tensorrt-cu13", "tensorrt-cu12", "tensorrt-rtx-cu13")
    for name in (*engines, "pycuda", "cuda-bindings", "onnxruntime-gpu", "onnxruntime", "torch"):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _tests(gpu: Gpu, plan: Plan, report: Report) -> None:
    del gpu
    if plan.tests is not None:
        wrong = plan.tests(report.left_s())
        report.facts["contract suite"] = wrong or "passed"
        report.problems += [wrong] if wrong else []


def _models(plan: Plan) -> Iterator[tuple[Manifest, bytes, Precision]]:
    for name in plan.models:
        manifest = load_manifest(plan.models_dir / name)
        weights = verified_weights(plan.models_dir / name, manifest)
        int8 = plan.calibration is not None and manifest.kind is Kind.EMBEDDER
        for precision in (*PRECISIONS, *([Precision.INT8] if int8 else [])):
            yield manifest, weights, precision


def _parity(gpu: Gpu, plan: Plan, report: Report) -> None:
    for manifest, weights, precision in _models(plan):
        if precision is Precision.INT8:
            _build_int8(gpu, plan, manifest, weights)
        roles = (Role.EMBEDDER,) if manifest.kind is Kind.EMBEDDER else (Role.DETECTOR, Role.LANDMARKER)
        for role in roles:
            if report.time_for(f"parity of {manifest.model} in {precision.value} as {role.value}", share=PARITY_SHARE):
                with _on_gpu(gpu, (manifest, weights, precision), role, report):
                    pass


def _build_int8(gpu: Gpu, plan: Plan, manifest: Manifest, weights: bytes) -> None:
    """Puts the engine into the cache, since only its building needs crops."""
    assert plan.calibration is not None
    key = gpu.manager.key(manifest, Precision.INT8, gpu.worker.architecture)
    crops = read_crops(plan.calibration, manifest)
    gpu.manager.obtain(manifest, weights, key, calibration=crops, progress=Progress())


def _speeds_of_all(gpu: Gpu, plan: Plan, report: Report) -> None:
    for manifest, weights, precision in _models(plan):
        if report.time_for(f"speed of {manifest.model} in {precision.value}"):
            backend = gpu.unjudged(manifest, weights, gpu.manager.key(manifest, precision, gpu.worker.architecture))
            _speeds(gpu, backend, (manifest, weights, precision), plan, report)
            backend.close()


def _preparing(gpu: Gpu, plan: Plan, report: Report) -> None:
    if not gpu.worker.makes_batches:
        report.problems.append("the GPU's kernels do not compile, so pictures are prepared on the CPU")
        return
    verdict = judge_kernels(gpu.worker.make)
    report.facts["kernels"] = verdict.finding
    if not verdict.passed:
        report.problems.append(f"the GPU's kernels: {verdict.finding}")
    name = _first(plan, Kind.DETECTOR)
    if name is None:
        report.left_out.append("preparing: no detector is among the models")
        return
    manifest = load_manifest(plan.models_dir / name)
    weights = verified_weights(plan.models_dir / name, manifest)
    key = gpu.manager.key(manifest, Precision.FLOAT16, gpu.worker.architecture)
    backend = gpu.unjudged(manifest, weights, key)
    combining = CombiningBackend(backend, max_batch=16, lanes=4, in_buckets=False)
    for row in preparing(gpu.worker, combining, manifest, seconds=plan.seconds):
        report.add(
            report.preparing,
            {
                "input made on": row.on,
                "frames/s": round(row.frames_per_s, 1),
                "bytes up a frame": row.bytes_up,
                "grey levels from the CPU": row.levels,
            },
        )
    backend.close()


@contextmanager
def _on_gpu(gpu: Gpu, model: tuple[Manifest, bytes, Precision], role: Role, report: Report) -> Iterator[Backend | None]:
    """The model on the GPU when it passes the gate; its row in the table either way."""
    manifest, weights, precision = model
    row = {"model": manifest.model, "role": role.value, "precision": precision.value}
    gate = job_of(manifest, role, detect_side=640, lanes=1).gate
    began = time.perf_counter()
    try:
        backend, finding = gpu.backend(manifest, weights, precision, gate=gate, progress=Progress())
    except FacestreamError as error:
        report.add(report.parity, {**row, "result": error.reason, "finding": error.message})
        report.problems.append(f"{manifest.model} in {precision.value}: {error.message}")
        yield None
        return
    ready = round(time.perf_counter() - began, 2)
    report.add(report.parity, {**row, "result": "passed", "finding": finding, "ready after, s": ready})
    try:
        yield backend
    finally:
        backend.close()


def _speeds(gpu: Gpu, backend: Backend, model: tuple[Manifest, bytes, Precision], plan: Plan, report: Report) -> None:
    manifest, weights, precision = model
    assert isinstance(backend, GpuBackend)
    for count in plan.batches:
        if not report.time_for(f"speed of {manifest.model} in {precision.value}, batch {count}"):
            return
        batch = _batch(manifest, count)
        found = speed(backend, batch, seconds=plan.seconds)
        work = multiply_adds(weights, (1, *batch.shape[1:]))
        copied = found.per_s * batch[0].nbytes / 1e9
        # No ceiling is measured in int8: its share is of float16's.
        kind = "float32" if precision is Precision.FLOAT32 else "float16"
        ceiling = report.facts.get(f"matrix ceiling in {kind}, tera multiply-adds/s", math.nan)
        fits = count <= max(
            profile.max_batch for profile in backend._network.profiles if profile.takes((1, *batch.shape[1:]))
        )
        alone = kernels_alone(gpu.worker, backend, batch.shape, seconds=plan.seconds) if fits else math.nan
        report.add(
            report.speeds,
            {
                "model": manifest.model,
                "precision": precision.value,
                **{name: round(value, 3) for name, value in asdict(found).items()},
                "of the matrix ceiling": f"{found.per_s * work / 1e12 / ceiling:.1%}",
                "kernels alone, per s": round(alone, 1) if fits else "batch goes in parts",
                "kernels of the matrix ceiling": f"{alone * work / 1e12 / ceiling:.1%}" if fits else "",
                "of the copy ceiling": f"{copied / report.facts.get('copy ceiling, GB/s', math.nan):.1%}",
            },
        )


def _batch(manifest: Manifest, count: int) -> Tensor:
    height, width = manifest.input.height or FRAME[0], manifest.input.width or FRAME[1]
    picture = np.resize(probe(manifest.input)[0], (3, height, width))
    return np.ascontiguousarray(np.broadcast_to(picture, (count, 3, height, width)), np.float32)


def _yardsticks(gpu: Gpu, plan: Plan, report: Report) -> None:
    """One embedder at batch 64, on everything that is installed here."""
    embedder = next((name for name in plan.models if YARDSTICK_NETWORK in name), plan.models[-1])
    manifest = load_manifest(plan.models_dir / embedder)
    weights = verified_weights(plan.models_dir / embedder, manifest)
    count = min(YARDSTICK_BATCH, max(plan.batches))
    batch = _batch(manifest, count)
    row = {"network": embedder, "batch": count}
    seen: dict[Precision, float] = {}
    for precision in PRECISIONS:
        key = gpu.manager.key(manifest, precision, gpu.worker.architecture)
        backend = gpu.unjudged(manifest, weights, key)
        seen[precision] = throughput(lambda backend=backend: backend.run(batch), count, seconds=plan.seconds)
        backend.close()
        report.add(
            report.yardsticks, {**row, "by": f"{key.library}, {precision.value}", "per s": round(seen[precision], 1)}
        )
    ours, others = seen[Precision.FLOAT16], {}
    cuda = onnxruntime_cuda(weights)
    if cuda is not None:
        others["ONNX Runtime CUDA, f32 (TF32, its default)"] = throughput(
            lambda: cuda(batch), count, seconds=plan.seconds
        )
    eager = torch_eager(YARDSTICK_NETWORK)
    if eager is not None:
        name = "PyTorch eager, f32 (convolutions in TF32, its default)"
        others[name] = throughput(lambda: eager[0](batch), count, seconds=plan.seconds)
    for name, per_s in others.items():
        bar = TORCH_BAR if name.startswith("PyTorch") else BEST_BAR
        report.yardsticks.append({**row, "by": name, "per s": round(per_s, 1), "ours over it": round(ours / per_s, 2)})
        if ours < bar * per_s:
            report.problems.append(f"{ours / per_s:.2f} times {name}, the bar is {bar}")
    if not others:
        report.yardsticks.append({**row, "by": "no yardstick is installed here", "per s": ""})


def _memory(gpu: Gpu, plan: Plan, report: Report) -> None:
    """Batches of all lengths for minutes: the device's memory must stay where it is after the first of them."""
    manifest = load_manifest(plan.models_dir / plan.models[-1])
    weights = verified_weights(plan.models_dir / plan.models[-1], manifest)
    backend = gpu.unjudged(manifest, weights, gpu.manager.key(manifest, Precision.FLOAT32, gpu.worker.architecture))
    generator = np.random.default_rng(0)
    largest = _batch(manifest, max(plan.batches))
    lengths = [1 << power for power in range(len(largest).bit_length()) if 1 << power <= len(largest)]
    for length in [*lengths, len(largest)]:  # every shape in every slot, and its recording: that is no growth
        for _ in range(4):
            backend.run(largest[:length])
    began, looks = time.monotonic(), 12
    left = report.left_s()
    minutes = plan.minutes if left is None else min(plan.minutes, left / 60)
    first = gpu.worker.free_bytes()
    for look in range(1, looks + 1):
        while time.monotonic() < began + 60 * minutes * look / looks:
            backend.run(largest[: int(generator.integers(1, len(largest) + 1))])
        free = gpu.worker.free_bytes()
        report.add(report.memory, {"minute": round((time.monotonic() - began) / 60, 2), "free MiB": free // 2**20})
    backend.close()
    if first - free > GROWTH_BAR:
        report.problems.append(f"{(first - free) // 2**20} MiB of the device's memory went away in {minutes:.1f} min")


def _pipeline(gpu: Gpu, plan: Plan, report: Report) -> None:
    detectors = [name for name in plan.models if _kind(plan, name) is Kind.DETECTOR]
    embedder = _first(plan, Kind.EMBEDDER)
    if not detectors or embedder is None:
        report.left_out.append("pipeline: it takes a detector and an embedder among the models")
        return
    choice = ModelChoice(
        models_dir=plan.models_dir,
        detector=detectors[0],
        landmarker=detectors[1] if len(detectors) > 1 else "",
        embedder=embedder,
        runtime=Runtime.TENSORRT_FP16,
        threads=1,
        lanes=4,
        max_batch=min(64, max(plan.batches)),
        detect_side=640,
        gpu=GpuChoice(open=lambda: gpu),
    )
    loaded = load_vision(choice, say=lambda _line: None)
    for model in loaded.models:
        assert model.standby is not None
        status = model.standby.wait()
        if status.name != status.serving:
            report.problems.append(f"{model.manifest.model}: {status.name}: {status.finding}")
    for count in plan.cameras:
        if not report.time_for(f"{count} cameras"):
            break
        frames, faces = frames_per_s(loaded.vision, count, seconds=max(plan.seconds, 1.0))
        report.add(
            report.pipeline,
            {
                "cameras": count,
                "frames/s": round(frames, 1),
                "faces a frame": round(faces, 2),
                "on": ", ".join(sorted({model.backend.name for model in loaded.models})),
            },
        )
    for model in loaded.models:
        model.backend.close()


def _first(plan: Plan, kind: Kind) -> str | None:
    return next((name for name in plan.models if _kind(plan, name) is kind), None)


def _kind(plan: Plan, name: str) -> Kind:
    return load_manifest(plan.models_dir / name).kind


def _write(report: Report, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    seen = {name: value for name, value in asdict(report).items() if name not in ("out", "began", "budget_s")}
    (out / "gpu.json").write_text(json.dumps(seen, indent=2) + "\n")
    lines = ["# GPU benchmark", "", *(f"- {name}: {_text(value)}" for name, value in report.facts.items())]
    for title in ("parity", "preparing", "pipeline", "yardsticks", "speeds", "memory"):
        lines += ["", f"## {title.capitalize()}", "", *_table(getattr(report, title))]
    if report.left_out:
        lines += ["", "## Left out for want of time", "", *(f"- {what}" for what in report.left_out)]
    lines += ["", "## Problems", "", *([f"- {problem}" for problem in report.problems] or ["None."]), ""]
    (out / "gpu.md").write_text("\n".join(lines))


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["Not measured."]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return [*head, *(f"| {' | '.join(_text(row.get(name, '')) for name in columns)} |" for row in rows)]


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
