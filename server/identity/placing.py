"""Plans that the clustering makes by itself: placing a new face, and clustering a neighbourhood anew. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.domain import Embedding
from server.identity.cluster_settings import ClusterSettings
from server.identity.cluster_state import ClusterState, Group
from server.identity.linkage import average_linkage
from server.identity.regrouping import Placed, Placement, Regrouping, UnknownFace

Search: TypeAlias = Callable[[Embedding, int], tuple[list[int], list[float]]]
"""Keys and distances of the nearest templates of a probe."""

_MOST_GROUPS: Final = 12
"""Groups that a face or a group is compared with."""
_REACH: Final = 1.15
"""Groups within this multiple of the join distance are clustered anew together."""


def place(state: ClusterState, search: Search, face: UnknownFace) -> Placement:
    """As `Clusters.place`."""
    settings = state.settings
    if face.quality < settings.min_quality:
        return Placement(Placed.TOO_POOR, 0, None, Regrouping())
    near = _owners(state, search(face.embedding, settings.neighbours)[0])[:_MOST_GROUPS]
    distances = _distances(near, face.shrunk.astype(np.float64))
    scores = distances - _leeways(near, 1, settings)
    best = int(np.argmin(scores)) if near else -1
    if best < 0 or scores[best] > settings.join(len(state.groups)):
        number = state.next_group
        plan = Regrouping(
            added=(face,),
            moved=((face.key, number),),
            started=(number,),
            promoted=(number,) if face.corroborated else (),
        )
        return Placement(Placed.PROMOTED if face.corroborated else Placed.WAITING, number, None, plan)
    group = near[best]
    promoted = not group.known and (face.corroborated or _seconds(state, group, face))
    plan = Regrouping(added=(face,), moved=((face.key, group.number),), promoted=(group.number,) if promoted else ())
    placed = Placed.JOINED if group.known else Placed.PROMOTED if promoted else Placed.WAITING
    return Placement(placed, group.number, float(distances[best]), plan)


def _owners(state: ClusterState, faces: Iterable[int]) -> list[Group]:
    """The groups of faces in the order of their first one."""
    numbers = dict.fromkeys(state.group_of[face] for face in faces if face in state.group_of)
    return [state.groups[number] for number in numbers]


def _distances(groups: Sequence[Group], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean squared L2 of the faces of each group to a face or to the faces behind a mean; as of one look."""
    return np.array([2 - 2 * float(group.total @ mean) / len(group.faces) for group in groups])


def _leeways(groups: Sequence[Group], count: int, settings: ClusterSettings) -> NDArray[np.float64]:
    """What is taken from the mean distances of so many faces to each group."""
    counts = np.array([len(group.faces) for group in groups], np.float64)
    return settings.leeway.of(float(count), counts)


def _seconds(state: ClusterState, group: Group, face: UnknownFace) -> bool:
    """True when the face is a second good one, near enough to a good one of the group."""
    settings = state.settings
    if face.quality < settings.good_quality:
        return False
    promote = settings.promote(len(state.groups))
    good = [state.faces[key] for key in group.templates if state.faces[key].quality >= settings.good_quality]
    return any(2 - 2 * float(other.shrunk @ face.shrunk) <= promote for other in good)


@dataclass(frozen=True, slots=True)
class _Point:
    """Faces that are clustered as one: a face, a chunklet or a large group."""

    faces: tuple[int, ...]
    total: NDArray[np.float64]
    chunklets: frozenset[int]


def regroup(state: ClusterState, search: Search, number: int) -> Regrouping:
    """Clusters a group and its neighbours anew, and plans what leads there."""
    numbers = _neighbourhood(state, search, state.groups[number])
    points = [point for other in numbers for point in _points(state, state.groups[other])]
    labels = average_linkage(
        np.stack([point.total for point in points]),
        np.array([len(point.faces) for point in points], np.float64),
        _apart(state, points),
        state.settings.join(len(state.groups)),
        leeway=state.settings.leeway,
    )
    clusters: dict[int, list[int]] = {}
    for point, label in zip(points, labels.tolist(), strict=True):
        clusters.setdefault(label, []).extend(point.faces)
    return _plan(state, numbers, list(clusters.values()), number)


