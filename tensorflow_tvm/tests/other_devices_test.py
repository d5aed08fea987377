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
"""Devices that only TVM knows, reached from the CPU: here a fake one that is unlike the host."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tvm

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

_SOURCES = Path(__file__).parent / "testdata"
_SIGNATURES = {
    "addone": "(x: float32[n]) -> (y: float32[n])",
    "addone_half": "(x: float16[n]) -> (y: float16[n])",
    "addone_twice": "(x: float32[n]) -> (y: float32[n])",
    "sum_and_difference": "(x: float32[n], y: float32[n]) -> (s: float32[n], d: float32[n])",
    "total": "(x: float32[n]) -> (y: float32[])",
    "where": "(x: float32[n]) -> (y: float32[])",
    "positive": "(x: float32[n]) -> (y: float32[?])",
    "host_tensor": "(x: float32[n]) -> (y: float32[n])",
    "exchange": "(x: float32[n]) -> (y: float32[?])",
    "fails": "(x: float32[n]) -> (y: float32[n])",
}


class _ExtDev:
    """What the fake devices did, and what they shall fail at."""

    def __init__(self, folder: Path) -> None:
        package = Path(tvm.__file__).parent
        path = libraries.compile_cc(
            (_SOURCES / "ext_dev.cc").read_text(),
            folder / "ext_dev.so",
            *("-std=c++17", "-fvisibility=hidden", f"-I{package / 'include'}"),
        )
        ctypes.CDLL(str(package / "lib/libtvm_runtime.so"), ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
        self._library.ExtDevMisuse.restype = ctypes.c_char_p
        self._library.ExtDevLive.restype = ctypes.c_int64
        self._library.ExtDevCopies.restype = ctypes.c_int64

    def fail(self, what: str) -> None:
        self._library.ExtDevFail(what.encode())

    def misuse(self) -> str:
        return self._library.ExtDevMisuse().decode()

    def live(self) -> int:
        """How many pieces of the devices' memory there are."""
        return self._library.ExtDevLive()

    def copies(self) -> int:
        return self._library.ExtDevCopies()


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    return _ExtDev(tmp_path_factory.mktemp("ext_dev"))


@pytest.fixture
def ext_dev(fake):
    """The fake devices: whatever a test does, they are used as devices have to be."""
    before = fake.live()
    yield fake
    fake.fail("")
    assert fake.misuse() == ""
    assert fake.live() == before, "memory on the device is not freed"


@pytest.fixture(scope="module")
def module(fake, tmp_path_factory):
    path = libraries.compile_cc(
        (_SOURCES / "ext_dev_functions.cc").read_text(),
        tmp_path_factory.mktemp("lib") / "functions.so",
        "-std=c++17",
    )
    return tftvm.Module(path)


def _func(module, name, device="ext_dev", **arguments):
    return module.func(name, signature=_SIGNATURES[name], target_device=device, **arguments)


def test_a_gradient_by_name_runs_on_the_device_too(ext_dev, run, module):
    gradient = tftvm.Gradient("addone", takes=["grads"])
    twice = _func(module, "addone_twice", gradient=gradient)

    def dx(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = twice(x)
        return tape.gradient(y, x)

    before = ext_dev.copies()
    np.testing.assert_array_equal(run(dx, np.zeros(5, np.float32)), np.full(5, 2.0))
    assert ext_dev.copies() >= before + 2


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("size", [1, 1000])
def test_one_output(ext_dev, run, module, signed, size):
    addone = _func(module, "addone") if signed else module.func("addone", target_device="ext_dev")
    x = np.random.default_rng(1).normal(size=size).astype(np.float32)
    np.testing.assert_array_equal(run(addone, x), x + np.float32(1))


@pytest.mark.parametrize("signed", [True, False])
def test_several_inputs_and_outputs(ext_dev, run, module, signed):
    function = (
        _func(module, "sum_and_difference")
        if signed
        else module.func(
            "sum_and_difference", output_dtype=["float32"] * 2, target_device="EXT_DEV:1"
        )
    )
    x, y = np.float32([1.0, 2.0, 3.0]), np.float32([10.0, 20.0, 30.0])
    added, subtracted = run(function, x, y)
    np.testing.assert_array_equal(added, x + y)
    np.testing.assert_array_equal(subtracted, x - y)


def test_half_precision(ext_dev, run, module):
    result = run(_func(module, "addone_half"), np.float16([1.0, 2.0]))
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, [2.0, 3.0])


