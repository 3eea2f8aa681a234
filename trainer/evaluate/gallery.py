"""Identification with photographs: some of each person are enrolled, others are the probes, and some are strangers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain import AlignmentTemplate
from trainer.data.catalog import Catalog
from trainer.errors import DatasetError
from trainer.evaluate.identification import Labelled, OpenSet, open_set, rank_one
from trainer.evaluate.proportion import Proportion
from trainer.evaluate.subject import Subject


@dataclass(frozen=True, slots=True)
class Trial:
    """Who is enrolled, who is looked for, and who should be known to nobody.

    Attributes:
        enrolled: the crops of the gallery.
        probes: other crops of the same people.
        people: (P,) index into `enrolled.identities` for each probe.
        strangers: crops of other people; None where none are shown.
        template: that all crops were made for.
    """

    enrolled: Catalog
    probes: Catalog
    people: NDArray[np.intp]
    strangers: Catalog | None
    template: AlignmentTemplate


def make_trial(
    gallery: Catalog, probes: Catalog, strangers: Catalog | None, *, template: AlignmentTemplate, each: int
) -> Trial:
    """A trial with the first `each` crops of every person enrolled; probes of people who aren't are left out.

    Raises:
        DatasetError: when no probe is left, a probe is enrolled itself, or a stranger is enrolled.
    """
    enrolled = gallery.take(_first(gallery, each))
    number = {name: index for index, name in enumerate(enrolled.identities)}
    known = np.array([name in number for name in probes.identities], bool)
    chosen = probes.take(known[probes.labels])
    if not len(chosen):
        raise DatasetError(
            "NO_PROBES", f"none of the {len(probes.identities)} people of the probes is among those who are enrolled"
        )
    files = {path.resolve() for path in enrolled.paths}  # one file may be spelled in several ways
    twice = [path for path in chosen.paths if path.resolve() in files]
    if twice:
        raise DatasetError("PROBE_ENROLLED", f"{min(twice)} is enrolled and a probe as well; split the crops first")
    both = set(strangers.identities if strangers else ()) & set(number)
    if both:
        raise DatasetError("STRANGER_ENROLLED", f"{min(both)!r} is enrolled and thus no stranger; take other people")
    people = np.array([number[chosen.identities[label]] for label in chosen.labels], np.intp)
    return Trial(enrolled, chosen, people, strangers, template)


def _first(catalog: Catalog, each: int) -> NDArray[np.bool_]:
    order = np.argsort(catalog.labels, kind="stable")
    counts = catalog.counts()
    ranks = np.empty(len(catalog), np.intp)
    ranks[order] = np.concatenate([np.arange(count) for count in counts])
    first: NDArray[np.bool_] = ranks < each
    return first


@dataclass(frozen=True, slots=True)
class Identified:
    """How a trial went.

    Attributes:
        probes: name of the model that embedded the probes and strangers.
        gallery: name of the model that embedded the gallery.
        rank_one: share of the probes whose nearest enrolled faces vote for the right person.
        open_set: with strangers; None without.
    """

    probes: str
    gallery: str
    rank_one: Proportion
    open_set: OpenSet | None


@dataclass(frozen=True, slots=True)
class Embedded:
    """A trial through one model's eyes.

    Attributes:
        name: of the model.
        gallery: the enrolled faces.
        probes: the probes.
        strangers: (S, D); None without.
    """

    name: str
    gallery: Labelled
    probes: Labelled
    strangers: NDArray[np.float32] | None


def embed_trial(subject: Subject, trial: Trial) -> Embedded:
    """Embeds all crops of a trial."""

    def embed(catalog: Catalog) -> NDArray[np.float32]:
        return subject.embed_crops(catalog.paths, trial.template)

    return Embedded(
        subject.name,
        Labelled(embed(trial.enrolled), trial.enrolled.labels.astype(np.intp)),
        Labelled(embed(trial.probes), trial.people),
        None if trial.strangers is None else embed(trial.strangers),
    )


def identify(probing: Embedded, enrolling: Embedded, *, far: float, neighbours: int = 1) -> Identified:
    """One model's probes in another's gallery, or in its own.

    Args:
        probing: embedded the probes and the strangers.
        enrolling: embedded the gallery.
        far: share of the strangers who may get a name; the threshold is fitted to it.
        neighbours: enrolled faces that vote on who a probe is, without regard to strangers.

    Raises:
        DatasetError: when the models' embeddings differ in length, or the strangers are too few for the FAR.
    """
    lengths = [part.embeddings.shape[1] for part in (probing.probes, enrolling.gallery)]
    if lengths[0] != lengths[1]:
        raise DatasetError(
            "DIMENSIONS_DIFFER",
            f"{probing.name} has embeddings of {lengths[0]} dimensions and {enrolling.name} of {lengths[1]}; they "
            "cannot be compared",
        )
    found = None
    if probing.strangers is not None:
        found = open_set(enrolling.gallery, probing.probes, probing.strangers, target=far)
    first = rank_one(enrolling.gallery, probing.probes, neighbours=neighbours)
    return Identified(probing.name, enrolling.name, first, found)


def identification_markdown(rows: Sequence[Identified]) -> str:
    """A table, and how the first row compares with the last one where there are several."""
    strangers = rows[0].open_set is not None
    head = ["probes by", "gallery by", "rank 1", "95 % interval"]
    if strangers:
        head += ["named", "95 % interval", "misnamed", "strangers named", "threshold (squared L2)"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *(_row(row) for row in rows)]
    if len(rows) > 1:
        lines += ["", _comparison(rows[0], rows[-1])]
    return "\n".join(lines) + "\n"


def _row(row: Identified) -> str:
    cells = [row.probes, row.gallery, f"{row.rank_one.value:.2%}", _interval(row.rank_one)]
    found = row.open_set
    if found is not None:
        cells += [
            f"{found.identified.value:.2%}",
            _interval(found.identified),
            f"{found.misnamed.value:.2%}",
            f"{found.accepted_strangers.value:.2%}",
            f"{found.threshold:.4f}",
        ]
    return f"| {' | '.join(cells)} |"


def _comparison(first: Identified, last: Identified) -> str:
    if not last.rank_one.value:
        return f"{last.probes} itself never puts the right person first, so that nothing can be compared with it."
    by_rank = first.rank_one.value / last.rank_one.value
    text = f"In {first.gallery}'s gallery {first.probes} puts the right person first {by_rank:.1%} as often as "
    text += f"{last.probes} itself"
    if first.open_set is None or last.open_set is None:
        return text + "."
    strangers = f"while {100 * first.open_set.target:g}% of the strangers are named."
    if not last.open_set.identified.value:
        return text + f", which names nobody {strangers}"
    named = first.open_set.identified.value / last.open_set.identified.value
    return text + f", and names them {named:.1%} as often {strangers}"


def _interval(share: Proportion) -> str:
    return f"{share.low:.2%} .. {share.high:.2%}"
