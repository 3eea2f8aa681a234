"""Sightings, groups and people as a plain dictionary would keep them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Seen:
    """A sighting: its resource name, the match ("" for none), and the group ("" for none)."""

    sighting: str
    match: str = ""
    group: str = ""


@dataclass
class Group:
    """A known group: who it was named as ("" for nobody), and whether it is hidden."""

    identity: str = ""
    ignored: bool = False


@dataclass
class Done:
    """An operation, and what it found: where its sightings were, and what its groups were."""

    kind: str
    seen: dict[str, Seen] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    other: str = ""
    identity: str = ""
    created: bool = False
    track: str = ""
    undoable: bool = True
    affirmed: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Model:
    """What should be there.

    Attributes:
        seen: by track.
        groups: by resource name; those that were merged into others are not among them.
        people: display names by resource name.
        done: operations by resource name, undone ones left out.
        denied: (track, identity) pairs that must never be again.
        merged: groups that others took in, by resource name, and which one did.
        faces: tracks whose face is among the unknown ones, alone or in a group, or was when the group got its name.
    """

    seen: dict[str, Seen] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    done: dict[str, Done] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)
    faces: set[str] = field(default_factory=set)

    def who(self, track: str) -> str:
        """The identity that a sighting shows."""
        seen = self.seen[track]
        return seen.match or (self.groups[seen.group].identity if seen.group else "")

    def members(self, group: str) -> list[str]:
        """Tracks of a group."""
        return [track for track, seen in self.seen.items() if seen.group == group]

    def showing(self, identity: str) -> list[str]:
        """Tracks that show a person."""
        return [track for track in self.seen if self.who(track) == identity]

    def found(self, groups: Iterable[str]) -> Done:
        """What an operation on these groups finds."""
        wanted = set(groups)
        return Done(
            kind="",
            seen={t: Seen(**vars(s)) for t, s in self.seen.items() if s.group in wanted},
            groups={name: Group(**vars(self.groups[name])) for name in groups},
        )

    def may_be_separated(self, track: str) -> bool:
        """Whether something that was done says that this face, or one merged with it, is not somebody else's."""
        kin, size = {track}, 0
        while len(kin) > size:
            size = len(kin)
            for done in self.done.values():
                if done.kind == "merge" and kin & done.seen.keys():
                    kin |= done.seen.keys()
        return any(done.kind in ("split", "reject") and kin & done.seen.keys() for done in self.done.values())

    # What happens

    def pass_by(self, track: str, sighting: str, match: str) -> bool:
        """A track is reported; True when its face has no group yet and is to be given one."""
        seen = self.seen.setdefault(track, Seen(sighting))
        if (track, match) in self.denied:
            match = ""
        seen.match = match
        if not match:
            self.faces.add(track)
        elif not seen.group or self.groups[seen.group].identity != match:
            left, seen.group = seen.group, ""
            self.faces.discard(track)
            if left:
                self._forget_empty(left)
        return not match and not seen.group

    def _forget_empty(self, group: str) -> None:
        if not self.groups[group].identity and not self.members(group):
            self._vanish(group)

    def _vanish(self, group: str) -> None:
        """A group is gone, and those that it took in with it."""
        self.groups.pop(group, None)
        for done in self.done.values():
            if group in done.groups and done.kind != "reject":
                done.undoable = False
        for other in [name for name, survivor in self.merged.items() if survivor == group]:
            del self.merged[other]
            self._vanish(other)

    def join(self, group: str, tracks: Iterable[str]) -> None:
        """Sightings that were in no group are in one now."""
        self.groups.setdefault(group, Group())
        for track in tracks:
            assert self.seen[track].group in ("", group), "a sighting changed its group by itself"
            self.seen[track].group = group

    def name(self, operation: str, group: str, identity: str, display_name: str) -> None:
        """A group is somebody."""
        self.done[operation] = done = self.found([group])
        done.kind, done.identity, done.created = "name", identity, identity not in self.people
        done.affirmed = {pair for pair in self.denied if pair[1] == identity and pair[0] in done.seen}
        self.denied -= done.affirmed
        self.people.setdefault(identity, display_name)
        self.groups[group] = Group(identity)

    def merge(self, operation: str, groups: list[str], survivor: str) -> None:
        """Groups are one."""
        self.done[operation] = done = self.found(groups)
        done.kind = "merge"
        ignored = any(self.groups[group].ignored for group in groups)
        for track in done.seen:
            self.seen[track].group = survivor
        for group in groups:
            if group != survivor:
                del self.groups[group]
                self.merged[group] = survivor
        self.groups[survivor].ignored = ignored

    def split(self, operation: str, group: str, other: str, leavers: Iterable[str]) -> None:
        """A group is two."""
        self.done[operation] = done = self.found([group])
        identity = self.groups[group].identity
        done.kind, done.other, done.identity = "split", other, identity
        self.groups[other] = Group()
        for track in leavers:
            seen = self.seen[track]
            seen.group = other
            if identity and seen.match == identity:
                seen.match = ""

    def ignore(self, operation: str, group: str, *, ignored: bool) -> None:
        """A group is hidden or shown."""
        self.done[operation] = done = self.found([group])
        done.kind = "ignore"
        done.seen = {}
        self.groups[group].ignored = ignored

    def reject(self, operation: str, track: str) -> None:
        """A sighting does not show whom it shows."""
        seen, identity = self.seen[track], self.who(track)
        self.done[operation] = done = self.found([seen.group] if seen.group else [])
        done.seen[track] = Seen(**vars(seen))
        done.kind, done.identity, done.track = "reject", identity, track
        seen.match, seen.group = "", ""
        self.faces.add(track)
        self.denied.add((track, identity))

    def delete_group(self, group: str) -> int:
        """A group is deleted; its sightings."""
        gone = self.members(group)
        for track in gone:
            del self.seen[track]
        self._vanish(group)
        return len(gone)

    def delete_person(self, identity: str) -> int:
        """A person is deleted; the sightings that went."""
        gone = self.showing(identity)
        for track in gone:
            del self.seen[track]
        for group in [name for name, group in self.groups.items() if group.identity == identity]:
            self._vanish(group)
        del self.people[identity]
        for done in self.done.values():
            if done.identity == identity:
                done.undoable = False
        return len(gone)

    # Undoing

    def undo(self, operation: str) -> None:
        """Takes an operation back."""
        done = self.done.pop(operation)
        if done.kind != "reject":
            self.groups |= done.groups
            for group in done.groups:
                self.merged.pop(group, None)
        for track, before in done.seen.items():
            if track in self.seen:
                self._put_back(track, before, done)
        if done.kind == "split":
            (home,) = done.groups
            for track in self.members(done.other):
                self.seen[track].group = home
            self.groups.pop(done.other, None)
        if done.kind == "name":
            self._unname(done)
        if done.kind == "reject":
            self.denied.discard((done.track, done.identity))
        for group in list(self.groups):
            self._forget_empty(group)

    def _put_back(self, track: str, before: Seen, done: Done) -> None:
        seen = self.seen[track]
        if done.kind == "name":
            return
        if before.match and before.match in self.people:
            seen.match = before.match
        if not before.group:
            seen.group = ""
            self.faces.discard(track)
        elif track in self.faces and before.group in self.groups:
            seen.group = before.group

    def _unname(self, done: Done) -> None:
        (home,) = done.groups
        self.denied |= {pair for pair in done.affirmed if pair[0] in self.seen}
        for track in self.members(home):
            if self.seen[track].match == done.identity:
                self.seen[track].match = ""
        if done.created:
            for seen in self.seen.values():
                if seen.match == done.identity:
                    seen.match, seen.group = "", seen.group or home
            self.faces |= set(self.members(home))
            del self.people[done.identity]
            self.denied = {pair for pair in self.denied if pair[1] != done.identity}