def test_empty_tensors(ext_dev, run, module):
    assert run(_func(module, "addone"), np.zeros(0, np.float32)).shape == (0,)
    assert run(_func(module, "total"), np.zeros(0, np.float32)) == 0.0


def test_output_shape_as_a_tensor(ext_dev, run, module):
    def addone(x):
        return module.func("addone", output_shape=tf.shape(x), target_device="ext_dev")(x)

    np.testing.assert_array_equal(run(addone, np.float32([1.0])), [2.0])


@pytest.mark.parametrize("index", [0, 1])
def test_index(ext_dev, run, module, index):
    assert run(_func(module, "where", f"ext_dev:{index}"), np.zeros(1, np.float32)) == index


@pytest.mark.parametrize("x", [[1.0, -2.0, 3.0], [-1.0], []])
def test_returned_tensors(ext_dev, run, module, x):
    positive = _func(module, "positive", arg_spec=["args"])
    x = np.float32(x)
    np.testing.assert_array_equal(run(positive, x), x[x > 0])


def test_tensor_that_is_returned_in_the_hosts_memory(ext_dev, module):
    function = _func(module, "host_tensor", arg_spec=["args"])
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match="'host_tensor'.*is on device 1:0; expected device 12:0",
    ):
        function(tf.zeros([2]))


def test_temporary_memory(ext_dev, run, module):
    np.testing.assert_array_equal(run(_func(module, "addone_twice"), np.float32([1.0])), [3.0])


def test_tensors_that_the_function_keeps(fake, tmp_path_factory):
    path = libraries.compile_cc(
        (_SOURCES / "ext_dev_functions.cc").read_text(),
        tmp_path_factory.mktemp("lib") / "keeps.so",
        *("-std=c++17", "-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1"),
    )
    exchange = tftvm.Module(path).func("exchange", target_device="ext_dev", output_dtype="float32")
    before = fake.live()
    np.testing.assert_array_equal(exchange(tf.constant([1.0, 2.0])), [1.0, 2.0])
    assert fake.live() == before + 1
    np.testing.assert_array_equal(exchange(tf.constant([3.0])), [1.0, 2.0])
    np.testing.assert_array_equal(exchange(tf.constant([4.0])), [3.0])
    assert fake.live() == before + 1 and not fake.misuse()


def test_memory_that_is_not_aligned(ext_dev, module):
    data = np.arange(9, dtype=np.float32)[1:]
    x = tf.experimental.dlpack.from_dlpack(data.__dlpack__())
    before = tftvm.stats()["alignment_copies"]
    np.testing.assert_array_equal(_func(module, "addone")(x), data + 1)
    assert tftvm.stats()["alignment_copies"] == before


def test_each_tensor_is_copied_once(ext_dev, module):
    function = _func(module, "sum_and_difference")
    x = tf.ones([8])
    before = ext_dev.copies()
    function(x, x)
    assert ext_dev.copies() == before + 4


def test_device_of_the_caller_is_overruled(ext_dev, module):
    with tf.device("/gpu:0"):
        y = _func(module, "addone")(tf.constant([1.0]))
    assert "CPU:0" in y.device


