"""Who a track is, over time: names come at once, are confirmed by a second look, and don't flicker. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.domain import Answer, Match, Unknown, UnknownReason

_PATIENCE = 2
"""Looks in a row that must say otherwise before a confirmed name goes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a track.

    Attributes:
        answer: who it is. A match is provisional until a later look has agreed.
        looks: how many looks were judged.
        doubts: looks in a row that said something else than a confirmed name.
    """

    answer: Match | Unknown
    looks: int = 1
    doubts: int = 0

    @staticmethod
    def first(said: Match | Unknown) -> Verdict:
        """The verdict on a first look."""
        return Verdict(replace(said, provisional=True) if isinstance(said, Match) else said)

    @property
    def settled(self) -> bool:
        """Whether a second look has agreed."""
        return self.looks > 1 and not (isinstance(self.answer, Match) and self.answer.provisional)

    def after(self, said: Match | Unknown) -> Verdict:
        """The verdict when another look says something.

        A name that a second look repeats is confirmed. A confirmed name outlives a look that says otherwise: it goes
        when the next look does so too, whatever each of them says. While the name stays, so do the distance and the
        threshold that gave it, because they are the ones it was given for.
        """
        looks = self.looks + 1
        before = self.answer
        if not isinstance(before, Match):
            return replace(Verdict.first(said), looks=looks)
        if isinstance(said, Match) and said.identity == before.identity:
            return Verdict(said, looks)
        if not before.provisional and self.doubts + 1 < _PATIENCE:
            return Verdict(before, looks, self.doubts + 1)
        return replace(Verdict.first(said), looks=looks)

    def restated(self, said: Match | Unknown) -> Verdict:
        """The verdict when the same looks are judged against a gallery that has changed: what it says counts at once.

        A person who was deleted is gone, and one who was just enrolled is named, from the next frame on.
        """
        if isinstance(said, Match):
            before = self.answer
            confirmed = isinstance(before, Match) and before.identity == said.identity and not before.provisional
            return Verdict(replace(said, provisional=not (confirmed or self.looks > 1)), self.looks)
        return Verdict(said, self.looks)


def one_each(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """The answers of one frame, where nobody is in two places.

    Of several faces that match one person the nearest keeps the name; the others are ambiguous.
    """
    nearest: dict[str, float] = {}
    for answer in answers:
        if isinstance(answer, Match):
            nearest[answer.identity] = min(answer.distance, nearest.get(answer.identity, answer.distance))
    given: set[str] = set()
    single: list[Answer] = []
    for answer in answers:
        if isinstance(answer, Match):
            if answer.distance > nearest[answer.identity] or answer.identity in given:
                single.append(Unknown(UnknownReason.AMBIGUOUS, answer.distance, answer.threshold))
                continue
            given.add(answer.identity)
        single.append(answer)
    return tuple(single)
