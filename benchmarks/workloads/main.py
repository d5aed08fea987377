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
"""Compare functions of the gallery with TensorFlow's, and with those that XLA makes of them.

Each workload of this package has inputs from a fixed seed, our function, and rivals: sensible ways
to write the same in TensorFlow. What they compute is compared first. Then ours runs as an op in a
tf.function, each rival as a tf.function and as one with jit_compile=True, and ours with that, too.
What XLA refuses, or what differs under XLA, is written down with the reason.

All take turns within a repetition, in an order that rotates, and ratios are taken there, to the
fastest rival. What takes longer than --seconds is called once in a repetition; what has taken
--cap seconds is left out of further ones, and its figures say how many it had. What XLA has not
compiled and run after --compile-cap seconds is left out, too, and that is written down.

Each is measured once on one core and once on all, in a process of its own. "share" is of what the
machine can do there, measured beforehand: of its arithmetic or of its memory, whichever is more.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import measure, peaks
from benchmarks.measure import Case
from benchmarks.workloads.workload import Workload

SEED = 2026
OURS = "ours"
ENGINES = ("TensorFlow", "XLA")
TARGETS = {"TensorFlow / ours": 10.0, "best / ours": 2.0, "least": 1.0}


def find(package: str, names: Sequence[str] = ()) -> list[Workload]:
    """Return the workloads of a package, or those of them that are named."""
    folder = importlib.import_module(package).__path__
    found = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(folder)):
        if module not in ("main", "workload"):
            found[module] = importlib.import_module(f"{package}.{module}").workload
    if missing := [name for name in names if name not in found]:
        raise SystemExit(f"There is no workload {', '.join(missing)}; there are {', '.join(found)}")
    return [found[name] for name in names or found]


def _arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in tf.nest.flatten(outputs, expand_composites=True)]


def _compile(function: Callable, inputs: Sequence[tf.Tensor], **options: bool) -> Callable:
    @tf.function(input_signature=[tf.TensorSpec(x.shape, x.dtype) for x in inputs], **options)
    def compiled(*tensors: tf.Tensor) -> Any:
        return function(*tensors)

    return compiled.get_concrete_function()


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return f"{type(error).__name__}: {next(filter(None, lines), '')}"


@contextlib.contextmanager
def within(seconds: int, name: str, note: Path | None) -> Iterator[None]:
    """End this process if what is done here takes longer; `note` then has the name of it.

    Nothing less stops XLA when it compiles.
    """
    if note is None:
        yield
        return
    note.write_text(name)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        note.unlink()


def cases_of(
    workload: Workload, skip: Sequence[str] = (), seconds: int = 0, note: Path | None = None
) -> tuple[list[Case], dict[tuple[str, str], str]]:
    """Return what is to be timed, and why what is not is not, by name and engine.

    XLA gets no rivals that `skip` names, and so many seconds for each of the others, see `within`.

    Raises
    ------
    AssertionError
        If a rival computes something else than ours.
    """
    inputs = [tf.constant(x) for x in workload.make_inputs(np.random.default_rng(SEED))]
    ours = _compile(workload.ours, inputs)
    expected = _arrays(ours(*inputs))
    cases, refused = [Case(OURS, "TensorFlow", lambda: ours(*inputs))], {}
    for name, rival in {**workload.rivals, OURS: workload.ours}.items():
        if name != OURS:
            function = _compile(rival, inputs)
            try:
                workload.check(expected, _arrays(function(*inputs)))
            except AssertionError as error:
                text = f"{workload.name}: TensorFlow's '{name}' computes something else: {error}"
                raise AssertionError(text) from None
            cases.append(Case(name, "TensorFlow", lambda function=function: function(*inputs)))
        if name in skip:
            refused[name, "XLA"] = f"not compiled and run in {seconds} s"
            continue
        try:
            with within(seconds, name, note):
                function = _compile(rival, inputs, jit_compile=True)
                workload.check(expected, _arrays(function(*inputs)))
        except Exception as error:  # there is no end to what XLA may say
            refused[name, "XLA"] = _first_line(error)
        else:
            cases.append(Case(name, "XLA", lambda function=function: function(*inputs)))
    return cases, refused


def row_of(
    workload: Workload,
    cases: Sequence[Case],
    refused: dict[tuple[str, str], str],
    machine: dict[str, float],
) -> dict:
    """Return what was measured of a workload; times are in microseconds."""
    times = {(case.name, case.group): case.times for case in cases}
    ours = times[OURS, "TensorFlow"]
    best = {}
    for case in cases:
        faster = case.group not in best or np.median(case.times) < np.median(best[case.group].times)
        if case.name != OURS and faster:
            best[case.group] = case
    best["best"] = min(best.values(), key=lambda case: np.median(case.times))
    ways = [
        {
            "name": case.name,
            "engine": case.group,
            "microseconds": measure.summary(case.times, 1e6),
            "repetitions": len(case.times),
        }
        for case in cases
    ]
    ways += [{"name": n, "engine": e, "refused": why} for (n, e), why in refused.items()]
    seconds = float(np.median(ours))
    shares = {
        "flops": round(workload.flops / seconds / machine["flops"], 4),
        "bandwidth": round(workload.bytes / seconds / machine["bandwidth"], 4),
    }
    return {
        "workload": workload.name,
        "title": workload.title,
        "microseconds": {
            OURS: measure.summary(ours, 1e6),
            **{e: measure.summary(best[e].times, 1e6) for e in ENGINES if e in best},
        },
        "forms": {engine: best[engine].name for engine in ENGINES if engine in best},
        **{f"{e} / ours": measure.ratio(case.times, ours) for e, case in best.items()},
        "flops": workload.flops,
        "bytes": workload.bytes,
        "shares": shares,
        "peaks": {kind: round(value) for kind, value in machine.items()},
        "note": workload.note,
        "ways": ways,
    }


def measure_here(arguments: argparse.Namespace) -> dict:
    """Measure one workload in this process, with `arguments.threads` threads."""
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.get_logger().setLevel("ERROR")  # AutoGraph warns of lambdas
    (workload,) = find(arguments.package, arguments.names)
    note = Path(arguments.output).with_suffix(".compiling")
    try:
        cases, refused = cases_of(workload, arguments.skip, arguments.compile_cap, note)
        machine = peaks.measure()
        measure.take_turns(cases, arguments.repetitions, arguments.seconds, arguments.cap)
        row = row_of(workload, cases, refused, machine)
    except Exception as error:  # what is wrong with one does not cost the others' figures
        traceback.print_exc()
        return {"failed": str(error)}
    return {"threads": arguments.threads, **row}


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Let processes that start here have these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure_on(cores: set[int], name: str, skip: list[str], arguments: argparse.Namespace) -> dict:
    """Measure one workload in another process; what takes XLA too long is added to `skip`."""
    kept = ("repetitions", "seconds", "cap", "compile_cap", "package")
    options = [f"--{key.replace('_', '-')}={getattr(arguments, key)}" for key in kept]
    with tempfile.TemporaryDirectory() as folder:
        output, note = Path(folder, "row.json"), Path(folder, "row.compiling")
        command = [sys.executable, __file__, name, f"--threads={len(cores)}", f"--output={output}"]
        while True:
            with on_cores(cores):
                process = subprocess.run(
                    [*command, *options, *(f"--skip={rival}" for rival in skip)],
                    # What XLA refuses is written down, and need not be logged.
                    env={
                        "TF_CPP_MIN_LOG_LEVEL": "2",
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(sys.path),
                    },
                )
            if process.returncode == 0:
                return json.loads(output.read_text())
            if process.returncode != -signal.SIGALRM:
                return {"failed": f"the process ended with {process.returncode}"}
            skip.append(note.read_text())


def summaries(rows: Sequence[dict]) -> list[dict]:
    """Return, for each number of threads, what the rows come to."""
    result = []
    for threads in sorted({row["threads"] for row in rows}):
        mine = [row for row in rows if row["threads"] == threads]
        means = {
            ratio: round(float(np.exp(np.mean([np.log(row[ratio]["median"]) for row in mine]))), 4)
            for ratio in ("TensorFlow / ours", "best / ours")
        }
        least = min(mine, key=lambda row: row["best / ours"]["median"])
        result.append(
            {
                "threads": threads,
                "workloads": len(mine),
                **means,
                "least": least["best / ours"]["median"],
                "least of": least["title"],
                "peaks": {
                    kind: float(np.median([row["peaks"][kind] for row in mine]))
                    for kind in ("flops", "bandwidth")
                },
            }
        )
    return result


def _cores(threads: int) -> str:
    return "1 core" if threads == 1 else f"{threads} cores"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _share(shares: dict[str, float]) -> str:
    kind = max(shares, key=shares.get)
    name = "arithmetic" if kind == "flops" else "memory"
    share = shares[kind]
    return f"{share:.0%} of {name}" if share >= 0.01 else f"{share:.1%} of {name}"


def markdown(rows: Sequence[dict]) -> str:
    """Return tables of the rows, and what has to be known of each."""
    lines = [
        "| | workloads | TensorFlow / ours | best / ours | least | of | peak, GFLOP/s | GB/s |",
        "|---|---:|---:|---:|---:|---|---:|---:|",
    ]
    for total in summaries(rows):
        ratios = [total["TensorFlow / ours"], total["best / ours"], total["least"]]
        figures = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"| {_cores(total['threads'])} | {total['workloads']} | {figures} "
            f"| {total['least of']} | {total['peaks']['flops'] / 1e9:.0f} "
            f"| {total['peaks']['bandwidth'] / 1e9:.1f} |"
        )
    lines += [
        "",
        "| | ours, µs | TensorFlow, µs | XLA, µs | TensorFlow / ours | best / ours "
        "| 25 % to 75 % | share of peak |",
        "|---" + "|---:" * 7 + "|",
    ]
    threads = None
    for row in rows:
        if row["threads"] != threads:
            threads = row["threads"]
            lines.append(f"| **{_cores(threads)}** |" + " |" * 7)
        medians = {side: figures["median"] for side, figures in row["microseconds"].items()}
        times = [f"{medians[side]:,.0f}" if side in medians else "–" for side in (OURS, *ENGINES)]
        best = row["best / ours"]
        ratios = [row["TensorFlow / ours"]["median"], best["median"]]
        cells = [
            row["title"],
            *times,
            *map(_figure, ratios),
            f"{_figure(best['p25'])} to {_figure(best['p75'])}",
            _share(row["shares"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for row in rows:
        if row["threads"] == rows[0]["threads"]:
            forms = "; ".join(f"{engine}: {form}" for engine, form in row["forms"].items())
            note = row["note"]
            said = f" {note[0].upper()}{note[1:]}." if note else ""
            lines.append(f"- {row['title']}: {forms}.{said}")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 if a workload fails, with --check if a target is."""
    parser = measure.option_parser(__doc__, repetitions=15, seconds=0.1)
    parser.add_argument("names", nargs="*", help="of workloads (default: all)")
    parser.add_argument(
        "--cap", type=float, default=120.0, help="seconds for one case (default: %(default)s)"
    )
    parser.add_argument(
        "--compile-cap", type=int, default=180, help="seconds for XLA (default: %(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument(
        "--package", default="benchmarks.workloads", help="that has them (default: %(default)s)"
    )
    # Of the inner process.
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--skip", action="append", default=[], help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.seconds, arguments.cap = 3, 0.001, 1.0
        arguments.compile_cap = min(arguments.compile_cap, 20)
    if arguments.threads:
        Path(arguments.output).write_text(json.dumps(measure_here(arguments)))
        return 0
    load = os.getloadavg()
    cores = sorted(os.sched_getaffinity(0))
    found = find(arguments.package, arguments.names)
    steps = [(workload, threads) for workload in found for threads in sorted({1, len(cores)})]
    rows, failed, skip = [], {}, {workload.name: [] for workload in found}
    for done, (workload, threads) in enumerate(steps):
        name, text = workload.name, f"{workload.title}, {_cores(threads)}"
        measure.progress(text, done, len(steps))
        row = measure_on(set(cores[-threads:]), name, skip[name], arguments)
        if "failed" in row:
            failed[text] = row["failed"]
        else:
            rows = sorted([*rows, row], key=lambda row: row["threads"])
        if arguments.output:  # each time: all of them take long
            more = {"failed": failed, "summary": summaries(rows)}
            measure.write(arguments.output, rows, arguments, load, **more)
    measure.progress("workloads", len(steps), len(steps))
    if rows:
        print(markdown(rows))
    missed = [
        f"{total[what]} of {target}, {what}, {_cores(total['threads'])}"
        for total in summaries(rows)
        for what, target in TARGETS.items()
        if total[what] < target
    ]
    for text in missed:
        print(f"under its target: {text}", file=sys.stderr)
    for text in failed:
        print(f"failed: {text}", file=sys.stderr)
    return 1 if failed or (arguments.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
