"""Random operations on a system and on the model of it; whatever differs is a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from tests.strangers.model import Model
from tests.strangers.system import RefusedError, Row

PEOPLE = 12
OPERATIONS = {
    "pass_by": 40, "report_again": 8, "name": 6, "name_as": 4, "merge": 6, "split": 5, "split_named": 2,
    "halve": 3, "ignore": 4, "reject": 5, "undo": 8, "undo_older": 4, "delete_group": 1, "delete_person": 1,
    "rename": 3, "restart": 1,
}  # fmt: skip
"""How often each is drawn."""


class Caller(Protocol):
    """A system, here or in a child."""

    def call(self, method: str, *arguments: object, **options: object) -> Any:
        """Calls a method of `System`."""

    def restart(self) -> None:
        """Stops in order and starts again."""


@dataclass
class Driver:
    """Draws operations, does them, and keeps the model in step.

    Attributes:
        system: the system.
        random: what decides.
        call: calls the system to change something; may kill it on the way.
    """

    system: Caller
    random: Random
    call: Callable[..., Any]
    model: Model = field(default_factory=Model)
    counts: Counter[str] = field(default_factory=Counter)
    _live: dict[str, tuple[int, int]] = field(default_factory=dict)
    _requests: int = 0
    _tracks: int = 0

    def step(self) -> None:
        """Does one operation."""
        name = self.random.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        outcome = getattr(self, name)()
        self.counts[f"{name}: {outcome}" if outcome else name] += 1

    # What cameras see

    def pass_by(self) -> None:
        """Somebody passes by."""
        self._tracks += 1
        track = f"track-{self._tracks}"
        self._live[track] = (self.random.randrange(PEOPLE), self._tracks)
        self._report(track)

    def report_again(self) -> str:
        """A track that has not ended is reported again, perhaps for the last time."""
        track = self._pick(self._live)
        if track is None or track not in self.model.seen:
            return "nobody there"
        self._report(track)
        return ""

    def _report(self, track: str) -> None:
        person, look = self._live[track]
        ended = self.random.random() < 0.6
        match, row = self.call("passes", person, look, track, ended=ended)
        if ended:
            del self._live[track]
        if row is None:
            return
        assert (track, match) not in self.model.denied, "a match that was denied came back"
        if match and row.identity != match:
            assert self.model.may_be_separated(track), "a match that nobody denied was not written"
            match = ""
        if self.model.pass_by(track, row.sighting, match):
            self._learn_group(row.group)

    def _learn_group(self, group: str) -> None:
        """Where a new face belongs is the clustering's affair; only faces without a group may join one."""
        if group:
            self.model.join(group, [row.track for row in self.system.call("rows", group)])

    # What admins say

    def name(self) -> str:
        """A group becomes a new person."""
        group = self._open_group()
        if group is None:
            return "no group"
        display_name = f"person {self._requests}"
        operation, identity = self.call("name", self._request(), group, display_name, "")
        self.model.name(operation, group, identity, display_name)
        return ""

    def name_as(self) -> str:
        """A group is somebody who is enrolled."""
        group, identity = self._open_group(), self._pick(self.model.people)
        if group is None or identity is None:
            return "no group or nobody"
        operation, _ = self.call("name", self._request(), group, "", identity)
        self.model.name(operation, group, identity, "")
        return ""

    def merge(self) -> str:
        """Groups become one."""
        groups = [name for name, group in self.model.groups.items() if not group.identity]
        if len(groups) < 2:
            return "too few"
        chosen = self.random.sample(groups, min(len(groups), self.random.choice([2, 2, 2, 3])))
        operation, survivor = self.call("merge", self._request(), chosen)
        self.model.merge(operation, chosen, survivor)
        return ""

    def split(self) -> str:
        """Some sightings of a group that has no name are somebody else."""
        return self._split(self._open_group(), some=True)

    def split_named(self) -> str:
        """Some sightings of a group that has a name are somebody else."""
        named = {name: group for name, group in self.model.groups.items() if group.identity}
        return self._split(self._pick(named), some=True)

    def halve(self) -> str:
        """A group is two people, who knows which."""
        return self._split(self._open_group(), some=False)

    def _split(self, group: str | None, *, some: bool) -> str:
        members = self.model.members(group) if group else []
        if group is None or len(members) < 2:
            return "too few"
        leavers = self.random.sample(members, self.random.randrange(1, len(members))) if some else []
        names = [self.model.seen[track].sighting for track in leavers]
        try:
            operation, other, left = self.call("split", self._request(), group, names)
        except RefusedError as refused:
            return self._expected(refused, "LAST_TEMPLATE")
        assert not some or sorted(left) == sorted(leavers)
        self.model.split(operation, group, other, left)
        return ""

    def ignore(self) -> str:
        """A group is hidden, or shown again."""
        group = self._open_group()
        if group is None:
            return "no group"
        ignored = not self.model.groups[group].ignored
        operation = self.call("ignore", self._request(), group, ignored=ignored)
        self.model.ignore(operation, group, ignored=ignored)
        return ""

    def reject(self) -> str:
        """A sighting does not show whom it shows."""
        track = self._pick([track for track in self.model.seen if self.model.who(track)])
        if track is None:
            return "nobody known"
        try:
            operation, group = self.call("reject", self._request(), self.model.seen[track].sighting)
        except RefusedError as refused:
            return self._expected(refused, "LAST_TEMPLATE", "LAST_FACE")
        self.model.reject(operation, track)
        self._learn_group(group)
        return ""

    def undo(self) -> str:
        """The last operation that can be taken back is, unless a later one stands in the way."""
        undoable = [name for name, done in self.model.done.items() if done.undoable]
        if not undoable:
            return "nothing"
        try:
            undone = self.call("undo", self._request(), "")
        except RefusedError as refused:
            # what came after it can't be taken back, and may be about the same people
            return self._expected(refused, *(["UNDO_BLOCKED"] if undoable[-1] != list(self.model.done)[-1] else []))
        assert undone == undoable[-1]
        self.model.undo(undone)
        return ""

    def undo_older(self) -> str:
        """Any operation is taken back, unless a later one stands in the way."""
        operation = self._pick(self.model.done)
        if operation is None:
            return "nothing"
        try:
            self.call("undo", self._request(), operation)
        except RefusedError as refused:
            wanted = "UNDO_BLOCKED" if self.model.done[operation].undoable else "NOT_UNDOABLE"
            return self._expected(refused, wanted)
        self.model.undo(operation)
        return ""

    def delete_group(self) -> str:
        """A group is deleted."""
        group = self._open_group()
        if group is None:
            return "no group"
        assert self.call("delete_group", self._request(), group) == self.model.delete_group(group)
        return ""

    def delete_person(self) -> str:
        """Somebody is deleted."""
        identity = self._pick(self.model.people)
        if identity is None:
            return "nobody"
        assert self.call("delete_person", self._request(), identity) == self.model.delete_person(identity)
        return ""

    def rename(self) -> str:
        """Somebody is called otherwise."""
        identity = self._pick(self.model.people)
        if identity is None:
            return "nobody"
        display_name = f"renamed {self._requests}"
        self.call("rename", self._request(), identity, display_name)
        self.model.people[identity] = display_name
        return ""

    def restart(self) -> None:
        """The system stops in order and starts again; tracks that had not ended never will."""
        self.system.restart()

    # Comparing

    def compare(self) -> None:
        """Every sighting that was ever written shows the right person, and nobody else is there."""
        model = self.model
        told = {row.track: row for row in self.system.call("rows")}
        wanted = {track: self._row(track) for track in model.seen}
        assert told == wanted, {
            track: (told.get(track), row) for track, row in wanted.items() if told.get(track) != row
        }
        assert self.system.call("people") == model.people
        groups = {
            name: (
                "named" if group.identity else "ignored" if group.ignored else "open",
                group.identity,
                len(model.members(name)),
            )
            for name, group in model.groups.items()
        }
        assert self.system.call("groups") == groups
        assert self.system.call("snapshot_agrees")

    def _row(self, track: str) -> Row:
        seen, identity = self.model.seen[track], self.model.who(track)
        return Row(track, seen.sighting, identity, self.model.people.get(identity, ""), seen.group)

    # Drawing

    def _expected(self, refused: RefusedError, *reasons: str) -> str:
        assert refused.reason in reasons
        return refused.reason

    def _open_group(self) -> str | None:
        return self._pick([name for name, group in self.model.groups.items() if not group.identity])

    def _pick(self, things: Any) -> Any:
        names = list(things)
        return self.random.choice(names) if names else None

    def _request(self) -> str:
        self._requests += 1
        return f"request {self._requests}"
