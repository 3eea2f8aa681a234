"""From pixels to embeddings: the networks of `inference` joined with the arithmetic of `vision`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.domain import AlignmentTemplate, Embeddings, Faces, Image, PixelSpec, Quality
from server.errors import InferenceError
from server.inference.backend import Backend
from server.pipeline.preprocess import Aligned, CpuPreprocessor, Preprocessor
from server.vision.align import align
from server.vision.detect import DetectionRule, find_faces
from server.vision.preprocess import letterbox_for, to_tensor
from server.vision.quality import QualityScale, assess
from server.vision.refine import refined, windows

_MIN_NORM = 1e-6


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds faces.

    Attributes:
        backend: runs the network.
        pixels: how its input is made.
        rule: how its outputs are read.
        size_multiple: both sides of the input are multiples of this, pixels.
        longest_side: images are shrunk to this before the search, pixels.
        preprocessor: makes the input.
    """

    backend: Backend
    pixels: PixelSpec
    rule: DetectionRule
    size_multiple: int
    longest_side: int
    preprocessor: Preprocessor = field(default_factory=CpuPreprocessor)

    def detect(self, image: Image) -> Faces:
        """The faces of an image, the largest first, in pixels of the image."""
        box = letterbox_for(image, longest_side=self.longest_side, multiple=self.size_multiple)
        outputs = self.backend.run(self.preprocessor.letterboxed(image, box, self.pixels))
        (found,) = find_faces(outputs, self.rule, input_size=(box.width, box.height))
        return largest_first(box.to_image(found))


def largest_first(faces: Faces) -> Faces:
    """The same faces in the order of their boxes' areas."""
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    return faces.take(np.argsort(-sides.prod(axis=1), kind="stable"))


@dataclass(frozen=True, slots=True)
class Landmarker:
    """Places the landmarks of found faces anew.

    Attributes:
        backend: runs a detector's network.
        pixels: how its input is made.
        rule: how its outputs are read.
        side: of the window around a face, pixels.
        margin: side of the window over the longer side of the face's box.
        preprocessor: makes the input.
    """

    backend: Backend
    pixels: PixelSpec
    rule: DetectionRule
    side: int = 128
    margin: float = 2.0
    preprocessor: Preprocessor = field(default_factory=CpuPreprocessor)

    def refine(self, image: Image, faces: Faces) -> Faces:
        """The same faces with better landmarks."""
        if len(faces) == 0:
            return faces
        matrices = windows(faces, side=self.side, margin=self.margin)
        outputs = self.backend.run(self.preprocessor.windows(image, matrices, self.side, self.pixels))
        return refined(faces, matrices, find_faces(outputs, self.rule, input_size=(self.side, self.side)))


@dataclass(frozen=True, slots=True)
class Embedder:
    """Turns aligned crops into embeddings.

    Attributes:
        backend: runs the network.
        pixels: how its input is made.
        template: where alignment lays the landmarks.
        dimension: of an embedding.
        preprocessor: makes the input.
    """

    backend: Backend
    pixels: PixelSpec
    template: AlignmentTemplate
    dimension: int
    preprocessor: Preprocessor = field(default_factory=CpuPreprocessor)

    def embed(self, crops: NDArray[np.uint8], *, mirrored: bool = False) -> Embeddings:
        """The embeddings of aligned crops.

        Args:
            crops: (N, H, W, 3) uint8 BGR, of the template's size.
            mirrored: add the embedding of the mirrored crop: twice the time, a little more accurate.

        Returns:
            (N, dimension) float32, each row with L2 norm 1.

        Raises:
            InferenceError: an embedding that isn't finite or has no direction.
        """
        if len(crops) == 0:
            return np.zeros((0, self.dimension), np.float32)
        tensor = to_tensor(crops, self.pixels)
        if not mirrored:
            return self._unit(self.backend.run(tensor)[0])
        both = self.backend.run(np.concatenate([tensor, tensor[..., ::-1]]))[0]
        plain, mirror = np.split(both, 2)
        return self._unit(plain + mirror)

    def embed_of(self, analysis: Analysis, which: Sequence[int]) -> Embeddings:
        """The embeddings of some faces of an analysed image.

        Args:
            analysis: of the image.
            which: indices of its faces.

        Returns:
            (len(which), dimension) float32, each row with L2 norm 1.

        Raises:
            InferenceError: as `embed`.
        """
        if not which:
            return np.zeros((0, self.dimension), np.float32)
        rows = np.asarray(which, np.intp)
        of = Aligned(analysis.image, analysis.faces.landmarks[rows], self.template)
        batch = self.preprocessor.crops(analysis.crops[rows], of, self.pixels)
        return self._unit(self.backend.run(batch)[0])

    def _unit(self, vectors: NDArray[np.float32]) -> Embeddings:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(norms)) or np.any(norms < _MIN_NORM):
            raise InferenceError(
                "EMBEDDING_DEGENERATE",
                f"{self.backend.name} gave embeddings with norms {norms.ravel()[:4]}; verify the model with "
                "'facestream-models verify'",
            )
        return np.asarray(vectors / norms, np.float32)


@dataclass(frozen=True, slots=True)
class Analysis:
    """The faces of one image and what alignment made of them.

    Attributes:
        faces: N faces, the largest first, in pixels of the image.
        crops: (N, H, W, 3) uint8 BGR, aligned for the embedder.
        qualities: N qualities.
        image: (H, W, 3) uint8 BGR.
    """

    faces: Faces
    crops: NDArray[np.uint8]
    qualities: tuple[Quality, ...]
    image: Image


@dataclass(frozen=True, slots=True)
class FaceVision:
    """Detector, landmarker, alignment and embedder as one set: what the fingerprint stands for.

    Attributes:
        detector: finds faces.
        landmarker: places their landmarks anew; None when the detector's are used.
        embedder: embeds them.
        refresher: embeds faces that are known already, behind those that are not.
        quality: what a quality score means.
        fingerprint: of everything that shapes an embedding; embeddings of different fingerprints never mix.
    """

    detector: Detector
    landmarker: Landmarker | None
    embedder: Embedder
    refresher: Embedder
    quality: QualityScale
    fingerprint: str

    def analyse(self, image: Image, faces: Faces) -> Analysis:
        """Places landmarks, aligns and judges the faces that were found in an image."""
        if self.landmarker is not None:
            faces = self.landmarker.refine(image, faces)
        crops = align(image, faces.landmarks, self.embedder.template)
        return Analysis(faces, crops, tuple(assess(faces, crops, self.quality)), image)


def fingerprint_of(*parts: str) -> str:
    """A short name of the models and rules that shape an embedding."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
