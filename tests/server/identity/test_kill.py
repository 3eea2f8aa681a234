"""A server killed with signal 9 at any moment keeps what it acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import numpy as np

from server.identity.gallery import Galleries
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, SMALL

ROUNDS = 20
PROJECT = Path(__file__).parents[3]


@dataclass
class Said:
    """What the child acknowledged, over all rounds.

    Attributes:
        enrolled: name to embedding of a template.
        deleted: names.
        unsure_names: display names of enrolments that were begun and never acknowledged.
        unsure: names of deletions that were begun and never acknowledged.
    """

    enrolled: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unsure_names: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)

    def hear(self, line: str) -> None:
        match line.split():
            case ["enrolling", person]:
                self.unsure_names.add(person)
            case ["enrolled", person, name, vector]:
                self.unsure_names.discard(person)
                self.enrolled[name] = bytes.fromhex(vector)
            case ["deleting", _, name]:
                self.unsure.add(name)
            case ["deleted", _, name]:
                self.unsure.discard(name)
                self.deleted.add(name)


def run_and_kill(data: Path, number: int, lines: int, said: Said) -> None:
    """Lets a child say so many lines, kills it, and hears the rest of what it had said."""
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("kill_child.py")), str(data), str(number)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert child.stdout is not None
    for _ in range(lines):
        said.hear(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    for line in child.stdout:
        said.hear(line)
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL


def check(data: Path, said: Said) -> None:
    """Holds the directory to what was acknowledged."""
    with_integrity(data)
    galleries = Galleries.open(data, fingerprint=FINGERPRINT, dimension=DIMENSION, index=SMALL)
    there, token = {}, ""
    while True:
        page = galleries.list_page(GALLERY, page_size=1000, page_token=token)
        there |= {identity.name: identity for identity in page.identities}
        token = page.next_page_token
        if not token:
            break
    acknowledged = set(said.enrolled) - said.deleted
    assert acknowledged - said.unsure <= set(there)
    assert not said.deleted & set(there)
    unexplained = set(there) - acknowledged
    assert {there[name].display_name for name in unexplained} <= said.unsure_names
    assert all(identity.template_count == 2 for identity in there.values())
    sure = sorted(acknowledged - said.unsure)
    queries = np.frombuffer(b"".join(said.enrolled[name] for name in sure), np.float32).reshape(-1, DIMENSION)
    found = galleries.search(GALLERY, queries, limit=1)
    assert [row[0].identity for row in found.candidates] == sure
    assert (found.identity_count, found.template_count) == (len(there), 2 * len(there))
    galleries.close()


def with_integrity(data: Path) -> None:
    db = apsw.Connection(str(data / "gallery.sqlite3"))
    assert db.pragma("integrity_check") == "ok"
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()


def test_a_killed_server_loses_nothing_acknowledged_and_brings_nobody_back(tmp_path: Path) -> None:
    random = np.random.default_rng()
    said = Said()
    for number in range(ROUNDS):
        run_and_kill(tmp_path / "data", number, int(random.integers(2, 120)), said)
        check(tmp_path / "data", said)
    assert len(said.enrolled) > ROUNDS
    assert said.deleted
