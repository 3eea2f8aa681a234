from __future__ import annotations

import string

import pytest

from demo.archives import Archive
from demo.errors import DemoError
from demo.portraits import ALL, credits_of, fetch_portraits


def test_every_photograph_has_its_maker_and_terms_in_the_credits():
    lines = credits_of(ALL).splitlines()
    for photo in ALL:
        (line,) = [line for line in lines if line.startswith(f"| {photo.name} |")]
        assert photo.author in line
        assert photo.licence in line
        assert photo.archive.stem in line


def test_photographs_are_distinct_files_of_archives_with_exact_hashes():
    assert len({photo.name for photo in ALL}) == len(ALL)
    assert len({(photo.archive, photo.member) for photo in ALL}) == len(ALL)
    for archive in {photo.archive for photo in ALL}:
        assert len(archive.sha256) == 64
        assert set(archive.sha256) <= set(string.hexdigits.lower())


def test_another_file_under_the_archives_name_is_refused_before_anything_is_unpacked(tmp_path):
    def impostor(archive: Archive, folder):
        path = folder / f"{archive.stem}.tar.gz"
        path.write_bytes(b"something else")
        return path

    folder = tmp_path / "portraits"
    with pytest.raises(DemoError, match="wanted is"):
        fetch_portraits(folder, tmp_path / "CREDITS.md", tmp_path / "cache", say=lambda line: None, download=impostor)
    assert not list(folder.iterdir())
    assert not (tmp_path / "CREDITS.md").exists()
