from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from demo.archives import Archive, download, members, obtain
from demo.errors import DemoError


def tar_of(archive_stem: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{archive_stem}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


DATA = tar_of("thing-1.0", {"a.txt": b"alpha", "b/c.txt": b"gamma"})
ARCHIVE = Archive("thing", "1.0", hashlib.sha256(DATA).hexdigest())


class Index:
    """Serves these bytes, and counts how often it is asked."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked = 0

    def __call__(self, archive: Archive, folder: Path) -> Path:
        self.asked += 1
        path = folder / f"{archive.stem}.tar.gz"
        path.write_bytes(self.data)
        return path


def test_an_archive_is_downloaded_once_and_then_taken_from_the_cache(tmp_path):
    index, told = Index(DATA), []
    first = obtain(ARCHIVE, tmp_path / "cache", say=told.append, download=index)
    second = obtain(ARCHIVE, tmp_path / "cache", say=told.append, download=index)
    assert first == second
    assert first.read_bytes() == DATA
    assert index.asked == 1
    assert len(told) == 1


def test_an_archive_with_another_hash_is_refused_and_not_kept(tmp_path):
    with pytest.raises(DemoError, match=ARCHIVE.sha256):
        obtain(ARCHIVE, tmp_path / "cache", say=lambda line: None, download=Index(DATA + b"x"))
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("damaged", [DATA[:-9], b"", DATA[:50] + b"\0" + DATA[51:]])
def test_a_damaged_cache_is_announced_and_fetched_again(tmp_path, damaged):
    told: list[str] = []
    (tmp_path / "thing-1.0.tar.gz").write_bytes(damaged)
    path = obtain(ARCHIVE, tmp_path, say=told.append, download=Index(DATA))
    assert path.read_bytes() == DATA
    assert "damaged" in told[0]


def test_members_are_the_files_inside_the_archives_folder(tmp_path):
    path = tmp_path / "thing-1.0.tar.gz"
    path.write_bytes(DATA)
    assert members(path, ARCHIVE, ["b/c.txt", "a.txt"]) == {"b/c.txt": b"gamma", "a.txt": b"alpha"}


@pytest.mark.parametrize(
    ("data", "name"),
    [(DATA, "missing.txt"), (DATA[:40], "a.txt"), (b"no archive", "a.txt")],
    ids=["missing", "cut off", "no archive"],
)
def test_a_missing_member_or_an_unreadable_archive_is_an_error_that_names_the_file(tmp_path, data, name):
    path = tmp_path / "thing-1.0.tar.gz"
    path.write_bytes(data)
    with pytest.raises(DemoError, match=r"thing-1\.0\.tar\.gz can't be read"):
        members(path, ARCHIVE, [name])


@pytest.fixture
def links(tmp_path, monkeypatch):
    """A folder that pip looks into instead of an index."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_pip_refuses_an_archive_with_another_hash_and_runs_nothing_in_it(tmp_path, links):
    setup = f"import pathlib; pathlib.Path({str(tmp_path)!r}, 'was-run').touch()"
    (links / "thing-1.0.tar.gz").write_bytes(tar_of("thing-1.0", {"setup.py": setup.encode()}))
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(DemoError, match=r"(?s)sha256.*HASH"):
        download(ARCHIVE, target)
    assert not (tmp_path / "was-run").exists()


def test_an_archive_that_the_index_does_not_have_is_an_error_with_a_way_out(tmp_path, links):
    with pytest.raises(DemoError, match=r"(?s)thing 1\.0.*PIP_FIND_LINKS"):
        download(ARCHIVE, tmp_path)
