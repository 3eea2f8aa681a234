"""`facestream-train split`: photographs that are not trained on, of people who are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.data.catalog import read_catalog, set_aside, write_list


def split(
    crops: Annotated[Path, typer.Argument(help="Prepared crops: one folder for each person, or a CSV list.")],
    training: Annotated[Path, typer.Argument(help="The list to train on, and to enrol from; CSV.")],
    test: Annotated[Path, typer.Argument(help="The list to test with; CSV.")],
    each: Annotated[int, typer.Option(min=1, help="Crops of each person that are for the test.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Decides which.")] = 0,
) -> None:
    """Parts the crops of each person into two lists, at random.

    Example: facestream-train split crops train.csv test.csv --each 4
    """
    kept, aside = set_aside(read_catalog(crops), crops=each, seed=seed)
    write_list(training, kept)
    write_list(test, aside)
    typer.echo(f"{training}: {len(kept)} crops of {len(kept.identities)} people")
    typer.echo(f"{test}: {len(aside)} crops of {len(aside.identities)} people")
