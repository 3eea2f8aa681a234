"""`facestream-train evaluate`: LFW's protocol, or any list of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from server.domain import AlignmentTemplate
from server.inference.manifest import MANIFEST_FILE
from trainer.commands.remarks import tell_how_prepared
from trainer.commands.written import REPORT_HELP, write_report
from trainer.device import device_named
from trainer.evaluate.embed import Embed, embed_files
from trainer.evaluate.pairs import Pairs, read_pairs
from trainer.evaluate.plots import quality_figure, roc_figure
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
from trainer.evaluate.verification import require_enough

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
    report: Annotated[Path | None, typer.Option(help=REPORT_HELP)] = None,
    quality: Annotated[
        bool,
        typer.Option("--quality", help="Also with worse pictures, as in the paper's table 4; takes 10 times as long."),
    ] = False,
    far: Annotated[
        list[float] | None,
        typer.Option(
            help="False accept rate that VAL is measured at; may be given several times. Without it 1e-4, 1e-3, 1e-2 "
            "and 0.1, as far as the list has pairs for them."
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            help="Also VAL, FAR and accuracy at this threshold, squared L2, such as one of a manifest's; may be given "
            "several times."
        ),
    ] = None,
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
    _require_rates(far or ())
    place = device_named(device)
    subject, listed = open_subject(model, device=place), read_pairs(pairs, crops)
    for rate in far or ():  # those of `FARS` are left out instead, where there are too few pairs
        require_enough(int((~listed.same).sum()), rate)
    tell_how_prepared(listed.images, subject.template)
    trial = _Trial(listed, subject.template, tuple(far or FARS), tuple(threshold or ()))
    own = _judge(subject, trial)
    others = [_judge(open_subject(path, device=place), trial) for path in compare or ()]
    worse = _worse(subject, trial) if quality else []
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


@dataclass(frozen=True, slots=True)
class _Trial:
    """What models are judged on.

    Attributes:
        pairs: of crops.
        template: that the crops were made for: the first model's.
        fars: at which VAL is measured.
        thresholds: that are tried besides, squared L2.
    """

    pairs: Pairs
    template: AlignmentTemplate
    fars: tuple[float, ...]
    thresholds: tuple[float, ...]

    def judge(self, embeddings: NDArray[np.float32]) -> PairReport:
        """The embeddings (N, D) of the pairs' images, judged."""
        return judge_pairs(embeddings, self.pairs, self.fars, self.thresholds)


def _require_rates(fars: Sequence[float]) -> None:
    for rate in fars:
        if not 0 < rate < 1:
            raise typer.BadParameter(f"a false accept rate lies between 0 and 1, not {rate:g}", param_hint="--far")


def _judge(subject: Subject, trial: _Trial) -> Judged:
    embeddings = subject.embed_crops(trial.pairs.images, trial.template)
    return Judged(subject.name, embeddings.shape[1], trial.judge(embeddings))


def _worse(subject: Subject, trial: _Trial) -> list[tuple[Degradation, PairReport]]:
    height, width = trial.template.height, trial.template.width

    def judge(embed: Embed) -> PairReport:
        return trial.judge(embed_files(trial.pairs.images, embed, height=height, width=width))

    return [(how, judge(degraded(subject.embed, how))) for how in degradations(height, width)]


def _write(folder: Path, text: str, judged: Sequence[Judged], worse: Sequence[tuple[Degradation, PairReport]]) -> None:
    pictures = {"roc.png": roc_figure([(one.name, one.report) for one in judged])}
    if worse and judged[0].report.points:
        pictures["quality.png"] = quality_figure(worse, judged[0].report)
    values = {
        "models": [{"model": one.name, "dimension": one.dimension, **_values(one.report)} for one in judged],
        "quality": {how.name: _values(found) for how, found in worse},
    }
    write_report(folder, text, values, pictures)


def _values(report: PairReport) -> dict[str, Any]:
    curve = {name: getattr(report.curve, name).tolist() for name in ("thresholds", "far", "val")}
    return asdict(report) | {"curve": curve | {"area": report.curve.area}}
