"""Reports on disk: what a command printed, its figures, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from server.errors import StorageError
from trainer.evaluate.plots import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT_HELP = "Write report.md, report.json and pictures into this folder."


def write_report(
    folder: Path, text: str, values: Mapping[str, object], pictures: Mapping[str, Figure] | None = None
) -> None:
    """Writes report.md with the pictures in it, report.json, and the pictures.

    Args:
        folder: made when it isn't there; a report in it is replaced.
        text: Markdown.
        values: that can be JSON.
        pictures: by file name.

    Raises:
        StorageError: REPORT_NOT_WRITTEN.
    """
    shown = pictures or {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").write_text(text + "".join(f"\n![]({name})\n" for name in shown), encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError("REPORT_NOT_WRITTEN", f"{folder} cannot be written: {error.strerror}") from error
    for name, figure in shown.items():
        save_figure(figure, folder / name)
