"""What an engine was built from and for: its place in the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from server.inference.engines.profiles import ShapeProfile
from server.inference.precision import Precision

RECIPE = 1
"""Counts changes in how engines are built here; engines of another recipe are built anew."""

DIGEST_LENGTH = 32
"""Hex digits of a key's digest."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What decides whether a GPU can run an engine and how, but for the ranges of int8.

    Two engines with the same key do the same on the same GPU, except in int8, where the file says beside the key which
    crops the ranges were measured on: a server has none, and takes the engine that is there.

    Attributes:
        weights_sha256: of the model's ONNX file, in hex.
        library: "tensorrt" or "tensorrt-rtx".
        library_version: of the library; engines of another version are refused by it.
        target: the GPU architecture, such as "sm86".
        precision: what it computes in.
        profiles: the shapes it takes.
        recipe: how it was built.
    """

    weights_sha256: str
    library: str
    library_version: str
    target: str
    precision: Precision
    profiles: tuple[ShapeProfile, ...]
    recipe: int = RECIPE

    @property
    def digest(self) -> str:
        """DIGEST_LENGTH hex digits of a hash over all of it: the file's name."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:DIGEST_LENGTH]

    def as_json(self) -> dict[str, object]:
        """The key as JSON has it."""
        return {**asdict(self), "precision": self.precision.value, "profiles": [_lists(one) for one in self.profiles]}


def _lists(profile: ShapeProfile) -> list[list[int]]:
    return [list(profile.smallest), list(profile.typical), list(profile.largest)]
