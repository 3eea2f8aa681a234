from __future__ import annotations

import json
import shutil
import subprocess
import sys

import cv2
import pytest
import torch
from typer.testing import CliRunner

from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.store import EngineStore
from server.inference.manifest import load_manifest
from server.inference.precision import Precision
from tests.rtx import rtx
from tests.server_process import MODELS
from trainer.checkpoint import load_checkpoint
from trainer.cli import app
from trainer.data.catalog import read_catalog, set_aside, write_list
from trainer.errors import DatasetError, RecipeError
from trainer.models.build import ARCHITECTURES
from trainer.recipe import RECIPES, from_json, to_json

COMMANDS = ["models", "prepare", "split", "train", "evaluate", "identify", "cluster", "export"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    answer = run(command, "--help")
    assert answer.exit_code == 0
    assert f"facestream-train {command}" in answer.output


def test_models_lists_every_network_with_its_totals():
    rows = json.loads(run("models", "--json").output)
    assert [row["network"] for row in rows] == list(ARCHITECTURES)
    nn2 = next(row for row in rows if row["network"] == "nn2")
    assert (nn2["parameters"], nn2["published"]) == ("7.5 M", "7.5 M")


def test_models_shows_a_network_block_by_block():
    rows = json.loads(run("models", "nn1", "--normalisation", "local-response", "--json").output)
    assert rows[0] == {"block": "conv1", "output": "64x110x110", "parameters": 9472, "multiply-adds": 114611200}
    assert rows[-1]["parameters"] == 140_025_664
    text = run("models", "nn1").output
    assert "fc7128" in text
    assert "total" in text


@pytest.mark.models
@pytest.mark.data
def test_real_photographs_are_prepared_and_judged(real_data, tmp_path):
    for person in sorted((real_data / "celeba247").iterdir())[:2]:
        (tmp_path / "photographs" / person.name).mkdir(parents=True)
        for photograph in sorted(person.iterdir())[:3]:
            shutil.copy(photograph, tmp_path / "photographs" / person.name)
    answer = run(
        *("prepare", tmp_path / "photographs", tmp_path / "crops", "--workers", 1),
        *("--detector", MODELS / "yunet" / "2023mar", "--for-model", MODELS / "sface" / "2021dec"),
        *("--judge", MODELS / "sface" / "2021dec"),
    )
    assert answer.exit_code == 0, answer.output
    assert "6  cropped" in answer.output
    assert "0  pairs of crops are duplicates" in answer.output
    crops = list((tmp_path / "crops").rglob("*.jpg"))
    assert len(crops) == 6
    assert cv2.imread(str(crops[0])).shape == (112, 112, 3)
    assert (tmp_path / "crops" / "doubts.csv").exists()


def test_an_unknown_network_is_one_line_on_stderr_and_exit_code_1():
    process = subprocess.run(
        [sys.executable, "-m", "trainer.cli", "models", "nn9"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith("facestream-train: there is no network 'nn9'")
    assert process.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    recipe = {
        "network": {"name": "nns2", "dimension": 64},
        "steps": 4,
        "batch": {"people": 3, "faces": 3, "negatives": 3},
        "chunk": 6,
        "validation": {"people": 2, "every": 2, "far": 0.1},
        "checkpoint_every": 2,
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))
    answer = run("train", faces, folder / "run", "--recipe", folder / "recipe.json", "--device", "cpu")
    assert answer.exit_code == 0, answer.output
    assert "steps done after 4 steps" in answer.output
    return folder / "run"


@pytest.fixture
def pairs(faces, tmp_path):
    lines = ["left,right,same"]
    for person in range(8):
        for number in range(5):
            one, next_one = f"person{person}/{number}.png", f"person{person}/{number + 1}.png"
            other = f"person{(person + 1) % 8}/{number}.png"
            lines += [f"{one},{next_one},1", f"{one},{other},0"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path / "pairs.csv"


def test_a_split_puts_every_crop_into_one_of_two_lists(faces, tmp_path):
    answer = run("split", faces, tmp_path / "train.csv", tmp_path / "test.csv", "--each", 2)
    assert answer.exit_code == 0, answer.output
    assert "train.csv: 32 crops of 8 people" in answer.output
    training, test = read_catalog(tmp_path / "train.csv"), read_catalog(tmp_path / "test.csv")
    assert test.counts().tolist() == [2] * 8
    assert sorted(training.paths + test.paths) == sorted(read_catalog(faces).paths)


def test_training_leaves_what_is_needed_to_repeat_it(trained):
    recipe = from_json((trained / "recipe.json").read_text())
    assert recipe.network.name == "nns2"
    assert json.loads((trained / "results.json").read_text())["recipe"] == json.loads(to_json(recipe))
    assert (trained / "best.ckpt").exists()
    assert any((trained / "tensorboard").iterdir())


def test_a_finished_run_is_not_overwritten_but_can_be_resumed(trained, faces):
    again = run("train", faces, trained)
    assert again.exit_code == 1
    assert "resume it" in str(again.exception)
    resumed = run("train", faces, trained, "--resume", "--device", "cpu")
    assert resumed.exit_code == 0, resumed.output
    assert "steps done after 4 steps" in resumed.output


@pytest.mark.parametrize("option", ["--recipe", "--network", "--steps", "--weights"])
def test_what_a_resumed_run_has_of_its_own_is_wrong_usage(trained, faces, option):
    value = {"--recipe": "small", "--network": "nn4", "--steps": 8, "--weights": trained / "best.ckpt"}[option]
    answer = run("train", faces, trained, "--resume", "--device", "cpu", option, value)
    assert answer.exit_code == 2
    assert option in answer.output


def test_a_network_beside_a_recipe_that_names_its_own_is_wrong_usage(trained, faces, tmp_path):
    answer = run("train", faces, tmp_path / "run", "--recipe", trained / "recipe.json", "--network", "nn4")
    assert answer.exit_code == 2
    assert "--network" in answer.output
    assert not (tmp_path / "run").exists()


def test_a_run_begins_with_another_runs_weights(trained, faces, tmp_path):
    recipe = json.loads((trained / "recipe.json").read_text()) | {"steps": 1, "seed": 5}
    recipe["optimiser"]["learning_rate"] = 1e-12
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    answer = run(
        *("train", faces, tmp_path / "run", "--recipe", tmp_path / "recipe.json", "--device", "cpu"),
        *("--weights", trained / "last.ckpt"),
    )
    assert answer.exit_code == 0, answer.output
    assert "tensors of the network begin with the weights given\n" in answer.output
    before, after = (load_checkpoint(folder / "last.ckpt").network for folder in (trained, tmp_path / "run"))
    torch.testing.assert_close(after["fc1.linear.weight"], before["fc1.linear.weight"])


def test_a_run_goes_on_from_its_checkpoint_when_its_recipe_file_is_damaged(trained, faces, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "recipe.json").write_text("")
    answer = run("train", faces, tmp_path / "run", "--resume", "--device", "cpu")
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "run" / "recipe.json").read_text() == ""


def test_a_run_whose_recipe_file_was_changed_does_not_go_on_as_before(trained, faces, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    recipe = json.loads((trained / "recipe.json").read_text()) | {"steps": 8}
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    answer = run("train", faces, tmp_path / "run", "--resume", "--device", "cpu")
    assert answer.exception.reason == "RECIPE_CHANGED"
    assert "steps: 4, 8" in str(answer.exception)


def test_a_folder_that_is_no_model_is_no_checkpoint_either(faces, pairs):
    answer = run("evaluate", MODELS, faces, "--pairs", pairs)
    assert answer.exception.reason == "CHECKPOINT_UNREADABLE"
    assert "manifest.json" in str(answer.exception)


def test_fars_and_thresholds_can_be_asked_for(trained, faces, pairs):
    begin = ("evaluate", trained / "best.ckpt", faces, "--pairs", pairs)
    answer = run(*begin, "--far", 0.05, "--far", 0.2, "--threshold", 1.1)
    assert answer.exit_code == 0, answer.output
    assert "| 0.05 |" in answer.output
    assert "| 0.2 |" in answer.output
    assert "| 0.1 |" not in answer.output
    assert "| 1.1000 |" in answer.output
    assert run(*begin, "--far", 1e-4).exception.reason == "TOO_FEW_PAIRS"
    assert run(*begin, "--far", 2).exit_code == 2


def test_pictures_that_nobody_prepared_are_remarked_on(trained, faces, pairs):
    answer = run("evaluate", trained / "best.ckpt", faces, "--pairs", pairs)
    assert f"note: {faces} has no prepared.json" in answer.stderr
    assert "note" not in answer.stdout


def test_a_checkpoint_that_is_given_as_a_recipe_is_refused(trained, faces, tmp_path):
    answer = run("train", faces, tmp_path / "run", "--recipe", trained / "best.ckpt")
    assert answer.exception.reason == "RECIPE_UNREADABLE"


def test_resuming_nothing_and_unknown_recipes_are_refused(faces, tmp_path):
    answer = run("train", faces, tmp_path / "run", "--resume")
    assert isinstance(answer.exception, RecipeError)
    answer = run("train", faces, tmp_path / "run", "--recipe", "none.json")
    assert isinstance(answer.exception, RecipeError)
    assert "paper, small" in str(answer.exception)
    assert not (tmp_path / "run").exists()


def test_training_on_one_person_is_refused(faces, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "one").symlink_to(faces / "person0")
    answer = run("train", tmp_path / "faces", tmp_path / "run", "--network", "nns2")
    assert isinstance(answer.exception, DatasetError)


def test_a_checkpoint_and_its_export_are_judged_alike(trained, faces, pairs, tmp_path):
    exported = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", faces, "--pairs", pairs),
        *("--model", "tiny/1", "--licence", "CC0-1.0", "--attribution", "nobody"),
    )
    assert exported.exit_code == 0, exported.output
    reports = []
    for model in (trained / "best.ckpt", tmp_path / "models" / "tiny" / "1"):
        answer = run("evaluate", model, faces, "--pairs", pairs, "--report", tmp_path / "report")
        assert answer.exit_code == 0, answer.output
        assert "| FAR wanted |" in answer.output
        (report,) = json.loads((tmp_path / "report" / "report.json").read_text())["models"]
        reports.append(report)
    assert reports[0]["pairs"] == reports[1]["pairs"] == 80
    assert reports[0]["curve"]["area"] == pytest.approx(reports[1]["curve"]["area"], abs=1e-6)
    assert reports[0]["points"][0]["val"] == reports[1]["points"][0]["val"]
    manifest = json.loads((tmp_path / "models" / "tiny" / "1" / "manifest.json").read_text())
    assert manifest["embedder"]["operating_points"]
    assert manifest["embedder"]["fitted_on"] == "80 pairs of pairs.csv"


def test_an_export_builds_engines_too_when_asked(trained, faces, pairs, tmp_path):
    library = rtx()
    exported = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", faces, "--pairs", pairs),
        *("--model", "tiny/1", "--licence", "CC0-1.0", "--attribution", "nobody"),
        *("--engine", "f16", "--engines-dir", tmp_path / "engines", "--gpu", "sm86"),
    )
    assert exported.exit_code == 0, exported.output
    assert "tensorrt-rtx-sm86-f16" in exported.output.replace("\n", "")
    (engine,) = (tmp_path / "engines").glob("*.engine")
    assert engine.stat().st_size > 100_000
    assert library.version in engine.read_bytes()[:2000].decode(errors="replace")
    # Which engine is a server's for its settings is for the server's own manager to say.
    server = EngineManager(TensorRtBuilder(library), EngineStore(tmp_path / "engines"), Workload())
    manifest = load_manifest(tmp_path / "models" / "tiny" / "1")
    assert server.find(server.key(manifest, Precision.FLOAT16, "sm86")) is not None


def test_an_engine_that_cannot_be_built_is_refused_before_the_model_is_written(trained, faces, pairs, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("\n".join(pairs.read_text().splitlines()[:20]))
    exported = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", faces, "--pairs", few),
        *("--model", "tiny/1", "--licence", "CC0-1.0", "--attribution", "nobody", "--engine", "int8"),
    )
    assert exported.exception.reason == "CALIBRATION_TOO_SMALL"
    assert not (tmp_path / "models").exists()


def test_worse_pictures_get_a_table_and_a_picture_of_their_own(trained, faces, pairs, tmp_path):
    answer = run(
        *("evaluate", trained / "best.ckpt", faces, "--pairs", pairs, "--quality", "--report", tmp_path / "report")
    )
    assert answer.exit_code == 0, answer.output
    assert "| JPEG quality 10 |" in answer.output
    assert "| 14,400 pixels |" in answer.output
    assert (tmp_path / "report" / "report.md").read_text().startswith(answer.stdout)
    for name in ("roc.png", "quality.png"):
        assert f"![]({name})" in (tmp_path / "report" / "report.md").read_text()
        assert cv2.imread(str(tmp_path / "report" / name)).shape[2] == 3


def test_models_of_several_dimensions_are_compared_on_the_same_pairs(trained, faces, pairs, tmp_path):
    recipe = json.loads((trained / "recipe.json").read_text()) | {"steps": 1}
    recipe["network"]["dimension"] = 96
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    answer = run("train", faces, tmp_path / "run", "--recipe", tmp_path / "recipe.json", "--device", "cpu")
    assert answer.exit_code == 0, answer.output
    answer = run(
        *("evaluate", trained / "best.ckpt", faces, "--pairs", pairs, "--compare", tmp_path / "run" / "best.ckpt")
    )
    assert answer.exit_code == 0, answer.output
    assert "best.ckpt | 64 |" in answer.output
    assert "best.ckpt | 96 |" in answer.output


def test_measured_thresholds_are_written_into_the_manifest_of_a_model_folder(trained, faces, pairs, tmp_path):
    assert run("evaluate", trained / "best.ckpt", faces, "--pairs", pairs, "--write-thresholds").exit_code == 2
    exported = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", faces, "--pairs", pairs),
        *("--model", "tiny/1", "--licence", "CC0-1.0", "--attribution", "nobody"),
    )
    assert exported.exit_code == 0, exported.output
    folder = tmp_path / "models" / "tiny" / "1"
    before = load_manifest(folder)
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("".join(pairs.read_text().splitlines(keepends=True)[:61]))
    answer = run("evaluate", folder, faces, "--pairs", fewer, "--write-thresholds")
    assert answer.exit_code == 0, answer.output
    after = load_manifest(folder)
    assert after.as_embedder().fitted_on == "60 pairs of fewer.csv"
    assert f"{after.operating_points()[0].distance:.4f}" in answer.output
    assert after.model_copy(update={"embedder": before.embedder}) == before


