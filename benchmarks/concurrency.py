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
"""Measure how many calls a second there are where 1, 2, 4, 8 and 16 threads call at once.

The work is a product of matrices, which takes about a millisecond, by eager calls, by a tf.function
and by one session; and, to see whether the way to the function has a lock, a chain of small ops and
small eager calls.

Each rival has a process of its own, so that its threads can be counted: TensorFlow's own ops; TVM's
functions on TensorFlow's threads; and TVM's functions on TVM's own pool, of as many threads as
there are processors. They measure by turns, and each repetition measures every case once, in an
order that rotates. "threads" are those of the process without the callers. The processors' time for
a call, that of waiting in a loop included, is what other programs on the machine disturb least.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from benchmarks.measure import option_parser, summary, write

TENSORFLOW, TVM, TVM_POOL = "TensorFlow", "TVM, TensorFlow's pool", "TVM, TVM's pool"
RIVALS = [TENSORFLOW, TVM, TVM_POOL]
WORK = ["product, eager", "product, tf.function", "product, one session"]
SMALL = ["small op, eager", "1,000 small ops, tf.function"]
CALLERS = [1, 2, 4, 8, 16]
SIZE, CHAIN = 384, 1000
BUSY = 8  # callers whose throughput is set beside the best of fewer


@dataclasses.dataclass
class Case:
    """Something to measure."""

    work: str
    rival: str
    callers: int
    seen: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def figures(self, key: str) -> dict[str, float]:
        """Return the median and the spread of what was seen."""
        return summary([one[key] for one in self.seen])


def tvm_functions() -> tuple[Callable, Callable]:
    """Return a product of matrices and x + y, compiled by TVM."""
    x, w = (te.placeholder((SIZE, SIZE), name=name) for name in "xw")
    k = te.reduce_axis((0, SIZE), name="k")
    product = te.compute((SIZE, SIZE), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="z")
    n = te.var("n")
    a, b = (te.placeholder((n,), name=name) for name in "ab")
    add = te.compute((n,), lambda i: a[i] + b[i], name="c")
    module = tftvm.build({"product": [x, w, product], "add": [a, b, add]})
    return module["product"], module["add"]


def make_calls(rival: str) -> dict[str, Callable[[], object]]:
    """Return what the callers call, for each kind of work."""
    if rival == TENSORFLOW:
        product = tf.matmul
        add, mul = (lambda x, y, op=op: op(x=x, y=y) for op in (tf.raw_ops.AddV2, tf.raw_ops.Mul))
    else:
        product, add = tvm_functions()
        mul = add
    x, w = tf.random.normal([SIZE, SIZE]), tf.random.normal([SIZE, SIZE])
    small, ones = tf.zeros([3]), tf.ones([3])
    in_function = tf.function(product, autograph=False)

    @tf.function(autograph=False)
    def chain(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        for i in range(CHAIN):  # TensorFlow makes one op of several additions
            x = mul(x, y) if i % 2 else add(x, y)
        return x

    tf1 = tf.compat.v1
    with tf.Graph().as_default():
        variables = [tf1.Variable(value.numpy(), use_resource=True) for value in (x, w)]
        run = product(*(variable.read_value() for variable in variables)).op
        session = tf1.Session()
        session.run(tf1.global_variables_initializer())
        in_session = session.make_callable(run)
    calls = [
        lambda: product(x, w),
        lambda: in_function(x, w),
        in_session,
        lambda: add(small, ones),
        lambda: chain(small, ones),
    ]
    return dict(zip(WORK + SMALL, calls, strict=True))


class Callers:
    """Threads that call; they stay, as those of a server do."""

    def __init__(self) -> None:
        self._processors = os.sched_getaffinity(0)
        self._pool = concurrent.futures.ThreadPoolExecutor(max(CALLERS))
        ready = threading.Barrier(max(CALLERS))
        list(self._pool.map(lambda _: ready.wait(), range(max(CALLERS))))

    def measure(self, call: Callable[[], object], callers: int, seconds: float) -> dict[str, Any]:
        """Let so many call for `seconds`; return what was seen."""
        start, enough = threading.Barrier(callers + 1), threading.Event()

        def work() -> int:
            call()
            start.wait()
            for count in itertools.count():
                if enough.is_set():
                    return count
                call()

        counts = [self._pool.submit(work) for _ in range(callers)]
        start.wait()
        begin, begin_cpu = time.perf_counter(), time.process_time()
        enough.wait(seconds)
        tasks = [int(task) for task in os.listdir("/proc/self/task")]
        kept = all(os.sched_getaffinity(task) == self._processors for task in tasks)
        enough.set()
        calls = sum(count.result() for count in counts)
        return {
            "calls_per_second": calls / (time.perf_counter() - begin),
            "cpu_microseconds": 1e6 * (time.process_time() - begin_cpu) / max(calls, 1),
            "threads": len(tasks) - max(CALLERS),
            "affinity_kept": kept,
        }


def serve(rival: str) -> None:
    """Measure what the other side of the pipe asks for, until it closes."""
    calls, callers = make_calls(rival), Callers()
    for line in sys.stdin:
        work, count, seconds = json.loads(line)
        print(json.dumps(callers.measure(calls[work], count, seconds)), flush=True)


def start_process(rival: str) -> subprocess.Popen:
    """Start the process in which `rival` is measured."""
    settings = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TF_CPP_MIN_LOG_LEVEL": "1"}
    if rival == TVM_POOL:
        processors = str(len(os.sched_getaffinity(0)))
        settings |= {"TENSORFLOW_TVM_THREADPOOL": "tvm", "TVM_NUM_THREADS": processors}
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", rival],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    )


def ask(process: subprocess.Popen, case: Case, seconds: float) -> None:
    """Have a case measured once."""
    print(json.dumps([case.work, case.callers, seconds]), file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the process of '{case.rival}' ended with status {process.wait()}")
    case.seen.append(json.loads(answer))


def run(cases: list[Case], repetitions: int, seconds: float) -> None:
    """Measure every case `repetitions` times."""
    processes = {rival: start_process(rival) for rival in {case.rival: None for case in cases}}
    for repetition in range(repetitions):
        first = repetition % len(cases)
        for case in cases[first:] + cases[:first]:
            ask(processes[case.rival], case, seconds)
        print(f"repetition {repetition + 1} of {repetitions}", file=sys.stderr, flush=True)
    for process in processes.values():
        process.stdin.close()
        process.wait()


def results(cases: list[Case]) -> list[dict]:
    """Return a row for each case.

    "of_best" is the throughput beside the best that the same rival has with fewer callers.
    """
    best: dict[tuple[str, str], float] = {}
    rows = []
    for case in cases:  # callers ascend
        figures = case.figures("calls_per_second")
        lower = best.get((case.work, case.rival))
        best[case.work, case.rival] = max(figures["median"], lower or 0.0)
        rows.append(
            {
                "group": case.work,
                "case": case.rival,
                "callers": case.callers,
                "calls_per_second": figures,
                "cpu_microseconds": case.figures("cpu_microseconds"),
                "of_best": round(figures["median"] / lower, 4) if lower else None,
                "threads": max(one["threads"] for one in case.seen),
                "affinity_kept": all(one["affinity_kept"] for one in case.seen),
            }
        )
    return rows


def markdown(rows: list[dict]) -> str:
    """Return a table: a line for each work and rival, a column for each number of callers."""
    counts = sorted({row["callers"] for row in rows})
    cells = [f"{count} caller{'s' * (count > 1)}" for count in counts]
    cells = ["calls a second", *cells, f"{BUSY} / best of fewer", "CPU µs a call", "threads"]
    lines = [f"| {' | '.join(cells)} |", "|---" + "|---:" * (len(cells) - 1) + "|"]
    group = None
    for row in rows:
        if row["callers"] != counts[0]:
            continue
        if row["group"] != group:
            group = row["group"]
            lines.append(f"| **{group}** {'| ' * (len(cells) - 1)}|")
        same = [other for other in rows if (other["group"], other["case"]) == (group, row["case"])]
        rates = [f"{other['calls_per_second']['median']:,.0f}" for other in same]
        rates += [""] * (len(counts) - len(rates))
        of_best = [f"{other['of_best']:.2f}" for other in same if other["callers"] == BUSY]
        work = f"{same[-1]['cpu_microseconds']['median']:,.0f}"
        threads = str(max(other["threads"] for other in same))
        if not all(other["affinity_kept"] for other in same):
            threads += ", changes its callers' affinity"
        line = f"| {' | '.join([row['case'], *rates, *(of_best or ['']), work, threads])} |"
        lines.append(line.replace("|  ", "| "))
    return "\n".join([*lines, "", "Processor time is that with the most callers."]) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = option_parser(__doc__, repetitions=15, seconds=0.25)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.serve:
        serve(arguments.serve)
        return 0
    callers = CALLERS
    if arguments.quick:
        arguments.repetitions, arguments.seconds, callers = 1, 0.02, [1, 2]
    cases = [Case(work, rival, n) for work in WORK for rival in RIVALS for n in callers]
    cases += [Case(work, rival, n) for work in SMALL for rival in RIVALS[:2] for n in callers[:4]]
    load = os.getloadavg()
    run(cases, arguments.repetitions, arguments.seconds)
    rows = results(cases)
    print(markdown(rows))
    if arguments.output:
        write(arguments.output, rows, arguments, load)
    return 0


if __name__ == "__main__":
    sys.exit(main())
