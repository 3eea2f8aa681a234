"""Flag beats environment beats file beats default, and nonsense is refused with words."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from server.errors import InvalidInputError
from server.settings import load_settings


def test_defaults_hold_when_nothing_is_said():
    settings = load_settings([])
    assert settings.listen == "127.0.0.1:50051"
    assert settings.target_far == 0.001


def test_a_flag_beats_the_environment_and_that_beats_the_file(tmp_path, monkeypatch):
    file = tmp_path / "facestream.toml"
    file.write_text("detect_side = 320\nframe_threads = 3\nmax_streams = 5\n")
    monkeypatch.setenv("FACESTREAM_DETECT_SIDE", "480")
    monkeypatch.setenv("FACESTREAM_FRAME_THREADS", "4")
    settings = load_settings(["--config", str(file), "--detect-side", "512"])
    assert (settings.detect_side, settings.frame_threads, settings.max_streams) == (512, 4, 5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--target-far", "0.5"], "target_far"),
        (["--listen", "somewhere"], "HOST:PORT"),
        (["--runtime", "abacus"], "runtime"),
        (["--no-such-flag", "1"], "no-such-flag"),
        (["--config", "/no/such/file.toml"], "no such file"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(arguments, named):
    with pytest.raises(InvalidInputError) as refused:
        load_settings(arguments)
    assert named in refused.value.message


def test_an_unknown_key_in_the_file_is_refused(tmp_path):
    file = tmp_path / "facestream.toml"
    file.write_text("detect_sidde = 320\n")
    with pytest.raises(InvalidInputError, match="detect_sidde"):
        load_settings(["--config", str(file)])


def run_server_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_print_config_prints_every_setting_as_json():
    finished = run_server_command("--print-config", "--detect-side", "320")
    assert finished.returncode == 0
    assert json.loads(finished.stdout)["detect_side"] == 320


def test_a_wrong_flag_exits_with_2_and_no_traceback():
    finished = run_server_command("--target-far", "7")
    assert finished.returncode == 2
    assert "target_far" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_help_says_where_settings_come_from(capsys):
    with pytest.raises(SystemExit) as ended:
        load_settings(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for words in ("--config FILE", "--print-config", "FACESTREAM_DATA_DIR", "--data-dir"):
        assert words in shown
