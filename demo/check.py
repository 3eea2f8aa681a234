"""Whether the server said the right thing: its answers against the ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from demo.sightings import DROPPED, RESULT, Answer, SeenFace
from demo.truth import Presence, Truth

MIN_FACE_PX, MIN_VISIBLE, MAX_BLUR_PX, LIGHT = 80.0, 0.95, 3.0, (0.6, 1.5)
"""A face is clear when it is large, visible, sharp and lit enough; only these count."""

NAMED_SHARE = 0.9
"""In at least this share of the clear frames an enrolled person is named, and a stranger found."""

MIN_LOOKED = 10
"""So many of a person's clear frames were not dropped at least, or the check says nothing. On a slow or busy machine a
live stream drops most of them, as it should."""

_SAME_FACE, _TOUCHING = 0.3, 0.1
_SHOWN = 3


@dataclass(slots=True)
class Row:
    """How one person fared.

    Attributes:
        person: who.
        enrolled: whether the server knows the person.
        clear: frames in which the face is clear.
        looked: those of them that the server worked on.
        found: those of them in which it found the face.
        named: those of them in which it gave the right name.
        seen: every frame in which the face was found, clear or not.
        best: the smallest distance to anybody enrolled, with its threshold; None when there is none.
    """

    person: str
    enrolled: bool
    clear: int = 0
    looked: int = 0
    found: int = 0
    named: int = 0
    seen: list[int] = field(default_factory=list)
    best: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome.

    Attributes:
        rows: people in the order in which they appear, then those who are enrolled and never do.
        outcomes: how many frames were answered how.
        faults: what is wrong, in words; empty when everything is as it should be.
    """

    rows: tuple[Row, ...]
    outcomes: dict[str, int]
    faults: tuple[str, ...]


def is_clear(presence: Presence) -> bool:
    """Whether a face is good enough to ask for a name."""
    return (
        presence.box.height >= MIN_FACE_PX
        and presence.visible >= MIN_VISIBLE
        and presence.blur_px <= MAX_BLUR_PX
        and LIGHT[0] <= presence.brightness <= LIGHT[1]
    )


def check(truth: Truth, answers: Sequence[Answer]) -> Verdict:
    """Compares the answers to all frames with who was there."""
    people = dict.fromkeys(presence.person for frame in truth.frames for presence in frame)
    rows = {person: Row(person, person in truth.enrolled) for person in (*people, *truth.enrolled)}
    for frame in truth.frames:
        for presence in frame:
            rows[presence.person].clear += is_clear(presence)
    strays: list[str] = []
    known = [answer for answer in answers if 1 <= answer.sequence <= len(truth.frames)]
    for answer in known:
        if answer.outcome == RESULT:
            _note(rows, truth.at(answer.sequence), answer)
            strays += _wrong_names(truth.at(answer.sequence), answer)
    faults = [*_unanswered(truth, answers), *_few(strays, "wrong name"), *_by_person(rows.values())]
    return Verdict(tuple(rows.values()), dict(Counter(answer.outcome for answer in answers)), tuple(faults))


def spans(frames: Sequence[int], fps: int) -> list[tuple[float, float]]:
    """First and last second of each stretch of frames; a gap of a second ends one."""
    found: list[list[int]] = []
    for frame in sorted(frames):
        if found and frame - found[-1][1] <= fps:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return [((first - 1) / fps, (last - 1) / fps) for first, last in found]


def _note(rows: dict[str, Row], frame: Sequence[Presence], answer: Answer) -> None:
    for presence in frame:
        row, faces = rows[presence.person], [f for f in answer.faces if f.box.overlap(presence.box) >= _SAME_FACE]
        # Two people close to each other: the face that fits best is this person's.
        faces = [face for face in faces if _owner(face, frame) == presence.person]
        named = any(face.name == presence.person for face in faces)
        if faces:
            row.seen.append(answer.sequence)
        if is_clear(presence):
            row.looked, row.found, row.named = row.looked + 1, row.found + bool(faces), row.named + named
        for face in faces:
            if face.distance is not None and (row.best is None or face.distance < row.best[0]):
                row.best = face.distance, face.threshold or 0.0


def _owner(face: SeenFace, frame: Sequence[Presence]) -> str:
    return max(frame, key=lambda presence: face.box.overlap(presence.box)).person


def _wrong_names(frame: Sequence[Presence], answer: Answer) -> Iterator[str]:
    for face in answer.faces:
        shown = _shown_by(face, frame)
        if face.name and face.name not in shown:
            there = " and ".join(shown) or "nobody"
            yield f"frame {answer.sequence} names {face.name} where {there} is (distance {face.distance})"


def _shown_by(face: SeenFace, frame: Sequence[Presence]) -> list[str]:
    """Whom a face may be of: whose clear face it is; else, as where people pass close by each other, all it touches."""
    near = [presence for presence in frame if face.box.overlap(presence.box) >= _TOUCHING]
    owners = [each for each in near if each.person == _owner(face, frame)]
    if any(is_clear(each) and face.box.overlap(each.box) >= _SAME_FACE for each in owners):
        near = owners
    return [each.person for each in near]


def _unanswered(truth: Truth, answers: Sequence[Answer]) -> Iterator[str]:
    counts = Counter(answer.sequence for answer in answers)
    missing = [number for number in range(1, len(truth.frames) + 1) if not counts[number]]
    if missing:
        yield f"{len(missing)} of {len(truth.frames)} frames were not answered, the first is {missing[0]}"
    repeated = [number for number, count in counts.items() if count > 1]
    if repeated:
        yield f"{len(repeated)} frames were answered more than once, the first is {min(repeated)}"
    foreign = [number for number in counts if not 1 <= number <= len(truth.frames)]
    if foreign:
        yield f"{len(foreign)} answers are for frames that the video doesn't have, such as {foreign[0]}"
    failed = [f"frame {a.sequence}: {a.outcome}" for a in answers if a.outcome not in (RESULT, DROPPED)]
    yield from _few(failed, "frame that failed")


def _by_person(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        if not row.clear:
            continue
        if row.looked < min(MIN_LOOKED, row.clear):
            yield (
                f"{row.person}: {row.looked} of {row.clear} clear frames were worked on and the others dropped: "
                "this machine is too slow or busy; try --every-frame"
            )
        elif row.enrolled and row.named < NAMED_SHARE * row.looked:
            yield f"{row.person} is named in {row.named} of {row.looked} clear frames, wanted are {NAMED_SHARE:.0%}"
        elif row.found < NAMED_SHARE * row.looked:
            yield f"{row.person} is found in {row.found} of {row.looked} clear frames, wanted are {NAMED_SHARE:.0%}"


def _few(items: Sequence[str], what: str) -> Iterator[str]:
    yield from (f"{what}: {item}" for item in items[:_SHOWN])
    if len(items) > _SHOWN:
        yield f"{what}: {len(items) - _SHOWN} more"
