"""A stage performance with tracking, and with every face of every frame embedded: who is named where, for how much."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import knows_flag, measured_server
from tests.benchmarks.cameras.pictures import hamilton
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure
from tests.e2e.test_hamilton import SHOTS

CLIP_FPS = 25.0
_MOST_S = 300


@dataclass(frozen=True, slots=True)
class Naming:
    """What one run named.

    Attributes:
        right: frames in which somebody is named who is in that shot, counted for each person.
        wrong: names in frames whose shot the person is not in, or twice in one frame.
        embeddings: crops that were embedded.
    """

    right: int
    wrong: int
    embeddings: int


def measure(size: Size) -> Measured:
    """One run each; the clip is what it is, whatever the size."""
    del size
    switch = knows_flag("--no-track")
    every = run(*(("--no-track",) if switch else ()))
    figures = [
        Figure("identification: every face embedded: right names", every.right, "frames"),
        Figure("identification: every face embedded: wrong names", every.wrong, "names"),
        Figure("identification: every face embedded: embeddings", every.embeddings, "crops"),
    ]
    if not switch:
        missing = Figure(
            "identification: embeddings with tracking (the server doesn't track)", 100, "%", Bar.AT_MOST, 40
        )
        return Measured([*figures, missing])
    tracked = run("--track")
    share = 100 * tracked.embeddings / every.embeddings
    return Measured(
        [
            *figures,
            Figure("identification: tracked: right names", tracked.right, "frames", Bar.AT_LEAST, every.right),
            Figure("identification: tracked: wrong names", tracked.wrong, "names", Bar.AT_MOST, every.wrong),
            Figure("identification: tracked: share of the embeddings", share, "%", Bar.AT_MOST, 40),
        ]
    )


def run(*flags: str) -> Naming:
    """Streams the clip, one frame at a time, with its own times."""
    with measured_server(*flags) as server:
        before = server.read()
        camera = Camera("stage", fields(hamilton()), in_flight=1, frames=len(hamilton()), clip_fps=CLIP_FPS)
        camera.obeys = False  # one at a time: nothing may depend on how fast the machine is
        play(server.address, [camera], _MOST_S)
        after = server.read()
    right = wrong = 0
    for sequence, answer in camera.played.answers.items():
        present = next(set(people) for frames, people in SHOTS.values() if sequence - 1 in frames)
        right += len(set(answer.names) & present)
        wrong += len(answer.names) - len(set(answer.names) & present)
    return Naming(right, wrong, round(after.embeddings - before.embeddings))
