"""A gallery in memory is brought to what the store holds, whatever happened in between."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.identity import reads
from server.identity.catch_up import Follower, OtherHistoryError, changes_behind
from server.identity.gallery import Galleries
from server.identity.records import EnrolReceipt
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, enrol, name_of, template, unit
from tests.server.identity.waiting import soon

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["enrol", "more", "rename", "delete"]), st.integers(0, 99)), min_size=1, max_size=12
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ACTIONS, behind=ACTIONS)
def test_any_history_brings_memory_to_what_loading_gives(tmp_path_factory, before, behind) -> None:
    """The oracle is loading: a state that is brought up equals one that is loaded, whatever lies between."""
    data = tmp_path_factory.mktemp("data")
    galleries = Galleries.open(data, fingerprint=FINGERPRINT, dimension=DIMENSION)
    try:
        people: list[EnrolReceipt] = []
        act(galleries, [("enrol", 0), *before], people)
        view = galleries._live.get(GALLERY).view
        act(galleries, behind, people)
        with galleries.store.reading() as db:
            (row,) = reads.galleries(db)
            loaded = galleries._loader.load(db, row).view
            brought = view
            if row.revision != view.revision:
                changes = changes_behind(db, row, view, fingerprint=FINGERPRINT, dimension=DIMENSION)
                brought = view.after(changes)
        assert (brought.revision, brought.stamp, brought.fingerprint) == (
            loaded.revision,
            loaded.stamp,
            loaded.fingerprint,
        )
        assert brought.roster.count == loaded.roster.count
        assert contents(brought) == contents(loaded)
        assert brought.coherences == loaded.coherences
    finally:
        galleries.close()


def act(galleries: Galleries, actions, people) -> None:
    for number, (action, choice) in enumerate(actions):
        if action == "enrol" or not people:
            people.append(enrol(galleries, f"P{choice}", unit(1 + choice % 2, seed=1000 * len(people) + choice)))
            continue
        chosen = name_of(people[choice % len(people)])
        if action == "more":
            more = [template(unit(1, seed=10_000 + number)[0], coherence=1 - choice % 3 / 4)]
            galleries.enrol(GALLERY, identity=chosen, display_name="", templates=more, at_ns=2)
        elif action == "rename":
            galleries.rename(chosen, f"R{number}", at_ns=3)
        else:
            galleries.delete(chosen, at_ns=4)
            people.remove(next(person for person in people if name_of(person) == chosen))


def contents(view):
    rows = view.index.rows
    alive = np.flatnonzero(rows.alive)
    return [(int(rows.keys[i]), view.roster[int(rows.owners[i])], rows.vectors[i].tobytes()) for i in alive]


def test_a_state_of_another_history_is_not_brought_up(galleries: Galleries) -> None:
    enrol(galleries, "Ada", unit(1, seed=11))
    view = galleries._live.get(GALLERY).view
    enrol(galleries, "Bob", unit(1, seed=12))
    with galleries.store.reading() as db:
        (row,) = reads.galleries(db)
        for wrong in (replace(view, stamp=view.stamp + 1), replace(view, revision=row.revision + 1)):
            with pytest.raises(OtherHistoryError):
                changes_behind(db, row, wrong, fingerprint=FINGERPRINT, dimension=DIMENSION)


def test_following_goes_on_after_it_failed(caplog: pytest.LogCaptureFixture) -> None:
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("the disk")

    follower = Follower(look, interval_s=0.001)
    follower.start()
    assert soon(lambda: len(looks) > 2)
    follower.stop()
    assert "following the store failed" in caplog.text
    count = len(looks)
    time.sleep(0.02)
    assert len(looks) == count
