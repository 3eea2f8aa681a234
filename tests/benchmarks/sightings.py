"""Holds the past to a plain dictionary: `python -m tests.benchmarks.sightings`.

Random operations (people pass cameras; groups are named, merged, split, ignored, deleted; matches are denied; all is
undone) run in a child process, which is restarted and killed with signal 9 on the way, in the middle of operations.
An operation that a kill cut off is sent again with the same request id. What the store says of every sighting that was
ever written is compared with a model that knows nothing of stores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.benchmarks.report import Bar, Figure, finish
from tests.strangers.driver import Driver
from tests.strangers.system import Child

KILLED_SHARE = 0.03
LATEST_KILL_S = 0.008
COMPARED_EVERY = 100


class Reaper:
    """Calls a child; now and then kills it on the way, at any moment of the call.

    Args:
        child: that is called.
        random: what decides.
        share: of the calls that a kill may meet.
    """

    def __init__(self, child: Child, random: Random, *, share: float = KILLED_SHARE) -> None:
        self._child = child
        self._random = random
        self._share = share

    def call(self, method: str, *arguments: object, **options: object) -> Any:
        """Calls a method; what was cut off is done after all."""
        if self._random.random() >= self._share:
            return self._child.call(method, *arguments, **options)
        after_s = self._random.uniform(0, LATEST_KILL_S)
        return self._child.call(method, *arguments, kill_after_s=after_s, **options)


def main() -> None:
    """Runs the operations and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    random, began = Random(chosen.seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sightings-") as folder:
        child = Child(Path(folder) / "data")
        driver = Driver(child, random, Reaper(child, random).call)
        compared = differences = 0
        for number in range(1, chosen.operations + 1):
            driver.step()
            if number % COMPARED_EVERY == 0 or number == chosen.operations:
                compared += 1
                differences += differs(driver)
            if number % 1_000 == 0:
                print(f"{number} operations, {len(driver.model.seen)} sightings, {child.kills} kills", flush=True)
        child.kill()
    for name, count in sorted(driver.counts.items()):
        print(f"  {count:6d}  {name}")
    finish(
        "sightings",
        [
            Figure("operations", chosen.operations, ""),
            Figure("kills in the middle of one", child.kills, ""),
            Figure("restarts", driver.counts["restart"], ""),
            Figure("sightings at the end", len(driver.model.seen), ""),
            Figure("comparisons of everything", compared, ""),
            Figure("comparisons that differed", differences, "", Bar.AT_MOST, 0),
            Figure("time", time.monotonic() - began, "s"),
        ],
    )


def differs(driver: Driver) -> bool:
    """Whether store and model differ; says how."""
    try:
        driver.compare()
    except AssertionError as error:
        print(f"DIFFERENT: {str(error)[:2000]}")
        return True
    return False


if __name__ == "__main__":
    main()
