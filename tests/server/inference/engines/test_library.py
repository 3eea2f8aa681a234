from __future__ import annotations

from types import SimpleNamespace

import pytest

from server.errors import ConflictError
from server.inference.engines.library import PORTABLE, EngineLibrary, find_library

RTX = SimpleNamespace(
    __version__="1.7",
    ComputeCapability=SimpleNamespace(__members__={"NONE": 0, "CURRENT": 1, "SM120": 2, "SM75": 3, "SM86": 4}),
)
PLAIN = SimpleNamespace(__version__="11.4")


def importer_of(**modules):
    def import_module(name):
        if name not in modules:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return modules[name]

    return import_module


def test_tensorrt_is_preferred_and_rtx_is_taken_where_it_is_alone():
    assert find_library(importer_of(tensorrt=PLAIN, tensorrt_rtx=RTX)) == EngineLibrary("tensorrt", "11.4", PLAIN)
    assert find_library(importer_of(tensorrt_rtx=RTX)) == EngineLibrary("tensorrt-rtx", "1.7", RTX)


def test_without_either_the_error_says_what_to_install():
    with pytest.raises(ConflictError) as caught:
        find_library(importer_of())
    assert caught.value.reason == "ENGINE_LIBRARY_MISSING"
    assert "pip install 'facestream[tensorrt]'" in caught.value.message
    assert "tensorrt-rtx-cu13" in caught.value.message


def test_a_broken_installation_is_named_and_the_other_one_taken():
    def broken(name):
        if name == "tensorrt":
            raise OSError("libnvinfer.so.11: cannot open shared object file")
        return RTX

    assert find_library(broken).name == "tensorrt-rtx"

    def all_broken(name):
        raise OSError("libnvinfer.so.11: cannot open shared object file")

    with pytest.raises(ConflictError, match=r"libnvinfer\.so\.11"):
        find_library(all_broken)


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("sm86", "sm86"),
        ("sm75", "sm75"),
        ("sm90", PORTABLE),
        ("sm103", PORTABLE),
        (None, PORTABLE),
        (PORTABLE, PORTABLE),
    ],
)
def test_rtx_builds_for_listed_gpus_and_portably_for_other_late_ones(architecture, target):
    assert EngineLibrary("tensorrt-rtx", "1.7", RTX).target_for(architecture) == target


@pytest.mark.parametrize("architecture", ["sm70", "ampere", "sm", "8.6"])
def test_other_targets_are_refused(architecture):
    with pytest.raises(ConflictError) as caught:
        EngineLibrary("tensorrt-rtx", "1.7", RTX).target_for(architecture)
    assert caught.value.reason == "ENGINE_TARGET_UNSUPPORTED"


def test_tensorrt_builds_for_the_gpu_at_hand_only():
    library = EngineLibrary("tensorrt", "11.4", PLAIN)
    assert library.target_for("sm90") == "sm90"
    for none in (None, PORTABLE):
        with pytest.raises(ConflictError) as caught:
            library.target_for(none)
        assert caught.value.reason == "GPU_MISSING"
