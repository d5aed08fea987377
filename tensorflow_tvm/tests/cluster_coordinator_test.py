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

import time

import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests.workers import Worker, running

COUNT = 300
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


def _function(name, function, **options):
    n = te.var("n")
    x, w = (te.placeholder((n,), "float32", name=name) for name in "xw")
    y = te.compute((n,), lambda i: function(x[i], w[i]), name="y")
    return tftvm.build([x, w, y], name=name, **options)[name]


def _inputs(number):
    return np.arange(SIZE, dtype=np.float32) % 7 + number


def test_nothing_is_lost_when_a_worker_is_killed_and_started_anew(cluster, coordinator):
    workers, _ = cluster
    scaled_squares = _function("scaled_squares", lambda x, w: w * x * x, gradient="auto")
    difference = _function("difference", lambda x, w: x - w)
    with coordinator.strategy.scope():
        w = tf.Variable(np.full(SIZE, 2.0, np.float32))
        gradients = tf.Variable(np.zeros([COUNT, SIZE], np.float32))
        assert "/job:ps" in w.device

    @tf.function
    def step(number, x, status):
        with tf.GradientTape() as tape:
            y = scaled_squares(x, w)
        # What is done twice, since its worker was killed, changes nothing.
        gradients.scatter_nd_update([[number]], tape.gradient(y, w)[None])
        process = tf.strings.to_number(tf.strings.split(tf.io.read_file(status))[0], tf.int32)
        return tf.reduce_sum(y), process

    def schedule():
        status = tf.constant("/proc/self/stat")
        return [
            coordinator.schedule(step, (tf.constant(i), _inputs(i), status)) for i in range(COUNT)
        ]

    def check(results):
        """Compare all results with NumPy's, and return the processes they are from."""
        coordinator.join()
        sums, processes = zip(*coordinator.fetch(results), strict=True)
        expected = [np.sum(2.0 * np.square(_inputs(i), dtype=np.float64)) for i in range(COUNT)]
        np.testing.assert_allclose(sums, expected, rtol=1e-5)
        np.testing.assert_array_equal(gradients, [np.square(_inputs(i)) for i in range(COUNT)])
        gradients.assign(tf.zeros_like(gradients))
        return set(map(int, processes))

    def check_eager_call():
        with tf.device("/job:worker/task:0"):
            y = difference(tf.constant([1.0, 2.0]), tf.constant([3.0, 3.0]))
        np.testing.assert_array_equal(y, [-2.0, -1.0])

    check_eager_call()
    assert check(schedule()) == {worker.pid for worker in workers}
    results = schedule()
    results[0].fetch()
    workers[0].kill()
    assert not coordinator.done(), "nothing was left to be lost"
    with running(Worker(port=workers[0].port)) as (restarted,):
        processes = check(results)
        deadline = time.monotonic() + 120
        while restarted.pid not in processes:
            assert time.monotonic() < deadline, "the worker that was started anew gets no work"
            processes = check(schedule())
        check_eager_call()  # which sends the library again
