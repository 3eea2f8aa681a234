"""Decisions that were made at an earlier start, in a file: measured again only when something has changed.

A cache: whatever is wrong with the file, the answer is that nothing is known, and the next decision replaces it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.inference.choose import Decision, Trial
from server.inference.load import Runtime
from server.inference.parity import Verdict

_log = logging.getLogger(__name__)

DECISIONS_FILE = ".runtimes.json"
"""Its name in the models directory."""

_LIBRARIES = ("onnxruntime", "openvino", "numpy")
_MOST_ENTRIES = 64
_METHOD = 3
"""Goes up when probes, thresholds or the way of measuring change: earlier decisions then no longer count."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Circumstances(_Value):
    """Everything that a decision depends on.

    Attributes:
        sha256: of the weights.
        work: what the model does, and with batches of which shapes.
        threads: that one batch is spread over.
        lanes: batches that run beside each other.
        candidates: names of the runtimes that were compared.
        libraries: versions by name.
        processor: its model, and a hash of its features.
        method: of measuring and judging.
    """

    sha256: str
    work: str
    threads: int
    lanes: int
    candidates: tuple[str, ...]
    libraries: dict[str, str]
    processor: str
    method: int = _METHOD


class _Tried(_Value):
    runtime: Runtime
    passed: bool
    finding: str
    costs_ms: tuple[Annotated[float, Field(ge=0)], ...]


class _Entry(_Value):
    circumstances: Circumstances
    runtime: Runtime
    trials: tuple[_Tried, ...]

    @model_validator(mode="after")
    def _the_runtime_passed(self) -> _Entry:
        if not any(tried.runtime is self.runtime and tried.passed and tried.costs_ms for tried in self.trials):
            raise ValueError(f"{self.runtime.value} was chosen without having passed")
        return self


class _File(_Value):
    schema_version: Literal[1] = 1
    entries: tuple[_Entry, ...] = ()


class Decisions:
    """The decisions in a file; several processes may use it, the last one that writes wins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def recall(self, circumstances: Circumstances) -> Decision | None:
        """The decision that was made under the same circumstances; None when there is none."""
        for entry in self._read().entries:
            if entry.circumstances == circumstances:
                trials = (Trial(t.runtime, Verdict(t.passed, t.finding), t.costs_ms) for t in entry.trials)
                return Decision(entry.runtime, tuple(trials), remembered=True)
        return None

    def remember(self, circumstances: Circumstances, decision: Decision) -> None:
        """Writes a decision, all of it or nothing; a file that can't be written is logged and costs the next start."""
        tried = tuple(
            _Tried(runtime=t.runtime, passed=t.verdict.passed, finding=t.verdict.finding, costs_ms=t.costs_ms)
            for t in decision.trials
        )
        others = [entry for entry in self._read().entries if entry.circumstances != circumstances]
        new = _Entry(circumstances=circumstances, runtime=decision.runtime, trials=tried)
        text = _File(entries=(new, *others[: _MOST_ENTRIES - 1])).model_dump_json(indent=1)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            unfinished.write_text(text + "\n", encoding="utf-8")
            unfinished.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            _log.warning("runtimes are measured at every start: %s can't be written: %s", self.path, error.strerror)

    def _read(self) -> _File:
        try:
            return _File.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return _File()
        except (OSError, ValidationError) as error:
            _log.warning("runtimes are measured again: %s is damaged (%s)", self.path, type(error).__name__)
            return _File()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that run networks, those that are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """This processor's model and a hash of its features.

    The features count because a virtual machine may hide some of what the model's name promises.
    """
    facts = _cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine()
    features = " ".join(sorted(facts.get("flags", facts.get("Features", "")).split()))
    return f"{name}, {os.cpu_count()} cores, features {hashlib.sha256(features.encode()).hexdigest()[:12]}"


def _cpuinfo() -> dict[str, str]:
    """What Linux says of its first processor; nothing elsewhere."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
