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
"""The connected components of a mask, numbered.

    mask: bool[h, w] -> labels: int32[h, w], count: int32[]

Labels are 0 in the background and 1, 2, ... in the components, in the order in which they are met
row by row. Two passes with a forest of equivalent labels, as A. Rosenfeld and J. Pfaltz,
"Sequential Operations in Digital Picture Processing" (1966), have it, and with few comparisons a
pixel, as L. He, Y. Chao and K. Suzuki, "A Run-Based Two-Scan Labeling Algorithm" (2008): what its
neighbours have been joined by is not looked at again. Strips of rows are labelled in parallel and
joined at their seams. Roots are the least labels of their trees: they become numbers in one pass.

>>> labels, count = connected_components([[True, False, True], [True, False, True]])
>>> labels.numpy()
array([[1, 0, 2],
       [1, 0, 2]], dtype=int32)
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

ROWS = 32  # of a strip


@T.inline
def _join(parent, a, b):
    """Make one tree of those of the labels a and b, and leave its root in a."""
    while parent[a] != a:
        a = parent[a]
    while parent[b] != b:
        b = parent[b]
    parent[T.max(a, b)] = T.min(a, b)
    a = T.min(a, b)


@T.prim_func(s_tir=True)
def _kernel(
    mask: T.Buffer(("h", "w"), "bool"),
    diagonal: T.bool,
    labels: T.Buffer(("h", "w"), "int32"),
    count: T.Buffer((), "int32"),
):
    T.func_attr({"tirx.noalias": True})
    h, w = T.int32(), T.int32()
    parent = T.alloc_buffer((h * w + 1,), "int32")  # of each label; that of a root is itself
    used = T.alloc_buffer(((h + ROWS - 1) // ROWS,), "int32")  # the last label of each strip
    for strip in T.parallel((h + ROWS - 1) // ROWS):
        start: T.let = strip * ROWS
        label = T.alloc_scalar("int32")
        other = T.alloc_scalar("int32")
        above = T.alloc_buffer((3,), "int32")
        newest = T.alloc_scalar("int32")
        newest = start * w
        for row in range(T.min(ROWS, h - start)):
            i: T.let = start + row
            label = 0  # of the pixel to the left
            above[1] = 0
            above[2] = 0
            if row > 0:
                above[2] = labels[i - 1, 0]
            for j in range(w):
                above[0] = above[1]
                above[1] = above[2]
                above[2] = 0
                if row > 0 and j + 1 < w:
                    above[2] = labels[i - 1, j + 1]
                if mask[i, j]:
                    # What touches a neighbour that is taken has been joined with it already.
                    if label == 0 and diagonal:
                        label = above[0]
                    other = above[1]
                    if diagonal and other == 0:
                        other = above[2]
                    if label == 0:
                        label = other
                    elif other != 0 and other != label:
                        _join(parent, label, other)
                    if label == 0:
                        newest += 1
                        label = newest
                        parent[label] = label
                else:
                    label = 0
                labels[i, j] = label
        used[strip] = newest
    for strip in range(1, (h + ROWS - 1) // ROWS):
        label = T.alloc_scalar("int32")
        other = T.alloc_scalar("int32")
        for j in range(w):
            for side in T.unroll(3):
                k: T.let = j + side - 1
                if (side == 1 or diagonal) and k >= 0 and k < w:
                    label = labels[strip * ROWS, j]
                    other = labels[strip * ROWS - 1, k]
                    if label != 0 and other != 0:
                        _join(parent, label, other)
    # A parent is less than its child, so that it has its number, negated, by then.
    count[()] = 0
    parent[0] = 0
    for strip in range((h + ROWS - 1) // ROWS):
        for k in range(used[strip] - strip * ROWS * w):
            label: T.let = strip * ROWS * w + 1 + k
            if parent[label] == label:
                count[()] = count[()] + 1
                parent[label] = -count[()]
            else:
                parent[label] = parent[parent[label]]
    for i in T.parallel(h):
        for j in range(w):
            labels[i, j] = -parent[labels[i, j]]


@functools.cache
def _compiled() -> tftvm.Function:
    return tftvm.build(_kernel, name="connected_components")["connected_components"]


def connected_components(mask: Any, connectivity: int = 8) -> tuple[tf.Tensor, tf.Tensor]:
    """Number the connected components of a mask.

    Parameters
    ----------
    mask : bool tensor of shape [h, w]
    connectivity : int
        Whether pixels touch by their 4 sides only, or by their corners as well, which makes 8.

    Returns
    -------
    labels : tf.Tensor
        int32, of the mask's shape.
    count : tf.Tensor
        How many components there are, an int32 scalar.
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, given {connectivity!r}")
    return _compiled()(mask, diagonal=connectivity == 8)
