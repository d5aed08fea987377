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
"""TVM ops in functions that a ClusterCoordinator schedules, on workers that fail."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests.workers import Worker, running

COUNT = 400
SIZE = 512


@pytest.fixture(scope="module")
def cluster():
    with running(Worker(), Worker(), Worker("--job-name", "ps")) as (*workers, server):
        yield workers, server


@pytest.fixture(scope="module")
def coordinator(cluster):
    workers, server = cluster
    spec = {"worker": [worker.address for worker in workers], "ps": [server.address]}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(spec), rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    return tf.distribute.coordinator.ClusterCoordinator(strategy)


@pytest.fixture(scope="module")
def scaled_squares():
    """w x², with a gradient."""
    n = te.var("n")
    x, w = (te.placeholder((n,), "float32", name=name) for name in "xw")
    y = te.compute((n,), lambda i: w[i] * x[i] * x[i], name="y")
    return tftvm.build([x, w, y], name="scaled_squares", gradient="auto")["scaled_squares"]


def _inputs(number):
    return np.arange(SIZE, dtype=np.float32) % 7 + number


def test_eager_function(coordinator, scaled_squares):
    def function():
        return scaled_squares(tf.constant([1.0, 2.0]), tf.constant([3.0, 3.0]))

    results = [coordinator.schedule(function) for _ in range(8)]
    for result in coordinator.fetch(results):
        np.testing.assert_array_equal(result, [3.0, 12.0])


def test_nothing_is_lost_when_a_worker_is_killed_and_started_anew(
    cluster, coordinator, scaled_squares
):
    workers, _ = cluster
    with coordinator.strategy.scope():
        w = tf.Variable(np.full(SIZE, 2.0, np.float32))
        gradients = tf.Variable(np.zeros([COUNT, SIZE], np.float32))
        assert "/job:ps" in w.device

    @tf.function
    def step(number, x):
        with tf.GradientTape() as tape:
            y = scaled_squares(x, w)
        # What is done twice, since its worker was killed, changes nothing.
        row = tape.gradient(y, w)[None]
        gradients.scatter_nd_update([[number]], row)
        return tf.reduce_sum(y)

    def schedule(numbers):
        return [coordinator.schedule(step, (tf.constant(i), _inputs(i))) for i in numbers]

    def check(results, numbers):
        expected = [np.sum(2.0 * np.square(_inputs(i), dtype=np.float64)) for i in numbers]
        np.testing.assert_allclose(coordinator.fetch(results), expected, rtol=1e-5)
        rows = gradients.numpy()[list(numbers)]
        np.testing.assert_array_equal(rows, [np.square(_inputs(i)) for i in numbers])

    first, last = range(COUNT - 20), range(COUNT - 20, COUNT)
    results = schedule(first)
    results[0].fetch()
    port = workers[0].port
    workers[0].kill()
    assert not coordinator.done()
    with running(Worker(port=port)):
        coordinator.join()
        check(results, first)
        # From here on only the one that was started anew is left.
        workers[1].kill()
        check(schedule(last), last)
