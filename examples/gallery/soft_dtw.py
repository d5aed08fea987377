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
"""Soft dynamic time warping: what it costs to align two sequences, as a smooth function.

By M. Cuturi and M. Blondel, "Soft-DTW" (2017). `cost` is float32 of shape [batch, n, m]: what it
costs to align each element of one sequence with each of another. The value, float32 of shape
[batch], is the soft minimum, -gamma * log(sum(exp(-x / gamma))), of the costs of all monotonic
paths from the first elements to the last. The gradient is the probability that a path takes a cell.
Infinite costs forbid cells, and so does NaN. `gamma` is a positive number.

Cells on an antidiagonal do not depend on each other: 16 of them are computed at once. Exponentials
are added as they are, as pairs of a fraction and a power of two, which cannot over- or underflow:
a cell takes one exponential, off the path from cell to cell, and no logarithm. The gradient goes
over the cells forwards and backwards. Pairs of sequences run in parallel.

>>> import tensorflow as tf
>>> a, b = tf.constant([[1.0, 2.0, 3.0]]), tf.constant([[1.0, 3.0]])
>>> soft_dtw((a[:, :, None] - b[:, None, :]) ** 2, gamma=0.01).numpy().round(3)
array([0.993], dtype=float32)
"""

import functools
import math

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

LANES = 16
NOTHING = -(2**29)  # the power of two of what counts as 0


def soft_dtw(cost: tf.Tensor, gamma: float = 1.0) -> tf.Tensor:
    """Return the soft minimum of the costs of all alignments."""
    return _module()["value"](cost, gamma=gamma)


@functools.cache
def _module() -> tftvm.Module:
    gradient = {"value": tftvm.Gradient("value_grad", takes=["args", "grads"])}
    return tftvm.build({"value": _value, "value_grad": _value_grad}, gradient=gradient)


def _exp2(x):
    """Return 2**x for -0.5 <= x <= 0.5."""
    result = T.float32(0)
    for k in range(6, -1, -1):
        result = result * x + T.float32(math.log(2) ** k / math.factorial(k))
    return result


def _shifted(x, k):
    """Return x * 2**(k - 127), where k is less than 255."""
    return x * T.reinterpret("float32", T.shift_left(T.max(k, 0), 23))


def _logarithm(cost, gamma, b, n, m, i, j):
    """Return the binary logarithm of a cell's weight, exp(-cost / gamma)."""
    x = cost[b, T.max(T.min(i, n - 1), 0), T.max(T.min(j, m - 1), 0)]
    x = T.max(x * (T.float32(-1 / math.log(2)) / gamma), T.float32(2 * NOTHING))
    inside = T.And(i < n, T.And(j >= 0, j < m))
    return T.Select(inside, T.min(x, T.float32(-2 * NOTHING)), T.float32(2 * NOTHING))


@T.macro
def _clear(fraction, power, row, v):
    for lane in T.vectorized(LANES):
        fraction[row, (v + 1) * LANES + lane] = T.float32(0)
        power[row, (v + 1) * LANES + lane] = NOTHING


@T.macro
def _begin(fraction, power, at, v):
    """The place before the first one holds 1, and what is beside it holds 0."""
    for row, w in T.grid(2, 3):
        _clear(fraction, power, row, v + w)
    fraction[0, LANES + at] = T.float32(1)
    power[0, LANES + at] = 0


@T.macro
def _visit(fraction, power, totals, tops, cost, gamma, b, n, m, d, row, near, far, way):
    """Multiply the sum of what three neighbours hold by the weight of each cell."""
    first: T.let = T.max(d - m + 1, 0) // LANES
    last: T.let = T.min(d, n - 1) // LANES
    _clear(fraction, power, row, first - 1)
    _clear(fraction, power, row, last + 1)
    for v in range(first, last + 1):
        for lane in T.vectorized(LANES):
            i: T.let = (v + 1) * LANES + lane
            top: T.let = (
                T.max(T.max(power[near, i - way], power[near, i]), power[far, i - way]) - 127
            )
            total: T.let = (
                _shifted(fraction[near, i - way], power[near, i - way] - top)
                + _shifted(fraction[near, i], power[near, i] - top)
                + _shifted(fraction[far, i - way], power[far, i - way] - top)
            )
            x: T.let = _logarithm(cost, gamma, b, n, m, i - LANES, d - i + LANES)
            whole: T.let = T.round(x)
            bits: T.let = T.reinterpret("int32", total * _exp2(x - whole))
            more: T.let = T.shift_right(bits, 23) + whole.astype("int32")
            totals[i] = total
            tops[i] = top
            power[row, i] = T.max(T.min(top + more, -NOTHING), NOTHING)
            fraction[row, i] = T.reinterpret(
                "float32", T.bitwise_or(T.bitwise_and(bits, 0x7FFFFF), 0x3F800000)
            )