@pytest.fixture
def split(faces, tmp_path):
    """People 0..5 parted into a gallery and probes, and 6 and 7 as strangers."""
    catalog = read_catalog(faces)
    kept, aside = set_aside(catalog.take(catalog.labels < 6), crops=2, seed=0)
    for name, part in (("gallery", kept), ("probes", aside), ("strangers", catalog.take(catalog.labels >= 6))):
        write_list(tmp_path / f"{name}.csv", part)
    return tmp_path


def test_people_are_identified_in_the_gallery_of_another_model(trained, split):
    answer = run(
        *("identify", trained / "best.ckpt", split / "gallery.csv", split / "probes.csv", "--far", 0.1, "--each", 2),
        *("--strangers", split / "strangers.csv", "--enrolled-with", trained / "last.ckpt"),
    )
    assert answer.exit_code == 0, answer.output
    assert "12 crops of 6 people are enrolled; 12 probes of 6 of them, 12 crops of strangers" in answer.output
    rows = [line for line in answer.output.splitlines() if "ckpt |" in line]
    assert [row.count("best.ckpt") for row in rows] == [1, 2, 0]
    assert "names them" in answer.output


def test_what_identify_and_cluster_print_can_be_kept(trained, split, faces, tmp_path):
    answer = run(
        *("identify", trained / "best.ckpt", split / "gallery.csv", split / "probes.csv", "--far", 0.1),
        *("--strangers", split / "strangers.csv", "--report", tmp_path / "identification"),
    )
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "identification" / "report.md").read_text().endswith(answer.stdout)
    (row,) = json.loads((tmp_path / "identification" / "report.json").read_text())["rows"]
    assert f"| {row['rank_one']['value']:.2%} |" in answer.stdout
    answer = run("cluster", trained / "best.ckpt", faces, "--report", tmp_path / "clusters")
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "clusters" / "report.md").read_text() == f"{answer.stdout}\n![](clusters.png)\n"
    assert len(json.loads((tmp_path / "clusters" / "report.json").read_text())["thresholds"]) == 8
    assert cv2.imread(str(tmp_path / "clusters" / "clusters.png")) is not None


