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
"""check_op: it passes what is right, and catches what is wrong and says what."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf
import tvm_ffi
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.testing import CheckFailed, check_op, execution_checks
from tensorflow_tvm.testing.check import CHECKS
from tensorflow_tvm.tests import libraries

# It imports TensorFlow in a process of its own: for tests that are about that.
NEW_PROCESS = "new_process"

# Functions with faults. Their arguments are tensors: inputs, then outputs, of float32 if not said
# otherwise. `_return` ones return their outputs.
FAULTS = """
#include <chrono>
#include <thread>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/function.h>

namespace {

using tvm::ffi::Array;
using tvm::ffi::Tensor;
using tvm::ffi::TensorView;

struct FromMalloc {
  void AllocData(DLTensor* tensor) { tensor->data = aligned_alloc(64, 4096); }
  void FreeData(DLTensor* tensor) { free(tensor->data); }
};

float* data(const TensorView& tensor) { return static_cast<float*>(tensor.data_ptr()); }

// y = x + 1, and x becomes 0 where it is last.
void ModifiesInput(TensorView x, TensorView y) {
  for (int64_t i = 0; i < x.numel(); ++i) data(y)[i] = data(x)[i] + 1;
  data(x)[x.numel() - 1] = 0;
}

Tensor ReturnsInput(Tensor x) { return x; }

// Two tensors that are one.
Array<Tensor> ReturnsOneTwice(Tensor x) {
  Tensor y = Tensor::FromNDAlloc(FromMalloc(), x.shape(), x.dtype(), x.device());
  for (int64_t i = 0; i < x.numel(); ++i)
    static_cast<float*>(y.data_ptr())[i] = static_cast<float*>(x.data_ptr())[i];
  return {y, y};
}

void AddsCounter(TensorView x, TensorView y) {
  static int calls = 0;
  ++calls;
  for (int64_t i = 0; i < x.numel(); ++i) data(y)[i] = data(x)[i] + calls;
}

// Does not write the last element.
void ForgetsLast(TensorView x, TensorView y) {
  for (int64_t i = 0; i + 1 < x.numel(); ++i) data(y)[i] = data(x)[i];
}

// x + 1, by way of a buffer that all threads share.
void SharesBuffer(TensorView x, TensorView y) {
  static volatile float buffer[1024];
  for (int64_t i = 0; i < x.numel(); ++i) buffer[i] = data(x)[i] + 1;
  std::this_thread::sleep_for(std::chrono::microseconds(100));
  for (int64_t i = 0; i < x.numel(); ++i) data(y)[i] = buffer[i];
}

// Sums of rows; where rows are empty, something else each time, as if nothing was written.
void RowSums(TensorView x, TensorView y) {
  static float left_over = 0;
  int64_t columns = x.size(1);
  if (columns == 0) data(y)[0] = ++left_over;
  if (columns == 0) return;
  for (int64_t i = 0; i < x.size(0); ++i) {
    data(y)[i] = 0;
    for (int64_t j = 0; j < columns; ++j) data(y)[i] += data(x)[i * columns + j];
  }
}

// x + 1, read by loads that ignore the last bits of an address.
void LoadsAligned(TensorView x, TensorView y) {
  auto* from = reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(x.data_ptr()) & ~uintptr_t{63});
  for (int64_t i = 0; i < x.numel(); ++i) data(y)[i] = from[i] + 1;
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(modifies_input, ModifiesInput);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(returns_input, ReturnsInput);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(returns_one_twice, ReturnsOneTwice);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(adds_counter, AddsCounter);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(forgets_last, ForgetsLast);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(shares_buffer, SharesBuffer);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(row_sums, RowSums);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(loads_aligned, LoadsAligned);
"""

X = np.array([1.5, -2.0, 3.25, 0.5, -0.75], np.float32)
ELEMENTWISE = "(x: float32[n]) -> (y: float32[n])"
TABLE = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)


@pytest.fixture(scope="module")
def faults_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    return libraries.compile_cc(FAULTS, path, "-std=c++17", "-O1")


@pytest.fixture(scope="module")
def faults(faults_path):
    return tftvm.Module(faults_path)


@pytest.fixture(scope="module")
def good():
    """A library with addone, its gradient, and parts: whole and fractional part."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    dy = te.placeholder((n,), "float32", name="dy")
    square = te.compute((n,), lambda i: x[i] * x[i], name="square")
    whole = te.compute((n,), lambda i: te.trunc(x[i]), name="whole")
    rest = te.compute((n,), lambda i: x[i] - te.trunc(x[i]), name="rest")
    gradient = te.compute((n,), lambda i: 2.0 * x[i] * dy[i], name="gradient")
    return tftvm.build(
        {
            "square": [x, square],
            "square_gradient": [x, dy, gradient],
            "parts": [x, whole, rest],
        }
    )


@tftvm.op(shapes=["n d", "d"])
def scale(x, w, factor=1.0):
    return te.compute(x.shape, lambda i, j: x[i, j] * w[j] * factor, name="y")


def statuses(report):
    return {result.check: result.status for result in report}


def failure(*args, **kwargs) -> CheckFailed:
    """Return the error of a check_op that has to fail."""
    kwargs.setdefault("skip", [NEW_PROCESS])
    with pytest.raises(CheckFailed) as caught:
        check_op(*args, **kwargs)
    print(caught.value)
    return caught.value


# What is right.


def test_a_function_of_a_library_passes_all_checks(good):
    report = check_op(good["square"], [X], reference=lambda x: x * x)
    assert report.ok
    found = statuses(report)
    assert "has no gradient" in report["gradients"].reason
    for check in ("gradients", "gradients_in_graphs", "gradients_in_saved_model"):
        assert found.pop(check) == "not available"
    assert set(found.values()) == {"ok"}


def test_an_op_with_attrs_passes(good):
    report = check_op(
        scale,
        [TABLE, np.array([1.0, -2.0, 0.5], np.float32)],
        attrs={"factor": 3.0},
        reference=lambda x, w: 3.0 * x * w,
        skip=NEW_PROCESS,
    )
    assert report.ok
    assert report["misaligned"].status == "ok"
    assert report["zero_size"].status == "ok"


def test_a_gradient_that_is_a_library_function_passes(good):
    @tf.custom_gradient
    def square(x):
        return good["square"](x), lambda dy: good["square_gradient"](x, dy)

