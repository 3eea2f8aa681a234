"""What builds are told, how they are called off, and who has to wait for them."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from server.errors import ModelError
from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.library import EngineLibrary
from server.inference.engines.profiles import ShapeProfile
from server.inference.engines.progress import CalledOffError, Progress
from tests.server_process import PROJECT

SHAPES = (ShapeProfile((1, 3, 2, 2), (1, 3, 2, 2), (1, 3, 2, 2)),)


class Building:
    """Something that answers as TensorRT does, whose builds do `work` with the monitor and answer a plan."""

    def __init__(self, work):
        severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3)
        self.ILogger = type("ILogger", (), {"__init__": lambda self: None, "Severity": severity})
        self.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})
        self.NetworkDefinitionCreationFlag = SimpleNamespace()
        self.BuilderFlag = SimpleNamespace(TF32=0)
        self.work = work

    def Builder(self, logger):  # noqa: N802 - the library's name
        config = SimpleNamespace(clear_flag=lambda _flag: None, add_optimization_profile=lambda _profile: 0)
        return SimpleNamespace(
            logger=logger,
            create_network=lambda _flags: SimpleNamespace(get_input=lambda _index: SimpleNamespace(name="x")),
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *_shapes: None),
            build_serialized_network=lambda _network, config: self.work(config.progress_monitor),
        )

    def OnnxParser(self, _network, _logger):  # noqa: N802
        return SimpleNamespace(parse=lambda _bytes: True)


def built(work, progress=None):
    builder = TensorRtBuilder(EngineLibrary("tensorrt", "0", Building(work)))
    return builder.build(b"network", SHAPES, "sm86", progress or Progress())


def test_the_steps_of_the_outermost_phases_are_told_with_what_they_are_of():
    said = []

    def work(monitor):
        monitor.phase_start("building", None, 2)
        monitor.phase_start("inner", "building", 100)
        assert monitor.step_complete("inner", 0)
        assert monitor.step_complete("building", 0)
        monitor.phase_finish("inner")
        monitor.phase_finish("building")
        return b"plan"

    assert built(work, Progress(said.append).of("sface")) == b"plan"
    assert said == ["sface: building", "sface: building: 1 of 2"]


@pytest.mark.parametrize("where", ["building", "inner"])
def test_a_build_that_is_called_off_ends_at_its_next_step_whichever_it_is(where):
    unwanted, went_on = threading.Event(), []

    def work(monitor):
        monitor.phase_start("building", None, 2)
        unwanted.set()
        went_on.append(monitor.step_complete(where, 0))
        return None if not went_on[-1] else b"plan"

    with pytest.raises(CalledOffError):
        built(work, Progress(unwanted=unwanted))
    assert went_on == [False]


def test_an_interrupt_in_the_middle_of_a_build_ends_it_and_reaches_the_caller():
    def interrupted(_step):
        raise KeyboardInterrupt

    def work(monitor):
        monitor.phase_start("building", None, 2)
        return None if not monitor.step_complete("building", 0) else b"plan"

    with pytest.raises(KeyboardInterrupt):
        built(work, Progress(interrupted))


def test_a_build_that_fails_without_being_called_off_is_an_error():
    with pytest.raises(ModelError) as caught:
        built(lambda _monitor: None)
    assert caught.value.reason == "ENGINE_NOT_BUILT"


STOPPED_MIDWAY = """
import tempfile, threading
from pathlib import Path
from server.inference.backend import FakeBackend
from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.progress import Progress
from server.inference.engines.library import find_library
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.store import EngineStore
from server.inference.manifest import load_manifest, verified_weights
from server.inference.precision import Precision
from server.inference.standby import Fallback, StandbyBackend
from tests.server_process import MODELS

begun = threading.Event()
folder = MODELS / "yunet" / "2023mar"
manifest = load_manifest(folder)
weights = verified_weights(folder, manifest)
store = EngineStore(Path(tempfile.mkdtemp()))
manager = EngineManager(TensorRtBuilder(find_library()), store, Workload())

def tell(step):
    if "1 of" in step:
        begun.set()

def prepare(unwanted):
    key = manager.key(manifest, Precision.FLOAT32, None)
    manager.obtain(manifest, weights, key, progress=Progress(tell, unwanted))
    raise AssertionError("the build went on to its end")

backend = StandbyBackend(FakeBackend(lambda batch: (batch,)), prepare, wanted="gpu", fallback=Fallback.CPU)
assert begun.wait(60)
backend.close()
assert not store.files()
print("closed")
"""


@pytest.mark.models
@pytest.mark.slow
def test_a_process_that_stops_while_tensorrt_builds_ends_as_it_should():
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", STOPPED_MIDWAY],
            cwd=PROJECT, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr
