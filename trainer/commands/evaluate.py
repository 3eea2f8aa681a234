"""`facestream-train evaluate`: LFW's protocol, or any list of pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from server.errors import StorageError
from server.inference.manifest import MANIFEST_FILE
from trainer.device import device_named
from trainer.evaluate.embed import Embed, embed_files
from trainer.evaluate.pairs import Pairs, read_pairs
from trainer.evaluate.plots import quality_figure, roc_figure, save_figure
from trainer.evaluate.quality import Degradation, degradations, degraded
from trainer.evaluate.report import (
    PairReport,
    comparison_markdown,
    judge_pairs,
    quality_markdown,
    require_points,
    to_markdown,
)
from trainer.evaluate.subject import Subject, open_subject
from trainer.evaluate.thresholds import write_thresholds

FARS = (1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, slots=True)
class Judged:
    """A model and what the pairs say about it.

    Attributes:
        name: of the model.
        dimension: of its embeddings.
        report: on the pairs.
    """

    name: str
    dimension: int
    report: PairReport


def evaluate(  # noqa: PLR0913 one parameter an option
    model: Annotated[Path, typer.Argument(help="A checkpoint, or a model folder such as models/sface/2021dec.")],
    crops: Annotated[Path, typer.Argument(help="Prepared crops: one folder for each person.")],
    pairs: Annotated[Path, typer.Option(help="The list of pairs: LFW's pairs.txt, or CSV with left, right, same.")],
    compare: Annotated[
        list[Path] | None,
        typer.Option(help="Another model on the same pairs; may be given several times, for a table by dimension."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write report.md, report.json and pictures into this folder.")
    ] = None,
    quality: Annotated[
        bool,
        typer.Option("--quality", help="Also with worse pictures, as in the paper's table 4; takes 10 times as long."),
    ] = False,
    thresholds: Annotated[
        bool, typer.Option("--write-thresholds", help="Put the thresholds into the model folder's manifest.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto; model folders run on the CPU.")] = "cpu",
) -> None:
    """Judges a model on pairs: accuracy over folds, VAL at FAR with confidence intervals, the ROC's area.

    Example: facestream-train evaluate runs/first/best.ckpt lfw-crops --pairs lfw/pairs.txt --report lfw-report
    """
    if thresholds and not (model / MANIFEST_FILE).is_file():
        raise typer.BadParameter(f"{model} is no model folder; export it first", param_hint="--write-thresholds")
    place = device_named(device)
    subject, listed = open_subject(model, device=place), read_pairs(pairs, crops)
    own = _judge(subject, listed, subject)
    others = [_judge(open_subject(path, device=place), listed, subject) for path in compare or ()]
    worse = _worse(subject, listed) if quality else []
    text = to_markdown(f"{subject.name} on {pairs.name}", own.report)
    if others:
        text += comparison_markdown([(one.name, one.dimension, one.report) for one in (own, *others)])
    if worse:
        text += quality_markdown([*((how.name, found) for how, found in worse), ("as they are", own.report)])
    typer.echo(text, nl=False)
    if report is not None:
        _write(report, text, [own, *others], worse)
    if thresholds:
        require_points(own.report)
        write_thresholds(model, own.report.points, f"{len(listed)} pairs of {pairs.name}")
        typer.echo(f"\nthe thresholds are in {model / MANIFEST_FILE}")


def _judge(subject: Subject, listed: Pairs, first: Subject) -> Judged:
    """The crops were prepared for the first model."""
    embeddings = subject.embed_crops(listed.images, first.template)
    return Judged(subject.name, embeddings.shape[1], judge_pairs(embeddings, listed, FARS))


def _worse(subject: Subject, listed: Pairs) -> list[tuple[Degradation, PairReport]]:
    height, width = subject.template.height, subject.template.width

    def judge(embed: Embed) -> PairReport:
        return judge_pairs(embed_files(listed.images, embed, height=height, width=width), listed, FARS)

    return [(how, judge(degraded(subject.embed, how))) for how in degradations(height, width)]


def _write(folder: Path, text: str, judged: Sequence[Judged], worse: Sequence[tuple[Degradation, PairReport]]) -> None:
    pictures = {"roc.png": roc_figure([(one.name, one.report) for one in judged])}
    if worse and judged[0].report.points:
        pictures["quality.png"] = quality_figure(worse, judged[0].report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").write_text(text + "".join(f"\n![]({name})\n" for name in pictures), encoding="utf-8")
        (folder / "report.json").write_text(_json(judged, worse), encoding="utf-8")
    except OSError as error:
        raise StorageError("REPORT_NOT_WRITTEN", f"{folder} cannot be written: {error.strerror}") from error
    for name, figure in pictures.items():
        save_figure(figure, folder / name)


def _json(judged: Sequence[Judged], worse: Sequence[tuple[Degradation, PairReport]]) -> str:
    values = {
        "models": [{"model": one.name, "dimension": one.dimension, **_values(one.report)} for one in judged],
        "quality": {how.name: _values(found) for how, found in worse},
    }
    return json.dumps(values, indent=2) + "\n"


def _values(report: PairReport) -> dict[str, Any]:
    curve = {name: getattr(report.curve, name).tolist() for name in ("thresholds", "far", "val")}
    return asdict(report) | {"curve": curve | {"area": report.curve.area}}
