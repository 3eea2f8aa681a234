"""The one place that decides which library reaches the GPU: pycuda, or cuda-python where only that is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from server.errors import ConflictError
from server.inference.engines.library import EngineLibrary
from server.inference.gpu.cuda_python import open_cuda_python
from server.inference.gpu.device import Device, DeviceError, UnfitLibraryError
from server.inference.gpu.pycuda import open_pycuda

OPENERS: Mapping[str, Callable[[EngineLibrary], Device]] = MappingProxyType(
    {"pycuda": open_pycuda, "cuda-python": open_cuda_python}
)
"""Libraries that open a GPU, the preferred first."""


def open_gpu(library: EngineLibrary, openers: Mapping[str, Callable[[EngineLibrary], Device]] = OPENERS) -> Device:
    """Opens the first GPU in the calling thread, which alone may use it.

    Raises:
        ConflictError: CUDA_LIBRARY_MISSING, GPU_MISSING when there is no GPU or no driver for it, or
            ENGINE_LIBRARY_UNFIT when TensorRT can't use the driver that is there.
    """
    missing = []
    for name, opener in openers.items():
        try:
            return opener(library)
        except ImportError as error:
            missing.append(f"{name}: {error}")
        except UnfitLibraryError as error:
            raise ConflictError(
                "ENGINE_LIBRARY_UNFIT",
                f"{name} opens the GPU, but {library.name} {library.version} cannot use it ({error.message}): it may "
                "be made for a newer CUDA than the driver's, which `nvidia-smi` shows; install `facestream[tensorrt]` "
                "for 13 or `facestream[tensorrt-cu12]` for 12, or choose a runtime on the CPU with --runtime auto",
            ) from error
        except DeviceError as error:
            raise ConflictError(
                "GPU_MISSING",
                f"{name} finds no GPU that works here ({error.message}); look at `nvidia-smi`, install NVIDIA's "
                "driver, or choose a runtime on the CPU with --runtime auto",
            ) from error
    raise ConflictError(
        "CUDA_LIBRARY_MISSING",
        f"nothing here reaches a GPU ({'; '.join(missing)}); install pycuda with `pip install 'facestream[tensorrt]'`, "
        "or cuda-python, as docs/gpu.md says, or choose a runtime on the CPU with --runtime auto",
    )
