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
"""A causal depthwise convolution with gating."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.gated_depthwise_conv import gated_depthwise_conv

LENGTH, CHANNELS, TAPS = 2048, 512, 4


def make_inputs(generator: np.random.Generator) -> list[np.ndarray]:
    """Return x, weights, bias and gate."""
    shapes = [(1, LENGTH, CHANNELS), (TAPS, CHANNELS), (CHANNELS,), (1, LENGTH, CHANNELS)]
    return [generator.standard_normal(shape, np.float32) for shape in shapes]


def shifts(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
    """Add up shifted copies of x."""
    padded = tf.pad(x, [[0, 0], [TAPS - 1, 0], [0, 0]])
    total = tf.add_n([padded[:, k : k + LENGTH] * weight[k] for k in range(TAPS)])
    return tf.nn.silu(total + bias) * tf.sigmoid(gate)


def depthwise(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
    """Take TensorFlow's depthwise convolution, of pictures one pixel high."""
    padded = tf.pad(x, [[0, 0], [TAPS - 1, 0], [0, 0]])[:, tf.newaxis]
    kernel = weight[tf.newaxis, :, :, tf.newaxis]
    total = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")[:, 0]
    return tf.nn.silu(tf.nn.bias_add(total, bias)) * tf.sigmoid(gate)


workload = Workload(
    name="gated_depthwise_conv",
    title=f"gated causal depthwise convolution, {LENGTH:,}×{CHANNELS}",
    make_inputs=make_inputs,
    ours=gated_depthwise_conv,
    rivals={"shifted copies": shifts, "depthwise_conv2d": depthwise},
    flops=(2 * TAPS + 30) * LENGTH * CHANNELS,
    bytes=4 * (3 * LENGTH * CHANNELS + (TAPS + 1) * CHANNELS),
    note="limited by memory: x, the gate and y are 12.6 MB, which XLA's form moves only once, too",
)
