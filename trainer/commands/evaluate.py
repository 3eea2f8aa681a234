"""`facestream-train evaluate`: LFW's protocol, or any list of pairs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from trainer.evaluate.embed import Embed, embed_files
from trainer.evaluate.pairs import Pairs, read_pairs
from trainer.evaluate.quality import degradations, degraded
from trainer.evaluate.report import PairReport, judge_pairs, quality_markdown, to_markdown
from trainer.evaluate.subject import Subject, open_subject

FARS = (1e-4, 1e-3, 1e-2, 1e-1)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A checkpoint, or a model folder such as models/sface/2021dec.")],
    crops: Annotated[Path, typer.Argument(help="Prepared crops: one folder for each person.")],
    pairs: Annotated[Path, typer.Option(help="The list of pairs: LFW's pairs.txt, or CSV with left, right, same.")],
    report: Annotated[Path | None, typer.Option(help="Write the report here, as .md or .json.")] = None,
    quality: Annotated[
        bool,
        typer.Option("--quality", help="Also with worse pictures, as in the paper's table 4; takes 7 times as long."),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda; model folders run on the CPU.")] = "cpu",
) -> None:
    """Judges a model on pairs: accuracy over folds, VAL at FAR with confidence intervals, the ROC's area.

    Example: facestream-train evaluate runs/first/best.ckpt lfw-crops --pairs lfw/pairs.txt
    """
    subject = open_subject(model, device=torch.device(device))
    listed = read_pairs(pairs, crops)
    judged = _judge(subject, subject.embed, listed)
    text = to_markdown(f"{subject.name} on {pairs.name}", judged)
    if quality:
        worse = degradations(subject.height, subject.width)
        rows = [(how.name, _judge(subject, degraded(subject.embed, how), listed)) for how in worse]
        text += quality_markdown([*rows, ("as they are", judged)])
    typer.echo(text, nl=False)
    if report is not None:
        report.write_text(_json(judged) if report.suffix == ".json" else text, encoding="utf-8")


def _judge(subject: Subject, embed: Embed, listed: Pairs) -> PairReport:
    embeddings = embed_files(listed.images, embed, height=subject.height, width=subject.width)
    return judge_pairs(embeddings, listed, FARS)


def _json(judged: PairReport) -> str:
    curve = {name: getattr(judged.curve, name).tolist() for name in ("thresholds", "far", "val")}
    values = asdict(judged) | {"curve": curve | {"area": judged.curve.area}}
    return json.dumps(values, indent=2) + "\n"
