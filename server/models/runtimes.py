"""Which runtime a model folder gets on this machine: remembered, or judged and measured now."""

from __future__ import annotations

from pathlib import Path

from server.inference.choose import Clock, Decision, choose
from server.inference.cores import Cores
from server.inference.decisions import DECISIONS_FILE, Circumstances, Decisions, library_versions, processor
from server.inference.load import candidates, open_backend
from server.inference.manifest import Kind, load_manifest, verified_weights
from server.models.probes import Role, job_of


def roles_of(kind: Kind) -> tuple[Role, ...]:
    """What a model of this kind can do in the server."""
    return (Role.EMBEDDER,) if kind is Kind.EMBEDDER else (Role.DETECTOR, Role.LANDMARKER)


class RuntimeChooser:
    """Chooses runtimes for the models of one directory.

    Args:
        models_dir: folder of NAME/VERSION folders; decisions are kept in a file there.
        cores: what a network will have.
        detect_side: longer side of the pictures that a detector gets, pixels.
        afresh: measure also what is remembered.
        clock: the machine's own when None.
    """

    def __init__(
        self, models_dir: Path, cores: Cores, *, detect_side: int, afresh: bool = False, clock: Clock | None = None
    ) -> None:
        self._decisions = Decisions(models_dir / DECISIONS_FILE)
        self._cores = cores
        self._detect_side = detect_side
        self._afresh = afresh
        self._clock = clock

    def choose(self, folder: Path, role: Role) -> Decision:
        """The runtime of the model in a folder.

        Raises:
            ModelError: the folder is missing or damaged, or its model can't have this role.
            InferenceError: the reference fails.
        """
        manifest = load_manifest(folder)
        weights = verified_weights(folder, manifest)
        job = job_of(manifest, role, detect_side=self._detect_side, lanes=self._cores.lanes)
        allowed = candidates(manifest.kind)
        circumstances = Circumstances(
            sha256=manifest.sha256,
            work=f"{role.value} of {', '.join(str(batch.shape) for batch in job.batches)}",
            threads=self._cores.threads,
            lanes=self._cores.lanes,
            candidates=tuple(runtime.value for runtime in allowed),
            libraries=library_versions(),
            processor=processor(),
        )
        remembered = None if self._afresh else self._decisions.recall(circumstances)
        if remembered is not None:
            return remembered
        threads, lanes = self._cores.threads, self._cores.lanes
        openers = {
            runtime: lambda runtime=runtime: open_backend(manifest, weights, runtime, threads=threads, lanes=lanes)
            for runtime in allowed
        }
        decision = choose(openers, job, self._clock)
        self._decisions.remember(circumstances, decision)
        return decision
