"""`facestream-train models`: what can be built, and what it costs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from trainer.models.build import ARCHITECTURES, MAX_DIMENSION, MIN_DIMENSION, architecture
from trainer.models.layers import Normalisation
from trainer.models.table import Row, table


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this network block by block.")] = None,
    dimension: Annotated[
        int, typer.Option(min=MIN_DIMENSION, max=MAX_DIMENSION, help="Length of the embedding.")
    ] = 128,
    normalisation: Annotated[
        Normalisation | None,
        typer.Option(help="The paper's or batch normalisation; without it the network's default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Lists the networks with their parameters and multiply-adds, or the blocks of one.

    Example: facestream-train models nn2 --normalisation local-response
    """
    rows = _all(dimension, normalisation) if name is None else _blocks(name, dimension, normalisation)
    typer.echo(json.dumps(rows, indent=2) if as_json else _aligned(rows))


def _all(dimension: int, normalisation: Normalisation | None) -> list[dict[str, object]]:
    answer: list[dict[str, object]] = []
    for found in ARCHITECTURES.values():
        kind = normalisation if normalisation in found.normalisations else None
        rows = table(found.name, dimension=dimension, normalisation=kind)
        answer.append(
            {
                "network": found.name,
                "input": f"{found.height}x{found.width}",
                "parameters": _total(rows, "parameters"),
                "published": _millions(found.published.parameters),
                "multiply-adds": _total(rows, "multiply_adds"),
                "published ": _millions(found.published.multiply_adds),
                "layout": found.layout,
            }
        )
    return answer


def _blocks(name: str, dimension: int, normalisation: Normalisation | None) -> list[dict[str, object]]:
    architecture(name)
    rows = table(name, dimension=dimension, normalisation=normalisation)
    answer: list[dict[str, object]] = [
        {
            "block": row.name,
            "output": "x".join(str(size) for size in row.output),
            "parameters": row.parameters,
            "multiply-adds": row.multiply_adds,
        }
        for row in rows
    ]
    total = {"parameters": sum(row.parameters for row in rows), "multiply-adds": sum(r.multiply_adds for r in rows)}
    return [*answer, {"block": "total", "output": "", **total}]


def _total(rows: tuple[Row, ...], column: str) -> str:
    return _millions(sum(getattr(row, column) for row in rows))


def _millions(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:.1f} M"


def _aligned(rows: list[dict[str, object]]) -> str:
    lines = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    numeric = [isinstance(value, int) or _text(value).endswith((" M", "-")) for value in rows[0].values()]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
