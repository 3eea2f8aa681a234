"""Whatever is said of strangers in whatever order, every sighting shows whom a plain dictionary says it shows."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.benchmarks.sightings import Reaper
from tests.strangers.driver import Driver
from tests.strangers.system import Child, Here

STEPS = 300


@pytest.mark.parametrize("seed", range(4))
def test_the_past_follows_whatever_is_done(tmp_path: Path, seed: int) -> None:
    system = Here(tmp_path / "data")
    driver = Driver(system, Random(seed), system.call)
    for step in range(STEPS):
        driver.step()
        if step % 5 == 0:
            driver.compare()
    driver.compare()
    system.close()
    assert driver.model.seen
    assert driver.model.done


def test_the_past_follows_through_kills_in_the_middle_of_operations(tmp_path: Path) -> None:
    random = Random()
    child = Child(tmp_path / "data")
    driver = Driver(child, random, Reaper(child, random, share=0.3).call)
    for _ in range(120):
        driver.step()
    driver.compare()
    child.kill()
    assert child.kills
