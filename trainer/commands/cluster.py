"""`facestream-train cluster`: sorting crops into people without names."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from trainer.commands.remarks import tell_how_prepared
from trainer.commands.written import REPORT_HELP, write_report
from trainer.data.catalog import read_catalog
from trainer.device import device_named
from trainer.evaluate.clustering import Clustered, clustering_markdown, cut, merges
from trainer.evaluate.plots import clustering_figure
from trainer.evaluate.subject import open_subject

THRESHOLDS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)


def cluster(
    model: Annotated[Path, typer.Argument(help="A checkpoint, or a model folder such as models/sface/2021dec.")],
    crops: Annotated[Path, typer.Argument(help="Prepared crops: one folder for each person, or a CSV list.")],
    threshold: Annotated[
        list[float] | None,
        typer.Option(help="Mean squared L2 distance within which two clusters are one; may be given several times."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help=REPORT_HELP)] = None,
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
    tree = merges(embeddings)
    found = [Clustered.of(cut(tree, limit), labels, limit) for limit in threshold or THRESHOLDS]
    text = f"# {subject.name}: {len(catalog)} crops of {len(catalog.identities)} people\n\n{clustering_markdown(found)}"
    typer.echo(text, nl=False)
    if report is not None:
        pictures = {"clusters.png": clustering_figure(found)} if len(found) > 1 else {}
        write_report(report, text, {"thresholds": [asdict(one) for one in found]}, pictures)
