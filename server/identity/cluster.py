"""Online clustering of unknown faces: each new face is placed at a cost that does not depend on how many came before.

A new face joins the group that is nearest by average linkage (the mean squared L2 to all of the group's faces), or
starts a candidate; a candidate becomes a known group with its second good face. What greedy placing got wrong,
`consolidate` puts right in the background, a bounded neighbourhood at a time, by clustering its faces anew.

The store is the truth. Every operation only plans: it returns a `Regrouping`; the caller writes it in one transaction
and then calls `apply`. After a failed transaction there is nothing to undo. One thread at a time plans and applies;
`nearest` and `view` may be called from any thread meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from server.domain import Embedding
from server.identity.cluster_settings import ClusterSettings
from server.identity.index_settings import IndexSettings
from server.identity.regrouping import (
    ClusterRows,
    GroupView,
    NearGroup,
    Placement,
    Regrouping,
    UnknownFace,
)


class Clusters:
    """The unknown faces of one gallery, in groups."""

    def __init__(self, settings: ClusterSettings, dimension: int, index: IndexSettings = IndexSettings()) -> None:  # noqa: B008 - a frozen value
        """No faces yet; `restored` makes one with faces.

        Args:
            settings: thresholds and bounds.
            dimension: of an embedding, D.
            index: bounds of the index over the groups' templates.
        """

    @staticmethod
    def restored(
        rows: ClusterRows, settings: ClusterSettings, dimension: int, index: IndexSettings = IndexSettings()  # noqa: B008 - a frozen value
    ) -> Clusters:
        """The clustering that these rows describe: groups and constraints as they are, templates chosen anew.

        Raises:
            ValueError: when rows contradict each other: a face in a group that is not there, a group without faces, a
                chunklet in two groups, a cannot-link within a group, a number at or beyond next_group or next_chunklet.
        """

    # Reads: any thread

    def __len__(self) -> int:
        """How many faces there are."""

    def view(self, group: int) -> GroupView | None:
        """A group; None when it is not there (any more)."""

    def group_of(self, face: int) -> int:
        """The group of a face; 0 when the face is not there."""

    def groups(self) -> tuple[int, ...]:
        """Numbers of all groups, candidates among them, ascending."""

    def nearest(self, probe: Embedding, limit: int) -> tuple[NearGroup, ...]:
        """The groups nearest to a face, by their nearest template, whatever the distance; for retrospective search.

        Args:
            probe: (D,) float32 of norm 1.
            limit: most groups, at least 1.
        """

    def snapshot(self) -> ClusterRows:
        """What `restored` needs to make this again; the same as the store's rows when nothing went wrong."""

    # Plans: one thread at a time; each returns what is to be written and applied, and changes nothing

    def place(self, face: UnknownFace) -> Placement:
        """Where a new face belongs.

        Raises:
            ValueError: when a face of this key is there already.
            EmbeddingError: when the embedding is not a finite unit vector of the dimension D.
        """

    def merge(self, groups: Iterable[int]) -> Regrouping:
        """An admin says that these groups are one person: all their faces become one chunklet.

        The known group with the smallest number takes the others' place (or the smallest, if all are candidates), and
        it becomes known. Cannot-links between the groups are dropped: the admin's last word counts.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
            InvalidInputError: GROUPS_MISSING: fewer than two different groups.
        """

    def split(self, group: int, faces: Iterable[int]) -> Regrouping:
        """An admin says that these faces of a group are another person than the rest.

        They become one chunklet in a new group, the rest becomes one chunklet, and neither will meet again: a
        cannot-link. Both groups are known afterwards if the group was.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
            InvalidInputError: SPLIT_INVALID: no faces, all faces, or faces of other groups.
        """

    def halves(self, group: int) -> tuple[int, ...]:
        """The faces that `split` should take out to leave the two most distinct people: the smaller half, ascending.

        Raises:
            NotFoundError: GROUP_UNKNOWN.
            InvalidInputError: SPLIT_INVALID when the group has only one face.
        """

    def remove(self, faces: Iterable[int]) -> Regrouping:
        """Faces are deleted, or leave for an enrolled person. Keys that are not there don't matter."""

    def expel(self, face: int) -> Regrouping:
        """An admin says that a face is not the person of its group: it gets a group of its own and never comes back.

        Raises:
            NotFoundError: FACE_UNKNOWN.
            InvalidInputError: SPLIT_INVALID when the face is alone in its group.
        """

    def expire(self, now_ns: int, *, limit: int = 1000) -> Regrouping:
        """Removes groups that saw no face for too long, up to about `limit` faces, the longest unseen first."""

    def consolidate(self) -> Regrouping:
        """One bounded step of background work; it changes nothing and examines nothing when all is settled.

        Takes a group that changed, clusters the faces of it and of its neighbours anew by constrained average linkage,
        and plans the moves that lead there. Known groups keep their numbers as far as most of their faces stay
        together.
        """

    @property
    def unsettled(self) -> int:
        """How many groups wait for `consolidate`."""

    # Changes: one thread at a time

    def apply(self, regrouping: Regrouping) -> None:
        """Makes a planned change count, after it was written. Plans must be applied in the order in which they were made,
        and before the next one is made.
        """

    @property
    def needs_fold(self) -> bool:
        """True when the index is out of its bounds."""

    def fold(self, cancelled: Callable[[], bool]) -> None:
        """Brings the index back into its bounds, in any one thread while others place and search.

        Raises:
            CancelledError: soon after `cancelled` answers True.
        """
