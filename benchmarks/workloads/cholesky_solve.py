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
"""20,000 symmetric positive definite systems of 6×6."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.cholesky_solve import cholesky_solve

BATCH, SIZE = 20_000, 6


def make_inputs(rng: np.random.Generator) -> list[np.ndarray]:
    """Return matrices G·Gᵀ + I, and one right side for each."""
    g = rng.standard_normal((BATCH, SIZE, SIZE), np.float32)
    a = g @ g.transpose(0, 2, 1) + np.eye(SIZE, dtype=np.float32)
    return [a, rng.standard_normal((BATCH, SIZE, 1), np.float32)]


def linalg(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return the solutions by TensorFlow's ops for this."""
    return tf.linalg.cholesky_solve(tf.linalg.cholesky(a), b)


def unrolled(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return the solutions by arithmetic on whole batches, element by element of the matrices."""
    rows = [tf.unstack(row) for row in tf.unstack(tf.transpose(a, [1, 2, 0]))]
    y = tf.unstack(tf.transpose(b[:, :, 0]))
    low = [[None] * SIZE for _ in range(SIZE)]
    inverse = []
    for j in range(SIZE):
        for i in range(j, SIZE):
            total = rows[i][j]
            for p in range(j):
                total -= low[i][p] * low[j][p]
            if i == j:
                inverse.append(tf.math.rsqrt(total))
            low[i][j] = total * inverse[j]
    for i in range(SIZE):
        for j in range(i):
            y[i] -= low[i][j] * y[j]
        y[i] *= inverse[i]
    for i in reversed(range(SIZE)):
        for j in range(i + 1, SIZE):
            y[i] -= low[j][i] * y[j]
        y[i] *= inverse[i]
    return tf.stack(y, axis=1)[:, :, None]


def by_columns(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return the solutions, a column of all matrices at a time; the right side is one more row."""
    rest = tf.concat([a, tf.linalg.matrix_transpose(b)], axis=1)
    columns = []
    for j in range(SIZE):
        column = rest[:, :, 0] * tf.math.rsqrt(rest[:, :1, 0])
        columns.append(column)
        below = column[:, 1:]
        rest = rest[:, 1:, 1:] - below[:, :, None] * below[:, None, : SIZE - 1 - j]
    x = []
    for j in reversed(range(SIZE)):
        total = columns[j][:, -1]
        if x:
            total -= tf.reduce_sum(columns[j][:, 1:-1] * tf.stack(x, axis=1), axis=1)
        x.insert(0, total / columns[j][:, 0])
    return tf.stack(x, axis=1)[:, :, None]


workload = Workload(
    name="cholesky_solve",
    title="20,000 Cholesky-solves of 6×6",
    make_inputs=make_inputs,
    ours=cholesky_solve,
    rivals={
        "tf.linalg.cholesky_solve": linalg,
        "tf.linalg.solve": tf.linalg.solve,
        "elements of whole batches": unrolled,
        "columns of whole batches": by_columns,
    },
    # n³/3 to factor, 2·n² to substitute.
    flops=BATCH * (SIZE**3 // 3 + 2 * SIZE**2),
    bytes=BATCH * (SIZE**2 + 2 * SIZE) * 4,
    note="on one core near what memory gives; the work is too short to gain by a second one, "
    "which has to be woken",
)
