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
"""Many small systems of linear equations with symmetric positive definite matrices.

The square-root-free Cholesky factorisation A = L·D·Lᵀ (Golub and Van Loan, "Matrix Computations",
section 4.1) of each `a: float32[n, n]` of a batch, and substitution forth and back for each column
of `b: float32[n, k]`. Only the lower triangle of `a` is read. Where a matrix is not positive
definite, the result is NaN.

How it is made fast: the steps for one matrix have to wait for each other, but not for those of
another matrix. So 16 matrices lie side by side in the lanes of vectors, and each step is done for
all of them. They get there by transposing in registers, by shuffles. The sizes of the matrices are
known to the compiler and all loops are written out, so that the factors stay in registers, too.

Examples
--------
>>> import tensorflow as tf
>>> cholesky_solve(tf.constant([[[4.0, 2.0], [2.0, 5.0]]]), tf.constant([[[8.0], [8.0]]])).numpy()
array([[[1.5],
        [1. ]]], dtype=float32)
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

import tensorflow_tvm as tftvm

_LANES = 16  # of float32 in a register
_LARGEST = 64  # elements of a right side: beyond, there is too much to write out


def cholesky_solve(a: Any, b: Any) -> tf.Tensor:
    """Solve A·X = B for each symmetric positive definite matrix A of a batch.

    Parameters
    ----------
    a : tensor-like
        float32[batch, n, n].
    b : tensor-like
        float32[batch, n, k]. Where n is 1, larger than 16 or unknown while a graph is built, or a
        right side has more than 64 elements, `tf.linalg` does it, which on a processor refuses
        matrices that are not positive definite.

    Returns
    -------
    tf.Tensor
        float32[batch, n, k].
    """
    a, b = (tf.convert_to_tensor(x, tf.float32) for x in (a, b))
    n, k = b.shape[1:] if b.shape.rank == 3 else (None, None)
    if n is None or k is None or not 1 < n <= _LANES or not 0 < n * k <= _LARGEST:
        below = tf.linalg.band_part(a, -1, 0)
        whole = tf.linalg.set_diag(
            below + tf.linalg.matrix_transpose(below), tf.linalg.diag_part(a)
        )
        return tf.linalg.cholesky_solve(tf.linalg.cholesky(whole), b)
    return _compiled(n, k)(a, b)


@functools.cache
def _compiled(n: int, k: int) -> tftvm.Function:
    def gradient(a: tf.Tensor, b: tf.Tensor, x: tf.Tensor, dx: tf.Tensor) -> list[tf.Tensor]:
        db = cholesky_solve(a, dx)
        da = -tf.matmul(db, x, transpose_b=True)
        # An element below the diagonal stands for the one above it, too.
        both = tf.linalg.band_part(da + tf.linalg.matrix_transpose(da), -1, 0)
        return [tf.linalg.set_diag(both, tf.linalg.diag_part(da)), db]

    return tftvm.build(_kernel(n, k))["cholesky_solve"].with_gradient(gradient)


def _kernel(n: int, k: int) -> Any:
    from tvm.script import tirx as T

    lanes = range(_LANES)

    def keep(value: Any) -> Any:
        """Return `value`, once it is computed: in a register, as long as there are any."""
        register = T.alloc_buffer((_LANES,), "float32")
        T.buffer_store(register, value, [T.Ramp(0, 1, _LANES)])
        return register[T.Ramp(0, 1, _LANES)]

    def splat(value: float | str) -> Any:
        return T.Broadcast(T.float32(value), _LANES)

    def minus_products(value: Any, pairs: Iterable[tuple[Any, Any]]) -> Any:
        for left, right in pairs:
            value = value - left * right
        return keep(value)

    def transpose(rows: list[Any]) -> list[Any]:
        """Return the columns of 16 vectors: squares of 1, 2, 4 and 8 elements change places."""
        for step in (1, 2, 4, 8):
            pairs = [[rows[row & ~step], rows[row | step]] for row in lanes]
            places = [(lane & ~step) + (_LANES if lane & step else 0) for lane in lanes]
            rows = [
                keep(T.Shuffle(pair, [place + (row & step) for place in places]))
                for row, pair in enumerate(pairs)
            ]
        return rows

    def pieces(length: int) -> list[tuple[int, int]]:
        """Return where vectors that cover `length` elements begin, and how many each has."""
        starts = {*range(0, length - _LANES, _LANES), max(length - _LANES, 0)}
        return [(start, min(length, _LANES)) for start in sorted(starts)]

    def load(flat: Any, length: int, first: Any, batch: Any) -> list[Any]:
        """Return the elements of 16 matrices: for each place a vector of those that are there."""
        found = [None] * length
        for start, width in pieces(length):
            rows = []
            for lane in lanes:
                system = T.min(first + lane, batch - 1)
                row = flat[T.Ramp(system * length + start, 1, width)]
                rows.append(keep(T.Shuffle([row] * _LANES, [i % width for i in lanes])))
            found[start : start + width] = transpose(rows)[:width]
        return found

    def store(values: Sequence[Any], flat: Any, length: int, first: Any, batch: Any) -> None:
        for start, width in pieces(length):
            rows = transpose([values[start + lane % width] for lane in lanes])
            for lane in lanes:
                with T.If(first + lane < batch), T.Then():
                    row = T.Shuffle([rows[lane]], list(range(width)))
                    T.buffer_store(flat, row, [T.Ramp((first + lane) * length + start, 1, width)])

    def solve(a: Any, b: Any, x: Any, first: Any, batch: Any) -> None:
        """Solve 16 systems; a, b and x are flat."""
        elements = load(a, n * n, first, batch)
        y = load(b, n * k, first, batch)
        f = [elements[i * n : (i + 1) * n] for i in range(n)]  # L below, D·Lᵀ above the diagonal
        inverse = []  # of D
        for j in range(n):
            for i in range(j, n):
                f[j][i] = minus_products(f[i][j], [(f[i][p], f[p][j]) for p in range(j)])
            is_positive = f[j][j] > splat(0)
            inverse.append(keep(T.Select(is_positive, splat(1) / f[j][j], splat("nan"))))
            for i in range(j + 1, n):
                f[i][j] = keep(f[j][i] * inverse[j])
        for c in range(k):
            for i in range(n):
                y[i * k + c] = minus_products(
                    y[i * k + c], [(f[i][j], y[j * k + c]) for j in range(i)]
                )
            for i in reversed(range(n)):
                y[i * k + c] = minus_products(
                    y[i * k + c] * inverse[i], [(f[j][i], y[j * k + c]) for j in range(i + 1, n)]
                )
        store(y, x, n * k, first, batch)

    @T.prim_func(s_tir=True)
    def cholesky_solve(
        a: T.Buffer(("batch", n, n), "float32"),
        b: T.Buffer(("batch", n, k), "float32"),
        x: T.Buffer(("batch", n, k), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
        batch = T.int32()
        a_flat, b_flat, x_flat = a.view(batch * n * n), b.view(batch * n * k), x.view(batch * n * k)
        for block in T.parallel(T.ceildiv(batch, _LANES)):
            solve(a_flat, b_flat, x_flat, block * _LANES, batch)

    return cholesky_solve
