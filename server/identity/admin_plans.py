"""Plans of what an admin says about unknown faces: merge, split, remove. Pure: state in, regrouping out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from server.errors import InvalidInputError, NotFoundError
from server.identity.cluster_state import ClusterState, Group
from server.identity.linkage import average_linkage
from server.identity.regrouping import Regrouping

_ANY_DISTANCE = 4.0


def found(state: ClusterState, number: int) -> Group:
    """The group of a number.

    Raises:
        NotFoundError: GROUP_UNKNOWN.
    """
    group = state.groups.get(number)
    if group is None:
        raise NotFoundError("GROUP_UNKNOWN", f"there is no group {number} of unknown faces; list them again")
    return group


def merge(state: ClusterState, numbers: Iterable[int]) -> Regrouping:
    """As `Clusters.merge`."""
    groups = [found(state, number) for number in sorted(set(numbers))]
    if len(groups) < 2:
        raise InvalidInputError(
            "GROUPS_MISSING", f"{len(groups)} groups to merge; name at least two different ones", field="groups"
        )
    survivor = min(groups, key=lambda group: (not group.known, group.number))
    faces = sorted(face for group in groups for face in group.faces)
    unlinked, linked = _relinked(state, [(faces, state.next_chunklet)])
    return Regrouping(
        moved=tuple((face, survivor.number) for face in faces if state.group_of[face] != survivor.number),
        promoted=() if survivor.known else (survivor.number,),
        ended=tuple((group.number, survivor.number) for group in groups if group is not survivor),
        bound=tuple((face, state.next_chunklet) for face in faces),
        linked=linked,
        unlinked=unlinked,
    )


def split(state: ClusterState, number: int, faces: Iterable[int], *, known: bool) -> Regrouping:
    """As `Clusters.split`; the new group is known only when `known` and the old one are."""
    group = found(state, number)
    leaving = sorted(set(faces))
    strangers = [face for face in leaving if face not in group.faces]
    if strangers:
        raise InvalidInputError(
            "SPLIT_INVALID", f"face {strangers[0]} is not in group {number}; name faces of that group", field="faces"
        )
    if not leaving or len(leaving) == len(group.faces):
        raise InvalidInputError(
            "SPLIT_INVALID",
            f"{len(leaving)} of the {len(group.faces)} faces of group {number} would leave; name at least one, and "
            "not all of them",
            field="faces",
        )
    staying = sorted(group.faces.difference(leaving))
    stay, leave = state.next_chunklet, state.next_chunklet + 1
    unlinked, linked = _relinked(state, [(staying, stay), (leaving, leave)])
    return Regrouping(
        moved=tuple((face, state.next_group) for face in leaving),
        started=(state.next_group,),
        promoted=(state.next_group,) if known and group.known else (),
        bound=tuple((face, stay) for face in staying) + tuple((face, leave) for face in leaving),
        linked=tuple(sorted({*linked, (stay, leave)})),
        unlinked=unlinked,
    )


def _relinked(
    state: ClusterState, fresh: Sequence[tuple[Sequence[int], int]]
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """(cannot-links that go, cannot-links that come) when these faces get these new chunklets.

    Faces pass their old links with others on to their new chunklets; links among themselves are forgotten.
    """
    taken = state.chunklets_in(face for faces, _ in fresh for face in faces)
    unlinked = {_pair(chunklet, other) for chunklet in taken for other in state.cannot.get(chunklet, ())}
    linked = {
        _pair(number, other)
        for faces, number in fresh
        for chunklet in state.chunklets_in(faces)
        for other in state.cannot.get(chunklet, ())
        if other not in taken
    }
    return tuple(sorted(unlinked)), tuple(sorted(linked))


def _pair(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)


def remove(state: ClusterState, faces: Iterable[int]) -> Regrouping:
    """As `Clusters.remove`."""
    gone = sorted(face for face in set(faces) if face in state.faces)
    going = set(gone)
    groups = {state.group_of[face] for face in gone}
    emptied = sorted(number for number in groups if state.groups[number].faces <= going)
    chunklets = {c for c in state.chunklets_in(gone) if state.chunklets[c] <= going}
    unlinked = {_pair(chunklet, other) for chunklet in chunklets for other in state.cannot.get(chunklet, ())}
    return Regrouping(
        removed=tuple(gone), ended=tuple((number, 0) for number in emptied), unlinked=tuple(sorted(unlinked))
    )


def smaller_half(state: ClusterState, number: int) -> tuple[int, ...]:
    """As `Clusters.halves`: average linkage until two clusters are left."""
    group = found(state, number)
    if len(group.faces) < 2:
        raise InvalidInputError("SPLIT_INVALID", f"group {number} has only one face", field="unknown")
    faces = sorted(group.faces)
    sample = faces if len(faces) <= state.settings.local_faces else _spread(group, state.settings.local_faces)
    vectors = np.stack([state.faces[face].shrunk for face in sample]).astype(np.float64)
    apart = np.zeros((len(sample), len(sample)), np.bool_)
    labels = average_linkage(vectors, np.ones(len(sample)), apart, _ANY_DISTANCE, fewest=2)
    first = labels == labels[0]
    if sample is not faces:
        means = np.stack([vectors[first].mean(axis=0), vectors[~first].mean(axis=0)])
        every = np.stack([state.faces[face].embedding for face in faces])
        nearer = every @ means[0] > every @ means[1]
        first = nearer if 0 < nearer.sum() < len(faces) else np.isin(faces, np.array(sample)[first])
    smaller = first if 2 * first.sum() < len(faces) else ~first
    return tuple(np.array(faces)[smaller].tolist())


def _spread(group: Group, count: int) -> list[int]:
    """About `count` faces of a large group, its templates among them."""
    faces = sorted(group.faces)
    return sorted({*group.templates, *faces[:: -(-len(faces) // count)]})
