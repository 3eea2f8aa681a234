"""Loads weights that users have into a network, by name."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.errors import WeightsError

_UNREADABLE = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError),
    *(pickle.UnpicklingError, struct.error),
)
"""What torch raises for files that are none of its own."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the tensors.

    Attributes:
        loaded: names that were copied.
        fresh: names of the network that keep their initial values: an embedding layer of another dimension.
        ignored: names in the file that the network doesn't have, such as a classifier's.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `state_dict` file, without running any code that is pickled in it.

    A `{"state_dict": ...}` wrapper and the prefix "module." of data-parallel training are taken off.

    Raises:
        WeightsError: when the file is missing, damaged, or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError("WEIGHTS_UNREADABLE", f"{path} is no state_dict that torch reads ({error})") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise WeightsError(
            "WEIGHTS_UNREADABLE",
            f"{path} holds no state_dict; save one with torch.save(network.state_dict(), path)",
        )
    return {name.removeprefix("module."): value for name, value in content.items()}


def load_weights(network: nn.Sequential, tensors: Mapping[str, Tensor]) -> Loaded:
    """Copies the tensors into the network; only the embedding layer may differ in shape or be absent.

    Counters of batches may be absent too.

    Raises:
        WeightsError: when a tensor of another layer is absent or of another shape; nothing is changed then.
    """
    own = network.state_dict()
    head = _head_names(network)
    fitting = {name for name, value in own.items() if name in tensors and tensors[name].shape == value.shape}
    # counters of batches are absent from weights that other frameworks and old versions of torch made
    fresh = [name for name in own if name not in fitting and not name.endswith(".num_batches_tracked")]
    wrong = [name for name in fresh if name not in head]
    if wrong:
        raise WeightsError("WEIGHTS_MISFIT", _misfit(wrong, own, tensors))
    network.load_state_dict({name: tensors[name] for name in fitting}, strict=False)
    ignored = sorted(set(tensors) - set(own))
    return Loaded(tuple(sorted(fitting)), tuple(fresh), tuple(ignored))


def _head_names(network: nn.Sequential) -> frozenset[str]:
    children = list(network.named_children())
    last = max(number for number, (_, block) in enumerate(children) if isinstance(block, nn.Linear))
    return frozenset(f"{name}.{parameter}" for name, block in children[last:] for parameter in block.state_dict())


def _misfit(wrong: list[str], own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    name = wrong[0]
    has = f"shape {tuple(tensors[name].shape)}" if name in tensors else "nothing"
    return (
        f"{len(wrong)} of the network's {len(own)} tensors are not in the weights, first {name!r}: the network wants "
        f"shape {tuple(own[name].shape)}, the weights have {has}; choose the network that the weights were made for"
    )
