from __future__ import annotations

import errno

import pytest

from server.errors import StorageError, StorageFullError
from trainer.storage import not_written, replace_file


def test_a_file_is_replaced_whole(tmp_path):
    replace_file(tmp_path / "a", b"one", what="the file")
    replace_file(tmp_path / "a", b"two", what="the file")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    def full(path, content):
        path.write_bytes(content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    replace_file(tmp_path / "a", b"one", what="the file")
    with pytest.raises(StorageFullError, match=r"the file .*No space left on device; the one before is untouched"):
        replace_file(tmp_path / "a", b"two", what="the file", write=full)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("number", "kind"), [(errno.EDQUOT, StorageFullError), (errno.EACCES, StorageError)])
def test_only_a_full_disk_is_called_full(tmp_path, number, kind):
    error = not_written(tmp_path / "a", OSError(number, "why"), what="the log")
    assert type(error) is kind
    assert "why" in error.message
