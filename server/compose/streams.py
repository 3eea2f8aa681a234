"""How cameras' streams are served: what they share, and how faces are followed in them."""

from __future__ import annotations

import time

from server.compose.cores import frame_threads
from server.compose.parts import Parts
from server.compose.sightings import track_observer
from server.identity.match import threshold_for
from server.identity.track import TrackRule
from server.pipeline.allowance import LookAllowance
from server.pipeline.decoder import DecoderLimits, decoders
from server.pipeline.flow import Flow, FlowRule
from server.pipeline.packets import PacketPictures
from server.pipeline.rhythm import DetectionPace
from server.pipeline.session import SessionRule
from server.rpc.permits import Permits
from server.rpc.sessions import Sessions
from server.rpc.stream import StreamLimits, StreamShare

_SAME_FAR, _OTHER_FAR = 1e-4, 1e-2
"""False accept rates whose distances say that a face in doubt is its track's, and that one without doubt may not be."""


def stream_share(parts: Parts) -> StreamShare:
    """What all streams share. One frame more than there are threads is let in, so that no thread waits for the next."""
    settings, threads = parts.settings, frame_threads(parts.settings)
    observer = track_observer(settings, parts.sightings)
    sessions = Sessions(parts.recogniser, _session_rule(parts), observer, parts.frames)
    start_decoder = decoders(
        DecoderLimits(min(settings.max_video_pixels, settings.max_image_pixels), settings.max_packet_s)
    )
    return StreamShare(
        limits=StreamLimits(
            target_far=settings.target_far,
            frames_at_once=settings.frames_at_once,
            max_frame_age_ns=settings.max_frame_age_ms * 10**6,
            idle_timeout_s=settings.idle_timeout_s,
            drain_ns=round(settings.drain_s * 10**9),
        ),
        open_session=sessions.open,
        open_packets=lambda: PacketPictures(start_decoder, max_bytes=settings.max_image_bytes, clock=time.monotonic_ns),
        permits=Permits(threads + 1, time.monotonic_ns),
        flow=Flow(FlowRule(threads=threads, admitted=threads + 1, credits=settings.frames_at_once + 1)),
        allowance=LookAllowance(places=max(1, threads // 2)),
        draining=parts.streams.draining,
    )


def _session_rule(parts: Parts) -> SessionRule | None:
    settings = parts.settings
    if not settings.track:
        return None
    same, other = (threshold_for(parts.loaded.operating_points, far, 1) for far in (_SAME_FAR, _OTHER_FAR))
    return SessionRule(
        TrackRule(same_person=same, other_person=other, refresh_s=settings.refresh_s),
        DetectionPace(settings.detect_interval, settings.detect_still_ms * 10**6),
    )
