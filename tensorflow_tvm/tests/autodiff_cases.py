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
"""Functions of TE whose derivatives autodiff_test.py compares with TensorFlow's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tvm import te, tirx, topi

# What symbolic dimensions are at run time.
SIZES = {"n": 5, "m": 6, "k": 3}


@dataclasses.dataclass(frozen=True)
class Input:
    """An input's shape, in which strings are symbols, and its values."""

    shape: tuple[int | str, ...]
    low: float = -1.0
    high: float = 1.0
    dtype: str | None = None  # that of the case

    @property
    def size(self) -> tuple[int, ...]:
        """The shape at run time."""
        return tuple(SIZES.get(dim, dim) for dim in self.shape)

    def values(self, random: np.random.Generator, dtype: str) -> np.ndarray:
        """Return values of the input's dtype, `dtype` if it has none of its own."""
        dtype = self.dtype or dtype
        if dtype.startswith("int"):
            return random.integers(int(self.low), int(self.high), self.size).astype(dtype)
        return random.uniform(self.low, self.high, self.size).astype(dtype)


@dataclasses.dataclass(frozen=True)
class Case:
    """A function, in TE and in TensorFlow.

    Attributes
    ----------
    name : str
        What it is called in tests.
    te : callable
        Takes placeholders, and returns a TE tensor or several.
    tf : callable
        Takes tensors, and returns the same as `te`.
    inputs : tuple of Input
        What both take.
    dtypes : tuple of str
        Those that it is tested with.
    is_numeric : bool
        Whether differences of its values approximate its derivative; otherwise it has corners.
    """

    name: str
    te: Callable[..., Any]
    tf: Callable[..., Any]
    inputs: tuple[Input, ...]
    dtypes: tuple[str, ...] = ("float64",)
    is_numeric: bool = True

    def placeholders(self, dtype: str) -> list[te.Tensor]:
        """Return TE placeholders for the inputs."""
        sizes = {symbol: te.var(symbol) for symbol in SIZES}
        return [
            te.placeholder(
                [sizes.get(dim, dim) for dim in argument.shape],
                argument.dtype or dtype,
                name=f"x{i}",
            )
            for i, argument in enumerate(self.inputs)
        ]


def of(*shape: int | str, low: float = -1.0, high: float = 1.0, dtype: str | None = None) -> Input:
    """Return an input with values between `low` and `high`."""
    return Input(shape, low, high, dtype)


def positive(*shape: int | str) -> Input:
    """Return an input with values that are no corner of any function."""
    return Input(shape, 0.2, 0.9)


def _elementwise(f: Callable[[Any], Any]) -> Callable[[te.Tensor], te.Tensor]:
    return lambda x: te.compute(x.shape, lambda *i: f(x(*i)), name="y")


def _unary(
    name: str, f: Callable, reference: Callable, low: float = 0.2, high: float = 0.9
) -> Case:
    return Case(
        name, _elementwise(f), reference, (of("n", 3, low=low, high=high),), ("float32", "float64")
    )


def _const(value: float, like: Any) -> Any:
    return tirx.const(value, str(like.ty))


def _log(base: float) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda x: tf.math.log(x) / tf.cast(np.log(base), x.dtype)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return x * (tf.math.erf(x * tf.constant(0.5**0.5, x.dtype)) + 1) * 0.5


