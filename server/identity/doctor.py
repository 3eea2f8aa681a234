"""The gallery doctor: which references of a gallery mislead, and which threshold suits it. Pure and read-only.

Each template is searched for among the others, so that a check costs one search per template and never compares all
with all. Of a large gallery a random sample is looked at; the checkup says how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.identity.coherence import counted
from server.identity.index import TemplateIndex

_NEIGHBOURS: Final = 16
"""Templates that each one is compared with; asked again for more while all of them are its own person's."""
_FEWEST_TAIL: Final = 10
"""Observations beyond a quantile without which it is noise."""


class Trouble(Enum):
    """What is wrong with a reference, the worst first."""

    DUPLICATE = "duplicate"
    """Two people who are probably one: a template of each is nearer than strangers ever are."""
    MISPLACED = "misplaced"
    """A template that is nearer to somebody else than to the other templates of its own person."""
    CONFUSABLE = "confusable"
    """Two people who can be taken for each other: a template of one is within the threshold of the other's."""
    WEAK = "weak"
    """A template of poor quality."""


@dataclass(frozen=True, slots=True)
class CheckRule:
    """What counts as trouble.

    Attributes:
        duplicate: squared L2 up to which two people are probably one.
        threshold: in force, squared L2: up to which two people can be taken for each other.
        target_far: the false accept rate that the threshold stands for.
        weak_quality: a template below it is weak, 0..1.
        most_checked: templates that are looked at; a random sample of a larger gallery.
    """

    duplicate: float
    threshold: float
    target_far: float
    weak_quality: float = 0.3
    most_checked: int = 5_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble.

    Attributes:
        trouble: which.
        owner: key of the person whose template it is.
        template: its key.
        quality: its quality, 0..1.
        other: key of the person that it resembles; 0 for WEAK.
        other_template: that person's nearest template; 0 for WEAK.
        distance: to that template, squared L2; None for WEAK.
        own_distance: to the nearest other template of its own person, squared L2; None while it has no other.
    """

    trouble: Trouble
    owner: int
    template: int
    quality: float
    other: int = 0
    other_template: int = 0
    distance: float | None = None
    own_distance: float | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a check found.

    Attributes:
        findings: the worst first: by trouble, then by distance or quality. One for each pair of people.
        templates: in the gallery.
        checked: templates that were looked at.
        threshold: in force, squared L2.
        advised_threshold: squared L2; stricter than the one in force where this gallery's people are more alike than
            the embedder's operating points know.
        observed_far: share of the checked templates that the threshold in force would give to somebody else if their
            person were not enrolled; duplicates don't count.
        kept_share: of the checked templates whose person has another one, the share that is within the advised
            threshold of it; None when nobody has two.
    """

    findings: tuple[Finding, ...]
    templates: int
    checked: int
    threshold: float
    advised_threshold: float
    observed_far: float
    kept_share: float | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A template and what is nearest to it; infinite distances where there is nothing."""

    template: int
    owner: int
    own: float
    distance: float
    other: int
    other_template: int


def check(
    index: TemplateIndex, qualities: Mapping[int, float], coherences: Mapping[int, float], rule: CheckRule
) -> Checkup:
    """Looks at a gallery.

    Args:
        index: its templates.
        qualities: of the templates, 0..1, by key; one that is missing counts as good.
        coherences: of those templates that are means of several looks, by key: distances count as in searches.
        rule: what counts as trouble.
    """
    rows = index.rows
    living = np.flatnonzero(rows.alive)
    if not len(living):
        return Checkup((), 0, 0, rule.threshold, rule.threshold, 0.0, None)
    if len(living) > rule.most_checked:
        living = np.sort(np.random.default_rng(len(living)).choice(living, rule.most_checked, replace=False))
    own_rows = _rows_by_owner(rows.owners, rows.alive)
    seen = [_look(index, own_rows, coherences, int(row)) for row in living]
    pairs = _pairs(seen, qualities, rule)
    findings = pairs + _misplaced(seen, qualities, pairs) + _weak(seen, qualities, rule)
    far, advised = _thresholds(seen, rule)
    kept = [one.own <= advised for one in seen if one.own < np.inf]
    return Checkup(
        findings=tuple(sorted(findings, key=_severity)),
        templates=len(index),
        checked=len(seen),
        threshold=rule.threshold,
        advised_threshold=advised,
        observed_far=far,
        kept_share=float(np.mean(kept)) if kept else None,
    )


def _rows_by_owner(owners: NDArray[np.int64], alive: NDArray[np.bool_]) -> dict[int, NDArray[np.intp]]:
    rows = np.flatnonzero(alive)
    rows = rows[np.argsort(owners[rows], kind="stable")]
    people, starts = np.unique(owners[rows], return_index=True)
    return dict(zip(people.tolist(), np.split(rows, starts[1:]), strict=True))


def _look(
    index: TemplateIndex, own_rows: Mapping[int, NDArray[np.intp]], coherences: Mapping[int, float], row: int
) -> _Seen:
    rows = index.rows
    owner, key, vector = int(rows.owners[row]), int(rows.keys[row]), rows.vectors[row]
    mine = own_rows[owner]
    others = mine[mine != row]
    to_own = np.sum((rows.vectors[others] - vector) ** 2, axis=1)
    own = float(counted(rows.keys[others], to_own, coherences).min(initial=np.inf))
    asked = _NEIGHBOURS + len(mine)
    (labels,), (found,) = index.search(vector[None], asked)
    owners = rows.owners[rows.positions(labels)]
    strange = np.flatnonzero(owners != owner)
    if not len(strange):
        return _Seen(key, owner, own, np.inf, 0, 0)
    distances = counted(labels, found, coherences)
    first = int(strange[np.argmin(distances[strange])])
    return _Seen(key, owner, own, float(distances[first]), int(owners[first]), int(labels[first]))


def _pairs(seen: list[_Seen], qualities: Mapping[int, float], rule: CheckRule) -> list[Finding]:
    """One finding for each two people who are too near, by their nearest templates."""
    nearest: dict[frozenset[int], _Seen] = {}
    for one in seen:
        if one.distance <= rule.threshold:
            pair = frozenset((one.owner, one.other))
            if pair not in nearest or one.distance < nearest[pair].distance:
                nearest[pair] = one
    return [
        _finding(Trouble.DUPLICATE if one.distance <= rule.duplicate else Trouble.CONFUSABLE, one, qualities)
        for one in nearest.values()
    ]


def _misplaced(seen: list[_Seen], qualities: Mapping[int, float], pairs: list[Finding]) -> list[Finding]:
    """Templates that are nearer to somebody else, unless that is probably the same person anyway."""
    twins = {frozenset((pair.owner, pair.other)) for pair in pairs if pair.trouble is Trouble.DUPLICATE}
    return [
        _finding(Trouble.MISPLACED, one, qualities)
        for one in seen
        if one.distance < one.own < np.inf and frozenset((one.owner, one.other)) not in twins
    ]


def _weak(seen: list[_Seen], qualities: Mapping[int, float], rule: CheckRule) -> list[Finding]:
    return [
        Finding(Trouble.WEAK, one.owner, one.template, qualities[one.template], own_distance=_finite(one.own))
        for one in seen
        if qualities.get(one.template, 1.0) < rule.weak_quality
    ]


def _finding(trouble: Trouble, one: _Seen, qualities: Mapping[int, float]) -> Finding:
    return Finding(
        trouble,
        one.owner,
        one.template,
        qualities.get(one.template, 1.0),
        one.other,
        one.other_template,
        one.distance,
        _finite(one.own),
    )


def _finite(distance: float) -> float | None:
    return distance if distance < np.inf else None


def _severity(finding: Finding) -> tuple[int, float, int]:
    order = list(Trouble).index(finding.trouble)
    return order, finding.quality if finding.distance is None else finding.distance, finding.template


def _thresholds(seen: list[_Seen], rule: CheckRule) -> tuple[float, float]:
    """(share of templates within the threshold of somebody else, advised threshold); duplicates don't count."""
    strange = np.sort([one.distance for one in seen if rule.duplicate < one.distance < np.inf])
    if not len(strange):
        return 0.0, rule.threshold
    observed = float(np.mean(strange <= rule.threshold))
    allowed = int(rule.target_far * len(strange))
    # The (allowed + 1)-th nearest stranger must stay outside; with few observations it says nothing unless the rate
    # is far off.
    if observed * len(strange) < max(_FEWEST_TAIL, 2 * allowed):
        return observed, rule.threshold
    return observed, min(rule.threshold, float(np.nextafter(strange[allowed], 0)))
