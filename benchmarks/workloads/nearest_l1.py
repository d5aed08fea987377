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
"""The nearest of 512 points for 4,096 queries, by L1 in 64 dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload, assert_close
from examples.gallery.nearest_l1 import nearest_l1

QUERIES, POINTS, DIMENSIONS = 4096, 512, 64
CHUNK = 64  # queries whose differences to all points fit in the cache


def make_inputs(rng: np.random.Generator) -> list[np.ndarray]:
    """Return queries and points."""
    return [rng.standard_normal((size, DIMENSIONS), np.float32) for size in (QUERIES, POINTS)]


def nearest(distances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return where each row is least, and how little that is."""
    return tf.argmin(distances, axis=1, output_type=tf.int32), tf.reduce_min(distances, axis=1)


def all_at_once(queries: tf.Tensor, points: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Find them in one tensor of all differences."""
    return nearest(tf.reduce_sum(tf.abs(queries[:, None] - points), axis=2))


def by_chunks(queries: tf.Tensor, points: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Find them for some queries at a time."""
    chunks = tf.reshape(queries, [-1, CHUNK, DIMENSIONS])
    found = tf.map_fn(
        lambda chunk: all_at_once(chunk, points), chunks, fn_output_signature=(tf.int32, tf.float32)
    )
    return tuple(tf.reshape(value, [-1]) for value in found)


def by_dimensions(queries: tf.Tensor, points: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Add up the distances, one dimension after the other."""
    columns = tf.transpose(points)
    total = tf.abs(queries[:, :1] - columns[:1])
    for i in range(1, DIMENSIONS):
        total += tf.abs(queries[:, i : i + 1] - columns[i : i + 1])
    return nearest(total)


def check(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> None:
    """Assert that distances agree, and indices but for a few where two points are as near."""
    assert np.mean(ours[0] != theirs[0]) < 1e-3
    assert_close(ours[1:], theirs[1:])


workload = Workload(
    name="nearest_l1",
    title="Nearest neighbour under L1, 4,096×64 against 512",
    make_inputs=make_inputs,
    ours=nearest_l1,
    rivals={"all at once": all_at_once, "by chunks": by_chunks, "by dimensions": by_dimensions},
    # A subtraction, an absolute value and an addition.
    flops=3 * QUERIES * POINTS * DIMENSIONS,
    bytes=((QUERIES + POINTS) * DIMENSIONS + 2 * QUERIES) * 4,
    check=check,
)
