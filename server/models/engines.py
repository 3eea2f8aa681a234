"""Engines of model folders: built, held to the reference as far as that goes without a GPU, listed, cleaned up."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import cv2
import numpy as np

from server.errors import InvalidInputError, ModelError
from server.inference.backend import Tensor
from server.inference.engines.builder import EngineBuilder
from server.inference.engines.manager import Engine, EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.manifest import Kind, Manifest, load_manifest, verified_weights
from server.inference.onnx import OnnxBackend
from server.inference.parity import EmbedderGate, answers, judge
from server.inference.precision import Precision
from server.models.probes import Role, job_of
from server.vision.preprocess import to_tensor

PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
"""Endings of the files that are read for calibration."""

_MOST_CALIBRATION = 1000


class State(Enum):
    """What an engine file is worth; the values are what is printed."""

    USABLE = "usable"
    OUTDATED = "outdated"
    """Ours, of another version of the library."""
    REFUSED = "refused"
    """Damaged, or not written by this installation."""
    FOREIGN = "foreign"
    """No file but a link, a folder or the like, under an engine's name."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An engine file, or what has the name of one.

    Attributes:
        path: of it.
        state: what it is worth.
        size: bytes.
        about: what it says of itself, as text; empty for what isn't ours.
        why: it isn't.
    """

    path: Path
    state: State
    size: int
    about: dict[str, str]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Removal:
    """What `clean_engines` set about to delete.

    Attributes:
        path: of it.
        what: it was: the value of a `State`, "unfinished" or "lock".
        problem: why it is still there; empty when it is gone.
    """

    path: Path
    what: str
    problem: str


@dataclass(frozen=True, slots=True)
class Order:
    """What engine is wanted.

    Attributes:
        precision: what it computes in.
        architecture: of the GPU; None for no particular one.
        workload: shapes that it is built for.
        calibration: folder of aligned crops of the embedder's input size, for INT8.
        parity: folder of aligned crops that an embedder is compared on, as well as on drawn faces; those of
            `calibration` when None.
    """

    precision: Precision
    architecture: str | None
    workload: Workload
    calibration: Path | None = None
    parity: Path | None = None


def build_engine(
    folder: Path, order: Order, builder: EngineBuilder, store: EngineStore, *, progress: Progress
) -> tuple[Engine, str]:
    """The engine of a model folder, and what a comparison of its network with the reference found.

    The network in its new precision runs on the CPU for that; whether the engine itself agrees can only be seen on the
    GPU, where the server holds it to the reference before it uses it.

    Args:
        folder: of the model.
        order: what engine is wanted.
        builder: compiles it.
        store: keeps it.
        progress: told what is being done.

    Raises:
        ModelError: the folder is damaged, the build fails, or ENGINE_UNLIKE with the numbers.
        InvalidInputError: CALIBRATION_MISSING, CALIBRATION_INVALID, CALIBRATION_TOO_SMALL, PRECISION_UNSUPPORTED.
        ConflictError: there is no building for that GPU here.
    """
    manifest = load_manifest(folder)
    weights = verified_weights(folder, manifest)
    precision, calibration = order.precision, order.calibration
    manager = EngineManager(builder, store, order.workload)
    findings: list[str] = []
    given = order.parity or calibration
    crops = None if given is None or manifest.kind is not Kind.EMBEDDER else read_crops(given, manifest)

    def check(network: bytes) -> None:
        findings.append(compared(manifest, weights, network, precision, detect_side=order.workload.frame_side))
        if crops is not None:
            findings.append(_compared_on(crops, manifest, weights, network, precision))

    engine = manager.obtain(
        manifest,
        weights,
        manager.key(manifest, precision, order.architecture),
        calibration=None if calibration is None else read_crops(calibration, manifest),
        check=None if precision is Precision.FLOAT32 else check,
        progress=progress,
    )
    return engine, "; ".join(findings)


def compared(manifest: Manifest, weights: bytes, network: bytes, precision: Precision, *, detect_side: int) -> str:
    """What the parity gate found between a model and its network in another precision, both on the CPU.

    Raises:
        ModelError: ENGINE_UNLIKE with the numbers.
    """
    roles = (Role.EMBEDDER,) if manifest.kind is Kind.EMBEDDER else (Role.DETECTOR, Role.LANDMARKER)
    findings = []
    reference, candidate = (OnnxBackend(manifest, content, threads=1) for content in (weights, network))
    for role in roles:
        gate = job_of(manifest, role, detect_side=detect_side, lanes=1).gate
        verdict = judge(gate, answers(gate, reference), candidate, precision)
        findings.append(f"{role.value}: {verdict.finding}")
        if not verdict.passed:
            raise ModelError(
                "ENGINE_UNLIKE",
                f"{manifest.model} in {precision.value} does not answer as in float32: {'; '.join(findings)}. No "
                "engine was built; build it in f32",
            )
    return "; ".join(findings)


def _compared_on(crops: Tensor, manifest: Manifest, weights: bytes, network: bytes, precision: Precision) -> str:
    """As `compared`, of an embedder on crops (N, 3, H, W) float32 of the caller's own."""
    gate = EmbedderGate((crops,))
    reference, candidate = (OnnxBackend(manifest, content, threads=1) for content in (weights, network))
    verdict = judge(gate, answers(gate, reference), candidate, precision)
    if not verdict.passed:
        raise ModelError(
            "ENGINE_UNLIKE",
            f"{manifest.model} in {precision.value} does not answer on the given crops as in float32: "
            f"{verdict.finding}. No engine was built; build it in f32",
        )
    return f"given crops: {verdict.finding}"


