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
"""The gallery's functions on matrices, tables and rows, against TensorFlow and NumPy."""

from __future__ import annotations

import doctest
import sys

import numpy as np
import pytest
import tensorflow as tf

from examples.gallery.bias_gelu_residual_layer_norm import bias_gelu_residual_layer_norm
from examples.gallery.cholesky_solve import cholesky_solve
from examples.gallery.embedding_bag import embedding_bag
from examples.gallery.nearest_l1 import nearest_l1
from examples.gallery.small_matmul import small_matmul
from tensorflow_tvm.testing import check_op

# It imports TensorFlow in a process of its own, for what is not special to a kernel.
SKIP = ["new_process"]


def floats(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).standard_normal(shape, np.float32))


def assert_close(actual: tf.Tensor, expected: tf.Tensor, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "function",
    [bias_gelu_residual_layer_norm, cholesky_solve, embedding_bag, nearest_l1, small_matmul],
)
def test_example_in_docstring(function):
    failed, tried = doctest.testmod(sys.modules[function.__module__])
    assert tried and not failed


def test_small_matmul_as_op():
    report = check_op(
        small_matmul, [floats(3, 4, 5), floats(3, 5, 2)], reference=tf.matmul, skip=SKIP
    )
    assert report["gradients"].status == "ok"


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize(
    ("batch", "m", "k", "n"), [(600, 4, 4, 4), (1, 3, 7, 5), (257, 1, 1, 1), (0, 4, 4, 4)]
)
def test_small_matmul(batch, m, k, n, transpose_a, transpose_b):
    a = floats(batch, *((k, m) if transpose_a else (m, k)))
    b = floats(batch, *((n, k) if transpose_b else (k, n)), seed=1)
    results = []
    for matmul in (small_matmul, tf.matmul):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            c = matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
            loss = tf.reduce_sum(c * c)
        results.append([c, *tape.gradient(loss, [a, b])])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected)


def test_small_matmul_leaves_large_matrices_to_tensorflow():
    a, b = floats(2, 20, 30), floats(2, 30, 10)
    assert_close(small_matmul(a, b), tf.matmul(a, b))
    with pytest.raises(tf.errors.InvalidArgumentError):
        small_matmul(a, a)


def systems(batch: int, n: int, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    g = floats(batch, n, n)
    return tf.matmul(g, g, transpose_b=True) + tf.eye(n), floats(batch, n, k, seed=1)


def test_cholesky_solve_as_op():
    def reference(a, b):
        lower = np.tril(a, -1)
        diagonal = a * np.eye(a.shape[-1], dtype=np.float32)
        return np.linalg.solve(lower + lower.swapaxes(-1, -2) + diagonal, b)

    # TensorFlow, which has those of unknown sizes, refuses matrices that are not positive definite.
    report = check_op(
        cholesky_solve,
        [*systems(3, 4, 2)],
        reference=reference,
        rtol=1e-4,
        atol=1e-4,
        skip=[*SKIP, "zero_size"],
    )
    assert report["gradients"].status == "ok"


@pytest.mark.parametrize(
    ("batch", "n", "k"),
    [(33, 6, 1), (16, 2, 1), (5, 3, 2), (1, 16, 1), (17, 5, 3), (0, 4, 1), (3, 1, 1), (2, 20, 4)],
)
def test_cholesky_solve(batch, n, k):
    a, b = systems(batch, n, k)
    results = []
    for solve in (cholesky_solve, tf.linalg.solve):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            # A symmetric matrix, so that it does not matter which of its elements are read.
            x = solve((a + tf.linalg.matrix_transpose(a)) / 2.0, b)
            loss = tf.reduce_sum(x * x)
        results.append([x, *tape.gradient(loss, [a, b])])
    results[0][1] = (results[0][1] + tf.linalg.matrix_transpose(results[0][1])) / 2.0
    results[1][1] = (results[1][1] + tf.linalg.matrix_transpose(results[1][1])) / 2.0
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected, 1e-3)


@pytest.mark.parametrize("worst", [0.0, -1.0, np.nan])
def test_cholesky_solve_of_what_is_not_positive_definite(worst):
    a, b = systems(20, 3, 1)
    expected = cholesky_solve(a, b).numpy()
    a = a.numpy()
    a[7, 1, 1] = worst
    x = cholesky_solve(a, b).numpy()
    assert np.isnan(x[7]).all()
    np.testing.assert_array_equal(np.delete(x, 7, 0), np.delete(expected, 7, 0))


def nearest_of_all(queries: tf.Tensor, points: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    distances = tf.reduce_sum(tf.abs(queries[:, None] - points), axis=2)
    return tf.argmin(distances, axis=1, output_type=tf.int32), tf.reduce_min(distances, axis=1)


def test_nearest_l1_as_op():
    # Without points TensorFlow's argmin is an error.
    report = check_op(
        nearest_l1,
        [floats(5, 3), floats(7, 3, seed=1)],
        reference=nearest_of_all,
        skip=[*SKIP, "zero_size"],
    )
    assert report["gradients"].status == "ok"


@pytest.mark.parametrize(
    ("n", "m", "d"), [(100, 70, 9), (6, 32, 4), (1, 1, 1), (7, 33, 1), (0, 3, 2), (3, 2, 0)]
)
def test_nearest_l1(n, m, d):
    queries, points = floats(n, d), floats(m, d, seed=1)
    results = []
    for nearest in (nearest_l1, nearest_of_all):
        with tf.GradientTape() as tape:
            tape.watch([queries, points])
            index, distance = nearest(queries, points)
            loss = tf.reduce_sum(distance * distance)
        results.append([index, distance, *tape.gradient(loss, [queries, points])])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected)


