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
"""TVM ops on the devices of other processes, which share no folder with this one."""

from __future__ import annotations

import gc
import os
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer, Weight
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python
from tensorflow_tvm.tests.workers import Process, Proxy, Worker, free_ports, running

TASKS = ("/job:worker/task:0", "/job:worker/task:1")
X = np.array([1.0, -2.0, 3.0], np.float32)


class Cluster:
    """This process and two workers, with a count of what each of these is sent."""

    def __init__(self, workers, proxies):
        self.workers = list(workers)
        self.proxies = proxies
        for attempt in range(3):
            # Said, so that it is the same after another connect().
            self.chief = f"localhost:{free_ports(1)[0]}"
            try:
                return self.connect()
            except tf.errors.OpError:  # the port has been taken meanwhile
                if attempt == 2:
                    raise

    def connect(self):
        """Connect to the workers, also if one has been started anew."""
        spec = {"worker": [proxy.address for proxy in self.proxies], "chief": [self.chief]}
        tf.config.experimental_connect_to_cluster(tf.train.ClusterSpec(spec), job_name="chief")

    def sent(self):
        return np.array([proxy.sent for proxy in self.proxies])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("chief"))
    with running(Worker(), Worker()) as workers:
        with running(*(Proxy(worker.address) for worker in workers)) as proxies:
            yield Cluster(workers, proxies)
        assert not any(worker.files() for worker in workers), "nothing is left in their folders"
    os.chdir(folder)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """x³ of one library, with a gradient of another, whose own gradient is of a third."""
    folder = tmp_path_factory.mktemp("cube")

    def library(name, function, *inputs):
        path = folder / f"{name}.so"
        result = te.compute(inputs[0].shape, lambda i: function(*(x[i] for x in inputs)), name="y")
        tftvm.export_library({name: [*inputs, result]}, path)
        return tftvm.Module(path)

    n = te.var("n")
    x, dy, ddx = (te.placeholder((n,), "float32", name=name) for name in ("x", "dy", "ddx"))
    takes = ["args", "grads"]
    second = library("second", lambda x, dy, ddx: 6.0 * x * dy * ddx, x, dy, ddx)
    second = tftvm.Gradient(second["second"], takes=takes, wrt=[0])
    first = library("first", lambda x, dy: 3.0 * x * x * dy, x, dy).func("first", gradient=second)
    cubed = library("cube", lambda x: x * x * x, x)
    return cubed.func("cube", gradient=tftvm.Gradient(first, takes=takes))


PADDED = """
#include <dlpack/dlpack.h>
#include <tvm/ffi/c_api.h>

static const unsigned char padding[{bytes}] = {{{first}}};

extern "C" int __tvm_ffi_plus(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {{
  const auto* x = static_cast<const DLTensor*>(args[0].v_ptr);
  auto* y = static_cast<DLTensor*>(args[1].v_ptr);
  for (int64_t i = 0; i < x->shape[0]; ++i) {{
    static_cast<float*>(y->data)[i] =
        static_cast<const float*>(x->data)[i] + padding[x->ndim - 1] + padding[{bytes} - x->ndim];
  }}
  return 0;
}}
"""
SIZE = 4 << 20


@pytest.fixture
def large(tmp_path, request):
    """A library of some MB, another one in each test, with `plus`: x plus a number."""
    large.number = getattr(large, "number", 0) + 1
    path = tmp_path / "large.so"
    libraries.compile_cc(PADDED.format(bytes=SIZE, first=large.number), path, "-O1")
    module = tftvm.Module(path)
    assert module.size > SIZE
    return module["plus"], X + np.float32(large.number)


@pytest.mark.parametrize("task", TASKS)
def test_eager_call(cluster, cube, task):
    with tf.device(task):
        y = cube(tf.constant(X))
        assert f"{task}/device:CPU:0" in y.device.replace("/replica:0", "")
        np.testing.assert_array_equal(y, X**3)
        np.testing.assert_array_equal(cube(y), X**9)
    np.testing.assert_array_equal(cube(y), X**9)  # here, on a tensor that lies there


def test_target_device(cluster, addone_path):
    addone = tftvm.Module(addone_path).func("addone", target_device=f"{TASKS[1]}/cpu:0")
    y = addone(X)
    assert "task:1" in y.device
    np.testing.assert_array_equal(y, X + 1)
    np.testing.assert_array_equal(tf.function(addone)(X), X + 1)


def test_eager_call_with_a_shape_and_without_inputs(cluster, tmp_path):
    n = te.var("n")
    ones = libraries.prim_func(
        "ones", [te.compute((n,), lambda i: te.const(1.0, "float32"), name="y")]
    )
    module = tftvm.Module(libraries.export(ones, tmp_path / "ones.so"))
    with tf.device(TASKS[0]):
        for shape in ([4], tf.constant([4])):
            ones = module.func("ones", output_shape=shape, output_dtype="float32")
            for _ in range(2):
                np.testing.assert_array_equal(ones(), np.ones(4))


