"""The models that the settings name, loaded and warm."""

from __future__ import annotations

import logging

from server.errors import ModelError
from server.inference.cores import share_out
from server.inference.engines.profiles import workload_for
from server.inference.gpu.runtime import Gpu
from server.inference.load import Runtime
from server.inference.standby import Fallback
from server.pipeline.gpu import GpuChoice
from server.pipeline.load import LoadedVision, ModelChoice, Ran, load_vision
from server.rpc.gpu_watch import GpuWatch
from server.settings import Settings

_log = logging.getLogger(__name__)


def gpu_choice(settings: Settings, watch: GpuWatch) -> GpuChoice:
    """How the GPU is used, should the runtime ask for one, and who is told of it."""
    workload = workload_for(detect_side=settings.detect_side, max_batch=settings.max_batch)
    return GpuChoice(
        open=lambda: Gpu.open(settings.engines_dir, workload),
        fallback=Fallback(settings.gpu_fallback),
        told=watch.told,
    )


def load_models(settings: Settings, cores: int, ran: Ran, gpu: GpuChoice | None = None) -> LoadedVision:
    """The models that the settings name, on so many cores.

    Raises:
        ModelError: a model is missing or damaged, or the embedder has no thresholds.
    """
    share = share_out(cores, threads=settings.threads, lanes=settings.lanes)
    choice = ModelChoice(
        models_dir=settings.models_dir,
        detector=settings.detector,
        landmarker=settings.landmarker,
        embedder=settings.embedder,
        runtime=Runtime(settings.runtime),
        threads=share.threads,
        lanes=share.lanes,
        max_batch=settings.max_batch,
        detect_side=settings.detect_side,
        max_delay_s=settings.max_queue_delay_ms / 1e3,
        gpu=gpu,
    )
    _log.info("loading models; the first start on a machine takes longer, because it measures what runs them fastest")
    loaded = load_vision(choice, say=lambda model: _log.info("loaded %s", model), ran=ran)
    if not loaded.operating_points:
        loaded.close()
        raise ModelError(
            "THRESHOLDS_MISSING",
            f"the manifest of {settings.embedder} has no operating points, so that nobody could be named: measure them "
            "with `make bench-accuracy` and write them in, as docs/models.md shows",
        )
    return loaded
