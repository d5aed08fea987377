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
"""Measure what it costs that generated code neither traps nor leaves its tensors.

Each kernel has its default schedule twice: as `tftvm.build` makes it, and by TVM's own lowering
without any guard. They take turns, on one thread. A ratio of 1.00 says that the guards are free.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tvm
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm
from benchmarks import measure
from benchmarks.measure import Case
from tensorflow_tvm import prim_functions, schedules, targets

SIZE = 1 << 20


def _vector(name: str, dtype: str) -> te.Tensor:
    return te.placeholder((te.var("n"),), dtype, name=name)


def _pair(dtype: str, formula: Callable) -> list[te.Tensor]:
    x = _vector("x", dtype)
    y = te.placeholder(x.shape, dtype, name="y")
    return [x, y, te.compute(x.shape, lambda i: formula(x[i], y[i]))]


def kernels() -> dict[str, list[te.Tensor]]:
    """Return inputs and outputs of each kernel."""
    x, index = _vector("x", "float32"), _vector("index", "int32")
    updates = te.placeholder(index.shape, "float32", name="updates")
    matrix = te.placeholder((te.var("n"), te.var("m")), "float32", name="x")
    return {
        "x // y, int32": _pair("int32", tirx.floordiv),
        "x % y, int64": _pair("int64", tirx.floormod),
        "x // (max(y, 0) + 1), int32": _pair(
            "int32", lambda a, b: tirx.floordiv(a, tirx.max(b, 0) + 1)
        ),
        "x << (y & 31), int32": _pair("int32", lambda a, b: a << (b & 31)),
        "float32 to int32": [x, te.compute(x.shape, lambda i: x[i].astype("int32"))],
        "x * x, float32 to int32": [
            x,
            te.compute(x.shape, lambda i: (x[i] * x[i]).astype("int32")),
        ],
        "gather": [x, index, te.compute(index.shape, lambda i: x[index[i]])],
        "scatter, add": [x, index, updates, topi.scatter_elements(x, index, updates, 0, "add")],
        "reshape": [matrix, topi.reshape(matrix, (matrix.shape[0] * matrix.shape[1],))],
    }


def _inputs(formula: list[te.Tensor]) -> list[tf.Tensor]:
    generator = np.random.default_rng(7)
    found = []
    for tensor in prim_functions.split(formula)[0]:
        shape = (SIZE,) if len(tensor.shape) == 1 else (SIZE >> 10, 1 << 10)
        dtype = str(tensor.dtype)
        if dtype.startswith("float"):
            values = generator.random(shape)
        else:
            values = generator.integers(1, SIZE, shape)
        found.append(tf.constant(values.astype(dtype)))
    return found


def _unguarded(formula: list[te.Tensor], folder: Path) -> tftvm.Function:
    """Return a kernel with its default schedule and nothing else of ours."""
    target = targets.parse("host")
    function = prim_functions.from_tensors(formula)
    signature = prim_functions.signature_of(function)
    function = schedules.by_rules(function, target).with_attr("global_symbol", "kernel")
    path = folder / f"{len(list(folder.iterdir()))}.so"
    tvm.compile(tvm.IRModule({"kernel": function}), target=target).export_library(str(path))
    return tftvm.Module(path).func("kernel", signature=signature)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = measure.option_parser(__doc__, repetitions=25, seconds=0.05)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.seconds = 3, 0.001
    load = os.getloadavg()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, formula in kernels().items():
            inputs = _inputs(formula)
            guarded = tftvm.build({"kernel": formula})["kernel"]
            plain = _unguarded(formula, Path(folder))
            np.testing.assert_array_equal(guarded(*inputs), plain(*inputs))
            cases.append(Case("without", name, lambda f=plain, x=inputs: f(*x)))
            cases.append(Case("guarded", name, lambda f=guarded, x=inputs: f(*x), rival="without"))
        measure.run(cases, arguments.repetitions, arguments.seconds)
    rows = measure.results(cases)
    print("| | without, µs | guarded, µs | ratio | 25 % to 75 % |\n|---|---:|---:|---:|---:|")
    for before, after in zip(rows[::2], rows[1::2], strict=True):
        times = " | ".join(f"{row['microseconds']['median']:,.0f}" for row in (before, after))
        found = after["ratio"]
        spread = f"{found['p25']:.2f} to {found['p75']:.2f}"
        print(f"| {after['group']} | {times} | {found['median']:.2f} | {spread} |")
    if arguments.output:
        measure.write(arguments.output, rows, arguments, load)
    return 0


if __name__ == "__main__":
    sys.exit(main())
