"""Who has to wait for a build, and what a build waits for."""

from __future__ import annotations

import threading

import pytest

from server.inference.engines.one_build import no_build, only_build
from server.inference.engines.progress import CalledOffError, Progress


def test_nothing_is_recorded_during_a_build_and_afterwards_it_is():
    with only_build(Progress()), no_build() as undisturbed:
        assert not undisturbed
    with no_build() as undisturbed:
        assert undisturbed


def test_no_build_begins_during_a_recording():
    begun = threading.Event()

    def build():
        with only_build(Progress()):
            begun.set()

    thread = threading.Thread(target=build)
    with no_build():
        thread.start()
        assert not begun.wait(0.3)
    thread.join(30)
    assert begun.is_set()


def test_whoever_waits_for_another_build_can_be_called_off():
    unwanted = threading.Event()
    with no_build():
        threading.Timer(0.2, unwanted.set).start()
        with pytest.raises(CalledOffError), only_build(Progress(unwanted=unwanted)):
            pass


def test_whoever_was_called_off_while_waiting_does_not_begin():
    unwanted = threading.Event()
    unwanted.set()
    with pytest.raises(CalledOffError), only_build(Progress(unwanted=unwanted)):
        pytest.fail("it began")
    with no_build() as undisturbed:
        assert undisturbed, "and nothing is held"
