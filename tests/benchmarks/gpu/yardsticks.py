"""What else could run such networks on this GPU, where it is installed: PyTorch eager, ONNX Runtime's CUDA provider."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from server.inference.backend import Tensor

Run = Callable[[Tensor], object]


def onnxruntime_cuda(weights: bytes) -> Run | None:
    """The network in ONNX Runtime on the GPU; None where its CUDA provider isn't installed or doesn't start."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return None
    session = onnxruntime.InferenceSession(weights, providers=["CUDAExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        return None
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: np.ascontiguousarray(batch)})


def torch_eager(network: str) -> tuple[Run, bytes, tuple[int, int, int]] | None:
    """One of the trainer's networks in PyTorch on the GPU, float32 and eager, and the same network as ONNX.

    Returns:
        What runs it, its ONNX file, and the shape (3, H, W) of a picture; None where PyTorch is absent or has no CUDA.
    """
    try:
        import torch
    except ImportError:
        return None

    from trainer.export.onnx import WeightType, to_onnx
    from trainer.models.build import architecture, build

    if not torch.cuda.is_available():
        return None
    torch.manual_seed(0)
    model = build(network).eval()
    found = architecture(network)
    weights = to_onnx(model, found, WeightType.FLOAT32)
    on_gpu = model.cuda()

    def run(batch: Tensor) -> object:
        with torch.no_grad():
            return on_gpu(torch.from_numpy(batch).cuda()).cpu().numpy()

    return run, weights, (3, found.height, found.width)
