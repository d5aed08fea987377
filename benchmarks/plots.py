# Copyright 2026 The tensorflow_tvm Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ==============================================================================
"""Pictures of the benchmarks' figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402


def _logarithmic(axis: Any) -> None:
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _spread(figures: Sequence[dict]) -> list[np.ndarray]:
    median, low, high = (np.array([f[key] for f in figures]) for key in ("median", "p25", "p75"))
    return [median - low, high - median]


def workloads(rows: Sequence[dict]) -> Any:
    """Draw how many times as long as ours TensorFlow takes, and the better of it and XLA."""
    groups = sorted({row["threads"] for row in rows})
    titles = list(dict.fromkeys(row["title"] for row in rows))
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.45 * len(titles)), layout="constrained")
    height = 0.8 / len(groups)
    for i, threads in enumerate(groups):
        mine = [row for row in rows if row["threads"] == threads]
        places = [titles.index(row["title"]) + i * height for row in mine]
        figures = [row["TensorFlow / ours"] for row in mine]
        medians = [f["median"] for f in figures]
        label = f"TensorFlow, {threads} core{'s' if threads > 1 else ''}"
        errors = {"xerr": _spread(figures), "error_kw": {"linewidth": 0.8}}
        axes.barh(places, medians, height, label=label, **errors)
        best = [row["best / ours"]["median"] for row in mine]
        label = None if i else "the better of TensorFlow and XLA"
        axes.plot(best, places, "|", color="black", markersize=24 * height, label=label)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(np.arange(len(titles)) + height * (len(groups) - 1) / 2, titles)
    axes.invert_yaxis()
    _logarithmic(axes.xaxis)
    axes.set_xlabel("time / ours (right of 1: ours is faster)")
    axes.legend()
    return figure


def overhead(rows: Sequence[dict]) -> Any:
    """Draw what calls cost beside TensorFlow's own ops."""
    rows = [row for row in rows if "ratio" in row]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    sizes = [sum(row["group"] == group for row in rows) for group in groups]
    figure, panels = pyplot.subplots(
        len(groups),
        figsize=(9, 1.2 * len(groups) + 0.35 * len(rows)),
        layout="constrained",
        height_ratios=sizes,
        squeeze=False,
    )
    for axes, group in zip(panels[:, 0], groups, strict=True):
        mine = [row for row in rows if row["group"] == group]
        names = [row["case"] for row in mine]
        ratios = [row["ratio"] for row in mine]
        axes.barh(names, [f["median"] for f in ratios], 0.6, xerr=_spread(ratios))
        axes.axvline(1.0, color="black", linewidth=1)
        axes.invert_yaxis()
        _logarithmic(axes.xaxis)
        axes.set_title(group)
        axes.set_xlabel(f"time / that of {mine[0]['rival']}")
    return figure


def scaling(rows: Sequence[dict]) -> Any:
    """Draw time against the number of elements."""
    rows = [row for row in rows if "function" in row]
    functions = list(dict.fromkeys(row["function"] for row in rows))
    figure, panels = pyplot.subplots(
        1, len(functions), figsize=(4 * len(functions), 3.6), layout="constrained", squeeze=False
    )
    for axes, function in zip(panels[0], functions, strict=True):
        mine = [row for row in rows if row["function"] == function]
        for case in dict.fromkeys(row["case"] for row in mine):
            line = [row for row in mine if row["case"] == case]
            sizes = [row["elements"] for row in line]
            times = [row["microseconds"] for row in line]
            axes.plot(sizes, [t["median"] for t in times], ".-", label=case)
            axes.fill_between(sizes, *([t[k] for t in times] for k in ("p25", "p75")), alpha=0.3)
        axes.set_xscale("log", base=2)
        _logarithmic(axes.yaxis)
        axes.set_title(function)
        axes.set_xlabel("elements")
    panels[0][0].set_ylabel("µs")
    panels[0][0].legend()
    return figure


def concurrency(rows: Sequence[dict]) -> Any:
    """Draw calls a second against the number of callers."""
    groups = list(dict.fromkeys(row["group"] for row in rows))
    figure, panels = pyplot.subplots(
        1, len(groups), figsize=(3.4 * len(groups), 3.6), layout="constrained", squeeze=False
    )
    for axes, group in zip(panels[0], groups, strict=True):
        mine = [row for row in rows if row["group"] == group]
        for case in dict.fromkeys(row["case"] for row in mine):
            line = [row for row in mine if row["case"] == case]
            callers = [row["callers"] for row in line]
            calls = [row["calls_per_second"] for row in line]
            axes.plot(callers, [c["median"] for c in calls], ".-", label=case)
            axes.fill_between(callers, *([c[k] for c in calls] for k in ("p25", "p75")), alpha=0.3)
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_title(group)
        axes.set_xlabel("callers")
    panels[0][0].set_ylabel("calls a second")
    panels[0][0].legend()
    return figure


DRAWN: dict[str, Callable[[Sequence[dict]], Any]] = {
    "workloads": workloads,
    "concurrency": concurrency,
    "overhead": overhead,
    "scaling": scaling,
}


def draw(name: str, rows: Sequence[dict], path: Path) -> None:
    """Draw what benchmark `name` has measured, as PNG, if there is such a picture."""
    if name in DRAWN:
        figure = DRAWN[name](rows)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        pyplot.close(figure)