@pytest.mark.parametrize("task", TASKS)
def test_eager_gradients_of_libraries_that_the_task_has_not_seen(cluster, cube, task):
    x = tf.constant(X)
    for _ in range(2):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape, tf.device(task):
                tape.watch(x)
                y = cube(x)
            gradient = tape.gradient(y, x)
        np.testing.assert_allclose(gradient, 3 * X**2)
        np.testing.assert_allclose(outer.gradient(gradient, x), 6 * X)


def test_gradient_when_nobody_has_the_function_any_more(cluster):
    def scaled(factor):
        x = te.placeholder((te.var("n"),), "float32", name="x")
        y = te.compute(x.shape, lambda i: factor * x[i], name="y")
        return tftvm.build([x, y], name="scaled", gradient="auto")["scaled"]

    x = tf.Variable(X)
    with tf.GradientTape() as tape, tf.device(TASKS[0]):
        y = scaled(3.0)(x.read_value())
    gc.collect()
    np.testing.assert_allclose(tape.gradient(y, x), np.full(3, 3.0))


def test_function_called_there(cluster, cube):
    @tf.function
    def function(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = cube(x)
        return y, tape.gradient(y, x)

    for task in (*TASKS, None):
        with tf.device(task):
            y, gradient = function(tf.constant(X))
        np.testing.assert_array_equal(y, X**3)
        np.testing.assert_allclose(gradient, 3 * X**2)


def test_function_that_places_ops_there(cluster, cube):
    @tf.function
    def function(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            with tf.device(TASKS[0]):
                y = cube(x)
                assert "task:0" in y.device
            with tf.device(TASKS[1]):
                z = cube(y) + cube(x)
            w = cube(z)
        return w, tape.gradient(w, x)

    w, gradient = function(tf.constant(X))
    np.testing.assert_allclose(w, (X**9 + X**3) ** 3, rtol=1e-6)
    expected = 3 * (X**9 + X**3) ** 2 * (9 * X**8 + 3 * X**2)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_loop_that_places_ops_there(cluster, cube):
    @tf.function
    def function(x):
        for _ in tf.range(2):
            with tf.device(TASKS[1]):
                x = cube(x)
        return x

    np.testing.assert_array_equal(function(tf.constant(X)), X**9)


def test_tape_around_a_function(cluster, cube):
    function = tf.function(lambda x: cube(x))
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        with tf.device(TASKS[1]):
            y = function(x)
    np.testing.assert_allclose(tape.gradient(y, x), 3 * X**2)


def test_variables_there(cluster, cube):
    with tf.device(TASKS[1]):
        variable = tf.Variable(X)
    assert "task:1" in variable.device
    np.testing.assert_array_equal(cube(variable), X**3)  # here

    def gradient():
        with tf.GradientTape() as tape, tf.device(TASKS[1]):
            y = cube(variable)
        return tape.gradient(y, variable)

    for function in (gradient, tf.function(gradient)):
        np.testing.assert_allclose(function(), 3 * X**2)


def test_a_keras_model_that_is_trained_there(cluster):
    scale = tftvm.op(
        lambda x, w: te.compute(x.shape, lambda i, j: x[i, j] * w[j], name="y"),
        shapes=["n d", "d"],
        gradient="auto",
    )
    data = np.arange(12, dtype=np.float32).reshape(4, 3) / 8

    def train(device):
        with tf.device(device):
            layer = TVMLayer(scale, [Weight("w", ["d"], "ones")])
            model = keras.Sequential([keras.Input([3]), layer])
            model.compile(keras.optimizers.SGD(0.1), "mse")
            history = model.fit(data, 2 * data, batch_size=2, epochs=3, shuffle=False, verbose=0)
            return layer.weights[0].value.device, history.history["loss"], model(data)

    device, losses, y = train(TASKS[0])
    assert "/job:worker" in device and "/job:worker" in y.device
    _, expected_losses, expected = train(None)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def _ways(function):
    """Return ways to call a function on the second worker."""
    traced = tf.function(function)

    def eager(x):
        with tf.device(TASKS[1]):
            return function(x)

    def called_there(x):
        with tf.device(TASKS[1]):
            return traced(x)

    return {"eager": eager, "called there": called_there, "placed there": tf.function(eager)}


@pytest.mark.parametrize("way", ["eager", "called there", "placed there"])
def test_bytes_are_sent_once(cluster, large, way):
    function, expected = large
    call = _ways(function)[way]

    def sent_by(times):
        before = cluster.sent()
        for _ in range(times):
            np.testing.assert_array_equal(call(tf.constant(X)), expected)
        return cluster.sent() - before

    other, first = sent_by(1)
    assert first > SIZE
    if way == "placed there":  # a function that returns the bytes, which others may call
        assert other < 1.1 * SIZE
        # What is captured a worker fetches itself, at each call; that is not counted.
        assert not call.get_concrete_function(tf.constant(X)).captured_inputs
    else:
        assert other < 0.1 * SIZE
        assert first < 1.1 * SIZE
    assert max(sent_by(20)) < 0.1 * SIZE


def test_eager_calls_find_what_a_function_has_brought(cluster, large):
    function, expected = large
    before = cluster.sent()
    for way in ("called there", "called there", "eager"):
        np.testing.assert_array_equal(_ways(function)[way](tf.constant(X)), expected)
    other, sent = cluster.sent() - before
    assert sent < 1.1 * SIZE
    assert other < 0.1 * SIZE


def test_a_library_that_was_dropped_and_loaded_again(cluster, large, tmp_path):
    function, expected = large
    path = tmp_path / "large.so"
    with tf.device(TASKS[0]):
        np.testing.assert_array_equal(function(tf.constant(X)), expected)
        del function, large
        gc.collect()
        again = tftvm.Module(path)["plus"]
        for _ in range(2):
            np.testing.assert_array_equal(again(tf.constant(X)), expected)


def test_first_calls_of_many_threads(cluster, large):
    function, expected = large
    results, failures = [], []
    barrier = threading.Barrier(8)

    def work(task):
        try:
            barrier.wait()
            with tf.device(task):
                for _ in range(3):
                    tf.square(tf.constant(X)).numpy()  # no other op fails meanwhile
                    results.append(function(tf.constant(X)).numpy())
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(TASKS[i % 2],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    np.testing.assert_array_equal(results, [expected] * 24)


def test_asynchronous_eager_calls(cluster, large):
    function, expected = large
    tf.config.experimental.set_synchronous_execution(False)
    try:
        with tf.device(TASKS[0]):
            results = [function(tf.constant(X)) for _ in range(3)]
        for result in results:
            np.testing.assert_array_equal(result, expected)
    finally:
        tf.config.experimental.set_synchronous_execution(True)


def test_errors_say_what_is_wrong(cluster, tmp_path):
    n = te.var("n")
    x, y = (te.placeholder((n,), "float32", name=name) for name in "xy")
    path = tmp_path / "add.so"
    tftvm.export_library({"add": [x, y, te.compute((n,), lambda i: x[i] + y[i], name="z")]}, path)
    add = tftvm.Module(path)["add"]
    long = tf.constant(np.ones(4, np.float32))
    for call in (add, tf.function(add, input_signature=[tf.TensorSpec([None])] * 2)):
        with tf.device(TASKS[0]):
            for _ in range(2):
                with pytest.raises(tf.errors.InvalidArgumentError, match="input 'y' has shape"):
                    call(tf.constant(X), long).numpy()
            np.testing.assert_array_equal(call(tf.constant(X), tf.constant(X)), 2 * X)


def test_a_worker_that_was_started_anew(cluster, large):
    function, expected = large
    calls = list(_ways(function).values())

    def check():
        for call in calls:
            np.testing.assert_array_equal(call(tf.constant(X)), expected)

    check()
    port = cluster.workers[1].port
    cluster.workers[1].kill()
    with running(Worker(port=port)):
        cluster.connect()
        check()
    cluster.workers[1] = Worker(port=port)
    with running(*cluster.workers[1:]):
        cluster.connect()
        check()


def test_session(cluster, cube):
    with (
        tf.Graph().as_default(),
        tf.compat.v1.Session(f"grpc://{cluster.workers[0].address}") as session,
    ):
        x = tf.compat.v1.placeholder("float32", [3])
        with tf.device(TASKS[0]):
            y = cube(x)
        for _ in range(2):
            np.testing.assert_array_equal(session.run(y, {x: X}), X**3)


def test_a_process_that_has_not_imported_tensorflow_tvm():
    server = Process(
        "-c",
        "import tensorflow as tf\n"
        "server = tf.distribute.Server(tf.train.ClusterSpec({'worker': ['localhost:0']}))\n"
        "print(server.target, flush=True)\n"
        "server.join()",
    )
    with running(server):
        check_python(
            """
            import sys
            import pytest
            import tensorflow as tf
            from tvm import te
            import tensorflow_tvm as tftvm

            tf.config.experimental_connect_to_host(sys.argv[1])
            x = te.placeholder((te.var("n"),), "float32", name="x")
            y = te.compute(x.shape, lambda i: 2.0 * x[i])
            double = tftvm.build([x, y], name="double")["double"]
            with tf.device("/job:worker/task:0"):
                for _ in range(2):
                    with pytest.raises(
                        tf.errors.NotFoundError,
                        match="'double' of library .*: /job:worker/task:0 does not know TVM's ops. "
                        "Start it by 'python -m tensorflow_tvm worker'",
                    ):
                        double(tf.constant([1.0]))
                with pytest.raises(tf.errors.NotFoundError, match="'TVM>DSOOp'"):
                    tf.function(double)(tf.constant([1.0])).numpy()
            """,
            server.first_line,
        )
