from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from server.errors import DataDirectoryInUseError, StorageError
from server.identity.directory import DataDirectory


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    held = DataDirectory.hold(tmp_path)
    with pytest.raises(DataDirectoryInUseError) as refusal:
        DataDirectory.hold(tmp_path)
    assert refusal.value.metadata["process"] == str(os.getpid())
    held.release()
    DataDirectory.hold(tmp_path).release()


def test_another_process_is_refused(tmp_path: Path) -> None:
    held = DataDirectory.hold(tmp_path)
    code = (
        "import sys; from pathlib import Path; from server.identity.directory import DataDirectory\n"
        "from server.errors import DataDirectoryInUseError\n"
        "try: DataDirectory.hold(Path(sys.argv[1]))\n"
        "except DataDirectoryInUseError as error: print(error.reason)\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == "DATA_DIRECTORY_IN_USE\n"
    held.release()


def test_a_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    held = DataDirectory.hold(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    held.release()


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(StorageError, match="cannot be used"):
        DataDirectory.hold(tmp_path / "data")


def test_a_group_holds_the_directory_until_its_last_process_lets_go(tmp_path: Path) -> None:
    held = DataDirectory.hold(tmp_path)
    joined = DataDirectory.joined(tmp_path, os.dup(held.handle))
    held.release()
    with pytest.raises(DataDirectoryInUseError):
        DataDirectory.hold(tmp_path)
    joined.release()
    DataDirectory.hold(tmp_path).release()


def test_the_lock_that_was_joined_is_not_passed_on_by_accident(tmp_path: Path) -> None:
    held = DataDirectory.hold(tmp_path)
    passed = os.dup(held.handle)
    os.set_inheritable(passed, True)
    joined = DataDirectory.joined(tmp_path, passed)
    assert not os.get_inheritable(passed)
    joined.release()
    held.release()
