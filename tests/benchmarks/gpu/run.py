"""The sections of the GPU benchmark, in order, and what they write."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from server.errors import FacestreamError
from server.inference.backend import Backend, Tensor
from server.inference.gpu.runtime import Gpu
from server.inference.load import Runtime
from server.inference.manifest import Kind, Manifest, load_manifest, verified_weights
from server.inference.precision import Precision
from server.models.probes import Role, job_of
from server.models.verify import probe
from server.pipeline.gpu import GpuChoice
from server.pipeline.load import ModelChoice, load_vision
from tests.benchmarks.gpu.cameras import frames_per_s
from tests.benchmarks.gpu.flops import multiply_adds
from tests.benchmarks.gpu.measure import copy_ceiling, matrix_ceiling, speed, throughput
from tests.benchmarks.gpu.yardsticks import onnxruntime_cuda, torch_eager
from tests.benchmarks.report import machine

PRECISIONS = (Precision.FLOAT32, Precision.FLOAT16)
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
    """

    models_dir: Path
    models: tuple[str, ...]
    batches: tuple[int, ...]
    cameras: tuple[int, ...]
    seconds: float
    minutes: float
    side: int = 4096


@dataclass(slots=True)
class Report:
    """What was seen.

    Attributes:
        facts: of the machine.
        parity: a row for each model, role and precision.
        speeds: a row for each model, precision and batch.
        yardsticks: a row for each way to run one network.
        pipeline: a row for each number of cameras.
        memory: a row for each look at the device's memory.
        problems: what failed or missed its bar, in words.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    yardsticks: list[dict[str, Any]] = field(default_factory=list)
    pipeline: list[dict[str, Any]] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run(gpu: Gpu, plan: Plan, out: Path, *, problems: list[str]) -> int:
    """Measures everything that can be, writes it down, and answers the exit code; the GPU is closed at the end."""
    report = Report(problems=problems)
    sections: list[Callable[[Gpu, Plan, Report], None]] = [_facts, _networks, _yardsticks, _memory, _pipeline]
    for section in sections:
        sys.stderr.write(f"{section.__name__.strip('_')}\n")
        try:
            section(gpu, plan, report)
        except FacestreamError as error:
            report.problems.append(f"{section.__name__.strip('_')}: {error.message}")
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
        "copy ceiling, GB/s": copy_ceiling(gpu.worker),
    }
    for half, name in ((False, "float32"), (True, "float16")):
        ceiling = matrix_ceiling(gpu.worker, builder, half=half, side=plan.side)
        report.facts[f"matrix ceiling in {name}, tera multiply-adds/s"] = ceiling


def _networks(gpu: Gpu, plan: Plan, report: Report) -> None:
    for name in plan.models:
        manifest = load_manifest(plan.models_dir / name)
        weights = verified_weights(plan.models_dir / name, manifest)
        roles = (Role.EMBEDDER,) if manifest.kind is Kind.EMBEDDER else (Role.DETECTOR, Role.LANDMARKER)
        for precision in PRECISIONS:
            for role in roles:
                with _on_gpu(gpu, (manifest, weights, precision), role, report) as backend:
                    if backend is not None and role is not Role.LANDMARKER:
                        _speeds(backend, (manifest, weights, precision), plan, report)


@contextmanager
def _on_gpu(gpu: Gpu, model: tuple[Manifest, bytes, Precision], role: Role, report: Report) -> Iterator[Backend | None]:
    """The model on the GPU when it passes the gate; its row in the table either way."""
    manifest, weights, precision = model
    row = {"model": manifest.model, "role": role.value, "precision": precision.value}
    gate = job_of(manifest, role, detect_side=640, lanes=1).gate
    began = time.perf_counter()
    try:
        backend, finding = gpu.backend(manifest, weights, precision, gate=gate, progress=lambda _step: None)
    except FacestreamError as error:
        report.parity.append({**row, "result": error.reason, "finding": error.message})
        report.problems.append(f"{manifest.model} in {precision.value}: {error.message}")
        yield None
        return
    ready = round(time.perf_counter() - began, 2)
    report.parity.append({**row, "result": "passed", "finding": finding, "ready after, s": ready})
    try:
        yield backend
    finally:
        backend.close()


def _speeds(backend: Backend, model: tuple[Manifest, bytes, Precision], plan: Plan, report: Report) -> None:
    manifest, weights, precision = model
    for count in plan.batches:
        batch = _batch(manifest, count)
        found = speed(backend, batch, seconds=plan.seconds)
        work = multiply_adds(weights, (1, *batch.shape[1:]))
        copied = found.per_s * batch[0].nbytes / 1e9
        ceiling = report.facts[
            f"matrix ceiling in {'float16' if precision is Precision.FLOAT16 else 'float32'}, tera multiply-adds/s"
        ]
        report.speeds.append(
            {
                "model": manifest.model,
                "precision": precision.value,
                **{name: round(value, 3) for name, value in asdict(found).items()},
                "of the matrix ceiling": f"{found.per_s * work / 1e12 / ceiling:.1%}",
                "of the copy ceiling": f"{copied / report.facts['copy ceiling, GB/s']:.1%}",
            }
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
    ours = 0.0
    for precision in PRECISIONS:
        key = gpu.manager.key(manifest, precision, gpu.worker.architecture)
        backend = gpu.unjudged(manifest, weights, key)
        ours = throughput(lambda backend=backend: backend.run(batch), count, seconds=plan.seconds)
        backend.close()
        report.yardsticks.append({**row, "by": f"{key.library}, {precision.value}", "per s": round(ours, 1)})
    others = {}
    cuda = onnxruntime_cuda(weights)
    if cuda is not None:
        others["ONNX Runtime CUDA, f32"] = throughput(lambda: cuda(batch), count, seconds=plan.seconds)
    eager = torch_eager(YARDSTICK_NETWORK)
    if eager is not None:
        others["PyTorch eager, f32"] = throughput(lambda: eager[0](batch), count, seconds=plan.seconds)
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
    for _ in range(4):
        backend.run(largest)
    began, looks = time.monotonic(), 12
    first = gpu.worker.free_bytes()
    for look in range(1, looks + 1):
        while time.monotonic() < began + 60 * plan.minutes * look / looks:
            backend.run(largest[: int(generator.integers(1, len(largest) + 1))])
        free = gpu.worker.free_bytes()
        report.memory.append({"minute": round((time.monotonic() - began) / 60, 2), "free MiB": free // 2**20})
    backend.close()
    if first - free > GROWTH_BAR:
        report.problems.append(f"{(first - free) // 2**20} MiB of the device's memory went away in {plan.minutes} min")


def _pipeline(gpu: Gpu, plan: Plan, report: Report) -> None:
    detectors = [name for name in plan.models if _kind(plan, name) is Kind.DETECTOR]
    embedder = next(name for name in plan.models if _kind(plan, name) is Kind.EMBEDDER)
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
        frames, faces = frames_per_s(loaded.vision, count, seconds=max(plan.seconds, 1.0))
        report.pipeline.append(
            {
                "cameras": count,
                "frames/s": round(frames, 1),
                "faces a frame": round(faces, 2),
                "on": ", ".join(sorted({model.backend.name for model in loaded.models})),
            }
        )
    for model in loaded.models:
        model.backend.close()


def _kind(plan: Plan, name: str) -> Kind:
    return load_manifest(plan.models_dir / name).kind


def _write(report: Report, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    lines = ["# GPU benchmark", "", *(f"- {name}: {_text(value)}" for name, value in report.facts.items())]
    for title in ("parity", "speeds", "yardsticks", "pipeline", "memory"):
        lines += ["", f"## {title.capitalize()}", "", *_table(getattr(report, title))]
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
