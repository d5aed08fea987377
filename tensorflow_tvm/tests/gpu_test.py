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
"""The op on GPUs: devices, streams, memory and errors, on fake ones that record what they do."""

from __future__ import annotations

import ctypes
import json
import threading

import numpy as np
import pytest
import tensorflow as tf
import tvm_ffi
from tvm import s_tir, te, tirx, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm.op_library import ops
from tensorflow_tvm.tests import fake_gpu, libraries
from tensorflow_tvm.tests.subprocesses import check_python

tf1 = tf.compat.v1
CUDA = {"kind": "cuda", "arch": "sm_80"}
KERNEL_CALLS = {"cuLaunchKernelEx", "cuModuleLoadData", "allocate"}


@pytest.fixture(scope="module")
def fake():
    """The fake GPUs, for the whole process."""
    from tensorflow.python.eager import context

    if fake_gpu.folder() is None:
        pytest.skip("not built: ./bazelw build //tensorflow_tvm/tests:fake_gpu")
    if tf.test.is_built_with_cuda():
        pytest.skip("this TensorFlow looks for real GPUs")
    if context.context()._initialized:
        pytest.skip("TensorFlow has its devices already: run this file alone")
    return fake_gpu.load()


@pytest.fixture
def gpu(fake):
    """The fake GPUs, with nothing written down yet."""
    fake.clear()
    yield fake
    fake.clear()


def _elementwise(name, function, *dtypes):
    n = te.var("n")
    inputs = [te.placeholder((n,), dtype, name=f"x{i}") for i, dtype in enumerate(dtypes)]
    return [*inputs, te.compute((n,), lambda i: function(*(x[i] for x in inputs)), name=name)]


def _functions():
    return {
        "addone": _elementwise("addone", lambda x: x + 1.0, "float32"),
        "vector_add": _elementwise("vector_add", lambda x, y: x + y, "float32", "float32"),
        "addone_int": _elementwise("addone_int", lambda x: x + 1, "int32"),
        "addone_half": _elementwise(
            "addone_half", lambda x: x + tirx.const(1.0, "float16"), "float16"
        ),
    }


