"""Graphs on disk: a cache beside the store, worth keeping only when nothing about it is in doubt.

A file is a magic number, the length of a JSON header, the header, the arrays that it lists, and the SHA-256 of all
that. It holds links and keys of templates, no vectors and no names. It is written beside the old one, synchronised,
measured, and renamed over it; it is read only after its checksum is right and its header fits the gallery.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.errors import StorageError
from server.identity.graph_state import GraphShape, GraphState
from server.identity.rows import Keys

_MAGIC: Final = b"FSGRAPH1"
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES: Final = 32
_ARRAYS: Final[dict[str, np.dtype[Any]]] = {
    "keys": np.dtype("<i8"),
    "rows": np.dtype("<u4"),
    "levels": np.dtype("<i4"),
    "links": np.dtype("<u4"),
    "upper": np.dtype("<u4"),
}


class SnapshotError(Exception):
    """The file is missing, damaged, or not about this gallery; the message says which."""


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What a snapshot is about.

    Attributes:
        gallery: resource name.
        fingerprint: of the model that made the embeddings.
        revision: the gallery's when the graph was built.
        stamp: random number that the change log holds for that revision; another history has another one.
    """

    gallery: str
    fingerprint: str
    revision: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A graph as it is kept.

    Attributes:
        header: what it is about.
        keys: (N,) keys of the templates, by row.
        state: the links.
    """

    header: SnapshotHeader
    keys: Keys
    state: GraphState


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Puts the snapshot in the place of `path`, or leaves what is there.

    Raises:
        OSError: when it could not be written whole.
    """
    parts = _encoded(snapshot)
    beside = path.with_suffix(".tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if beside.stat().st_size != sum(len(part) for part in parts):
            raise OSError(f"{beside.name} was not written whole")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot in a file whose checksum is right.

    Raises:
        SnapshotError: when there is none, or it is not as it was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SnapshotError("there is none") from None
    except OSError as error:
        raise SnapshotError(f"it cannot be read: {error}") from error
    body = memoryview(data)[:-_DIGEST_BYTES]
    if len(data) < len(_MAGIC) + _LENGTH.size + _DIGEST_BYTES or data[: len(_MAGIC)] != _MAGIC:
        raise SnapshotError("it is no snapshot of this format")
    if hashlib.sha256(body).digest() != data[-_DIGEST_BYTES:]:
        raise SnapshotError("its checksum is wrong")
    try:
        return _decoded(body)
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"its header is wrong: {error}") from error


def snapshot_directory(data_dir: Path, *, writes: bool) -> Path:
    """The directory of a data directory's snapshots, made when it isn't there.

    Args:
        data_dir: the data directory.
        writes: whether this process writes them; what an earlier one left half written is removed then. Others must
            not remove it: the one that writes may be at work on it.

    Raises:
        StorageError: when it cannot be used.
    """
    path = data_dir / "index"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        for half in path.glob("*.tmp") if writes else ():
            half.unlink()
    except OSError as error:
        raise StorageError(
            "DATA_DIRECTORY_UNUSABLE",
            f"{path} cannot be used ({error.strerror}); make it writable for this user",
        ) from error
    return path


def sync_directory(path: Path) -> None:
    """Makes renames and new files in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _encoded(snapshot: Snapshot) -> list[bytes]:
    state = snapshot.state
    arrays: dict[str, NDArray[Any]] = {
        "keys": snapshot.keys,
        "rows": state.rows,
        "levels": state.levels,
        "links": state.links,
        "upper": state.upper,
    }
    header = {
        "about": asdict(snapshot.header),
        "shape": asdict(state.shape),
        "width": state.width,
        "recall": state.recall,
        "entry": state.entry,
        "top": state.top,
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
    }
    text = json.dumps(header).encode()
    parts = [_MAGIC, _LENGTH.pack(len(text)), text]
    parts += [array.astype(_ARRAYS[name], copy=False).tobytes() for name, array in arrays.items()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return [*parts, digest.digest()]


def _decoded(body: memoryview) -> Snapshot:
    start = len(_MAGIC) + _LENGTH.size
    stop = start + _LENGTH.unpack_from(body, len(_MAGIC))[0]
    header = json.loads(bytes(body[start:stop]))
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype in _ARRAYS.items():
        shape = header["arrays"][name]
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, dtype, count, stop).reshape(shape)
        stop += count * dtype.itemsize
    if stop != len(body):
        raise ValueError(f"{len(body) - stop} bytes are left over")
    return Snapshot(
        header=SnapshotHeader(**header["about"]),
        keys=arrays["keys"],
        state=GraphState(
            shape=GraphShape(**header["shape"]),
            width=header["width"],
            recall=header["recall"],
            entry=header["entry"],
            top=header["top"],
            **{name: array for name, array in arrays.items() if name != "keys"},
        ),
    )
