"""The state of a clustering: faces, groups, chunklets and cannot-links, and how a regrouping changes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.identity.cluster_settings import ClusterSettings
from server.identity.exemplars import diverse
from server.identity.regrouping import (
    NO_CHUNKLET,
    ClusterRows,
    FaceRow,
    GroupRow,
    GroupView,
    Regrouping,
    UnknownFace,
)

_LEAST_APART = 0.05
"""Share of the join distance that templates of one group are apart at least."""


@dataclass(slots=True)
class Group:
    """Faces of one person, as far as is known.

    Attributes:
        number: its number.
        total: (D,) sum of its faces' shrunk embeddings.
        known: False while it is a candidate.
        faces: keys.
        templates: keys of the faces that stand for it.
        depleted: a face left since the templates were chosen.
    """

    number: int
    total: NDArray[np.float64]
    known: bool = False
    faces: set[int] = field(default_factory=set)
    templates: set[int] = field(default_factory=set)
    depleted: bool = False

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,) mean of the shrunk embeddings; not of norm 1."""
        return self.total / len(self.faces)

    def view(self) -> GroupView:
        """The group as a value."""
        return GroupView(self.number, self.known, tuple(sorted(self.faces)), tuple(sorted(self.templates)))


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """Faces that begin and cease to stand for groups."""

    added: tuple[UnknownFace, ...]
    removed: tuple[int, ...]


class ClusterState:
    """Who belongs to whom. Not safe for threads: `Clusters` sees to that.

    Attributes:
        faces: by key.
        group_of: number of each face's group.
        groups: by number.
        chunklet_of: of the faces that have one.
        chunklets: faces of each.
        cannot: chunklets that each must not meet; symmetric.
        next_group: the number of the next new group.
        next_chunklet: the number of the next new chunklet.
    """

    def __init__(self, settings: ClusterSettings, dimension: int) -> None:
        self.settings = settings
        self.dimension = dimension
        self.faces: dict[int, UnknownFace] = {}
        self.group_of: dict[int, int] = {}
        self.groups: dict[int, Group] = {}
        self.chunklet_of: dict[int, int] = {}
        self.chunklets: dict[int, set[int]] = {}
        self.cannot: dict[int, set[int]] = {}
        self.next_group = 1
        self.next_chunklet = 1

    def rows(self) -> ClusterRows:
        """What must be stored."""
        return ClusterRows(
            faces=tuple(
                FaceRow(face, self.group_of[key], self.chunklet_of.get(key, NO_CHUNKLET))
                for key, face in sorted(self.faces.items())
            ),
            groups=tuple(GroupRow(number, group.known) for number, group in sorted(self.groups.items())),
            cannot_links=tuple(sorted((a, b) for a, others in self.cannot.items() for b in others if a < b)),
            next_group=self.next_group,
            next_chunklet=self.next_chunklet,
        )

    def apply(self, change: Regrouping) -> TemplateChange:
        """Takes a change over."""
        for number in change.started:
            self.groups[number] = Group(number, np.zeros(self.dimension))
            self.next_group = max(self.next_group, number + 1)
        self.faces.update((face.key, face) for face in change.added)
        before = self._templates({group for _, group in change.moved} | self._groups_of(change))
        touched = self._move(change)
        for key, chunklet in change.bound:
            self._bind(key, chunklet)
        self._link(change)
        for number in change.promoted:
            self.groups[number].known = True
        for number, _ in change.ended:
            del self.groups[number]
        for number, entered in touched.items():
            if number in self.groups:
                self._refresh(self.groups[number], entered)
        return self._template_change(before, touched)

    def _move(self, change: Regrouping) -> dict[int, set[int]]:
        """Takes faces out and puts faces in; the groups that changed, with the faces that came."""
        touched: dict[int, set[int]] = {}
        for key in change.removed:
            touched.setdefault(self._leave(key), set())
            self._bind(key, NO_CHUNKLET)
            del self.faces[key]
        for key, number in change.moved:
            if key in self.group_of:
                touched.setdefault(self._leave(key), set())
            self._enter(key, number)
            touched.setdefault(number, set()).add(key)
        return touched

    def _groups_of(self, change: Regrouping) -> set[int]:
        keys = [*change.removed, *(face for face, _ in change.moved)]
        return {self.group_of[key] for key in keys if key in self.group_of}

    def _templates(self, numbers: Iterable[int]) -> set[int]:
        return {key for number in numbers if number in self.groups for key in self.groups[number].templates}

    def _template_change(self, before: set[int], touched: Iterable[int]) -> TemplateChange:
        after = self._templates(touched)
        added = tuple(self.faces[key] for key in sorted(after - before))
        return TemplateChange(added, tuple(sorted(before - after)))

    def _leave(self, key: int) -> int:
        number = self.group_of.pop(key)
        group = self.groups[number]
        group.faces.discard(key)
        group.templates.discard(key)
        group.total -= self.faces[key].shrunk
        group.depleted = True
        return number

    def _enter(self, key: int, number: int) -> None:
        group = self.groups[number]
        group.faces.add(key)
        group.total += self.faces[key].shrunk
        self.group_of[key] = number

    def _bind(self, key: int, chunklet: int) -> None:
        old = self.chunklet_of.pop(key, NO_CHUNKLET)
        if old != NO_CHUNKLET:
            self.chunklets[old].discard(key)
            if not self.chunklets[old]:
                del self.chunklets[old]
        if chunklet != NO_CHUNKLET:
            self.chunklet_of[key] = chunklet
            self.chunklets.setdefault(chunklet, set()).add(key)
            self.next_chunklet = max(self.next_chunklet, chunklet + 1)

    def _link(self, change: Regrouping) -> None:
        for first, second in change.unlinked:
            for one, other in ((first, second), (second, first)):
                self.cannot[one].discard(other)
                if not self.cannot[one]:
                    del self.cannot[one]
        for first, second in change.linked:
            self.cannot.setdefault(first, set()).add(second)
            self.cannot.setdefault(second, set()).add(first)

    def _refresh(self, group: Group, entered: set[int]) -> None:
        """Chooses the templates anew among the old ones and the faces that came; among more after faces left."""
        settings = self.settings
        pool = group.templates | entered
        if group.depleted:
            pool |= set(sorted(group.faces)[-settings.local_faces :])
            group.depleted = False
        faces = [self.faces[key] for key in sorted(pool)]
        least = _LEAST_APART * settings.join(1)
        group.templates = set(diverse(faces, settings.templates, good_quality=settings.good_quality, least_apart=least))

    def chunklets_in(self, faces: Iterable[int]) -> set[int]:
        """Chunklets that some of these faces belong to."""
        return {self.chunklet_of[key] for key in faces if key in self.chunklet_of}

    def separated(self, first: Iterable[int], second: Iterable[int]) -> bool:
        """True when a cannot-link stands between two sets of faces."""
        others = self.chunklets_in(second)
        return any(self.cannot.get(chunklet, set()) & others for chunklet in self.chunklets_in(first))


