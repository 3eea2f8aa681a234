"""The GPU's kernels, compiled for the processor: every block and thread in a loop. Proves arithmetic, not speed."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from server.inference.gpu.fake import _stream
from server.inference.gpu.preprocess import kernel_source

COMPILER = shutil.which("g++")

_SHIM = """
#include <algorithm>
#include <cmath>
#include <cstddef>
#define __device__ static
#define __global__
using std::max;
using std::min;
struct Dim { unsigned x, y, z; };
static thread_local Dim blockIdx, threadIdx, blockDim;
"""

_LOOPS = """
template <typename Body> static void everywhere(const unsigned *shape, Body body) {
    blockDim = {shape[3], shape[4], shape[5]};
    for (blockIdx.z = 0; blockIdx.z < shape[2]; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < shape[1]; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < shape[0]; ++blockIdx.x)
    for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) body();
}
extern "C" void loop_letterbox(const unsigned *shape, const unsigned char *a, int b, int c, float *d, int e, int f,
                               int g, int h, int i, int j, Pixels k) {
    everywhere(shape, [&] { letterbox(a, b, c, d, e, f, g, h, i, j, k); });
}
extern "C" void loop_warp(const unsigned *shape, const unsigned char *a, int b, int c, const float *d, float *e, int f,
                          int g, Pixels h) {
    everywhere(shape, [&] { warp(a, b, c, d, e, f, g, h); });
}
"""


class _Pixels(ctypes.Structure):
    _fields_ = [("mean", ctypes.c_float * 3), ("std", ctypes.c_float * 3), ("swap", ctypes.c_int)]


class HostKernels:
    """Kernels for a `FakeDevice`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, name, grid, block, arguments, stream):
        shape = (ctypes.c_uint * 6)(*grid, *block)
        passed = [_passed(argument) for argument in arguments]
        _stream(stream).put(lambda: self._library[f"loop_{name}"](shape, *passed))


def host_compiler(folder: Path) -> Callable[[str], HostKernels]:
    """Compiles into a folder; a source that was compiled there before is taken as it is."""

    def compile_source(source: str) -> HostKernels:
        text = _SHIM + source + _LOOPS
        built = folder / f"kernels-{hashlib.sha256(text.encode()).hexdigest()[:12]}.so"
        if not built.exists():
            written = built.with_suffix(".cpp")
            written.write_text(text)
            command = [COMPILER, "-std=c++17", "-O2", "-Wall", "-Werror", "-Wno-unused-variable", "-shared", "-fPIC"]
            subprocess.run([*command, "-o", str(built), str(written)], check=True, capture_output=True, text=True)
        return HostKernels(ctypes.CDLL(str(built)))

    return compile_source


def _passed(argument):
    if isinstance(argument, bytes):
        return _Pixels.from_buffer_copy(argument)
    return ctypes.c_int(int(argument)) if isinstance(argument, np.int32) else ctypes.c_void_p(argument)


__all__ = ["COMPILER", "HostKernels", "host_compiler", "kernel_source"]
