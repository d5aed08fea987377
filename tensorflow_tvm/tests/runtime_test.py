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
"""How libraries run: on TensorFlow's threads, with no more of TVM than they need."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, topi
from tvm.script import ir as I
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python


@I.ir_module
class ParallelModule:
    """addone and a loop that refuses negative numbers, both parallel."""

    @T.prim_func
    def addone(a: T.handle, b: T.handle):
        T.func_attr({"global_symbol": "addone", "tirx.noalias": True})
        n = T.int32()
        A = T.match_buffer(a, (n,), "float32")
        B = T.match_buffer(b, (n,), "float32")
        for i in T.parallel(n):
            B[i] = A[i] + T.float32(1)

    @T.prim_func
    def positive(a: T.handle, b: T.handle):
        T.func_attr({"global_symbol": "positive", "tirx.noalias": True})
        n = T.int32()
        A = T.match_buffer(a, (n,), "float32")
        B = T.match_buffer(b, (n,), "float32")
        for i in T.parallel(n):
            assert A[i] >= T.float32(0), "a negative number"
            B[i] = A[i]


@pytest.fixture(scope="module")
def parallel_path(tmp_path_factory):
    return libraries.export(ParallelModule, tmp_path_factory.mktemp("lib") / "parallel.so")


@pytest.fixture(scope="module")
def argsort_path(tmp_path_factory):
    x = te.placeholder((4, 16), name="x")
    argsort = libraries.prim_func("argsort", [x, topi.argsort(x, axis=1, dtype="int32")])
    return libraries.export(argsort, tmp_path_factory.mktemp("lib") / "argsort.so")


@pytest.mark.parametrize("size", [0, 1, 3, 1_000_003])
def test_parallel_loop(run, parallel_path, size):
    x = np.arange(size, dtype=np.float32) % 1000
    np.testing.assert_array_equal(run(tftvm.Module(parallel_path)["addone"], x), x + np.float32(1))


def test_error_in_parallel_loop(run, parallel_path):
    positive = tftvm.Module(parallel_path)["positive"]
    x = np.ones(10_000, np.float32)
    np.testing.assert_array_equal(run(positive, x), x)
    x[5000] = -1
    with pytest.raises(tf.errors.InternalError, match="(?s)'positive'.*a negative number"):
        run(positive, x)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_error_in_parallel_loop_on_any_number_of_threads(parallel_path, threads):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        y = tftvm.Module(parallel_path)["positive"](x)
        with pytest.raises(tf.errors.InternalError, match="a negative number"):
            session.run(y, {x: -np.ones(1000, np.float32)})
        np.testing.assert_array_equal(session.run(y, {x: [1.0]}), [1.0])


def test_parallel_loop_in_dataset_map(parallel_path):
    addone = tftvm.Module(parallel_path)["addone"]
    dataset = tf.data.Dataset.range(100).map(
        lambda i: addone(tf.fill([1000], tf.cast(i, tf.float32))), num_parallel_calls=4
    )
    for i, y in enumerate(dataset.as_numpy_iterator()):
        np.testing.assert_array_equal(y, np.full(1000, i + 1, np.float32))


def test_plain_library_needs_no_tvm(parallel_path):
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        y = tftvm.Module(sys.argv[1])["addone"](tf.range(5.0))
        maps = open("/proc/self/maps").read()
        print(y.numpy().tolist(), "tvm" in sys.modules, "libtvm_runtime" in maps)
        """,
        parallel_path,
    )
    assert output.strip() == "[1.0, 2.0, 3.0, 4.0, 5.0] False False"


def test_plain_library_without_apache_tvm_installed(parallel_path):
    output = check_python(
        """
        import sys
        sys.modules["tvm"] = None  # as if it were not installed
        import importlib.util
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "tvm" else find_spec(name)
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        print(tftvm.Module(sys.argv[1])["addone"](tf.range(2.0)).numpy().tolist())
        """,
        parallel_path,
    )
    assert output.strip() == "[1.0, 2.0]"


def test_error_in_a_process_that_imported_only_this(addone_path):
    output = check_python(
        """
        import sys
        import tensorflow_tvm as tftvm
        import tensorflow as tf
        addone = tftvm.Module(sys.argv[1])["addone"]
        try:
            addone(tf.constant([1, 2]))
        except tf.errors.InvalidArgumentError as error:
            print("expected float32" in error.message, "int32[2]" in error.message)
        print(addone(tf.constant([1.0])).numpy().tolist())
        """,
        addone_path,
    )
    assert output.split("\n")[:2] == ["True True", "[2.0]"]