def _bound_by_hand():
    """Two kernels with a tensor between them: the squares, in reverse."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    square = te.compute((n,), lambda i: x[i] * x[i], name="square")
    reverse = te.compute((n,), lambda i: square[n - 1 - i], name="reverse")
    schedule = s_tir.Schedule(te.create_prim_func([x, reverse]))
    for block in ("square", "reverse"):
        (loop,) = schedule.get_loops(schedule.get_sblock(block))
        outer, inner = schedule.split(loop, [None, 64])
        schedule.bind(outer, "blockIdx.x")
        schedule.bind(inner, "threadIdx.x")
    return schedule


@pytest.fixture(scope="module")
def module(fake, tmp_path_factory):
    """Functions for GPUs."""
    path = tmp_path_factory.mktemp("lib") / "gpu.so"
    tftvm.export_library({**_functions(), "reverse": _bound_by_hand()}, path, CUDA)
    return tftvm.Module(path)


@pytest.fixture(scope="module")
def cpu_module(fake, tmp_path_factory):
    """The same for processors."""
    path = tmp_path_factory.mktemp("lib") / "cpu.so"
    tftvm.export_library(_functions(), path)
    return tftvm.Module(path)


_API = ctypes.CDLL(tvm_ffi.libinfo.find_libtvm_ffi())
_API.TVMFFIEnvGetStream.restype = ctypes.c_void_p


def _stream_of_tvm(device):
    return _API.TVMFFIEnvGetStream(2, device)


def _set_stream_of_tvm(device, stream):
    _API.TVMFFIEnvSetStream(2, device, ctypes.c_void_p(stream), None)


# The RFC's examples, on a GPU.


def test_addone_with_output_shape_in_session(gpu, module):
    addone = module.func("addone", output_shape=[2])
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf.device("/gpu:0"):
            placeholder = tf1.placeholder("float32", shape=[2])
            y = addone(placeholder)
        result = session.run(y, feed_dict={placeholder: [1.0, 2.0]})
    np.testing.assert_array_equal(result, np.float32([2.0, 3.0]))
    assert [call["kernel"] for call in gpu.launches()] == ["addone_kernel"]


def test_addone_by_name_with_unknown_shape_in_session(gpu, module):
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf.device("/gpu:0"):
            placeholder = tf1.placeholder("float32")
            y = module["addone"](placeholder)
            assert y.shape.as_list() == [None]
        for value in [[1.0, 2.0], [], np.arange(100.0)]:
            np.testing.assert_array_equal(
                session.run(y, feed_dict={placeholder: value}), np.asarray(value, np.float32) + 1
            )


@pytest.mark.parametrize("output_shape", [None, [2]])
def test_addone_in_every_execution(gpu, run, module, output_shape):
    def addone(x):
        with tf.device("/gpu:0"):
            return module.func("addone", output_shape=output_shape)(x)

    np.testing.assert_array_equal(run(addone, np.float32([1.0, 2.0])), [2.0, 3.0])
    assert [call["device"] for call in gpu.launches()] == [0]


@pytest.mark.parametrize("device", [0, 1])
def test_vector_add_in_every_execution(gpu, run, module, device):
    x, y = (np.random.default_rng(i).normal(size=1001).astype(np.float32) for i in (1, 2))

    def add(x, y):
        with tf.device(f"/gpu:{device}"):
            shape = tf.shape(x)
            return module.func("vector_add", output_shape=shape, output_dtype="float")(x, y)

    np.testing.assert_array_equal(run(add, x, y), x + y)
    assert {call["device"] for call in gpu.launches()} == {device}


def test_int32(gpu, run, module):
    def addone(x):
        with tf.device("/gpu:0"):
            return module["addone_int"](x)

    np.testing.assert_array_equal(run(addone, np.int32([1, -7])), [2, -6])
    assert len(gpu.launches()) == 1


def test_int32_between_ops_that_tensorflow_keeps_on_the_host(gpu, run, module):
    def count(x):
        with tf.device("/gpu:0"):
            y = module["addone_int"](tf.shape(x))
            return tf.reshape(x, module["addone_int"](y) - 2)

    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(count, x), x)
    assert len(gpu.launches()) == 2


def test_float16(gpu, run, module):
    def addone(x):
        with tf.device("/gpu:0"):
            return module["addone_half"](x)

    x = np.random.default_rng(1).normal(size=100).astype(np.float16)
    result = run(addone, x)
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, x + np.float16(1))
    assert len(gpu.launches()) == 1


def test_kernels_with_a_tensor_between_them(gpu, run, module):
    def reverse(x):
        with tf.device("/gpu:1"):
            return module["reverse"](x)

    x = np.arange(1.0, 131.0, dtype=np.float32)
    np.testing.assert_array_equal(run(reverse, x), (x * x)[::-1])
    launches = gpu.launches()
    assert [call["grid"] for call in launches] == [[3, 1, 1]] * 2
    assert launches[0]["block"] == [64, 1, 1]
    assert not gpu.calls("cudaMalloc"), "the tensor between them is not of TensorFlow's memory"


def test_zero_size(gpu, module):
    with tf.device("/gpu:0"):
        assert module["addone"](tf.zeros([0])).shape == [0]


# What dlight makes of functions without a schedule.


def _rules(*tensors):
    return {line.schedule for line in tftvm.explain(list(tensors), CUDA)}


def test_rules(gpu):
    x, y = (te.placeholder((256, 256), "float32", name=name) for name in "xy")
    image = te.placeholder((1, 14, 14, 32), "float32", name="image")
    filters = te.placeholder((3, 3, 32, 32), "float32", name="filters")
    assert _rules(x, y, topi.matmul(x, y)) == {"dlight's Matmul"}
    assert _rules(image, filters, topi.nn.conv2d_nhwc(image, filters, 1, 1, 1)) == {
        "dlight's Matmul"
    }
    assert _rules(x, topi.sum(x, axis=1)) == {"dlight's Reduction"}
    assert _rules(x, topi.nn.softmax(x)) == {"dlight's GeneralReduction"}
    assert _rules(x, topi.transpose(x)) == {"dlight's Fallback"}
    assert _rules(x, topi.sort(x)) == {"as written: none of dlight's rules fits"}


def test_rule_that_breaks_is_passed_over(gpu):
    image = te.placeholder((1, 4, 16, 16), "float32", name="image")
    boxes = te.placeholder((3, 5), "float32", name="boxes")
    aligned = topi.vision.roi_align_nchw(image, boxes, (2, 2), 1.0, "avg", 2)
    (schedule,) = _rules(image, boxes, aligned)
    assert "dlight's" in schedule


# Streams and devices.


def test_launches_are_on_the_stream_of_the_device(gpu, module):
    streams = []
    for device in (0, 1):
        gpu.clear()
        with tf.device(f"/gpu:{device}"):
            x = tf.constant([1.0, 2.0])
            for _ in range(3):
                x = module["addone"](x)
            np.testing.assert_array_equal(x, [4.0, 5.0])
        launches = gpu.launches()
        assert len(launches) == 3
        assert {(call["device"], call["stream_device"]) for call in launches} == {(device, device)}
        (stream,) = {call["stream"] for call in launches}
        copies = {c["stream"] for c in gpu.calls() if c["call"] in ("memcpy_htod", "memcpy_dtoh")}
        assert stream > 0 and stream not in copies
        streams.append(stream)
    assert streams[0] != streams[1]


def test_threads_on_two_devices_do_not_mix_streams(gpu, module):
    wrong = []

    def work(i):
        device = i % 2
        with tf.device(f"/gpu:{device}"):
            x = tf.constant([float(i)])
            for _ in range(50):
                x = module["addone"](x)
        if x.numpy()[0] != i + 50:
            wrong.append((i, x))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    launches = gpu.launches()
    assert len(launches) == 16 * 50
    assert all(call["device"] == call["stream_device"] for call in launches)
    assert len({(call["device"], call["stream"]) for call in launches}) == 2


@pytest.mark.parametrize("before", ["null", "another"])
@pytest.mark.parametrize("fails", [False, True])
def test_stream_is_restored(gpu, module, before, fails):
    addone = module["addone"]
    with tf.device("/gpu:0"):
        x = tf.constant([1.0])
        addone(x)
        stream = None if before == "null" else gpu.new_stream(0)
        _set_stream_of_tvm(0, stream)
        try:
            gpu.clear()
            if fails:
                gpu.fail("cuLaunchKernelEx")
                with pytest.raises(tf.errors.InternalError):
                    addone(x)
            else:
                addone(x)
            assert _stream_of_tvm(0) == stream
        finally:
            _set_stream_of_tvm(0, None)
    (launch,) = gpu.launches()
    assert launch["stream"] > 0 and launch["stream_device"] == 0


@pytest.mark.parametrize("given", ["signature", "numbers", "tensor"])
def test_nothing_is_copied_or_waited_for(gpu, module, given):
    with tf.device("/gpu:0"):
        x = tf.ones([64])
    with tf.device("/cpu:0"):
        shape = {"signature": None, "numbers": [64], "tensor": tf.constant([64])}[given]
    addone = module.func("addone", output_shape=shape)
    with tf.device("/gpu:0"):
        addone(x)
        gpu.clear()
        for _ in range(10):
            x = addone(x)
        names = [call["call"] for call in gpu.calls()]
    assert names.count("cuLaunchKernelEx") == 10
    assert set(names) <= KERNEL_CALLS, names
    np.testing.assert_array_equal(x, np.full(64, 11.0))


# Memory.


def test_outputs_are_of_tensorflows_memory_and_inputs_are_not_copied(gpu, module):
    with tf.device("/gpu:0"):
        x = tf.ones([64])
        y = module["addone"](x)
        gpu.clear()
        z = module["vector_add"](x, y)
        (launch,) = gpu.launches()
        # In the order in which the kernel takes them: the output, the inputs.
        assert len(set(launch["parameters"][:3])) == 3
        gpu.clear()
        w = module["vector_add"](y, z)
        del x
        assert set(launch["parameters"][:3]) & set(gpu.launches()[0]["parameters"][:3])
    assert not gpu.calls("cudaMalloc")
    np.testing.assert_array_equal(w, np.full(64, 5.0))


def test_misaligned_tensors_are_copied_on_the_same_stream(gpu, module):
    addone = module.func("addone", memory_align=4096)
    with tf.device("/gpu:1"):
        x = [tf.fill([64], float(i)) for i in range(4)]
        gpu.clear()
        y = [addone(value) for value in x]
        copies, launches = gpu.calls("memcpy_dtod"), gpu.launches()
        assert copies and {call["stream"] for call in copies} == {launches[0]["stream"]}
        for launch in launches:
            assert all(address % 4096 == 0 for address in launch["parameters"][:2])
        np.testing.assert_array_equal(tf.stack(y)[:, 0], [1, 2, 3, 4])
    assert not [c for c in gpu.calls() if "sync" in c["call"] and c in copies]


_RETURNING = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

namespace ffi = tvm::ffi;

// The positive numbers. The fake GPUs' memory is the host's.
ffi::Tensor positive(ffi::TensorView x) {
  const float* from = static_cast<const float*>(x.data_ptr());
  int64_t size = 0;
  for (int64_t i = 0; i < x.numel(); ++i) size += from[i] > 0;
  ffi::Tensor result = ffi::Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ffi::ShapeView(&size, 1),
                                                 x.dtype(), x.device());
  float* to = static_cast<float*>(result.data_ptr());
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (from[i] > 0) *to++ = from[i];
  }
  return result;
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(positive, positive)
"""


