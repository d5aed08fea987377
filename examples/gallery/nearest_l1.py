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
"""The nearest of some points for each of many queries, by the sum of absolute differences (L1).

An exhaustive search: `index: int32[n]` and `distance: float32[n]` for `queries: float32[n, d]`
among `points: float32[m, d]`, as in k-medians. Of equally near points it is the first. Where no
distance is less than infinity, as with NaN or without points, the index is -1 and the distance
infinity.

How it is made fast: the loops are those of a product of matrices, with tiles in registers (Goto and
van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008). The points are packed so
that 32 lie side by side. Their distances to 6 queries are 12 vectors in registers, which takes a
load for every four operations. What is nearest is found while they are there, and no table of
distances is written.

Examples
--------
>>> import tensorflow as tf
>>> points = tf.constant([[0.0, 0.0], [4.0, 4.0]])
>>> index, distance = nearest_l1(tf.constant([[1.0, -1.0], [3.0, 4.5]]), points)
>>> index.numpy(), distance.numpy()
(array([0, 1], dtype=int32), array([2. , 1.5], dtype=float32))
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

import tensorflow_tvm as tftvm

_QUERIES, _POINTS = 6, 32  # of a tile, which is 12 registers of 16 float32


def nearest_l1(queries: Any, points: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the index of the nearest point to each query, and its distance under L1.

    Parameters
    ----------
    queries, points : tensor-like
        float32[n, d] and float32[m, d].

    Returns
    -------
    tuple of tf.Tensor
        int32[n] and float32[n].
    """
    return _compiled()(queries, points)


@functools.cache
def _compiled() -> tftvm.Function:
    def gradient(
        queries: tf.Tensor, points: tf.Tensor, index: tf.Tensor, distance: tf.Tensor, *grads: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        ddistance = grads[-1]  # the index has none
        nearest = tf.gather(points, tf.maximum(index, 0))
        ddistance = tf.where(index < 0, 0.0, ddistance)
        dqueries = ddistance[:, None] * tf.sign(queries - nearest)
        return dqueries, tf.math.unsorted_segment_sum(-dqueries, index, tf.shape(points)[0])

    return tftvm.build(_kernel())["nearest_l1"].with_gradient(gradient)


def _kernel() -> Any:
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)
    def nearest_l1(
        queries: T.Buffer(("n", "d"), "float32"),
        points: T.Buffer(("m", "d"), "float32"),
        index: T.Buffer(("n",), "int32"),
        distance: T.Buffer(("n",), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
        n, m, d = T.int32(), T.int32(), T.int32()
        blocks = T.int64(T.ceildiv(m, _POINTS))
        assert blocks * T.int64(d) < T.int64(2**31 // _POINTS), "there are too many numbers to pack"
        packed = T.alloc_buffer((T.ceildiv(m, _POINTS), d, _POINTS), "float32")
        # A factor that the compiler does not know to be 1, so that it takes a multiply-add instead
        # of an addition: subtractions keep the processor's adders busy already.
        one = T.alloc_buffer((1,), "float32")
        one[0] = T.float32(1)
        for block in T.parallel(T.ceildiv(m, _POINTS)):
            for lane in range(_POINTS):
                for i in range(d):
                    packed[block, i, lane] = points[T.min(block * _POINTS + lane, m - 1), i]
        for tile in T.parallel(T.ceildiv(n, _QUERIES)):
            sums = T.alloc_buffer((_QUERIES, _POINTS), "float32")
            least = T.alloc_buffer((_QUERIES, _POINTS), "float32")
            place = T.alloc_buffer((_QUERIES, _POINTS), "int32")
            for q in T.unroll(_QUERIES):
                for lane in T.vectorized(_POINTS):
                    least[q, lane] = T.float32("inf")
                    place[q, lane] = -1
            for block in range(T.ceildiv(m, _POINTS)):
                for q in T.unroll(_QUERIES):
                    for lane in T.vectorized(_POINTS):
                        sums[q, lane] = T.float32(0)
                for i in range(d):
                    for q in T.unroll(_QUERIES):
                        for lane in T.vectorized(_POINTS):
                            sums[q, lane] = sums[q, lane] + one[0] * T.abs(
                                queries[T.min(tile * _QUERIES + q, n - 1), i]
                                - packed[block, i, lane]
                            )
                for q in T.unroll(_QUERIES):
                    for lane in T.vectorized(_POINTS):
                        place[q, lane] = T.Select(
                            sums[q, lane] < least[q, lane], block * _POINTS + lane, place[q, lane]
                        )
                    for lane in T.vectorized(_POINTS):
                        least[q, lane] = T.Select(
                            sums[q, lane] < least[q, lane], sums[q, lane], least[q, lane]
                        )
            for q in range(T.min(_QUERIES, n - tile * _QUERIES)):
                for lane in range(1, _POINTS):
                    if least[q, lane] < least[q, 0] or (
                        least[q, lane] == least[q, 0] and place[q, lane] < place[q, 0]
                    ):
                        least[q, 0] = least[q, lane]
                        place[q, 0] = place[q, lane]
                index[tile * _QUERIES + q] = place[q, 0]
                distance[tile * _QUERIES + q] = least[q, 0]

    return nearest_l1
