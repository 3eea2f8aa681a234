"""Who was seen when: answers to a table, without side effects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from clients.faces import Face, Match, Unknown
from clients.frames import FrameAnswer, Recognised, Stamp


class Who(StrEnum):
    """Whether a row of the table is about somebody known."""

    PERSON = "person"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sighting:
    """When one person was seen, or strangers were.

    Attributes:
        who: whether this is somebody known.
        name: resource name of the identity or of the group of unknown faces; "" for strangers who aren't grouped.
        display_name: the person's name in the latest frame; "" for strangers.
        first: the first frame.
        last: the last frame.
        frames: frames with this person, or with such strangers.
        best_distance: the smallest distance; None when it never was known.
        threshold: that belongs to the best distance.
    """

    who: Who
    name: str
    display_name: str
    first: Stamp
    last: Stamp
    frames: int
    best_distance: float | None
    threshold: float


@dataclass(slots=True)
class _Row:
    first: Stamp
    last: Stamp
    display_name: str = ""
    frames: int = 0
    best_distance: float | None = None
    threshold: float = 0.0

    def add(self, stamp: Stamp, faces: Sequence[Match | Unknown]) -> None:
        self.first = min(self.first, stamp, key=_when)
        self.last = max(self.last, stamp, key=_when)
        self.frames += 1
        for face in faces:
            if isinstance(face, Match):
                self.display_name = face.display_name
            if face.distance is not None and (self.best_distance is None or face.distance < self.best_distance):
                self.best_distance, self.threshold = face.distance, face.threshold


@dataclass(slots=True)
class Summary:
    """Collects answers in any order."""

    _rows: dict[tuple[Who, str], _Row] = field(default_factory=dict)

    def add(self, answer: FrameAnswer) -> None:
        """Takes note of the faces of one frame."""
        if not isinstance(answer.outcome, Recognised):
            return
        seen: dict[tuple[Who, str], list[Match | Unknown]] = {}
        for face in answer.outcome.faces:
            if isinstance(face.answer, Match):
                seen.setdefault((Who.PERSON, face.answer.identity), []).append(face.answer)
            elif isinstance(face.answer, Unknown):
                seen.setdefault((Who.UNKNOWN, face.answer.group), []).append(face.answer)
        for key, answers in seen.items():
            self._rows.setdefault(key, _Row(answer.stamp, answer.stamp)).add(answer.stamp, answers)

    def sightings(self) -> list[Sighting]:
        """People in the order of their first frame, then strangers."""
        found = [
            Sighting(who, name, row.display_name, row.first, row.last, row.frames, row.best_distance, row.threshold)
            for (who, name), row in self._rows.items()
        ]
        return sorted(found, key=lambda seen: (seen.who is Who.UNKNOWN, *_when(seen.first), seen.name))


def summarise(answers: Iterable[FrameAnswer]) -> list[Sighting]:
    """When each person was seen."""
    summary = Summary()
    for answer in answers:
        summary.add(answer)
    return summary.sightings()


def names_in(faces: Sequence[Face]) -> list[str]:
    """The display names of the people in a frame, the largest face first, each once."""
    return list(dict.fromkeys(face.answer.display_name for face in faces if isinstance(face.answer, Match)))


def _when(stamp: Stamp) -> tuple[int, int]:
    return stamp.position_ns, stamp.sequence
