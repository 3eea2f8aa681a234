"""`facestream-train cluster`: sorting crops into people without names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from trainer.commands.remarks import tell_how_prepared
from trainer.data.catalog import read_catalog
from trainer.device import device_named
from trainer.evaluate.clustering import agglomerative, b_cubed, pairwise
from trainer.evaluate.subject import open_subject

THRESHOLDS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)


def cluster(
    model: Annotated[Path, typer.Argument(help="A checkpoint, or a model folder such as models/sface/2021dec.")],
    crops: Annotated[Path, typer.Argument(help="Prepared crops: one folder for each person, or a CSV list.")],
    threshold: Annotated[
        list[float] | None,
        typer.Option(help="Mean squared L2 distance within which two clusters are one; may be given several times."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto; model folders run on the CPU.")] = "cpu",
) -> None:
    """Clusters crops by average linkage, and says how well the clusters agree with the people.

    Choose the threshold on other people than those whom a figure is stated for. Memory grows with the square of the
    number of crops.

    Example: facestream-train cluster models/sface/2021dec crops --threshold 1.2
    """
    subject = open_subject(model, device=device_named(device))
    catalog = read_catalog(crops)
    tell_how_prepared(catalog.paths, subject.template)
    embeddings, labels = subject.embed_crops(catalog.paths), catalog.labels.astype(np.intp)
    typer.echo(f"# {subject.name}: {len(catalog)} crops of {len(catalog.identities)} people\n")
    typer.echo("| threshold | clusters | B-cubed F | precision | recall | pairwise F | precision | recall |")
    typer.echo("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for limit in threshold or THRESHOLDS:
        clusters = agglomerative(embeddings, limit)
        cells = [f"{limit:g}", str(int(clusters.max()) + 1)]
        for found in (b_cubed(clusters, labels), pairwise(clusters, labels)):
            cells += [f"{found.f_score:.2%}", f"{found.precision:.2%}", f"{found.recall:.2%}"]
        typer.echo(f"| {' | '.join(cells)} |")
