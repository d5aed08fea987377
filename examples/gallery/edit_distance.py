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
"""Edit distances (V. I. Levenshtein, 1966) of pairs of sequences of integers.

`a` is int32 of shape [batch, n], `b` int32 of shape [batch, m], and `a_lengths` and `b_lengths`,
int32 of shape [batch], say how much of each counts; one that is out of range counts as the nearest
length. The distance, int32 of shape [batch], is the number of insertions, deletions and
replacements that make one of the other.

The algorithm is bit-parallel: whether 32 cells of a column of the usual table are one more or one
less than those above are the bits of two words, and a few operations give those of the next column
(G. Myers, "A fast bit-vector algorithm for approximate string matching", 1999; H. Hyyrö, 2003).
Any integers may occur: which ones match is found by comparing all. 16 pairs lie side by side in a
vector, and such groups run in parallel.

>>> import tensorflow as tf
>>> a, b = tf.constant([[1, 2, 3, 4]]), tf.constant([[2, 3, 5, 0]])
>>> edit_distance(a, b, tf.constant([4]), tf.constant([3])).numpy()
array([2], dtype=int32)
"""

import functools

import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

LANES, BITS = 16, 32


def edit_distance(
    a: tf.Tensor, b: tf.Tensor, a_lengths: tf.Tensor, b_lengths: tf.Tensor
) -> tf.Tensor:
    """Return how many edits make each `a` its `b`."""
    return _module()["distance"](a, b, a_lengths, b_lengths)


@functools.cache
def _module() -> tftvm.Module:
    return tftvm.build(_distance, name="distance")


def _matches(symbols, word, symbol, lane):
    """Return a word whose bits say which of 32 symbols are equal to one."""
    bits = T.uint32(0)
    for k in range(BITS):
        is_equal = symbols[word * BITS + k, lane] == symbol
        bits = bits | T.Select(is_equal, T.uint32(1 << k), T.uint32(0))
    return bits


def _ones(bits, count):
    """Return how many of the first bits are set, as many as `count` if that is positive."""
    some = (T.uint32(1) << T.max(T.min(count, BITS - 1), 0).astype("uint32")) - T.uint32(1)
    return T.popcount(T.Select(count < BITS, bits & some, bits)).astype("int32")


@T.macro
def _side_by_side(columns, lengths, x, x_lengths, group, batch, n):
    """Copy 16 sequences into the columns of a table, and their lengths."""
    for lane in range(T.min(LANES, batch - group * LANES)):
        lengths[lane] = T.max(T.min(x_lengths[group * LANES + lane], n), 0)
        for i in range(n):
            columns[i, lane] = x[group * LANES + lane, i]


@T.prim_func(s_tir=True)
def _distance(
    a_handle: T.handle,
    b_handle: T.handle,
    a_lengths_handle: T.handle,
    b_lengths_handle: T.handle,
    distance_handle: T.handle,
):
    batch, n, m = T.int32(), T.int32(), T.int32()
    a = T.match_buffer(a_handle, (batch, n), "int32")
    b = T.match_buffer(b_handle, (batch, m), "int32")
    a_lengths = T.match_buffer(a_lengths_handle, (batch,), "int32")
    b_lengths = T.match_buffer(b_lengths_handle, (batch,), "int32")
    distance = T.match_buffer(distance_handle, (batch,), "int32")
    words: T.let = (n + BITS - 1) // BITS
    for group in T.parallel((batch + LANES - 1) // LANES):
        rows = T.alloc_buffer((words * BITS, LANES), "int32")
        columns = T.alloc_buffer((m, LANES), "int32")
        row_count = T.alloc_buffer((LANES,), "int32")
        column_count = T.alloc_buffer((LANES,), "int32")
        more = T.alloc_buffer((words, LANES), "uint32")  # than the cell above
        less = T.alloc_buffer((words, LANES), "uint32")
        more_above = T.alloc_buffer((LANES,), "uint32")  # than the cell to the left, above a word
        less_above = T.alloc_buffer((LANES,), "uint32")
        result = T.alloc_buffer((LANES,), "int32")
        _side_by_side(rows, row_count, a, a_lengths, group, batch, n)
        _side_by_side(columns, column_count, b, b_lengths, group, batch, m)
        for w in range(words):
            for lane in T.vectorized(LANES):
                more[w, lane] = T.uint32(0xFFFFFFFF)
                less[w, lane] = T.uint32(0)
        for j in range(m):
            for lane in T.vectorized(LANES):
                more_above[lane] = T.uint32(1)
                less_above[lane] = T.uint32(0)
            for w in range(words):
                for lane in T.vectorized(LANES):
                    up: T.let = more[w, lane]
                    down: T.let = less[w, lane]
                    match: T.let = _matches(rows, w, columns[j, lane], lane)
                    vertical: T.let = match | down
                    start: T.let = match | less_above[lane]
                    horizontal: T.let = (((start & up) + up) ^ up) | start
                    right: T.let = down | ~(horizontal | up)
                    left: T.let = up & horizontal
                    right_above: T.let = (right << T.uint32(1)) | more_above[lane]
                    left_above: T.let = (left << T.uint32(1)) | less_above[lane]
                    more_above[lane] = right >> T.uint32(BITS - 1)
                    less_above[lane] = left >> T.uint32(BITS - 1)

                    new: T.let = left_above | ~(vertical | right_above)
                    more[w, lane] = T.Select(j < column_count[lane], new, up)
                    less[w, lane] = T.Select(j < column_count[lane], right_above & vertical, down)
        for lane in T.vectorized(LANES):
            result[lane] = column_count[lane]  # at the top of the last column, and from there down
        for w in range(words):
            for lane in T.vectorized(LANES):
                count: T.let = row_count[lane] - w * BITS
                ones: T.let = _ones(more[w, lane], count) - _ones(less[w, lane], count)
                result[lane] = result[lane] + ones
        for lane in range(T.min(LANES, batch - group * LANES)):
            distance[group * LANES + lane] = result[lane]