    report = check_op(square, [X], gradients=True, skip=NEW_PROCESS)
    for check in ("gradients", "gradients_in_graphs", "gradients_in_saved_model"):
        assert report[check].status == "ok"
    assert report["misaligned"].status == "skipped"


def test_several_outputs_pass(good):
    def reference(x):
        return np.trunc(x), x - np.trunc(x)

    report = check_op(good["parts"], [X], reference=reference, skip=NEW_PROCESS)
    assert report["reference"].status == report["aliasing"].status == "ok"


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_gradients_pass_in_each_dtype_and_at_kinks(dtype):
    def f(x, w):
        return {
            "product": tf.matmul(tf.tanh(x), w),
            "cube": x**3,
            "sum": tf.reduce_sum(x),
            "relu": tf.nn.relu(x),
            "log": tf.math.log(tf.abs(w)),
        }

    x = tf.constant([[0.0, -1.0, 0.5], [2.0, 1e-2, -3.0]], dtype)
    w = tf.constant([[0.5, 1.0], [-1.0, 2.0], [0.001, 10.0]], dtype)
    assert check_op(f, [x, w], gradients=True, skip=NEW_PROCESS).ok


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_gradients_that_are_wrong_are_found_in_each_dtype(dtype):
    @tf.custom_gradient
    def f(x):
        return tf.tanh(x), lambda dy: dy * (1 - tf.tanh(x))

    error = failure(f, [tf.constant([0.5, 1.0, -1.0], dtype)])
    assert error.check == "gradients"


def test_gradients_that_are_off_by_one_in_a_thousand_are_found_in_float32():
    @tf.custom_gradient
    def f(x):
        return tf.tanh(x), lambda dy: 1.001 * dy * (1 - tf.tanh(x) ** 2)

    assert failure(f, [X]).check == "gradients"


@pytest.mark.parametrize("seed", range(4))
def test_gradients_of_long_sums_one_by_one_pass(seed):
    def f(x, y):
        return tf.cumsum(x * y, 1)[:, -1]

    def normalize(x):
        mean, variance = tf.nn.moments(x, [0])
        return (x - mean) * tf.math.rsqrt(variance + 1e-3)

    rng = np.random.default_rng(seed)
    others = [check for check in CHECKS if check not in ("eager", "gradients")]
    x, y, z = (rng.normal(size=s).astype(np.float32) for s in ((1, 1000), (1, 1000), (32, 1)))
    assert check_op(f, [x, y], gradients=True, skip=others).ok
    assert check_op(normalize, [z + 10], gradients=True, skip=others).ok


@pytest.mark.parametrize(
    "f, inputs",
    [
        (lambda x: x + 1, [np.arange(6).reshape(2, 3)]),
        (lambda x, i: tf.gather(x, i), [TABLE, np.array([1, 0, 1, 1])]),
        (lambda x: tf.strings.upper(x), [tf.constant(["a", "b"])]),
        (lambda x: tf.cast(x, tf.complex64) * 1j, [X]),
        (lambda x: tf.reduce_any(x), [np.array([True, False])]),
        (lambda x: [x, {"a": tf.reshape(x, [-1]), "b": (x[0], tf.identity(x))}], [TABLE]),
        (lambda x, rest: x + rest["a"] * rest["b"], [X, {"a": X, "b": np.float32(2)}]),
        (lambda: tf.ones([2, 3]), []),
        (lambda x: x * 2.0, tf.constant(3.0)),
        (tf.function(lambda x: tf.reshape(x, [-1])), TABLE),
        (tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec([None, 3])]), TABLE),
        (tf.linalg.qr, [TABLE[:, :2]]),
    ],
)
def test_tensorflow_functions_pass(f, inputs):
    report = check_op(f, inputs, skip=NEW_PROCESS)
    assert report["threads"].status == "ok"


def test_a_keras_layer_passes():
    layer = tf.keras.layers.Dense(4)
    report = check_op(layer, [TABLE], gradients=True)
    assert report[NEW_PROCESS].status == "ok"
    assert "variables" in report["session"].reason


def test_captured_tensors_and_variables_pass():
    w, v = tf.constant(2.0), tf.Variable(3.0)
    report = check_op(lambda x: x * w + v, [X], skip=NEW_PROCESS)
    assert report["session"].status == "not available"
    assert check_op(lambda x: x * w, [X], skip=NEW_PROCESS)["session"].status == "not available"


def test_a_stateful_function_passes(faults):
    counter = faults.func("adds_counter", signature=ELEMENTWISE, stateful=True)
    report = check_op(counter, [X], stateful=True, skip=NEW_PROCESS)
    assert report["determinism"].status == "skipped"
    assert check_op(tf.random.normal, [[2, 3]], stateful=True, skip=NEW_PROCESS).ok


def test_a_function_that_needs_the_rank_says_so():
    def f(x):
        if x.shape.rank is None:
            raise ValueError("the rank of x has to be known")
        return x + 1.0

    report = check_op(f, [X], skip=NEW_PROCESS)
    assert report["unknown_rank"].status == "not available"
    assert "the rank of x has to be known" in report["unknown_rank"].reason


def test_fixed_sizes_refuse_size_zero():
    x = te.placeholder((5,), "float32", name="x")
    fixed = tftvm.build([x, te.compute((5,), lambda i: x[i] + 1.0, name="y")], name="fixed")
    report = check_op(fixed["fixed"], [X], skip=NEW_PROCESS)
    assert report["zero_size"].status == "not available"
    assert "it refuses inputs of shapes (0,): InvalidArgumentError" in report["zero_size"].reason


# Faults. Each is in a callable that is as real as those that users write.


def test_wrong_gradient(good):
    @tf.custom_gradient
    def square(x):
        return good["square"](x), lambda dy: good["square_gradient"](x, dy) * [1, 1, 1.1, 1, 1]

    error = failure(square, [X])
    assert error.check == "gradients"
    assert error.index == (2,)
    assert error.given / error.expected == pytest.approx(1.1, rel=1e-3)
    assert "the gradient for input 0 at index (2,) is" in str(error)
    assert "What to do: Correct the gradient function" in str(error)


def test_gradient_of_a_wrong_shape():
    @tf.custom_gradient
    def f(x, w):
        return x * w, lambda dy: (dy * w, dy * x)  # not summed over what w was repeated for

    error = failure(f, [X, np.float32(2)])
    assert error.check == "gradients"
    assert "the gradient for input 1 has shape (5,)" in str(error)


def test_gradient_for_one_input_only():
    error = failure(lambda x, w: x * tf.stop_gradient(w), [X, X])
    assert error.check == "gradients"
    assert "the gradient for input 1 at index (0,) is None, which stands for 0" in str(error)


def test_missing_gradient_that_is_demanded(good):
    error = failure(good["square"], [X], gradients=True)
    assert error.check == "gradients"
    assert "there is no gradient, and gradients=True asks for one" in str(error)
    assert "TVM function 'square'" in str(error)
    error = failure(tf.stop_gradient, [X], gradients=True)
    assert "no output depends on an input" in str(error)
    error = failure(lambda x: x + 1, [np.arange(3)], gradients=True)
    assert "no input is of float16" in str(error)


def test_gradient_in_eager_calls_only():
    @tf.custom_gradient
    def f(x):
        factor = 2.0 if tf.executing_eagerly() else 3.0
        return x * 2.0, lambda dy: dy * factor

    error = failure(f, [X])
    assert error.check == "gradients_in_graphs"
    assert "as in an eager call, in a tf.function of known shapes" in str(error)


def test_gradient_in_graphs_only():
    def f(x):
        return tf.constant(x.numpy() * 2.0) if tf.executing_eagerly() else x * 2.0

    error = failure(f, [X])
    assert error.check == "gradients_in_graphs"
    assert "input 0 is there in a tf.function of known shapes, unlike in an eager" in str(error)
    assert ".numpy() and NumPy have no gradients" in error.advice
    error = failure(f, [X], skip=[NEW_PROCESS, "gradients_in_graphs"])
    assert error.check == "gradients_in_saved_model"
    assert "input 0 is there in a SavedModel that was loaded again, unlike in" in str(error)
    error = failure(f, [X], stateful=True)
    assert error.check == "gradients_in_graphs"
    assert check_op(f, [X], gradients=False, skip=NEW_PROCESS).ok


def test_gradient_in_some_executions_only():
    def f(x):
        in_session = not tf.compat.v1.executing_eagerly_outside_functions()
        return x * 2.0 if in_session else tf.stop_gradient(x * 2.0)

    error = failure(f, [X])
    assert error.check == "gradients_in_graphs"
    assert "input 0 is there in a TF1 session, unlike in an eager call" in str(error)
    error = failure(lambda x: x * 2.0 if tf.executing_eagerly() else tf.stop_gradient(x * 2.0), [X])
    assert error.check == "gradients_in_graphs"
    assert "input 0 is None in a tf.function of known shapes, unlike in an eager" in str(error)


def test_no_gradient_anywhere_is_no_fault():
    report = check_op(tf.stop_gradient, [X], skip=NEW_PROCESS)
    for check in ("gradients", "gradients_in_graphs", "gradients_in_saved_model"):
        assert report[check].status == "not available"
        assert "no output depends on an input" in report[check].reason


def test_graphs_may_refuse_size_zero():
    def pool(x):
        return tf.nn.max_pool2d(x, 2, 2, "VALID")

    x = np.arange(40, dtype=np.float32).reshape(1, 5, 4, 2)
    assert check_op(pool, [x], skip=NEW_PROCESS)["zero_size"].status == "ok"


def test_wrong_static_shape():
    def f(x):
        y = tf.py_function(lambda a: a[1:], [x], tf.float32)
        y.set_shape([None] if tf.executing_eagerly() else x.shape)
        return y

    error = failure(f, [X])
    assert error.check == "static_shape"
    assert "output has the static shape (5,)" in str(error)
    assert "the shape (4,)" in str(error)
    assert "set_shape" in error.advice


def test_wrong_static_shape_by_set_shape_in_a_function():
    def f(x, mask):
        y = tf.boolean_mask(x, mask)
        if not tf.executing_eagerly():
            y.set_shape([5])
        return {"y": y, "x": x + 1.0}

    error = failure(f, [X, X > 0])
    assert error.check == "static_shape"
    assert error.output == "output['y']"
    assert "the static shape (5,)" in str(error)


def test_wrong_static_dtype():
    def f(x):
        return tf.reduce_sum(tf.cast(x, tf.int64 if tf.executing_eagerly() else tf.int32))

    error = failure(f, [X])
    assert error.check == "static_dtype"
    assert "dtype int32" in str(error)
    assert "expected int64" in str(error)


def test_modified_input(faults):
    f = faults.func("modifies_input", signature=ELEMENTWISE)
    error = failure(f, [X])
    assert error.check == "inputs_unmodified"
    assert error.index == (4,)
    assert "after an eager call input 0 at index (4,) is 0.0, expected -0.75" in str(error)


def _share(tensor):
    """Return a tensor with the memory of another one."""
    return tf.experimental.dlpack.from_dlpack(tf.experimental.dlpack.to_dlpack(tensor))


