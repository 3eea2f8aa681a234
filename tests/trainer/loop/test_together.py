"""Two processes that train together, held to one that trains alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from datetime import timedelta
from pathlib import Path
import torch
from torch import distributed
from trainer.data.augment import Augmentation
from trainer.data.catalog import read_folders
from trainer.data.sampler import BatchShape
from trainer.loop.run import Run, Setting
from trainer.loop.world import Alone, Together
from trainer.models.layers import Normalisation
from trainer.recipe import NetworkChoice, Optimiser, OptimiserKind, Recipe, Validation

class Keep:
    def __init__(self):
        self.losses, self.vals = [], []
    def on_step(self, step, result, faces_per_second):
        self.losses.append(result.loss)
    def on_validation(self, step, result):
        self.vals.append(result.val.value)
    def close(self):
        pass

rank, size, port, faces, out, normalisation = sys.argv[1:]
torch.set_num_threads(1)
world = Alone()
if size != "1":
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", timedelta(seconds=60), int(size), int(rank))
    world = Together()
recipe = Recipe(
    network=NetworkChoice("nns2", 64, Normalisation(normalisation)),
    steps=3,
    batch=BatchShape(people=3, faces=4, negatives=3),
    chunk=5,
    optimiser=Optimiser(OptimiserKind.ADAGRAD, 0.002),
    validation=Validation(people=2, every=2, far=0.1),
)
keep = Keep()
run = Run(recipe, Setting(read_folders(Path(faces)), Path(out), world, torch.device("cpu")))
outcome = run.go([keep])
vector = torch.cat([p.detach().flatten() for p in run.network.parameters()]).double()
statistics = [float(b.double().sum()) for n, b in run.network.named_buffers() if "running" in n]
answer = {
    "losses": keep.losses, "vals": keep.vals, "norm": float(vector.norm()), "head": vector[:50].tolist(),
    "best": outcome.progress.best_val, "statistics": statistics,
}
Path(out, f"answer{rank}.json").write_text(json.dumps(answer))
if size != "1":
    distributed.destroy_process_group()
"""


def start(rank, size, port, faces, out, normalisation):
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", SCRIPT, rank, size, port, faces, out, normalisation]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def finish(processes):
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), errors


@pytest.mark.parametrize("normalisation", ["local-response", "batch"])
def test_two_processes_train_as_one_does_on_the_same_batches(faces, tmp_path, normalisation):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone, both = tmp_path / "alone", tmp_path / "both"
    finish(
        [
            start(0, 2, port, faces, both, normalisation),
            start(1, 2, port, faces, both, normalisation),
            start(0, 1, port, faces, alone, normalisation),
        ]
    )
    one = json.loads((alone / "answer0.json").read_text())
    first, second = (json.loads((both / f"answer{rank}.json").read_text()) for rank in (0, 1))
    assert one["losses"][0] > 0
    for process in (first, second):
        assert process["losses"] == pytest.approx(one["losses"], abs=1e-5)
        assert process["head"] == pytest.approx(one["head"], abs=1e-5)
        assert process["norm"] == pytest.approx(one["norm"], rel=1e-6)
    # the weights and statistics of both are the same, whoever computed them
    assert first["norm"] == second["norm"]
    assert first["statistics"] == second["statistics"]
    # the first looks at the held-out people and tells the other
    assert len(first["vals"]) == 2
    assert second["vals"] == []
    assert first["best"] == second["best"]