@pytest.mark.parametrize("device", [0, 1])
def test_returned_tensors_are_of_tensorflows_memory(gpu, tmp_path, device):
    path = libraries.compile_cc(_RETURNING, tmp_path / "positive.so", "-std=c++17")
    positive = tftvm.Module(path).func(
        "positive", signature="(x: float32[n]) -> (y: float32[?])", arg_spec=["args"]
    )
    before = tftvm.stats()
    with tf.device(f"/gpu:{device}"):
        x = tf.constant([1.0, -2.0, 3.0])
        positive(x)
        gpu.clear()
        y = positive(x)
        assert {call["call"] for call in gpu.calls()} <= {"allocate"}
        assert f"GPU:{device}" in y.device
    assert tftvm.stats()["output_copies"] == before["output_copies"]
    np.testing.assert_array_equal(y, [1.0, 3.0])


# Both kinds of libraries.


def test_libraries_for_both_in_one_graph(gpu, module, cpu_module):
    @tf.function
    def both(x):
        with tf.device("/gpu:0"):
            y = module["addone"](x)
        with tf.device("/cpu:0"):
            z = cpu_module["addone"](y)
        with tf.device("/gpu:1"):
            return module["vector_add"](y, z)

    np.testing.assert_array_equal(both(tf.constant([1.0, 5.0])), [5.0, 13.0])
    assert [call["device"] for call in gpu.launches()] == [0, 1]


