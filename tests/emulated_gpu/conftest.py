from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from tests.gpu import EMULATED_KERNELS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests are of the emulated GPU alone."""
    if EMULATED_KERNELS in os.environ:
        return
    absent = pytest.mark.skip(reason="no emulated GPU; run `make test-emulated-gpu`")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(absent)


@pytest.fixture
def driver():
    """The emulated driver's own functions; a device that a test broke is mended."""
    library = ctypes.CDLL("libcuda.so.1")
    for name in ("emulated_held", "emulated_held_bytes"):
        getattr(library, name).restype = ctypes.c_size_t
    library.emulated_capacity.argtypes = [ctypes.c_size_t]
    yield library
    library.emulated_capacity(8 << 30)
    library.emulated_break(0)
