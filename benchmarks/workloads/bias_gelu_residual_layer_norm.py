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
"""What follows a matrix product in a transformer's block, for 8,192 rows of 768."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from benchmarks.workloads.workload import Workload
from examples.gallery.bias_gelu_residual_layer_norm import bias_gelu_residual_layer_norm

ROWS, COLUMNS = 8192, 768
EPSILON = 1e-5


def make_inputs(rng: np.random.Generator) -> list[np.ndarray]:
    """Return x, bias, residual, scale and offset."""
    shapes = [(ROWS, COLUMNS), (COLUMNS,), (ROWS, COLUMNS), (COLUMNS,), (COLUMNS,)]
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def batch_normalization(
    x: tf.Tensor, bias: tf.Tensor, residual: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """Normalise as Keras's layer does."""
    z = tf.nn.gelu(tf.nn.bias_add(x, bias), approximate=True) + residual
    mean, variance = tf.nn.moments(z, [1], keepdims=True)
    return tf.nn.batch_normalization(z, mean, variance, offset, scale, EPSILON)


def fused_batch_norm(
    x: tf.Tensor, bias: tf.Tensor, residual: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """Normalise by the op that normalises batches, whose channels are the rows."""
    z = tf.nn.gelu(tf.nn.bias_add(x, bias), approximate=True) + residual
    normal, *_ = tf.compat.v1.nn.fused_batch_norm(
        tf.reshape(z, [1, ROWS, COLUMNS, 1]),
        tf.ones([ROWS]),
        tf.zeros([ROWS]),
        epsilon=EPSILON,
        data_format="NCHW",
    )
    return tf.reshape(normal, [ROWS, COLUMNS]) * scale + offset


def few_operations(
    x: tf.Tensor, bias: tf.Tensor, residual: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """Make as few passes as there have to be: GELU by a sigmoid, and no mean in the variance."""
    h = x + bias
    factor = 2.0 * math.sqrt(2.0 / math.pi)
    z = h * tf.sigmoid(h * (factor + 0.044715 * factor * h * h)) + residual
    z -= tf.reduce_mean(z, 1, keepdims=True)
    variance = tf.reduce_mean(tf.square(z), 1, keepdims=True)
    return z * tf.math.rsqrt(variance + EPSILON) * scale + offset


def product_with_vector(
    x: tf.Tensor, bias: tf.Tensor, residual: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """Find the sums of the rows by products with a vector."""
    h = x + bias
    factor = 2.0 * math.sqrt(2.0 / math.pi)
    z = h * tf.sigmoid(h * (factor + 0.044715 * factor * h * h)) + residual
    weights = tf.fill([COLUMNS, 1], 1.0 / COLUMNS)
    z -= tf.matmul(z, weights)
    variance = tf.matmul(z * z, weights)
    return z * tf.math.rsqrt(variance + EPSILON) * scale + offset


workload = Workload(
    name="bias_gelu_residual_layer_norm",
    title="Bias, GELU, residual, layer norm, 8,192×768",
    make_inputs=make_inputs,
    ours=bias_gelu_residual_layer_norm,
    rivals={
        "moments and batch_normalization": batch_normalization,
        "fused_batch_norm": fused_batch_norm,
        "few operations": few_operations,
        "sums by matmul": product_with_vector,
    },
    # 22 for bias, GELU and the residual, 8 to normalise.
    flops=30 * ROWS * COLUMNS,
    bytes=3 * ROWS * COLUMNS * 4,
    note="limited by memory, which it uses to 85%; TensorFlow's form moves the tensors more "
    "often, though not 10 times as often",
)