def test_several_enrolled_crops_vote(trained, split):
    answer = run(
        *("identify", trained / "best.ckpt", split / "gallery.csv", split / "probes.csv", "--each", 4),
        *("--neighbours", 25),
    )
    assert answer.exception.reason == "GALLERY_TOO_SMALL"
    answer = run(
        *("identify", trained / "best.ckpt", split / "gallery.csv", split / "probes.csv", "--each", 4),
        *("--neighbours", 3),
    )
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize("far", [0, 1, -0.5])
def test_a_share_of_strangers_that_is_none_is_wrong_usage(trained, split, far):
    answer = run("identify", trained / "best.ckpt", split / "gallery.csv", split / "probes.csv", "--far", far)
    assert answer.exit_code == 2
    assert "--far" in answer.output


def test_strangers_who_are_enrolled_are_refused(trained, split):
    answer = run(
        *("identify", trained / "best.ckpt", split / "gallery.csv", split / "probes.csv"),
        *("--strangers", split / "probes.csv"),
    )
    assert isinstance(answer.exception, DatasetError)
    assert "no stranger" in str(answer.exception)


def test_crops_are_clustered_at_each_threshold(trained, faces):
    answer = run("cluster", trained / "best.ckpt", faces, "--threshold", 1e-9, "--threshold", 4)
    assert answer.exit_code == 0, answer.output
    assert "| 1e-09 | 48 |" in answer.output
    assert "| 4 | 1 |" in answer.output


