"""What `facestream-models` prints: data on stdout, talk on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import TypeAlias

from rich.console import Console
from rich.status import Status
from rich.table import Table

from server.inference.choose import Decision
from server.inference.manifest import Manifest

Row: TypeAlias = Mapping[str, str]


class Output(Enum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


def print_rows(rows: Sequence[Row], output: Output) -> None:
    """Prints rows of the same keys to stdout."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(list(rows), indent=2) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for key in rows[0] if rows else ():
        table.add_column(key.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console.print(table, markup=False, highlight=False)


def manifest_rows(manifest: Manifest) -> list[Row]:
    """The manifest, a row for each fact."""
    size = manifest.input
    facts = {
        "model": manifest.model,
        "kind": manifest.kind.value,
        "input": f"{size.tensor} {size.width or 'any'}x{size.height or 'any'}, multiples of {size.size_multiple}",
        "pixels": f"{size.pixels.colour.value}, (value - {list(size.pixels.mean)}) / {list(size.pixels.std)}",
        "outputs": ", ".join(manifest.outputs()),
        **_part_facts(manifest),
        "licence": manifest.licence,
        "attribution": manifest.attribution,
        "sha256": manifest.sha256,
    }
    return [{"field": field, "value": value} for field, value in facts.items()]


def runtime_rows(model: str, role: str, decision: Decision) -> list[Row]:
    """What was compared for a model in a role, a row for each runtime."""
    return [
        {
            "model": model,
            "role": role,
            "runtime": trial.runtime.value,
            "chosen": "yes" if trial.runtime is decision.runtime else "",
            "ms": " ".join(f"{cost:.2f}" for cost in trial.costs_ms) or "-",
            "parity": trial.verdict.finding,
            "measured": "earlier" if decision.remembered else "now",
        }
        for trial in decision.trials
    ]


def _part_facts(manifest: Manifest) -> dict[str, str]:
    if manifest.detector is not None:
        part = manifest.detector
        return {
            "decoding": part.decoding.value,
            "score threshold": str(part.score_threshold),
            "NMS IoU": str(part.nms_iou),
        }
    embedder = manifest.as_embedder()
    points = [f"FAR {p.far:g}: distance {p.distance:g}, VAL {p.val:.2%}" for p in manifest.operating_points()]
    return {
        "dimension": str(embedder.dimension),
        "metric": embedder.metric,
        "operating points": "\n".join(points) or "none",
        "fitted on": embedder.fitted_on or "-",
        "mirrored": "yes" if embedder.mirrored else "no",
    }


class Talk:
    """Says on stderr what is being done: a spinner on a terminal, a line for each step elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._status: Status | None = None

    def __enter__(self) -> Talk:
        """Starts the spinner where there is a terminal."""
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the spinner away."""
        if self._status is not None:
            self._status.stop()

    def step(self, text: str) -> None:
        """What is being done now."""
        if self._status is not None:
            self._status.update(text)
        else:
            self.say(text)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, soft_wrap=True)
