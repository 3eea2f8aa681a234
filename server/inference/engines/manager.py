"""From a model to its engine: out of the cache where it is sealed by us, else built, once, and put there."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from server.errors import InvalidInputError, ModelError
from server.inference.backend import Tensor
from server.inference.engines.builder import EngineBuilder
from server.inference.engines.half import to_half
from server.inference.engines.key import EngineKey
from server.inference.engines.profiles import ShapeProfile, Workload, profiles_for
from server.inference.engines.progress import Progress
from server.inference.engines.quantise import to_int8
from server.inference.engines.store import EngineStore
from server.inference.manifest import Manifest
from server.inference.precision import Precision

Check: TypeAlias = Callable[[bytes], None]
"""Looks at an ONNX file and raises when it must not become an engine."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """A network that a GPU can load.

    Attributes:
        plan: what the native library reads.
        key: what it was built from and for.
        built: whether it was built just now rather than found.
    """

    plan: bytes
    key: EngineKey
    built: bool

    @property
    def profiles(self) -> tuple[ShapeProfile, ...]:
        """The shapes it takes, in the order of the plan's profiles."""
        return self.key.profiles

    @property
    def name(self) -> str:
        """Library, GPU and precision, as `Backend.name` has it."""
        return f"{self.key.library}-{self.key.target}-{self.key.precision.value}"


class EngineManager:
    """Finds and builds engines.

    Safe to use from several threads and processes at once: whoever comes second waits for the first one's engine.

    Args:
        builder: compiles networks.
        store: keeps engines.
        workload: the shapes that engines are built for.
    """

    def __init__(self, builder: EngineBuilder, store: EngineStore, workload: Workload) -> None:
        self.builder = builder
        self._store = store
        self._workload = workload

    def key(self, manifest: Manifest, precision: Precision, architecture: str | None) -> EngineKey:
        """The key of a model's engine for a GPU; None means no particular one.

        Raises:
            ConflictError: there is no building for that GPU here.
        """
        return EngineKey(
            weights_sha256=manifest.sha256,
            library=self.builder.name,
            library_version=self.builder.version,
            target=self.builder.target_for(architecture),
            precision=precision,
            profiles=profiles_for(manifest.input, self._workload),
        )

    def find(self, key: EngineKey) -> Engine | None:
        """The engine of a key when the cache holds an intact one of ours; other files are reported and passed over."""
        return self._find(key, None)

    def _find(self, key: EngineKey, ranges: str | None) -> Engine | None:
        """As `find`; with the hash of crops only when it was these that its ranges were measured on."""
        try:
            stored = self._store.find(key)
        except ModelError as error:
            _log.warning("%s", error.message, extra={"reason": error.reason})
            return None
        if stored is None or (ranges is not None and stored.about.get("calibration_sha256") != ranges):
            return None
        return Engine(stored.plan, key, built=False)

    def obtain(
        self,
        manifest: Manifest,
        weights: bytes,
        key: EngineKey,
        *,
        calibration: Tensor | None = None,
        check: Check | None = None,
        progress: Progress,
    ) -> Engine:
        """The engine of a key, built when there is none, or none with these ranges.

        Args:
            manifest: of the model.
            weights: its ONNX file, already verified.
            key: an answer of `key` for the same model.
            calibration: (N, 3, H, W) float32 inputs to measure ranges on; needed to build in INT8, else unused. Without
                it any INT8 engine of the key will do, with it only one that was measured on the same.
            check: looks at the network in its new precision before it is built; what it raises ends the build.
            progress: told what is being done.

        Raises:
            InvalidInputError: CALIBRATION_MISSING, CALIBRATION_TOO_SMALL.
            ModelError: ENGINE_NOT_BUILT, PRECISION_OVERFLOWS, ENGINES_UNUSABLE.
            CalledOffError: it isn't wanted any more.
        """
        ranges = None
        if calibration is not None and key.precision is Precision.INT8:
            ranges = hashlib.sha256(calibration.tobytes()).hexdigest()
        found = self._find(key, ranges)
        if found is not None:
            return found
        wanted = f"{key.precision.value} for {key.target}"
        waiting = progress.waiting(f"{manifest.model}: waiting for another build of {wanted}")
        with self._store.only_builder(key, waiting):
            found = self._find(key, ranges)  # another process may have built it while we waited
            if found is not None:
                return found
            progress(f"{manifest.model}: {wanted}")
            network = converted(manifest, weights, key.precision, calibration)
            if check is not None:
                progress(f"{manifest.model}: comparing with the reference")
                check(network)
            return self._build(manifest, network, key, {"calibration_sha256": ranges or ""}, progress)

    def _build(
        self,
        manifest: Manifest,
        network: bytes,
        key: EngineKey,
        more: Mapping[str, object],
        progress: Progress,
    ) -> Engine:
        started = time.monotonic()
        plan = self.builder.build(network, key.profiles, key.target, progress.of(manifest.model))
        details = {
            "model": manifest.model,
            "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - started, 3),
            "plan_bytes": len(plan),
            **more,
        }
        self._store.put(key, plan, details)
        _log.info("engine built", extra={**details, "target": key.target, "precision": key.precision.value})
        return Engine(plan, key, built=True)


def converted(manifest: Manifest, weights: bytes, precision: Precision, calibration: Tensor | None) -> bytes:
    """The ONNX file that says what the engine computes in."""
    match precision:
        case Precision.FLOAT32:
            return weights
        case Precision.FLOAT16:
            return to_half(weights)
        case Precision.INT8:
            if calibration is None:
                raise InvalidInputError(
                    "CALIBRATION_MISSING",
                    f"an int8 engine of {manifest.model} needs crops to measure ranges on: build it with "
                    f"`facestream-models engine build {manifest.model} --precision int8 --calibration FOLDER`, with "
                    "the --detect-side and --max-batch of the server if it has its own",
                )
            return to_int8(weights, manifest.input.tensor, calibration)
        case Precision.BFLOAT16:
            raise InvalidInputError("PRECISION_UNSUPPORTED", "engines are built in f32, f16 or int8, not in bf16")
