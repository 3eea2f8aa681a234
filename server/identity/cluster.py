"""Online clustering of unknown faces: each new face is placed at a cost that does not depend on how many came before.

A new face joins the group that is nearest by average linkage (the mean squared L2 to all of the group's faces), or
starts a candidate; a candidate becomes a known group with its second good face, or with one that is corroborated
(`server/identity/corroboration.py`). What greedy placing got wrong,
`consolidate` puts right in the background, a bounded neighbourhood at a time, by clustering its faces anew.

The store is the truth. Every operation only plans: it returns a `Regrouping`; the caller writes it in one transaction
and then calls `apply`. After a failed transaction there is nothing to undo. One thread at a time plans and applies;
the reads may be called from any thread meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from server.errors import InvalidInputError, NotFoundError
from server.identity import admin_plans, placing
from server.identity.cluster_index import CLUSTER_INDEX, ClusterIndex
from server.identity.cluster_settings import ClusterSettings
from server.identity.cluster_state import ClusterState, state_of
from server.identity.index_settings import IndexSettings
from server.identity.regrouping import (
    ClusterRows,
    GroupView,
    Placement,
    Regrouping,
    UnknownFace,
)
from server.identity.vectors import check_embedding

_MOST_ROUNDS: Final = 3
"""Times that consolidation follows up on its own changes before a group must wait for a new face."""


class Clusters:
    """The unknown faces of one gallery, in groups.

    Attributes:
        settings: thresholds and bounds.
    """

    def __init__(self, settings: ClusterSettings, dimension: int, index: IndexSettings = CLUSTER_INDEX) -> None:
        """No faces yet; `restored` makes one with faces.

        Args:
            settings: thresholds and bounds.
            dimension: of an embedding, D.
            index: bounds of the index over the groups' templates.
        """
        self.settings = settings
        self._state = ClusterState(settings, dimension)
        self._index = ClusterIndex(dimension, index)
        self._unsettled: dict[int, int] = {}
        self._changing = threading.Lock()

    @staticmethod
    def restored(
        rows: ClusterRows, settings: ClusterSettings, dimension: int, index: IndexSettings = CLUSTER_INDEX
    ) -> Clusters:
        """The clustering that these rows describe: groups and constraints as they are, templates chosen anew.

        Raises:
            ValueError: when rows contradict each other: a face in a group that is not there, a group without faces, a
                chunklet in two groups, a cannot-link within a group, a number at or beyond next_group or next_chunklet.
        """
        state = state_of(rows, settings, dimension)
        templates = [key for group in state.groups.values() for key in sorted(group.templates)]
        clusters = Clusters(settings, dimension, index)
        clusters._state = state
        clusters._index.change([(key, state.faces[key].embedding) for key in templates], ())
        return clusters

    # Reads: any thread

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self._state.faces)

    def view(self, group: int) -> GroupView | None:
        """A group; None when it is not there (any more)."""
        with self._changing:
            found = self._state.groups.get(group)
            return found.view() if found else None

    def group_of(self, face: int) -> int:
        """The group of a face; 0 when the face is not there."""
        return self._state.group_of.get(face, 0)

    def groups(self) -> tuple[int, ...]:
        """Numbers of all groups, candidates among them, ascending."""
        with self._changing:
            return tuple(sorted(self._state.groups))

    def snapshot(self) -> ClusterRows:
        """What `restored` needs to make this again; the same as the store's rows when nothing went wrong."""
        with self._changing:
            return self._state.rows()

    # Plans: one thread at a time; each returns what is to be written and applied, and changes nothing

    def place(self, face: UnknownFace) -> Placement:
        """Where a new face belongs.

        Raises:
            ValueError: when a face of this key is there already.
            EmbeddingError: when the embedding is not a finite unit vector of the dimension D.
        """
        if face.key in self._state.faces:
            raise ValueError(f"face {face.key} was placed before")
        check_embedding(face.embedding, self._state.dimension, "embedding")
        return placing.place(self._state, self._index.nearest, face)

    def promote(self, group: int) -> Regrouping:
        """Another look at somebody of a candidate was evidence enough: the group becomes known.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
        """
        return Regrouping(promoted=() if admin_plans.found(self._state, group).known else (group,))

    def merge(self, groups: Iterable[int]) -> Regrouping:
        """An admin says that these groups are one person: all their faces become one chunklet.

        The known group with the smallest number takes the others' place (or the smallest, if all are candidates), and
        it becomes known. Cannot-links between the groups are dropped: the admin's last word counts.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
            InvalidInputError: GROUPS_MISSING: fewer than two different groups.
        """
        return admin_plans.merge(self._state, groups)

    def split(self, group: int, faces: Iterable[int]) -> Regrouping:
        """An admin says that these faces of a group are another person than the rest.

        They become one chunklet in a new group, the rest becomes one chunklet, and neither will meet again: a
        cannot-link. Both groups are known afterwards if the group was.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
            InvalidInputError: SPLIT_INVALID: no faces, all faces, or faces of other groups.
        """
        return admin_plans.split(self._state, group, faces, known=True)

    def halves(self, group: int) -> tuple[int, ...]:
        """The faces that `split` should take out to leave the two most distinct people: the smaller half, ascending.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
            InvalidInputError: SPLIT_INVALID when the group has only one face.
        """
        return admin_plans.smaller_half(self._state, group)

    def remove(self, faces: Iterable[int]) -> Regrouping:
        """Faces are deleted, or leave for an enrolled person. Keys that are not there don't matter."""
        return admin_plans.remove(self._state, faces)

    def expel(self, face: int) -> Regrouping:
        """An admin says that a face is not the person of its group.

        As `split` with this face, but its new group is a candidate: nobody has said who it is.

        Raises:
            NotFoundError: FACE_UNKNOWN.
            InvalidInputError: SPLIT_INVALID when the face is alone in its group.
        """
        group = self.group_of(face)
        if not group:
            raise NotFoundError("FACE_UNKNOWN", f"there is no unknown face {face}; list the group's faces again")
        if len(self._state.groups[group].faces) == 1:
            raise InvalidInputError("SPLIT_INVALID", f"face {face} is alone in group {group}", field="face")
        return admin_plans.split(self._state, group, [face], known=False)

    def consolidate(self) -> Regrouping:
        """One bounded step of background work; it changes nothing and examines nothing when all is settled.

        Takes a group that changed, clusters the faces of it and of its neighbours anew by constrained average linkage,
        and plans the moves that lead there. Known groups keep their numbers as far as most of their faces stay
        together.
        """
        for number in self._unsettled:
            return placing.regroup(self._state, self._index.nearest, number)
        return Regrouping()

    @property
    def unsettled(self) -> int:
        """How many groups wait for `consolidate`."""
        return len(self._unsettled)

    # Changes: one thread at a time

    def apply(self, regrouping: Regrouping) -> None:
        """Makes a planned change count, after it was written; before the next change is planned."""
        with self._changing:
            left = [self._state.group_of.get(face, 0) for face, _ in regrouping.moved]
            left += [self._state.group_of.get(face, 0) for face in regrouping.removed]
            templates = self._state.apply(regrouping)
        self._index.change([(face.key, face.embedding) for face in templates.added], templates.removed)
        rounds = max((self._unsettled.pop(number, 0) + 1 for number in regrouping.examined), default=0)
        for number in dict.fromkeys([*(group for _, group in regrouping.moved), *left]):
            if number in self._state.groups and rounds < _MOST_ROUNDS:
                self._unsettled[number] = rounds
        for number, _ in regrouping.ended:
            self._unsettled.pop(number, None)

    @property
    def needs_fold(self) -> bool:
        """True when the index is out of its bounds."""
        return self._index.needs_fold

    def fold(self, cancelled: Callable[[], bool]) -> None:
        """Brings the index back into its bounds, in any one thread while others place and search.

        Raises:
            CancelledError: soon after `cancelled` answers True.
        """
        self._index.fold(cancelled)
