"""What the end-to-end tests share: one real server with real weights, and a face that it knows."""

from __future__ import annotations

import cv2
import pytest
from facestream.v1 import recognition_pb2

from tests.e2e.raw import connected, enrolment, names_in, picture
from tests.painted import write_painted_models
from tests.server_process import ServerProcess

MAX_IMAGE_BYTES, MAX_MESSAGE_BYTES = 2_000_000, 4_000_000
KNOWN = "Barack Obama"
GALLERY = "tenants/default/galleries/known"


@pytest.fixture(scope="session")
def painted_models(tmp_path_factory):
    """A models directory with the painted models."""
    return write_painted_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def real_server(tmp_path_factory):
    """A server with the default models, shared by every test that leaves it as it was."""
    limits = (
        *("--max-image-bytes", str(MAX_IMAGE_BYTES), "--max-message-bytes", str(MAX_MESSAGE_BYTES)),
        *("--max-streams", "6"),
    )
    with ServerProcess(tmp_path_factory.mktemp("data"), *limits) as running:
        yield running


@pytest.fixture(scope="session")
def stubs(real_server):
    with connected(real_server.address) as connection:
        yield connection


def small_jpeg(path, longest=480):
    """A photograph, shrunk, as JPEG."""
    image = cv2.imread(str(path))
    scale = longest / max(image.shape[:2])
    return cv2.imencode(".jpg", cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))[1].tobytes()


@pytest.fixture(scope="session")
def stills(real_data):
    return real_data / "clips" / "stills"


@pytest.fixture(scope="session")
def known_face(stubs, stills):
    """A JPEG of the one person in GALLERY."""
    photo = small_jpeg(stills / "barack_obama_1.jpg")
    stubs.gallery.EnrolIdentity(enrolment(KNOWN, photo, gallery=GALLERY))
    return photo


@pytest.fixture
def unharmed(real_server, stubs, known_face):
    """Whatever the test does, the server knows the face afterwards and has met nothing that it did not expect."""
    before = len(real_server.log)
    yield
    request = recognition_pb2.RecognizeRequest(image=picture(known_face), gallery=GALLERY)
    answer = stubs.recognition.Recognize(request)
    assert names_in(answer.result) == {KNOWN}
    assert [entry for entry in real_server.log[before:] if entry["level"] == "ERROR"] == []
