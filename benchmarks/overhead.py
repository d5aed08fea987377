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
"""Measure what a TVM op costs beside TensorFlow's own ops and beside other ways to call TVM.

All work on 3 floats, so that what is measured is the way to the function and back. Every
repetition times every case once, in an order that rotates, and ratios are taken within a
repetition: what slows the machine for a while slows both sides.

Rivals get what is best for them: inputs are arguments, so that nothing is computed beforehand;
`tf.numpy_function` is declared stateless and does the cheapest thing there is; the DLPack route
knows its output's size and allocates it by NumPy, aligned as TensorFlow and TVM want it.

Calling a tf.function costs far more than one small op in it: with 200 ops that call is most of the
time. So there are longer chains too, in which the ops themselves show.
"""

from __future__ import annotations

import collections
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tvm_ffi
from tvm import te

import tensorflow_tvm as tftvm
from benchmarks.measure import Case, option_parser, results, run, write

SIZE = 3
OPS, MANY_OPS = 200, 4000
QUICK_OPS = 400
EAGER = "eager, per call"


def compile_library(path: Path) -> None:
    """Compile `addone` and `vector_add`."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    y = te.placeholder((n,), "float32", name="y")
    functions = {
        "addone": [x, te.compute((n,), lambda i: x[i] + 1.0)],
        "vector_add": [x, y, te.compute((n,), lambda i: x[i] + y[i])],
    }
    tftvm.export_library(functions, path)


def dlpack_route(addone: tvm_ffi.Function) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function that calls `addone` on an eager tensor by way of DLPack."""
    alignment, size = 64, SIZE * 4
    to_dlpack, from_dlpack = tf.experimental.dlpack.to_dlpack, tf.experimental.dlpack.from_dlpack

    def call(x: tf.Tensor) -> tf.Tensor:
        storage = np.empty(size + alignment, np.uint8)
        start = -storage.__array_interface__["data"][0] % alignment
        y = tvm_ffi.from_dlpack(storage[start : start + size].view(np.float32))
        addone(tvm_ffi.from_dlpack(to_dlpack(x)), y)
        return from_dlpack(y.__dlpack__())

    return call


