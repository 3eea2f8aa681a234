"""Four cameras at once against what a user would pick instead, and against what the stages cost alone.

Server, peers and stages take turns on the same frames. The peers decode, detect, embed every face and compare it; the
server decodes, detects, embeds what it needs to, searches, and serves four cameras over gRPC, whose own cost on the
same cores is charged to it.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import (
    MeasuredServer,
    Profile,
    Sampler,
    measured_server,
    profile,
    settle,
)
from tests.benchmarks.cameras.peers import face_recognition_loop, opencv_loop
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.cameras.stage_costs import StageBench
from tests.benchmarks.report import Bar, Figure

CAMERAS = 4
_SERVER, _SEVERAL = "server", "server, a process for each core"
_WARM_UP_S = 3
"""Of every round: streams are new, so everybody in them is, and the cameras have not heard yet what they may send."""
_SLOW = 3
"""Rounds of the slowest peer are so much longer: it does half a frame a second."""
_WORKERS = ("--workers", str(os.cpu_count() or 1), "--frame-threads", "2")
"""A process for each core: fewer threads wait for each interpreter. No sightings are kept then (docs/limits.md)."""


@dataclass(frozen=True, slots=True)
class _Round:
    """One round of a server under four cameras.

    Attributes:
        rate: results a second, after the warm-up.
        rate_with_start: the same with the warm-up.
        embeddings: for a result.
        batch: crops in a batch of the embedder.
        dropped: frames.
        generator: cores that the cameras kept busy.
        faces: in a frame.
        decided: share of the faces that were named or known to be strangers.
    """

    rate: float
    rate_with_start: float
    embeddings: float
    batch: float
    dropped: int
    generator: float
    faces: float
    decided: float


def measure(size: Size) -> Measured:
    """Throughput, its ratio to both peers, and its share of the ceiling."""
    pictures = crowd()
    images = fields(pictures)
    rates: dict[str, list[float]] = {name: [] for name in (_SERVER, _SEVERAL, "OpenCV", "face_recognition")}
    seen: dict[str, list[float]] = {name: [] for name in rates}
    costs, rounds = [], []
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        for number, picture in enumerate(pictures):
            (folder / f"{number:04}.jpg").write_bytes(picture)
        stages = StageBench(pictures[::4])
        undo.callback(stages.close)
        server = undo.enter_context(measured_server())
        several = undo.enter_context(measured_server(*_WORKERS))
        peers = [undo.enter_context(opencv_loop(folder)), undo.enter_context(face_recognition_loop(folder))]
        for each in (several, server):
            play(each.address, _cameras(images), 3)  # warm
        cold = server.samples()
        for _ in range(size.rounds):
            rounds.append(_round(server, images, size.round_s))
            other = _round(several, images, size.round_s)
            for name, done in ((_SERVER, rounds[-1]), (_SEVERAL, other)):
                rates[name].append(done.rate)
                seen[name].append(done.faces)
            costs.append(stages.measure(size.round_s))
            for peer, patience in zip(peers, (1, _SLOW), strict=True):
                if peer is not None:
                    ran = peer.run(size.round_s * patience)
                    rates[peer.name].append(ran.frames_per_second)
                    seen[peer.name].append(ran.faces_per_frame)
        spent = profile(cold, server.samples())
    served, several_served, opencv = (mean(rates[name]) for name in (_SERVER, _SEVERAL, "OpenCV"))
    needed = mean(each.embeddings for each in rounds)
    ceiling = 1 / mean(cost.frame(needed) for cost in costs)
    with_landmarks = 1 / mean(cost.frame(needed) + needed * cost.place for cost in costs)
    figures = [
        Figure("throughput: 4 cameras, 1080p, results", served, "frames/s"),
        Figure(
            "throughput: the same with the first seconds of every stream",
            mean(each.rate_with_start for each in rounds),
            "frames/s",
        ),
        Figure("throughput: OpenCV's loop", opencv, "frames/s"),
        Figure("throughput: over OpenCV's loop", served / opencv, "x", Bar.AT_LEAST, 6),
        Figure(f"throughput: with {' '.join(_WORKERS)}", several_served, "frames/s"),
        Figure(f"throughput: with {' '.join(_WORKERS)}, over OpenCV's loop", several_served / opencv, "x"),
        *_over_face_recognition(served, rates["face_recognition"]),
        *(Figure(f"throughput: faces in a frame, {name}", mean(seen[name]), "faces") for name in seen if seen[name]),
        Figure("throughput: faces decided", 100 * mean(each.decided for each in rounds), "%"),
        Figure("throughput: embeddings for a frame", needed, "crops"),
        Figure("throughput: crops in a batch", mean(each.batch for each in rounds), "crops"),
        Figure("throughput: frames dropped", sum(each.dropped for each in rounds), "frames"),
        Figure("throughput: the cameras' own share", mean(each.generator for each in rounds), "cores"),
        *(
            Figure(f"stage alone: {name}", 1000 * mean(getattr(cost, name) for cost in costs), "ms")
            for name in ("decode", "whole", "detect", "place", "embed")
        ),
        *_where_time_goes(spent),
        Figure("efficiency: ceiling of decode, detect and embeddings", ceiling, "frames/s"),
        Figure("efficiency: share of that ceiling", served / ceiling, "", Bar.AT_LEAST, 0.8),
        Figure("efficiency: share of the ceiling with landmarks and alignment", served / with_landmarks, ""),
    ]
    notes = ["the ceiling's decode is reduced as far as detection allows; crops need the whole frame on top of it"]
    if not rates["face_recognition"]:
        notes.append("face_recognition was not measured: `make peers` installs it")
    return Measured(figures, {name: rate for name, rate in rates.items() if rate}, notes)


def _round(server: MeasuredServer, images: list[bytes], seconds: float) -> _Round:
    """Four cameras for some seconds after a warm-up, with the machine to themselves."""
    settle(server)
    sampler = Sampler(server, time.monotonic() + _WARM_UP_S)
    loaded = play(server.address, _cameras(images), _WARM_UP_S + seconds, watch=sampler.look)
    (since_s, before), (until_s, after) = sampler.readings
    answered = sum(camera.results(since_s, until_s) for camera in loaded.cameras)
    settle(server)
    return _Round(
        rate=answered / (until_s - since_s),
        rate_with_start=loaded.results_per_second(),
        embeddings=(after.embeddings - before.embeddings) / answered,
        batch=(after.embeddings - before.embeddings) / (after.batches - before.batches),
        dropped=loaded.kinds()["dropped"],
        generator=loaded.own_cores(),
        faces=_faces(loaded.cameras) / loaded.kinds()["result"],
        decided=loaded.decided(warm_up_s=_WARM_UP_S),
    )


def _where_time_goes(spent: Profile) -> list[Figure]:
    """The server's own account of a frame under this load."""
    return [
        *(Figure(f"profile: a frame in stage {name}", mean_ms, "ms") for name, mean_ms in spent.stages.items()),
        *(Figure(f"profile: inside the {name}, for a frame", ms, "ms") for name, ms in spent.networks.items()),
    ]


def _cameras(images: list[bytes]) -> list[Camera]:
    """Cameras that send as fast as answers come, each from another place in the clip.

    Frames carry the clip's own times: how many embeddings they need is a matter of the clip, not of the machine.
    """
    return [Camera(f"crowd-{i}", images, first=i * len(images) // CAMERAS, clip_fps=25) for i in range(CAMERAS)]


def _faces(cameras: object) -> int:
    return sum(answer.faces for camera in cameras for answer in camera.answers.values())  # type: ignore[attr-defined]


def _over_face_recognition(served: float, rates: list[float]) -> list[Figure]:
    if not rates:
        return [Figure("throughput: over face_recognition (not installed)", 0, "x", Bar.AT_LEAST, 40)]
    return [
        Figure("throughput: face_recognition's loop, one a core", mean(rates), "frames/s"),
        Figure("throughput: over face_recognition", served / mean(rates), "x", Bar.AT_LEAST, 40),
    ]
