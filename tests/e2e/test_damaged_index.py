"""A damaged index costs a moment of exact search, and nobody who is enrolled."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
import pytest
from facestream.v1 import gallery_pb2, recognition_pb2

from server.domain import GalleryName, Quality
from server.identity.gallery import Galleries
from server.identity.index_settings import IndexSettings
from server.identity.records import NewPerson, NewTemplate
from server.pipeline.load import load_vision
from tests.e2e.raw import connected, picture
from tests.painted import DIMENSION, PAINTED_FLAGS, painted_choice, portrait, somebody
from tests.server_process import ServerProcess

PEOPLE = 300
FEW = IndexSettings(exact_limit=100)
"""By default people get a graph, and so a snapshot, from 50,001 on: building that takes half a minute."""


class Directory:
    """A data directory, and what it holds while no server does."""

    def __init__(self, path, fingerprint):
        self.path = path
        self._fingerprint = fingerprint

    @contextmanager
    def galleries(self):
        """Its galleries under the bounds of FEW; what is to be folded is folded at the end."""
        opened = Galleries.open(self.path, fingerprint=self._fingerprint, dimension=DIMENSION, index=FEW)
        try:
            yield opened
            assert opened.settle(60)
        finally:
            opened.close()

    @property
    def snapshot(self):
        (path,) = (self.path / "index").glob("*.graph")
        return path


@pytest.fixture(scope="module")
def fingerprint(painted_models):
    loaded = load_vision(painted_choice(painted_models), say=print)
    loaded.close()
    return loaded.vision.fingerprint


@pytest.fixture
def directory(tmp_path, fingerprint):
    """A data directory with so many people, and a snapshot of their index."""
    quality = Quality(1.0, 128.0, 40.0, 0.0, 0.0, 0.0, 128.0, 1.0)
    people = [
        NewPerson(str(seed), (NewTemplate(np.asarray(somebody(seed), np.float32), quality),)) for seed in range(PEOPLE)
    ]
    made = Directory(tmp_path / "data", fingerprint)
    with made.galleries() as galleries:
        galleries.enrol_many(GalleryName(), people, at_ns=time.time_ns())
    return made


@contextmanager
def serving(data_dir, models):
    """A server and stubs of it."""
    with (
        ServerProcess(data_dir, *PAINTED_FLAGS, models_dir=models) as server,
        connected(server.address) as stubs,
    ):
        yield server, stubs


def statistics(stubs):
    return stubs.gallery.GetGalleryStatistics(gallery_pb2.GetGalleryStatisticsRequest())


def warnings(server):
    return [entry["event"] for entry in server.log if entry["level"] == "WARNING"]


def assert_people_are_recognised(stubs):
    for seed in range(0, PEOPLE, PEOPLE // 5):
        photo = picture(portrait(somebody(seed), contrast=50))
        (face,) = stubs.recognition.Recognize(recognition_pb2.RecognizeRequest(image=photo)).result.faces
        assert face.match.display_name == str(seed)


def test_a_good_snapshot_is_taken_for_one(directory, painted_models):
    with serving(directory.path, painted_models) as (server, stubs):
        assert warnings(server) == []
        assert_people_are_recognised(stubs)


DAMAGES = {
    "a flipped bit": lambda good: good[:1000] + bytes([good[1000] ^ 1]) + good[1001:],
    "cut off": lambda good: good[:-100],
    "empty": lambda good: b"",
    "another file": lambda good: b"SQLite format 3" + bytes(5000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_a_damaged_snapshot_everybody_is_recognised_and_the_log_says_what_is_wrong(
    directory, painted_models, damage
):
    good = directory.snapshot.read_bytes()
    directory.snapshot.write_bytes(DAMAGES[damage](good))
    with serving(directory.path, painted_models) as (server, stubs):
        assert warnings(server) == ["index snapshot not used"]
        assert statistics(stubs).identity_count == PEOPLE
        assert_people_are_recognised(stubs)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_built_anew(directory, damage):
    good = directory.snapshot.read_bytes()
    directory.snapshot.write_bytes(DAMAGES[damage](good))
    with directory.galleries() as galleries:
        assert "index snapshot not used" in galleries.statistics(GalleryName()).index_problem
    with directory.galleries() as galleries:
        numbers = galleries.statistics(GalleryName())
        assert (numbers.index_problem, numbers.index_base_count) == ("", PEOPLE)
