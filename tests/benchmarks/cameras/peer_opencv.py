"""What OpenCV's own documentation shows: FaceDetectorYN and FaceRecognizerSF in a plain loop, on all cores.

    python peer_opencv.py FRAMES STILLS DETECTOR EMBEDDER SIDE SCORE NMS_IOU THREADS

The same weights as the server's (OpenCV can't read the block-quantised files of the package, but reads these), the same
detection size, everybody in every frame embedded and compared with every photograph.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from peer_protocol import answer, frames_in

_SAME_PERSON = 0.363
"""OpenCV's own threshold for SFace: the cosine of two photographs of one person."""


class Loop:
    """The loop's body."""

    def __init__(self, detector: str, embedder: str, side: int, score: float, nms_iou: float) -> None:
        self._detector = cv2.FaceDetectorYN.create(detector, "", (side, side), score, nms_iou)
        self._recogniser = cv2.FaceRecognizerSF.create(embedder, "")
        self._side = side
        self._known = np.zeros((0, 128), np.float32)

    def enrol(self, stills: Path) -> None:
        """Learns the largest face of each photograph of the cast."""
        wanted = ("lin_manuel_miranda", "alex_lacamoire", "barack_obama")
        paths = [path for path in sorted(stills.iterdir()) if path.name.startswith(wanted)]
        pictures = (cv2.imread(str(path)) for path in paths)
        self._known = np.concatenate([self._features(picture)[:1] for picture in pictures])

    def __call__(self, data: bytes) -> tuple[int, int]:
        features = self._features(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        if not len(features):
            return 0, 0
        return len(features), int(((features @ self._known.T).max(axis=1) >= _SAME_PERSON).sum())

    def _features(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        scale = min(1.0, self._side / max(height, width))
        small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        self._detector.setInputSize((small.shape[1], small.shape[0]))
        _, faces = self._detector.detect(small)
        if faces is None:
            return np.zeros((0, 128), np.float32)
        faces[:, :14] /= scale
        faces = faces[np.argsort(-faces[:, 2] * faces[:, 3])]
        features = [self._recogniser.feature(self._recogniser.alignCrop(picture, face)) for face in faces]
        stacked = np.concatenate(features)
        return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


def main() -> None:
    """Gets ready and answers."""
    frames, stills, detector, embedder, side, score, nms_iou, threads = sys.argv[1:]
    cv2.setNumThreads(int(threads))
    loop = Loop(detector, embedder, int(side), float(score), float(nms_iou))
    loop.enrol(Path(stills))
    answer(loop, frames_in(Path(frames)), warm=10)


if __name__ == "__main__":
    main()