def test_processor_library_on_a_gpu(gpu, cpu_module):
    with tf.device("/gpu:0"), pytest.raises(tf.errors.InvalidArgumentError) as error:
        cpu_module["addone"](tf.constant([1.0]))
    assert "'addone'" in str(error.value) and "cpu.so" in str(error.value)
    assert "GPU:0" in str(error.value)


def test_gpu_library_on_a_processor(gpu, module):
    with tf.device("/cpu:0"), pytest.raises(tf.errors.InvalidArgumentError) as error:
        module["addone"](tf.constant([1.0]))
    assert "'addone'" in str(error.value) and "gpu.so" in str(error.value)
    assert "CPU:0" in str(error.value)
    assert not gpu.launches()


@pytest.fixture(scope="module")
def module_for_both(fake, tmp_path_factory):
    path = tmp_path_factory.mktemp("lib") / "both.so"
    tftvm.export_library(_functions(), path, ["host", CUDA])
    return tftvm.Module(path)


def test_one_library_for_both(gpu, run, module_for_both):
    addone = module_for_both["addone"]

    def both(x):
        with tf.device("/gpu:1"):
            y = addone(x)
        with tf.device("/cpu:0"):
            return addone(y)

    np.testing.assert_array_equal(run(both, np.float32([1.0, 5.0])), [3.0, 7.0])
    assert {call["device"] for call in gpu.launches()} == {1}


@pytest.mark.parametrize(("device", "launches"), [("cpu", 0), ("cuda", 1), ("/gpu:1", 1)])
def test_target_device_pins_one(gpu, module_for_both, device, launches):
    addone = module_for_both.func("addone", target_device=device)
    for place in ("/cpu:0", "/gpu:0"):
        gpu.clear()
        with tf.device(place):
            np.testing.assert_array_equal(addone(tf.constant([1.0])), [2.0])
        assert len(gpu.launches()) == launches


def test_library_for_both_in_a_saved_model(gpu, module_for_both, tmp_path):
    model = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def both(x):
        with tf.device("/gpu:0"):
            y = module_for_both["addone"](x)
        with tf.device("/cpu:0"):
            return module_for_both["addone"](y)

    model.both = both
    tf.saved_model.save(model, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.both(tf.constant([1.0])), [3.0])
    assert len(gpu.launches()) == 1


def test_library_for_both_whose_part_for_cuda_is_damaged(gpu, tmp_path):
    path = tmp_path / "damaged.so"
    tftvm.export_library(
        {"f": _elementwise("f", lambda x: x * 3.0, "float32")}, path, ["host", CUDA]
    )
    content = path.read_bytes()
    start = content.index(b"\x7fELF", 1)
    f = tftvm.Module(content[:start] + b"garbage" + content[start + 7 :])["f"]
    with tf.device("/cpu:0"):
        np.testing.assert_array_equal(f(tf.constant([1.0])), [3.0])
    for _ in range(2):
        with (
            tf.device("/gpu:0"),
            pytest.raises(
                tf.errors.InvalidArgumentError, match="cannot run on GPUs: .*part for CUDA"
            ),
        ):
            f(tf.constant([1.0]))


