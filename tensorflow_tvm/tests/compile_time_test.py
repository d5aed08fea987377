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
"""Functions that once took minutes to compile, or for ever: seconds of CPU time are limited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm

# Each takes less than 1 s where it is compiled alone; and this is to fail only if it takes minutes.
_MOST_SECONDS = 12.0


def _of(function: Callable[[Any], Any], source: Any) -> Callable[..., Any]:
    return lambda *indices: function(source(*indices))


def _elementwise(function: Callable[[Any], Any], rank: int, steps: int = 1) -> list[Any]:
    shape = tuple(te.var(f"n{axis}") for axis in range(rank))
    tensors = [te.placeholder(shape, "float32", name="x")]
    for step in range(steps):
        tensors.append(te.compute(shape, _of(function, tensors[-1]), name=f"step{step}"))
    return [tensors[0], tensors[-1]]


def _relu_of_tanh(x: Any) -> Any:
    return tirx.max(te.tanh(x), tirx.const(0.0, "float32"))


def _leaky_relu(x: Any) -> Any:
    zero, slope = (tirx.const(value, "float32") for value in (0.0, 0.125))
    return tirx.Select(x > zero, x, x * slope)


def _argmin_of_padded_concatenation() -> list[Any]:
    n = te.var("n")
    x = te.placeholder((n,), "float64", name="x")
    twice = te.compute((n * 2,), lambda i: te.if_then_else(i < n, x[i], x[i - n]), name="twice")
    padded = te.compute(
        (n * 2 + 3,),
        lambda i: te.if_then_else(
            te.all(i >= 1, i < n * 2 + 1), twice[i - 1], tirx.const(0, "float64")
        ),
        name="padded",
    )
    return [x, topi.argmin(padded, axis=0)]


def _argmax_of_pooling() -> list[Any]:
    x = te.placeholder((1, 3, te.var("h"), te.var("w")), "float32", name="x")
    pooled = topi.nn.pool2d(x, [2, 2], [2, 2], [1, 1], [1, 1, 1, 1], "max", layout="NCHW")
    return [x, topi.argmax(pooled, axis=3)]


def _twice_padded(x: tf.Tensor) -> tf.Tensor:
    return tf.pad(tf.concat([x, x], 0), [[1, 2]])


def _pooled(x: tf.Tensor) -> tf.Tensor:
    padded = tf.pad(x, [[0, 0], [0, 0], [1, 1], [1, 1]], constant_values=-np.inf)
    pooled = tf.nn.max_pool2d(tf.transpose(padded, [0, 2, 3, 1]), 2, 2, "VALID")
    return tf.transpose(pooled, [0, 3, 1, 2])


def _repeated(function: Callable[[tf.Tensor], tf.Tensor], steps: int) -> Callable:
    def repeated(x: tf.Tensor) -> tf.Tensor:
        for _ in range(steps):
            x = function(x)
        return x

    return repeated


@pytest.mark.parametrize(
    "make, expected, shape, dtype",
    [
        (lambda: _elementwise(te.cos, 3), tf.cos, [2, 3, 70], "float32"),
        (lambda: _elementwise(te.sin, 4), tf.sin, [1, 2, 3, 70], "float32"),
        (
            lambda: _elementwise(_relu_of_tanh, 4),
            lambda x: tf.nn.relu(tf.tanh(x)),
            [1, 2, 3, 70],
            "float32",
        ),
        (lambda: _elementwise(te.sin, 5, 6), _repeated(tf.sin, 6), [1, 2, 1, 3, 70], "float32"),
        (
            lambda: _elementwise(_leaky_relu, 5, 6),
            _repeated(lambda x: tf.nn.leaky_relu(x, 0.125), 6),
            [1, 2, 1, 3, 70],
            "float32",
        ),
        (
            _argmin_of_padded_concatenation,
            lambda x: tf.argmin(_twice_padded(x), 0, tf.int32),
            [40],
            "float64",
        ),
        (
            _argmax_of_pooling,
            lambda x: tf.argmax(_pooled(x), 3, tf.int32),
            [1, 3, 6, 20],
            "float32",
        ),
    ],
    ids=["cos", "sin", "relu(tanh)", "6 sines", "6 leaky relus", "argmin", "argmax of pooling"],
)
def test_compiles_in_seconds(make, expected, shape, dtype, monkeypatch):
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "")
    tensors = make()
    start = time.process_time()
    module = tftvm.build({"f": tensors})
    assert time.process_time() - start < _MOST_SECONDS
    x = tf.constant(np.random.default_rng(0).standard_normal(shape) * 3, dtype)
    np.testing.assert_allclose(module["f"](x), expected(x), rtol=1e-5, atol=1e-6)