def test_output_that_aliases_an_input():
    error = failure(lambda x: _share(x) if tf.executing_eagerly() else x * 1.0, [X])
    assert error.check == "aliasing"
    assert "output has memory of input 0" in str(error)
    assert "Copy it" in error.advice


def test_outputs_that_alias_each_other():
    def f(x):
        y = x + 1.0
        return y, (_share(y) if tf.executing_eagerly() else x + 1.0)

    error = failure(f, [X])
    assert error.check == "aliasing"
    assert "output 1 has memory of output 0" in str(error)


def test_output_that_aliases_that_of_another_call():
    buffer = np.zeros(X.shape, X.dtype)

    def f(x):
        if not tf.executing_eagerly():
            return x + 1.0
        buffer[...] = x.numpy() + 1.0
        return tf.experimental.dlpack.from_dlpack(buffer.__dlpack__())

    error = failure(f, [X])
    assert error.check == "aliasing"
    assert "output has memory of output of another call" in str(error)


@pytest.mark.parametrize("name", ["returns_input", "returns_one_twice"])
def test_a_library_that_returns_shared_memory_passes(faults, name):
    # The op copies it.
    dtype = ["float32"] * 2 if name == "returns_one_twice" else "float32"
    f = faults.func(name, arg_spec=["args"], output_dtype=dtype)
    assert check_op(f, [X], skip=NEW_PROCESS).ok


def test_non_determinism(faults):
    f = faults.func("adds_counter", signature=ELEMENTWISE)
    error = failure(f, [X])
    assert error.check == "determinism"
    assert "at index (0,) is" in str(error)
    assert "stateful=True" in error.advice
    assert failure(lambda x: x + tf.random.normal([5]), [X]).check == "determinism"


def test_output_that_is_not_written_in_full(faults):
    f = faults.func("forgets_last", signature=ELEMENTWISE)
    error = failure(f, [X])
    assert error.check == "determinism"
    assert error.index == (4,)


def test_other_results_in_graphs():
    error = failure(lambda x: x + 1.0 if tf.executing_eagerly() else x + 2.0, [X])
    assert error.check == "function"
    assert "at index (0,) is 3.5, expected 2.5; 5 of 5 elements differ" in str(error)
    assert (error.index, error.expected, error.given) == ((0,), 2.5, 3.5)


def test_other_results_in_sessions():
    def f(x):
        return x + (1.0 if tf.compat.v1.executing_eagerly_outside_functions() else 2.0)

    assert failure(f, [X]).check == "session"


def test_other_structure_in_graphs():
    error = failure(lambda x: x if tf.executing_eagerly() else (x, x), [X])
    assert "it returns a tuple of 2, expected one tensor" in str(error)


def test_python_code_in_a_saved_model():
    def f(x):
        y = tf.numpy_function(lambda a: a + np.float32(1), [x], tf.float32)
        y.set_shape(x.shape)
        return y

    error = failure(f, [X], skip=["threads"])
    assert error.check == NEW_PROCESS
    assert "does not run in a new process" in str(error)
    assert "py_function" in error.advice


def test_failure_with_unknown_shapes():
    error = failure(lambda x: x + tf.zeros(x.shape), [X])
    assert error.check == "unknown_dimensions"
    assert "unknown leading dimensions" in str(error)
    assert "tf.shape(x)" in error.advice


def test_other_results_with_unknown_shapes():
    error = failure(lambda x: x * (1.0 if x.shape[0] else 2.0), [X])
    assert error.check == "unknown_dimensions"
    assert "at index (0,) is 3.0, expected 1.5" in str(error)


def test_thread_unsafe(faults):
    f = faults.func("shares_buffer", signature=ELEMENTWISE)
    error = failure(f, [np.linspace(0, 1, 512).astype(np.float32)])
    assert error.check == "threads"
    assert "on 8 threads at once" in str(error)
    assert "thread_local" in error.advice


def test_deadlock_on_threads(monkeypatch):
    monkeypatch.setattr(execution_checks, "_SECONDS_TO_DEADLOCK", 1.0)
    lock = threading.Lock()
    lock.acquire()

    def f(x):
        if threading.current_thread() is not threading.main_thread():
            with lock:
                return x + 1.0
        return x + 1.0

    error = failure(f, [X])
    assert error.check == "threads"
    assert "eager calls on 8 threads at once do not end" in str(error)
    lock.release()