INTRINSICS = [
    _unary("exp", tirx.exp, tf.exp, -1),
    _unary("exp2", tirx.exp2, lambda x: 2**x, -1),
    _unary("exp10", tirx.exp10, lambda x: 10**x, -1),
    _unary("log", tirx.log, tf.math.log),
    _unary("log2", tirx.log2, _log(2)),
    _unary("log10", tirx.log10, _log(10)),
    _unary("log1p", tirx.log1p, tf.math.log1p),
    _unary("sqrt", tirx.sqrt, tf.sqrt),
    _unary("rsqrt", tirx.rsqrt, tf.math.rsqrt),
    _unary("tanh", tirx.tanh, tf.tanh, -1),
    _unary("sigmoid", tirx.sigmoid, tf.sigmoid, -1),
    _unary("erf", tirx.erf, tf.math.erf, -1),
    _unary("sin", tirx.sin, tf.sin, -1),
    _unary("cos", tirx.cos, tf.cos, -1),
    _unary("tan", tirx.tan, tf.tan, -1),
    _unary("asin", tirx.asin, tf.asin, -0.8),
    _unary("acos", tirx.acos, tf.acos, -0.8),
    _unary("atan", tirx.atan, tf.atan, -1),
    _unary("sinh", tirx.sinh, tf.sinh, -1),
    _unary("cosh", tirx.cosh, tf.cosh, -1),
    _unary("asinh", tirx.asinh, tf.asinh, -1),
    _unary("acosh", tirx.acosh, tf.acosh, 1.5, 3),
    _unary("atanh", tirx.atanh, tf.atanh, -0.8),
    _unary("abs", tirx.abs, tf.abs, -1, -0.1),
    _unary("floor", lambda x: tirx.floor(x) * x, lambda x: tf.floor(x) * x),
    _unary("ceil", lambda x: tirx.ceil(x) * x, lambda x: tf.math.ceil(x) * x),
    _unary("round", lambda x: tirx.round(x) * x, lambda x: tf.round(x) * x, 0.6),
    _unary("trunc", lambda x: tirx.trunc(x) * x, lambda x: tf.math.floor(x) * x),
    _unary("square", lambda x: x * x, tf.square, -1),
    _unary("cube", lambda x: tirx.pow(x, _const(3, x)), lambda x: x**3, -1),
    _unary("power 2", lambda x: tirx.pow(x, _const(2, x)), lambda x: x**2, -1),
    _unary("power 0.5", lambda x: tirx.pow(x, _const(0.5, x)), tf.sqrt),
    _unary("power of 2", lambda x: tirx.pow(_const(2, x), x), lambda x: 2**x),
    _unary("reciprocal", lambda x: _const(1, x) / x, lambda x: 1 / x),
    _unary(
        "isnan",
        lambda x: tirx.Select(tirx.isnan(x), _const(0, x), x * x),
        lambda x: tf.where(tf.math.is_nan(x), tf.zeros_like(x), x * x),
    ),
    _unary(
        "gelu",
        lambda x: x * (tirx.erf(x * _const(0.5**0.5, x)) + _const(1, x)) * _const(0.5, x),
        _gelu,
        -1,
    ),
    _unary("silu", lambda x: x * tirx.sigmoid(x), tf.nn.silu, -1),
    _unary("softplus", lambda x: tirx.log(tirx.exp(x) + _const(1, x)), tf.nn.softplus, -1),
    _unary(
        "elu",
        lambda x: tirx.Select(x > _const(0, x), x, tirx.exp(x) - _const(1, x)),
        tf.nn.elu,
        -1,
    ),
    Case(
        "pow",
        lambda x, p: topi.power(x, p),
        tf.pow,
        (positive("n", 3), positive("n", 3)),
    ),
    Case(
        "atan2",
        lambda y, x: te.compute(y.shape, lambda i: tirx.atan2(y[i], x[i])),
        tf.atan2,
        (positive("n"), positive("n")),
    ),
    Case(
        "hypot",
        lambda y, x: te.compute(y.shape, lambda i: tirx.hypot(y[i], x[i])),
        lambda y, x: tf.sqrt(y * y + x * x),
        (positive("n"), positive("n")),
    ),
    Case(
        "cast",
        lambda x: te.compute(x.shape, lambda i: (x[i] * x[i]).astype("float64")),
        lambda x: tf.cast(x * x, tf.float64),
        (of("n"),),
        ("float32",),
        is_numeric=False,
    ),
]


def _corner(name: str, te_function: Callable, tf_function: Callable, *inputs: Input) -> Case:
    return Case(name, te_function, tf_function, inputs, is_numeric=False)


