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
"""A first-order recurrence, as recursive filters and generalised advantage estimation have."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.recurrence import recurrence

ROWS, TIME = 16, 48_000


def make_inputs(random: np.random.Generator) -> list[np.ndarray]:
    a = random.uniform(0.8, 1.0, (ROWS, TIME))
    a[random.random((ROWS, TIME)) < 0.001] = 0.0  # where episodes end
    return [a.astype(np.float32), random.standard_normal((ROWS, TIME), np.float32)]


def scan(a: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Step by step."""
    columns = tf.transpose(a), tf.transpose(x)
    return tf.transpose(tf.scan(lambda y, ax: ax[0] * y + ax[1], columns, tf.zeros([ROWS])))


def doubling(a: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Hillis and Steele's scan of whole rows, in log2(TIME) rounds."""
    by = 1
    while by < TIME:
        x = tf.concat([x[:, :by], x[:, by:] + a[:, by:] * x[:, :-by]], 1)
        a = tf.concat([a[:, :by], a[:, by:] * a[:, :-by]], 1)
        by *= 2
    return x


def blocks(a: tf.Tensor, x: tf.Tensor, radix: int) -> tf.Tensor:
    """Scan blocks of `radix` steps side by side, then what enters each, then the blocks again."""
    rows, time = a.shape
    if time <= radix:
        steps = []
        y = tf.zeros([rows])
        for k in range(time):
            y = a[:, k] * y + x[:, k]
            steps.append(y)
        return tf.stack(steps, 1)
    padding = [[0, 0], [0, -time % radix]]
    a, x = (tf.pad(v, padding) if time % radix else v for v in (a, x))
    count = a.shape[1] // radix
    a, x = (tf.unstack(tf.transpose(tf.reshape(v, [rows * count, radix])), axis=0) for v in (a, x))
    y, product = x[0], a[0]
    for k in range(1, radix):
        y, product = a[k] * y + x[k], a[k] * product
    after = blocks(tf.reshape(product, [rows, count]), tf.reshape(y, [rows, count]), radix)
    y = tf.reshape(tf.pad(after[:, :-1], [[0, 0], [1, 0]]), [-1])
    steps = []
    for k in range(radix):
        y = a[k] * y + x[k]
        steps.append(y)
    y = tf.reshape(tf.transpose(tf.stack(steps)), [rows, count * radix])
    return y[:, :time] if time % radix else y


workload = Workload(
    name="recurrence",
    title="First-order recurrence, 16×48,000",
    make_inputs=make_inputs,
    ours=recurrence,
    rivals={
        "tf.scan": scan,
        "doubling": doubling,
        "blocks of 8": lambda a, x: blocks(a, x, 8),
        "blocks of 12": lambda a, x: blocks(a, x, 12),
    },
    flops=2 * ROWS * TIME,
    bytes=3 * 4 * ROWS * TIME,
    note="limited by memory: 78% to 94% of what it gives",
)
