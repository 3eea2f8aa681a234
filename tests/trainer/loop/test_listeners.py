from __future__ import annotations

import errno
import json

import pytest

from server.errors import StorageError, StorageFullError
from trainer.evaluate.proportion import wilson
from trainer.evaluate.verification import ValAtFar
from trainer.loop.listeners import JsonLines, TensorBoard
from trainer.loop.step import StepResult

RESULT = StepResult(0.15, 0.15, 0.5, 20, 0.8, 0.0, 3.0, 0.01, 40)
VAL = ValAtFar(1e-2, 1.1, wilson(8, 10), wilson(1, 100))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, steps, *, done=0):
    log = JsonLines(path, done=done)
    for step in steps:
        log.on_step(step, RESULT, 123.45)
    log.on_validation(steps[-1], VAL)
    log.close()


def test_each_step_and_each_look_is_a_line(tmp_path):
    write(tmp_path / "log.jsonl", [1, 2])
    first, second, look = lines(tmp_path / "log.jsonl")
    assert first["step"] == 1
    assert first["loss"] == 0.15
    assert first["active_share"] == 0.5
    assert first["faces_per_second"] == pytest.approx(123.4, abs=0.1)
    assert second["step"] == 2
    assert look["step"] == 2
    assert look["val"] == 0.8
    assert look["low"] < 0.8 < look["high"]


def test_a_resumed_run_keeps_what_it_does_not_repeat(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, [1, 2, 3, 4])
    with path.open("a") as file:
        file.write('{"step": 5, "lo')  # the run was killed while it wrote
    write(path, [3], done=2)
    assert [line["step"] for line in lines(path)] == [1, 2, 3, 3]


def test_a_fresh_run_starts_an_empty_file(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, [1, 2])
    JsonLines(path, done=0).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("broken", ["on_step", "on_validation", "close"])
def test_curves_that_cannot_be_written_are_an_error_of_the_disk(tmp_path, broken):
    class FullDisk:
        def add_scalar(self, *arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    board = TensorBoard(tmp_path / "tensorboard", done=0)
    board._writer.close()
    board._writer = FullDisk()
    arguments = {"on_step": (1, RESULT, 100.0), "on_validation": (1, VAL), "close": ()}[broken]
    with pytest.raises(StorageFullError, match=r"curves.*No space left"):
        getattr(board, broken)(*arguments)


def test_curves_have_no_place_under_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="curves"):
        TensorBoard(tmp_path / "file" / "tensorboard", done=0)


def test_a_full_disk_is_an_error_of_the_disk_and_closing_does_not_hide_it(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl", done=0)
    log._file.close()
    log._file = open("/dev/full", "a", encoding="utf-8")  # noqa: SIM115, PTH123 - the log closes it
    with pytest.raises(StorageFullError, match="the log cannot be written"):
        log.on_step(1, RESULT, 1.0)
    with pytest.raises(StorageFullError, match="the log cannot be written"):
        log.close()


def test_tensorboard_gets_every_curve(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path, done=0)
    board.on_step(1, RESULT, 100.0)
    board.on_validation(1, VAL)
    board.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/active_share", "train/faces_per_second"} <= tags
    assert "validation/val_at_far_0.01" in tags
    assert events.Scalars("train/loss")[0].value == pytest.approx(0.15)
