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
"""Bias, GELU, residual and layer normalisation, as in a transformer's block, in one pass.

y = LayerNorm(GELU(x + bias) + residual)·scale + offset, over the rows of `x: float32[n, d]`. GELU
is the form by tanh (Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016), which is h·σ(2u)
for u = √(2/π)·(h + 0.044715·h³), and takes one exponential and one quotient. Layer normalisation
is by Ba, Kiros and Hinton ("Layer Normalization", 2016).

How it is made fast: memory is all that it should wait for. A row is read once, stays in the cache
while its mean and its variance are found, and is written once. 2ᵗ is a polynomial and some bits of
the exponent, on vectors of 32. The gradient does as much in one pass, and adds up those of bias,
scale and offset in 64 parts.

Examples
--------
>>> import tensorflow as tf
>>> x = tf.constant([[1.0, -2.0, 3.0]])
>>> zeros, ones = tf.zeros([3]), tf.ones([3])
>>> bias_gelu_residual_layer_norm(x, zeros, tf.zeros([1, 3]), ones, zeros).numpy().round(3)
array([[-0.331, -1.025,  1.356]], dtype=float32)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

import tensorflow_tvm as tftvm

_LANES = 32
_PARTS = 64  # of the rows
_EPSILON = 1e-5
_SLOPE, _CUBE = 0.7978845608, 0.044715  # of GELU
# 2^r - 1 for |r| <= 1/2, over r, from the highest power on: exp2f of S. Moshier's Cephes library.
_EXP2 = (1.535336e-4, 1.339887e-3, 9.618437e-3, 5.550333e-2, 2.402265e-1, 6.931472e-1)


def bias_gelu_residual_layer_norm(
    x: Any, bias: Any, residual: Any, scale: Any, offset: Any
) -> tf.Tensor:
    """Return LayerNorm(GELU(x + bias) + residual), times `scale` plus `offset`, of each row.

    Parameters
    ----------
    x, residual : tensor-like
        float32[n, d].
    bias, scale, offset : tensor-like
        float32[d].

    Returns
    -------
    tf.Tensor
        float32[n, d].
    """
    return _compiled()(x, bias, residual, scale, offset)


@functools.cache
def _compiled() -> tftvm.Function:
    name, gradient_name = "bias_gelu_residual_layer_norm", "bias_gelu_residual_layer_norm_grad"
    takes = ["args.0", "args.1", "args.2", "args.3", "grads"]
    module = tftvm.build(
        dict(zip((name, gradient_name), _kernels(), strict=True)),
        gradient={name: tftvm.Gradient(gradient_name, takes=takes)},
    )
    return module[name]


def _kernels() -> tuple[Any, Any]:
    from tvm.script import tirx as T

    def sigmoid_2u(h: Any) -> Any:
        """Return 1 / (1 + 2^t) for t = -2·u·log2(e), which is kept to where exponents have room."""
        factor = -2.0 * _SLOPE * 1.4426950409
        t = h * (h * h * T.float32(factor * _CUBE) + T.float32(factor))
        t = T.Select(t > T.float32(128), T.float32(128), t)  # where it is infinite
        t = T.Select(t < T.float32(-126), T.float32(-126), t)
        whole = T.nearbyint(t)
        power = functools.reduce(lambda p, c: p * (t - whole) + T.float32(c), _EXP2, T.float32(0))
        scale = T.reinterpret("float32", (T.Cast("int32", whole) + 127) << 23)
        return T.float32(1) / ((power * (t - whole) + T.float32(1)) * scale + T.float32(1))

    def each(d: Any, body: Callable[[Any, Any], None]) -> None:
        """Do something for each column, given that and a lane."""
        with T.serial(d // _LANES) as block, T.vectorized(_LANES) as lane:
            body(block * _LANES + lane, lane)
        with T.serial(d % _LANES) as rest:
            body(d // _LANES * _LANES + rest, 0)

    def mean(d: Any, value: Callable[[Any], Any]) -> Any:
        """Return the mean over the columns, of sums in each lane that are added up in pairs."""
        sums = T.alloc_buffer((_LANES,), "float32")
        with T.vectorized(_LANES) as lane:
            T.buffer_store(sums, T.float32(0), [lane])
        each(d, lambda j, lane: T.buffer_store(sums, sums[lane] + value(j), [lane]))
        for half in (16, 8, 4, 2, 1):
            with T.vectorized(half) as lane:
                T.buffer_store(sums, sums[lane] + sums[lane + half], [lane])
        T.buffer_store(sums, sums[0] / T.Cast("float32", d), [0])
        return sums[0]

    def gelu(x: Any, bias: Any, residual: Any, z: Any, slope: Any, i: Any) -> None:
        """Write z = GELU(x + bias) + residual, and the slope of GELU if there is where to."""

        def write(j: Any, _: Any) -> None:
            h = x[i, j] + bias[j]
            s = sigmoid_2u(h)
            T.buffer_store(z, h * s + residual[i, j], [i, j])
            if slope is not None:
                two_du = h * h * T.float32(6 * _SLOPE * _CUBE) + T.float32(2 * _SLOPE)
                T.buffer_store(slope, s + h * s * (T.float32(1) - s) * two_du, [i, j])

        each(x.shape[1], write)

    def normalise(z: Any, i: Any) -> tuple[Any, Any]:
        """Return the mean of a row, and one over its standard deviation."""
        center = mean(z.shape[1], lambda j: z[i, j])
        variance = mean(z.shape[1], lambda j: (z[i, j] - center) * (z[i, j] - center))
        factor = T.alloc_buffer((1,), "float32")
        T.buffer_store(factor, T.float32(1) / T.sqrt(variance + T.float32(_EPSILON)), [0])
        return center, factor[0]

    def forward_row(y: Any, scale: Any, offset: Any, i: Any) -> None:
        center, factor = normalise(y, i)

        def write(j: Any, _: Any) -> None:
            T.buffer_store(y, (y[i, j] - center) * factor * scale[j] + offset[j], [i, j])

        each(y.shape[1], write)

    def backward_row(scale: Any, dy: Any, dx: Any, dz: Any, sums: Any, part: Any, i: Any) -> None:
        """Finish a row of gradients: dx has the slope of GELU, and dz has z."""
        center, factor = normalise(dz, i)

        def add_up(j: Any, _: Any) -> None:
            T.buffer_store(dz, (dz[i, j] - center) * factor, [i, j])
            T.buffer_store(sums, sums[part, 1, j] + dy[i, j] * dz[i, j], [part, 1, j])
            T.buffer_store(sums, sums[part, 2, j] + dy[i, j], [part, 2, j])

        each(dy.shape[1], add_up)
        shift = mean(dy.shape[1], lambda j: dy[i, j] * scale[j])
        slant = mean(dy.shape[1], lambda j: dy[i, j] * scale[j] * dz[i, j])

        def write(j: Any, _: Any) -> None:
            value = (dy[i, j] * scale[j] - shift - dz[i, j] * slant) * factor
            T.buffer_store(dz, value, [i, j])
            T.buffer_store(dx, dx[i, j] * dz[i, j], [i, j])
            T.buffer_store(sums, sums[part, 0, j] + dx[i, j], [part, 0, j])

        each(dy.shape[1], write)

    @T.prim_func(s_tir=True)
    def forward(
        x: T.Buffer(("n", "d"), "float32"),
        bias: T.Buffer(("d",), "float32"),
        residual: T.Buffer(("n", "d"), "float32"),
        scale: T.Buffer(("d",), "float32"),
        offset: T.Buffer(("d",), "float32"),
        y: T.Buffer(("n", "d"), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
        for i in T.parallel(x.shape[0]):
            gelu(x, bias, residual, y, None, i)
            forward_row(y, scale, offset, i)

    @T.prim_func(s_tir=True)
    def backward(
        x: T.Buffer(("n", "d"), "float32"),
        bias: T.Buffer(("d",), "float32"),
        residual: T.Buffer(("n", "d"), "float32"),
        scale: T.Buffer(("d",), "float32"),
        dy: T.Buffer(("n", "d"), "float32"),
        dx: T.Buffer(("n", "d"), "float32"),
        dbias: T.Buffer(("d",), "float32"),
        dresidual: T.Buffer(("n", "d"), "float32"),
        dscale: T.Buffer(("d",), "float32"),
        doffset: T.Buffer(("d",), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
        n, d = T.int32(), T.int32()
        assert d < 2**31 // (3 * _PARTS), "the rows are too long"
        sums = T.alloc_buffer((_PARTS, 3, d), "float32")
        for part in T.parallel(_PARTS):
            for which in range(3):
                for j in range(d):
                    sums[part, which, j] = T.float32(0)
            for i in range(
                part * T.ceildiv(n, _PARTS), T.min((part + 1) * T.ceildiv(n, _PARTS), n)
            ):
                gelu(x, bias, residual, dresidual, dx, i)
                backward_row(scale, dy, dx, dresidual, sums, part, i)
        for part in range(1, _PARTS):
            for which in range(3):
                for j in range(d):
                    sums[0, which, j] = sums[0, which, j] + sums[part, which, j]
        for j in range(d):
            dbias[j] = sums[0, 0, j]
            dscale[j] = sums[0, 1, j]
            doffset[j] = sums[0, 2, j]

    return forward, backward