# TVM's own memory, from the CPU: what target_device does for OpenCL and its like, on the one such
# device whose runtime TVM's wheel has.


def _call_from_the_cpu(module, device, place="/cpu:0"):
    callee = {"digest": module.digest, "function": "reverse", "device": device}
    with tf.device(place):
        x = tf.constant([1.0, 2.0, 3.0])
        return ops.tvm_dso_op([x], [], [], [tf.float32.as_datatype_enum], json.dumps(callee))[0]


def test_from_the_cpu(gpu, module):
    stream = gpu.new_stream(1)
    _set_stream_of_tvm(1, stream)
    try:
        gpu.clear()
        y = _call_from_the_cpu(module, "cuda:1")
        assert _stream_of_tvm(1) == stream
    finally:
        _set_stream_of_tvm(1, None)
    np.testing.assert_array_equal(y, [9.0, 4.0, 1.0])
    assert "CPU:0" in y.device
    assert [(call["device"], call["stream"]) for call in gpu.launches()] == [(1, 0)] * 2
    names = [call["call"] for call in gpu.calls()]
    assert names.count("cudaMalloc") == 3 and names.count("cudaMemcpyAsync") == 2
    last_launch = len(names) - names[::-1].index("cuLaunchKernelEx")
    assert names[last_launch:] == [
        "cudaStreamSynchronize",
        "cudaMemcpyAsync",
        "cudaStreamSynchronize",
    ]


def test_device_that_is_for_the_cpu_on_a_gpu(gpu, module):
    with pytest.raises(tf.errors.InvalidArgumentError, match="TVM's device cuda:1.*on a GPU"):
        _call_from_the_cpu(module, "cuda:1", "/gpu:0")


def test_memory_that_tvm_has_not(gpu, module):
    gpu.fail("cudaMalloc", 2)
    with pytest.raises(tf.errors.OpError, match="'reverse'.*cannot allocate .*cuda:0.*memory"):
        _call_from_the_cpu(module, "cuda")
    np.testing.assert_array_equal(_call_from_the_cpu(module, "cuda"), [9.0, 4.0, 1.0])


def test_cuda_runtime_of_pypi_is_found(fake, cpu_module, tmp_path):
    folder = tmp_path / "nvidia/cu13/lib"
    folder.mkdir(parents=True)
    (folder / "libcudart.so.13").symlink_to(fake_gpu.folder() / "libcudart.so.13")
    (tmp_path / "f.so").write_bytes(cpu_module._library.content())
    check_python(
        """
        import ctypes, sys
        sys.path.insert(0, sys.argv[1])
        ctypes.CDLL(sys.argv[2], ctypes.RTLD_GLOBAL)
        import tensorflow as tf
        import tensorflow_tvm as tftvm

        f = tftvm.Module(sys.argv[1] + "/f.so").func("addone", target_device="opencl")
        try:
            f(tf.constant([1.0]))
        except tf.errors.FailedPreconditionError as error:
            assert "it has: cpu, cuda" in str(error), error
        """,
        tmp_path,
        fake_gpu.folder() / "libcuda.so.1",
    )


# Failures.


def test_failed_launch_is_an_error_and_the_next_works(gpu, module):
    with tf.device("/gpu:0"):
        x = tf.constant([1.0])
        module["addone"](x)
        gpu.fail("cuLaunchKernelEx")
        with pytest.raises(
            tf.errors.InternalError, match="'addone'.*(?s:.*)CUDA_ERROR_OF_FAKE_GPU"
        ):
            module["addone"](x)
        np.testing.assert_array_equal(module["addone"](x), [2.0])


def test_out_of_memory_is_an_error_and_the_next_works(gpu, module):
    with tf.device("/gpu:0"):
        x = tf.constant(np.ones(1 << 22, np.float32))
        gpu.fail("allocate", count=1000)
        results = []
        with pytest.raises(tf.errors.ResourceExhaustedError):
            for _ in range(1000):
                results.append(module["addone"](x))
        gpu.clear()
        results.clear()
        np.testing.assert_array_equal(module["addone"](x)[:2], [2.0, 2.0])


def test_device_code_that_cannot_be_loaded(gpu, module, tmp_path):
    path = tmp_path / "broken.so"
    tftvm.export_library({"f": _elementwise("f", lambda x: x - 1.0, "float32")}, path, CUDA)
    f = tftvm.Module(path)["f"]
    with tf.device("/gpu:0"):
        x = tf.constant([1.0])
        gpu.fail("cuModuleLoadData", 200)
        with pytest.raises(tf.errors.InternalError, match="'f'"):
            f(x)
        np.testing.assert_array_equal(module["addone"](x), [2.0])
