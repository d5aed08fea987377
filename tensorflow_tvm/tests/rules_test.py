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
"""The rules of the default schedules, each over odd sizes and all floats, against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm

FLOATS = ("float16", "bfloat16", "float32", "float64")
_TOLERANCE = {"float16": 1e-2, "bfloat16": 6e-2, "float32": 1e-5, "float64": 1e-12}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _random(shape, dtype="float32", seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    return tf.cast(tf.constant(values), dtype)


def _check(function, reference, *inputs, shapes=None, tolerance=1.0):
    """Compare `function` with `reference`, which computed in float64, for both ways of shapes."""
    dtype = inputs[0].dtype.name
    expected = reference(*(tf.cast(x, "float64") for x in inputs))
    tolerance *= _TOLERANCE[dtype]
    for given in (None, shapes) if shapes else (None,):
        result = tftvm.op(function, shapes=given)(*inputs)
        assert result.shape == expected.shape
        np.testing.assert_allclose(
            tf.cast(result, "float64"), expected, rtol=tolerance, atol=tolerance
        )


def _rules(*inputs):
    """Return what `explain` says of TE tensors, by block."""
    return {line.block: line.schedule for line in tftvm.explain(list(inputs))}


def _placeholder(*shape, name="x"):
    return te.placeholder(shape, "float32", name=name)


# Elementwise.


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 7, 1000, 40001])
def test_elements(dtype, size):
    _check(
        lambda x: te.compute(x.shape, lambda i: x[i] * x[i] + x[i]),
        lambda x: x * x + x,
        _random([size], dtype),
        shapes=["n"],
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (130, 257), (2, 40000)])
def test_broadcast(dtype, shape):
    _check(
        lambda x, row, column: topi.nn.relu(
            te.compute(x.shape, lambda i, j: x[i, j] * row[j] + column[i])
        ),
        lambda x, row, column: tf.nn.relu(x * row + column[:, None]),
        _random(shape, dtype),
        _random(shape[1:], dtype, 1),
        _random(shape[:1], dtype, 2),
        shapes=["n d", "d", "n"],
    )


@pytest.mark.parametrize(
    "shape",
    [
        *((1100003,), (1, 1100003), (1100003, 1), (1031, 1021), (5, 1, 220007), (101, 103, 107)),
        *((11, 13, 97, 79), (64, 64, 67, 5), (3, 5, 7, 10007), (1, 1050001, 1, 1), (7, 3, 5, 9973)),
        (5, 7, 11, 13, 217),
    ],
)
def test_many_elements_that_threads_share(shape):
    def reverse(x):
        return te.compute(
            x.shape, lambda *i: x(*(n - 1 - j for n, j in zip(x.shape, i, strict=True)))
        )

    x = tf.constant(np.arange(np.prod(shape), dtype="float32").reshape(shape))
    expected = tf.reverse(x, range(len(shape)))
    for names in (None, [" ".join("abcde"[: len(shape)])]):
        np.testing.assert_array_equal(tftvm.op(reverse, shapes=names)(x), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (2, 17, 33), (3, 100, 16), (1, 301, 130), (2, 40, 3), (2, 3, 40), (3, 24, 32)],
)
def test_transpose(dtype, shape):
    _check(
        lambda x: topi.transpose(x, (0, 2, 1)),
        lambda x: tf.transpose(x, (0, 2, 1)),
        _random(shape, dtype),
        shapes=["a b c"],
    )


def test_short_rows_are_transposed_in_order():
    x = _placeholder(8, 3, 100)
    rules = _rules(x, topi.transpose(x, (0, 2, 1)))
    assert rules["T_transpose"].startswith("elements in order")
    x = _placeholder(8, 100, 3)
    assert _rules(x, topi.transpose(x, (0, 2, 1)))["T_transpose"].startswith("squares")


def test_stages_are_computed_where_they_are_needed():
    x = _placeholder(128, 64)
    scaled = te.compute(x.shape, lambda i, j: x[i, j] * 2.0, name="scaled")
    shifted = te.compute(x.shape, lambda i, j: scaled[i, j] + 1.0, name="shifted")
    y = te.compute(x.shape, lambda i, j: te.exp(shifted[i, j]), name="y")
    rules = _rules(x, y)
    assert rules["scaled"] == "computed where it is needed, in shifted"
    assert rules["shifted"] == "computed where it is needed, in y"
    assert rules["y"].startswith("elements in order")


def test_expensive_stages_are_computed_once():
    x = _placeholder(128, 64)
    e = te.compute(x.shape, lambda i, j: te.exp(x[i, j]), name="e")
    y = te.compute((128, 64), lambda i, j: e[i, j] + e[i, 63 - j], name="y")
    assert "computed where" not in _rules(x, y)["e"]
    _check(
        lambda x: te.compute(
            x.shape,
            (lambda e: lambda i, j: e[i, j] + e[i, x.shape[1] - 1 - j])(
                te.compute(x.shape, lambda i, j: te.exp(x[i, j]))
            ),
        ),
        lambda x: tf.exp(x) + tf.reverse(tf.exp(x), [1]),
        _random([33, 17]),
        shapes=["n d"],
    )


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("rows", [33, "n"])
def test_divisions_are_done_once(dtype, rows):
    def divided(x, y, w):
        t = te.compute(x.shape, lambda j: topi.div(x[j], y[j]), name="t")
        return te.compute(w.shape, lambda i, j: t[j] + w[i, j], name="o")

    rows = te.var(rows) if isinstance(rows, str) else rows
    x, y = (te.placeholder((17,), dtype, name=name) for name in "xy")
    w = te.placeholder((rows, 17), dtype, name="w")
    tensors = [x, y, w, divided(x, y, w)]
    assert "computed where" not in _rules(*tensors)["t"]
    a, b, c = (np.arange(n, dtype=dtype) + 1 for n in (17, 17, 33 * 17))
    c = c.reshape(33, 17)
    quotient = a * 5 // b if dtype == "int32" else a * 5 / b
    np.testing.assert_allclose(tftvm.build(tensors)["main"](a * 5, b, c), quotient + c)


def test_divisions_of_as_many_elements_are_done_where_they_are_needed():
    x = _placeholder(128, 64)
    inverse = te.compute(x.shape, lambda i, j: 1.0 / x[i, j], name="inverse")
    y = te.compute(x.shape, lambda i, j: inverse[i, j] * inverse[i, 63 - j], name="y")
    assert _rules(x, y)["inverse"] == "computed where it is needed, in y"
    n = te.var("n")
    i = te.placeholder((n,), "int32", name="i")
    halved = te.compute((n,), lambda j: i[j] // 2, name="halved")
    z = te.compute((n,), lambda j: halved[j] + halved[n - 1 - j], name="z")
    assert _rules(i, z)["halved"] == "computed where it is needed, in z"


# Reductions.

_SHAPES = [(1, 1), (3, 1), (1, 70), (5, 31), (33, 100), (70, 1000), (3, 70000), (70000, 3)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
@pytest.mark.parametrize("shape", _SHAPES)
def test_sum(dtype, axis, shape):
    if dtype in ("float16", "bfloat16") and np.prod(shape) > 1000:
        pytest.skip("adds up beyond its precision")
    _check(
        lambda x: topi.sum(x, axis=axis),
        lambda x: tf.reduce_sum(x, axis),
        _random(shape, dtype),
        shapes=["n d"],
        tolerance=30,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
@pytest.mark.parametrize("shape", _SHAPES)
def test_max_and_min(dtype, axis, shape):
    for ours, reference in ((topi.max, tf.reduce_max), (topi.min, tf.reduce_min)):
        _check(
            lambda x, ours=ours: ours(x, axis=axis),
            lambda x, reference=reference: reference(x, axis),
            _random(shape, dtype),
            shapes=["n d"],
        )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", _SHAPES)
def test_argmax_and_argmin(dtype, axis, shape):
    # Few different values, so that the first of equals has to be found.
    x = np.random.default_rng(0).integers(0, 50, shape).astype(dtype)
    for ours, reference in ((topi.argmax, np.argmax), (topi.argmin, np.argmin)):
        for shapes in (None, ["n d"]):
            op = tftvm.op(
                lambda x, ours=ours: ours(x, axis=axis, select_last_index=False), shapes=shapes
            )
            np.testing.assert_array_equal(op(x), reference(x, axis))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(3, 40, 50, 3), (1, 35, 7, 5), (2, 33, 1, 1), (2, 34, 129, 1), (70, 65, 61, 4)]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_short_columns_side_by_side(dtype, shape, axis):
    _check(
        lambda x: topi.max(x, axis=axis) * 2.0,
        lambda x: tf.reduce_max(x, axis) * 2.0,
        _random(shape, dtype),
        shapes=["n a b 4"] if shape[-1] == 4 else ["n a b c"],
    )
    result = tftvm.op(lambda x: topi.argmax(x, axis=axis))(_random(shape, dtype))
    np.testing.assert_array_equal(result, tf.argmax(_random(shape, dtype), axis))


def test_integer_sums_of_a_wide_tensor():
    x = np.random.default_rng(0).integers(-1000, 1000, [300, 1000]).astype(np.int32)
    for axis in (0, 1, (0, 1)):
        for shapes in (None, ["n d"]):
            op = tftvm.op(lambda x, axis=axis: topi.sum(x, axis=axis), shapes=shapes)
            np.testing.assert_array_equal(op(x), x.sum(axis))


@pytest.mark.parametrize("axis", [0, 1])
def test_two_sums_at_once(axis):
    def function(x):
        size = x.shape[axis]
        k = te.reduce_axis((0, size), name="k")
        both = te.comm_reducer(
            lambda a, b: (a[0] + b[0], a[1] + b[1]),
            lambda *dtypes: tuple(tirx.const(0, dtype) for dtype in dtypes),
        )

        def element(i):
            value = x[i, k] if axis else x[k, i]
            return both((value, value * value), axis=k)

        return te.compute((x.shape[1 - axis],), element, name="sums")

    x = np.float32(_random([77, 333]))
    for shapes in (None, ["n d"]):
        total, squares = tftvm.op(function, shapes=shapes)(x)
        np.testing.assert_allclose(total, x.sum(axis), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(squares, (x * x).sum(axis), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 100), (33, 1000), (1, 40000)])
def test_softmax(dtype, shape):
    for ours, reference in (
        (topi.nn.softmax, tf.nn.softmax),
        (topi.nn.log_softmax, tf.nn.log_softmax),
    ):
        _check(ours, reference, _random(shape, dtype), shapes=["n d"], tolerance=10)


def test_softmax_keeps_a_row_at_a_time():
    x = _placeholder(te.var("n"), 128)
    rules = _rules(x, topi.nn.softmax(x))
    assert len(rules) == 4
    assert all("a row at a time" in rule for rule in rules.values())


def test_products_of_the_same_rows_are_computed_one_by_one():
    x, y, z = (_placeholder(256, 256, name=name) for name in "xyz")
    rules = _rules(x, y, z, topi.nn.matmul(x, y), topi.nn.matmul(x, z))
    assert len(rules) == 2
    assert all("a product of matrices" in rule for rule in rules.values())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_along_every_axis(axis):
    _check(
        lambda x: topi.nn.softmax(x, axis=axis),
        lambda x: tf.nn.softmax(x, axis),
        _random([6, 70, 33]),
        shapes=["a b c"],
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("shape", [(3, 5), (64, 100), (33, 1000)])
def test_layer_norm(dtype, shape):
    def reference(x, gamma, beta):
        mean, variance = tf.nn.moments(x, [1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-5) * gamma + beta

    _check(
        lambda x, gamma, beta: topi.nn.layer_norm(x, gamma, beta, axis=[1]),
        reference,
        _random(shape, dtype),
        _random(shape[1:], dtype, 1),
        _random(shape[1:], dtype, 2),
        shapes=["n d", "d", "d"],
        tolerance=10,
    )


def test_mean_is_finished_in_the_reduction():
    x = _placeholder(64, 128)
    rules = _rules(x, te.compute((64,), lambda i: topi.sum(x, axis=1)[i] / 128.0, name="mean"))
    assert rules["x_red"] == "finished in mean"


# Products of matrices.

_MATRICES = [
    (1, 1, 1),
    (1, 70, 9),
    (5, 3, 4),
    (6, 16, 16),
    (7, 33, 17),
    (64, 64, 64),
    (50, 301, 77),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", _MATRICES)
@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
def test_matmul(dtype, sizes, transposed):
    n, k, m = sizes
    a, b = transposed
    _check(
        lambda x, y: topi.matmul(x, y, a, b),
        lambda x, y: tf.matmul(x, y, a, b),
        _random((k, n) if a else (n, k), dtype),
        _random((m, k) if b else (k, m), dtype, 1),
        shapes=["k n" if a else "n k", "m k" if b else "k m"],
        tolerance=10,
    )


@pytest.mark.parametrize("sizes", [(300, 20, 500), (13, 700, 700)])
def test_large_matmul(sizes):
    n, k, m = sizes
    _check(
        topi.matmul,
        tf.matmul,
        _random((n, k)),
        _random((k, m), seed=1),
        shapes=["n k", "k m"],
        tolerance=10,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("batch", [1, 3, 9])
def test_batch_matmul(dtype, batch):
    def function(x, y):
        k = te.reduce_axis((0, x.shape[2]), name="k")
        shape = (*x.shape[:2], y.shape[2])
        return te.compute(shape, lambda b, i, j: te.sum(x[b, i, k] * y[b, k, j], axis=k))

    _check(
        function,
        tf.matmul,
        _random([batch, 19, 23], dtype),
        _random([batch, 23, 21], dtype, 1),
        shapes=["b n k", "b k m"],
        tolerance=10,
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_dense_with_bias_and_relu(dtype):
    _check(
        lambda x, w, b: topi.nn.relu(topi.add(topi.nn.matmul(x, w), b)),
        lambda x, w, b: tf.nn.relu(x @ w + b),
        _random([19, 65], dtype),
        _random([65, 33], dtype, 1),
        _random([33], dtype, 2),
        shapes=["n k", "k m", "m"],
        tolerance=10,
    )


def test_dense_is_one_block():
    x, w, b = _placeholder(64, 65), _placeholder(65, 33, name="w"), _placeholder(33, name="b")
    rules = _rules(x, w, b, topi.nn.relu(topi.add(topi.nn.matmul(x, w), b)))
    assert rules.pop("compute").startswith("a product of matrices: both packed, tiles of 6 x ")
    assert set(rules.values()) == {"finished in compute", "computed where it is needed, in compute"}


def test_integer_matmul_into_wider_integers():
    x = np.random.default_rng(0).integers(-128, 127, [37, 65]).astype(np.int8)
    y = np.random.default_rng(1).integers(-128, 127, [65, 50]).astype(np.int8)

    def function(x, y):
        k = te.reduce_axis((0, x.shape[1]), name="k")
        return te.compute(
            (x.shape[0], y.shape[1]),
            lambda i, j: te.sum(x[i, k].astype("int32") * y[k, j].astype("int32"), axis=k),
        )

    for shapes in (None, ["n k", "k m"]):
        result = tftvm.op(function, shapes=shapes)(x, y)
        np.testing.assert_array_equal(result, x.astype(np.int32) @ y.astype(np.int32))


# Convolutions and pooling.


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("size", "filters", "stride", "padding", "dilation"),
    [
        ((9, 11), (3, 3), 1, "SAME", 1),
        ((9, 11), (3, 3), 2, "SAME", 1),
        ((10, 7), (1, 1), 1, "VALID", 1),
        ((13, 12), (5, 3), 1, "VALID", 1),
        ((13, 12), (3, 3), 1, "VALID", 2),
    ],
)
def test_conv2d(dtype, size, filters, stride, padding, dilation):
    x, w = _random([2, *size, 5], dtype), _random([*filters, 5, 19], dtype, 1)

    def reference(x, w):
        return tf.nn.conv2d(x, w, stride, padding, dilations=dilation)

    _check(
        lambda x, w: topi.nn.conv2d_nhwc(x, w, stride, padding, dilation, str(x.dtype)),
        reference,
        x,
        w,
        shapes=[f"n {size[0]} {size[1]} 5", f"{filters[0]} {filters[1]} 5 19"],
        tolerance=10,
    )

    def channels_first(x, w):
        return tf.transpose(
            reference(tf.transpose(x, (0, 2, 3, 1)), tf.transpose(w, (2, 3, 1, 0))), (0, 3, 1, 2)
        )

    if padding == "SAME" and stride > 1:
        return  # topi pads evenly there
    _check(
        lambda x, w: topi.nn.conv2d_nchw(x, w, stride, padding, dilation, str(x.dtype)),
        channels_first,
        tf.transpose(x, (0, 3, 1, 2)),
        tf.transpose(w, (3, 2, 0, 1)),
        shapes=[f"n 5 {size[0]} {size[1]}", f"19 5 {filters[0]} {filters[1]}"],
        tolerance=10,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("groups", [2, 3, 6, 12])
def test_grouped_conv2d(dtype, groups):
    x, bias = _random([2, 9, 11, 12], dtype), _random([30 if groups < 12 else 12], dtype, 2)
    w = _random([3, 3, 12 // groups, bias.shape[0]], dtype, 1)

    def reference(x, w, bias):
        return tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME") + bias)

    def channels_last(x, w, bias):
        out = topi.nn.group_conv2d_nhwc(x, w, 1, 1, 1, groups, str(x.dtype))
        return topi.nn.relu(topi.add(out, bias))

    shapes = ["n 9 11 12", f"3 3 {w.shape[2]} {w.shape[3]}", f"{w.shape[3]}"]
    _check(channels_last, reference, x, w, bias, shapes=shapes, tolerance=10)

    def channels_first(x, w, bias):
        out = topi.nn.group_conv2d_nchw(x, w, 1, 1, 1, groups, str(x.dtype))
        return topi.nn.relu(topi.add(out, topi.expand_dims(bias, 1, 2)))

    _check(
        channels_first,
        lambda x, w, bias: tf.transpose(
            reference(tf.transpose(x, (0, 2, 3, 1)), tf.transpose(w, (2, 3, 1, 0)), bias),
            (0, 3, 1, 2),
        ),
        tf.transpose(x, (0, 3, 1, 2)),
        tf.transpose(w, (3, 2, 0, 1)),
        bias,
        shapes=["n 12 9 11", f"{w.shape[3]} {w.shape[2]} 3 3", f"{w.shape[3]}"],
        tolerance=10,
    )


def test_groups_are_a_batch():
    x, w = _placeholder(1, 28, 28, 64), _placeholder(3, 3, 8, 64, name="w")
    rules = _rules(x, w, topi.nn.group_conv2d_nhwc(x, w, 1, 1, 1, 8))
    assert rules["group_conv2d_nhwc"].startswith("a product of matrices: both packed, tiles of ")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("channels", [1, 5, 32])
def test_depthwise_conv2d(dtype, channels):
    _check(
        lambda x, w: topi.nn.depthwise_conv2d_nhwc(x, w, 1, 1, 1),
        lambda x, w: tf.nn.depthwise_conv2d(x, w, [1, 1, 1, 1], "SAME"),
        _random([2, 9, 11, channels], dtype),
        _random([3, 3, channels, 1], dtype, 1),
        shapes=[f"n 9 11 {channels}", f"3 3 {channels} 1"],
        tolerance=3,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 1), (3, 2), (7, 7)])
def test_pooling(dtype, kind, layout, window, stride):
    reference = tf.nn.max_pool2d if kind == "max" else tf.nn.avg_pool2d

    def channels_last(x):
        if layout == "NHWC":
            return reference(x, window, stride, "VALID")
        out = reference(tf.transpose(x, (0, 2, 3, 1)), window, stride, "VALID")
        return tf.transpose(out, (0, 3, 1, 2))

    _check(
        lambda x: topi.nn.pool2d(
            x, [window] * 2, [stride] * 2, [1, 1], [0, 0, 0, 0], kind, layout=layout
        ),
        channels_last,
        _random([2, 14, 21, 5] if layout == "NHWC" else [2, 5, 14, 21], dtype),
        shapes=["n 14 21 5" if layout == "NHWC" else "n 5 14 21"],
        tolerance=3,
    )


# What is left alone.


def test_explain_of_what_its_author_scheduled():
    from tvm import s_tir

    x = _placeholder(64)
    function = te.create_prim_func([x, te.compute((64,), lambda i: x[i] + 1.0, name="y")])
    schedule = s_tir.Schedule(function)
    schedule.parallel(schedule.get_loops("y")[0])
    (line,) = tftvm.explain(schedule, name="f")
    assert line == tftvm.BlockSchedule("f", "", "as written: its author has scheduled it")


def test_explain_of_what_has_no_rule():
    x = _placeholder(64)
    (line,) = tftvm.explain([x, topi.sort(x)])
    assert line.schedule == "as written: it is not a formula for each element"


def test_explain_of_an_op():
    op = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[i] + 1.0, name="y"))
    assert tftvm.explain(op) == ()
    op(tf.ones([3]))
    op(tf.ones([4]))
    lines = tftvm.explain(op)
    assert [line.function for line in lines] == [
        "lambda(x: float32[3]) -> (y: float32[3])",
        "lambda(x: float32[4]) -> (y: float32[4])",
    ]
    assert str(lines).splitlines()[1] == f"  y  {lines[0].schedule}"


def test_explain_for_a_gpu():
    x = _placeholder(1024)
    y = te.compute((1024,), lambda i: x[i] + 1.0, name="y")
    (line,) = tftvm.explain([x, y], target="cuda")
    assert line.schedule == "dlight's Fallback"
