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
"""The Euclidean distance transform of a mask."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.distance_transform import distance_transform

SIZE = 512
FAR = 1e6


def make_inputs(generator: np.random.Generator) -> list[np.ndarray]:
    """Return a mask of blobs of many sizes."""
    noise = np.zeros((SIZE, SIZE))
    for cell in (8, 16, 32, 64):
        cells = generator.normal(size=(SIZE // cell, SIZE // cell))
        noise += np.kron(cells, np.ones((cell, cell)))
    return [noise > 0.0]


def _along_columns(mask: tf.Tensor) -> tf.Tensor:
    """Return how far the background is in each pixel's column, by steps of 1, 2, 4, ..."""
    distance = tf.where(mask, FAR, 0.0)
    step = 1
    while step < SIZE:
        padded = tf.pad(distance, [[step, step], [0, 0]], constant_values=FAR)
        near = tf.minimum(padded[: -2 * step], padded[2 * step :])
        distance = tf.minimum(distance, near + float(step))
        step *= 2
    return distance


def parabolas(mask: tf.Tensor) -> tf.Tensor:
    """Widen the parabolas along rows, step by step, until nothing changes.

    To compare all pairs of pixels of a row takes longer, also under XLA.
    """

    def widen(step: tf.Tensor, squares: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        padded = tf.pad(squares, [[0, 0], [1, 1]], constant_values=FAR * FAR)
        near = tf.minimum(padded[:, :-2], padded[:, 2:]) + (2.0 * step - 1.0)
        return step + 1.0, tf.minimum(squares, near), tf.reduce_any(near < squares)

    _, squares, _ = tf.while_loop(
        lambda step, squares, changed: changed,
        widen,
        (tf.constant(1.0), tf.square(_along_columns(mask)), tf.constant(True)),
    )
    return tf.sqrt(squares)


workload = Workload(
    name="distance_transform",
    title=f"Euclidean distance transform, {SIZE}×{SIZE}",
    make_inputs=make_inputs,
    ours=distance_transform,
    rivals={"parabolas": parabolas},
    flops=8 * SIZE * SIZE,
    bytes=SIZE * SIZE * 5,
)
