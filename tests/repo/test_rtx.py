from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.rtx import rtx


def missing(name):
    raise ModuleNotFoundError(f"No module named {name!r}")


def test_where_the_development_tools_install_tensorrt_rtx_a_test_without_it_fails():
    with pytest.raises(pytest.fail.Exception, match=r"make setup.*tensorrt_rtx"):
        rtx(missing, ("linux", "x86_64"))


@pytest.mark.parametrize("machine", [("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64")])
def test_elsewhere_it_is_skipped(machine):
    with pytest.raises(pytest.skip.Exception, match="tensorrt_rtx"):
        rtx(missing, machine)


def test_it_is_tensorrt_rtx_even_beside_tensorrt():
    found = rtx(lambda name: SimpleNamespace(__name__=name, __version__="1"))
    assert (found.name, found.api.__name__) == ("tensorrt-rtx", "tensorrt_rtx")
