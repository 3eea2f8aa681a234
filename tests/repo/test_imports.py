"""Importing the server or the clients loads nothing heavy, and does nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded_by(statement):
    """The names of the modules that are loaded after a statement, in a process of its own."""
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import server", "import server.app", "import server.cli", "import clients"])
def test_neither_torch_nor_a_gpu_library_is_loaded(statement):
    heavy = {"torch", "tensorrt", "tensorrt_rtx", "pycuda", "cuda", "trainer"}
    assert not heavy & loaded_by(statement)


def test_the_server_loads_no_runtime_before_it_knows_which_one_is_wanted():
    assert not {"onnxruntime", "openvino", "onnx"} & loaded_by("import server.app")


def test_the_clients_load_nothing_of_the_server():
    assert not any(name.partition(".")[0] == "server" for name in loaded_by("import clients"))


def test_the_command_s_help_needs_no_library_of_pictures_or_networks():
    assert not {"cv2", "grpc", "numpy", "openvino"} & loaded_by("import server.cli")