def test_a_network_is_made_compatible_with_a_model_folder(trained, faces, pairs, tmp_path):
    exported = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", faces, "--pairs", pairs),
        *("--model", "tiny/1", "--licence", "CC0-1.0", "--attribution", "nobody"),
    )
    assert exported.exit_code == 0, exported.output
    recipe = json.loads(to_json(RECIPES["compatible"]("nns2")))
    recipe |= {"steps": 2, "batch": {"people": 3, "faces": 2, "negatives": 2}, "chunk": 8, "precision": "float32"}
    recipe["validation"] = {"people": 2, "every": 2, "far": 0.1}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    begin = ("train", faces, tmp_path / "run", "--device", "cpu")
    older = ("--compatible-with", tmp_path / "models" / "tiny" / "1")
    answer = run(*begin, "--recipe", tmp_path / "recipe.json", *older)
    assert answer.exit_code == 0, answer.output
    compatible = from_json((tmp_path / "run" / "recipe.json").read_text()).compatible
    assert (compatible.model, compatible.uses) == ("tiny/1", 2)
    assert from_json((tmp_path / "run" / "recipe.json").read_text()).network.dimension == 64
    assert run(*begin, "--resume", *older).exit_code == 0


def test_a_model_name_without_a_version_is_wrong_usage(trained, faces, pairs, tmp_path):
    answer = run(
        *("export", trained / "best.ckpt", tmp_path, "--crops", faces, "--pairs", pairs),
        *("--model", "tiny", "--licence", "CC0-1.0", "--attribution", "nobody"),
    )
    assert answer.exit_code == 2
    assert "NAME/VERSION" in answer.output


def test_a_model_name_that_no_manifest_can_hold_is_refused_before_any_work(trained, tmp_path):
    answer = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", tmp_path, "--pairs", tmp_path / "none.csv"),
        *("--model", "a model/1", "--licence", "x", "--attribution", "y"),
    )
    assert answer.exception.reason == "MODEL_CARD_INVALID"


def test_a_model_that_is_there_is_refused_before_any_work(trained, tmp_path):
    (tmp_path / "models" / "tiny" / "1").mkdir(parents=True)
    answer = run(
        *("export", trained / "best.ckpt", tmp_path / "models", "--crops", tmp_path, "--pairs", tmp_path / "none.csv"),
        *("--model", "tiny/1", "--licence", "x", "--attribution", "y"),
    )
    assert answer.exception.reason == "MODEL_EXISTS"


def test_a_missing_photograph_in_the_pairs_is_refused(trained, faces, tmp_path):
    (tmp_path / "pairs.csv").write_text("left,right,same\na/1.jpg,b/2.jpg,0\n")
    answer = run("evaluate", trained / "best.ckpt", faces, "--pairs", tmp_path / "pairs.csv")
    assert isinstance(answer.exception, DatasetError)
    assert answer.exit_code == 1