def test_saved_model(ext_dev, module, tmp_path):
    model = tf.Module()
    addone = _func(module, "addone", "ext_dev:1")
    model.call = tf.function(addone, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(model, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.call(tf.constant([1.0])), [2.0])
    text = str(loaded.call.get_concrete_function().graph.as_graph_def())
    assert "ext_dev:1" in text


def test_in_tf_data(ext_dev, module):
    addone = _func(module, "addone")
    data = tf.data.Dataset.range(50).map(
        lambda i: addone(tf.fill([3], tf.cast(i, tf.float32))), num_parallel_calls=4
    )
    assert [int(x[0]) for x in data] == list(range(1, 51))


def test_threads(ext_dev, module):
    functions = [_func(module, "addone", f"ext_dev:{i}") for i in (0, 1)]
    wrong = []

    def work(i):
        for j in range(50):
            if functions[i % 2](tf.fill([4], float(j))).numpy().tolist() != [j + 1.0] * 4:
                wrong.append((i, j))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Failures.


def test_function_that_fails_while_the_device_works(ext_dev, run, module):
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match="(?s)'fails'.*changed its mind.*on ext_dev:1 by /job:localhost.*CPU:0",
    ):
        run(_func(module, "fails", "ext_dev:1"), np.float32([1.0]))


def test_inputs_that_contradict_the_signature(ext_dev, module):
    function = _func(module, "sum_and_difference")
    with pytest.raises(tf.errors.InvalidArgumentError, match="'y' has shape"):
        function(tf.zeros([2]), tf.zeros([3]))


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("allocate", tf.errors.ResourceExhaustedError, "cannot allocate 8 bytes on device ext_dev"),
        ("copy", tf.errors.InternalError, "cannot copy to device ext_dev:0: .*copy failed"),
        ("wait", tf.errors.InternalError, "cannot copy to device ext_dev:0: .*wait failed"),
    ],
)
def test_device_that_fails(ext_dev, run, module, what, error, message):
    addone = _func(module, "addone")
    x = np.float32([1.0, 2.0])
    ext_dev.fail(what)
    with pytest.raises(error, match=f"'addone' of library 'functions.so': {message}"):
        run(addone, x)
    ext_dev.fail("")
    np.testing.assert_array_equal(run(addone, x), x + 1)


@pytest.mark.parametrize("device", ["opencl", "vulkan:2", "hexagon", "Metal", "rocm"])
def test_device_that_the_runtime_lacks(ext_dev, run, module, device):
    name = device.lower() if ":" in device else f"{device.lower()}:0"
    with pytest.raises(
        tf.errors.FailedPreconditionError,
        match=f"'addone' of library 'functions.so': .* device {name}, and the TVM runtime of this "
        "process was built without .*; it has: cpu.*, ext_dev",
    ):
        run(_func(module, "addone", device), np.float32([1.0]))


def test_index_that_is_not_there(ext_dev, run, module):
    with pytest.raises(tf.errors.FailedPreconditionError, match="ext_dev:2, which is not there"):
        run(_func(module, "addone", "ext_dev:2"), np.float32([1.0]))


def test_library_for_processors(ext_dev, addone_path):
    addone = tftvm.Module(addone_path).func("addone", target_device="ext_dev")
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)'addone'.*on ext_dev:0 by"):
        addone(tf.constant([1.0]))


def test_runtime_that_is_not_installed(addone_path):
    check_python(
        """
        import sys
        import tensorflow as tf, tvm_ffi
        import tensorflow_tvm as tftvm

        tvm_ffi.get_global_func("tensorflow_tvm.set_tvm_runtime_folder")("/nowhere")
        addone = tftvm.Module(sys.argv[1]).func("addone", target_device="opencl")
        try:
            addone(tf.constant([1.0]))
        except tf.errors.FailedPreconditionError as error:
            assert "opencl:0, and the TVM runtime (libtvm_runtime.so) is needed" in str(error)
            assert "pip install 'tensorflow_tvm[compiler]'" in str(error)
        else:
            raise AssertionError
        """,
        addone_path,
    )
