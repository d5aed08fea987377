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
"""What a TVM function costs inside of what XLA compiles, beside the same function outside.

Each case is a `tf.function`, with and without `jit_compile=True`: one call of a TVM function, ten
of them, one between TensorFlow's own ops, and its gradient. TensorFlow's own formulation, in both
ways too, says what the calls of `tf.function` themselves cost in each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from benchmarks.measure import Case, option_parser, results, run, write

SIZES = {"3": 3, "64 Ki": 1 << 16, "4 Mi": 1 << 22}
QUICK = ["3"]
CALLS = 10


@tftvm.op(shapes=["n"], gradient="auto")
def swish(x):
    """Return x * sigmoid(x)."""
    return te.compute(x.shape, lambda i: x[i] * te.sigmoid(x[i]))


def gradient(fn: Callable) -> Callable:
    """Return the gradient of the sum of ``fn(x)``."""

    def call(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(fn(x))
        return tape.gradient(y, x)

    return call


def repeated(fn: Callable) -> Callable:
    """Return `fn` applied to its result several times."""

    def call(x: tf.Tensor) -> tf.Tensor:
        for _ in range(CALLS):
            x = fn(x)
        return x

    return call


FORMS: dict[str, Callable[[Callable], Callable]] = {
    "one call": lambda fn: fn,
    f"{CALLS} calls": repeated,
    "between ops": lambda fn: lambda x: tf.exp(-fn(x * 2.0 + 1.0)) - 1.0,
    "gradient": gradient,
}


def make_cases(sizes: list[str]) -> list[Case]:
    """Return what is to be timed; the rival of each TVM case under XLA is the same without it."""
    cases = []
    for size in sizes:
        x = tf.constant(np.random.default_rng(0).normal(size=SIZES[size]).astype("float32"))
        for form, make in FORMS.items():
            group = f"swish of {size} floats, {form}"
            expected = make(tf.nn.silu)(x)
            for name, fn in {"TVM": swish, "TensorFlow": tf.nn.silu}.items():
                for where, jit in {"": False, ", XLA": True}.items():
                    function = tf.function(make(fn), jit_compile=jit, autograph=False)
                    np.testing.assert_allclose(function(x), expected, rtol=1e-4, atol=1e-5)
                    case = Case(f"{name}{where}", group, lambda f=function, x=x: f(x))
                    if name == "TVM" and jit:
                        case.rival = "TVM"
                    cases.append(case)
    return cases


def markdown(rows: list[dict]) -> str:
    """Return a table with a line for each group."""
    names = list(dict.fromkeys(row["case"] for row in rows))
    cells = ["", *(f"{name}, µs" for name in names), "TVM under XLA / outside", "25 % to 75 %"]
    lines = [f"| {' | '.join(cells)} |", "|---" + "|---:" * (len(cells) - 1) + "|"]
    for group in dict.fromkeys(row["group"] for row in rows):
        by_case = {row["case"]: row for row in rows if row["group"] == group}
        ratio = by_case["TVM, XLA"]["ratio"]
        cells = [
            group,
            *(f"{by_case[name]['microseconds']['median']:,.0f}" for name in names),
            f"{ratio['median']:.2f}",
            f"{ratio['p25']:.2f} to {ratio['p75']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines).replace("|  |", "| |") + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = option_parser(__doc__, repetitions=31, seconds=0.02)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.seconds = 3, 0.002
    load = os.getloadavg()
    cases = make_cases(QUICK if arguments.quick else list(SIZES))
    run(cases, arguments.repetitions, arguments.seconds)
    rows = results(cases)
    print(markdown(rows))
    if arguments.output:
        write(arguments.output, rows, arguments, load)
    return 0


if __name__ == "__main__":
    sys.exit(main())
