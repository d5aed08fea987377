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
"""NaN is what it is to TensorFlow: in results and gradients, whatever the type and the schedule."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import s_tir, te, tirx, topi
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

DTYPES = ("float16", "bfloat16", "float32", "float64")
NAN = float("nan")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _written_sign(x, y):
    """What is written as a choice has its last value for NaN."""
    one, zero = (te.const(number, x.dtype) for number in (1, 0))

    def sign(v):
        return te.if_then_else(v > zero, one, te.if_then_else(v < zero, -one, zero))

    return te.compute(x.shape, lambda *i: sign(x(*i)))


FUNCTIONS = {
    "maximum": (topi.maximum, tf.maximum),
    "minimum": (topi.minimum, tf.minimum),
    "relu": (lambda x, y: topi.nn.relu(x), lambda x, y: tf.nn.relu(x)),
    "of_zero": (
        lambda x, y: te.compute(x.shape, lambda *i: te.max(te.const(0, x.dtype), x(*i))),
        lambda x, y: tf.maximum(tf.cast(0, x.dtype), x),
    ),
    "clip": (
        lambda x, y: topi.clip(x, -1.5, 4.0),
        lambda x, y: tf.clip_by_value(x, tf.cast(-1.5, x.dtype), tf.cast(4, x.dtype)),
    ),
    "sign": (lambda x, y: topi.sign(x), lambda x, y: tf.sign(x)),
    "written_sign": (_written_sign, lambda x, y: tf.cast(x > 0, x.dtype) - tf.cast(x < 0, x.dtype)),
    "abs": (lambda x, y: topi.abs(x), lambda x, y: tf.abs(x)),
    "nested": (
        lambda x, y: topi.minimum(topi.nn.relu(x), topi.maximum(x, y)),
        lambda x, y: tf.minimum(tf.nn.relu(x), tf.maximum(x, y)),
    ),
    "largest": (
        lambda x, y: topi.max(x, axis=1, keepdims=True),
        lambda x, y: tf.reduce_max(x, 1, keepdims=True),
    ),
    "smallest": (
        lambda x, y: topi.min(x, axis=0, keepdims=True),
        lambda x, y: tf.reduce_min(x, 0, keepdims=True),
    ),
}


def _inputs(dtype):
    x = [[NAN, 1, NAN, -2, 0, 5], [2, 3, -1, 4, 7, -6], [NAN, NAN, NAN, 1, NAN, 0.5]]
    y = [[1, NAN, NAN, 3, 0, 5], [NAN, 2, -1, NAN, 6, 8], [3, 1, NAN, 2, NAN, NAN]]
    return tf.cast(tf.constant(x), dtype), tf.cast(tf.constant(y), dtype)


def _equal(result, expected):
    np.testing.assert_array_equal(tf.cast(result, tf.float64), tf.cast(expected, tf.float64))


@pytest.fixture(scope="module")
def library():
    """All functions in all types."""
    functions = {}
    for dtype in DTYPES:
        for name, (function, _) in FUNCTIONS.items():
            x, y = (te.placeholder((te.var("n"), te.var("m")), dtype, name=i) for i in "xy")
            y = te.placeholder(x.shape, dtype, name="y")
            functions[f"{name}_{dtype}"] = [x, y, function(x, y)]
    return tftvm.build(functions)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_results(library, name, dtype):
    inputs = _inputs(dtype)
    _equal(library[f"{name}_{dtype}"](*inputs), FUNCTIONS[name][1](*inputs))


@pytest.mark.parametrize(
    "name, dtype", [*((name, "float32") for name in FUNCTIONS), ("largest", "bfloat16")]
)
def test_gradients(name, dtype):
    ours, theirs = FUNCTIONS[name]
    inputs = _inputs(dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        result = tftvm.op(ours, shapes=["n m", "n m"], gradient="auto")(*inputs)
        expected = theirs(*inputs)
    for x in inputs:
        _equal(
            *(
                tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
                for y in (result, expected)
            )
        )


@pytest.mark.parametrize("size", [3, 100, 70001])
@pytest.mark.parametrize("name", ["max", "min"])
def test_one_among_many(name, size):
    """Wherever it stands: in vectors, among the rest, and in parts that threads share."""
    rows, columns = (
        tftvm.op(lambda x, axis=axis: getattr(topi, name)(x, axis=axis), shapes=["n m"])
        for axis in (1, 0)
    )
    for place in (0, 1, size // 2, size - 1):
        x = np.arange(size, dtype=np.float32)[None] % 50
        x[0, place] = NAN
        assert np.isnan(rows(x)).all()
        assert np.isnan(columns(x.T.repeat(3, 1))).all()


def test_pooling():
    """Unlike tf.nn.max_pool on CPUs, which passes over NaN; as reduce_max does."""
    x = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    x[0, 2, 3] = NAN
    pool = tftvm.op(
        lambda x: topi.nn.pool2d(x, [2, 2], [2, 2], [1, 1], [0] * 4, "max", layout="NHWC")
    )
    expected = x.reshape(1, 3, 2, 3, 2, 1).max((2, 4))
    np.testing.assert_array_equal(pool(x), expected)


@T.prim_func(s_tir=True)
def _vectors(x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32"), z: T.Buffer((64,))):
    for i in T.parallel(4):
        for j in T.vectorized(16):
            with T.sblock("b"):
                v = T.axis.spatial(64, i * 16 + j)
                z[v] = T.max(x[v], y[v]) + T.min(x[v], T.float32(1)) + T.max(T.float32(0), y[v])


def test_author_scheduled():
    x, y = (np.arange(64, dtype=np.float32) for _ in range(2))
    x[[3, 17]] = y[[4, 17, 63]] = NAN
    expected = np.maximum(x, y) + np.minimum(x, 1) + np.maximum(0, y)
    np.testing.assert_array_equal(tftvm.build(_vectors)["_vectors"](x, y), expected)


def test_scheduled_reduction():
    """A reduction whose author has factored it is found by TVM before it is lowered."""
    x = te.placeholder((256,), "float32", name="x")
    k = te.reduce_axis((0, 256))
    result = te.compute((), lambda: te.max(x[k], axis=k), name="largest")
    schedule = s_tir.Schedule(te.create_prim_func([x, result]))
    (loop,) = schedule.get_loops("largest")
    _, inner = schedule.split(loop, [None, 16])
    schedule.rfactor(inner, 0)
    function = tftvm.build(schedule.mod["main"])["main"]
    for place in (0, 100, 255):
        values = np.arange(256, dtype=np.float32)
        values[place] = NAN
        assert np.isnan(function(values))
    assert function(np.full(256, -np.inf, np.float32)) == -np.inf


def test_comparisons():
    """TVM takes what is not less for greater or equal, where it may."""
    x, y = (tf.constant(v) for v in ([NAN, 1.0, -2.0, 3.0], [1.0, NAN, 3.0, -3.0]))
    for ours, theirs in [
        (lambda x, y: topi.logical_not(topi.less(x, y)), lambda x, y: ~tf.less(x, y)),
        (lambda x, y: topi.logical_not(topi.greater_equal(x, y)), lambda x, y: ~(x >= y)),
        (topi.not_equal, tf.not_equal),
        (topi.equal, tf.equal),
        (lambda x, y: topi.cast(x, "bool"), lambda x, y: tf.cast(x, tf.bool)),
    ]:
        result = tftvm.op(ours, shapes=["n", "n"])(x, y)
        np.testing.assert_array_equal(result, theirs(x, y))


def test_rounding_to_bfloat16():
    bits = np.concatenate([np.arange(0, 2**32, 65521), np.arange(0x7F800000, 0x80000000, 4099)])
    x = np.uint32([*bits, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001]).view(np.float32)
    result = tftvm.op(lambda x: topi.cast(x, "bfloat16"), shapes=["n"])(x)
    _equal(result, tf.cast(x, tf.bfloat16))


def test_float8():
    x = np.float32([NAN, 1, NAN, -2]).astype(tf.dtypes.experimental.float8_e5m2.as_numpy_dtype)
    y = np.float32([1, NAN, NAN, 3]).astype(x.dtype)
    result = tftvm.op(topi.maximum, shapes=["n", "n"])(x, y)
    np.testing.assert_array_equal(tf.cast(result, tf.float32), [NAN, NAN, NAN, 3])


def test_integers_stay_maxima():
    """TVM simplifies indices by them."""
    x = te.placeholder((8,), "int32", name="x")
    function = tftvm.build([x, te.compute((8,), lambda i: tirx.max(x[i], x[tirx.min(i + 1, 7)]))])
    values = np.int32([3, -1, 4, 1, -5, 9, 2, 6])
    expected = np.maximum(values, np.append(values[1:], values[-1]))
    np.testing.assert_array_equal(function["main"](values), expected)


@pytest.mark.parametrize("size", [0, 3, 100])
def test_nothing_but_infinities(size):
    x = np.full((size, 3), -np.inf, np.float32)
    largest, smallest = (
        tftvm.op(lambda x, function=function: function(x, axis=0), shapes=["n m"])
        for function in (topi.max, topi.min)
    )
    np.testing.assert_array_equal(largest(x), [-np.inf] * 3)
    np.testing.assert_array_equal(smallest(-x), [np.inf] * 3)


def test_windows_of_infinities():
    pool = tftvm.op(
        lambda x: topi.nn.pool2d(x, [2, 2], [2, 2], [1, 1], [0] * 4, "max", layout="NHWC")
    )
    x = np.full((1, 4, 4, 1), -np.inf, np.float32)
    np.testing.assert_array_equal(pool(x), x[:, :2, :2])
