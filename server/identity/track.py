"""Faces followed from frame to frame of one camera, and when each is worth an embedding. Pure.

A track is continued without an embedding while its face is where it must be and does not look like another; after a
cut, a gap or a far move only when it looks very much alike. Where that is in doubt, an embedding decides. Times are
nanoseconds of the camera that never go back, not counts of frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from server.domain import Embedding, Faces, Look, Match
from server.identity.associate import Pair, associate
from server.identity.motion import Motion
from server.identity.track_template import TrackTemplate
from server.identity.verdict import Verdict


class LookReason(Enum):
    """Why a face is embedded."""

    NEW = "new"
    DOUBTFUL = "doubtful"
    RETRY = "retry"
    BETTER = "better"
    CONFIRM = "confirm"
    REFRESH = "refresh"

    @property
    def urgent(self) -> bool:
        """Whether nothing can be said of the face before; others may wait for a frame that costs less."""
        return self in (LookReason.NEW, LookReason.DOUBTFUL)


@dataclass(frozen=True, slots=True)
class TrackRule:
    """How faces are followed.

    Attributes:
        same_person: squared L2 within which an embedding continues a track that boxes and glances leave in doubt.
            Strict: a wrong link carries a name to somebody else, a missed one costs a new track and one more search.
        other_person: squared L2 beyond which an embedding speaks against a track that boxes and glances continue.
            Lax: one person, blurred or in profile, is far from the template too.
        min_overlap: least IoU of boxes at which `steady_likeness` suffices.
        steady_likeness: least likeness of two glances, -1..1, that continues a track in an unbroken shot where its face
            must be. It only notices who is somebody else: between neighbouring frames of two clips at 25 frames/s 99 %
            of the pairs of one face have 0.67 and more, and half of the pairs of two people in one frame 0.55.
        steady_s: `steady_likeness` suffices as long as the face was out of sight for no longer.
        sure_likeness: least likeness that continues a track after a cut, or where its face moved far or was out of
            sight. Of two people in one frame of these clips 1 pair of 635 is so alike, of different people in LFW
            0.4 %.
        blind_s: after so long without a sight of the face an embedding decides.
        lost_s: a track that was not seen for so long is over.
        better: how much the score of a look must exceed the best one so far.
        retry_s: between attempts while no look was legible.
        confirm_s: after a first look, until the one that confirms it.
        refresh_s: after a look of a settled track; twice and four times as long when the track is older.
        joined: looks are had with others of the same frame after this share of their waiting time.
        first_looks: at a stranger, that come quickly.
        looks: that a template keeps.
    """

    same_person: float
    other_person: float
    min_overlap: float = 0.3
    steady_likeness: float = 0.55
    steady_s: float = 0.5
    sure_likeness: float = 0.8
    blind_s: float = 1.0
    lost_s: float = 2.0
    better: float = 0.15
    retry_s: float = 0.2
    confirm_s: float = 0.2
    refresh_s: float = 1.0
    joined: float = 0.7
    first_looks: int = 3
    looks: int = 5


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face, followed.

    Attributes:
        number: of the track, unique in its stream, from 1.
        motion: where it is and how it moves.
        started_ns: first seen.
        frames: in which it was seen.
        tried_ns: the last time that it was looked at closely; -1 for never.
        tried_score: the best score at which it was looked at closely, 0..1, as judged before the look.
        template: of its looks; None while none was legible.
        verdict: who it is; None while there is no template.
        estranged: close looks in a row that did not resemble the template.
    """

    number: int
    motion: Motion
    started_ns: int
    frames: int = 1
    tried_ns: int = -1
    tried_score: float = 0.0
    template: TrackTemplate | None = None
    verdict: Verdict | None = None
    estranged: int = 0

    @property
    def seen_ns(self) -> int:
        """When it was last seen."""
        return self.motion.at_ns

    def seen(self, box: NDArray[np.float32], at_ns: int) -> Track:
        """The track after its face was seen in a frame."""
        return replace(self, motion=self.motion.moved(box, at_ns), frames=self.frames + 1)

    def stood(self, at_ns: int) -> Track:
        """The track after a frame in which nothing moved: its face is where it was."""
        return replace(self, motion=self.motion.stopped(at_ns), frames=self.frames + 1)

    def tried(self, score: float, at_ns: int) -> Track:
        """The track after a close look, whatever came of it."""
        return replace(self, tried_ns=at_ns, tried_score=max(score, self.tried_score))

    def looked(self, look: Look, rule: TrackRule) -> Track:
        """The track with a look that is of this face."""
        template = self.template.with_look(look, at_most=rule.looks) if self.template else TrackTemplate((look,))
        return replace(self, template=template, estranged=0)