def test_nearest_l1_of_equal_points_is_the_first():
    points = np.zeros([100, 3], np.float32)
    points[:17] = 1.0
    index, distance = nearest_l1(tf.zeros([2, 3]), points)
    assert index.numpy().tolist() == [17, 17]
    assert distance.numpy().tolist() == [0.0, 0.0]


def test_nearest_l1_where_there_is_none():
    index, distance = nearest_l1([[np.nan, 0.0], [np.inf, 0.0]], floats(40, 2))
    assert index.numpy().tolist() == [-1, -1]
    assert distance.numpy().tolist() == [np.inf, np.inf]
    index, distance = nearest_l1([[0.0, 0.0]], tf.zeros([0, 2]))
    assert index.numpy().tolist() == [-1]
    index, distance = nearest_l1([[0.0, 0.0]], [[np.nan, 0.0], [3.0, 0.0]])
    assert index.numpy().tolist() == [1]


def layer_norm_of_gelu(x, bias, residual, scale, offset):
    z = tf.nn.gelu(x + bias, approximate=True) + residual
    mean, variance = tf.nn.moments(z, [1], keepdims=True)
    return (z - mean) * tf.math.rsqrt(variance + 1e-5) * scale + offset


def rows(n: int, d: int) -> list[tf.Tensor]:
    shapes = [(n, d), (d,), (n, d), (d,), (d,)]
    return [floats(*shape, seed=seed) for seed, shape in enumerate(shapes)]


def test_bias_gelu_residual_layer_norm_as_op():
    report = check_op(
        bias_gelu_residual_layer_norm,
        rows(3, 5),
        reference=layer_norm_of_gelu,
        rtol=1e-4,
        atol=1e-4,
        skip=SKIP,
    )
    assert report["gradients"].status == "ok"


@pytest.mark.parametrize(("n", "d"), [(70, 100), (1, 32), (129, 33), (2, 768), (3, 1), (0, 4)])
def test_bias_gelu_residual_layer_norm(n, d):
    inputs = rows(n, d)
    results = []
    for function in (bias_gelu_residual_layer_norm, layer_norm_of_gelu):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            loss = tf.reduce_sum(y * tf.sin(tf.range(d, dtype=tf.float32)))
        results.append([y, *tape.gradient(loss, inputs)])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected, 1e-3 if d == 1 else 1e-4)


def test_bias_gelu_residual_layer_norm_of_large_numbers():
    x = tf.constant([[-1e30, -100.0, -5.0, 0.0, 5.0, 100.0, 1e3, -3e38]])
    y = bias_gelu_residual_layer_norm(
        x, tf.zeros([8]), tf.zeros([1, 8]), tf.ones([8]), tf.zeros([8])
    )
    assert_close(y, layer_norm_of_gelu(x, tf.zeros([8]), 0.0, 1.0, 0.0), 1e-4)
    x = tf.constant([[np.nan, 1.0], [2.0, 3.0]])
    y = bias_gelu_residual_layer_norm(
        x, tf.zeros([2]), tf.zeros([2, 2]), tf.ones([2]), tf.zeros([2])
    )
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


def bags(table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    numbers = tf.RaggedTensor.from_row_splits(ids, row_splits).value_rowids()
    rows = tf.gather(table, ids) * weights[:, None]
    return tf.math.unsorted_segment_sum(rows, numbers, tf.size(row_splits) - 1)


def test_embedding_bag_as_op():
    ids, row_splits = tf.constant([3, 0, 3, 1], tf.int64), tf.constant([0, 1, 1, 4], tf.int64)
    report = check_op(
        lambda table, weights: embedding_bag(table, ids, weights, row_splits),
        [floats(5, 3), floats(4, seed=1)],
        reference=lambda table, weights: bags(table, ids, weights, row_splits),
        # Entries need a table that has rows.
        skip=[*SKIP, "zero_size"],
    )
    assert report["gradients"].status == "ok"


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize(
    ("v", "d", "lengths"),
    [(100, 64, [3, 0, 90, 1]), (7, 150, [5, 1]), (1, 1, [2]), (9, 17, []), (9, 16, [0, 0])],
)
def test_embedding_bag(v, d, lengths, dtype):
    rng = np.random.default_rng(0)
    row_splits = np.cumsum([0, *lengths]).astype(dtype)
    ids = rng.integers(0, v, row_splits[-1]).astype(dtype)
    table, weights = floats(v, d), floats(row_splits[-1], seed=1)
    results = []
    for function in (embedding_bag, bags):
        with tf.GradientTape() as tape:
            tape.watch([table, weights])
            y = function(table, ids, weights, row_splits)
            loss = tf.reduce_sum(y * y)
        gradients = tape.gradient(loss, [table, weights])
        results.append([y, *map(tf.convert_to_tensor, gradients)])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected, 1e-4)


def test_embedding_bag_passes_over_what_is_no_row():
    table, weights = floats(3, 20), tf.ones([5])
    ids = tf.constant([-1, 1, 3, 2**40, -(2**40)], tf.int64)
    with tf.GradientTape() as tape:
        tape.watch([table, weights])
        y = embedding_bag(table, ids, weights, [0, 5])
    assert_close(y[0], table[1])
    dtable, dweights = tape.gradient(y, [table, weights])
    assert np.flatnonzero(dweights).tolist() == [1]
    assert_close(tf.convert_to_tensor(dtable), [[0.0] * 20, [1.0] * 20, [0.0] * 20])
    # What is no ragged tensor is read where there is something.
    y = embedding_bag(table, [1, 1], [1.0, 2.0], [-5, 1, 9, 0])
    assert_close(y, tf.stack([table[1], 2.0 * table[1], tf.zeros([20])]))
    assert_close(embedding_bag(tf.zeros([0, 4]), [0, 1], [1.0, 1.0], [0, 2]), tf.zeros([1, 4]))
