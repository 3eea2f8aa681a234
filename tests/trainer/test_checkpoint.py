from __future__ import annotations

import dataclasses
import errno

import pytest
import torch

from server.errors import StorageError, StorageFullError
from trainer.checkpoint import (
    Checkpoint,
    Progress,
    is_checkpoint,
    load_checkpoint,
    require_same_run,
    save_checkpoint,
    write_bytes,
)
from trainer.errors import CheckpointError
from trainer.recipe import NetworkChoice, Recipe


def checkpoint(step=3):
    network = torch.nn.Linear(4, 3)
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 4)).sum().backward()
    optimiser.step()
    progress = Progress(step=step, best_val=0.5, best_step=2, stale=1, collapsed_steps=4)
    recipe = Recipe(NetworkChoice("nns2"))
    return Checkpoint(recipe, "data", progress, network.state_dict(), optimiser.state_dict())


def test_everything_comes_back_as_it_was(tmp_path):
    saved = checkpoint()
    save_checkpoint(tmp_path / "last.ckpt", saved)
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    assert (loaded.recipe, loaded.data, loaded.progress) == (saved.recipe, "data", saved.progress)
    assert all(torch.equal(loaded.network[name], value) for name, value in saved.network.items())
    for number, state in saved.optimiser["state"].items():
        for name, value in state.items():
            assert torch.equal(loaded.optimiser["state"][number][name], value)
    assert loaded.optimiser["param_groups"] == saved.optimiser["param_groups"]


def full_disk(path, content):
    path.write_bytes(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_checkpoint_and_no_rubbish(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, checkpoint(step=3))
    with pytest.raises(StorageFullError, match=r"last\.ckpt.*No space left.*the one before is untouched"):
        save_checkpoint(path, checkpoint(step=4), full_disk)
    assert load_checkpoint(path).progress.step == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_at_the_first_checkpoint_says_that_there_is_none(tmp_path):
    with pytest.raises(StorageFullError, match="none yet"):
        save_checkpoint(tmp_path / "last.ckpt", checkpoint(), full_disk)
    assert list(tmp_path.iterdir()) == []


def test_another_failure_of_the_disk_is_no_full_disk(tmp_path):
    with pytest.raises(StorageError, match="No such file") as caught:
        save_checkpoint(tmp_path / "absent" / "last.ckpt", checkpoint())
    assert caught.value.reason == "FILE_NOT_WRITTEN"


def test_a_write_that_was_cut_off_leaves_the_old_checkpoint(tmp_path):
    """Power fails in the middle: the unfinished file has another name."""
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, checkpoint(step=3))

    class PowerCut(BaseException):
        pass

    def cut(path, content):
        write_bytes(path, content[:100])
        raise PowerCut

    with pytest.raises(PowerCut):
        save_checkpoint(path, checkpoint(step=4), cut)
    assert load_checkpoint(path).progress.step == 3


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_a_single_flipped_bit_of_the_weights_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    saved = checkpoint()
    save_checkpoint(path, saved)
    content = bytearray(path.read_bytes())
    place = content.index(saved.network["weight"].numpy().tobytes())
    content[place + 5] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        load_checkpoint(path)


def test_weights_alone_are_no_checkpoint(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="warm start"):
        load_checkpoint(tmp_path / "weights.pt")


def test_checkpoints_are_told_from_other_files(tmp_path):
    save_checkpoint(tmp_path / "last.ckpt", checkpoint())
    (tmp_path / "weights.pt").write_bytes(b"PK")
    assert is_checkpoint(tmp_path / "last.ckpt")
    assert not is_checkpoint(tmp_path / "weights.pt")
    assert not is_checkpoint(tmp_path / "absent.ckpt")


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.ckpt"):
        load_checkpoint(tmp_path / "absent.ckpt")


def test_another_recipe_is_refused_with_the_settings_that_differ():
    other = dataclasses.replace(Recipe(NetworkChoice("nns2")), seed=9)
    with pytest.raises(CheckpointError, match="seed: 0, 9"):
        require_same_run(checkpoint(), other, "data")


def test_other_data_are_refused():
    with pytest.raises(CheckpointError, match="other data"):
        require_same_run(checkpoint(), Recipe(NetworkChoice("nns2")), "other")


def test_the_same_run_passes():
    require_same_run(checkpoint(), Recipe(NetworkChoice("nns2")), "data")
