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
"""Edit distances of sequences of integers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.edit_distance import edit_distance

PAIRS, LENGTH, SYMBOLS = 64, 256, 30
WORDS = LENGTH // 32


def make_inputs(random: np.random.Generator) -> list[np.ndarray]:
    a, b = random.integers(0, SYMBOLS, (2, PAIRS, LENGTH), np.int32)
    lengths = np.full(PAIRS, LENGTH, np.int32)
    return [a, b, lengths, lengths]


def sparse(a: tf.Tensor, b: tf.Tensor, a_lengths: tf.Tensor, b_lengths: tf.Tensor) -> tf.Tensor:
    def to_sparse(x: tf.Tensor, lengths: tf.Tensor) -> tf.SparseTensor:
        indices = tf.where(tf.sequence_mask(lengths, LENGTH))
        return tf.SparseTensor(indices, tf.gather_nd(x, indices), [PAIRS, LENGTH])

    distance = tf.edit_distance(to_sparse(a, a_lengths), to_sparse(b, b_lengths), normalize=False)
    return tf.cast(distance, tf.int32)


def antidiagonals(
    a: tf.Tensor, b: tf.Tensor, a_lengths: tf.Tensor, b_lengths: tf.Tensor
) -> tf.Tensor:
    """The usual table, an antidiagonal at a time: place i holds row i."""
    # b backwards, so that what a row is compared with moves by one place a step.
    b = tf.pad(tf.reverse(b, [1]), [[0, 0], [LENGTH + 1, LENGTH + 1]], constant_values=-1)
    a = tf.pad(a, [[0, 0], [1, 0]], constant_values=-2)
    row = tf.range(LENGTH + 1)
    ends = a_lengths + b_lengths

    def step(d: tf.Tensor, far: tf.Tensor, near: tf.Tensor, last: tf.Tensor) -> tuple:
        symbols = tf.slice(b, [0, 2 * LENGTH + 1 - d], [PAIRS, LENGTH + 1])
        change = tf.pad(far[:, :-1], [[0, 0], [1, 0]]) + tf.cast(a != symbols, tf.int32)
        shift = tf.minimum(near, tf.pad(near[:, :-1], [[0, 0], [1, 0]])) + 1
        new = tf.where((row == 0) | (row == d), d, tf.minimum(change, shift))
        return d + 1, near, new, tf.where((ends == d)[:, None], new, last)

    start = tf.zeros([PAIRS, LENGTH + 1], tf.int32)
    loop = (1, start, start, start)
    *_, last = tf.while_loop(
        lambda d, *_: d <= 2 * LENGTH, step, loop, maximum_iterations=2 * LENGTH
    )
    return tf.gather(last, a_lengths, batch_dims=1)


def bit_parallel(
    a: tf.Tensor, b: tf.Tensor, a_lengths: tf.Tensor, b_lengths: tf.Tensor
) -> tf.Tensor:
    """Myers's algorithm, 32 rows in a word."""
    bits = tf.constant([1 << k for k in range(32)], tf.uint32)
    equal = tf.reshape(tf.transpose(a), [1, WORDS, 32, PAIRS]) == tf.transpose(b)[:, None, None]
    matches = tf.reduce_sum(tf.where(equal, bits[:, None], tf.constant(0, tf.uint32)), 2)
    one, zero = (tf.fill([PAIRS], tf.constant(k, tf.uint32)) for k in (1, 0))

    def step(j: tf.Tensor, more: tf.Tensor, less: tf.Tensor) -> tuple:
        more_above, less_above = one, zero
        new_more, new_less = [], []
        words = zip(*map(tf.unstack, (matches[j], more, less)), strict=True)
        for match, up, down in words:
            vertical = match | down
            start = match | less_above
            horizontal = (((start & up) + up) ^ up) | start
            right, left = down | ~(horizontal | up), up & horizontal
            right_above, left_above = right + right | more_above, left + left | less_above
            more_above, less_above = (tf.bitwise.right_shift(x, 31) for x in (right, left))
            new_more.append(left_above | ~(vertical | right_above))
            new_less.append(right_above & vertical)
        goes_on = j < b_lengths
        return (
            j + 1,
            tf.where(goes_on, tf.stack(new_more), more),
            tf.where(goes_on, tf.stack(new_less), less),
        )

    less = tf.zeros([WORDS, PAIRS], tf.uint32)
    _, more, less = tf.while_loop(
        lambda j, *_: j < LENGTH, step, (0, ~less, less), maximum_iterations=LENGTH
    )
    counted = tf.cast(tf.sequence_mask(a_lengths, LENGTH), tf.uint32)
    counted = tf.reshape(tf.transpose(counted), [WORDS, 32, PAIRS]) * bits[:, None]
    counted = tf.reduce_sum(counted, 1)
    more, less = (
        tf.cast(tf.raw_ops.PopulationCount(x=x & counted), tf.int32) for x in (more, less)
    )
    return b_lengths + tf.reduce_sum(more - less, 0)


workload = Workload(
    name="edit_distance",
    title="Edit distance, 64 pairs of length 256",
    make_inputs=make_inputs,
    ours=edit_distance,
    rivals={
        "tf.edit_distance": sparse,
        "antidiagonals": antidiagonals,
        "bit-parallel": bit_parallel,
    },
    # A comparison for each cell, and 20 operations on words of 32 cells.
    flops=PAIRS * LENGTH**2 + 20 * PAIRS * LENGTH * WORDS,
    bytes=4 * (2 * PAIRS * LENGTH + 3 * PAIRS),
)
