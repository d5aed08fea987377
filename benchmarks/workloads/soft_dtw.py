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
"""Soft dynamic time warping of pairs of sequences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.soft_dtw import soft_dtw

PAIRS, LENGTH, GAMMA = 16, 256, 0.1
DIAGONALS = 2 * LENGTH - 1
NOTHING = -1e10  # the logarithm of 0


def make_inputs(random: np.random.Generator) -> list[np.ndarray]:
    a, b = random.standard_normal((2, PAIRS, LENGTH, 8), np.float32)
    return [((a[:, :, None] - b[:, None]) ** 2).mean(-1)]


def _antidiagonals(cost: tf.Tensor) -> tf.Tensor:
    """Return the logarithms of the weights, [antidiagonal, pair, row]."""
    x = tf.pad(cost / -GAMMA, [[0, 0], [0, 0], [0, LENGTH]], constant_values=NOTHING)
    x = tf.reshape(x, [PAIRS, -1])[:, : LENGTH * DIAGONALS]
    return tf.transpose(tf.reshape(x, [PAIRS, LENGTH, DIAGONALS]), [2, 0, 1])


def _below(x: tf.Tensor) -> tf.Tensor:
    return tf.pad(x[:, :-1], [[0, 0], [1, 0]], constant_values=NOTHING)


def _stacked(x: tf.Tensor, far: tf.Tensor, near: tf.Tensor) -> tf.Tensor:
    return x + tf.reduce_logsumexp(tf.stack([far, near, _below(near)]), 0)


def _written_out(x: tf.Tensor, far: tf.Tensor, near: tf.Tensor) -> tf.Tensor:
    below = _below(near)
    top = tf.maximum(tf.maximum(far, near), below)
    return x + top + tf.math.log(tf.exp(far - top) + tf.exp(near - top) + tf.exp(below - top))


def antidiagonals(cost: tf.Tensor, step: Callable, at_once: int) -> tf.Tensor:
    """One antidiagonal after the other, several of them in each iteration."""
    steps = _antidiagonals(cost)
    blocks = tf.reshape(steps[1:], [-1, at_once, PAIRS, LENGTH])

    def block(k: tf.Tensor, far: tf.Tensor, near: tf.Tensor) -> tuple:
        for x in tf.unstack(blocks[k]):
            far, near = _below(near), step(x, far, near)
        return k + 1, far, near

    count = len(blocks)
    start = (0, tf.fill([PAIRS, LENGTH], NOTHING), steps[0])
    *_, near = tf.while_loop(lambda k, *_: k < count, block, start, maximum_iterations=count)
    return -GAMMA * near[:, -1]


def rows(cost: tf.Tensor) -> tf.Tensor:
    """Row by row: within a row the sums are cumulative ones."""
    x = tf.transpose(cost / -GAMMA, [1, 0, 2])
    sums = tf.cumsum(x, 2)
    before = sums - x

    def step(i: tf.Tensor, above: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        entering = tf.reduce_logsumexp(tf.stack([above, _below(above)]), 0)
        entering = tf.math.cumulative_logsumexp(entering - before[i], 1)
        return i + 1, entering + sums[i]

    _, last = tf.while_loop(lambda i, _: i < LENGTH, step, (1, sums[0]), maximum_iterations=LENGTH)
    return -GAMMA * last[:, -1]


workload = Workload(
    name="soft_dtw",
    title="Soft-DTW, 16 pairs, 256×256",
    make_inputs=make_inputs,
    ours=lambda cost: soft_dtw(cost, gamma=GAMMA),
    rivals={
        "antidiagonals": lambda cost: antidiagonals(cost, _written_out, 1),
        "antidiagonals, 10 at once": lambda cost: antidiagonals(cost, _written_out, 10),
        "antidiagonals, reduce_logsumexp": lambda cost: antidiagonals(cost, _stacked, 1),
        "rows, cumulative_logsumexp": rows,
    },
    # A cell's exponential, the sum of three numbers with powers of their own, and a product.
    flops=40 * PAIRS * LENGTH**2,
    bytes=4 * (PAIRS * LENGTH**2 + PAIRS),
)
