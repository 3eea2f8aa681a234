"""What the README of `face_recognition` shows: locate, encode, compare, frame by frame, with its default HOG detector.

    python peer_face_recognition.py FRAMES STILLS

One process uses one core; the benchmark runs as many as there are cores and adds them up.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")  # its models package uses pkg_resources

import face_recognition  # noqa: E402
from peer_protocol import answer, frames_in  # noqa: E402


def main() -> None:
    """Gets ready and answers."""
    frames, stills = map(Path, sys.argv[1:])
    wanted = ("lin_manuel_miranda", "alex_lacamoire", "barack_obama")
    photos = [
        face_recognition.load_image_file(path) for path in sorted(stills.iterdir()) if path.name.startswith(wanted)
    ]
    known = [encoding for photo in photos for encoding in face_recognition.face_encodings(photo)[:1]]

    def recognise(data: bytes) -> tuple[int, int]:
        picture = face_recognition.load_image_file(io.BytesIO(data))
        encodings = face_recognition.face_encodings(picture, face_recognition.face_locations(picture))
        return len(encodings), sum(any(face_recognition.compare_faces(known, encoding)) for encoding in encodings)

    answer(recognise, frames_in(frames), warm=1)


if __name__ == "__main__":
    main()
