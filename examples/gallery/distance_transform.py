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
"""The exact Euclidean distance transform: how far each pixel of a mask is from the background.

    mask: bool[h, w] -> float32[h, w]

It is 0 in the background, and infinite everywhere if there is none. The squared distance is
separable: first along columns, by a sweep down and one up, then along rows the least
(j - k)**2 + column[k]**2, as P. Felzenszwalb and D. Huttenlocher, "Distance Transforms of Sampled
Functions" (2012), have it. Their envelope of parabolas is one number at a time. Here a tile of 32
columns is in registers, and all parabolas k that may be least in it are tried. Those are few, since
the k that is least for a column never decreases from left to right (A. Aggarwal et al., "Geometric
Applications of a Matrix-Searching Algorithm", 1987): a search with 16 lanes finds it for the last
column of each tile. How long it takes hardly depends on the mask.

>>> distance_transform([[True, True, False], [True, True, True]]).numpy()
array([[2.       , 1.       , 0.       ],
       [2.236068 , 1.4142135, 1.       ]], dtype=float32)
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

LANES = 16
TILE = 2 * LANES  # columns whose nearest backgrounds are looked for together
BLOCK = 4 * LANES  # columns that a task of the first pass has
FAR = 1e30  # its square is infinite


@T.inline
def _merge(away, least, half):
    """Keep the nearer of two halves of lanes."""
    for v in T.vectorized(half):
        away[v] = T.Select(least[v + half] < least[v], away[v + half], away[v])
        least[v] = T.min(least[v + half], least[v])


@T.prim_func(s_tir=True)
def _kernel(mask: T.Buffer(("h", "w"), "bool"), distance: T.Buffer(("h", "w"), "float32")):
    T.func_attr({"tirx.noalias": True})
    h, w = T.int32(), T.int32()
    # Along columns: steps to the background above, then to the nearer of that and the one below.
    for block in T.parallel((w + BLOCK - 1) // BLOCK):
        steps = T.alloc_buffer((BLOCK,), "float32")
        size: T.let = T.min(BLOCK, w - block * BLOCK)
        for c in range(size):
            steps[c] = T.float32(FAR)
        for i in range(h):
            for c in range(size):
                steps[c] = T.Select(mask[i, block * BLOCK + c], steps[c] + 1.0, 0.0)
                distance[i, block * BLOCK + c] = steps[c]
        for i in range(h):
            row: T.let = h - 1 - i
            for c in range(size):
                steps[c] = T.min(steps[c] + 1.0, distance[row, block * BLOCK + c])
                distance[row, block * BLOCK + c] = steps[c]
    # Along rows: the least (j - k)**2 + distance[i, k]**2. The greater j is, the greater is the k
    # that has it: between the first and the last column of a tile, only what is between theirs.
    for i in T.parallel(h):
        squares = T.alloc_buffer((w + LANES,), "float32")
        away = T.alloc_buffer((LANES,), "float32")
        shift = T.alloc_buffer((TILE,), "float32")
        least = T.alloc_buffer((TILE,), "float32")
        first = T.alloc_scalar("int32")
        first = 0
        for j in range(w):
            squares[j] = distance[i, j] * distance[i, j]
        for v in T.vectorized(LANES):
            squares[w + v] = T.infinity("float32")
        for tile in range((w + TILE - 1) // TILE):
            start: T.let = tile * TILE
            last: T.let = T.min(start + TILE, w) - 1
            reach: T.let = T.Cast("int32", T.min(distance[i, last], T.Cast("float32", w)))
            low: T.let = T.max(first, last - reach)
            for v in T.vectorized(LANES):
                shift[v] = T.Cast("float32", low - last + v)
                away[v] = 0.0
                least[v] = T.infinity("float32")
            for step in range((T.min(last + reach, w - 1) - low) // LANES + 1):
                for v in T.vectorized(LANES):
                    value: T.let = shift[v] * shift[v] + squares[low + step * LANES + v]
                    away[v] = T.Select(value < least[v], shift[v], away[v])
                    least[v] = T.min(value, least[v])
                    shift[v] = shift[v] + T.float32(LANES)
            _merge(away, least, 8)
            _merge(away, least, 4)
            _merge(away, least, 2)
            _merge(away, least, 1)
            split: T.let = last + T.Cast("int32", away[0])
            for u in T.unroll(TILE // LANES):
                for v in T.vectorized(LANES):
                    shift[u * LANES + v] = T.Cast("float32", start - first + u * LANES + v)
                    least[u * LANES + v] = T.infinity("float32")
            for k in range(first, split + 1):
                for u in T.unroll(TILE // LANES):
                    for v in T.vectorized(LANES):
                        lane: T.let = u * LANES + v
                        least[lane] = T.min(least[lane], shift[lane] * shift[lane] + squares[k])
                        shift[lane] = shift[lane] - T.float32(1)
            for u in T.unroll(TILE // LANES):
                for v in T.vectorized(LANES):
                    least[u * LANES + v] = T.sqrt(least[u * LANES + v])
            for v in range(last - start + 1):
                distance[i, start + v] = least[v]
            first = split


@functools.cache
def _compiled() -> tftvm.Function:
    return tftvm.build(_kernel, name="distance_transform")["distance_transform"]


def distance_transform(mask: Any) -> tf.Tensor:
    """Return the Euclidean distance of each pixel to the nearest that is False.

    Parameters
    ----------
    mask : bool tensor of shape [h, w]

    Returns
    -------
    tf.Tensor
        float32, of the mask's shape.
    """
    return _compiled()(mask)
