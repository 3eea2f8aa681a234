"""A server that dies at any moment keeps what it acknowledged."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest
from facestream.v1 import gallery_pb2, recognition_pb2

from tests.e2e.raw import connected, enrolment, picture
from tests.painted import PAINTED_FLAGS, portrait, somebody
from tests.server_process import ServerProcess

ROUNDS = 20
WRITERS = 3


@dataclass
class Books:
    """What the server acknowledged, and what it was asked when it died."""

    present: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    enrolling: dict[str, gallery_pb2.EnrolIdentityRequest] = field(default_factory=dict)
    deleting: dict[str, gallery_pb2.DeleteIdentityRequest] = field(default_factory=dict)
    surprises: list[grpc.RpcError] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_somebody(self, rng):
        """A person who is there and whom nobody else is deleting."""
        with self.lock:
            free = sorted(set(self.present) - set(self.deleting))
            if len(free) < 5:
                return None
            name = free[rng.integers(len(free))]
            self.deleting[name] = gallery_pb2.DeleteIdentityRequest(name=name, request_id=str(uuid.uuid4()))
            return self.deleting[name]


def write_until_the_end(address, books, seed):
    """Enrols and deletes people, three to one, until the server is gone."""
    rng = np.random.default_rng(seed)
    with connected(address) as stubs:
        try:
            while True:
                deletion = books.take_somebody(rng) if rng.random() < 0.25 else None
                if deletion is None:
                    enrol(stubs, books, int(rng.integers(2**31)))
                else:
                    delete(stubs, books, deletion)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                books.surprises.append(error)


def enrol(stubs, books, seed):
    request = enrolment(str(seed), portrait(somebody(seed)), request_id=str(uuid.uuid4()), allow_lookalikes=True)
    with books.lock:
        books.enrolling[request.request_id] = request
    answer = stubs.gallery.EnrolIdentity(request)
    with books.lock:
        del books.enrolling[request.request_id]
        books.present[answer.identity.name] = seed


def delete(stubs, books, request):
    stubs.gallery.DeleteIdentity(request)
    with books.lock:
        del books.deleting[request.name], books.present[request.name]
        books.gone.add(request.name)


def everybody(stubs):
    token, names = "", {}
    while True:
        page = stubs.gallery.ListIdentities(gallery_pb2.ListIdentitiesRequest(page_size=1000, page_token=token))
        names |= {identity.name: int(identity.display_name) for identity in page.identities}
        token = page.next_page_token
        if not token:
            return names


def check(stubs, books):
    """Holds the restarted server to the books, and finishes what was under way."""
    found = everybody(stubs)
    surely = {name: seed for name, seed in books.present.items() if name not in books.deleting}
    assert surely.items() <= found.items()
    assert not books.gone & set(found)
    perhaps = {int(request.display_name) for request in books.enrolling.values()}
    assert {seed for name, seed in found.items() if name not in books.present} <= perhaps
    for request in list(books.deleting.values()):
        delete(stubs, books, request)
    for request in list(books.enrolling.values()):
        answer = stubs.gallery.EnrolIdentity(request)  # the same request: done once, whether it was done before or not
        books.present[answer.identity.name] = int(request.display_name)
    books.enrolling.clear()
    assert everybody(stubs) == books.present
    if books.present:
        assert_is_recognised(stubs, *next(reversed(books.present.items())))


def assert_is_recognised(stubs, name, seed):
    request = recognition_pb2.RecognizeRequest(image=picture(portrait(somebody(seed), contrast=50)))
    (face,) = stubs.recognition.Recognize(request).result.faces
    assert face.match.identity == name


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_everything_acknowledged_survives_twenty_kills_and_nothing_deleted_comes_back(tmp_path, painted_models):
    books, rng = Books(), np.random.default_rng(17)
    for round_number in range(ROUNDS + 1):
        with ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models) as server:
            with connected(server.address) as stubs:
                check(stubs, books)
            writers = [
                threading.Thread(target=write_until_the_end, args=(server.address, books, (round_number, writer)))
                for writer in range(WRITERS)
            ]
            for writer in writers:
                writer.start()
            time.sleep(rng.uniform(0.05, 0.5))
            server.kill()
            for writer in writers:
                writer.join()
    assert books.surprises == []
    assert len(books.present) > ROUNDS
    assert len(books.gone) > 0