def start(number: int, box: NDArray[np.float32], at_ns: int) -> Track:
    """A track that begins with a face in a frame."""
    return Track(number, Motion.start(box, at_ns), at_ns)


def pairs_of(tracks: Sequence[Track], faces: Faces, at_ns: int) -> tuple[Pair, ...]:
    """Which face continues which track, by their boxes."""
    predicted = np.asarray([track.motion.predicted(at_ns) for track in tracks], np.float64).reshape(-1, 4)
    reach = np.asarray([track.motion.reach(at_ns) for track in tracks], np.float64)
    return associate(predicted, reach, faces.boxes)


def likeness_wanted(track: Track, pair: Pair, at_ns: int, shot_ns: int, rule: TrackRule) -> float | None:
    """How alike two glances must be, -1..1, to say without an embedding that a face is the track's.

    Args:
        track: that may go on.
        pair: of the track and the face.
        at_ns: now.
        shot_ns: since when nothing was cut.
        rule: how faces are followed.

    Returns:
        None when only an embedding can say it.
    """
    if at_ns - track.seen_ns > rule.blind_s * 1e9:
        return None
    steady = track.seen_ns >= shot_ns and at_ns - track.seen_ns <= rule.steady_s * 1e9
    return rule.steady_likeness if steady and pair.overlap >= rule.min_overlap else rule.sure_likeness


def look_reason(track: Track, score: float, at_ns: int, rule: TrackRule, *, patience: float = 1.0) -> LookReason | None:
    """Why the face of a track should be looked at closely in this frame; None when it need not.

    Args:
        track: as it is in this frame.
        score: of the face as judged before a close look, 0..1.
        at_ns: now.
        rule: how often.
        patience: share of the waiting times that must have passed.
    """
    if track.tried_ns < 0:
        return LookReason.NEW
    since_s = (at_ns - track.tried_ns) / 1e9 / patience
    if track.verdict is None:
        return LookReason.RETRY if since_s >= rule.retry_s else None
    if track.estranged:
        return LookReason.DOUBTFUL  # the last look was of somebody else, or of nothing much: the next one decides
    if score >= track.tried_score + rule.better:
        return LookReason.BETTER
    if not track.verdict.settled:
        return LookReason.CONFIRM if since_s >= rule.confirm_s else None
    return LookReason.REFRESH if since_s >= _refresh_s(track, at_ns, rule) else None


def _refresh_s(track: Track, at_ns: int, rule: TrackRule) -> float:
    """A face that has been there long needs fewer looks: each is another chance to err, and costs the same.

    A stranger's first few looks come quicker: whoever can be named at all is mostly named by one of them.
    """
    template, verdict = track.template, track.verdict
    if verdict and template and not isinstance(verdict.answer, Match) and len(template.looks) < rule.first_looks:
        return 2 * rule.confirm_s
    age_s = (at_ns - track.started_ns) / 1e9
    return rule.refresh_s * (1 if age_s < 5 * rule.refresh_s else 2 if age_s < 20 * rule.refresh_s else 4)


def resembling(tracks: Sequence[Track], embedding: Embedding, rule: TrackRule) -> Track | None:
    """The track whose template is nearest to an embedding, when it is near enough to be of the same person."""
    known = [(track.template.distance(embedding), track.number, track) for track in tracks if track.template]
    distance, _, nearest = min(known, default=(np.inf, 0, None), key=lambda each: each[:2])
    return nearest if distance <= rule.same_person else None
