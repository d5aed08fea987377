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
"""Gradients that TensorFlow keeps as IndexedSlices: what gradients are called with and return."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer, Weight

tf1 = tf.compat.v1

X = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
ROWS = [0, 0, 2]


def _square(x):
    return te.compute(x.shape, lambda i, j: x[i, j] * x[i, j])


def _square_grad(x, y, dy):
    return te.compute(x.shape, lambda i, j: 2.0 * x[i, j] * dy[i, j])


square = tftvm.op(_square, shapes=["n d"])


@pytest.fixture(scope="module")
def functions():
    """A function whose gradient is another library's, one by name, and an op's derived one."""
    n, d = te.var("n"), te.var("d")
    x, y, dy = (te.placeholder((n, d), "float32", name=name) for name in ("x", "y", "dy"))
    module = tftvm.build(
        {"square": [x, _square(x)], "square_grad": [x, y, dy, _square_grad(x, y, dy)]}
    )
    other = tftvm.build([x, y, dy, _square_grad(x, y, dy)], name="other")["other"]
    return {
        "by name": module.func("square", gradient="square_grad"),
        "other library": module.func("square", gradient=other),
        "TE": tftvm.op(_square, shapes=["n d"], gradient=_square_grad),
        "derived": tftvm.op(_square, shapes=["n d"], gradient="auto"),
        "TensorFlow": tftvm.op(_square, shapes=["n d"], gradient_from=tf.square),
    }


def _gathered(function):
    """Return the gradient of some rows of what a function returns."""

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.gather(function(x), ROWS)
        return tf.convert_to_tensor(tape.gradient(y, x))

    return gradient


EXPECTED = _gathered(tf.square)(tf.constant(X))


@pytest.mark.parametrize("kind", ["by name", "other library", "TE", "derived", "TensorFlow"])
def test_the_gradient_of_gathered_rows(run, functions, kind):
    np.testing.assert_allclose(run(_gathered(functions[kind]), X), EXPECTED)


def test_a_gradient_in_python_is_called_with_tensors(run):
    def gradient(x, y, dy):
        seen.append(dy)
        rows = tf.shape(dy)[0]
        return 2.0 * x * dy[:rows]  # IndexedSlices have no slices of their own

    seen = []
    np.testing.assert_allclose(run(_gathered(square.with_gradient(gradient)), X), EXPECTED)
    assert seen and all(isinstance(dy, tf.Tensor) for dy in seen)
    assert all(dy.shape.is_compatible_with(X.shape) for dy in seen)


def test_a_gradient_in_python_calls_a_tvm_function(run):
    product = tftvm.op(_square_grad, shapes=["n d"] * 3)
    np.testing.assert_allclose(run(_gathered(square.with_gradient(product)), X), EXPECTED)


def test_shapes_are_kept_in_graphs():
    def gradient(x, y, dy):
        shapes.append(dy.shape.as_list())
        return 2.0 * x * dy

    shapes = []
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [3, 2])
        tf1.gradients(tf.gather(square.with_gradient(gradient)(x), ROWS), x)
    assert shapes == [[3, 2]]


def test_slices_without_a_shape(run, functions):
    @tf.custom_gradient
    def row_twice(y):
        slices = tf.IndexedSlices(tf.ones([2, 2]), tf.constant([1, 1]))
        return 2.0 * y[1], lambda _: slices

    def gradient(x, function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = row_twice(function(x))
        return tape.gradient(y, x)

    for function in (*functions.values(), square.with_gradient(lambda x, y, dy: 2.0 * x * dy)):
        actual = run(lambda x, function=function: gradient(x, function), X)
        np.testing.assert_allclose(actual, [[0.0, 0.0], [12.0, 16.0], [0.0, 0.0]])


def _parts(x):
    low = te.compute(x.shape, lambda i, j: te.floor(x[i, j]), name="low")
    sign = te.compute(x.shape, lambda i, j: te.if_then_else(x[i, j] < 3.0, -1, 1), name="sign")
    rest = te.compute(x.shape, lambda i, j: x[i, j] * 10.0, name="rest")
    return low, sign, rest


@pytest.mark.parametrize("used", [[2], [0, 2], [1, 2], [0, 1, 2]])
def test_some_of_several_outputs(run, used):
    def gradient(x, low, sign, rest, d_low, d_rest):
        assert all(isinstance(d, tf.Tensor) for d in (d_low, d_rest))
        return d_low * 100.0 + d_rest * 10.0

    def reference(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.gather(x * 10.0, ROWS)
            if 0 in used:
                total += 100.0 * tf.gather(x, ROWS)
        return tape.gradient(total, x)

    def gathered(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = parts(x)
            total = sum(tf.cast(tf.gather(outputs[i], ROWS), tf.float32) for i in used)
        return tape.gradient(total, x)

    parts = tftvm.op(_parts, shapes=["n d"]).with_gradient(gradient)
    np.testing.assert_allclose(run(gathered, X), tf.convert_to_tensor(reference(tf.constant(X))))


def test_second_order(run):
    def twice(function):
        def gradient(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                dx = _gathered(function)(x) ** 2
                rows = tf.gather(dx, [0])
            return tf.convert_to_tensor(outer.gradient(rows, x))

        return gradient

    expected = twice(tf.square)(tf.constant(X))
    from_tensorflow = tftvm.op(_square, shapes=["n d"], gradient_from=tf.square)
    in_python = square.with_gradient(lambda x, y, dy: 2.0 * x * dy)
    for function in (from_tensorflow, in_python):
        np.testing.assert_allclose(run(twice(function), X), expected)


# What a gradient returns.

TABLE = np.arange(10, dtype=np.float32).reshape(5, 2)
INDICES = np.int32([3, 0, 3])


@tftvm.op(shapes=["rows d", "n"], gradient_from=tf.gather)
def lookup(table, indices):
    """Rows of a table."""
    shape = (indices.shape[0], table.shape[1])
    return te.compute(shape, lambda i, j: table[indices[i], j])


def _rows_grad(table, indices, y, dy):
    return tf.IndexedSlices(dy, indices), None


LOOKUPS = {"reference": lookup, "in Python": lookup.with_gradient(_rows_grad)}


def _table_gradient(function):
    def gradient(table, indices):
        with tf.GradientTape() as tape:
            tape.watch(table)
            y = function(table, indices) ** 2
        return tape.gradient(y, table)

    return gradient


@pytest.mark.parametrize("kind", LOOKUPS)
def test_slices_are_passed_on(kind):
    gradient = _table_gradient(LOOKUPS[kind])
    table, indices = tf.Variable(TABLE), tf.constant(INDICES)
    expected = _table_gradient(tf.gather)(table, indices)
    assert isinstance(expected, tf.IndexedSlices)
    traced = tf.function(lambda indices: gradient(table, indices), autograph=False)
    for actual in (gradient(table, indices), traced(indices)):
        assert isinstance(actual, tf.IndexedSlices)
        np.testing.assert_allclose(actual.values, expected.values)
        np.testing.assert_array_equal(actual.indices, expected.indices)
        np.testing.assert_array_equal(actual.dense_shape, TABLE.shape)


@pytest.mark.parametrize("kind", LOOKUPS)
def test_slices_are_passed_on_in_tf1(kind):
    with tf.Graph().as_default(), tf1.Session() as session:
        table = tf1.placeholder(tf.float32, [5, 2])
        y = LOOKUPS[kind](table, tf.constant(INDICES)) ** 2
        (gradient,) = tf1.gradients(y, table)
        assert isinstance(gradient, tf.IndexedSlices)
        values = session.run(gradient.values, {table: TABLE})
    np.testing.assert_allclose(values, 2.0 * TABLE[INDICES])


def test_an_embedding_is_trained_as_that_of_keras():
    layer = TVMLayer(
        lookup.function_for(tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)),
        [Weight("table", [5, 2], initializer=keras.initializers.Constant(TABLE))],
    )
    theirs = keras.layers.Embedding(5, 2, embeddings_initializer=keras.initializers.Constant(TABLE))
    for embedding in (layer, theirs):
        model = keras.Sequential([keras.Input([], dtype="int32"), embedding])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        model.fit(INDICES, np.ones([3, 2], np.float32), epochs=3, verbose=0)
    np.testing.assert_allclose(layer.weights[0], theirs.weights[0], rtol=1e-5)
    assert (layer.weights[0].numpy()[[1, 2, 4]] == TABLE[[1, 2, 4]]).all()


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (lambda: tf.IndexedSlices(tf.ones([1, 3]), [0]), r"returned shape \(None, 3\) for input 0"),
        (
            lambda: tf.IndexedSlices(tf.ones([1, 2]), [0], [4, 2]),
            r"returned shape \(4, 2\) for input 0, of shape \(3, 2\)",
        ),
        (lambda: tf.IndexedSlices(tf.ones([1, 2], tf.float64), [0]), "returned float64 for input"),
    ],
)
def test_wrong_slices(slices, message):
    with pytest.raises((ValueError, TypeError), match=f"'square'.*{message}"):
        _gathered(square.with_gradient(lambda x, y, dy: slices()))(tf.constant(X))
