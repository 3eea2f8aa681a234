"""What a user would pick instead, as processes that take turns with the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.defaults import DETECT_SIDE
from server.inference.manifest import WEIGHTS_FILE, load_manifest
from tests.benchmarks.cameras.pictures import STILLS
from tests.server_process import MODELS, PROJECT

_HERE = Path(__file__).parent
_PEERS_PYTHON = PROJECT / "build" / "peers" / "bin" / "python"
DETECTOR, EMBEDDER = MODELS / "yunet" / "2023mar", MODELS / "sface" / "2021dec"


@dataclass(frozen=True, slots=True)
class PeerRound:
    """What a peer did in one round; several processes added up."""

    frames_per_second: float
    faces_per_frame: float
    named_per_frame: float


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to do it, in as many processes as it needs to use all cores."""

    name: str
    processes: Sequence[subprocess.Popen[str]]

    def run(self, seconds: float) -> PeerRound:
        """Frames for so long."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        rounds = [json.loads(self._line(process)) for process in self.processes]
        frames = sum(each["frames"] for each in rounds)
        return PeerRound(
            sum(each["frames"] / each["seconds"] for each in rounds),
            sum(each["faces"] for each in rounds) / frames,
            sum(each["named"] for each in rounds) / frames,
        )

    def wait_until_ready(self) -> None:
        """Returns when the models are warm."""
        for process in self.processes:
            while self._line(process).strip() != "ready":
                pass

    def _line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {process.wait()}")
        return line


@contextmanager
def opencv_loop(frames: Path) -> Iterator[Peer]:
    """FaceDetectorYN and FaceRecognizerSF, one loop with all cores."""
    part = load_manifest(DETECTOR).as_detector()
    arguments = [
        _HERE / "peer_opencv.py", frames, STILLS, DETECTOR / WEIGHTS_FILE, EMBEDDER / WEIGHTS_FILE, DETECT_SIDE,
        part.score_threshold, part.nms_iou, os.cpu_count(),
    ]  # fmt: skip
    with _started("OpenCV", [sys.executable, *map(str, arguments)], processes=1) as peer:
        yield peer


@contextmanager
def face_recognition_loop(frames: Path) -> Iterator[Peer | None]:
    """`face_recognition`, a loop for each core; None when `make peers` has not installed it."""
    if not _PEERS_PYTHON.exists():
        yield None
        return
    command = [str(_PEERS_PYTHON), str(_HERE / "peer_face_recognition.py"), str(frames), str(STILLS)]
    with _started("face_recognition", command, processes=os.cpu_count() or 1) as peer:
        yield peer


@contextmanager
def _started(name: str, command: Sequence[str], *, processes: int) -> Iterator[Peer]:
    with ExitStack() as undo:
        started = []
        for _ in range(processes):
            process = undo.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            )
            undo.callback(process.kill)
            started.append(process)
        peer = Peer(name, started)
        peer.wait_until_ready()
        yield peer
