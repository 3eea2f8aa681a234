"""Seals: an engine file is executable, so only those that this installation wrote itself are ever loaded."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from server.errors import ModelError

KEY_FILE = "installation.key"
SEAL_BYTES = hashlib.sha256().digest_size
_KEY_BYTES = 32


class Sealer:
    """Makes and checks seals: HMAC-SHA256 (RFC 2104) under the key of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, content: bytes) -> bytes:
        """The seal of a file's content, SEAL_BYTES long."""
        return hmac.digest(self._key, content, "sha256")

    def is_ours(self, seal: bytes, content: bytes) -> bool:
        """Whether this installation sealed exactly this content; takes as long for a near miss as for any other."""
        return hmac.compare_digest(seal, self.seal(content))


def open_sealer(folder: Path) -> Sealer:
    """The sealer of a folder, with the key in it; the key is made at the first time.

    Raises:
        ModelError: ENGINE_KEY_UNSAFE when somebody else could have read or written the key.
    """
    path = folder / KEY_FILE
    if not path.exists():
        _make(path)
    return Sealer(_read(path))


def _make(path: Path) -> None:
    """Writes a new key unless another process is first; a key is never there in part."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        pass  # the other one's key is as good
    finally:
        unfinished.unlink()


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        key = file.read(_KEY_BYTES + 1)
    loose = stat.S_IMODE(found.st_mode) & 0o077
    if loose or found.st_uid != os.geteuid() or len(key) != _KEY_BYTES:
        raise ModelError(
            "ENGINE_KEY_UNSAFE",
            f"{path} must be {_KEY_BYTES} bytes, owned by this user and closed to others (mode 600), not {len(key)} "
            f"bytes, user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}: engines sealed with it may be "
            "anybody's; delete the folder, and they are built anew",
        )
    return key
