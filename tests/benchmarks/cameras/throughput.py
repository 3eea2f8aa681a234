"""Four cameras at once against what a user would pick instead, and against what the stages cost alone.

Server, peers and stages take turns on the same frames. The peers decode, detect, embed every face and compare it; the
server decodes, detects, embeds what it needs to, searches, and serves four cameras over gRPC, whose own cost on the
same cores is charged to it.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import mean

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import Profile, Sampler, measured_server, profile, settle
from tests.benchmarks.cameras.peers import face_recognition_loop, opencv_loop
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.cameras.stage_costs import StageBench
from tests.benchmarks.report import Bar, Figure

CAMERAS = 4
_WARM_UP_S = 3
"""Of every round: streams are new, so everybody in them is, and the cameras have not heard yet what they may send."""
_SLOW = 3
"""Rounds of the slowest peer are so much longer: it does half a frame a second."""


def measure(size: Size) -> Measured:
    """Throughput, its ratio to both peers, and its share of the ceiling."""
    pictures = crowd()
    images = fields(pictures)
    names = ("server", "OpenCV", "face_recognition")
    rates: dict[str, list[float]] = {name: [] for name in names}
    seen: dict[str, list[float]] = {name: [] for name in names}
    costs, embeddings, generator, dropped, batches, with_start = [], [], [], [], [], []
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        for number, picture in enumerate(pictures):
            (folder / f"{number:04}.jpg").write_bytes(picture)
        stages = StageBench(pictures[::4])
        undo.callback(stages.close)
        server = undo.enter_context(measured_server())
        peers = [undo.enter_context(opencv_loop(folder)), undo.enter_context(face_recognition_loop(folder))]
        play(server.address, _cameras(images), 3)  # warm
        cold = server.samples()
        for _ in range(size.rounds):
            settle(server)
            sampler = Sampler(server, time.monotonic() + _WARM_UP_S)
            loaded = play(server.address, _cameras(images), _WARM_UP_S + size.round_s, watch=sampler.look)
            (since_s, before), (until_s, after) = sampler.readings
            answered = sum(camera.results(since_s, until_s) for camera in loaded.cameras)
            settle(server)
            with_start.append(loaded.results_per_second())
            rates["server"].append(answered / (until_s - since_s))
            seen["server"].append(_faces(loaded.cameras) / loaded.kinds()["result"])
            embeddings.append((after.embeddings - before.embeddings) / answered)
            batches.append((after.embeddings - before.embeddings) / (after.batches - before.batches))
            generator.append(loaded.own_cores())
            dropped.append(loaded.kinds()["dropped"])
            costs.append(stages.measure(size.round_s))
            for peer, patience in zip(peers, (1, _SLOW), strict=True):
                if peer is not None:
                    done = peer.run(size.round_s * patience)
                    rates[peer.name].append(done.frames_per_second)
                    seen[peer.name].append(done.faces_per_frame)
        spent = profile(cold, server.samples())
    served = mean(rates["server"])
    needed = mean(embeddings)
    ceiling = 1 / mean(cost.frame(needed) for cost in costs)
    with_landmarks = 1 / mean(cost.frame(needed) + needed * cost.place for cost in costs)
    figures = [
        Figure("throughput: 4 cameras, 1080p, results", served, "frames/s"),
        Figure("throughput: the same with the first seconds of every stream", mean(with_start), "frames/s"),
        Figure("throughput: OpenCV's loop", mean(rates["OpenCV"]), "frames/s"),
        Figure("throughput: over OpenCV's loop", served / mean(rates["OpenCV"]), "x", Bar.AT_LEAST, 6),
        *_over_face_recognition(served, rates["face_recognition"]),
        *(Figure(f"throughput: faces in a frame, {name}", mean(seen[name]), "faces") for name in names if seen[name]),
        Figure("throughput: embeddings for a frame", needed, "crops"),
        Figure("throughput: crops in a batch", mean(batches), "crops"),
        Figure("throughput: frames dropped", sum(dropped), "frames"),
        Figure("throughput: the cameras' own share", mean(generator), "cores"),
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
