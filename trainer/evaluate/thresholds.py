"""Writes measured thresholds into the manifest of a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from server.inference.manifest import Manifest, load_manifest, write_manifest
from server.inference.parts import OperatingPoint
from trainer.evaluate.verification import ValAtFar

DIAMETER = 4.0
"""The largest squared L2 distance on the sphere."""


def operating_points(points: Sequence[ValAtFar]) -> tuple[OperatingPoint, ...]:
    """What a manifest says about measured points."""
    return tuple(
        OperatingPoint(far=point.target, distance=min(max(point.threshold, 1e-6), DIAMETER), val=point.val.value)
        for point in points
    )


def write_thresholds(folder: Path, points: Sequence[ValAtFar], fitted_on: str) -> Manifest:
    """Replaces the thresholds in a model folder's manifest, which stays whole whatever happens.

    Args:
        folder: NAME/VERSION.
        points: measured with embeddings as this trainer makes them for the folder.
        fitted_on: what they were measured on, in words.

    Raises:
        ModelError: when the folder is no model, or the manifest cannot be written.
    """
    manifest = load_manifest(folder)
    embedder = manifest.as_embedder().model_copy(
        update={"operating_points": operating_points(points), "fitted_on": fitted_on}
    )
    changed = Manifest.model_validate(manifest.model_copy(update={"embedder": embedder}).model_dump(by_alias=True))
    write_manifest(folder, changed)
    return changed
