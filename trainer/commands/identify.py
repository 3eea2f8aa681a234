"""`facestream-train identify`: who is it, in a gallery that this model or an older one enrolled."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.remarks import tell_how_prepared
from trainer.commands.written import write_report
from trainer.data.catalog import read_catalog
from trainer.device import device_named
from trainer.evaluate.gallery import embed_trial, identification_markdown, identify, make_trial
from trainer.evaluate.subject import open_subject


def identify_people(  # noqa: PLR0913 one parameter an option
    model: Annotated[Path, typer.Argument(help="A checkpoint, or a model folder such as models/sface/2021dec.")],
    gallery: Annotated[Path, typer.Argument(help="Crops to enrol: one folder for each person, or a CSV list.")],
    probes: Annotated[Path, typer.Argument(help="Other crops of the same people.")],
    strangers: Annotated[
        Path | None, typer.Option(help="Crops of people who are not enrolled; with them, names must be earned.")
    ] = None,
    enrolled_with: Annotated[
        Path | None, typer.Option(help="The older model whose gallery is searched, instead of the model's own.")
    ] = None,
    each: Annotated[int, typer.Option(min=1, help="Crops of each person that are enrolled at most.")] = 3,
    neighbours: Annotated[
        int, typer.Option(min=1, help="Enrolled crops that vote on who a probe is, for rank 1 (k-NN).")
    ] = 1,
    far: Annotated[float, typer.Option(help="Share of the strangers who may get a name, between 0 and 1.")] = 0.01,
    report: Annotated[Path | None, typer.Option(help="Write report.md and report.json into this folder.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto; model folders run on the CPU.")] = "cpu",
) -> None:
    """Identification by the nearest enrolled face: rank 1, and with strangers the share named within a threshold.

    All crops are prepared for the model's network. With --enrolled-with the model's probes are compared with the older
    model's gallery, then the model and the older one each with their own.

    Example: facestream-train identify runs/new/best.ckpt train.csv test.csv --strangers lfw-crops
    --enrolled-with models/sface/2021dec
    """
    if not 0 < far < 1:
        raise typer.BadParameter(f"a share of the strangers lies between 0 and 1, not {far:g}", param_hint="--far")
    subject = open_subject(model, device=device_named(device))
    others = None if strangers is None else read_catalog(strangers)
    trial = make_trial(read_catalog(gallery), read_catalog(probes), others, template=subject.template, each=each)
    tell_how_prepared([*trial.enrolled.paths, *trial.probes.paths, *(others.paths if others else ())], subject.template)
    own = embed_trial(subject, trial)
    between = [(own, own)]
    if enrolled_with is not None:
        older = embed_trial(open_subject(enrolled_with, device=device_named(device)), trial)
        between = [(own, older), *between, (older, older)]
    rows = [identify(probing, enrolling, far=far, neighbours=neighbours) for probing, enrolling in between]
    text = (
        f"{len(trial.enrolled)} crops of {len(trial.enrolled.identities)} people are enrolled; {len(trial.probes)} "
        f"probes of {len(trial.probes.identities)} of them, {len(others) if others else 0} crops of strangers.\n\n"
        f"{identification_markdown(rows)}"
    )
    typer.echo(text, nl=False)
    if report is not None:
        write_report(report, f"# Identification\n\n{text}", {"rows": [asdict(row) for row in rows]})
