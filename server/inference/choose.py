"""Which runtime a model gets: the fastest that passes the parity gate, measured where it will run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean, median

from server.errors import ConflictError, ModelError
from server.inference.backend import Backend, Tensor
from server.inference.load import REFERENCE, Runtime
from server.inference.parity import Gate, Verdict, answers, judge

Open = Callable[[], Backend]
Costs = dict[Runtime, tuple[float, ...]]
"""Milliseconds of processor time for a picture, for each of a job's batches."""

_ROUNDS = 15
_BUDGET_NS = 500_000_000
"""Measuring one model ends after so many rounds or so much time, whichever comes first, and after one round at
least."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What a model does at work.

    Attributes:
        gate: what a backend must get right.
        batches: as they come at work, each (N, 3, H, W) float32.
        lanes: batches that run beside each other.
    """

    gate: Gate
    batches: tuple[Tensor, ...]
    lanes: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a candidate.

    Attributes:
        runtime: the candidate.
        verdict: of the gate.
        costs_ms: processor time of a picture for each batch of the job; empty when the gate was not passed.
    """

    runtime: Runtime
    verdict: Verdict
    costs_ms: tuple[float, ...] = ()

    @property
    def cost_ms(self) -> float:
        """Processor time of a picture, over the batches.

        Raises:
            ValueError: it was not measured.
        """
        return mean(self.costs_ms)


@dataclass(frozen=True, slots=True)
class Decision:
    """Which runtime a model gets, and why.

    Attributes:
        runtime: the one.
        trials: of all candidates.
        remembered: whether it was decided at an earlier start.
    """

    runtime: Runtime
    trials: tuple[Trial, ...]
    remembered: bool = False

    @property
    def why(self) -> str:
        """The decision in a sentence."""
        measured = sorted((trial for trial in self.trials if trial.costs_ms), key=lambda trial: trial.cost_ms)
        costs = ", ".join(f"{trial.runtime.value} {trial.cost_ms:.2f}" for trial in measured)
        when = "measured earlier" if self.remembered else "measured at this start"
        refused = "".join(
            f"; not {trial.runtime.value}: {trial.verdict.finding}" for trial in self.trials if not trial.costs_ms
        )
        return f"least processor time of those that pass, ms a picture: {costs} ({when}){refused}"


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks in nanoseconds.

    Attributes:
        cpu: processor time of this process, all threads.
        wall: time that passes.
    """

    cpu: Callable[[], int] = time.process_time_ns
    wall: Callable[[], int] = time.monotonic_ns


def choose(openers: Mapping[Runtime, Open], job: Job, clock: Clock | None = None) -> Decision:
    """The fastest candidate that passes the gate.

    Takes two to seven seconds for a default model, with opening the candidates; longer at larger detection sizes.

    Args:
        openers: of the candidates, the reference among them.
        job: what they are judged and measured with.
        clock: the machine's own when None.

    Raises:
        ModelError: the reference can't be opened.
        InferenceError: the reference fails.
    """
    with ExitStack() as undo:
        reference = openers[REFERENCE]()
        undo.callback(reference.close)
        wanted = answers(job.gate, reference)
        passed, trials = {REFERENCE: reference}, [Trial(REFERENCE, Verdict(True, "the reference"))]
        for runtime, open_candidate in openers.items():
            if runtime is REFERENCE:
                continue
            try:
                candidate = open_candidate()
            except (ConflictError, ModelError) as error:
                trials.append(Trial(runtime, Verdict(False, error.message)))
                continue
            undo.callback(candidate.close)
            verdict = judge(job.gate, wanted, candidate, runtime.precision)
            trials.append(Trial(runtime, verdict))
            if verdict.passed:
                passed[runtime] = candidate
        costs = measure(passed, job, clock or Clock())
    judged = tuple(Trial(trial.runtime, trial.verdict, costs.get(trial.runtime, ())) for trial in trials)
    fastest = min((trial for trial in judged if trial.costs_ms), key=lambda trial: trial.cost_ms)
    return Decision(fastest.runtime, judged)


def measure(backends: Mapping[Runtime, Backend], job: Job, clock: Clock) -> Costs:
    """Processor time of a picture while all lanes are busy: what decides how many a loaded machine gets done.

    Not the latency of an idle machine, which flatters whoever spreads one picture over all cores. The candidates take
    turns in every round, beginning with another one each time, so that whatever else the machine does disturbs all of
    them; the median over the rounds counts.

    Raises:
        InferenceError: a backend fails.
    """
    order = list(backends)
    samples: dict[tuple[Runtime, int], list[float]] = {(r, i): [] for r in order for i in range(len(job.batches))}
    with ThreadPoolExecutor(job.lanes, "measure") as lanes:
        judged = {batch.shape for batch in job.gate.probes}
        for batch in job.batches:
            if batch.shape not in judged:  # the first run of a shape compiles kernels; the gate had the others
                for runtime in order:
                    backends[runtime].run(batch)
        end = clock.wall() + _BUDGET_NS
        for number in range(_ROUNDS):
            for runtime in order[number % len(order) :] + order[: number % len(order)]:
                for i, batch in enumerate(job.batches):
                    before = clock.cpu()
                    _run(lanes, backends[runtime], batch, job.lanes)
                    samples[runtime, i].append((clock.cpu() - before) / (job.lanes * len(batch)) / 1e6)
            if clock.wall() >= end:
                break
    return {r: tuple(median(samples[r, i]) for i in range(len(job.batches))) for r in order}


def _run(lanes: ThreadPoolExecutor, backend: Backend, batch: Tensor, count: int) -> None:
    """The batch once on every lane, at the same time."""
    for done in [lanes.submit(backend.run, batch) for _ in range(count)]:
        done.result()
