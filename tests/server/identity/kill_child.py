"""Enrols and deletes without end and says what was acknowledged, until it is killed. Run by test_kill.py."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np

from server.domain import IdentityName
from server.identity.gallery import Galleries
from server.identity.records import NewTemplate
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, QUALITY, SMALL, unit


def say(*words: str) -> None:
    """One line on standard output, whole or not at all."""
    os.write(1, (" ".join(words) + "\n").encode())


def work(galleries: Galleries, worker: str, seed: int) -> None:
    """Enrols people of two templates each and deletes every third."""
    random = np.random.default_rng(seed)
    for turn in range(100_000):
        person = f"{worker}.{turn}"
        vectors = unit(2, int(random.integers(2**32)))
        say("enrolling", person)
        templates = [NewTemplate(vector, QUALITY, person) for vector in vectors]
        receipt = galleries.enrol(GALLERY, identity=None, display_name=person, templates=templates, at_ns=1)
        name = receipt.identity.name
        say("enrolled", person, name, vectors[0].tobytes().hex())
        if turn % 3 == 0:
            say("deleting", person, name)
            galleries.delete(IdentityName.parse(name), at_ns=1)
            say("deleted", person, name)


def main() -> None:
    """Works with three threads on one data directory."""
    galleries = Galleries.open(Path(sys.argv[1]), fingerprint=FINGERPRINT, dimension=DIMENSION, index=SMALL)
    for number in range(3):
        worker = f"{sys.argv[2]}.{number}"
        threading.Thread(target=work, args=(galleries, worker, hash(worker) % 2**32)).start()


if __name__ == "__main__":
    main()
