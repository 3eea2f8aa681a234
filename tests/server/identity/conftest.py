"""An open gallery in a fresh directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.identity.gallery import Galleries
from server.identity.index_settings import IndexSettings
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, SMALL

Opener = Callable[..., Galleries]


@pytest.fixture
def open_galleries(tmp_path: Path) -> Iterator[Opener]:
    """Opens the galleries of the test's directory; closes those that the test left open."""
    opened: list[Galleries] = []

    def open_them(
        *, fingerprint: str = FINGERPRINT, dimension: int = DIMENSION, index: IndexSettings = SMALL, vfs: str = ""
    ) -> Galleries:
        galleries = Galleries.open(
            tmp_path / "data", fingerprint=fingerprint, dimension=dimension, index=index, vfs=vfs
        )
        opened.append(galleries)
        return galleries

    yield open_them
    for galleries in opened:
        galleries.close()


@pytest.fixture
def galleries(open_galleries: Opener) -> Galleries:
    """Open galleries with nobody in them."""
    return open_galleries()