@T.prim_func(s_tir=True)
def _value(cost_handle: T.handle, gamma: T.float32, value_handle: T.handle):
    batch, n, m = T.int32(), T.int32(), T.int32()
    cost = T.match_buffer(cost_handle, (batch, n, m), "float32")
    value = T.match_buffer(value_handle, (batch,), "float32")
    for b in T.parallel(batch):
        fraction = T.alloc_buffer((3, n + 3 * LANES), "float32")
        power = T.alloc_buffer((3, n + 3 * LANES), "int32")
        totals = T.alloc_buffer((n + 3 * LANES,), "float32")
        tops = T.alloc_buffer((n + 3 * LANES,), "int32")
        value[b] = T.if_then_else(n == m, T.float32(0), T.float32(float("inf")))
        if T.And(n > 0, m > 0):
            _begin(fraction, power, -1, -1)
            for d in range(n + m - 1):
                row: T.let = (d + 2) % 3
                _visit(
                    fraction,
                    power,
                    totals,
                    tops,
                    cost,
                    gamma,
                    b,
                    n,
                    m,
                    d,
                    row,
                    (d + 1) % 3,
                    d % 3,
                    1,
                )
            value[b] = T.float32(float("inf"))
            if power[(n + m) % 3, n - 1 + LANES] > NOTHING // 2:
                value[b] = (T.float32(-math.log(2)) * gamma) * (
                    power[(n + m) % 3, n - 1 + LANES].astype("float32")
                    + T.log2(fraction[(n + m) % 3, n - 1 + LANES])
                )


@T.prim_func(s_tir=True)
def _value_grad(
    cost_handle: T.handle, gamma: T.float32, dvalue_handle: T.handle, dcost_handle: T.handle
):
    batch, n, m = T.int32(), T.int32(), T.int32()
    cost = T.match_buffer(cost_handle, (batch, n, m), "float32")
    dvalue = T.match_buffer(dvalue_handle, (batch,), "float32")
    dcost = T.match_buffer(dcost_handle, (batch, n, m), "float32")
    for b in T.parallel(T.if_then_else(T.And(n > 0, m > 0), batch, 0)):
        fraction = T.alloc_buffer((n + m + 1, n + 3 * LANES), "float32")
        power = T.alloc_buffer((n + m + 1, n + 3 * LANES), "int32")
        fraction_back = T.alloc_buffer((3, n + 3 * LANES), "float32")
        power_back = T.alloc_buffer((3, n + 3 * LANES), "int32")
        totals = T.alloc_buffer((n + 3 * LANES,), "float32")
        tops = T.alloc_buffer((n + 3 * LANES,), "int32")
        _begin(fraction, power, -1, -1)
        for d in range(n + m - 1):
            _visit(fraction, power, totals, tops, cost, gamma, b, n, m, d, d + 2, d + 1, d, 1)
        all_fraction: T.let = fraction[n + m, LANES + n - 1]
        all_power: T.let = T.max(power[n + m, LANES + n - 1], NOTHING // 2)
        _begin(fraction_back, power_back, n, (n - 1) // LANES - 1)
        for q in range(n + m - 1):
            d: T.let = n + m - 2 - q
            row: T.let = (q + 2) % 3
            near: T.let = (q + 1) % 3
            _visit(
                fraction_back,
                power_back,
                totals,
                tops,
                cost,
                gamma,
                b,
                n,
                m,
                d,
                row,
                near,
                q % 3,
                -1,
            )
            for v in range(T.max(d - m + 1, 0) // LANES, T.min(d, n - 1) // LANES + 1):
                for lane in T.vectorized(LANES):
                    i: T.let = (v + 1) * LANES + lane
                    share: T.let = fraction[d + 2, i] / all_fraction * totals[i]
                    fraction[d + 2, i] = _shifted(
                        share, power[d + 2, i] - all_power + tops[i] + 254
                    )
        for v, w in T.grid((n + LANES - 1) // LANES, (m + LANES - 1) // LANES):
            for i, j in T.grid(T.min(n - v * LANES, LANES), T.min(m - w * LANES, LANES)):
                dcost[b, v * LANES + i, w * LANES + j] = (
                    fraction[(v + w) * LANES + i + j + 2, (v + 1) * LANES + i] * dvalue[b]
                )
