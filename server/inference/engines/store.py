"""The cache of engines on disk: sealed files, written all at once, read only when the seal is ours."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.errors import ModelError
from server.inference.engines.key import DIGEST_LENGTH, EngineKey
from server.inference.engines.seal import SEAL_BYTES, Sealer, open_sealer

SUFFIX = ".engine"
_LOCK_SUFFIX = ".lock"
_PATIENCE_S = 0.1
"""Between two looks at whether a lock is free."""
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
        content = _content(path)
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
        """Every entry that is named as an engine, whoever made it and whatever it is, sorted by name."""
        return tuple(sorted(self.folder.glob(f"[!.]*{SUFFIX}")))

    def leftovers(self) -> tuple[Path, ...]:
        """Files of builds that were killed midway; not those of builds that go on."""
        unfinished = sorted(self.folder.glob(f".*{SUFFIX}.*"))
        return tuple(path for path in unfinished if not _is_held(self._lock(path.name[1:].partition(".")[0])))

    def locks(self) -> tuple[Path, ...]:
        """Files that those who build engines lock, sorted by name; they stay when the build is over."""
        return tuple(sorted(self.folder.glob("[0-9a-f]" * DIGEST_LENGTH + _LOCK_SUFFIX)))

    @staticmethod
    def delete_lock(path: Path) -> None:
        """Deletes one of `locks`, unless somebody holds it; of a link the link alone, since it locks nothing.

        Raises:
            OSError: the disk refuses.
        """
        if path.is_symlink():
            path.unlink(missing_ok=True)
        with _existing(path) as handle:
            if handle is not None and _taken(handle) and _is_at(handle, path):
                path.unlink()

    @contextmanager
    def only_builder(self, key: EngineKey, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Waits until no other thread or process builds the engine of this key; nobody else does until the end.

        Args:
            key: of the engine.
            waiting: called over and over while there is somebody to wait for; what it raises ends the waiting.

        Raises:
            ModelError: ENGINES_UNUSABLE when the disk refuses.
        """
        handle = _locked(self._lock(key.digest), waiting)
        try:
            yield
        finally:
            os.close(handle)

    def _lock(self, digest: str) -> Path:
        return self.folder / f"{digest}{_LOCK_SUFFIX}"


def _content(path: Path) -> bytes:
    """What is in a file, and in nothing else: a pipe would never end, what a link leads to is not in this folder.

    Raises:
        ModelError: ENGINE_REFUSED.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_file) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.readall()
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise _refused(path, why) from error
    raise _refused(path, "it is no file")


def _open_file(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _locked(path: Path, waiting: Callable[[], None]) -> int:
    """A descriptor that holds a lock until it is closed.

    Raises:
        ModelError: ENGINES_UNUSABLE.
    """
    while True:
        handle = _open_lock(path)
        try:
            while not _taken(handle):
                waiting()
                time.sleep(_PATIENCE_S)
            if _is_at(handle, path):
                return handle
            waiting()  # it was deleted meanwhile: whoever comes next locks another file
        except BaseException as error:
            os.close(handle)
            if isinstance(error, OSError):
                raise _unusable(path.parent, error) from error
            raise
        os.close(handle)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:  # ELOOP among them: a link, which would lock what it leads to
        raise _unusable(path.parent, error) from error


def _taken(handle: int) -> bool:
    """Locks a file if nobody else has, and says whether."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _is_held(path: Path) -> bool:
    with _existing(path) as handle:
        return handle is not None and not _taken(handle)


@contextmanager
def _existing(path: Path) -> Iterator[int | None]:
    """A descriptor of a lock; None where there is none, or something else."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield None
        return
    try:
        yield handle
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