def chain(fn: Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor], ops: int) -> Callable:
    """Return a function of x and y that applies `fn` to x, `ops` times."""

    def call(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        for i in range(ops):
            x = fn(x, y, i)
        return x

    return call


def count_ops(fn: Callable, x: tf.Tensor, y: tf.Tensor) -> dict[str, int]:
    """Return how many ops of each type are left of `fn` once TensorFlow has optimised its graph."""
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = [tf1.placeholder(value.dtype, value.shape) for value in (x, y)]
        result, metadata = fn(*inputs), tf1.RunMetadata()
        session.run(
            result,
            {inputs[0]: x.numpy(), inputs[1]: y.numpy()},
            options=tf1.RunOptions(output_partition_graphs=True),
            run_metadata=metadata,
        )
    return dict(collections.Counter(n.op for g in metadata.partition_graphs for n in g.node))


def make_cases(folder: Path, many_ops: int) -> list[Case]:
    """Return what is to be timed; the longer chains have `many_ops` ops."""
    path = folder / "overhead.so"
    compile_library(path)
    module = tftvm.Module(path)
    addone, vector_add = module["addone"], module["vector_add"]
    add, mul = tf.raw_ops.AddV2, tf.raw_ops.Mul
    by_dlpack = dlpack_route(tvm_ffi.load_module(str(path)).addone)
    one = np.float32(1)

    def by_numpy(x: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(lambda array: array + one, [x], tf.float32, stateful=False)

    def by_py_function(x: tf.Tensor) -> tf.Tensor:
        return tf.py_function(by_dlpack, [x], tf.float32)

    x, y = tf.constant([1.0, 2.0, 3.0]), tf.constant([1.0, 1.0, 1.0])
    rival = "AddV2 and Mul by turns"
    short = {
        rival: lambda x, y, i: mul(x=x, y=y) if i % 2 else add(x=x, y=y),
        "TVM vector_add(x, y)": lambda x, y, i: vector_add(x, y),
        "TVM addone(x)": lambda x, y, i: addone(x),
    }
    long = {
        "tf.numpy_function, x + 1 in NumPy": lambda x, y, i: by_numpy(x),
        "tf.py_function, TVM addone by DLPack": lambda x, y, i: by_py_function(x),
    }
    cases = []
    for ops, functions in [(OPS, short | long), (many_ops, short)]:
        group = f"tf.function of {ops} ops, per op"
        for name, fn in functions.items():
            fn = chain(fn, ops)
            left = count_ops(fn, x, y)
            if sum(n for op, n in left.items() if op not in ("_Arg", "_Retval", "Const")) < ops:
                raise RuntimeError(f"{name}: of {ops} ops TensorFlow runs only {left}")
            function = tf.function(fn, autograph=False)
            case = Case(name, group, lambda function=function: function(x, y), ops)
            if name != rival:
                case.rival = rival
                case.bar = 1.0 if name.startswith("TVM") else None
            cases.append(case)
    eager = {
        "tf.raw_ops.AddV2(x=x, y=y)": lambda: add(x=x, y=y),
        "TVM addone(x)": lambda: addone(x),
        "TVM vector_add(x, y)": lambda: vector_add(x, y),
        "x + 1.0": lambda: x + 1.0,
        "tf.numpy_function, x + 1 in NumPy": lambda: by_numpy(x),
        "TVM addone by DLPack": lambda: by_dlpack(x),
    }
    rival = next(iter(eager))
    for name, call in eager.items():
        np.testing.assert_array_equal(call(), [2.0, 3.0, 4.0])
        case = Case(name, EAGER, call)
        if name != rival:
            case.rival = rival
            case.bar = 1.2 if name.startswith("TVM") and "DLPack" not in name else None
        cases.append(case)
    empty = tf.function(lambda x, y: x)
    cases.append(Case("a tf.function without ops", EAGER, lambda: empty(x, y)))
    return cases


def print_table(rows: list[dict]) -> None:
    """Print the rows for people."""
    group = None
    for row in rows:
        if row["group"] != group:
            group = row["group"]
            print(f"\n{group:<40}{'median':>8}{'min':>9}{'p25':>9}{'p75':>9}  us", end="")
            print(f"{'ratio':>9}{'p25':>7}{'p75':>7}{'bar':>6}")
        us = row["microseconds"]
        line = f"{row['case']:<40}{us['median']:>8.3f}{us['min']:>9.3f}{us['p25']:>9.3f}"
        line += f"{us['p75']:>9.3f}    "
        if "ratio" in row:
            times = row["ratio"]
            line += f"{times['median']:>9.2f}{times['p25']:>7.2f}{times['p75']:>7.2f}"
            line += f"{row['bar'] or '':>6}"
        print(line.rstrip())


def markdown(rows: list[dict]) -> str:
    """Return the table of the README."""
    lines = ["| | µs, median | 25 % to 75 % | ratio | 25 % to 75 % |", "|---|---:|---:|---:|---:|"]
    for i, row in enumerate(rows):
        if i == 0 or row["group"] != rows[i - 1]["group"]:
            lines.append(f"| **{row['group']}** | | | | |")
        us = row["microseconds"]
        line = f"| {row['case']} | {us['median']:.2f} | {us['p25']:.2f} to {us['p75']:.2f} |"
        if "ratio" in row:
            times = row["ratio"]
            line += f" {times['median']:.2f} | {times['p25']:.2f} to {times['p75']:.2f} |"
        else:
            line += " | |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; with --check the exit status is 1 if a ratio exceeds its bar."""
    parser = option_parser(__doc__, repetitions=101, seconds=0.01)
    parser.add_argument("--markdown", action="store_true", help="also print the README's table")
    parser.add_argument("--check", action="store_true", help="fail if a ratio exceeds its bar")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.seconds = 3, 0.002
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        cases = make_cases(Path(folder), QUICK_OPS if arguments.quick else MANY_OPS)
        run(cases, arguments.repetitions, arguments.seconds)
    rows = results(cases)
    print_table(rows)
    if arguments.markdown:
        print(f"\n{markdown(rows)}")
    if arguments.output:
        write(arguments.output, rows, arguments, load)
    missed = [row for row in rows if row.get("bar") and row["ratio"]["median"] > row["bar"]]
    for row in missed:
        print(f"over its bar of {row['bar']}: {row['case']}, {row['group']}", file=sys.stderr)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
