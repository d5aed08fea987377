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
"""Non-maximum suppression of a detector's boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.non_max_suppression import non_max_suppression

BOXES = 5000
OBJECTS = 500  # that the boxes are found around
LIMIT = 1000
THRESHOLD = 0.5


def make_inputs(generator: np.random.Generator) -> list[np.ndarray]:
    """Return boxes around a few hundred objects, and their scores."""
    which = generator.integers(OBJECTS, size=BOXES)
    centers = generator.random((OBJECTS, 2))[which]
    sizes = generator.uniform(0.05, 0.2, (OBJECTS, 2))[which]
    centers += 0.2 * sizes * generator.normal(size=(BOXES, 2))
    sizes *= np.exp(0.2 * generator.normal(size=(BOXES, 2)))
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    return [boxes.astype(np.float32), generator.random(BOXES, np.float32)]


def ours(boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gallery's."""
    return non_max_suppression(boxes, scores, LIMIT, THRESHOLD)


def one_by_one(boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return those of the op that `tf.image.non_max_suppression` is."""
    return tf.raw_ops.NonMaxSuppressionV4(
        boxes=boxes,
        scores=scores,
        max_output_size=LIMIT,
        iou_threshold=THRESHOLD,
        score_threshold=float("-inf"),
        pad_to_max_output_size=True,
    )


def by_tiles(boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return those of TensorFlow's formulation for devices with much parallelism."""
    return tf.image.non_max_suppression_padded(
        boxes,
        scores,
        LIMIT,
        THRESHOLD,
        pad_to_max_output_size=True,
        canonicalized_coordinates=True,
    )


def check(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Assert that the same boxes are chosen; what comes after them may be anything."""
    count = int(expected[1])
    assert int(actual[1]) == count
    np.testing.assert_array_equal(actual[0][:count], expected[0][:count])


workload = Workload(
    name="non_max_suppression",
    title=f"non-maximum suppression, {BOXES:,} boxes",
    make_inputs=make_inputs,
    ours=ours,
    rivals={"tf.image, one by one": one_by_one, "tf.image, by tiles": by_tiles},
    flops=12 * (LIMIT * LIMIT // 2 + BOXES),
    bytes=BOXES * 20 + LIMIT * 4,
    check=check,
)
