"""Who is enrolled, in memory: an immutable map from identity keys to people that is cheap to change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

_MOST_RECENT: Final = 1_024
"""Changes that are copied with every further one before they are merged into the rest."""


class Person(NamedTuple):
    """Somebody who is enrolled."""

    identity_id: str
    display_name: str


GONE: Final = Person("", "")
"""Stands in a change for somebody who was removed."""


@dataclass(frozen=True, slots=True)
class Roster:
    """People by identity key.

    Attributes:
        count: how many.
    """

    _settled: Mapping[int, Person]
    _recent: Mapping[int, Person]
    count: int

    @staticmethod
    def of(people: Mapping[int, Person]) -> Roster:
        """A roster of these people; the mapping must not change afterwards."""
        return Roster(people, {}, len(people))

    def __getitem__(self, key: int) -> Person:
        return self._recent.get(key) or self._settled[key]

    def __contains__(self, key: int) -> bool:
        person = self._recent.get(key) or self._settled.get(key, GONE)
        return person is not GONE

    def keys_of(self, identity_ids: Collection[str]) -> list[int]:
        """Keys of those of these people who are there; looks through everybody."""
        if not identity_ids:
            return []
        everybody = {**self._settled, **self._recent}
        return [key for key, person in everybody.items() if person.identity_id in identity_ids]

    def changed(self, people: Mapping[int, Person]) -> Roster:
        """A roster in which these people are new, or other, or `GONE`."""
        count = self.count
        for key, person in people.items():
            count += (person is not GONE) - (key in self)
        recent = {**self._recent, **people}
        if len(recent) <= _MOST_RECENT:
            return Roster(self._settled, recent, count)
        merged = {**self._settled, **recent}
        return Roster({k: p for k, p in merged.items() if p is not GONE}, {}, count)
