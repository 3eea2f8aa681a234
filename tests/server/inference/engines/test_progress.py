from __future__ import annotations

import threading

import pytest

from server.inference.engines.progress import CalledOffError, Progress


def test_steps_are_told_with_what_they_are_of_until_it_is_called_off():
    said, unwanted = [], threading.Event()
    progress = Progress(said.append, unwanted)
    progress("reading")
    progress.of("sface")("building")
    progress.go_on()
    assert said == ["reading", "sface: building"]
    unwanted.set()
    for ask in (progress.go_on, lambda: progress("more"), lambda: progress.of("sface")("more")):
        with pytest.raises(CalledOffError):
            ask()
    assert said == ["reading", "sface: building"]


def test_whoever_waits_is_told_so_once_and_can_be_called_off():
    said, unwanted = [], threading.Event()
    ask = Progress(said.append, unwanted).waiting("waiting for another build")
    ask()
    ask()
    assert said == ["waiting for another build"]
    unwanted.set()
    with pytest.raises(CalledOffError):
        ask()
