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
"""TVM ops inside what TensorFlow has for loops, branches and maps, and their gradients there."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 5.0


@pytest.fixture(scope="module")
def square():
    """x * x of vectors, with a gradient."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    y = te.compute((n,), lambda i: x[i] * x[i], name="y")
    return tftvm.build([x, y], name="square", gradient="auto")["square"]


@pytest.fixture(params=[False, True], ids=["eager", "function"])
def run(request):
    """Return `run(fn, *tensors)`, which runs `fn` eagerly or in a tf.function."""
    return lambda fn, *args: (tf.function(fn) if request.param else fn)(*args)


def _gradient(fn):
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = fn(x)
        return tape.gradient(y, x)

    return gradient


def check(run, ours, reference):
    """Compare values and gradients."""
    x = tf.constant(X)
    for wrap in (lambda fn: fn, _gradient):
        np.testing.assert_allclose(run(wrap(ours), x), wrap(reference)(x), rtol=1e-5)


def test_map_fn(run, square):
    check(run, lambda x: tf.map_fn(square, x), tf.square)


def test_vectorized_map(run, square):
    check(run, lambda x: tf.vectorized_map(square, x), tf.square)


def test_vectorized_map_of_an_op_that_reads_what_is_not_mapped(run, square):
    row = tf.constant([1.0, 2.0, 3.0])
    check(
        run,
        lambda x: tf.vectorized_map(lambda r: square(r) * square(row), x),
        lambda x: tf.square(x) * tf.square(row),
    )


def test_jacobian(square):
    """tape.jacobian maps gradients over the output's elements."""
    x = tf.constant(X[0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = square(x)
    np.testing.assert_allclose(tape.jacobian(y, x), np.diag(2 * X[0]), rtol=1e-6)


@pytest.mark.parametrize("parallel_iterations", [1, 10])
def test_while_loop(run, square, parallel_iterations):
    def powers(step):
        def ours(x):
            x = x[1]
            return tf.while_loop(
                lambda i, _: i < 3,
                lambda i, x: (i + 1, step(x)),
                [0, x],
                parallel_iterations=parallel_iterations,
            )[1]

        return ours

    check(run, powers(square), powers(tf.square))


def test_while_loop_of_tf1(square):
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [3])
        _, y = tf.while_loop(lambda i, _: i < 2, lambda i, x: (i + 1, square(x)), [0, x])
        (dx,) = tf1.gradients(y, x)
        values = session.run([y, dx], {x: X[1]})
    np.testing.assert_allclose(values, [X[1] ** 4, 4 * X[1] ** 3], rtol=1e-5)


def test_a_loop_of_autograph(square):
    @tf.function
    def power(x, n):
        for _ in tf.range(n):
            if tf.reduce_sum(x) > 0.0:
                x = square(x)
            else:
                x = -x
        return x

    x = tf.constant(X[1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = power(x, tf.constant(3))
    np.testing.assert_allclose(y, X[1] ** 8, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(y, x), 8 * X[1] ** 7, rtol=1e-5)


def test_scan(run, square):
    def scan(step):
        return lambda x: tf.scan(lambda state, row: 0.5 * state + step(row), x)

    check(run, scan(square), scan(tf.square))


@pytest.mark.parametrize("taken", [False, True])
def test_cond(run, square, taken):
    def branch(step):
        def ours(x):
            condition = tf.reduce_sum(x) > (0.0 if taken else 1e6)
            return tf.cond(condition, lambda: step(x[0]), lambda: 3.0 * x[0])

        return ours

    check(run, branch(square), branch(tf.square))


def test_switch_case(run, square):
    def branch(step):
        return lambda x: tf.switch_case(
            tf.cast(x[0, 1] * 5.0, tf.int32), [lambda: x[1], lambda: step(x[1])]
        )

    check(run, branch(square), branch(tf.square))


@pytest.mark.parametrize("calls", [1, 4, tf.data.AUTOTUNE])
def test_map_of_a_data_set(square, calls):
    data = tf.data.Dataset.from_tensor_slices(np.tile(X, [8, 1]))
    data = data.map(square, num_parallel_calls=calls).batch(4)
    for batch in data:
        np.testing.assert_allclose(batch, X * X, rtol=1e-6)


def test_gradients_in_a_data_set(square):
    data = tf.data.Dataset.from_tensor_slices(X).map(_gradient(square), num_parallel_calls=2)
    np.testing.assert_allclose(list(data), 2 * X, rtol=1e-6)


def test_reduce_retracing(square):
    traces = []

    @tf.function(reduce_retracing=True)
    def call(x):
        traces.append(x.shape)
        return _gradient(square)(x)

    for size in (2, 3, 4, 5, 6):
        x = np.arange(size, dtype=np.float32)
        np.testing.assert_allclose(call(tf.constant(x)), 2 * x)
    assert traces == [(2,), (None,)]


def test_a_tape_that_is_kept(run, square):
    def gradients(x):
        x = x[1]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = square(x)
            z = square(y)
        return tf.stack([tape.gradient(y, x), tape.gradient(z, x), tape.gradient(z, y)])

    x = X[1]
    expected = np.stack([2 * x, 4 * x**3, 2 * x * x])
    np.testing.assert_allclose(run(gradients, tf.constant(X)), expected, rtol=1e-5)


def test_stop_gradient(run, square):
    check(
        run,
        lambda x: square(x[1]) * tf.stop_gradient(square(x[1])),
        lambda x: tf.square(x[1]) * tf.stop_gradient(tf.square(x[1])),
    )


def test_a_custom_gradient_around_one(run, square):
    @tf.custom_gradient
    def clipped(x):
        return square(x), lambda dy: tf.clip_by_value(2.0 * x * dy, -1.0, 1.0)

    x = tf.constant(X)
    actual = run(_gradient(lambda x: clipped(x[1])), x)
    expected = np.zeros_like(X)
    expected[1] = np.clip(2 * X[1], -1, 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_nested_functions(square):
    inner = tf.function(square)

    @tf.function
    def outer(x):
        return inner(x) + inner(inner(x))

    x = tf.constant(X[1])
    np.testing.assert_allclose(_gradient(outer)(x), 2 * X[1] + 4 * X[1] ** 3, rtol=1e-5)


def test_the_gradient_of_a_tape_inside_a_function_of_variables(square):
    w = tf.Variable(X[1])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(square(w))
        return tape.gradient(loss, w)

    np.testing.assert_allclose(step(), 2 * X[1], rtol=1e-6)
