"""Building an engine: the seam, and TensorRT behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from server.errors import ModelError
from server.inference.engines.library import PORTABLE, EngineLibrary
from server.inference.engines.messages import Said, listening, logger_of
from server.inference.engines.one_build import only_build
from server.inference.engines.profiles import ShapeProfile
from server.inference.engines.progress import Progress


class EngineBuilder(Protocol):
    """Compiles networks for a GPU.

    Attributes:
        name: of the library, such as "tensorrt".
        version: of the library.
    """

    @property
    def name(self) -> str:
        """Of the library."""
        ...

    @property
    def version(self) -> str:
        """Of the library."""
        ...

    def target_for(self, architecture: str | None) -> str:
        """What an engine for a GPU of this architecture is built for.

        Raises:
            ConflictError: there is no building for it here.
        """
        ...

    def build(self, network: bytes, profiles: Sequence[ShapeProfile], target: str, progress: Progress) -> bytes:
        """The plan: what the library's runtime loads.

        Args:
            network: an ONNX file that says in which precision each layer computes.
            profiles: the shapes of its one input.
            target: an answer of `target_for`.
            progress: told of the phases.

        Raises:
            ModelError: ENGINE_NOT_BUILT.
            CalledOffError: it isn't wanted any more.
        """
        ...


class TensorRtBuilder:
    """Builds with TensorRT or TensorRT-RTX."""

    def __init__(self, library: EngineLibrary) -> None:
        self.name = library.name
        self.version = library.version
        self._library = library

    def target_for(self, architecture: str | None) -> str:
        """As `EngineBuilder.target_for`."""
        return self._library.target_for(architecture)

    def build(self, network: bytes, profiles: Sequence[ShapeProfile], target: str, progress: Progress) -> bytes:
        """As `EngineBuilder.build`."""
        with only_build(progress), listening() as said:
            return self._build(network, profiles, (target, progress), said)

    def _build(self, network: bytes, profiles: Sequence[ShapeProfile], how: tuple[str, Progress], said: Said) -> bytes:
        api, (target, progress) = self._library.api, how
        builder = _created(api, said, self.name)
        definition = builder.create_network(_flags(api))
        parser = api.OnnxParser(definition, builder.logger)
        if not parser.parse(network):
            problems = [str(parser.get_error(index)) for index in range(parser.num_errors)]
            raise _not_built(self.name, "it does not read the network", Said(problems))
        monitor = _monitor(api, progress)
        config = self._config(builder, target, monitor)
        tensor = definition.get_input(0).name
        for one in profiles:
            profile = builder.create_optimization_profile()
            try:
                profile.set_shape(tensor, one.smallest, one.typical, one.largest)
            except (RuntimeError, ValueError) as error:
                raise _not_built(self.name, f"it refuses the shapes {one} ({error})", said) from error
            if config.add_optimization_profile(profile) < 0:
                raise _not_built(self.name, f"it refuses the shapes {one}", said)
        plan = builder.build_serialized_network(definition, config)
        monitor.raise_what_ended_it()
        if plan is None:
            raise _not_built(self.name, f"the build for {target} failed", said)
        return bytes(plan)

    def _config(self, builder: Any, target: str, monitor: Any) -> Any:  # noqa: ANN401 - TensorRT has no types
        api = self._library.api
        config = builder.create_builder_config()
        config.progress_monitor = monitor
        config.clear_flag(api.BuilderFlag.TF32)  # its 10 bits would make float32 no better than float16
        if self._library.cross_builds and target != PORTABLE:
            config.num_compute_capabilities = 1
            config.set_compute_capability(api.ComputeCapability.__members__[target.upper()], 0)
        return config


def _created(api: Any, said: Said, name: str) -> Any:  # noqa: ANN401
    try:
        return api.Builder(logger_of(api))
    except Exception as error:  # pybind raises TypeError when CUDA is missing
        raise _not_built(name, f"no builder: {error}", said) from error


def _flags(api: Any) -> int:  # noqa: ANN401
    """Strongly typed where that has to be asked for; later versions know nothing else."""
    flag = getattr(api.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _monitor(api: Any, progress: Progress) -> Any:  # noqa: ANN401
    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        """Tells of each outermost phase and its steps; ends the build where it is called off.

        Nothing may be raised into the library, so what ends the build is kept for whoever asked for it.
        """

        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._ended_by: BaseException | None = None

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            """A phase begins."""
            if parent is None:
                self._steps[phase] = steps
                self._tell(phase)

        def step_complete(self, phase: str, step: int) -> bool:
            """A step is done; does the build go on?"""
            steps = self._steps.get(phase)
            self._tell(f"{phase}: {step + 1} of {steps}" if steps else None)
            return self._ended_by is None

        def phase_finish(self, phase: str) -> None:
            """A phase is over."""
            self._steps.pop(phase, None)

        def raise_what_ended_it(self) -> None:
            """After the build."""
            if self._ended_by is not None:
                raise self._ended_by

        def _tell(self, step: str | None) -> None:
            try:
                progress.go_on() if step is None else progress(step)
            except BaseException as error:  # noqa: BLE001 - an interrupt among them
                self._ended_by = error

    return Monitor()


def _not_built(name: str, what: str, said: Said) -> ModelError:
    reasons = f": {said.text[:600]}" if said.text else ""
    return ModelError(
        "ENGINE_NOT_BUILT",
        f"{name} builds no engine, {what}{reasons}; check the model with `facestream-models verify`, or run it on the "
        "CPU with --runtime auto",
    )
