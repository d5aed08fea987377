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
"""Two workers train a model that calls a TVM function, by MultiWorkerMirroredStrategy."""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer, Weight
from tensorflow_tvm.tests.workers import Process, free_ports, running

ATTEMPTS = 3


def _product(x, w):
    k = te.reduce_axis((0, x.shape[1]), name="k")
    return te.compute(
        (x.shape[0], w.shape[1]), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="y"
    )


def _train(strategy):
    """Return the losses and weights of a model that is trained on data that is always the same."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(96, 4)).astype(np.float32)
    y = np.maximum(x[:, :1], x[:, 1:2])
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = strategy.experimental_distribute_dataset(data.with_options(options))
    with strategy.scope():
        product = tftvm.op(_product, shapes=["n d", "d u"], gradient="auto")
        weight = Weight("w", ["d", 8], keras.initializers.GlorotUniform(seed=1))
        last = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=2))
        model = keras.Sequential(
            [keras.Input([4]), TVMLayer(product, [weight]), keras.layers.ReLU(), last]
        )
        optimizer = keras.optimizers.Adam(0.01)
        optimizer.build(model.trainable_variables)

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x, training=True) - y)) / 16.0
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    @tf.function
    def train(x, y):
        return strategy.reduce("SUM", strategy.run(step, (x, y)), axis=None)

    return {
        "replicas": strategy.num_replicas_in_sync,
        "losses": [float(train(x, y)) for _ in range(4) for x, y in data],
        "weights": [weights.tolist() for weights in model.get_weights()],
    }


def _train_on_two_workers():
    for attempt in range(ATTEMPTS):
        addresses = [f"localhost:{port}" for port in free_ports(2)]
        workers = [
            Process(
                __file__,
                env={
                    "TF_CONFIG": json.dumps(
                        {
                            "cluster": {"worker": addresses},
                            "task": {"type": "worker", "index": index},
                        }
                    )
                },
            )
            for index in range(2)
        ]
        try:
            with running(*workers):
                return [json.loads(worker.first_line) for worker in workers]
        except AssertionError:
            taken = any("Could not start gRPC server" in worker.errors() for worker in workers)
            if attempt == ATTEMPTS - 1 or not taken:
                raise
    return None


def test_two_workers_train_the_same_weights_as_one_process():
    expected = _train(tf.distribute.get_strategy())
    first, second = _train_on_two_workers()
    assert first["replicas"] == second["replicas"] == 2
    assert expected["replicas"] == 1
    for ours, theirs, alone in zip(
        first["weights"], second["weights"], expected["weights"], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(ours, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first["losses"], expected["losses"], rtol=1e-3)
    assert np.mean(expected["losses"][-6:]) < 0.8 * np.mean(expected["losses"][:6])


if __name__ == "__main__":
    print(json.dumps(_train(tf.distribute.MultiWorkerMirroredStrategy())), flush=True)
    sys.exit()
