"""The real library: every network of the trainer becomes an engine, for the shapes that a server asks for."""

from __future__ import annotations

import numpy as np
import pytest

from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.half import to_half
from server.inference.engines.library import PORTABLE
from server.inference.engines.profiles import Workload, profiles_for
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.manifest import load_manifest
from server.inference.parts import Input, Pixels
from server.inference.precision import Precision
from tests.rtx import rtx
from trainer.export.engine import EngineOrder, export_engine
from trainer.export.folder import Card, export_folder
from trainer.export.onnx import INPUT, WeightType, to_onnx
from trainer.models.build import ARCHITECTURES, architecture, build

SLOW = {"nn1": 300, "nns1": 120, "inception-resnet-v1": 120}
"""Networks that take ten seconds or more, and how many they may take. NN1 has 140 million weights."""
ONLY_HALF = {"nn1"}
"""Networks of which no float32 engine is built, for the time and the memory that one more takes."""


@pytest.fixture(scope="module")
def builder():
    return TensorRtBuilder(rtx())


def profiles(found):
    """As an engine manager chooses them by the manifest of an exported folder."""
    pixels = Pixels(colour=found.pixels.colour, mean=found.pixels.mean, std=found.pixels.std)
    return profiles_for(Input(tensor=INPUT, width=found.width, height=found.height, pixels=pixels), Workload())


def marked(name):
    marks = (pytest.mark.slow, pytest.mark.timeout(SLOW[name])) if name in SLOW else ()
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [marked(name) for name in ARCHITECTURES])
def test_every_network_becomes_an_engine_in_float32_and_float16(builder, name):
    found = architecture(name)
    weights = to_onnx(build(name), found, WeightType.FLOAT32)
    shapes = profiles(found)
    assert len(shapes) == 2
    half = builder.build(to_half(weights), shapes, PORTABLE, Progress())
    whole = weights if name in ONLY_HALF else builder.build(weights, shapes, PORTABLE, Progress())
    assert len(half) < 0.65 * len(whole)


def test_a_network_becomes_an_int8_engine_that_lies_in_the_servers_cache(builder, tmp_path):
    found, store = architecture("resnet-s"), EngineStore(tmp_path / "engines")
    crops = np.random.default_rng(0).integers(0, 256, (36, found.height, found.width, 3), np.uint8)
    card = Card("resnet-s", "1", "CC0-1.0", "nobody", "not trained")
    folder, _ = export_folder(build("resnet-s"), found, models=tmp_path / "models", card=card, crops=crops[:2])
    engine, cosine = export_engine(folder, EngineOrder(Precision.INT8), builder, store, crops=crops)
    assert engine.built
    assert cosine > 0.98
    assert engine.name == f"tensorrt-rtx-{PORTABLE}-int8"
    assert engine.profiles == profiles_for(load_manifest(folder).input, Workload()) == profiles(found)
    assert store.find(engine.key).plan == engine.plan
