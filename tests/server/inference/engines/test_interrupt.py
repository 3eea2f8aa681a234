"""Ctrl-C in the midst of a build ends the build, and the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from server.inference.engines.interrupt import interruptible
from server.inference.engines.progress import Progress
from tests.rtx import rtx
from tests.server_process import MODELS, PROJECT


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_one_calls_off_and_is_an_interrupt_once_the_work_has_ended():
    went_on = []

    def work():
        with interruptible() as unwanted:
            press()
            went_on.append("to the next step")
            Progress(unwanted=unwanted).go_on()
            went_on.append("further")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert went_on == ["to the next step"]


def test_the_second_one_interrupts_at_once():
    went_on = []

    def work():
        with interruptible():
            press()
            press()
            went_on.append("further")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert went_on == []


def test_afterwards_everything_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.models
@pytest.mark.slow
def test_a_command_that_is_interrupted_while_tensorrt_builds_ends_and_begins_no_other_build(tmp_path):
    rtx()
    command = [
        sys.executable,
        "-c",
        "from server.models.cli import main; main()",
        "engine",
        "build",
        "yunet",
        "sface",
        "--precision",
        "f32",
    ]
    options = ["--target", "sm86", "--engines-dir", str(tmp_path / "engines"), "--models-dir", str(MODELS)]
    with subprocess.Popen([*command, *options], cwd=PROJECT, stderr=subprocess.PIPE, text=True) as process:
        patience = threading.Timer(90, process.kill)
        patience.start()
        said = []
        for line in process.stderr:
            said.append(line)
            if "1 of" in line:
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr.readlines()
        code = process.wait()
        patience.cancel()
    assert code == 130, said
    assert "sface" not in "".join(said)
    assert list((tmp_path / "engines").glob("*.engine")) == []
