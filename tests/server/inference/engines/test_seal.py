from __future__ import annotations

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.errors import ModelError
from server.inference.engines.seal import KEY_FILE, SEAL_BYTES, open_sealer


def test_the_key_is_made_once_for_its_owner_alone_and_kept(tmp_path):
    seal = open_sealer(tmp_path).seal(b"plan")
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert hmac.digest(path.read_bytes(), b"plan", hashlib.sha256) == seal
    assert len(seal) == SEAL_BYTES
    assert open_sealer(tmp_path).is_ours(seal, b"plan")


def test_another_content_and_another_installations_seal_are_not_ours(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    sealer = open_sealer(ours)
    assert not sealer.is_ours(sealer.seal(b"plan"), b"plam")
    assert not sealer.is_ours(open_sealer(theirs).seal(b"plan"), b"plan")
    assert not sealer.is_ours(b"", b"plan")


def test_openers_that_come_at_once_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        seals = set(pool.map(lambda _: open_sealer(tmp_path).seal(b"plan"), range(32)))
    assert len(seals) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o606])
def test_a_key_that_others_can_reach_is_refused(tmp_path, mode):
    open_sealer(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(ModelError, match="mode 600") as caught:
        open_sealer(tmp_path)
    assert caught.value.reason == "ENGINE_KEY_UNSAFE"


@pytest.mark.parametrize("key", [b"", b"short", bytes(33)])
def test_a_key_of_another_length_is_refused(tmp_path, key):
    open_sealer(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(key)
    with pytest.raises(ModelError, match="must be 32 bytes"):
        open_sealer(tmp_path)