def state_of(rows: ClusterRows, settings: ClusterSettings, dimension: int) -> ClusterState:
    """The state that rows describe.

    Raises:
        ValueError: as `Clusters.restored`.
    """
    check_rows(rows)
    state = ClusterState(settings, dimension)
    state.apply(
        Regrouping(
            added=tuple(row.face for row in rows.faces),
            moved=tuple((row.face.key, row.group) for row in rows.faces),
            started=tuple(row.group for row in rows.groups),
            promoted=tuple(row.group for row in rows.groups if row.known),
            bound=tuple((row.face.key, row.chunklet) for row in rows.faces if row.chunklet != NO_CHUNKLET),
            linked=rows.cannot_links,
        )
    )
    state.next_group, state.next_chunklet = rows.next_group, rows.next_chunklet
    return state


def check_rows(rows: ClusterRows) -> None:
    """Checks that rows don't contradict each other.

    Raises:
        ValueError: as `Clusters.restored`.
    """
    groups = {row.group for row in rows.groups}
    used = {row.group for row in rows.faces}
    if used != groups:
        raise ValueError(
            f"groups {sorted(groups - used)[:5]} have no faces and groups {sorted(used - groups)[:5]} are not there"
        )
    if len({row.face.key for row in rows.faces}) != len(rows.faces):
        raise ValueError("two faces have the same key")
    home: dict[int, int] = {}
    for row in rows.faces:
        if row.chunklet != NO_CHUNKLET and home.setdefault(row.chunklet, row.group) != row.group:
            raise ValueError(f"chunklet {row.chunklet} is in the groups {home[row.chunklet]} and {row.group}")
    for first, second in rows.cannot_links:
        if first not in home or second not in home:
            raise ValueError(f"the cannot-link {first}, {second} names a chunklet without faces")
        if home[first] == home[second]:
            raise ValueError(f"the cannot-link {first}, {second} is within group {home[first]}")
    if max(groups, default=0) >= rows.next_group or max(home, default=0) >= rows.next_chunklet:
        raise ValueError(f"a number is not below next_group {rows.next_group} or next_chunklet {rows.next_chunklet}")
