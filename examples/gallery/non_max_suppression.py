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
"""Non-maximum suppression: the best boxes that do not overlap much with better ones.

    boxes: float32[n, 4], scores: float32[n], max_output_size, iou_threshold, score_threshold
    -> indices: int32[max_output_size], count: int32[]

It gives what `tf.image.non_max_suppression` gives, padded with zeros: greedily, by score, those of
equal score in order. Boxes are two opposite corners, y and x of each; scores that are not greater
than `score_threshold` do not count, nor do NaNs. Whether the intersection is greater than
`iou_threshold` times the union is asked by a product, which may round otherwise than a quotient.

Boxes are sorted by a radix sort of 11 bits a pass (D. Knuth, "Sorting and Searching", 5.2.5). Then
32 at a time are in registers, and all boxes chosen before are compared with each of them at once;
last, those that are left are compared with each other.

>>> boxes = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9], [0.0, 2.0, 1.0, 3.0]]
>>> indices, count = non_max_suppression(boxes, [0.5, 0.9, 0.7], max_output_size=3)
>>> indices.numpy(), int(count)
(array([1, 2, 0], dtype=int32), 2)
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

LANES = 16
BLOCK = 2 * LANES  # boxes that are compared at once
DIGITS = 2048
SIDES = 8  # of a box in memory: ymin, xmin, ymax, xmax, its area, and nothing


@T.inline
def _suppress(dead, block, box, which, threshold):
    """Note which boxes of the block overlap too much with one of others."""
    for u in T.unroll(BLOCK // LANES):
        for v in T.vectorized(LANES):
            lane: T.let = u * LANES + v
            height: T.let = T.min(block[2, lane], box[which, 2]) - T.max(
                block[0, lane], box[which, 0]
            )
            width: T.let = T.min(block[3, lane], box[which, 3]) - T.max(
                block[1, lane], box[which, 1]
            )
            common: T.let = T.max(height, T.float32(0)) * T.max(width, T.float32(0))
            union: T.let = block[4, lane] + box[which, 4] - common
            dead[lane] = T.Select(common > threshold * union, 1, dead[lane])


@T.prim_func(s_tir=True)
def _kernel(
    boxes: T.Buffer(("n", 4), "float32"),
    scores: T.Buffer(("n",), "float32"),
    limit: T.Buffer((), "int32"),
    iou_threshold: T.Buffer((), "float32"),
    least_score: T.Buffer((), "float32"),
    indices: T.Buffer(("n",), "int32"),
    count: T.Buffer((), "int32"),
):
    T.func_attr({"tirx.noalias": True})
    n = T.int32()
    keys = T.alloc_buffer((2, n), "uint32")
    order = T.alloc_buffer((2, n), "int32")
    places = T.alloc_buffer((DIGITS,), "int32")
    chosen = T.alloc_buffer((n, SIDES), "float32")
    block = T.alloc_buffer((5, BLOCK), "float32")
    dead = T.alloc_buffer((BLOCK,), "int32")
    number = T.alloc_scalar("int32")
    first = T.alloc_scalar("int32")
    place = T.alloc_scalar("int32")
    number = 0  # of boxes that count
    for i in range(n):
        if scores[i] > least_score[()]:
            # Unsigned integers in the order of the numbers, the greatest first; -0.0 is 0.0.
            score: T.let = T.Select(scores[i] == T.float32(0), T.float32(0), scores[i])
            bits: T.let = T.reinterpret("uint32", score)
            keys[0, number] = T.Select(score < T.float32(0), bits, bits ^ T.uint32(0x7FFFFFFF))
            order[0, number] = i
            number += 1
    for step in range(3):
        source: T.let = step % 2
        for digit in range(DIGITS):
            places[digit] = 0
        for i in range(number):
            digit: T.let = T.Cast(
                "int32", (keys[source, i] >> T.Cast("uint32", step * 11)) & T.uint32(DIGITS - 1)
            )
            places[digit] += 1
        first = 0
        for digit in range(DIGITS):
            place = first
            first += places[digit]
            places[digit] = place
        for i in range(number):
            digit: T.let = T.Cast(
                "int32", (keys[source, i] >> T.Cast("uint32", step * 11)) & T.uint32(DIGITS - 1)
            )
            keys[1 - source, places[digit]] = keys[source, i]
            order[1 - source, places[digit]] = order[source, i]
            places[digit] += 1
    for i in range(n):
        indices[i] = 0
    count[()] = 0
    first = 0
    while first < number and count[()] < limit[()]:
        for u in T.unroll(BLOCK // LANES):
            for v in T.vectorized(LANES):
                dead[u * LANES + v] = 0
        for c in range(T.min(BLOCK, number - first)):
            box: T.let = order[1, first + c]
            block[0, c] = T.min(boxes[box, 0], boxes[box, 2])
            block[1, c] = T.min(boxes[box, 1], boxes[box, 3])
            block[2, c] = T.max(boxes[box, 0], boxes[box, 2])
            block[3, c] = T.max(boxes[box, 1], boxes[box, 3])
            block[4, c] = (block[2, c] - block[0, c]) * (block[3, c] - block[1, c])
        for k in range(count[()]):
            _suppress(dead, block, chosen, k, iou_threshold[()])
        for c in range(T.min(BLOCK, number - first)):
            if dead[c] == 0 and count[()] < limit[()]:
                for side in range(5):
                    chosen[count[()], side] = block[side, c]
                _suppress(dead, block, chosen, count[()], iou_threshold[()])
                indices[count[()]] = order[1, first + c]
                count[()] = count[()] + 1
        first += BLOCK


@functools.cache
def _compiled() -> tftvm.Function:
    return tftvm.build(_kernel, name="non_max_suppression")["non_max_suppression"]


def non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: Any = 0.5,
    score_threshold: Any = float("-inf"),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose boxes greedily, by score, that do not overlap much with those chosen before.

    Parameters
    ----------
    boxes : float32 tensor of shape [n, 4]
    scores : float32 tensor of shape [n]
    max_output_size : int or int32 tensor
    iou_threshold : float or float32 tensor
        From 0 to 1: what the intersection divided by the union may be.
    score_threshold : float or float32 tensor
        What a score has to be greater than.

    Returns
    -------
    indices : tf.Tensor
        int32, of length `max_output_size`: the boxes chosen, and then zeros.
    count : tf.Tensor
        How many there are, an int32 scalar.
    """
    indices, count = _compiled()(boxes, scores, max_output_size, iou_threshold, score_threshold)
    return tf.pad(indices, [[0, max_output_size]])[:max_output_size], count