def test_packed_functions_of_the_runtime(run, argsort_path):
    x = np.random.default_rng(0).permutation(64).reshape(4, 16).astype(np.float32)
    argsort = tftvm.Module(argsort_path).func("argsort", output_dtype="int32")
    np.testing.assert_array_equal(run(argsort, x), np.argsort(x, axis=1))


def test_packed_functions_in_a_process_that_did_not_import_tvm(argsort_path):
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        argsort = tftvm.Module(sys.argv[1]).func("argsort", output_dtype="int32")
        x = tf.reshape(tf.range(64.0, 0, -1), [4, 16])
        print(argsort(x)[0].numpy().tolist() == list(range(15, -1, -1)), "tvm" in sys.modules)
        """,
        argsort_path,
    )
    assert output.strip() == "True False"


def test_missing_packed_function_names_the_package(argsort_path):
    output = check_python(
        """
        import sys
        import importlib.util
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "tvm" else find_spec(name)
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        import tvm_ffi
        # Not beside the op library either, where the package is installed.
        tvm_ffi.get_global_func("tensorflow_tvm.set_tvm_runtime_folder")("/nowhere")
        argsort = tftvm.Module(sys.argv[1]).func("argsort", output_dtype="int32")
        try:
            argsort(tf.zeros([4, 16]))
        except tf.errors.OpError as error:
            print(error.message)
        """,
        argsort_path,
    )
    assert "tvm.contrib.sort.argsort" in output
    assert "pip install 'tensorflow_tvm[compiler]'" in output


def test_tvm_thread_pool_on_request(parallel_path):
    output = check_python(
        """
        import os, sys
        os.environ["TENSORFLOW_TVM_THREADPOOL"] = "tvm"
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        y = tftvm.Module(sys.argv[1])["addone"](tf.zeros([1000]))
        maps = open("/proc/self/maps").read()
        print(tf.reduce_sum(y).numpy(), "libtvm_runtime" in maps)
        """,
        parallel_path,
    )
    assert output.strip() == "1000.0 True"


def test_tvm_imported_first_and_last(parallel_path):
    for order in ("import tvm, tensorflow_tvm", "import tensorflow_tvm, tvm"):
        output = check_python(
            f"""
            import sys
            {order}
            import tensorflow as tf
            import tensorflow_tvm as tftvm
            print(tftvm.Module(sys.argv[1])["addone"](tf.zeros([2])).numpy().tolist())
            """,
            parallel_path,
        )
        assert output.strip() == "[1.0, 1.0]"


@pytest.mark.parametrize("kind", ["eager", "function", "session"])
def test_one_library_from_16_threads(parallel_path, kind):
    addone = tftvm.Module(parallel_path)["addone"]
    traced = tf.function(addone, input_signature=[tf.TensorSpec([None])])
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None])
        y = addone(x)
        session = tf.compat.v1.Session()
    call = {
        "eager": lambda value: addone(tf.constant(value)).numpy(),
        "function": lambda value: traced(tf.constant(value)).numpy(),
        "session": lambda value: session.run(y, {x: value}),
    }[kind]
    failures = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(50):
            value = random.normal(size=random.integers(0, 5000)).astype(np.float32)
            if not np.array_equal(call(value), value + np.float32(1)):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_library_is_unloaded_with_its_last_owner(tmp_path):
    path = libraries.export(
        libraries.elementwise("times_seven", lambda x: x * 7.0), tmp_path / "times_seven.so"
    )
    before = tftvm.stats()["libraries"]
    module = tftvm.Module(path)
    assert tftvm.stats()["libraries"] == before + 1
    times_seven = module["times_seven"]
    del module
    np.testing.assert_array_equal(times_seven(tf.constant([1.0, 2.0])), [7.0, 14.0])
    del times_seven  # TensorFlow keeps the eager kernel, which must not keep the library
    assert tftvm.stats()["libraries"] == before
    # Loaded again, the library is found by the kernel that TensorFlow kept.
    np.testing.assert_array_equal(tftvm.Module(path)["times_seven"](tf.constant([3.0])), [21.0])


def test_a_graph_owns_its_library(tmp_path):
    path = libraries.export(
        libraries.elementwise("times_nine", lambda x: x * 9.0), tmp_path / "times_nine.so"
    )
    before = tftvm.stats()["libraries"]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        y = tftvm.Module(path)["times_nine"](x)  # which nobody keeps
        assert tftvm.stats()["libraries"] == before
        for _ in range(2):
            np.testing.assert_array_equal(session.run(y, {x: [1.0]}), [9.0])
            assert tftvm.stats()["libraries"] == before + 1
    del session
    assert tftvm.stats()["libraries"] == before
