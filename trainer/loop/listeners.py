"""Who is told how a run goes: files of JSON lines and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from trainer.evaluate.verification import ValAtFar
from trainer.loop.step import StepResult
from trainer.storage import not_written, replace_file

_LOG = "the log"


class Listener(Protocol):
    """Is told about a run."""

    def on_step(self, step: int, result: StepResult, faces_per_second: float) -> None:
        """After each step; `step` counts the steps done."""
        ...

    def on_validation(self, step: int, result: ValAtFar) -> None:
        """After each look at the held-out people."""
        ...

    def close(self) -> None:
        """At the end."""
        ...


class JsonLines:
    """One JSON object a line: {"step": ..., "loss": ...} or {"step": ..., "val": ...}."""

    def __init__(self, path: Path, *, done: int) -> None:
        """Opens the file behind the lines of the first `done` steps; later ones, which a resumed run repeats, go.

        Raises:
            StorageError: the file cannot be written; one from before is untouched.
        """
        kept = [line for line in _lines(path) if _step_of(line) <= done]
        replace_file(path, "".join(kept).encode(), what=_LOG)
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    def on_step(self, step: int, result: StepResult, faces_per_second: float) -> None:
        """Writes the step's figures."""
        self._write({"step": step, **asdict(result), "faces_per_second": round(faces_per_second, 1)})

    def on_validation(self, step: int, result: ValAtFar) -> None:
        """Writes VAL with its confidence interval."""
        val = result.val
        self._write(
            {"step": step, "val": val.value, "low": val.low, "high": val.high, "far": result.target}
            | {"threshold": result.threshold}
        )

    def close(self) -> None:
        """Closes the file."""
        try:
            self._file.close()
        except OSError as error:
            raise not_written(self._path, error, what=_LOG) from error

    def _write(self, values: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        except OSError as error:
            raise not_written(self._path, error, what=_LOG) from error


class TensorBoard:
    """Curves for `tensorboard --logdir`."""

    def __init__(self, folder: Path, *, done: int) -> None:
        """Starts a file of events; curves of later steps than `done` are hidden.

        Raises:
            StorageError: the folder cannot be written.
        """
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        with self._explained():
            self._writer: Any = SummaryWriter(str(folder), purge_step=done + 1)

    def on_step(self, step: int, result: StepResult, faces_per_second: float) -> None:
        """Adds a point to each curve."""
        with self._explained():
            for name, value in (asdict(result) | {"faces_per_second": faces_per_second}).items():
                self._writer.add_scalar(f"train/{name}", value, step)

    def on_validation(self, step: int, result: ValAtFar) -> None:
        """Adds a point to the curves of VAL and its threshold."""
        with self._explained():
            self._writer.add_scalar(f"validation/val_at_far_{result.target:g}", result.val.value, step)
            self._writer.add_scalar("validation/threshold", result.threshold, step)

    def close(self) -> None:
        """Closes the file."""
        with self._explained():
            self._writer.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_written(self._folder, error, what="the curves") from error


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    # a killed run may leave half a line
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _step_of(line: str) -> int:
    return int(json.loads(line)["step"])
