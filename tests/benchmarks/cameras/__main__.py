"""Many cameras on one machine: `python -m tests.benchmarks.cameras`.

Server and cameras share the same cores. Sections can be chosen with --only; --quick measures a tenth as long, which
says whether everything runs but not how well.
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Callable
from dataclasses import replace

from tests.benchmarks.cameras import (
    batching,
    identification,
    live,
    many_cameras,
    memory,
    overload,
    pace,
    plots,
    throughput,
)
from tests.benchmarks.cameras.others import cores_of_others, cores_stolen, moment
from tests.benchmarks.cameras.section import FULL, QUICK, Measured, Size
from tests.benchmarks.report import OUT, Bar, Figure, finish

SECTIONS: dict[str, Callable[[Size], Measured]] = {
    "throughput": throughput.measure,
    "overload": overload.measure,
    "batching": batching.measure,
    "identification": identification.measure,
    "many-cameras": many_cameras.measure,
    "pace": pace.measure,
    "live": live.measure,
    "memory": memory.measure,
}


def main() -> None:
    """Parses, measures, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure a tenth as long")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    before = moment()
    measured = {name: _measure(name, QUICK if given.quick else FULL) for name in chosen}
    series = {name: section.series for name, section in measured.items() if section.series}
    OUT.mkdir(exist_ok=True)
    (OUT / "cameras-series.json").write_text(json.dumps(series, indent=1) + "\n")
    for path in plots.draw(series, OUT):
        print(f"wrote {path}")
    for note in (note for section in measured.values() for note in section.notes):
        print(f"note: {note}")
    others = Figure("cores that other programs kept busy meanwhile", cores_of_others(before, moment()), "cores")
    finish("cameras", [others, *(figure for section in measured.values() for figure in section.figures)])


def _measure(name: str, size: Size) -> Measured:
    """A section's figures; one that fails is a missed bar, and the others go on."""
    before = moment()
    print(f"{name} ...", flush=True)
    try:
        measured = SECTIONS[name](size)
        stolen = Figure(f"{name}: cores that the machine's host took away", cores_stolen(before, moment()), "cores")
        return replace(measured, figures=[stolen, *measured.figures])
    except Exception:  # noqa: BLE001 - half an hour of other sections must not be lost with it
        traceback.print_exc()
        return Measured([Figure(f"{name}: ran to its end", 0, "", Bar.AT_LEAST, 1)])
    finally:
        print(f"{name}: {moment().at_s - before.at_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
