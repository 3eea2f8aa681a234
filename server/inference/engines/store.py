"""The cache of engines on disk: sealed files, written all at once, read only when the seal is ours."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.errors import ModelError
from server.inference.engines.key import EngineKey
from server.inference.engines.seal import SEAL_BYTES, Sealer, open_sealer

SUFFIX = ".engine"
_MAGIC = b"facestream-engine\n"
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """An engine that this installation wrote.

    Attributes:
        plan: what the native library reads.
        about: the key and how it was built, as JSON has it.
    """

    plan: bytes
    about: Mapping[str, Any]


class EngineStore:
    """The engines of one folder.

    A file is a magic line, a seal over all that follows, the length of the description (4 bytes, big endian), the
    description as JSON, and the plan. Readers take it into memory once: what was checked is what is used.

    Args:
        folder: made when it isn't there, for this user alone.

    Raises:
        ModelError: ENGINES_UNUSABLE when the folder can't be made or written, ENGINE_KEY_UNSAFE.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sealer = _opened(folder)

    def path(self, key: EngineKey) -> Path:
        """Where the engine of a key lies or would lie."""
        return self.folder / f"{key.digest}{SUFFIX}"

    def find(self, key: EngineKey) -> StoredEngine | None:
        """The engine of a key; None when there is none.

        Raises:
            ModelError: ENGINE_REFUSED when the file isn't what this installation wrote for this key.
        """
        path = self.path(key)
        if not path.exists():
            return None
        stored = self.read(path)
        if stored.about.get("key") != key.as_json():
            raise _refused(path, "it was written for another key")
        return stored

    def read(self, path: Path) -> StoredEngine:
        """The engine in a file of this folder.

        Raises:
            ModelError: ENGINE_REFUSED.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _refused(path, error.strerror or str(error)) from error
        start = len(_MAGIC) + SEAL_BYTES
        if not content.startswith(_MAGIC) or len(content) < start + _LENGTH_BYTES:
            raise _refused(path, "it has no seal")
        body = content[start:]
        if not self._sealer.is_ours(content[len(_MAGIC) : start], body):
            raise _refused(path, "its seal is not that of its content under this installation's key")
        end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "big")
        return StoredEngine(body[end:], json.loads(body[_LENGTH_BYTES:end]))

    def put(self, key: EngineKey, plan: bytes, details: Mapping[str, object]) -> Path:
        """Writes an engine over whatever is there, all of it or nothing.

        Raises:
            ModelError: ENGINES_UNUSABLE when the disk refuses.
        """
        about = json.dumps({"key": key.as_json(), **details}, sort_keys=True).encode()
        body = len(about).to_bytes(_LENGTH_BYTES, "big") + about + plan
        path = self.path(key)
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + self._sealer.seal(body))
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise _unusable(self.folder, error) from error
        return path

    def files(self) -> tuple[Path, ...]:
        """Every engine file, whoever wrote it, sorted by name."""
        return tuple(sorted(self.folder.glob(f"[!.]*{SUFFIX}")))

    def leftovers(self) -> tuple[Path, ...]:
        """Files of builds that were killed midway."""
        return tuple(sorted(self.folder.glob(f".*{SUFFIX}.*")))

    @contextmanager
    def only_builder(self, key: EngineKey) -> Iterator[None]:
        """Waits until no other thread or process builds the engine of this key; nobody else does until the end."""
        handle = os.open(self.folder / f"{key.digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _opened(folder: Path) -> Sealer:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open_sealer(folder)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        "ENGINES_UNUSABLE",
        f"engines cannot be kept in {folder} ({error.strerror or error}); give a folder that this user may write with "
        "--engines-dir",
    )


def _refused(path: Path, why: str) -> ModelError:
    return ModelError(
        "ENGINE_REFUSED",
        f"{path} is not loaded: {why}. An engine is executable, so only intact ones that this installation built are; "
        "`facestream-models engine clean` deletes the others",
        metadata={"engine": path.name},
    )
