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
"""Weighted sums of the rows of a table, such as embeddings, for ragged lists of their numbers.

The sparse lookup of recommendation models: `y[i] = Σⱼ weights[j]·table[ids[j]]` over the entries j
of bag i, which begin at `row_splits[i]` and end before `row_splits[i + 1]`, as in a
`tf.RaggedTensor`. A bag without entries is a row of zeros, and entries whose number is no row of
the table are passed over.

How it is made fast: rows are added up in registers, 64 columns at a time, and each result is
written once; nothing is gathered in memory before. The rows lie anywhere, so that it is as fast as
memory answers: rows are asked for (prefetched) long before it is their turn.

Examples
--------
>>> import tensorflow as tf
>>> table = tf.constant([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
>>> embedding_bag(table, [0, 2, 1], [1.0, 0.5, 3.0], [0, 2, 2, 3]).numpy()
array([[ 51., 102.],
       [  0.,   0.],
       [ 30.,  60.]], dtype=float32)
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

import tensorflow_tvm as tftvm

_LINE = 16  # numbers that come from memory at once
_AHEAD = 64  # entries before its own, a row is asked for: memory is that slow


def embedding_bag(table: Any, ids: Any, weights: Any, row_splits: Any) -> tf.Tensor:
    """Return the weighted sum of rows of `table` for each bag.

    Parameters
    ----------
    table : tensor-like
        float32[v, d].
    ids : tensor-like
        int32 or int64 [m]: the numbers of rows, those of all bags in turn.
    weights : tensor-like
        float32[m].
    row_splits : tensor-like
        int32 or int64 [n + 1]: where each bag begins, and the last one ends.

    Returns
    -------
    tf.Tensor
        float32[n, d].
    """
    ids, row_splits = (tf.convert_to_tensor(x) for x in (ids, row_splits))
    return _compiled(ids.dtype.name, row_splits.dtype.name)(table, ids, weights, row_splits)


@functools.cache
def _compiled(ids_dtype: str, splits_dtype: str) -> tftvm.Function:
    def gradient(
        table: tf.Tensor,
        ids: tf.Tensor,
        weights: tf.Tensor,
        row_splits: tf.Tensor,
        y: tf.Tensor,
        dy: tf.Tensor,
    ) -> tuple[Any, ...]:
        bags = tf.RaggedTensor.from_row_splits(ids, row_splits, validate=False).value_rowids()
        exists = (ids >= 0) & (ids < tf.shape(table, ids.dtype)[0])
        ids = tf.where(exists, ids, 0)
        dy = tf.where(exists[:, None], tf.gather(dy, bags), 0.0)
        dweights = tf.reduce_sum(tf.gather(table, ids) * dy, axis=1)
        return tf.IndexedSlices(weights[:, None] * dy, ids, tf.shape(table)), None, dweights, None

    module = tftvm.build(_kernel(ids_dtype, splits_dtype))
    return module["embedding_bag"].with_gradient(gradient)


def _kernel(ids_dtype: str, splits_dtype: str) -> Any:
    from tvm.script import tirx as T

    def add_up(
        table: Any,
        ids: Any,
        weights: Any,
        y: Any,
        bag: Any,
        begin: Any,
        end: Any,
        first: Any,
        width: int,
    ) -> None:
        """Write `width` columns of y from `first` on."""
        sums = T.alloc_buffer((width,), "float32")
        with T.vectorized(width) as lane:
            T.buffer_store(sums, T.float32(0), [lane])
        with T.serial(begin, end) as j:
            ahead = ids[T.min(j + _AHEAD, ids.shape[0] - 1)]
            there = T.Cast("int32", T.max(T.min(ahead, table.shape[0] - 1), 0))
            for line in range(0, width, _LINE):
                address = T.address_of(table[there, first + line])
                T.evaluate(T.call_intrin("void", "tirx.prefetch", address, 0, 2, 1))
            with T.If(T.And(ids[j] >= 0, ids[j] < table.shape[0])), T.Then():
                row = T.Cast("int32", ids[j])
                with T.vectorized(width) as lane:
                    T.buffer_store(sums, sums[lane] + weights[j] * table[row, first + lane], [lane])
        with T.vectorized(width) as lane:
            T.buffer_store(y, sums[lane], [bag, first + lane])

    @T.prim_func(s_tir=True)
    def embedding_bag(
        table: T.Buffer(("v", "d"), "float32"),
        ids: T.Buffer(("m",), ids_dtype),
        weights: T.Buffer(("m",), "float32"),
        row_splits: T.Buffer(("s",), splits_dtype),
        y_handle: T.handle,
    ):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
        d, m, s = T.int32(), T.int32(), T.int32()
        y = T.match_buffer(y_handle, (s - 1, d), "float32")
        for bag in T.parallel(s - 1):
            begin = T.Cast("int32", T.max(T.min(row_splits[bag], m), 0))
            end = T.Cast("int32", T.max(T.min(row_splits[bag + 1], m), 0))
            for i in range(d // 64):
                add_up(table, ids, weights, y, bag, begin, end, i * 64, 64)
            for i in range(d // 64 * 4, d // 16):
                add_up(table, ids, weights, y, bag, begin, end, i * 16, 16)
            for i in range(d // 16 * 16, d):
                add_up(table, ids, weights, y, bag, begin, end, i, 1)

    return embedding_bag
