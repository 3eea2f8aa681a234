"""The gate's probes go through every profile of an engine, and whoever is wrong in one of them alone is refused."""

from __future__ import annotations

import gc
import weakref
from collections import defaultdict

import numpy as np
import pytest

from server.inference.backend import FakeBackend
from server.inference.engines.profiles import Workload, profiles_for, workload_for
from server.inference.load import Runtime, load_backend
from server.inference.parity import answers, judge
from server.inference.precision import Precision
from server.models.catalogue import CATALOGUE, CENTERFACE, SFACE, YUNET
from server.models.probes import Role, job_of
from server.models.runtimes import roles_of
from server.vision.preprocess import to_tensor

ROLES = [(entry, role) for entry in CATALOGUE for role in roles_of(entry.kind)]
PROFILES = {Role.DETECTOR: range(6), Role.LANDMARKER: range(1), Role.EMBEDDER: range(2)}
"""Those that a role's batches can reach: a landmarker gets windows only."""


def lengths_by_profile(entry, role, workload):
    """Lengths of the probes that go through each profile of an engine for this workload."""
    manifest = entry.manifest("0" * 64)
    profiles = profiles_for(manifest.input, workload)
    found = defaultdict(set)
    for probe in job_of(manifest, role, detect_side=workload.frame_side, lanes=1).gate.probes:
        found[next(number for number, one in enumerate(profiles) if one.takes(probe.shape))].add(len(probe))
    return {number: sorted(lengths) for number, lengths in sorted(found.items())}, profiles


@pytest.mark.parametrize(("entry", "role"), ROLES, ids=lambda one: getattr(one, "name", one))
def test_the_probes_go_through_every_profile_of_a_default_models_engine(entry, role):
    found, profiles = lengths_by_profile(entry, role, Workload())
    assert list(found) == list(PROFILES[role])
    assert role is Role.LANDMARKER or len(found) == len(profiles)


@pytest.mark.parametrize(("entry", "role"), ROLES, ids=lambda one: getattr(one, "name", one))
def test_the_probes_go_through_every_profile_alone_and_in_a_batch_where_it_has_both(entry, role):
    found, _ = lengths_by_profile(entry, role, Workload())
    assert found == {
        Role.DETECTOR: {number: [1, 2] for number in range(6)},
        Role.LANDMARKER: {0: [1, 8]},
        Role.EMBEDDER: {0: [1], 1: [8]},
    }[role]  # fmt: skip


@pytest.mark.parametrize("side", [160, 320, 480, 960, 1280])
@pytest.mark.parametrize("entry", [YUNET, CENTERFACE], ids=lambda entry: entry.name)
def test_at_other_detection_sizes_the_frames_go_through_every_profile_too(entry, side):
    found, _ = lengths_by_profile(entry, Role.DETECTOR, workload_for(detect_side=side))
    assert list(found) == list(range(6))


def frames(side):
    """A detector's probes at this detection size."""
    return job_of(YUNET.manifest("0" * 64), Role.DETECTOR, detect_side=side, lanes=1).gate.probes


def test_no_two_frames_of_a_batch_are_alike():
    for probe in frames(320):
        assert len(probe) == 1 or np.abs(probe[0] - probe[1]).mean() > 1


def test_frames_above_a_side_of_1280_come_one_by_one():
    assert {len(probe) for probe in frames(1280)} == {1, 2}
    assert {len(probe) for probe in frames(1312)} == {1}


def test_frames_of_one_size_alone_are_kept_and_others_are_drawn_again_the_same(monkeypatch):
    made = []
    monkeypatch.setattr(
        "server.models.probes.to_tensor", lambda pictures, pixels: made.append(to_tensor(pictures, pixels)) or made[-1]
    )
    probes = frames(320)
    first = probes[0].copy()
    sizes = [probe.shape[2:] for probe in probes]
    assert len(made) == len(set(sizes))
    known = [weakref.ref(one) for one in made]
    made.clear()
    gc.collect()
    assert [one() is not None for one in known] == [False] * (len(known) - 1) + [True]
    assert np.array_equal(probes[0], first)
    assert [probe.shape for probe in probes[:2]] == [(1, 3, 192, 320), (2, 3, 192, 320)]


# ---- a candidate that is wrong in one shape alone


def spoilt(outputs):
    """The outputs with noise, as of a wrong kernel."""
    draw = np.random.default_rng(0)
    return tuple((output + draw.normal(0, output.std() + 0.1, output.shape)).astype(np.float32) for output in outputs)


def swapped(outputs):
    """The answers of a batch in another order."""
    return tuple(output[::-1] for output in outputs)