CORNERS = [
    _corner("maximum", topi.maximum, tf.maximum, of("n", 4), of("n", 4)),
    _corner("minimum", topi.minimum, tf.minimum, of("n", 4), of("n", 4)),
    _corner("relu", topi.nn.relu, tf.nn.relu, of("n", 4)),
    _corner(
        "leaky relu",
        lambda x: topi.nn.leaky_relu(x, 0.1),
        lambda x: tf.maximum(x, 0.1 * x),
        of("n", 4),
    ),
    _corner(
        "clip", lambda x: topi.clip(x, -0.5, 0.5), lambda x: tf.clip_by_value(x, -0.5, 0.5), of("n")
    ),
    _corner(
        "where",
        lambda x, y: topi.where(topi.greater(x, y), x * x, y),
        lambda x, y: tf.where(x > y, x * x, y),
        of("n", 4),
        of("n", 4),
    ),
    _corner(
        "huber",
        lambda x, y: topi.sum(
            te.compute(
                x.shape,
                lambda i: tirx.if_then_else(
                    tirx.abs(x(i) - y(i)) <= _const(0.5, x(i)),
                    (x(i) - y(i)) * (x(i) - y(i)) * _const(0.5, x(i)),
                    (tirx.abs(x(i) - y(i)) - _const(0.25, x(i))) * _const(0.5, x(i)),
                ),
            )
        ),
        lambda x, y: tf.reduce_sum(
            tf.where(tf.abs(x - y) <= 0.5, 0.5 * tf.square(x - y), 0.5 * (tf.abs(x - y) - 0.25))
        ),
        of("n"),
        of("n"),
    ),
    _corner(
        "max of rows", lambda x: topi.max(x, axis=1), lambda x: tf.reduce_max(x, 1), of("n", 4)
    ),
    _corner("min of all", topi.min, tf.reduce_min, of("n", 4)),
    _corner(
        "max of products",
        lambda x, w: topi.max(topi.multiply(x, w), axis=1),
        lambda x, w: tf.reduce_max(x * w, 1),
        of("n", 4),
        of(4),
    ),
    _corner(
        "L1 distances",
        lambda x, y: _distances(x, y, tirx.abs),
        lambda x, y: tf.reduce_sum(tf.abs(x[:, None] - y[None]), 2),
        of("n", 3),
        of("m", 3),
    ),
    _corner(
        "Chebyshev distances",
        lambda x, y: _reduced(
            (x.shape[0], y.shape[0]),
            (x.shape[1],),
            te.max,
            lambda i, j, k: tirx.abs(x[i, k] - y[j, k]),
        ),
        lambda x, y: tf.reduce_max(tf.abs(x[:, None] - y[None]), 2),
        of("n", 3),
        of("m", 3),
    ),
    _corner(
        "max pool",
        lambda x: topi.nn.pool2d(x, [3, 3], [2, 2], [1, 1], [1, 1, 1, 1], "max", layout="NHWC"),
        lambda x: tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]]),
        of(2, 7, 8, 3),
    ),
    _corner(
        "max pool without overlap",
        lambda x: topi.nn.pool2d(x, [2, 2], [2, 2], [1, 1], [0, 0, 0, 0], "max", layout="NHWC"),
        lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        of(2, 6, 8, 3),
    ),
]


def _reduced(shape: Any, reduce: Any, kind: Callable, element: Callable) -> te.Tensor:
    axes = [te.reduce_axis((0, extent), f"r{i}") for i, extent in enumerate(reduce)]
    return te.compute(
        shape, lambda *i: kind(element(*i, *(axis.var for axis in axes)), axis=axes), name="y"
    )


def _part(x: te.Tensor, kind: Callable, f: Callable) -> te.Tensor:
    k = te.reduce_axis((1, 5), "k")
    return te.compute((x.shape[0],), lambda i: kind(f(x[i, k.var]), axis=k), name="y")


def _distances(x: te.Tensor, y: te.Tensor, f: Callable) -> te.Tensor:
    return _reduced(
        (x.shape[0], y.shape[0]),
        (x.shape[1],),
        te.sum,
        lambda i, j, k: f(x[i, k] - y[j, k]),
    )


def _logsumexp(x: te.Tensor) -> te.Tensor:
    most = topi.max(x, axis=1, keepdims=True)
    return topi.log(topi.sum(topi.exp(x - most), axis=1)) + topi.squeeze(most, 1)


