from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from trainer.checkpoint import load_checkpoint
from trainer.data.augment import Augmentation
from trainer.data.catalog import read_folders
from trainer.data.echo import WINDOW
from trainer.data.imagine import Imagination
from trainer.data.sampler import BatchShape
from trainer.errors import CheckpointError, CollapseError, DatasetError, RecipeError
from trainer.loop.listeners import JsonLines
from trainer.loop.run import BEST, LAST, End, Run, Setting, Start
from trainer.loop.world import Alone
from trainer.loss.classification import WarmStart
from trainer.loss.collapse import CollapseRule
from trainer.loss.compatible import Compatibility, Shown
from trainer.models.build import build
from trainer.recipe import NetworkChoice, Recipe, Validation, from_json, paper, to_json

RECIPE = Recipe(
    network=NetworkChoice("nns2", 64),
    steps=6,
    batch=BatchShape(people=3, faces=3, negatives=3),
    chunk=6,
    validation=Validation(people=2, every=3, far=0.1),
    checkpoint_every=2,
)


def setting(faces, folder, **others):
    return Setting(read_folders(faces), folder, Alone(), torch.device("cpu"), **others)


def weights(folder, name=LAST):
    return load_checkpoint(folder / name).network


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def finished(faces, tmp_path_factory):
    """A run that nobody interrupted."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finished")
    log = JsonLines(folder / "log.jsonl", done=0)
    outcome = Run(RECIPE, setting(faces, folder)).go([log])
    log.close()
    return folder, outcome


def test_a_run_does_its_steps_and_leaves_checkpoints_a_log_and_results(finished):
    folder, outcome = finished
    assert outcome.end is End.STEPS_DONE
    assert outcome.progress.step == 6
    assert load_checkpoint(folder / LAST).progress == outcome.progress
    assert load_checkpoint(folder / BEST).progress.step == outcome.progress.best_step
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "val" in line] == [3, 6]
    results = json.loads((folder / "results.json").read_text())
    assert from_json(json.dumps(results["recipe"])) == RECIPE
    assert results["people"] == 6
    assert results["crops"] == 36


def test_held_out_people_are_not_trained_on(faces, tmp_path):
    run = Run(RECIPE, setting(faces, tmp_path))
    assert len(run.held_out.identities) == 2
    assert not set(run.held_out.paths) & set(run.training.paths)


SCRIPT = """
import sys, time
from pathlib import Path
import torch
from trainer.data.catalog import read_folders
from trainer.data.crops import Request
from trainer.data.imagine import Imagination
from trainer.loop.run import Run, Setting
from trainer.loop.world import Alone
from trainer.recipe import from_json

class Mark:
    def on_step(self, step, result, faces_per_second):
        print(step, flush=True)
        if step == 5:
            time.sleep(60)
    def on_validation(self, step, result):
        pass
    def close(self):
        pass