def _neighbourhood(state: ClusterState, search: Search, group: Group) -> list[int]:
    """The group and those near it, the nearest first, as many as may be clustered at a time."""
    settings = state.settings
    keys = [
        key for seed in sorted(group.templates) for key in search(state.faces[seed].embedding, settings.neighbours)[0]
    ]
    others = [other for other in _owners(state, dict.fromkeys(keys)) if other is not group]
    distances = _distances(others, group.mean) - _leeways(others, len(group.faces), settings)
    join = settings.join(len(state.groups))
    numbers, room = [group.number], settings.local_faces - _weight(state, group)
    for i in np.argsort(distances, kind="stable")[:_MOST_GROUPS].tolist():
        room -= _weight(state, others[i])
        if distances[i] > _REACH * join or room < 0:
            break
        numbers.append(others[i].number)
    return numbers


def _weight(state: ClusterState, group: Group) -> int:
    """How many points a group is at most."""
    return len(group.faces) if len(group.faces) <= state.settings.local_faces // 2 else 1


def _points(state: ClusterState, group: Group) -> list[_Point]:
    """The group as points; a large one is one point."""
    if _weight(state, group) == 1:
        return [_Point(tuple(sorted(group.faces)), group.total, frozenset(state.chunklets_in(group.faces)))]
    together: dict[tuple[int, int], list[int]] = {}
    for key in sorted(group.faces):
        chunklet = state.chunklet_of.get(key, 0)
        together.setdefault((chunklet, 0 if chunklet else key), []).append(key)
    return [
        _Point(
            tuple(keys),
            np.asarray([state.faces[key].shrunk for key in keys], np.float64).sum(axis=0),
            frozenset({chunklet} - {0}),
        )
        for (chunklet, _), keys in together.items()
    ]


def _apart(state: ClusterState, points: Sequence[_Point]) -> NDArray[np.bool_]:
    apart = np.zeros((len(points), len(points)), np.bool_)
    barred = [
        (i, frozenset().union(*(state.cannot.get(chunklet, frozenset()) for chunklet in point.chunklets)))
        for i, point in enumerate(points)
        if point.chunklets
    ]
    for i, others in barred:
        for j, point in enumerate(points):
            if others & point.chunklets:
                apart[i, j] = apart[j, i] = True
    return apart


def _plan(state: ClusterState, numbers: Sequence[int], clusters: Sequence[list[int]], examined: int) -> Regrouping:
    """The regrouping that turns these groups into these clusters."""
    named = _named(state, clusters)
    fresh = iter(range(state.next_group, state.next_group + len(clusters)))
    chosen = [named.get(i) or next(fresh) for i in range(len(clusters))]
    moved = [
        (face, number)
        for number, faces in zip(chosen, clusters, strict=True)
        for face in sorted(faces)
        if state.group_of[face] != number
    ]
    promoted = [
        number
        for number, faces in zip(chosen, clusters, strict=True)
        if not (number in state.groups and state.groups[number].known) and _earned(state, faces)
    ]
    heirs = {face: number for number, faces in zip(chosen, clusters, strict=True) for face in faces}
    return Regrouping(
        moved=tuple(moved),
        started=tuple(number for number in chosen if number not in state.groups),
        promoted=tuple(promoted),
        ended=tuple((number, _heir(state, number, heirs)) for number in numbers if number not in set(chosen)),
        examined=(examined,),
    )


def _named(state: ClusterState, clusters: Sequence[Sequence[int]]) -> dict[int, int]:
    """Which cluster keeps which group's number: known groups first, then by the faces that stay."""
    claims = []
    for i, faces in enumerate(clusters):
        shares: dict[int, int] = {}
        for face in faces:
            shares[state.group_of[face]] = shares.get(state.group_of[face], 0) + 1
        claims += [(not state.groups[number].known, -share, number, i) for number, share in shares.items()]
    named: dict[int, int] = {}
    for _, _, number, i in sorted(claims):
        if i not in named and number not in named.values():
            named[i] = number
    return named


def _heir(state: ClusterState, number: int, heirs: dict[int, int]) -> int:
    """The group that most faces of an ended group went to."""
    shares: dict[int, int] = {}
    for face in sorted(state.groups[number].faces):
        shares[heirs[face]] = shares.get(heirs[face], 0) + 1
    return max(shares, key=lambda heir: (shares[heir], -heir))


def _earned(state: ClusterState, faces: Collection[int]) -> bool:
    """True when two good faces are near enough for a group to become known."""
    settings = state.settings
    good = [state.faces[face] for face in faces if state.faces[face].quality >= settings.good_quality]
    if len(good) < 2:
        return False
    vectors = np.stack([face.shrunk for face in good[: settings.local_faces]])
    distances = 2 - 2 * vectors @ vectors.T
    np.fill_diagonal(distances, np.inf)
    return bool(distances.min() <= settings.promote(len(state.groups)))
