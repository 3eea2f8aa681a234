"""One camera: its frames in their order, the faces that are followed through them, and who they are."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from server.domain import EncodedImage, Faces, GalleryName, Look, Quality, TrackReport
from server.errors import UnavailableError
from server.identity.follow import Claim, Sight, claims_of, joined, settle
from server.identity.track import Track, TrackRule
from server.identity.verdict import one_each
from server.pipeline.allowance import CameraAllowance
from server.pipeline.camera_clock import CameraClock
from server.pipeline.followed import Followed, TrackObserver, report_of
from server.pipeline.naming import name_faces
from server.pipeline.recognise import RecognisedFace, Recogniser, Recognition, StageTimes
from server.pipeline.rhythm import DetectionPace, Rhythm, Search
from server.pipeline.turns import Turns
from server.vision.decode import Picture, decode_for
from server.vision.likeness import Glance, glances_of
from server.vision.quality import at_a_glance, remembering
from server.vision.shot import Shot, shot_after

_EVERY_PIXEL = 2**31


@dataclass(frozen=True, slots=True)
class SessionRule:
    """How a camera's frames are worked on: how faces are followed, and how often they are searched for."""

    track: TrackRule
    pace: DetectionPace


@dataclass(frozen=True, slots=True)
class CameraName:
    """Whose frames these are.

    Attributes:
        camera: the camera's name.
        session: unique over all streams.
        gallery: to match against.
        far: wanted false accept rate of one face against the whole gallery.
    """

    camera: str
    session: str
    gallery: GalleryName
    far: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """A frame's place among its camera's frames.

    Attributes:
        number: from 0.
        at_ns: when it was captured, in nanoseconds that never go back.
        wall_ns: when it was captured, wall clock, nanoseconds since the epoch; not in the future.
    """

    number: int
    at_ns: int
    wall_ns: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame whose turn it is."""

    picture: Picture
    sight: Sight
    glances: Sequence[Glance]
    qualities: Sequence[Quality]
    ticket: Ticket
    times: StageTimes


@dataclass(frozen=True, slots=True)
class _CloseLook:
    """What looking closely at some faces of a frame gave; everything by the face's index."""

    looks: Mapping[int, Look]
    crops: Mapping[int, NDArray[np.uint8]]
    qualities: Mapping[int, Quality]