def _layer_norm(x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    mean, variance = tf.nn.moments(x, [1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-5) * scale + bias


REDUCTIONS = [
    Case(
        "sum of rows", lambda x: topi.sum(x, axis=1), lambda x: tf.reduce_sum(x, 1), (of("n", 4),)
    ),
    Case(
        "sum of columns",
        lambda x: topi.sum(x, axis=0),
        lambda x: tf.reduce_sum(x, 0),
        (of("n", 4),),
    ),
    Case("sum", topi.sum, tf.reduce_sum, (of("n", 4),)),
    Case(
        "sum that keeps dimensions",
        lambda x: topi.sum(x, axis=(0, 2), keepdims=True) * x,
        lambda x: tf.reduce_sum(x, (0, 2), keepdims=True) * x,
        (of("n", 4, 3),),
    ),
    Case(
        "mean",
        lambda x: topi.sum(x, axis=1) / x.shape[1].astype(str(x.dtype)),
        lambda x: tf.reduce_mean(x, 1),
        (of("n", "m"),),
        ("float32", "float64"),
    ),
    Case(
        "sums of parts",
        lambda x: _part(x, te.sum, lambda v: v * v),
        lambda x: tf.reduce_sum(tf.square(x[:, 1:5]), 1),
        (of("n", 6),),
    ),
    Case(
        "max of parts",
        lambda x: _part(x, te.max, lambda v: v * v),
        lambda x: tf.reduce_max(tf.square(x[:, 1:5]), 1),
        (of("n", 6),),
        is_numeric=False,
    ),
    Case("product", lambda x: topi.prod(x, axis=1), lambda x: tf.reduce_prod(x, 1), (of("n", 4),)),
    Case(
        "variance",
        lambda x: (
            topi.sum(
                topi.power(x - topi.sum(x, axis=0, keepdims=True) / tirx.const(4.0, x.dtype), 2.0),
                axis=0,
            )
            / tirx.const(4.0, x.dtype)
        ),
        lambda x: tf.math.reduce_variance(x, 0),
        (of(4, "n"),),
    ),
    Case("logsumexp", _logsumexp, lambda x: tf.reduce_logsumexp(x, 1), (of("n", 4),)),
    Case(
        "softmax",
        lambda x: topi.nn.softmax(x, axis=1),
        tf.nn.softmax,
        (of("n", 4),),
        ("float32", "float64"),
    ),
    Case("log softmax", lambda x: topi.nn.log_softmax(x, axis=1), tf.nn.log_softmax, (of("n", 4),)),
    Case(
        "softmax over the first axis",
        lambda x: topi.nn.softmax(x, axis=0),
        lambda x: tf.nn.softmax(x, 0),
        (of(4, "n"),),
    ),
    Case(
        "cross entropy",
        lambda x, p: topi.sum(topi.multiply(p, topi.nn.log_softmax(x, axis=1))) * -1.0,
        lambda x, p: -tf.reduce_sum(p * tf.nn.log_softmax(x)),
        (of("n", 4), positive("n", 4)),
    ),
    Case(
        "layer norm",
        lambda x, scale, bias: topi.nn.layer_norm(x, scale, bias, [1]),
        _layer_norm,
        (of("n", 4), of(4), of(4)),
        ("float32",),
        is_numeric=False,
    ),
    Case(
        "rms norm",
        lambda x, scale: topi.nn.rms_norm(x, scale, [1], 1e-5),
        lambda x, scale: x * tf.math.rsqrt(tf.reduce_mean(x * x, 1, keepdims=True) + 1e-5) * scale,
        (of("n", 4), of(4)),
        ("float32",),
        is_numeric=False,
    ),
    Case(
        "L2 distances",
        lambda x, y: _distances(x, y, lambda d: d * d),
        lambda x, y: tf.reduce_sum(tf.square(x[:, None] - y[None]), 2),
        (of("n", 3), of("m", 3)),
    ),
    Case(
        "norm",
        lambda x: topi.sqrt(topi.sum(topi.multiply(x, x), axis=1)),
        lambda x: tf.norm(x, axis=1),
        (positive("n", 3),),
    ),
]


def _conv(x: tf.Tensor, w: tf.Tensor, strides: Any = 1, padding: Any = "VALID", **kwargs: Any):
    if not isinstance(padding, str):
        padding = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    return tf.nn.conv2d(x, w, strides, padding, **kwargs)


def _dilated(w: tf.Tensor, rate: int) -> tf.Tensor:
    """Return a filter with zeros between its taps: TensorFlow derives no other on processors."""
    rows, columns = w.shape[2:]
    zeros = tf.pad(w[:, :, :, None, :, None], [[0, 0]] * 3 + [[0, rate - 1], [0, 0], [0, rate - 1]])
    wide = tf.reshape(zeros, [*w.shape[:2], rows * rate, columns * rate])
    return wide[:, :, : 1 - rate, : 1 - rate]


def _nchw(f: Callable) -> Callable:
    return lambda x, w, *args, **kwargs: tf.transpose(
        f(tf.transpose(x, [0, 2, 3, 1]), tf.transpose(w, [2, 3, 1, 0]), *args, **kwargs),
        [0, 3, 1, 2],
    )


PRODUCTS = [
    Case("matmul", topi.nn.matmul, tf.matmul, (of("n", "m"), of("m", "k")), ("float32", "float64")),
    Case(
        "matmul of known sizes",
        topi.nn.matmul,
        tf.matmul,
        (of(32, 24), of(24, 40)),
        is_numeric=False,
    ),
    Case(
        "batch matmul",
        lambda a, b: topi.nn.batch_matmul(a, b, transpose_b=False),
        tf.matmul,
        (of(3, 4, 3), of(3, 3, 2)),
    ),
    Case(
        "batch matmul, transposed",
        topi.nn.batch_matmul,
        lambda a, b: tf.matmul(a, b, transpose_b=True),
        (of(2, 4, 3), of(2, 5, 3)),
    ),
    Case(
        "batch matmul, broadcast",
        lambda a, b: topi.nn.batch_matmul(a, b, transpose_b=False),
        tf.matmul,
        (of(2, 4, 3), of(1, 3, 5)),
    ),
    Case(
        "matrix and vector",
        lambda a, x: _reduced((a.shape[0],), (a.shape[1],), te.sum, lambda i, k: a[i, k] * x[k]),
        tf.linalg.matvec,
        (of("n", "m"), of("m")),
    ),
    Case(
        "outer product",
        lambda a, b: te.compute((a.shape[0], b.shape[0]), lambda i, j: a[i] * b[j]),
        lambda a, b: a[:, None] * b[None],
        (of("n"), of("m")),
    ),
    Case(
        "gram",
        lambda x: topi.nn.matmul(x, x, transpose_b=True),
        lambda x: x @ tf.transpose(x),
        (of("n", 4),),
    ),
    Case(
        "einsum",
        lambda a, b: topi.einsum("bij,bkj->bik", a, b),
        lambda a, b: tf.einsum("bij,bkj->bik", a, b),
        (of(2, 3, 4), of(2, 5, 4)),
    ),
    Case(
        "einsum of three",
        lambda a, b, c: topi.einsum("ij,jk,k->i", a, b, c),
        lambda a, b, c: tf.einsum("ij,jk,k->i", a, b, c),
        (of(3, 4), of(4, 5), of(5)),
    ),
    Case(
        "trace",
        lambda x: _reduced((), (4,), te.sum, lambda k: x[k, k]),
        tf.linalg.trace,
        (of(4, 4),),
    ),
    Case(
        "dense and relu",
        lambda x, w, b: topi.nn.relu(topi.nn.dense(x, w, b)),
        lambda x, w, b: tf.nn.relu(x @ tf.transpose(w) + b),
        (of("n", 4), of(5, 4), of(5)),
        ("float32", "float64"),
        is_numeric=False,
    ),
    Case(
        "dense and gelu",
        lambda x, w, b: _elementwise(
            lambda v: v * (tirx.erf(v * _const(0.5**0.5, v)) + _const(1, v)) * _const(0.5, v)
        )(topi.nn.dense(x, w, b)),
        lambda x, w, b: _gelu(x @ tf.transpose(w) + b),
        (of("n", 4), of(5, 4), of(5)),
        ("float32", "float64"),
    ),
    Case(
        "attention",
        lambda q, k, v: topi.nn.batch_matmul(
            topi.nn.softmax(topi.nn.batch_matmul(q, k), axis=2), v, transpose_b=False
        ),
        lambda q, k, v: tf.nn.softmax(tf.matmul(q, k, transpose_b=True)) @ v,
        (of(2, 3, 4), of(2, 5, 4), of(2, 5, 3)),
    ),
    Case(
        "conv1d",
        lambda x, w: topi.nn.conv1d(x, w, 1, 0, 1, out_dtype=str(x.dtype)),
        lambda x, w: tf.transpose(
            tf.nn.conv1d(tf.transpose(x, [0, 2, 1]), tf.transpose(w, [2, 1, 0]), 1, "VALID"),
            [0, 2, 1],
        ),
        (of(2, 3, 8), of(4, 3, 3)),
    ),
    Case(
        "conv1d of any length",
        lambda x, w: _reduced((x.shape[0] - 2,), (3,), te.sum, lambda i, k: x[i + k] * w[k]),
        lambda x, w: tf.nn.conv1d(x[None, :, None], w[:, None, None], 1, "VALID")[0, :, 0],
        (of("m"), of(3)),
    ),
    Case(
        "conv2d NHWC",
        lambda x, w: topi.nn.conv2d_nhwc(x, w, 1, 1, 1, str(x.dtype)),
        lambda x, w: _conv(x, w, 1, 1),
        (of(2, 5, 6, 3), of(3, 3, 3, 4)),
        ("float32", "float64"),
    ),
    Case(
        "conv2d NHWC, strided",
        lambda x, w: topi.nn.conv2d_nhwc(x, w, 2, 1, 1, str(x.dtype)),
        lambda x, w: _conv(x, w, 2, 1),
        (of(2, 6, 7, 3), of(3, 3, 3, 4)),
    ),
    Case(
        "conv2d NCHW",
        lambda x, w: topi.nn.conv2d_nchw(x, w, 1, 1, 1),
        lambda x, w: _nchw(_conv)(x, w, 1, 1),
        (of(2, 3, 5, 6), of(4, 3, 3, 3)),
    ),
    Case(
        "conv2d NCHW, strided",
        lambda x, w: topi.nn.conv2d_nchw(x, w, 2, 1, 1),
        lambda x, w: _nchw(_conv)(x, w, 2, 1),
        (of(2, 3, 6, 7), of(4, 3, 3, 3)),
        ("float32", "float64"),
    ),
    Case(
        "conv2d NCHW, stride 3",
        lambda x, w: topi.nn.conv2d_nchw(x, w, 3, 0, 1),
        lambda x, w: _nchw(_conv)(x, w, 3),
        (of(1, 2, 10, 11), of(2, 2, 2, 2)),
    ),
    Case(
        "conv2d NCHW, dilated",
        lambda x, w: topi.nn.conv2d_nchw(x, w, 1, 0, 2),
        lambda x, w: _nchw(_conv)(x, _dilated(w, 2)),
        (of(2, 3, 7, 8), of(4, 3, 3, 3)),
    ),
    Case(
        "conv2d NCHW, strided and dilated",
        lambda x, w: topi.nn.conv2d_nchw(x, w, 2, 0, 3),
        lambda x, w: _nchw(_conv)(x, _dilated(w, 3), 2),
        (of(1, 2, 9, 10), of(2, 2, 3, 3)),
    ),
    Case(
        "conv2d in groups",
        lambda x, w: topi.nn.group_conv2d_nchw(x, w, 1, 1, 1, 2),
        lambda x, w: tf.concat(
            [
                _nchw(_conv)(x[:, :2], w[:3], 1, 1),
                _nchw(_conv)(x[:, 2:], w[3:], 1, 1),
            ],
            1,
        ),
        (of(1, 4, 5, 5), of(6, 2, 3, 3)),
    ),
    Case(
        "conv2d, transposed",
        lambda x, w: topi.nn.conv2d_transpose_nchw(x, w, (2, 2), (1, 1), str(x.dtype), (0, 0)),
        lambda x, w: tf.transpose(
            tf.nn.conv2d_transpose(
                tf.transpose(x, [0, 2, 3, 1]),
                tf.transpose(w, [2, 3, 1, 0]),
                [2, 7, 9, 2],
                2,
                [[0, 0], [1, 1], [1, 1], [0, 0]],
            ),
            [0, 3, 1, 2],
        ),
        (of(2, 3, 4, 5), of(3, 2, 3, 3)),
    ),
    Case(
        "depthwise conv2d",
        lambda x, w: topi.nn.depthwise_conv2d_nchw(x, w, 1, 1, 1),
        lambda x, w: tf.transpose(
            tf.nn.depthwise_conv2d(
                tf.transpose(x, [0, 2, 3, 1]),
                tf.transpose(w, [2, 3, 0, 1]),
                [1, 1, 1, 1],
                [[0, 0], [1, 1], [1, 1], [0, 0]],
            ),
            [0, 3, 1, 2],
        ),
        (of(2, 3, 5, 6), of(3, 2, 3, 3)),
    ),
    Case(
        "average pool",
        lambda x: topi.nn.pool2d(x, [2, 2], [2, 2], [1, 1], [0, 0, 0, 0], "avg", layout="NHWC"),
        lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
        (of(2, 6, 8, 3),),
    ),
    Case(
        "average pool with padding",
        lambda x: topi.nn.pool2d(
            x, [3, 3], [2, 2], [1, 1], [1, 1, 1, 1], "avg", layout="NHWC", count_include_pad=False
        ),
        lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
        (of(2, 7, 9, 3),),
    ),
    Case(
        "adaptive average pool",
        lambda x: topi.nn.adaptive_pool(x, (2, 5), "avg", layout="NHWC"),
        lambda x: tf.nn.avg_pool2d(x, (2, 1), (2, 1), "VALID"),
        (of(2, 4, 5, 3),),
    ),
    Case(
        "global average pool",
        lambda x: topi.nn.global_pool(x, "avg", layout="NHWC"),
        lambda x: tf.reduce_mean(x, (1, 2), keepdims=True),
        (of(2, 4, 5, 3),),
    ),
]

MOVES = [
    Case(
        "transpose",
        lambda x: topi.transpose(x, (2, 0, 1)),
        lambda x: tf.transpose(x, (2, 0, 1)),
        (of("n", 3, "m"),),
    ),
    Case(
        "reshape", lambda x: topi.reshape(x, (2, 9)), lambda x: tf.reshape(x, (2, 9)), (of(3, 6),)
    ),
    Case(
        "reshape of three",
        lambda x: topi.reshape(x, (4, 15)),
        lambda x: tf.reshape(x, (4, 15)),
        (of(3, 4, 5),),
    ),
    Case(
        "reshape to three",
        lambda x: topi.reshape(x, (5, 2, 6)),
        lambda x: tf.reshape(x, (5, 2, 6)),
        (of(4, 15),),
    ),
    Case(
        "reshape of any size",
        lambda x: topi.reshape(x, (x.shape[0], x.shape[1] * 4)),
        lambda x: tf.reshape(x, (x.shape[0], -1)),
        (of("n", "m", 4),),
    ),
    Case("flatten", topi.nn.flatten, lambda x: tf.reshape(x, (x.shape[0], -1)), (of("n", 3, 4),)),
    Case(
        "slice",
        lambda x: topi.strided_slice(x, [1, 0], [4, 3], [1, 1]),
        lambda x: x[1:4, 0:3],
        (of(5, 4),),
    ),
    Case(
        "strided slice",
        lambda x: topi.strided_slice(x, [1, 6], [4, 0], [2, -2]),
        lambda x: x[1:4:2, 6:0:-2],
        (of(5, 8),),
    ),
    Case(
        "concat",
        lambda x, y, z: topi.concatenate([x, y, z], 1),
        lambda x, y, z: tf.concat([x, y, z], 1),
        (of("n", 3), of("n", 2), of("n", 4)),
    ),
    Case(
        "stack",
        lambda x, y: topi.stack([x, y], 1),
        lambda x, y: tf.stack([x, y], 1),
        (of("n", 3), of("n", 3)),
    ),
    Case(
        "split",
        lambda x: list(topi.split(x, 2, 1)),
        lambda x: tf.split(x, 2, 1),
        (of("n", 6),),
    ),
    Case(
        "pad",
        lambda x: topi.nn.pad(x, (1, 0), (2, 3)),
        lambda x: tf.pad(x, [[1, 2], [0, 3]]),
        (of("n", 4),),
    ),
    Case("tile", lambda x: topi.tile(x, (2, 3)), lambda x: tf.tile(x, (2, 3)), (of(3, 4),)),
    Case("repeat", lambda x: topi.repeat(x, 3, 1), lambda x: tf.repeat(x, 3, 1), (of("n", 4),)),
    Case(
        "broadcast",
        lambda x: topi.broadcast_to(x, (3, 4, 5)),
        lambda x: tf.broadcast_to(x, (3, 4, 5)),
        (of(4, 1),),
    ),
    Case("flip", lambda x: topi.flip(x, 1), lambda x: tf.reverse(x, [1]), (of("n", 4),)),
    Case(
        "shift",
        lambda x: te.compute((x.shape[0] - 2,), lambda i: x[i] - x[i + 1] * 2.0 + x[i + 2]),
        lambda x: x[:-2] - x[1:-1] * 2.0 + x[2:],
        (of("n"),),
    ),
    Case(
        "upsampling",
        lambda x: topi.nn.upsampling(x, 2, 3, "NHWC"),
        lambda x: tf.repeat(tf.repeat(x, 2, 1), 3, 2),
        (of(2, 3, 4, 3),),
        ("float32",),
        is_numeric=False,
    ),
    Case(
        "space to depth",
        lambda x: topi.nn.space_to_depth(x, 2, "NHWC"),
        lambda x: tf.nn.space_to_depth(x, 2),
        (of(1, 4, 6, 3),),
    ),
    Case(
        "depth to space",
        lambda x: topi.nn.depth_to_space(x, 2, "NHWC"),
        lambda x: tf.nn.depth_to_space(x, 2),
        (of(1, 2, 3, 8),),
    ),
    Case(
        "diagonal",
        lambda x: te.compute((4,), lambda i: x[i, i] * x[i, i]),
        lambda x: tf.square(tf.linalg.diag_part(x)),
        (of(4, 4),),
    ),
    Case(
        "upper triangle",
        lambda x: topi.trilu(x, tirx.const(0, "int32"), True),
        lambda x: tf.linalg.band_part(x, 0, -1),
        (of(4, 4),),
    ),
    Case(
        "mirror pad",
        lambda x: topi.nn.mirror_pad(x, (1, 2), (1, 0), "SYMMETRIC"),
        lambda x: tf.pad(x, [[1, 1], [2, 0]], "SYMMETRIC"),
        (of(4, 5),),
    ),
    Case(
        "clamped",
        lambda x: te.compute((9,), lambda i: x[tirx.max(tirx.min(i - 2, 4), 0)]),
        lambda x: tf.gather(x, [0, 0, 0, 1, 2, 3, 4, 4, 4]),
        (of(5),),
    ),
    Case(
        "roll",
        lambda x: te.compute((7,), lambda i: x[(i + 3) % 7]),
        lambda x: tf.roll(x, -3, 0),
        (of(7),),
    ),
    Case(
        "windows",
        lambda x: te.compute((5, 3), lambda i, j: x[i * 2 + j * 2]),
        lambda x: tf.stack([x[0:9:2], x[2:11:2], x[4:13:2]], 1),
        (of(13),),
    ),
    Case(
        "antidiagonals",
        lambda x: te.compute((5, 3), lambda i, j: x[6 - i - j] * x[i]),
        lambda x: tf.stack([tf.stack([x[6 - i - j] * x[i] for j in range(3)]) for i in range(5)]),
        (of(7),),
    ),
    Case(
        "a sum and a remainder",
        lambda x: te.compute((7,), lambda i: x[i // 2 + i % 2]),
        lambda x: tf.gather(x, [i // 2 + i % 2 for i in range(7)]),
        (of(5),),
    ),
    Case(
        "running sum",
        lambda x: _reduced(
            (x.shape[0],),
            (x.shape[0],),
            te.sum,
            lambda i, k: tirx.if_then_else(k <= i, x(k), _const(0, x(k))),
        ),
        tf.cumsum,
        (of("n"),),
    ),
]

BROADCASTS = [
    Case(
        f"{name} of ranks {len(a)} and {len(b)}, {i}",
        getattr(topi, te_name),
        getattr(tf, tf_name),
        (positive(*a), positive(*b)),
    )
    for name, te_name, tf_name in (
        ("sum", "add", "add"),
        ("difference", "subtract", "subtract"),
        ("product", "multiply", "multiply"),
        ("quotient", "divide", "divide"),
    )
    for i, (a, b) in enumerate(
        [(("n", 4), (4,)), ((), ("n", 2)), (("n", 1, 3), (4, 1)), ((2, 3), (2, 1))]
    )
]


def _nested(value: Any, depth: int, f: Callable) -> Any:
    for _ in range(depth):
        value = f(value)
    return value


FUNCTIONS = [
    Case(
        "several outputs",
        lambda x, y: [topi.multiply(x, y), topi.sum(x, axis=1), topi.exp(topi.multiply(x, y))],
        lambda x, y: [x * y, tf.reduce_sum(x, 1), tf.exp(x * y)],
        (of("n", 3), of("n", 3)),
        is_numeric=False,
    ),
    Case(
        "an output that another is made of",
        lambda x: (lambda y: [y, topi.sum(topi.multiply(y, x), axis=1)])(topi.tanh(x)),
        lambda x: [tf.tanh(x), tf.reduce_sum(tf.tanh(x) * x, 1)],
        (of("n", 3),),
        is_numeric=False,
    ),
    Case(
        "an output of integers",
        lambda x: [topi.argmax(x, axis=1), topi.multiply(x, x)],
        lambda x: [tf.argmax(x, 1, tf.int32), x * x],
        (of("n", 3),),
        is_numeric=False,
    ),
    Case(
        "an input of integers",
        lambda x, count: te.compute(x.shape, lambda i: x[i] * count[i].astype(str(x.dtype))),
        lambda x, count: x * tf.cast(count, x.dtype),
        (of("n"), of("n", low=0, high=9, dtype="int32")),
        is_numeric=False,
    ),
    Case(
        "sines of sines",
        lambda x, y: te.compute(x.shape, lambda i: _nested(x(i), 30, lambda v: tirx.sin(v + y[i]))),
        lambda x, y: _nested(x, 30, lambda v: tf.sin(v + y)),
        (of("n"), of("n")),
    ),
    Case(
        "maxima of maxima",
        lambda x: te.compute(
            x.shape, lambda i: _nested(x(i), 4, lambda v: tirx.max(v, v * v * _const(3, v)))
        ),
        lambda x: _nested(x, 4, lambda v: tf.maximum(v, v * v * 3)),
        (of("n"),),
        is_numeric=False,
    ),
    Case(
        "a reversed part, and pairs",
        lambda x, s: te.compute((4,), lambda i: x[7 - i] * s[tirx.floordiv(i, 2)]),
        lambda x, s: tf.reverse(x[4:], [0]) * tf.repeat(s, 2),
        (of(8), of(2)),
        ("float32",),
    ),
    Case(
        "reversed, by thirds",
        lambda x, s: te.compute((8,), lambda i: x[i] * s[tirx.floordiv(7 - i, 3)]),
        lambda x, s: x * tf.repeat(s, [3, 3, 2])[::-1],
        (of(8), of(3)),
    ),
    Case(
        "a choice by data",
        lambda x, y, which: te.compute(
            x.shape, lambda i: tirx.if_then_else(which[i] > 0, x[i] * x[i], y[i])
        ),
        lambda x, y, which: tf.where(which > 0, x * x, y),
        (of("n"), of("n"), of("n", low=0, high=2, dtype="int32")),
        is_numeric=False,
    ),
    Case(
        "an input that is not used",
        lambda x, y: topi.exp(x),
        lambda x, y: tf.exp(x) + 0 * y,
        (of("n"), of("n")),
    ),
    Case("the input itself", lambda x: topi.identity(x), tf.identity, (of("n"),)),
    Case(
        "a perceptron",
        lambda x, w1, b1, w2: topi.sum(
            topi.nn.dense(topi.tanh(topi.nn.dense(x, w1, b1)), w2), axis=0
        ),
        lambda x, w1, b1, w2: tf.reduce_sum(
            tf.tanh(x @ tf.transpose(w1) + b1) @ tf.transpose(w2), 0
        ),
        (of("n", 3), of(4, 3), of(4), of(2, 4)),
        ("float32", "float64"),
    ),
]

CASES = [*INTRINSICS, *CORNERS, *REDUCTIONS, *PRODUCTS, *MOVES, *BROADCASTS, *FUNCTIONS]
