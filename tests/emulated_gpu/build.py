"""Builds the emulated GPU into build/emulated-gpu; what is there already only once.

The driver is driver.cpp, compiled against NVIDIA's cuda.h; pycuda is PyPI's, compiled against the same headers and
linked with that driver; the kernels are server/inference/gpu/kernels.cu for the processor; NVRTC is NVIDIA's.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.inference.gpu.preprocess import kernel_source
from tests.gpu import EMULATED_KERNELS, MUST_RUN
from tests.host_kernels import COMPILER, compiled_for_host
from tests.server_process import PROJECT

HERE = Path(__file__).parent
BUILT = PROJECT / "build" / "emulated-gpu"
DRIVER = BUILT / "driver.o"
PYCUDA = "pycuda==2026.1"
WITHOUT_PYCUDA = "FACESTREAM_WITHOUT_PYCUDA"
"""Set in the environment where cuda-python is to be used, as where pycuda isn't installed."""
_PIP = (sys.executable, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check")
_NOT_SUPPORTED = 801


def environment() -> dict[str, str]:
    """The environment of a process that finds the emulated GPU, and must find it."""
    (kernels,) = BUILT.glob("kernels-*.so")
    libraries = (BUILT, BUILT / "site" / "nvidia" / "cu13" / "lib")
    hiding = (HERE / "without_pycuda",) if WITHOUT_PYCUDA in os.environ else ()
    modules = (*hiding, HERE / "site", BUILT / "site", PROJECT, PROJECT / "proto")
    return {
        **os.environ,
        EMULATED_KERNELS: str(kernels),
        MUST_RUN: "1",
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "PYTHONPATH": ":".join(map(str, modules)),
    }


def build() -> None:
    """Builds what isn't there, or isn't of these sources.

    Raises:
        RuntimeError: there is no compiler.
        subprocess.CalledProcessError: pip or the compiler fails, with its words on stderr.
    """
    if COMPILER is None:
        raise RuntimeError("the emulated GPU is compiled by g++, which is not here: install g++ and gcc")
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        _build()


def _build() -> None:
    site = BUILT / "site"
    headers = site / "nvidia" / "cu13" / "include"
    with _once("site", PYCUDA, sys.version, *_texts("requirements.txt")) as wanted:
        if wanted:
            _install(site, "-r", str(HERE / "requirements.txt"))
            _compile(headers)
            _link("")
            _install(site, str(_pycuda(headers)))
    with _once("driver", *_texts("build.py", "driver.cpp"), PYCUDA, sys.version) as wanted:
        if wanted:
            _compile(headers)
            _link(_refusals(site))
    with _once("kernels", kernel_source(), (PROJECT / "tests" / "host_kernels.py").read_text()) as wanted:
        if wanted:
            for stale in BUILT.glob("kernels-*.so"):
                stale.unlink()
            compiled_for_host(BUILT, kernel_source())


@contextmanager
def _once(what: str, *sources: str) -> Iterator[bool]:
    """Whether something has to be built, which is remembered when it was."""
    stamp = BUILT / f"{what}.stamp"
    version = hashlib.sha256("\0".join(sources).encode()).hexdigest()
    wanted = not stamp.exists() or stamp.read_text() != version
    yield wanted
    stamp.write_text(version)


def _texts(*names: str) -> tuple[str, ...]:
    return tuple((HERE / name).read_text() for name in names)


def _compile(headers: Path) -> None:
    _run(
        *(str(COMPILER), "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", f"-I{headers}"),
        *("-c", str(HERE / "driver.cpp"), "-o", str(DRIVER)),
    )


def _link(refusals: str) -> None:
    """libcuda.so.1, and under the name that linkers look for."""
    stubs = BUILT / "refusals.c"
    stubs.write_text(refusals)
    _run("gcc", "-c", "-fPIC", str(stubs), "-o", str(stubs.with_suffix(".o")))
    _run(
        *(str(COMPILER), "-shared", "-Wl,-soname,libcuda.so.1", str(DRIVER), str(stubs.with_suffix(".o")), "-ldl"),
        *("-o", str(BUILT / "libcuda.so.1")),
    )
    linked = BUILT / "libcuda.so"
    linked.unlink(missing_ok=True)
    linked.symlink_to("libcuda.so.1")


def _pycuda(headers: Path) -> Path:
    """A wheel of pycuda, linked with the driver; without optimisation, which would double the minutes it takes."""
    wheels = BUILT / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        _run(*_PIP, "download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", folder, PYCUDA)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
        source = archive.with_name(archive.name.removesuffix(".tar.gz"))
        (source / "siteconf.py").write_text(
            f"CUDA_ROOT = None\nCUDA_INC_DIR = [{str(headers)!r}]\nCUDADRV_LIB_DIR = [{str(BUILT)!r}]\n"
            "CUDADRV_LIBNAME = ['cuda']\nCUDA_ENABLE_CURAND = False\nCXXFLAGS = ['-O0']\nLDFLAGS = []\n"
        )
        _run(*_PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
    (wheel,) = wheels.glob("pycuda-*.whl")
    return wheel


def _refusals(site: Path) -> str:
    """C functions that answer CUDA_ERROR_NOT_SUPPORTED, for all that pycuda would call and the driver hasn't got."""
    (extension,) = (site / "pycuda").glob("_driver*.so")
    wanted, there = _symbols("-D", "--undefined-only", str(extension)), _symbols("--defined-only", str(DRIVER))
    return "".join(f"int {name}(void) {{ return {_NOT_SUPPORTED}; }}\n" for name in sorted(wanted - there))


def _symbols(*which: str) -> set[str]:
    listed = subprocess.run(["nm", *which], check=True, capture_output=True, text=True)
    return set(re.findall(r"\bcu[A-Z]\w*", listed.stdout))


def _install(site: Path, *what: str) -> None:
    _run(*_PIP, "install", "--no-deps", "--upgrade", "--target", str(site), *what)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
