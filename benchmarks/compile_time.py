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
"""How long compiling takes: of random functions of up to 6 steps, and of some that once were slow.

Each is built by tftvm.export_library, without the cache, and by tvm.compile as TE makes it, without
a schedule: in processes of their own, one after the other, in an order that rotates. Times are CPU
seconds, those of the linker included, and the ratio is of both. What is refused is counted only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import s_tir, te, tirx, topi

import tensorflow_tvm as tftvm
from benchmarks import measure
from tensorflow_tvm.tests.fuzz import functions

OURS, RIVAL = "tensorflow_tvm", "tvm.compile"
LIMIT = 5.0  # CPU seconds
RATIO_LIMIT = 20.0  # of what takes tvm.compile 0.1 s or less
SHORT = 0.1
CUT = 60  # CPU seconds after which one is given up
WORST = 10


def elementwise(function: Callable[[Any], Any], rank: int, steps: int = 1) -> list[Any]:
    """Return tensors of a formula for each element, applied several times."""
    shape = tuple(te.var(f"n{axis}") for axis in range(rank))
    x = last = te.placeholder(shape, "float32", name="x")
    for step in range(steps):
        last = te.compute(
            shape,
            (lambda source: lambda *indices: function(source(*indices)))(last),
            name=f"step{step}",
        )
    return [x, last]


def argmin_of_padded_concatenation() -> list[Any]:
    """Return tensors of a reduction over choices in each other."""
    n = te.var("n")
    x = te.placeholder((n,), "float64", name="x")
    twice = te.compute((n * 2,), lambda i: te.if_then_else(i < n, x[i], x[i - n]), name="twice")
    padded = te.compute(
        (n * 2 + 3,),
        lambda i: te.if_then_else(
            te.all(i >= 1, i < n * 2 + 1), twice[i - 1], tirx.const(0, "float64")
        ),
        name="padded",
    )
    return [x, topi.argmin(padded, axis=0)]


def argmax_of_pooling() -> list[Any]:
    """Return tensors of a reduction over reductions."""
    x = te.placeholder((1, 3, te.var("h"), te.var("w")), "float32", name="x")
    pooled = topi.nn.pool2d(x, [2, 2], [2, 2], [1, 1], [1, 1, 1, 1], "max", layout="NCHW")
    return [x, topi.argmax(pooled, axis=3)]


def gelu(x: Any) -> Any:
    """Return GELU of a number."""
    half, one, root = (tirx.const(value, "float32") for value in (0.5, 1.0, 0.70710678))
    return x * half * (one + te.erf(x * root))


def leaky_relu(x: Any) -> Any:
    """Return leaky ReLU of a number."""
    zero, slope = (tirx.const(value, "float32") for value in (0.0, 0.1))
    return tirx.Select(x > zero, x, x * slope)


KNOWN: dict[str, Callable[[], Any]] = {
    "cos, rank 3": lambda: elementwise(te.cos, 3),
    "sin, rank 4": lambda: elementwise(te.sin, 4),
    "max(tanh, 0), rank 4": lambda: elementwise(
        lambda x: tirx.max(te.tanh(x), tirx.const(0.0, "float32")), 4
    ),
    "6 sines, rank 5": lambda: elementwise(te.sin, 5, 6),
    "6 GELUs, rank 3": lambda: elementwise(gelu, 3, 6),
    "6 leaky ReLUs, rank 5": lambda: elementwise(leaky_relu, 5, 6),
    "argmin of a padded concatenation": argmin_of_padded_concatenation,
    "argmax of pooling": argmax_of_pooling,
}


def build_ours(obj: Any, folder: Path) -> None:
    """Compile by tensorflow_tvm."""
    tftvm.export_library({"f": obj}, folder / "ours.so", target="host")


def build_plain(obj: Any, folder: Path) -> None:
    """Compile by TVM alone, what has no schedule without one."""
    module = obj.mod if isinstance(obj, s_tir.Schedule) else te.create_prim_func(obj)
    tvm.compile(module, "llvm").export_library(str(folder / "plain.so"))


BUILDERS = {OURS: build_ours, RIVAL: build_plain}


def limit_cpu_seconds(seconds: int) -> None:
    """Stop this process where it takes longer from now on."""
    limit = int(time.process_time()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def cpu_seconds() -> float:
    """Return what this process has used, and those that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def build(builder: str, make: Callable[[], Any], folder: Path) -> float | str:
    """Return how many CPU seconds a build takes, or why it failed."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:  # a process of its own: a build may take for ever, or all memory
        try:
            limit_cpu_seconds(CUT)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            obj = make()
            start = cpu_seconds()
            try:
                BUILDERS[builder](obj, folder)
                result: Any = cpu_seconds() - start
            except Exception as error:
                result = f"{type(error).__name__}: {error}"[:200]
            os.write(writer, json.dumps(result).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as file:
        text = file.read()
    _, status = os.waitpid(process, 0)
    if text:
        return json.loads(text)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return float(CUT)
    return f"the process ended with status {status}"


def row_of(label: str, group: str, times: dict[str, list[float | str]]) -> dict:
    """Return what is to be known of one function."""
    row: dict = {"group": group, "case": label}
    refused = [time for time in times[OURS] if isinstance(time, str)]
    if refused:
        return row | {"refused": refused[0]}
    row["cpu_seconds"] = measure.summary(times[OURS])
    plain = times[RIVAL]
    if not any(isinstance(time, str) for time in plain):
        row["tvm_cpu_seconds"] = measure.summary(plain)
        row |= {"rival": RIVAL, "ratio": measure.ratio(times[OURS], plain)}
    return row


def measure_all(arguments: argparse.Namespace) -> list[dict]:
    """Build all functions, and return a row for each."""
    cases: list[tuple[str, str, Callable[[], Any]]] = [
        (label, "known", make) for label, make in KNOWN.items()
    ]
    for seed in range(arguments.seed, arguments.seed + arguments.functions):
        function = functions.generate(seed)
        kinds = ", ".join(step.kind for step in function.steps)
        cases.append((f"{seed}: {kinds}", "random", function.build_te))
    if arguments.quick:
        cases = cases[len(KNOWN) - 2 :]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for done, (label, group, make) in enumerate(cases):
            times: dict[str, list[float | str]] = {builder: [] for builder in BUILDERS}
            for repetition in range(arguments.repetitions):
                for builder in list(BUILDERS)[:: 1 if repetition % 2 else -1]:
                    times[builder].append(build(builder, make, Path(folder)))
            rows.append(row_of(label, group, times))
            measure.progress(label, done + 1, len(cases))
    return rows


def misses(rows: list[dict]) -> list[str]:
    """Return what takes too long."""
    found = []
    for row in rows:
        seconds = row.get("cpu_seconds", {}).get("median", 0.0)
        if seconds > LIMIT:
            found.append(f"{row['case']}: {seconds:.1f} s")
        plain = row.get("tvm_cpu_seconds", {}).get("median", SHORT * 2)
        if plain <= SHORT and row["ratio"]["median"] > RATIO_LIMIT:
            found.append(f"{row['case']}: {row['ratio']['median']:.0f} times {RIVAL}")
    return found


def markdown(rows: list[dict]) -> str:
    """Return a table of how long functions take, and of those that take longest."""
    built = [row for row in rows if "cpu_seconds" in row]
    random = [row for row in built if row["group"] == "random"]
    refused = sum("refused" in row for row in rows)
    lines = [
        f"{len(random)} random functions; {refused} more are refused.",
        "",
        "| CPU seconds | median | 90 % | 99 % | most |",
        "|---|---:|---:|---:|---:|",
    ]
    figures = (
        (OURS, [row["cpu_seconds"]["median"] for row in random]),
        (RIVAL, [r["tvm_cpu_seconds"]["median"] for r in random if "tvm_cpu_seconds" in r]),
        (f"{OURS} / {RIVAL}", [row["ratio"]["median"] for row in random if "ratio" in row]),
    )
    for label, values in figures:
        if values:
            cells = (f"{value:.2f}" for value in np.percentile(values, [50, 90, 99, 100]))
            lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += ["", f"| | {OURS}, s | {RIVAL}, s | ratio |", "|---|---:|---:|---:|"]
    random.sort(key=lambda row: -row["cpu_seconds"]["median"])
    known = [row for row in built if row["group"] == "known"]
    for title, part in ((f"the worst {WORST}", random[:WORST]), ("once slow", known)):
        lines.append(f"| **{title}** | | | |")
        for row in part:
            plain = row.get("tvm_cpu_seconds", {}).get("median")
            cells = [f"{row['cpu_seconds']['median']:.2f}"]
            cells += [f"{plain:.2f}", f"{row['ratio']['median']:.1f}"] if plain else ["", ""]
            lines.append(f"| {row['case']} | {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; with --check the exit status is 1 if something takes too long."""
    parser = measure.option_parser(__doc__, repetitions=1, seconds=0.0)
    parser.add_argument("--functions", type=int, default=200, help="how many random ones")
    parser.add_argument("--seed", type=int, default=0, help="of the first of them")
    parser.add_argument("--check", action="store_true", help="fail if something takes too long")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.functions = 1, 3
    os.environ["TENSORFLOW_TVM_CACHE_DIR"] = ""
    load = os.getloadavg()
    rows = measure_all(arguments)
    print(markdown(rows))
    if arguments.output:
        measure.write(arguments.output, rows, arguments, load)
    missed = misses(rows)
    for miss in missed:
        print(f"too long: {miss}", file=sys.stderr)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
