"""A damaged index costs a moment of exact search, and nobody who is enrolled."""

from __future__ import annotations

import shutil
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

PEOPLE = IndexSettings().exact_limit + 100
"""Enough for a graph, and so for a snapshot."""

PATIENCE_S = 90


@pytest.fixture(scope="module")
def filled(tmp_path_factory, painted_models):
    """A data directory with so many people, and a snapshot of their index."""
    data_dir = tmp_path_factory.mktemp("filled") / "data"
    loaded = load_vision(painted_choice(painted_models), say=print)
    quality = Quality(1.0, 128.0, 40.0, 0.0, 0.0, 0.0, 128.0, 1.0)
    people = [
        NewPerson(str(seed), (NewTemplate(np.asarray(somebody(seed), np.float32), quality),)) for seed in range(PEOPLE)
    ]
    galleries = Galleries.open(data_dir, fingerprint=loaded.vision.fingerprint, dimension=DIMENSION)
    galleries.enrol_many(GalleryName(), people, at_ns=time.time_ns())
    assert galleries.settle(PATIENCE_S)
    galleries.close()
    loaded.close()
    return data_dir


@pytest.fixture
def data_dir(filled, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(filled, tmp_path / "data")


def snapshot_in(data_dir):
    (path,) = (data_dir / "index").glob("*.graph")
    return path


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


def test_a_good_snapshot_is_used(data_dir, painted_models):
    with serving(data_dir, painted_models) as (server, stubs):
        assert warnings(server) == []
        assert statistics(stubs).index_base_count == PEOPLE
        assert_people_are_recognised(stubs)


DAMAGES = {
    "a flipped bit": lambda good: good[:1000] + bytes([good[1000] ^ 1]) + good[1001:],
    "cut off": lambda good: good[:-100],
    "empty": lambda good: b"",
    "another file": lambda good: b"SQLite format 3" + bytes(5000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_with_a_damaged_snapshot_everybody_is_recognised_at_once_and_the_log_says_what_is_wrong(
    data_dir, painted_models, damage
):
    snapshot = snapshot_in(data_dir)
    snapshot.write_bytes(DAMAGES[damage](snapshot.read_bytes()))
    with serving(data_dir, painted_models) as (server, stubs):
        assert warnings(server) == ["index snapshot not used"]
        assert statistics(stubs).identity_count == PEOPLE
        assert_people_are_recognised(stubs)


def test_a_damaged_snapshot_is_built_anew_while_the_server_runs(data_dir, painted_models):
    snapshot = snapshot_in(data_dir)
    good = snapshot.read_bytes()
    snapshot.write_bytes(good[: len(good) // 2])
    with serving(data_dir, painted_models) as (_, stubs):
        deadline = time.monotonic() + PATIENCE_S
        while statistics(stubs).index_base_count < PEOPLE or snapshot.stat().st_size == len(good) // 2:
            assert time.monotonic() < deadline, "nothing was built"
            time.sleep(0.2)
        assert_people_are_recognised(stubs)
    with serving(data_dir, painted_models) as (server, stubs):
        assert warnings(server) == []
        assert statistics(stubs).index_base_count == PEOPLE