torch.set_num_threads(1)
recipe = from_json(Path(sys.argv[3]).read_text())
Run(recipe, Setting(read_folders(Path(sys.argv[1])), Path(sys.argv[2]), Alone(), torch.device("cpu"))).go([Mark()])
"""


def test_a_killed_run_resumes_bit_for_bit(faces, finished, tmp_path):
    """It is killed in step 5 with the checkpoint of step 4 on the disk, and ends as if nothing had happened."""
    (tmp_path / "recipe.json").write_text(to_json(RECIPE))
    command = [sys.executable, "-c", SCRIPT, faces, tmp_path / "run", tmp_path / "recipe.json"]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline().strip() for _ in range(5)] == ["1", "2", "3", "4", "5"]
        process.send_signal(signal.SIGKILL)
    run = Run(RECIPE, setting(faces, tmp_path / "run", start=Start.RESUME))
    assert run.progress.step == 4
    outcome = run.go()
    folder, uninterrupted = finished
    assert outcome == uninterrupted
    ours, theirs = (load_checkpoint(path / LAST) for path in (tmp_path / "run", folder))
    assert same(ours.network, theirs.network)
    for number, state in theirs.optimiser["state"].items():
        assert same(ours.optimiser["state"][number], state)


def test_a_fresh_run_does_not_overwrite_another(faces, finished):
    with pytest.raises(CheckpointError, match="resume it"):
        Run(RECIPE, setting(faces, finished[0]))


def test_resuming_without_a_checkpoint_is_refused(faces, tmp_path):
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        Run(RECIPE, setting(faces, tmp_path, start=Start.RESUME))


def test_resuming_with_another_recipe_or_other_data_is_refused(faces, finished, tmp_path):
    folder, _ = finished
    with pytest.raises(CheckpointError, match=r"margin: 0\.2, 0\.3"):
        Run(dataclasses.replace(RECIPE, margin=0.3), setting(faces, folder, start=Start.RESUME))
    other = setting(faces, folder, start=Start.RESUME)
    fewer = dataclasses.replace(other, catalog=other.catalog.take(other.catalog.labels < 7))
    with pytest.raises(CheckpointError, match="other data"):
        Run(RECIPE, fewer)


def test_a_run_stops_when_val_no_longer_rises(faces, tmp_path):
    look = Validation(people=2, every=1, far=0.9, patience=2)
    recipe = dataclasses.replace(RECIPE, validation=look, steps=50)
    outcome = Run(recipe, setting(faces, tmp_path)).go()
    assert outcome.end is End.NO_IMPROVEMENT
    assert outcome.progress.step == outcome.progress.best_step + 2 < 50
    assert load_checkpoint(tmp_path / LAST).progress == outcome.progress
    # Resuming it changes nothing.
    assert Run(recipe, setting(faces, tmp_path, start=Start.RESUME)).go() == outcome


def test_a_collapsed_run_stops_with_advice(faces, tmp_path):
    everything = CollapseRule(collapsed_spread=1.1, patience=2)
    recipe = dataclasses.replace(RECIPE, collapse=everything)
    with pytest.raises(CollapseError, match="lower the learning rate"):
        Run(recipe, setting(faces, tmp_path)).go()


def test_initial_weights_are_taken_over(faces, tmp_path):
    tensors = build("nns2", dimension=64).state_dict()
    run = Run(RECIPE, setting(faces, tmp_path, weights=tuple(tensors.items())))
    assert same(run.network.state_dict(), tensors)


WARM = dataclasses.replace(
    RECIPE, warm_start=WarmStart(steps=4), augmentation=Augmentation.none(), validation=Validation(2, 30, 0.1)
)


def losses(path):
    return [json.loads(line) for line in path.read_text().splitlines() if "loss" in line]


def test_a_warm_start_learns_who_is_who_before_triplets_take_over(faces, tmp_path):
    log = JsonLines(tmp_path / "log.jsonl", done=0)
    recipe = dataclasses.replace(WARM, steps=12, warm_start=WarmStart(steps=10), checkpoint_every=12)
    Run(recipe, setting(faces, tmp_path / "run")).go([log])
    log.close()
    steps = losses(tmp_path / "log.jsonl")
    assert steps[9]["loss"] < 0.7 * steps[0]["loss"]
    assert [step["triplets"] == 0 for step in steps[:10]] == [True] * 10
    assert steps[10]["loss"] < 0.4  # a hinge, and no cross entropy


def test_a_run_resumes_in_its_warm_start_bit_for_bit(faces, tmp_path):
    class Stop(BaseException):
        pass

    class Stopper:
        def on_step(self, step, result, faces_per_second):
            if step == 3:
                raise Stop

        def on_validation(self, step, result):
            pass

        def close(self):
            pass

    Run(WARM, setting(faces, tmp_path / "whole")).go()
    with pytest.raises(Stop):
        Run(WARM, setting(faces, tmp_path / "parts")).go([Stopper()])
    resumed = Run(WARM, setting(faces, tmp_path / "parts", start=Start.RESUME))
    assert resumed.progress.step == 2
    resumed.go()
    whole, parts = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "parts"))
    assert same(whole.network, parts.network)
    assert same(whole.classifier, parts.classifier)


def test_the_papers_recipe_moves_fresh_weights_a_little_and_keeps_faces_apart(faces, tmp_path):
    """AdaGrad at 0.05 with local response normalisation; only the numbers of faces and steps are smaller."""
    small = {"steps": 4, "batch": BatchShape(4, 4, 4), "validation": Validation(people=2, every=4, far=0.1)}
    recipe = dataclasses.replace(paper("nns2"), checkpoint_every=4, **small)
    run = Run(recipe, setting(faces, tmp_path / "run"))
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    log = JsonLines(tmp_path / "log.jsonl", done=0)
    run.go([log])
    log.close()
    moved = torch.cat([(value - before[name]).abs().flatten() for name, value in run.network.state_dict().items()])
    size = torch.cat([value.abs().flatten() for value in before.values()]).mean()
    assert 0 < moved.mean() < 0.2 * size
    steps = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines() if "loss" in line]
    assert len(steps) == 4
    assert all(step["spread"] > 0.01 for step in steps)


def older(images):
    """A model of another make: a fixed random projection of the crop."""
    rows = images.reshape(len(images), -1).astype(np.float32) / 255 - 0.5
    matrix = np.random.default_rng(8).normal(size=(rows.shape[1], 64)).astype(np.float32)
    vectors = rows @ matrix
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


COMPATIBLE = dataclasses.replace(
    RECIPE,
    compatible=Compatibility("older/1", "0" * 64),
    augmentation=Augmentation.none(),
    validation=Validation(people=2, every=30, far=0.1),
    checkpoint_every=30,
)


def test_a_compatible_network_learns_to_answer_as_the_older_model_does(faces, tmp_path):
    recipe = dataclasses.replace(COMPATIBLE, steps=12)
    log = JsonLines(tmp_path / "log.jsonl", done=0)
    run = Run(recipe, setting(faces, tmp_path / "run", older=older))
    outcome = run.go([log])
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    regressions = [line["regression"] for line in lines if "regression" in line]
    assert regressions[-1] < 0.8 * regressions[0]
    assert outcome.progress.best_val == run.validate().val.value


class Asked:
    """Keeps the crops that the older model is shown."""

    def __init__(self):
        self.crops = []

    def __call__(self, images):
        self.crops += [image.tobytes() for image in images]
        return older(images)


DISTILLED = dataclasses.replace(
    COMPATIBLE,
    compatible=Compatibility("older/1", "0" * 64, mixed=0.0, relations=1.0, own=0.0, shown=Shown.CHANGED, uses=2),
    imagination=Imagination(blend=0.5, warp=0.5),
    averaging=0.5,
    steps=6,
    checkpoint_every=3,
)


def test_the_older_model_is_asked_about_each_batch_once_and_never_twice_about_a_crop(faces, tmp_path):
    asked = Asked()
    log = JsonLines(tmp_path / "log.jsonl", done=0)
    recipe = dataclasses.replace(DISTILLED, steps=2 * WINDOW, imagination=Imagination(blend=1.0, warp=1.0))
    run = Run(recipe, setting(faces, tmp_path / "run", older=asked))
    before = len(asked.crops)
    run.go([log])
    log.close()
    shown = asked.crops[before:]
    assert len(shown) == WINDOW * len(run.sampler.batch(0))
    assert len(set(shown)) == len(shown)
    steps = losses(tmp_path / "log.jsonl")
    assert steps[-1]["regression"] < 0.9 * steps[0]["regression"]
    assert {step["triplets"] for step in steps} == {0}


def test_a_distilled_run_with_averaged_weights_resumes_bit_for_bit(faces, tmp_path):
    class Stop(BaseException):
        pass

    class Stopper:
        def on_step(self, step, result, faces_per_second):
            if step == 4:
                raise Stop

        def on_validation(self, step, result):
            pass

        def close(self):
            pass

    Run(DISTILLED, setting(faces, tmp_path / "whole", older=older)).go()
    with pytest.raises(Stop):
        Run(DISTILLED, setting(faces, tmp_path / "parts", older=older)).go([Stopper()])
    resumed = Run(DISTILLED, setting(faces, tmp_path / "parts", older=older, start=Start.RESUME))
    assert resumed.progress.step == 3
    resumed.go()
    whole, parts = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "parts"))
    assert same(whole.network, parts.network)
    assert same(whole.average, parts.average)


def test_the_averaged_weights_are_what_is_judged_and_kept(faces, tmp_path):
    run = Run(DISTILLED, setting(faces, tmp_path / "run", older=older))
    means = None

    class Mean:
        def on_step(self, step, result, faces_per_second):
            nonlocal means
            now = {name: value.clone() for name, value in run.network.state_dict().items()}
            before = now if means is None else means
            # the first mean is the weights themselves
            means = {name: before[name] * 0.5 + now[name] * 0.5 for name in now if now[name].is_floating_point()}

        def on_validation(self, step, result):
            pass

        def close(self):
            pass

    run.go([Mean()])
    kept = load_checkpoint(tmp_path / "run" / LAST).judged
    for name, mean in means.items():
        torch.testing.assert_close(kept[name], mean, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(kept["fc.weight"], run.network.state_dict()["fc.weight"])


def test_an_older_model_without_a_recipe_for_it_and_the_reverse_are_refused(faces, tmp_path):
    with pytest.raises(RecipeError, match="compatible"):
        Run(RECIPE, setting(faces, tmp_path, older=older))
    with pytest.raises(RecipeError, match="compatible"):
        Run(COMPATIBLE, setting(faces, tmp_path))


def test_an_older_model_of_another_dimension_is_refused_with_the_dimension(faces, tmp_path):
    with pytest.raises(RecipeError, match="build the network with 32"):
        Run(COMPATIBLE, setting(faces, tmp_path, older=lambda images: older(images)[:, :32]))


def test_crops_of_one_person_are_refused(faces, tmp_path):
    one = setting(faces, tmp_path)
    alone = dataclasses.replace(one, catalog=one.catalog.take(one.catalog.labels == 0))
    with pytest.raises(DatasetError, match="one person"):
        Run(RECIPE, alone)


def test_a_far_that_the_held_out_people_cannot_show_is_refused_before_training(faces, tmp_path):
    recipe = dataclasses.replace(RECIPE, validation=Validation(people=2, every=3, far=0.01))
    with pytest.raises(DatasetError, match=r"36 comparisons.*validation\.far to 0\.028"):
        Run(recipe, setting(faces, tmp_path))
