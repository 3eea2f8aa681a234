"""What users should know before they rely on a figure, on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from server.domain import AlignmentTemplate
from trainer.data.prepared import unlike


def tell_how_prepared(crops: Iterable[Path], template: AlignmentTemplate) -> None:
    """Says so when crops were not prepared for the template that a model wants, or nobody can tell."""
    for remark in unlike(crops, template):
        typer.echo(f"note: {remark}", err=True)
