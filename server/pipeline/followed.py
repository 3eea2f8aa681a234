"""What a camera's session knows of each face that it follows, and what it tells others of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from server.domain import (
    Answer,
    BestCrop,
    Faces,
    GalleryName,
    Image,
    Match,
    Quality,
    TrackReport,
    Undecided,
    UndecidedReason,
    Unknown,
)
from server.identity.track import Track
from server.identity.track_template import TrackTemplate
from server.identity.verdict import Verdict
from server.vision.likeness import Glance

_TOLD_AGAIN_NS: Final = 60 * 10**9
"""Others are told once more of a face that stays in view after this long, though there is no news of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A track with what its last frame showed.

    Attributes:
        track: the track.
        started_wall_ns: when its first frame was captured, wall clock.
        seen_wall_ns: when its last frame was captured, wall clock.
        glance: how the face looked.
        face: one face, in pixels of the whole picture.
        quality: of the face.
        best: the best legible look; None while there was none.
        judged: the template that the verdict rests on; None while there is none.
        revision: of the gallery that the verdict rests on.
        group: of unknown faces that it belongs to; empty for none.
        told: who it was, by which template, and when it was seen (wall clock), when others were last told of it; None
            while they were not.
    """

    track: Track
    started_wall_ns: int
    seen_wall_ns: int
    glance: Glance
    face: Faces
    quality: Quality
    best: BestCrop | None = None
    judged: TrackTemplate | None = None
    revision: int = -1
    group: str = ""
    told: tuple[str, TrackTemplate, int] | None = None

    @property
    def answer(self) -> Answer:
        """Who it is."""
        verdict = self.track.verdict
        if verdict is None:
            looked = self.track.tried_ns >= 0
            return Undecided(UndecidedReason.LOW_QUALITY if looked else UndecidedReason.MORE_FRAMES_NEEDED)
        answer = verdict.answer
        if isinstance(answer, Match) or answer.group == self.group:
            return answer
        return replace(answer, group=self.group)

    @property
    def who(self) -> str:
        """The identity's resource name; empty for nobody enrolled."""
        said = self.track.verdict.answer if self.track.verdict else None
        return said.identity if isinstance(said, Match) else ""

    def needs_judging(self, revision: int) -> bool:
        """Whether the gallery, which has this revision, must be asked about it."""
        template = self.track.template
        return template is not None and (template is not self.judged or revision != self.revision)

    def after_judging(self, said: Match | Unknown, revision: int) -> Followed:
        """With what a gallery of this revision says of its template."""
        before, template = self.track.verdict, self.track.template
        if before is None:
            verdict = Verdict.first(said)
        elif template is self.judged:
            verdict = before.restated(said)
        elif revision != self.revision:
            verdict = replace(before, looks=before.looks + 1).restated(said)
        else:
            verdict = before.after(said)
        return replace(self, track=replace(self.track, verdict=verdict), judged=template, revision=revision)

    def is_news(self) -> bool:
        """Whether others should be told of it.

        Two looks have settled who it is, and they don't know it yet, or were told a minute ago.
        """
        verdict, template = self.track.verdict, self.track.template
        if verdict is None or template is None or not verdict.settled:
            return False
        if self.told is None:
            return True
        who, by, seen_ns = self.told
        return who != self.who or by is not template or self.seen_wall_ns - seen_ns >= _TOLD_AGAIN_NS

    def after_telling(self, group: str) -> Followed:
        """When others know it, who put it into a group of strangers."""
        template = self.track.template
        return replace(self, group=group, told=(self.who, template, self.seen_wall_ns) if template else None)

    def remembering(self, before: Followed) -> Followed:
        """With what was known of it before this frame."""
        return replace(
            self,
            best=before.best,
            judged=before.judged,
            revision=before.revision,
            group=before.group,
            told=before.told,
        )

    def stood(self, at_ns: int, wall_ns: int) -> Followed:
        """After a frame in which nothing moved: the face is there, where it was."""
        return replace(self, track=self.track.stood(at_ns), seen_wall_ns=wall_ns)

    def coasted(self, at_ns: int) -> Followed:
        """Where its motion has taken it since it was last seen."""
        before, box = self.face.boxes[0], self.track.motion.predicted(at_ns).astype(np.float32)
        scale = (box[2:] - box[:2]) / np.maximum(before[2:] - before[:2], 1)
        landmarks = (self.face.landmarks[0] - before[:2]) * scale + box[:2]
        return replace(self, face=Faces(box[None], landmarks[None].astype(np.float32), self.face.scores))

    def with_look(self, crop: Image, quality: Quality) -> Followed:
        """After a legible look at its face."""
        if self.best is not None and self.best.quality.score >= quality.score:
            return self
        return replace(self, best=BestCrop(crop, quality, self.seen_wall_ns))


def report_of(followed: Followed, *, gallery: GalleryName, camera: str, name: str, ended: bool) -> TrackReport | None:
    """What others are told of a track; None while no look at it was legible."""
    verdict, template, best = followed.track.verdict, followed.track.template, followed.best
    if verdict is None or template is None or best is None:
        return None
    return TrackReport(
        gallery=gallery,
        camera=camera,
        track=name,
        first_seen_ns=followed.started_wall_ns,
        last_seen_ns=followed.seen_wall_ns,
        frames=followed.track.frames,
        template=template.embedding,
        coherence=template.coherence,
        looks=template.looks,
        best=best,
        answer=verdict.answer,
        ended=ended,
    )


class TrackObserver(Protocol):
    """Is told of tracks: groups strangers, keeps sightings."""

    def observe(self, report: TrackReport) -> str:
        """Takes a report in; returns at once.

        A track is reported when two looks have settled who it is, whenever that changes or its template grows, each
        minute, and when it ends.

        Returns:
            Resource name of the group of unknown faces that it belongs to; empty for none.
        """
        ...

    @property
    def groups_revision(self) -> int:
        """Goes up whenever a track that is followed comes to belong to another group; cheap, asked in every frame."""
        ...

    def group_of(self, gallery: GalleryName, track: str) -> str:
        """Resource name of the group of unknown faces that a reported track belongs to now; empty for none."""
        ...


class NobodyWatches:
    """A TrackObserver that keeps nothing."""

    def observe(self, report: TrackReport) -> str:
        """As `TrackObserver.observe`."""
        del report
        return ""

    @property
    def groups_revision(self) -> int:
        """As `TrackObserver.groups_revision`."""
        return 0

    def group_of(self, gallery: GalleryName, track: str) -> str:
        """As `TrackObserver.group_of`."""
        del gallery, track
        return ""
