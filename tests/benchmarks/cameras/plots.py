"""The figures that say more as a picture, beside the JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes

Series = Mapping[str, Mapping[str, Sequence[float]]]
"""Numbers by section and name."""


def draw(series: Series, folder: Path) -> list[Path]:
    """Writes a PNG for every section that has something to show."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    written = []
    for section, plot in _PLOTS.items():
        if section in series:
            figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
            plot(axes, series[section])
            path = folder / f"cameras-{section}.png"
            figure.savefig(path, dpi=90)
            plt.close(figure)
            written.append(path)
    return written


def _throughput(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    names = list(series)
    rates = [sum(series[name]) / len(series[name]) for name in names]
    axes.bar_label(axes.barh(names, rates), fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"frames/s, 1080p, {os.cpu_count()} cores")
    axes.margins(x=0.12)


def _ages(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    (ages,) = (values for name, values in series.items() if name.endswith("ages"))
    axes.plot(ages, range(len(ages)))
    axes.set(xlabel="from due to answered, ms", ylabel="% of the results", ylim=(0, 100), xlim=(0, None))
    axes.grid(alpha=0.3)


def _batching(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    for name in ("lanes", "one lane"):
        axes.plot(series["batch"], series[name], marker="o", label=name)
    _doubling(axes, series["batch"])
    axes.set(xlabel="faces in a batch", ylabel="faces/s", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)


def _memory(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    axes.plot(series["resident MB"])
    axes.set(xlabel="seconds", ylabel="resident MB", ylim=(0, None))
    axes.grid(alpha=0.3)


def _many_cameras(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    axes.plot(series["cameras"], series["CPU ms a frame"], marker="o")
    _doubling(axes, series["cameras"])
    axes.set(xlabel="cameras, 8 frames/s in all", ylabel="CPU ms a frame", ylim=(0, None))
    axes.grid(alpha=0.3)


def _doubling(axes: Axes, values: Sequence[float]) -> None:
    """Equal steps for equal ratios, with the values themselves written below."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(values), [f"{value:g}" for value in values])


_PLOTS = {
    "throughput": _throughput,
    "overload": _ages,
    "live": _ages,
    "batching": _batching,
    "memory": _memory,
    "many-cameras": _many_cameras,
}
