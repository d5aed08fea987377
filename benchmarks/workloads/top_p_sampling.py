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
"""Nucleus sampling of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.top_p_sampling import top_p_sampling

BATCH, TOKENS = 16, 32_000
P, TEMPERATURE = 0.9, 0.8


def make_inputs(generator: np.random.Generator) -> list[np.ndarray]:
    """Return logits and random numbers."""
    logits = 3.0 * generator.standard_normal((BATCH, TOKENS), np.float32)
    return [logits, generator.random(BATCH, np.float32)]


def ours(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Return the gallery's."""
    return top_p_sampling(logits, uniform, P, TEMPERATURE)


def sorting(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Sort, and search in the running sums."""
    values, tokens = tf.math.top_k(logits, k=TOKENS)
    sums = tf.cumsum(tf.nn.softmax(values / TEMPERATURE), axis=1)
    last = tf.searchsorted(sums, tf.fill([BATCH, 1], P))
    nucleus = tf.gather(sums, last, batch_dims=1)
    place = tf.searchsorted(sums, uniform[:, tf.newaxis] * nucleus)
    return tf.gather(tokens, place, batch_dims=1)[:, 0]


def bisection(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Find the nucleus's least weight, and the token's, one bit after the other, as ours does."""
    weights = tf.exp((logits - tf.reduce_max(logits, axis=1, keepdims=True)) / TEMPERATURE)

    def mass(bits: tf.Tensor) -> tf.Tensor:
        bound = tf.bitcast(bits, tf.float32)
        return tf.reduce_sum(tf.where(weights >= bound, weights, 0.0), axis=1, keepdims=True)

    def search(target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        bits = tf.zeros([BATCH, 1], tf.int32)
        for bit in reversed(range(30)):
            more = bits + (1 << bit)
            bits = tf.where(mass(more) >= target, more, bits)
        weight, above = tf.bitcast(bits, tf.float32), mass(bits + 1)
        return weight, above, tf.maximum(tf.math.ceil((target - above) / weight), 1.0)

    last, above, rank = search(P * tf.reduce_sum(weights, axis=1, keepdims=True))
    weight, _, rank = search(uniform[:, tf.newaxis] * (above + rank * last))
    found = tf.cumsum(tf.cast(weights == weight, tf.float32), axis=1)
    return tf.argmax(found >= rank, axis=1, output_type=tf.int32)


def check(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Assert that tokens are the same; sums that round otherwise may change one."""
    assert np.sum(actual[0] != expected[0]) <= 1, (actual[0], expected[0])


workload = Workload(
    name="top_p_sampling",
    title=f"top-p sampling, {BATCH}×{TOKENS:,}",
    make_inputs=make_inputs,
    ours=ours,
    rivals={"sorting": sorting, "bisection": bisection},
    flops=20 * BATCH * TOKENS,
    bytes=4 * BATCH * (TOKENS + 2),
    check=check,
)
