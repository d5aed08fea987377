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
"""Products of many tiny matrices, such as 100,000 of 4×4.

The textbook's sum of outer products, C = Σₚ A[:, p]·B[p, :], for each `a: float32[m, k]` and
`b: float32[k, n]` of a batch. TensorFlow's matmul is made for large matrices, and spends its time
on the way to each of these.

How it is made fast: the sizes of the matrices are known to the compiler, and the batch is a symbol.
A tiny matrix is a vector in a register or a few. For each p, shuffles bring the elements of A and B
to the lanes where they meet, so that a transposed operand costs no pass over memory. Each matrix is
read and written once, and 4×4 is as fast as an addition of such tensors.

Examples
--------
>>> import tensorflow as tf
>>> small_matmul(tf.constant([[[1.0, 2.0], [3.0, 4.0]]]), tf.constant([[[1.0], [10.0]]])).numpy()
array([[[21.],
        [43.]]], dtype=float32)
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import tensorflow as tf

import tensorflow_tvm as tftvm

_LARGEST = 256  # elements of a matrix, which are 16 registers
_CHUNK = 256  # matrices that a thread takes at once


def small_matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> tf.Tensor:
    """Return the product of each matrix in `a` with that in `b`, as `tf.matmul` does.

    Parameters
    ----------
    a, b : tensor-like
        float32[batch, m, k] and float32[batch, k, n], or with the last two dimensions swapped.
        What has another rank, unknown sizes, or matrices of 1 or of more than 256 elements is left
        to `tf.matmul`.
    transpose_a, transpose_b : bool, optional
        Whether the last two dimensions are swapped.

    Returns
    -------
    tf.Tensor
        float32[batch, m, n].
    """
    a, b = (tf.convert_to_tensor(x, tf.float32) for x in (a, b))
    shapes = [x.shape[1:].as_list() if x.shape.rank == 3 else [0, 0] for x in (a, b)]
    (m, k), (k_of_b, n) = (
        reversed(shape) if transpose else shape
        for shape, transpose in zip(shapes, (transpose_a, transpose_b), strict=True)
    )
    is_known = None not in (m, k, k_of_b, n) and k == k_of_b
    if not is_known or not all(1 < size <= _LARGEST for size in (m * k, k * n, m * n)):
        return tf.matmul(a, b, transpose_a, transpose_b)
    return _compiled(m, k, n, bool(transpose_a), bool(transpose_b))(a, b)


@functools.cache
def _compiled(m: int, k: int, n: int, transpose_a: bool, transpose_b: bool) -> tftvm.Function:
    def gradient(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, dc: tf.Tensor) -> list[tf.Tensor]:
        if transpose_a:
            da = small_matmul(b, dc, transpose_a=transpose_b, transpose_b=True)
        else:
            da = small_matmul(dc, b, transpose_b=not transpose_b)
        if transpose_b:
            db = small_matmul(dc, a, transpose_a=True, transpose_b=transpose_a)
        else:
            db = small_matmul(a, dc, transpose_a=not transpose_a)
        return [da, db]

    module = tftvm.build(_kernel(m, k, n, transpose_a, transpose_b), name="small_matmul")
    return module["small_matmul"].with_gradient(gradient)


def _kernel(m: int, k: int, n: int, transpose_a: bool, transpose_b: bool) -> Any:
    from tvm.script import tirx as T

    a_shape = (k, m) if transpose_a else (m, k)
    b_shape = (n, k) if transpose_b else (k, n)
    lanes = [(i, j) for i in range(m) for j in range(n)]

    def shuffle(vector: Any, size: int, places: list[int]) -> Any:
        # TVM wants as many elements to choose from as there are chosen.
        return T.Shuffle([vector] * -(-len(places) // size), places)

    def product(a: Any, b: Any, s: Any) -> Any:
        """Return a product as a vector; a and b are flat."""
        left, right = a[T.Ramp(s * (m * k), 1, m * k)], b[T.Ramp(s * (k * n), 1, k * n)]
        terms = []
        for p in range(k):
            in_a = [p * m + i if transpose_a else i * k + p for i, _ in lanes]
            in_b = [j * k + p if transpose_b else p * n + j for _, j in lanes]
            terms.append(shuffle(left, m * k, in_a) * shuffle(right, k * n, in_b))
        return functools.reduce(operator.add, terms)

    @T.prim_func(s_tir=True)
    def small_matmul(
        a: T.Buffer(("batch", *a_shape), "float32"),
        b: T.Buffer(("batch", *b_shape), "float32"),
        c: T.Buffer(("batch", m, n), "float32"),
    ):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
        batch = T.int32()
        a_flat, b_flat, c_flat = a.view(batch * m * k), b.view(batch * k * n), c.view(batch * m * n)
        for chunk in T.parallel(T.ceildiv(batch, _CHUNK)):
            for s in range(chunk * _CHUNK, T.min(chunk * _CHUNK + _CHUNK, batch)):
                c_flat[T.ramp(s * (m * n), 1, m * n)] = product(a_flat, b_flat, s)

    return small_matmul
