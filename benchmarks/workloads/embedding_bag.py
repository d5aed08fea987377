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
"""Weighted sums of rows of a table of 100,000×64, for 4,096 bags of 0 to 63 entries."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.embedding_bag import embedding_bag

BAGS, LONGEST, ROWS, COLUMNS = 4096, 63, 100_000, 64
LENGTHS = np.random.default_rng(0).integers(0, LONGEST + 1, BAGS)
ENTRIES = int(LENGTHS.sum())


def make_inputs(rng: np.random.Generator) -> list[np.ndarray]:
    """Return the table, and entries with where bags begin as well as which bag each is in."""
    table = rng.standard_normal((ROWS, COLUMNS), np.float32)
    ids = rng.integers(0, ROWS, ENTRIES)
    weights = rng.random(ENTRIES, np.float32)
    row_splits = np.concatenate([[0], np.cumsum(LENGTHS)])
    return [table, ids, weights, row_splits, np.repeat(np.arange(BAGS), LENGTHS)]


def ours(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Call the gallery's function."""
    return embedding_bag(table, ids, weights, row_splits)


def segment_sum(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Gather the rows, and add them up by sorted segments."""
    return tf.math.segment_sum(tf.gather(table, ids) * weights[:, None], bags)


def unsorted_segment_sum(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Gather the rows, and add them up by segments of which there is a known number."""
    rows = tf.gather(table, ids) * weights[:, None]
    return tf.math.unsorted_segment_sum(rows, bags, BAGS)


def lookup_sparse(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Use TensorFlow's op for this."""
    indices = tf.stack([bags, tf.range(ENTRIES, dtype=tf.int64) - tf.gather(row_splits, bags)], 1)
    sparse_ids, sparse_weights = (
        tf.SparseTensor(indices, values, [BAGS, LONGEST]) for values in (ids, weights)
    )
    return tf.nn.embedding_lookup_sparse(table, sparse_ids, sparse_weights, combiner="sum")


def sparse_product(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Multiply a sparse matrix by the table."""
    matrix = tf.SparseTensor(tf.stack([bags, ids], 1), weights, [BAGS, ROWS])
    return tf.sparse.sparse_dense_matmul(matrix, table)


def compressed_product(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Multiply a sparse matrix in compressed rows by the table."""
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.stack([bags, ids], 1), values=weights, dense_shape=[BAGS, ROWS]
    )
    return tf.raw_ops.SparseMatrixMatMul(a=matrix, b=table)


def padded(
    table: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, row_splits: tf.Tensor, bags: tf.Tensor
) -> tf.Tensor:
    """Take every bag as one of the longest, which XLA need not write to memory."""
    entries = row_splits[:-1, None] + tf.range(LONGEST, dtype=tf.int64)
    exists = entries < row_splits[1:, None]
    entries = tf.where(exists, entries, 0)
    rows = tf.gather(table, tf.where(exists, tf.gather(ids, entries), 0))
    factors = tf.where(exists, tf.gather(weights, entries), 0.0)
    return tf.reduce_sum(rows * factors[:, :, None], axis=1)


workload = Workload(
    name="embedding_bag",
    title="Embedding bag, 4,096 bags over 100,000×64",
    make_inputs=make_inputs,
    ours=ours,
    rivals={
        "gather and segment_sum": segment_sum,
        "gather and unsorted_segment_sum": unsorted_segment_sum,
        "tf.nn.embedding_lookup_sparse": lookup_sparse,
        "tf.sparse.sparse_dense_matmul": sparse_product,
        "SparseMatrixMatMul": compressed_product,
        "padded": padded,
    },
    flops=2 * ENTRIES * COLUMNS,
    # Of the table, the rows that are asked for, each time that they are.
    bytes=(ENTRIES + BAGS) * COLUMNS * 4 + ENTRIES * 12 + (BAGS + 1) * 8,
    note="limited by memory, as all forms are: rows from all over a table of 25.6 MB come at "
    "half the speed of rows in order",
)
