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
"""Layers that call TVM functions, under tf.distribute."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer, Weight

# Once TensorFlow has started, it has the devices that it has: this file runs by itself.
CPU = tf.config.list_physical_devices("CPU")[0]


@pytest.fixture(scope="module")
def devices():
    """Two logical CPUs."""
    try:
        tf.config.set_logical_device_configuration(
            CPU, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    except RuntimeError:
        pytest.skip("TensorFlow has started already; run this file alone")
    return [device.name for device in tf.config.list_logical_devices("CPU")]


def _squares(x, w):
    k = te.reduce_axis((0, x.shape[1]), name="k")
    shape = (x.shape[0], w.shape[1])
    z = te.compute(shape, lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="z")
    return z, te.compute(shape, lambda i, j: z[i, j] * z[i, j], name="y")


def _gradient(x, w, dy):
    z, _ = _squares(x, w)
    dz = te.compute(z.shape, lambda i, j: 2.0 * z[i, j] * dy[i, j], name="dz")
    n, u = (te.reduce_axis((0, size), name=name) for size, name in zip(z.shape, "nu", strict=True))
    return (
        te.compute(x.shape, lambda i, j: te.sum(dz[i, u] * w[j, u], axis=u), name="dx"),
        te.compute(w.shape, lambda i, j: te.sum(x[n, i] * dz[n, j], axis=n), name="dw"),
    )


squares = tftvm.op(
    lambda x, w: _squares(x, w)[1],
    shapes=["n d", "d u"],
    gradient=tftvm.Gradient(_gradient, takes=["args", "grads"]),
)


def _model(function):
    layer = TVMLayer(function, [Weight("w", ["d", 8], keras.initializers.GlorotUniform(seed=1))])
    last = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=2))
    model = keras.Sequential([keras.Input([4]), layer, last])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def _train(model):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(96, 4)).astype(np.float32)
    y = (x[:, :1] * x[:, 1:2]).astype(np.float32)
    # Batches that two devices halve: where they get unlike parts, Keras weighs those the same.
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    history = model.fit(data, epochs=6, shuffle=False, verbose=0).history["loss"]
    return history, model.get_weights()


@pytest.mark.parametrize("kind", ["op", "function"])
def test_two_devices_train_the_same_weights_as_one(devices, kind):
    assert len(devices) == 2
    function = squares if kind == "op" else squares.function_for(*[tf.TensorSpec([None, None])] * 2)
    expected_history, expected = _train(_model(function))
    strategy = tf.distribute.MirroredStrategy(devices)
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = _model(function)
    history, weights = _train(model)
    np.testing.assert_allclose(history, expected_history, rtol=1e-3)
    assert history[-1] < 0.9 * history[0]
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_each_device_calls_the_function_itself(devices):
    function = squares.function_for(*[tf.TensorSpec([None, None])] * 2)
    strategy = tf.distribute.MirroredStrategy(devices)

    @tf.function
    def step(x):
        results = strategy.run(lambda x: function(x, tf.ones([4, 2])), (x,))
        return strategy.experimental_local_results(results)

    x = tf.ones([3, 4])
    for result in step(x):
        np.testing.assert_allclose(result, np.full([3, 2], 16.0))
    graph = step.get_concrete_function(x).graph
    calls = [op.device for op in graph.get_operations() if op.type == "TVM>DSOOp"]
    assert sorted(device[-5:] for device in calls) == ["CPU:0", "CPU:1"]