class CameraSession:
    """Follows and names the faces of one camera's stream.

    `look` may be called from several threads at once, once for each ticket; the steps that depend on the frame before
    take their turn in the tickets' order.

    Args:
        recogniser: models, gallery and rules.
        rule: how frames are worked on.
        allowance: of close looks.
        observer: is told of tracks.
        name: whose frames these are.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        rule: SessionRule,
        allowance: CameraAllowance,
        observer: TrackObserver,
        name: CameraName,
    ) -> None:
        self._recogniser = recogniser
        self._rule = rule
        self._allowance = allowance
        self._observer = observer
        self._camera = name
        self._turns = Turns()
        self._clock = CameraClock()
        self._rhythm = Rhythm(rule.pace)
        self._lock = threading.Lock()
        self._closed = False
        self._followed: dict[int, Followed] = {}
        self._visible: tuple[int, ...] = ()
        self._shot: Shot | None = None
        self._next_number = 1
        self._whole_next = False
        self._groups_revision = observer.groups_revision

    def ticket(self, captured_ns: int, arrived_ns: int, now_ns: int) -> Ticket:
        """A place for the next frame; call in the frames' order, and `look` or `give_back` once for each.

        Args:
            captured_ns: the camera's wall clock, nanoseconds since the epoch.
            arrived_ns: the server's monotonic clock, nanoseconds.
            now_ns: the server's wall clock, nanoseconds since the epoch. What was seen is written down as of no later
                time: it would outlive the days for which it may be kept.
        """
        wall_ns = min(captured_ns, now_ns)
        return Ticket(self._turns.issue(), self._clock.tick(captured_ns, arrived_ns), wall_ns)

    def give_back(self, ticket: Ticket) -> None:
        """Frees the place of a frame that will not be looked at."""
        self._turns.finish(ticket.number)

    def look(self, ticket: Ticket, encoded: EncodedImage) -> Recognition:
        """Who is in a frame.

        Raises:
            ImageError: the bytes are no image within the limits.
            InferenceError: a network failed.
            UnavailableError: STREAM_CLOSED.
        """
        recogniser = self._recogniser
        detector = recogniser.vision.detector
        times = StageTimes(recogniser.clock)
        side = _EVERY_PIXEL if self._whole_next else detector.longest_side
        try:
            picture = decode_for(encoded, recogniser.limits, longest_side=side)
            times.done("decode")
            search = self._rhythm.step(ticket.number, picture, ticket.at_ns)
            found = detector.detect(picture.pixels) if search is Search.NOW else None
            times.done("detect")
            with self._turns.turn(ticket.number), self._lock:
                times.skip()
                return self._recognition(picture, found, search, ticket, times)
        finally:
            self._turns.finish(ticket.number)

    def close(self) -> None:
        """Ends all tracks and sends frames away that still wait."""
        self._turns.close()
        with self._lock:
            self._closed = True
            for number in list(self._followed):
                self._end(number)

    def _recognition(
        self, picture: Picture, found: Faces | None, search: Search, ticket: Ticket, times: StageTimes
    ) -> Recognition:
        if self._closed:
            raise UnavailableError("STREAM_CLOSED", "the stream was closed while this frame was worked on")
        looks = self._follow(self._frame(picture, found, ticket, times)) if found is not None else {}
        if search is Search.STILL:
            self._stand(ticket)
        if search is not Search.SKIPPED:  # who was not searched for is not lost
            self._end_lost(ticket.at_ns)  # before the gallery is asked, which it may refuse to be for ever
        revision = self._judge()
        self._tell()
        times.done("match")
        shown = [self._followed[number] for number in self._visible if number in self._followed]
        if search is Search.SKIPPED:
            shown = [each.coasted(ticket.at_ns) for each in shown]
        answers = one_each([each.answer for each in shown])
        return Recognition(
            width=picture.width,
            height=picture.height,
            faces=_faces_of(shown),
            recognised=tuple(
                RecognisedFace(each.quality, answer, self._name_of(each.track.number))
                for each, answer in zip(shown, answers, strict=True)
            ),
            gallery_revision=revision,
            spent_ns=times.spent_ns,
            looks=looks,
        )

    # Following

    def _frame(self, picture: Picture, found: Faces, ticket: Ticket, times: StageTimes) -> _Frame:
        seen = glances_of(picture.pixels, found)
        faces = found.scaled(picture.reduction)
        qualities = at_a_glance(faces, self._recogniser.vision.quality)
        self._shot = shot_after(self._shot, picture.pixels, ticket.at_ns)
        scores = tuple(quality.score for quality in qualities)
        sight = Sight(faces, scores, ticket.at_ns, self._shot.since_ns)
        return _Frame(picture, sight, seen, qualities, ticket, times)

    def _follow(self, frame: _Frame) -> Mapping[str, int]:
        """Brings the tracks up to a frame's faces; returns how many were embedded, by reason."""
        sight, rule = frame.sight, self._rule.track
        known = list(self._followed.values())
        tracks = [each.track for each in known]
        claims = claims_of(tracks, sight, lambda t, f, bar: frame.glances[f].is_like(known[t].glance, bar), rule)
        claims = self._with_postponed(frame, claims, tracks)
        urgent, patient = _wanted(claims, sight)
        with self._allowance.taken(len(urgent), len(patient)) as (first, second):
            claims = _only(claims, {*urgent[:first], *patient[:second]})
            frame.times.done("track")
            close = self._look_closely(frame, claims)
        settled = settle(claims, tracks, sight, close.looks, self._next_number, rule)
        self._next_number = settled.next_number
        for i, track in enumerate(settled.tracks):
            tried = track if claims[i].reason is None else track.tried(sight.scores[i], sight.at_ns)
            self._keep(frame, i, tried, close)
        self._visible = tuple(track.number for track in settled.tracks)
        frame.times.done("track")
        return Counter(claims[i].reason.value for i in close.looks if claims[i].reason)  # type: ignore[union-attr]

    def _stand(self, ticket: Ticket) -> None:
        """Nothing has moved: who was in the last frame is in this one too."""
        for number in self._visible:
            if number in self._followed:
                self._followed[number] = self._followed[number].stood(ticket.at_ns, ticket.wall_ns)

    def _with_postponed(self, frame: _Frame, claims: tuple[Claim, ...], tracks: Sequence[Track]) -> tuple[Claim, ...]:
        """Looks that can wait do so until a frame that is decoded whole at once, which the next one then is.

        Decoding a large picture small for the search, and then whole for a look, costs more than decoding it whole.
        """
        reasons = [claim.reason for claim in claims if claim.reason is not None]
        if not reasons:
            self._whole_next = False
            return claims
        if frame.picture.reduction > 1 and not any(reason.urgent for reason in reasons):
            self._whole_next = self._allowance.spares  # or it would be decoded whole for looks that are not had
            return tuple(replace(claim, reason=None) for claim in claims)
        self._whole_next = False
        return joined(claims, tracks, frame.sight, self._rule.track)

    def _look_closely(self, frame: _Frame, claims: Sequence[Claim]) -> _CloseLook:
        wanted = [i for i, claim in enumerate(claims) if claim.reason is not None]
        if not wanted:
            return _CloseLook({}, {}, {})
        vision, legibility = self._recogniser.vision, self._recogniser.rule.legibility
        analysis = vision.analyse(frame.picture.whole(), frame.sight.faces.take(np.asarray(wanted, np.intp)))
        legible = [k for k, quality in enumerate(analysis.qualities) if legibility.holds(quality)]
        frame.times.done("align")
        urgent = any(claim.reason is not None and claim.reason.urgent for claim in claims)
        embeddings = (vision.embedder if urgent else vision.refresher).embed_of(analysis, legible)
        frame.times.done("embed")
        looks = {
            wanted[k]: Look(embedding, analysis.qualities[k].score, frame.ticket.at_ns)
            for k, embedding in zip(legible, embeddings, strict=True)
        }
        crops = {wanted[k]: analysis.crops[k] for k in legible}
        return _CloseLook(looks, crops, dict(zip(wanted, analysis.qualities, strict=True)))

    def _keep(self, frame: _Frame, i: int, track: Track, close: _CloseLook) -> None:
        """Keeps what a frame showed of a track's face."""
        faces, before = frame.sight.faces, self._followed.get(track.number)
        quality = close.qualities.get(i) or self._quality(frame.qualities[i], before)
        after = Followed(
            track=track,
            started_wall_ns=before.started_wall_ns if before else frame.ticket.wall_ns,
            seen_wall_ns=frame.ticket.wall_ns,
            glance=frame.glances[i],
            face=faces.take(np.asarray([i], np.intp)),
            quality=quality,
        )
        if before:
            after = after.remembering(before)
        if i in close.looks and track.template is not None and track.template.holds(close.looks[i]):
            after = after.with_look(close.crops[i], quality)
        self._followed[track.number] = after

    def _quality(self, glance: Quality, before: Followed | None) -> Quality:
        return remembering(glance, before.quality, self._recogniser.vision.quality) if before else glance

    # Naming and telling

    def _judge(self) -> int:
        """Asks the gallery about every track whose template is new, and about all when the gallery has changed.

        Returns:
            The revision of the gallery that the answers rest on.
        """
        revision = self._recogniser.galleries.revision(self._camera.gallery)
        asked = [each for each in self._followed.values() if each.needs_judging(revision)]
        if not asked:
            return revision
        recogniser, camera = self._recogniser, self._camera
        embeddings = np.stack([each.track.template.embedding for each in asked if each.track.template])
        named = name_faces(recogniser.galleries, recogniser.rule, camera.gallery, embeddings, far=camera.far)
        for each, said in zip(asked, named.answers, strict=True):
            self._followed[each.track.number] = each.after_judging(said, named.revision)
        return named.revision

    def _tell(self) -> None:
        self._regroup()
        for number, each in self._followed.items():
            if each.is_news() and (report := self._report(each, ended=False)):
                self._followed[number] = each.after_telling(self._observer.observe(report))

    def _regroup(self) -> None:
        """Takes over what became of strangers since the last frame: written down, seen elsewhere, merged or split."""
        revision = self._observer.groups_revision
        if revision == self._groups_revision:
            return
        self._groups_revision = revision
        for number, each in self._followed.items():
            group = self._observer.group_of(self._camera.gallery, self._name_of(number))
            self._followed[number] = replace(each, group=group)

    def _end_lost(self, at_ns: int) -> None:
        lost_ns = self._rule.track.lost_s * 1e9
        for number, each in list(self._followed.items()):
            if at_ns - each.track.seen_ns > lost_ns:
                self._end(number)

    def _end(self, number: int) -> None:
        ended = self._followed.pop(number)
        if report := self._report(ended, ended=True):
            self._observer.observe(report)

    def _report(self, each: Followed, *, ended: bool) -> TrackReport | None:
        name = self._name_of(each.track.number)
        return report_of(each, gallery=self._camera.gallery, camera=self._camera.camera, name=name, ended=ended)

    def _name_of(self, number: int) -> str:
        return f"{self._camera.session}-{number}"


def _wanted(claims: Sequence[Claim], sight: Sight) -> tuple[list[int], list[int]]:
    """Faces that a close look is wanted of, urgent ones and others; of each the best ones first."""
    wanted = sorted((i for i, claim in enumerate(claims) if claim.reason), key=lambda i: -sight.scores[i])
    urgent = [i for i in wanted if (reason := claims[i].reason) and reason.urgent]
    return urgent, [i for i in wanted if i not in urgent]


def _only(claims: Sequence[Claim], allowed: Collection[int]) -> tuple[Claim, ...]:
    """The claims without the looks that are not allowed."""
    return tuple(claim if i in allowed else replace(claim, reason=None) for i, claim in enumerate(claims))


def _faces_of(shown: Sequence[Followed]) -> Faces:
    if not shown:
        return Faces.none()
    parts = [each.face for each in shown]
    return Faces(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