def read_crops(folder: Path, manifest: Manifest) -> Tensor:
    """Aligned crops of a folder as an embedder's input, the first thousand by name.

    Raises:
        InvalidInputError: CALIBRATION_INVALID.
        ModelError: MODEL_KIND_WRONG when the model is no embedder.
    """
    template = manifest.template()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not files:
        raise InvalidInputError("CALIBRATION_INVALID", f"{folder} is no folder with pictures; give aligned crops")
    crops = []
    for path in files[:_MOST_CALIBRATION]:
        crop = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if crop is None or crop.shape != (template.height, template.width, 3):
            raise InvalidInputError(
                "CALIBRATION_INVALID",
                f"{path} is no crop of {template.width}x{template.height} pixels, which {manifest.model} takes; align "
                "faces to the model's template first",
            )
        crops.append(np.asarray(crop, np.uint8))
    return to_tensor(crops, manifest.pixels())


def list_engines(store: EngineStore, builder: EngineBuilder | None) -> list[Listed]:
    """Every engine of a folder, and what it is worth for the library that is installed, if any."""
    found = (_listed(path, store, builder) for path in store.files())
    return [one for one in found if one is not None]


def clean_engines(store: EngineStore, builder: EngineBuilder | None, *, everything: bool) -> list[Removal]:
    """Deletes what is of no use, or every engine and every lock that nobody holds.

    Of links, only they themselves are deleted; folders are left. The key stays even then: a server that runs goes on
    sealing with it.

    Returns:
        What was to go, apart from locks that went.
    """
    useless = [one for one in list_engines(store, builder) if everything or one.state is not State.USABLE]
    engines = [_removal(path, "unfinished", _delete) for path in store.leftovers()]
    engines += [_removal(one.path, one.state.value, _delete) for one in useless]
    locks = [_removal(path, "lock", store.delete_lock) for path in store.locks()] if everything else []
    return [*engines, *(one for one in locks if one.problem)]


def _removal(path: Path, what: str, delete: Callable[[Path], None]) -> Removal:
    try:
        delete(path)
    except OSError as error:
        return Removal(path, what, error.strerror or str(error))
    return Removal(path, what, "")


def _delete(path: Path) -> None:
    """Deletes a file, or a link but not what it leads to.

    Raises:
        OSError: it is a folder, or the disk refuses.
    """
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, "it is a folder, which nothing here makes; delete it yourself")
    path.unlink(missing_ok=True)


def _listed(path: Path, store: EngineStore, builder: EngineBuilder | None) -> Listed | None:
    """What is there; None when it was deleted meanwhile."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return Listed(path, State.FOREIGN, found.st_size, {}, _kind(found.st_mode))
    try:
        about = dict(store.read(path).about)
    except ModelError as error:
        return Listed(path, State.REFUSED, found.st_size, {}, error.message)
    key = about.pop("key")
    said = {**key, **about}
    current = builder is None or (key["library"], key["library_version"]) == (builder.name, builder.version)
    return Listed(
        path,
        State.USABLE if current else State.OUTDATED,
        found.st_size,
        {name: str(value) for name, value in said.items() if name != "profiles"},
    )


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "it is a link, and is not followed"
    return "it is a folder" if stat.S_ISDIR(mode) else "it is no file"
