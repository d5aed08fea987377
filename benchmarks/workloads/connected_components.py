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
"""The connected components of a mask."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from benchmarks.workloads.distance_transform import SIZE, make_inputs
from benchmarks.workloads.workload import Workload
from examples.gallery.connected_components import connected_components

PIXELS = SIZE * SIZE


def _first_labels(mask: tf.Tensor) -> tf.Tensor:
    """Return a label for each pixel, the greatest for the first, and 0 in the background."""
    return tf.where(mask, tf.reshape(tf.range(PIXELS, 0, -1), [SIZE, SIZE]), 0)


def _greatest_nearby(labels: tf.Tensor) -> tf.Tensor:
    """Return the greatest label of each 3 × 3 pixels."""
    padded = tf.pad(labels, [[1, 1], [0, 0]])
    column = tf.maximum(tf.maximum(padded[:-2], padded[2:]), labels)
    padded = tf.pad(column, [[0, 0], [1, 1]])
    return tf.maximum(tf.maximum(padded[:, :-2], padded[:, 2:]), column)


def _pixel_of(labels: tf.Tensor) -> tf.Tensor:
    """Return the pixel that had each label at first; any for the background's."""
    return tf.minimum(PIXELS - labels, PIXELS - 1)


def _number(labels: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the components' numbers in order, and how many there are."""
    flat = tf.reshape(labels, [-1])
    roots = tf.reshape(tf.equal(labels, _first_labels(mask)) & mask, [-1])
    numbers = tf.cumsum(tf.cast(roots, tf.int32))
    found = tf.reshape(tf.gather(numbers, _pixel_of(flat)), [SIZE, SIZE])
    return tf.where(mask, found, 0), numbers[-1]


def hooking(mask: tf.Tensor, spread: int, jumps: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Hook roots on labels nearby and shorten paths, as Y. Zhang et al., "FastSV" (2020).

    Labels that only spread to neighbours take 20 times as long.
    """
    flat_mask = tf.reshape(mask, [-1])

    def hook(labels: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        nearby = tf.reshape(labels, [SIZE, SIZE])
        for _ in range(spread):
            nearby = tf.where(mask, _greatest_nearby(nearby), 0)
        nearby = tf.reshape(nearby, [-1])
        hooked = tf.math.unsorted_segment_max(nearby, _pixel_of(labels), PIXELS)
        new = tf.where(flat_mask, tf.maximum(nearby, hooked), 0)
        for _ in range(jumps):
            new = tf.where(flat_mask, tf.gather(new, _pixel_of(new)), 0)
        return new, tf.reduce_any(tf.not_equal(new, labels))

    first = tf.reshape(_first_labels(mask), [-1])
    labels, _ = tf.while_loop(lambda labels, changed: changed, hook, (first, tf.constant(True)))
    return _number(tf.reshape(labels, [SIZE, SIZE]), mask)


def check(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Assert that labels and their number are the same."""
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


workload = Workload(
    name="connected_components",
    title=f"connected components, {SIZE}×{SIZE}",
    make_inputs=make_inputs,
    ours=connected_components,
    rivals={
        "hooking": functools.partial(hooking, spread=1, jumps=1),
        "hooking, long steps": functools.partial(hooking, spread=3, jumps=2),
    },
    flops=4 * PIXELS,
    bytes=5 * PIXELS,
    check=check,
)
