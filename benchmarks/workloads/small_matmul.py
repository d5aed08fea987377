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
"""100,000 products of 4×4 matrices."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.small_matmul import small_matmul

BATCH, SIZE = 100_000, 4


def make_inputs(rng: np.random.Generator) -> list[np.ndarray]:
    """Return two batches of matrices."""
    return [rng.standard_normal((BATCH, SIZE, SIZE), np.float32) for _ in range(2)]


def outer_products(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return the products by four elementwise multiplications of whole batches."""
    return tf.add_n([a[:, :, p, None] * b[:, None, p, :] for p in range(SIZE)])


def broadcast(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return the products by one multiplication and a sum, which XLA does in one pass."""
    return tf.reduce_sum(a[:, :, :, None] * b[:, None, :, :], axis=2)


workload = Workload(
    name="small_matmul",
    title="100,000 matmuls of 4×4",
    make_inputs=make_inputs,
    ours=small_matmul,
    rivals={
        "tf.matmul": tf.matmul,
        "tf.einsum": lambda a, b: tf.einsum("sik,skj->sij", a, b),
        "outer products": outer_products,
        "multiply and reduce_sum": broadcast,
    },
    flops=BATCH * SIZE**3 * 2,
    bytes=3 * BATCH * SIZE**2 * 4,
    note="limited by memory: XLA's best form moves each number once, too. Above 100% a part "
    "stays in the cache",
)
