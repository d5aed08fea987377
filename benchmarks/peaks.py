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
"""What this machine can do at most: arithmetic, and traffic between processor and memory.

Measured by kernels that do nothing else, on as many threads as TensorFlow has here. Bytes are
counted as STREAM counts them: what a kernel says that it reads and writes.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import tensorflow as tf
import tvm
from tvm import te, topi

import tensorflow_tvm as tftvm

PARTS, PART = 64, 1 << 19  # of an array: 128 MiB, beyond the caches

_MULTIPLY_ADD = """
@T.prim_func(s_tir=True)
def peak(x: T.Buffer((16,), "float32"), y: T.Buffer((64, {width}), "float32")):
    T.func_attr({{"tirx.noalias": True}})
    for block in T.parallel(64):
        sums = T.alloc_buffer((12, {width}), "float32", scope="local")
        for i in T.unroll(12):
            for lane in T.vectorized({width}):
                sums[i, lane] = x[i]
        for step in range(20000):
            for i in T.unroll(12):
                for lane in T.vectorized({width}):
                    sums[i, lane] = sums[i, lane] * x[14] + x[15]
        for i in T.unroll(12):
            for lane in T.vectorized({width}):
                y[block, lane] = sums[i, lane]
"""


def _best(call: Callable[[], object], repeat: int = 15) -> float:
    call()
    return min(timeit.repeat(call, number=1, repeat=repeat))


def flops() -> float:
    """Return float32 operations per second: multiplications and additions in registers."""
    best = 0.0
    for width in (4, 8, 16):
        function = tvm.script.from_source(_MULTIPLY_ADD.format(width=width))
        peak = tftvm.build(function, name="peak")["peak"]
        x = tf.constant([1.0] * 14 + [0.5, 0.5])
        seconds = _best(lambda peak=peak, x=x: peak(x), 9)
        best = max(best, 64 * 20000 * 12 * width * 2 / seconds)
    return best


def traffic() -> dict[str, float]:
    """Return bytes per second of reading, copying, and x + 3 * y."""
    x, y = (te.placeholder((PARTS, PART), "float32", name=name) for name in "xy")
    copied = te.compute(x.shape, lambda i, j: x[i, j], name="copied")
    triad = te.compute(x.shape, lambda i, j: x[i, j] + 3.0 * y[i, j], name="triad")
    functions = {"read": [x, topi.sum(x, axis=1)], "copy": [x, copied], "triad": [x, y, triad]}
    module = tftvm.build(functions)
    a, b = tf.ones([PARTS, PART]), tf.ones([PARTS, PART])
    size = PARTS * PART * 4
    return {
        "read": size / _best(lambda: module["read"](a)),
        "copy": 2 * size / _best(lambda: module["copy"](a)),
        "triad": 3 * size / _best(lambda: module["triad"](a, b)),
    }


def measure() -> dict[str, float]:
    """Return `flops`, the kinds of `traffic`, and the highest of those as `bandwidth`."""
    kinds = traffic()
    return {"flops": flops(), **kinds, "bandwidth": max(kinds.values())}
