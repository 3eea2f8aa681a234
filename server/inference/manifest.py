"""The manifest: everything the server must know of a model that its ONNX file does not say.

A model is a folder NAME/VERSION with `model.onnx` (one file, weights inside) and `manifest.json`. docs/models.md
explains every field with a worked example.
"""

from __future__ import annotations

import hashlib
import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from server.domain import AlignmentTemplate, Calibration, OperatingPoint, PixelSpec
from server.errors import ModelError
from server.inference.parts import (
    Detector,
    Embedder,
    Identifier,
    Input,
    Part,
    Sha256,
    StatedSource,
    Text,
    WheelSource,
)

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "model.onnx"


class Kind(Enum):
    """What a network is for."""

    DETECTOR = "detector"
    EMBEDDER = "embedder"


class Manifest(Part):
    """A model: what it is for, how to feed it, how to read it, whose it is.

    Exactly one of `detector` and `embedder` is there, the one that `kind` names.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: Identifier
    version: Identifier
    kind: Kind
    input: Input
    detector: Detector | None = None
    embedder: Embedder | None = None
    licence: Text
    attribution: Text
    source: Annotated[WheelSource | StatedSource, Field(discriminator="kind")]
    sha256: Sha256

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="after")
    def _one_kind(self) -> Manifest:
        present = {
            Kind.DETECTOR: self.detector is not None,
            Kind.EMBEDDER: self.embedder is not None,
        }
        if [kind for kind, here in present.items() if here] != [self.kind]:
            raise ValueError(f"kind {self.kind.value} needs the part {self.kind.value!r} and no other")
        if self.kind is Kind.EMBEDDER and self.input.width is None:
            raise ValueError("an embedder's input needs width and height: the template lies in it")
        return self

    @property
    def model(self) -> str:
        """NAME/VERSION, as the folder is called."""
        return f"{self.name}/{self.version}"

    def outputs(self) -> tuple[str, ...]:
        """Names of the output tensors, in the order in which a backend returns them."""
        if self.detector is not None:
            return self.detector.outputs
        return (self.as_embedder().output,)

    def as_detector(self) -> Detector:
        """The detector's part.

        Raises:
            ModelError: MODEL_KIND_WRONG when the model is no detector.
        """
        if self.detector is None:
            raise _wrong_kind(self, Kind.DETECTOR)
        return self.detector

    def as_embedder(self) -> Embedder:
        """The embedder's part.

        Raises:
            ModelError: MODEL_KIND_WRONG when the model is no embedder.
        """
        if self.embedder is None:
            raise _wrong_kind(self, Kind.EMBEDDER)
        return self.embedder

    def pixels(self) -> PixelSpec:
        """How pixels become the input."""
        spec = self.input.pixels
        return PixelSpec(spec.colour, spec.mean, spec.std)

    def template(self) -> AlignmentTemplate:
        """Where the landmarks lie in the input crop.

        Raises:
            ModelError: MODEL_KIND_WRONG when the model is no embedder.
        """
        points = self.as_embedder().template
        width, height = self.input.width, self.input.height
        assert width is not None
        assert height is not None
        return AlignmentTemplate(width, height, points)

    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """The thresholds, the smallest FAR first.

        Raises:
            ModelError: MODEL_KIND_WRONG when the model is no embedder.
        """
        points = sorted(self.as_embedder().operating_points, key=lambda point: point.far)
        return tuple(OperatingPoint(point.far, point.distance, point.val) for point in points)

    def calibration(self) -> Calibration | None:
        """How distances become probabilities; None when that was never fitted.

        Raises:
            ModelError: MODEL_KIND_WRONG when the model is no embedder.
        """
        part = self.as_embedder().calibration
        return Calibration(part.intercept, part.distance, part.log_templates) if part else None


def _wrong_kind(manifest: Manifest, wanted: Kind) -> ModelError:
    return ModelError(
        "MODEL_KIND_WRONG",
        f"{manifest.model} is of the kind {manifest.kind.value}, wanted is the kind {wanted.value}; "
        "`facestream-models list` shows the kinds",
    )


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a model folder.

    Raises:
        ModelError: MODEL_MISSING when there is none, MANIFEST_INVALID when it says nonsense.
    """
    path = folder / MANIFEST_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ModelError(
            "MODEL_MISSING",
            f"no model at {folder} ({error.strerror or error} for {MANIFEST_FILE}); fetch the default models with "
            "`facestream-models fetch --all` or write a manifest as docs/models.md shows",
        ) from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(
            "MANIFEST_INVALID",
            f"{path} is not a manifest: {_complaints(error)}; docs/models.md explains every field",
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts the manifest into the folder, all of it or nothing.

    Raises:
        ModelError: MODEL_NOT_WRITTEN when the disk refuses.
    """
    text = manifest.model_dump_json(by_alias=True, exclude_none=False, indent=2)
    unfinished = folder / f".{MANIFEST_FILE}.{os.getpid()}"
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(folder / MANIFEST_FILE)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ModelError(
            "MODEL_NOT_WRITTEN",
            f"{folder / MANIFEST_FILE} could not be written: {error.strerror or error}",
        ) from error


def verified_weights(folder: Path, manifest: Manifest) -> bytes:
    """The bytes of the ONNX file, which are those that the manifest speaks of.

    They are hashed and handed on as one: a file that changes in between never reaches a native loader.

    Raises:
        ModelError: MODEL_MISSING without the file, MODEL_DAMAGED when its hash is another.
    """
    path = folder / WEIGHTS_FILE
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise ModelError(
            "MODEL_MISSING",
            f"{path} cannot be read: {error.strerror or error}; fetch the model again with "
            f"`facestream-models fetch {manifest.model}`",
        ) from error
    digest = hashlib.sha256(weights).hexdigest()
    if digest != manifest.sha256:
        raise ModelError(
            "MODEL_DAMAGED",
            f"{path} has the sha256 {digest}, its manifest says {manifest.sha256}: the file is damaged or was "
            "replaced; fetch it again with "
            f"`facestream-models fetch {manifest.model}`, or restore both from one copy",
            metadata={"model": manifest.model, "sha256": digest, "expected_sha256": manifest.sha256},
        )
    return weights


def verify_weights(folder: Path, manifest: Manifest) -> None:
    """Checks that the ONNX file is the one that the manifest speaks of.

    Raises:
        ModelError: MODEL_MISSING without the file, MODEL_DAMAGED when its hash is another.
    """
    verified_weights(folder, manifest)


def _complaints(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
        for item in error.errors(include_url=False)[:5]
    )
