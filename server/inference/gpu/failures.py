"""What a caller is told when the device refuses."""

from __future__ import annotations

from server.errors import InferenceError
from server.inference.gpu.device import DeviceError, Trouble


def failure(error: DeviceError) -> InferenceError:
    """For a batch that the device did not compute: DEVICE_LOST, DEVICE_OUT_OF_MEMORY or BACKEND_FAILED."""
    match error.trouble:
        case Trouble.LOST:
            return lost(error.message)
        case Trouble.OUT_OF_MEMORY:
            return _out_of_memory(error)
        case Trouble.FAILED:
            return InferenceError("BACKEND_FAILED", f"the GPU failed: {error.message}")


def lost(message: str) -> InferenceError:
    """DEVICE_LOST, with what the device said."""
    return InferenceError(
        "DEVICE_LOST",
        f"the GPU is lost: {message}. Look at `nvidia-smi` and the system's log, then restart the server",
    )


def not_loaded(error: DeviceError) -> InferenceError:
    """ENGINE_NOT_LOADED: an engine that the device did not take."""
    return InferenceError("ENGINE_NOT_LOADED", f"the GPU did not take the engine: {error.message}")


def _out_of_memory(error: DeviceError) -> InferenceError:
    return InferenceError(
        "DEVICE_OUT_OF_MEMORY",
        f"the GPU has no memory for a single picture: {error.message}. Free memory on it, or lower --detect-side",
    )