@pytest.fixture(scope="module")
def judged(models_dir):
    """The verdict on a model that does this to the outputs of batches of that shape."""
    known = {}

    def verdict(entry, role, wrong, shape, *, everywhere=False):
        if (entry.name, role) not in known:
            manifest, reference = load_backend(models_dir / entry.model, runtime=Runtime.ONNXRUNTIME, threads=1)
            gate = job_of(manifest, role, detect_side=320, lanes=1).gate
            wanted = answers(gate, reference)
            known[entry.name, role] = gate, wanted
        gate, wanted = known[entry.name, role]

        def run(batch):
            right = next(
                outputs
                for probe, outputs in zip(gate.probes, wanted, strict=True)
                if probe.shape == batch.shape and np.array_equal(probe, batch)
            )
            return wrong(right) if everywhere or batch.shape == shape else right

        return judge(gate, wanted, FakeBackend(run), Precision.FLOAT32)

    return verdict


CASES = [
    *((YUNET, Role.DETECTOR, spoilt, (length, 3, *size)) for length in (1, 2)
      for size in ((192, 320), (256, 320), (320, 192), (320, 320), (128, 160), (128, 128))),
    *((YUNET, Role.DETECTOR, swapped, (2, 3, *size)) for size in ((192, 320), (256, 320), (320, 192), (320, 320))),
    *((CENTERFACE, Role.LANDMARKER, spoilt, (length, 3, 128, 128)) for length in (1, 8)),
    (CENTERFACE, Role.LANDMARKER, swapped, (8, 3, 128, 128)),
    *((SFACE, Role.EMBEDDER, spoilt, (length, 3, 112, 112)) for length in (1, 8)),
    (SFACE, Role.EMBEDDER, swapped, (8, 3, 112, 112)),
]  # fmt: skip


def case(entry, role, wrong, shape):
    length, _, height, width = shape
    return pytest.param(
        entry, role, wrong, shape, id=f"{entry.name} as {role.value}, {length} of {width}x{height} {wrong.__name__}"
    )


@pytest.mark.models
@pytest.mark.parametrize(("entry", "role", "wrong", "shape"), [case(*one) for one in CASES])
def test_who_is_wrong_in_one_shape_alone_is_refused_and_the_shape_named(judged, entry, role, wrong, shape):
    verdict = judged(entry, role, wrong, shape)
    assert not verdict.passed
    length, _, height, width = shape
    where = f"at {width}x{height} " + ("alone" if length == 1 else f"in a batch of {length}")
    assert where in verdict.finding


@pytest.mark.models
@pytest.mark.parametrize(("entry", "role"), ROLES, ids=lambda one: getattr(one, "name", one))
def test_who_is_right_in_every_shape_passes(judged, entry, role):
    verdict = judged(entry, role, spoilt, None)
    assert verdict.passed, verdict.finding


# ---- a candidate that is wrong in one of the network's outputs alone


def nothing(output):
    return np.zeros_like(output)


def biased(output):
    return output + np.float32(1)


def fainter(output):
    return output * np.float32(0.7)


def reworked(outputs, change, which):
    return tuple(change(output) if number in which else output for number, output in enumerate(outputs))


FINE, MIDDLE, COARSE = range(3)
"""YuNet's layers: strides 8, 16 and 32. Its outputs are classes, objects, boxes and landmarks of each.

The middle one is sure of hardly any face, drawn or real. All that shows is that it finds some where there are none.
"""

WRONG_OUTPUTS = [
    *((YUNET, change, [layer + 3 * kind for kind in kinds]) for layer in (FINE, COARSE)
      for change, kinds in ((nothing, (0, 1)), (fainter, (0, 1)), (biased, (2,)), (biased, (3,)))),
    (YUNET, biased, (MIDDLE, MIDDLE + 3)),
    (CENTERFACE, nothing, (0,)),
    (CENTERFACE, fainter, (0,)),
    *((CENTERFACE, biased, (number,)) for number in (1, 2, 3)),
]  # fmt: skip


@pytest.mark.models
@pytest.mark.parametrize("role", [Role.DETECTOR, Role.LANDMARKER], ids=lambda role: role.value)
@pytest.mark.parametrize(
    ("entry", "change", "which"),
    [pytest.param(*one, id=f"{one[0].name} {one[1].__name__} {tuple(one[2])}") for one in WRONG_OUTPUTS],
)
def test_who_is_wrong_in_one_output_alone_is_refused(judged, entry, role, change, which):
    assert not judged(entry, role, lambda outputs: reworked(outputs, change, which), None, everywhere=True).passed
    unchanged = judged(entry, role, lambda outputs: reworked(outputs, change, ()), None, everywhere=True)
    assert unchanged.passed, unchanged.finding


@pytest.mark.models
@pytest.mark.parametrize("layer", [FINE, COARSE], ids=["stride 8", "stride 32"])
@pytest.mark.parametrize("shape", [(1, 3, 192, 320), (2, 3, 256, 320), (1, 3, 320, 192), (1, 3, 128, 128)])
def test_a_layer_that_finds_nothing_in_one_shape_alone_is_refused(judged, layer, shape):
    verdict = judged(YUNET, Role.DETECTOR, lambda outputs: reworked(outputs, nothing, (layer, layer + 3)), shape)
    assert not verdict.passed
    length, _, height, width = shape
    assert f"at {width}x{height} " + ("alone" if length == 1 else f"in a batch of {length}") in verdict.finding
