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
"""What the benchmarks share: timing cases by turns, and writing down where that was."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import sys
import timeit
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import tensorflow_tvm as tftvm

SETTINGS = [  # of the environment, that change how fast things are
    "OMP_NUM_THREADS",
    "TENSORFLOW_TVM_THREADPOOL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TVM_NUM_THREADS",
]


def option_parser(
    description: str | None, repetitions: int, seconds: float
) -> argparse.ArgumentParser:
    """Return a parser of the options that all benchmarks have, with their defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "(default: %(default)s)"
    parser.add_argument("--output", help="where to write the figures, as JSON")
    parser.add_argument("--repetitions", type=int, default=repetitions, help=default)
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"for one case, once {default}"
    )
    parser.add_argument("--quick", action="store_true", help="only see whether it runs")
    return parser


@dataclasses.dataclass
class Case:
    """Something to time."""

    name: str
    group: str
    call: Callable[[], object]
    ops: int = 1
    rival: str = ""  # the name of the case to compare with
    bar: float | None = None  # what the ratio should not exceed
    count: int = 1
    timed: bool = False  # whether `call` returns the seconds that count
    times: list[float] = dataclasses.field(default_factory=list)


def run(cases: list[Case], repetitions: int, seconds: float) -> None:
    """Time every case `repetitions` times, for about `seconds` each."""
    for case in cases:
        timer = timeit.Timer(case.call)
        timer.timeit(10)  # traces and warms up
        case.count = max(1, int(seconds / (timer.timeit(20) / 20)))
    for repetition in range(repetitions):
        first = repetition % len(cases)
        for case in cases[first:] + cases[:first]:
            case.times.append(timeit.timeit(case.call, number=case.count) / case.count / case.ops)
        end = "\r" if sys.stderr.isatty() and repetition + 1 < repetitions else "\n"
        print(f"repetition {repetition + 1} of {repetitions}", end=end, file=sys.stderr, flush=True)


def take_turns(
    cases: list[Case], repetitions: int, seconds: float = 0.0, cap: float = math.inf
) -> None:
    """Time every case by turns, for about `seconds` each, or once where one call takes longer.

    Every case has been called before. One that has taken `cap` seconds is left out from then on.
    """
    for case in cases:
        case.count = max(1, int(seconds / timeit.timeit(case.call, number=1)))
    for repetition in range(repetitions):
        first = repetition % len(cases)
        for case in cases[first:] + cases[:first]:
            if sum(case.times) * case.count * case.ops < cap:
                if case.timed:
                    time = sum(case.call() for _ in range(case.count))
                else:
                    time = timeit.timeit(case.call, number=case.count)
                case.times.append(time / case.count / case.ops)


def progress(text: str, done: int, total: int) -> None:
    """Say on the standard error stream, in one line if it is a terminal, what has been done."""
    end = "\r" if sys.stderr.isatty() and done < total else "\n"
    print(f"{done} of {total}: {text}"[:78].ljust(78), end=end, file=sys.stderr, flush=True)


def summary(values: Sequence[float] | np.ndarray, scale: float = 1.0) -> dict[str, float]:
    """Return the median and the spread of some values."""
    low, median, high = np.percentile(values, [25, 50, 75])
    figures = {"min": np.min(values), "p25": low, "median": median, "p75": high}
    return {key: round(float(value * scale), 4) for key, value in figures.items()}


def ratio(
    times: Sequence[float] | np.ndarray, rival: Sequence[float] | np.ndarray
) -> dict[str, float]:
    """Return the median and the spread of the ratios of each repetition that has both."""
    both = min(len(times), len(rival))
    return summary(np.divide(times[:both], rival[:both]))


def results(cases: list[Case]) -> list[dict]:
    """Return a row for each case; times are in microseconds."""
    by_name = {(case.group, case.name): case for case in cases}
    rows = []
    for case in cases:
        row = {"group": case.group, "case": case.name, "microseconds": summary(case.times, 1e6)}
        if case.rival:
            rival = by_name[case.group, case.rival]
            row |= {"rival": case.rival, "bar": case.bar, "ratio": ratio(case.times, rival.times)}
        rows.append(row)
    return rows


def machine(arguments: argparse.Namespace, load: tuple[float, ...]) -> dict:
    """Return where and how the figures were measured."""
    packages = ["tensorflow", "tensorflow-cpu", "apache-tvm", "apache-tvm-ffi", "numpy"]
    versions = {"python": platform.python_version(), "tensorflow_tvm": tftvm.__version__}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": model[1] if model else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_before": [round(value, 2) for value in load],
        "load_after": [round(value, 2) for value in os.getloadavg()],
        "versions": versions,
        "flags": {k: v for k, v in vars(arguments).items() if k != "output"},
        "environment": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def write(
    path: str,
    rows: list[dict],
    arguments: argparse.Namespace,
    load: tuple[float, ...],
    **more: object,
) -> None:
    """Write figures as JSON, with where and how they were measured, and with `more`."""
    # `bazel run` starts programs in a folder of its own.
    output = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ""), path)
    document = {**machine(arguments, load), **more, "results": rows}
    output.write_text(json.dumps(document, indent=2) + "\n")
