"""One frame's faces to tracks: who continues whom, which faces need a close look, and what the looks decide. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from server.domain import Faces, Look
from server.identity.track import (
    LookReason,
    Track,
    TrackRule,
    likeness_wanted,
    look_reason,
    pairs_of,
    resembling,
    start,
)

_ESTRANGED = 2
"""Close looks in a row that must not resemble a template before the face counts as another person's."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What boxes and glances say of one face of a frame.

    Attributes:
        track: index of the track that it may continue; None when there is none.
        certain: the boxes and glances suffice; when False an embedding must agree.
        reason: why it should be looked at closely; None when it need not.
    """

    track: int | None
    certain: bool
    reason: LookReason | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What one frame shows.

    Attributes:
        faces: N faces in pixels of the whole picture.
        scores: N qualities, 0..1, as judged before a close look.
        at_ns: when the frame was captured.
        shot_ns: since when nothing was cut: when the first frame of this one's shot was captured.
    """

    faces: Faces
    scores: tuple[float, ...]
    at_ns: int
    shot_ns: int


def claims_of(
    tracks: Sequence[Track], sight: Sight, is_like: Callable[[int, int, float], bool], rule: TrackRule
) -> tuple[Claim, ...]:
    """A claim for each face.

    Args:
        tracks: that are not over.
        sight: the frame.
        is_like: whether the glances of the track and the face with these indices have at least this likeness, -1..1.
        rule: how faces are followed.
    """
    claims = [Claim(None, certain=False, reason=LookReason.NEW)] * len(sight.faces)
    for pair in pairs_of(tracks, sight.faces, sight.at_ns):
        track = tracks[pair.track]
        wanted = likeness_wanted(track, pair, sight.at_ns, sight.shot_ns, rule)
        if wanted is not None and is_like(pair.track, pair.face, wanted):
            reason = look_reason(track, sight.scores[pair.face], sight.at_ns, rule)
            claims[pair.face] = Claim(pair.track, certain=True, reason=reason)
        else:
            claims[pair.face] = Claim(pair.track, certain=False, reason=LookReason.DOUBTFUL)
    return tuple(claims)


def joined(claims: Sequence[Claim], tracks: Sequence[Track], sight: Sight, rule: TrackRule) -> tuple[Claim, ...]:
    """The claims of a frame in which some faces are looked at anyway: looks that would soon be due are had now.

    A look costs a frame less when others have already paid for its decoding, and faces that are embedded together cost
    less each.
    """

    def reason_of(track: Track, face: int) -> LookReason | None:
        return look_reason(track, sight.scores[face], sight.at_ns, rule, patience=rule.joined)

    return tuple(
        replace(claim, reason=reason_of(tracks[claim.track], face))
        if claim.track is not None and claim.certain and claim.reason is None
        else claim
        for face, claim in enumerate(claims)
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """Which track each face belongs to.

    Attributes:
        tracks: one a face, as it is after this frame.
        next_number: for the next track that begins.
    """

    tracks: tuple[Track, ...]
    next_number: int


class _Settling:
    """The state of `settle` while it goes from the certain faces to the uncertain ones."""

    def __init__(self, tracks: Sequence[Track], sight: Sight, looks: Mapping[int, Look], rule: TrackRule) -> None:
        self._sight = sight
        self._looks = looks
        self._rule = rule
        self._free = list(tracks)
        self.settled: dict[int, Track] = {}

    def continued(self, face: int, track: Track) -> bool:
        """Gives a face to a track unless a close look speaks against it; says whether it did."""
        look = self._looks.get(face)
        seen = track.seen(self._sight.faces.boxes[face], self._sight.at_ns)
        if look is None or track.template is None:
            return self._take(face, track, seen)
        if track.template.distance(look.embedding) <= self._rule.other_person:
            return self._take(face, track, seen.looked(look, self._rule))
        if track.estranged + 1 < _ESTRANGED:
            return self._take(face, track, replace(seen, estranged=track.estranged + 1))
        return False

    def verified(self, face: int, track: Track) -> bool:
        """Gives a face to a track only when a close look agrees, or when neither has been looked at."""
        look = self._looks.get(face)
        seen = track.seen(self._sight.faces.boxes[face], self._sight.at_ns)
        if track.template is None and look is None:
            return self._take(face, track, seen)
        if track.template and look and track.template.distance(look.embedding) <= self._rule.same_person:
            return self._take(face, track, seen.looked(look, self._rule))
        return False

    def first_seen(self, face: int, track: Track) -> bool:
        """The first look at a track's face: the face goes back to a track out of sight that it resembles, if any."""
        if self.found_again(face):
            return True
        seen = track.seen(self._sight.faces.boxes[face], self._sight.at_ns)
        return self._take(face, track, seen.looked(self._looks[face], self._rule))

    def found_again(self, face: int) -> bool:
        """Gives a face to a track that is out of sight and that a close look resembles."""
        look = self._looks.get(face)
        track = resembling(self._free, look.embedding, self._rule) if look else None
        return track is not None and self.verified(face, track)

    def started(self, face: int, number: int) -> None:
        """Begins a track with a face."""
        track = start(number, self._sight.faces.boxes[face], self._sight.at_ns)
        look = self._looks.get(face)
        self.settled[face] = track.looked(look, self._rule) if look else track

    def _take(self, face: int, before: Track, after: Track) -> bool:
        self._free = [track for track in self._free if track is not before]
        self.settled[face] = after
        return True


def settle(
    claims: Sequence[Claim],
    tracks: Sequence[Track],
    sight: Sight,
    looks: Mapping[int, Look],
    next_number: int,
    rule: TrackRule,
) -> Settled:
    """Gives every face to a track: the certain ones first, then those that a look confirms, then new tracks.

    A face that is certain keeps its track even when one look does not resemble the template (a blur, a profile); that
    look is left out of the template. When the next one doesn't either, somebody else is there and a track begins.
    A track of which no look was had is nobody's yet: its first look may show that it goes on with one that was lost.

    Args:
        claims: one a face, as `claims_of` gave them.
        tracks: the same as there.
        sight: the same as there.
        looks: at faces by index; a face that was looked at but was not legible is missing.
        next_number: of a track that begins.
        rule: how faces are followed.
    """
    settling = _Settling(tracks, sight, looks, rule)
    certain, doubtful, nameless = _claimed(claims, tracks, looks)
    left = [face for face, track in certain if not settling.continued(face, track)]
    left += [face for face, track in doubtful if not settling.verified(face, track)]
    left += [face for face, track in nameless if not settling.first_seen(face, track)]
    left += [face for face, claim in enumerate(claims) if claim.track is None]
    for face in left:
        if not settling.found_again(face):
            settling.started(face, next_number)
            next_number += 1
    return Settled(tuple(settling.settled[face] for face in range(len(sight.faces))), next_number)


def _claimed(
    claims: Sequence[Claim], tracks: Sequence[Track], looks: Mapping[int, Look]
) -> tuple[list[tuple[int, Track]], list[tuple[int, Track]], list[tuple[int, Track]]]:
    """The faces that claim tracks, with these: certain ones, doubtful ones, and those whose first look this is."""
    certain: list[tuple[int, Track]] = []
    doubtful: list[tuple[int, Track]] = []
    nameless: list[tuple[int, Track]] = []
    for face, claim in enumerate(claims):
        if claim.track is None:
            continue
        track = tracks[claim.track]
        first = track.template is None and face in looks
        (nameless if first else certain if claim.certain else doubtful).append((face, track))
    return certain, doubtful, nameless
