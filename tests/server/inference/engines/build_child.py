"""A process that obtains an engine: `build_child.py MODEL ENGINES_DIR`. It says what it does, a line for each step.

At the start of a build it says "building" and waits for a line; FILE_LIMIT in the environment ends it, as the kernel
does, at the byte of a file after so many.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.gpu.fake import FakeBuilder
from server.inference.manifest import load_manifest, verified_weights
from server.inference.precision import Precision


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def wait() -> None:
    say("building")
    sys.stdin.readline()


def limit_files(bytes_: int) -> None:
    """Python ignores the signal, and its writes fail; here the process is to die of it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(model: Path, engines_dir: Path) -> None:
    manifest = load_manifest(model)
    manager = EngineManager(FakeBuilder(before=wait), EngineStore(engines_dir), Workload())
    key = manager.key(manifest, Precision.FLOAT32, "sm86")
    weights = verified_weights(model, manifest)
    if "FILE_LIMIT" in os.environ:
        limit_files(int(os.environ["FILE_LIMIT"]))
    engine = manager.obtain(manifest, weights, key, progress=Progress(say))
    say("built" if engine.built else "found")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