def test_a_tf_function_is_left_as_it_was():
    f = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec([None, 3])])
    assert check_op(f, TABLE, skip=NEW_PROCESS)["zero_size"].status == "ok"
    thread = threading.Thread(target=f, args=(tf.constant(TABLE),), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_wrong_on_zero_size(faults):
    f = faults.func("row_sums", signature="(x: float32[n, d]) -> (y: float32[n])")
    error = failure(f, [TABLE])
    assert error.check == "zero_size"
    assert "with inputs of shapes (2, 0)" in str(error)
    assert "a sum over nothing is 0" in error.advice


def test_other_exceptions_on_zero_size():
    error = failure(lambda x: x if x.shape[0] is None else x * (4 // x.shape[0]), [X[:4]])
    assert error.check == "zero_size"
    assert "ZeroDivisionError" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_wrong_on_misaligned_input(faults_path):
    loads_aligned = tvm_ffi.load_module(faults_path).loads_aligned

    def f(x):
        if not tf.executing_eagerly():
            return x + 1.0
        y = tf.constant(np.zeros(x.shape, np.float32))
        pointers = [tf.experimental.dlpack.to_dlpack(t) for t in (x, y)]
        loads_aligned(*(tvm_ffi.from_dlpack(p, require_alignment=0) for p in pointers))
        return y

    checks = ["threads", "gradients", "gradients_in_graphs", "gradients_in_saved_model"]
    assert check_op(f, [X], skip=[*checks, NEW_PROCESS]).ok
    only_eager = [*checks, NEW_PROCESS, "function", "xla"]
    error = failure(f, [X], misaligned=True, skip=only_eager)
    assert error.check == "misaligned"
    assert "at index (0,)" in str(error)


def test_differs_from_the_reference(good):
    error = failure(good["square"], [X], reference=lambda x: np.where(x > 3, 0, x * x))
    assert error.check == "reference"
    assert error.index == (2,)
    assert "at index (2,) is 10.5625, expected 0.0; 1 of 5 elements differ" in str(error)
    assert "rtol=1e-05" in str(error)
    error = failure(good["square"], [X], reference=lambda x: x[1:])
    assert "has shape (5,), expected (4,)" in str(error)
    near = check_op(
        good["square"], [X], reference=lambda x: x * x + 0.01, atol=0.1, skip=NEW_PROCESS
    )
    assert near.ok


def test_fails_eagerly(good):
    error = failure(good["square"], [TABLE])
    assert error.check == "eager"
    assert "InvalidArgumentError" in str(error)
    assert failure(lambda x: (), [X]).check == "eager"
    assert failure(lambda x: None, [X]).check == "eager"


# The report.


def test_report_without_raising():
    report = check_op(
        lambda x: x + 1.0 if tf.executing_eagerly() else x + 2.0,
        [X],
        raise_on_failure=False,
        skip=["threads", NEW_PROCESS],
    )
    assert not report.ok
    assert report["eager"].status == "ok"
    assert report["function"].status == report["session"].status == "failed"
    assert report["threads"].status == "skipped"
    lines = str(report).splitlines()
    assert lines[0] == "check_op(<lambda>)"
    assert len(lines) == len(report) + 2
    assert any("function" in line and "at index (0,)" in line for line in lines)
    with pytest.raises(KeyError):
        report["nothing"]


def test_eager_failure_ends_the_report():
    report = check_op(lambda x: 1 / 0, [X], raise_on_failure=False)
    assert statuses(report) == {"eager": "failed"}


def test_error_has_the_report():
    error = failure(lambda x: x + tf.random.normal([5]), [X])
    assert isinstance(error, AssertionError)
    assert [result.status for result in error.report] == ["ok", "ok", "failed"]
    assert str(error).startswith("check_op(<lambda>) fails the check 'determinism': output at")


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"f": 1}, TypeError, "f must be callable"),
        ({"inputs": 1.0}, TypeError, "inputs must be a list"),
        ({"inputs": [object()]}, TypeError, "tensor 0 cannot be made"),
        ({"threads": 0}, ValueError, "threads must be"),
        ({"skip": ["unknown"]}, ValueError, "there is no check unknown. There are eager,"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        check_op(**{"f": tf.identity, "inputs": [X], **arguments})


def test_not_while_a_graph_is_built():
    with tf.Graph().as_default(), pytest.raises(RuntimeError, match="eager programs"):
        check_op(tf.identity, [X])
