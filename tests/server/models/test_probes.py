"""The gate's probes go through every profile of an engine, and whoever is wrong in one of them alone is refused."""

from __future__ import annotations

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


def test_no_two_frames_of_a_batch_are_alike():
    for probe in job_of(YUNET.manifest("0" * 64), Role.DETECTOR, detect_side=320, lanes=1).gate.probes:
        assert len(probe) == 1 or np.abs(probe[0] - probe[1]).mean() > 1


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

    def verdict(entry, role, wrong, shape):
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
            return wrong(right) if batch.shape == shape else right

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
