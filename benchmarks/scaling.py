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
"""Measure what grows: time with the size of tensors, and the cost of graphs with their nodes.

Three functions, compiled once for all sizes and with default schedules, run in a tf.function beside
TensorFlow's own, from 1 K to 16 M elements; with --huge also int8 tensors of the greatest size that
TVM can count, beside those of 16 M.

Then what is paid once: loading a library, making a function of it, the first call, and building
graphs of 2,000 nodes. The rivals are what tvm-ffi and TensorFlow do for their own: tvm-ffi loads
the same library, a built-in op has an attribute that it has not had before, so that TensorFlow
makes a kernel of it, and graphs are made of AddV2.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tvm_ffi
from tvm import te, topi

import tensorflow_tvm as tftvm
from benchmarks import measure
from benchmarks.measure import Case

SIZES = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24]
LARGEST = 2**31 - 1
NODES, QUICK_NODES = 2000, 50
LOAD_BAR = 2000.0  # microseconds
GRAPH_BAR = 1.5  # times what built-in nodes cost
OURS, RIVAL = "TVM", "TensorFlow"
FIRST_RUN = "first run"
GROWTH = "time per element beside 16 M"
tf1 = tf.compat.v1


def short(size: int) -> str:
    """Return a size for people."""
    if size == LARGEST:
        return "2^31-1"
    for unit, name in ((1 << 20, " M"), (1 << 10, " K")):
        if size >= unit:
            return f"{size // unit}{name}"
    return str(size)


@tftvm.op(shapes=["n"])
def add_one(x: te.Tensor) -> te.Tensor:
    """Return x + 1."""
    return te.compute(x.shape, lambda i: x[i] + 1.0, name="added")


@tftvm.op(shapes=["n"])
def gelu(x: te.Tensor) -> te.Tensor:
    """Return the approximate GELU."""

    def element(i: object) -> object:
        return x[i] * 0.5 * (1 + te.tanh(0.7978845608 * (x[i] + 0.044715 * x[i] * x[i] * x[i])))

    return te.compute(x.shape, element, name="gelu")


@tftvm.op(shapes=["n"])
def total(x: te.Tensor) -> te.Tensor:
    """Return the sum of all elements."""
    return topi.sum(x)


FUNCTIONS = {
    "add one": (add_one, lambda x: x + 1.0),
    "GELU (tanh)": (gelu, lambda x: tf.nn.gelu(x, approximate=True)),
    "sum": (total, tf.reduce_sum),
}


def _case(name: str, group: str, function: Callable, x: tf.Tensor, rival: str = "") -> Case:
    compiled = tf.function(
        lambda x: function(x), input_signature=[tf.TensorSpec([None], x.dtype)], autograph=False
    ).get_concrete_function()
    return Case(name, group, lambda: compiled(x), rival=rival)


def sizes(arguments: argparse.Namespace) -> list[dict]:
    """Return what each function takes on tensors of each size."""
    rows = []
    steps = list(itertools.product(FUNCTIONS, SIZES[:2] if arguments.quick else SIZES))
    for done, (name, size) in enumerate(steps, 1):
        x = tf.random.stateless_uniform([size], [1, 2], -1, 1)
        ours, rival = FUNCTIONS[name]
        np.testing.assert_allclose(ours(x), rival(x), rtol=1e-3, atol=1e-3)
        group = f"{name}, {short(size)}"
        cases = [_case(RIVAL, group, rival, x), _case(OURS, group, ours, x, RIVAL)]
        measure.take_turns(cases, arguments.repetitions, arguments.seconds)
        rows += [{"function": name, "elements": size, **row} for row in measure.results(cases)]
        measure.progress(group, done, len(steps))
    return rows


def huge(arguments: argparse.Namespace) -> list[dict]:
    """Return what int8 tensors of the greatest size take, by element, beside those of 16 M."""
    n = te.var("n")
    x = te.placeholder((n,), "int8", name="x")
    module = tftvm.build(
        {
            "copy": [x, te.compute((n,), lambda i: x[i], name="y")],
            "add_one": [x, te.compute((n,), lambda i: x[i] + te.const(1, "int8"), name="y")],
        }
    )
    rivals = {"copy": lambda x: tf.raw_ops.DeepCopy(x=x), "add_one": lambda x: x + 1}
    refuse_more(module["copy"])
    rows = []
    for name, rival in rivals.items():
        medians = {}
        for size in (1 << 24, LARGEST):
            value, last = tf.fill([size], tf.constant(7, tf.int8)), 8 if name == "add_one" else 7
            some = module[name](value)[:: size // 1000]
            np.testing.assert_array_equal(some, np.full(some.shape, last))
            group = f"{name}, int8, {short(size)}"
            cases = [
                _case(RIVAL, group, rival, value),
                _case(OURS, group, module[name], value, RIVAL),
            ]
            measure.take_turns(cases, min(arguments.repetitions, 5), arguments.seconds)
            for row, case in zip(measure.results(cases), cases, strict=True):
                median = float(np.median(case.times)) / size
                growth = round(median / medians.setdefault(case.name, median), 4)
                rows.append({"elements": size, GROWTH: growth, **row})
            del value, cases
    return rows


def refuse_more(copy: tftvm.Function) -> None:
    """Raise AssertionError unless `copy` refuses a tensor that TVM cannot count."""
    try:
        copy(tf.zeros([LARGEST + 1], tf.int8))
    except tf.errors.InvalidArgumentError as error:
        print(f"{LARGEST + 1:,} elements are refused: {error.message}")
    else:
        raise AssertionError(f"a tensor of {LARGEST + 1:,} elements is not refused")


def export(folder: Path) -> bytes:
    """Return a library of one function, vector_add."""
    n = te.var("n")
    x, y = (te.placeholder((n,), "float32", name=name) for name in "xy")
    path = folder / "vector_add.so"
    function = [x, y, te.compute((n,), lambda i: x[i] + y[i], name="z")]
    tftvm.export_library({"vector_add": function}, path, target="llvm")
    return path.read_bytes()


def libraries(arguments: argparse.Namespace, content: bytes, folder: Path) -> list[dict]:
    """Return what is paid once for a library and its function."""
    count = arguments.repetitions + 1  # one to warm up
    # Each time another library: one whose content is known is not loaded again. An ELF file may
    # have anything at its end.
    paths = [folder / f"{i}.so" for i in range(4 * count)]
    for i, path in enumerate(paths):
        path.write_bytes(content + i.to_bytes(4, "little"))
    theirs, ours = iter(paths[:count]), iter(paths[count : 2 * count])
    modules = [tftvm.Module(path) for path in paths[2 * count :]]
    fresh = iter(modules[:count])
    functions = iter([module["vector_add"] for module in modules[count:]])
    alphas = iter(np.linspace(0.1, 0.2, count).tolist())
    x = tf.constant([1.0, 2.0, 3.0])
    kept = []  # so that unloading is no part of it
    group = f"a library of {len(content) / 1000:.0f} KB"
    load, call = "tvm_ffi.load_module", "LeakyRelu's first eager call, which makes a kernel"
    cases = [
        Case(load, group, lambda: kept.append(tvm_ffi.load_module(str(next(theirs))))),
        Case("tftvm.Module", group, lambda: kept.append(tftvm.Module(next(ours))), rival=load),
        Case("module[name]", group, lambda: kept.append(next(fresh)["vector_add"])),
        Case(call, group, lambda: tf.raw_ops.LeakyRelu(features=x, alpha=next(alphas))),
        Case("TVM function's first eager call", group, lambda: next(functions)(x, x), rival=call),
    ]
    measure.take_turns(cases, arguments.repetitions)
    rows = measure.results(cases)
    rows[1]["bar, µs"] = LOAD_BAR
    return rows


def stages(function: Callable, nodes: int) -> dict[str, Callable]:
    """Return what is done with a graph that calls `function` on x and y so many times."""

    def chain(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        for _ in range(nodes):
            x = function(x, y)
        return x

    def trace() -> None:
        signature = [tf.TensorSpec([None])] * 2
        tf.function(chain, input_signature=signature, autograph=False).get_concrete_function()

    with tf.Graph().as_default() as graph:
        inputs = [tf1.placeholder(tf.float32, [None], name=name) for name in "xy"]
        tf.identity(chain(*inputs), name="result")
    definition = graph.as_graph_def()

    def load() -> tf1.Session:
        with tf.Graph().as_default() as graph:
            tf1.import_graph_def(definition, name="")
            return tf1.Session(graph=graph)

    def run() -> float:
        with load() as session:
            feeds = {"x:0": [1.0, 2.0], "y:0": [0.0, 1.0]}
            return timeit.timeit(lambda: session.run("result:0", feeds), number=1)

    return {"tf.function": trace, "GraphDef into a Session": load, FIRST_RUN: run}


def graphs(arguments: argparse.Namespace, content: bytes) -> list[dict]:
    """Return what graphs of many nodes take to be built, to be imported, and to run first."""
    nodes = QUICK_NODES if arguments.quick else NODES
    rival, ours = "tf.add", "TVM vector_add"
    theirs = stages(tf.add, nodes)
    rows = []
    for stage, call in stages(tftvm.Module(content)["vector_add"], nodes).items():
        group = f"{nodes:,} nodes, {stage}, per node"
        bar = None if stage == FIRST_RUN else GRAPH_BAR
        cases = [
            Case(rival, group, theirs[stage], nodes),
            Case(ours, group, call, nodes, rival=rival, bar=bar),
        ]
        for case in cases:
            case.timed = stage == FIRST_RUN  # importing is no part of it
        measure.take_turns(cases, arguments.repetitions)
        rows += measure.results(cases)
        measure.progress(group, len(rows) // 2, len(theirs))
    return rows


def markdown(rows: list[dict]) -> str:
    """Return a table of the times by size, and one of the rest."""
    by_size = [row for row in rows if "function" in row and "ratio" in row]
    names = list(dict.fromkeys(row["function"] for row in by_size))
    lines = [
        "| elements | " + " | ".join(f"{name}, µs | beside {RIVAL}" for name in names) + " |",
        "|---:" + "|---:" * 2 * len(names) + "|",
    ]
    for size in dict.fromkeys(row["elements"] for row in by_size):
        cells = [short(size)]
        for row in by_size:  # in the order of the names
            if row["elements"] == size:
                cells += [f"{row['microseconds']['median']:,.0f}", f"{row['ratio']['median']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| | µs, median | 25 % to 75 % | ratio | 25 % to 75 % | bar |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    group = None
    for row in rows:
        if "function" in row:
            continue
        if row["group"] != group:
            group = row["group"]
            lines.append(f"| **{group}** | | | | | |")
        us = row["microseconds"]
        cells = [row["case"], f"{us['median']:,.1f}", f"{us['p25']:,.1f} to {us['p75']:,.1f}"]
        if "ratio" in row:
            ratio = row["ratio"]
            cells += [f"{ratio['median']:.2f}", f"{ratio['p25']:.2f} to {ratio['p75']:.2f}"]
        else:
            cells += ["", ""]
        bar = f"{row['bar, µs']:,.0f} µs" if "bar, µs" in row else row.get("bar") or ""
        lines.append(f"| {' | '.join(cells)} | {bar} |".replace("|  |", "| |"))
    growth = [
        f"{row['group']}, {row['case']}: {row[GROWTH]:.2f}"
        for row in rows
        if row.get(GROWTH, 1) != 1
    ]
    if growth:
        lines += ["", f"The {GROWTH}: {'; '.join(growth)}."]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; with --check the exit status is 1 if a bar is missed."""
    parser = measure.option_parser(__doc__, repetitions=15, seconds=0.02)
    parser.add_argument("--huge", action="store_true", help="also 2^31-1 elements: takes 8 GiB")
    parser.add_argument("--check", action="store_true", help="fail if a bar is missed")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.seconds, arguments.huge = 3, 0.001, False
    load = os.getloadavg()
    rows = sizes(arguments)
    with tempfile.TemporaryDirectory() as folder:
        content = export(Path(folder))
        rows += libraries(arguments, content, Path(folder))
    rows += graphs(arguments, content)
    if arguments.huge:
        rows += huge(arguments)
    print(markdown(rows))
    if arguments.output:
        measure.write(arguments.output, rows, arguments, load)
    missed = [
        row
        for row in rows
        if row["microseconds"]["median"] > row.get("bar, µs", float("inf"))
        or (row.get("bar") and row["ratio"]["median"] > row["bar"])
    ]
    for row in missed:
        print(f"over its bar: {row['case']}, {row['group']}", file=sys.stderr)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
