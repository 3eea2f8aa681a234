"""The GPU's kernels, compiled for the processor: every block and thread in a loop. Proves arithmetic, not speed."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from server.inference.gpu.cuda_python import c_value
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
#include <type_traits>
#include <utility>

template <typename... A, size_t... I>
static void run(void (*body)(A...), const unsigned *shape, void *const *passed, std::index_sequence<I...>) {
    blockDim = {shape[3], shape[4], shape[5]};
    for (blockIdx.z = 0; blockIdx.z < shape[2]; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < shape[1]; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < shape[0]; ++blockIdx.x)
    for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
        body(*static_cast<std::remove_reference_t<A> *>(passed[I])...);
}
template <typename... A> static void run(void (*body)(A...), const unsigned *shape, void *const *passed) {
    run(body, shape, passed, std::index_sequence_for<A...>{});
}
template <typename... A> static int layout(void (*)(A...), size_t *sizes, size_t *alignments, int *pointers) {
    int count = 0;
    ((sizes[count] = sizeof(A), alignments[count] = alignof(A), pointers[count] = std::is_pointer_v<A>, ++count), ...);
    return count;
}
// What a driver knows of a kernel: how it is run, and the sizes and alignments of its parameters.
#define KERNEL(name)                                                                                                  \\
    extern "C" void run_##name(const unsigned *shape, void *const *passed) { run(&name, shape, passed); }             \\
    extern "C" int layout_##name(size_t *sizes, size_t *alignments, int *pointers) {                                  \\
        return layout(&name, sizes, alignments, pointers);                                                            \\
    }
KERNEL(letterbox)
KERNEL(warp)
"""


class HostKernels:
    """Kernels for a `FakeDevice`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, name, grid, block, arguments, stream):
        shape = (ctypes.c_uint * 6)(*grid, *block)
        held = [c_value(argument) for argument in arguments]
        passed = (ctypes.c_void_p * len(held))(*[ctypes.addressof(one) for one in held])

        def run(_held: object = held) -> None:  # `passed` has the addresses alone
            self._library[f"run_{name}"](shape, passed)

        _stream(stream).put(run)


def host_compiler(folder: Path) -> Callable[[str], HostKernels]:
    """Compiles into a folder; a source that was compiled there before is taken as it is."""
    return lambda source: HostKernels(ctypes.CDLL(str(compiled_for_host(folder, source))))


def compiled_for_host(folder: Path, source: str) -> Path:
    """A library of the source's kernels, `run_NAME` and `layout_NAME` for each."""
    text = _SHIM + source + _LOOPS
    built = folder / f"kernels-{hashlib.sha256(text.encode()).hexdigest()[:12]}.so"
    if not built.exists():
        written = built.with_suffix(".cpp")
        written.write_text(text)
        command = [COMPILER, "-std=c++17", "-O2", "-Wall", "-Werror", "-Wno-unused-variable", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", str(built), str(written)], check=True, capture_output=True, text=True)
    return built


__all__ = ["COMPILER", "HostKernels", "compiled_for_host", "host_compiler", "kernel_source"]
