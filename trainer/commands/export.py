"""`facestream-train export`: a checkpoint to a model folder."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from server.defaults import MAX_BATCH
from server.inference.engines.manager import Engine
from server.inference.precision import Precision
from trainer.commands.evaluate import FARS
from trainer.commands.remarks import tell_how_prepared
from trainer.data.crops import read_crop
from trainer.data.template import template_for
from trainer.evaluate.embed import embed_files, of_network
from trainer.evaluate.pairs import read_pairs
from trainer.evaluate.report import judge_pairs, require_points
from trainer.evaluate.subject import open_checkpoint
from trainer.export.folder import Card, export_folder, vacant
from trainer.export.onnx import WeightType
from trainer.recipe import fingerprint

PARITY_CROPS = 32
CALIBRATION_CROPS = 500
"""What int8's ranges are measured on at most."""


class EnginePrecision(Enum):
    """What an engine computes in; the values are those of `Precision`."""

    F32 = "f32"
    F16 = "f16"
    INT8 = "int8"


def export(  # noqa: PLR0913 one parameter an option
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint, such as runs/first/best.ckpt.")],
    models: Annotated[Path, typer.Argument(help="The models directory of the server.")],
    crops: Annotated[Path, typer.Option(help="Prepared crops that the thresholds are fitted on.")],
    pairs: Annotated[Path, typer.Option(help="The list of pairs of them.")],
    model: Annotated[str, typer.Option(metavar="NAME/VERSION", help="What the model is to be called.")],
    licence: Annotated[str, typer.Option(help="Under which it may be used; its training data may limit that.")],
    attribution: Annotated[str, typer.Option(help="Whose work it is.")],
    weights: Annotated[WeightType, typer.Option(help="The numbers in the ONNX file.")] = WeightType.FLOAT32,
    engine: Annotated[
        list[EnginePrecision] | None, typer.Option(help="Also build a GPU's engine in this precision; may be repeated.")
    ] = None,
    engines_dir: Annotated[Path, typer.Option(help="The engine cache of the server.")] = Path("engines"),
    gpu: Annotated[
        str, typer.Option(metavar="SM", help="What the engines are for, such as sm86; this machine's GPU when empty.")
    ] = "",
    max_batch: Annotated[
        int,
        typer.Option(
            min=1, max=256, envvar="FACESTREAM_MAX_BATCH", help="Crops in one batch of an engine, as the server's."
        ),
    ] = MAX_BATCH,
) -> None:
    """Writes NAME/VERSION with model.onnx and a manifest with thresholds, once the export is proven to answer alike.

    Example: facestream-train export runs/first/best.ckpt models --crops lfw-crops --pairs lfw/pairs.txt
    --model my-nn4/1 --licence proprietary --attribution "Example Ltd"
    """
    name, _, version = model.partition("/")
    if not name or not version:
        raise typer.BadParameter(f"{model!r} is not NAME/VERSION", param_hint="--model")
    recipe, architecture, network = open_checkpoint(checkpoint)
    card = Card(  # before the work, for what it refuses
        *(name, version, licence, attribution),
        source=f"facestream-train, {recipe.network.name}, recipe {fingerprint(recipe)[:12]}",
    )
    vacant(models, card)
    listed = read_pairs(pairs, crops)
    orders = [
        _Order(Precision(one.value), engines_dir, gpu, max_batch, crops=len(listed.images)) for one in engine or ()
    ]
    height, width = architecture.height, architecture.width
    tell_how_prepared(listed.images, template_for(height, width))
    embeddings = embed_files(listed.images, of_network(network, architecture.pixels), height=height, width=width)
    judged = judge_pairs(embeddings, listed, FARS)
    require_points(judged)
    card = replace(card, points=judged.points, fitted_on=f"{len(listed)} pairs of {pairs.name}")
    most = CALIBRATION_CROPS if EnginePrecision.INT8 in (engine or ()) else PARITY_CROPS
    images = np.stack([read_crop(path, height=height, width=width) for path in listed.images[:most]])
    few = images[:PARITY_CROPS]
    target, cosine = export_folder(network, architecture, models=models, card=card, crops=few, weights=weights)
    typer.echo(f"{target}: smallest cosine to the trained network {cosine:.6f} on {len(few)} crops")
    for order in orders:
        typer.echo(order(target, images if order.precision is Precision.INT8 else few))


class _Order:
    """An engine that will be built once the model folder is there."""

    def __init__(self, precision: Precision, engines_dir: Path, gpu: str, max_batch: int, *, crops: int) -> None:
        """Finds out whether it can be built here, before there is any work to lose.

        Raises:
            ModelError: ENGINE_LIBRARY_MISSING.
            ConflictError: there is no building for that GPU here.
            InvalidInputError: CALIBRATION_TOO_SMALL.
        """
        from server.inference.engines.builder import TensorRtBuilder
        from server.inference.engines.library import find_library
        from server.inference.engines.profiles import workload_for
        from server.inference.engines.quantise import require_calibration
        from server.inference.engines.store import EngineStore
        from server.inference.gpu.runtime import own_architecture

        here = own_architecture()
        self.precision = precision
        if precision is Precision.INT8:
            require_calibration(crops)
        self._builder, self._store = TensorRtBuilder(find_library()), EngineStore(engines_dir)
        self._architecture = gpu or here
        self._runs_here = here is not None and self._architecture == here
        self._builder.target_for(self._architecture)
        self._workload = workload_for(max_batch=max_batch)

    def __call__(self, folder: Path, crops: NDArray[np.uint8]) -> str:
        """Builds it, and says what came of it."""
        from server.inference.engines.interrupt import interruptible
        from server.inference.engines.progress import Progress
        from trainer.export.engine import EngineOrder, export_engine

        order = EngineOrder(self.precision, self._architecture, self._workload)
        with interruptible() as unwanted:
            progress = Progress(unwanted=unwanted)
            engine, cosine = export_engine(folder, order, self._builder, self._store, crops=crops, progress=progress)
        told = "built" if engine.built else "was in the cache, and not compared again"
        if cosine is not None:
            told += f"; its network on the CPU has a smallest cosine of {cosine:.6f} to the model on {len(crops)} crops"
        if self._runs_here:
            told += f"; on this machine's GPU it has a smallest cosine of {self._cosine(folder, engine, crops):.6f}"
        return f"{self._store.path(engine.key)}: {engine.name}, {told}"

    @staticmethod
    def _cosine(folder: Path, engine: Engine, crops: NDArray[np.uint8]) -> float:
        from server.inference.engines.library import find_library
        from server.inference.gpu.open import open_gpu
        from server.inference.gpu.worker import GpuWorker
        from trainer.export.engine import engine_cosine

        library = find_library()
        worker = GpuWorker(lambda: open_gpu(library))
        try:
            return engine_cosine(folder, engine, worker, crops=crops[:PARITY_CROPS])
        finally:
            worker.close()
