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
"""A causal depthwise convolution along time, with gating: what Mamba and Hyena are made of.

    x: float32[b, n, d], weight: float32[k, d], bias: float32[d], gate: float32[b, n, d]
    -> y: float32[b, n, d]

With c[i] = bias + the sum of weight[j] * x[i - k + 1 + j] over j, each channel by itself, it is
y = silu(c) * sigmoid(gate): see A. Gu and T. Dao, "Mamba: Linear-Time Sequence Modeling with
Selective State Spaces" (2023). Everything is done for 64 channels of a moment while they are in
registers, so that each tensor is read and written once. Both sigmoids share a division, and exp is
a polynomial. The gradient computes c again, 32 moments a task, and each task adds up its own part
of what the weights get.

>>> x = [[[1.0], [2.0], [3.0]]]
>>> gated_depthwise_conv(x, [[1.0], [-1.0]], [0.5], tf.zeros([1, 3, 1])).numpy().round(4).ravel()
array([-0.0944, -0.0944, -0.0944], dtype=float32)
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from examples.gallery.exponential import exp

CHANNELS = 64  # at once
MOMENTS = 32  # of a task


@T.inline
def _convolve(x, weight, bias, sums, taps, b, i, start, width):
    for v in T.vectorized(width):
        sums[v] = bias[start + v]
    for k in range(T.max(taps - 1 - i, 0), taps):
        for v in T.vectorized(width):
            sums[v] += weight[k, start + v] * x[b, i - taps + 1 + k, start + v]


@T.inline
def _gated(x, weight, bias, gate, y, sums, taps, b, i, start, width):
    _convolve(x, weight, bias, sums, taps, b, i, start, width)
    for v in T.vectorized(width):
        under: T.let = (1.0 + exp(-sums[v])) * (1.0 + exp(-gate[b, i, start + v]))
        y[b, i, start + v] = sums[v] / under


@T.prim_func(s_tir=True)
def _forward(
    x: T.Buffer(("batch", "n", "d"), "float32"),
    weight: T.Buffer(("taps", "d"), "float32"),
    bias: T.Buffer(("d",), "float32"),
    gate: T.Buffer(("batch", "n", "d"), "float32"),
    y: T.Buffer(("batch", "n", "d"), "float32"),
):
    T.func_attr({"tirx.noalias": True})
    batch, n, d, taps = T.int32(), T.int32(), T.int32(), T.int32()
    blocks: T.let = (n + MOMENTS - 1) // MOMENTS
    for task in T.parallel(batch * blocks):
        sums = T.alloc_buffer((CHANNELS,), "float32")
        b: T.let = task // blocks
        first: T.let = task % blocks * MOMENTS
        for moment in range(T.min(MOMENTS, n - first)):
            for c in range(d // CHANNELS):
                _gated(
                    x, weight, bias, gate, y, sums, taps, b, first + moment, c * CHANNELS, CHANNELS
                )
            for c in range(d % CHANNELS):
                _gated(x, weight, bias, gate, y, sums, taps, b, first + moment, d - 1 - c, 1)


@T.prim_func(s_tir=True)
def _backward(
    x: T.Buffer(("batch", "n", "d"), "float32"),
    weight: T.Buffer(("taps", "d"), "float32"),
    bias: T.Buffer(("d",), "float32"),
    gate: T.Buffer(("batch", "n", "d"), "float32"),
    dy: T.Buffer(("batch", "n", "d"), "float32"),
    dx: T.Buffer(("batch", "n", "d"), "float32"),
    dweight: T.Buffer(("taps", "d"), "float32"),
    dbias: T.Buffer(("d",), "float32"),
    dgate: T.Buffer(("batch", "n", "d"), "float32"),
):
    T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
    batch, n, d, taps = T.int32(), T.int32(), T.int32(), T.int32()
    blocks: T.let = (n + MOMENTS - 1) // MOMENTS
    parts = T.alloc_buffer((batch * blocks, taps + 1, d), "float32")  # of dweight and dbias
    for task in T.parallel(batch * blocks):
        b: T.let = task // blocks
        first: T.let = task % blocks * MOMENTS
        size: T.let = T.min(MOMENTS, n - first)
        # The convolution's gradient, also that of the moments after, which have read these.
        dc = T.alloc_buffer((MOMENTS + taps, d), "float32")
        rows = T.alloc_scalar("int32")
        rows = T.min(size + T.max(taps - 1, 0), n - first)
        for row in range(rows):
            i: T.let = first + row
            for c in range(d):
                dc[row, c] = bias[c]
            for k in range(T.max(taps - 1 - i, 0), taps):
                for c in range(d):
                    dc[row, c] += weight[k, c] * x[b, i - taps + 1 + k, c]
            for c in range(d):
                slope: T.let = 1.0 / (1.0 + exp(-dc[row, c]))
                opened: T.let = 1.0 / (1.0 + exp(-gate[b, i, c]))
                share: T.let = dy[b, i, c] * slope * opened
                if row < size:
                    dgate[b, i, c] = share * dc[row, c] * (1.0 - opened)
                dc[row, c] = share * (1.0 + dc[row, c] * (1.0 - slope))
        for row in range(size):
            for c in range(d):
                dx[b, first + row, c] = 0.0
            for k in range(T.max(row + taps - rows, 0), taps):
                for c in range(d):
                    dx[b, first + row, c] += weight[k, c] * dc[row + taps - 1 - k, c]
        for k in range(taps + 1):
            for c in range(d):
                parts[task, k, c] = 0.0
        for row in range(size):
            for k in range(T.max(taps - 1 - first - row, 0), taps):
                for c in range(d):
                    parts[task, k, c] += dc[row, c] * x[b, first + row - taps + 1 + k, c]
            for c in range(d):
                parts[task, taps, c] += dc[row, c]
    for c in range(d):
        dbias[c] = 0.0
    for k in range(taps):
        for c in range(d):
            dweight[k, c] = 0.0
    for task in range(batch * blocks):
        for c in range(d):
            dbias[c] += parts[task, taps, c]
        for k in range(taps):
            for c in range(d):
                dweight[k, c] += parts[task, k, c]


@functools.cache
def _compiled() -> tftvm.Function:
    functions = {"gated_depthwise_conv": _forward, "gated_depthwise_conv_grad": _backward}
    gradient = tftvm.Gradient("gated_depthwise_conv_grad", takes=["args", "grads"])
    module = tftvm.build(functions, gradient={"gated_depthwise_conv": gradient})
    return module["gated_depthwise_conv"]


def gated_depthwise_conv(x: Any, weight: Any, bias: Any, gate: Any) -> tf.Tensor:
    """Convolve each channel with the moments before, and gate the result.

    Parameters
    ----------
    x : float32 tensor of shape [b, n, d]
        Channels of moments, in order.
    weight : float32 tensor of shape [k, d]
        The last is the present moment's.
    bias : float32 tensor of shape [d]
    gate : float32 tensor of shape [b, n, d]

    Returns
    -------
    tf.Tensor
        silu(convolution + bias) * sigmoid(gate), float32, of the shape of `x`.
    """
    return _compiled()(x, weight, bias, gate)
