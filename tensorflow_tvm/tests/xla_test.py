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
"""TVM ops in what XLA compiles: `jit_compile=True`, Keras's, and autoclustering."""

from __future__ import annotations

import gc
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

FUNCTIONS_IN_CPP = r"""
#include <cstdint>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/tvm_ffi.h>
namespace ffi = tvm::ffi;

ffi::Tensor New(ffi::TensorView like, int64_t size) {
  return ffi::Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ffi::Shape({size}), like.dtype(),
                                   like.device());
}

ffi::Tensor Doubled(ffi::TensorView x) {
  ffi::Tensor y = New(x, x.size(0));
  for (int64_t i = 0; i < x.size(0); ++i) {
    static_cast<float*>(y.data_ptr())[i] = 2 * static_cast<const float*>(x.data_ptr())[i];
  }
  return y;
}

ffi::Tensor OneMore(ffi::TensorView x) { return New(x, x.size(0) + 1); }

void Keep(ffi::Tensor x, ffi::Tensor y) {
  static ffi::Tensor kept_x, kept_y;
  kept_x = x;
  kept_y = y;
  for (int64_t i = 0; i < x.size(0); ++i) {
    static_cast<float*>(y.data_ptr())[i] = static_cast<const float*>(x.data_ptr())[i] + 1;
  }
}

void Scaled(ffi::TensorView x, ffi::TensorView y, double factor) {
  for (int64_t i = 0; i < x.size(0); ++i) {
    static_cast<float*>(y.data_ptr())[i] = factor * static_cast<const float*>(x.data_ptr())[i];
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(doubled, Doubled);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(one_more, OneMore);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(keep, Keep);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(scaled, Scaled);
"""


@tftvm.op(shapes=["n d", "d"], gradient="auto")
def scale(x, w):
    return te.compute(x.shape, lambda i, j: x[i, j] * w[j])


@tftvm.op
def extent(x):
    return topi.min(x, axis=1), topi.max(x, axis=1)


@tftvm.op
def exponentials(x):
    return topi.exp(x)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tftvm.Module:
    """Return a library that says nothing of its functions."""
    add = libraries.elementwise("add", lambda x, y: x + y, inputs=2)
    return tftvm.Module(libraries.export(add, tmp_path_factory.mktemp("plain") / "plain.so"))


@pytest.fixture(scope="module")
def cpp_path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("cpp") / "cpp.so"
    metadata = "-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1"
    return libraries.compile_cc(FUNCTIONS_IN_CPP, path, "-std=c++17", metadata)


@pytest.fixture(scope="module")
def cpp(cpp_path) -> tftvm.Module:
    return tftvm.Module(cpp_path)


def compiled(fn):
    """Return `fn` compiled by XLA."""
    return tf.function(fn, jit_compile=True, autograph=False)


def normal(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"))


def test_between_ops_of_tensorflow():
    x, w = normal(4, 5), normal(5)
    y = compiled(lambda x, w: tf.nn.relu(scale(x + 1.0, w)) - 2.0)(x, w)
    np.testing.assert_allclose(y, tf.nn.relu((x + 1.0) * w) - 2.0, rtol=1e-6)


def test_several_outputs_of_one_call():
    x = normal(6, 7)
    least, most = compiled(extent)(x)
    np.testing.assert_array_equal(least, tf.reduce_min(x, 1))
    np.testing.assert_array_equal(most, tf.reduce_max(x, 1))


def test_gradients():
    x, w = normal(4, 5), normal(5)

    @compiled
    def gradients(x, w):
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            loss = tf.reduce_sum(tf.square(scale(x, w)))
        return tape.gradient(loss, [x, w])

    dx, dw = gradients(x, w)
    np.testing.assert_allclose(dx, 2.0 * x * w * w, rtol=1e-5)
    np.testing.assert_allclose(dw, tf.reduce_sum(2.0 * x * x * w, 0), rtol=1e-5)


def test_what_xla_would_lay_out_by_columns():
    x = normal(4, 5)

    @compiled
    def products(x):
        product = tf.transpose(tf.matmul(x, x, transpose_a=True))
        return tf.matmul(scale(product, tf.ones([5])), tf.transpose(x))

    expected = tf.matmul(tf.matmul(x, x, transpose_a=True), x, transpose_b=True)
    np.testing.assert_allclose(products(x), expected, rtol=1e-5, atol=1e-5)


def test_parts_of_tensors():
    x = normal(9, 5)
    y = compiled(lambda x: scale(x[1:], x[0]) + scale(x[:-1], x[3]))(x)
    np.testing.assert_allclose(y, x[1:] * x[0] + x[:-1] * x[3], rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_empty_and_tiny_tensors(shape):
    y = compiled(scale)(tf.ones(shape), tf.ones(shape[1:]))
    assert y.shape == shape
    assert np.all(y == 1.0)


def test_parallel_loops():
    x = normal(1 << 21)
    np.testing.assert_allclose(compiled(exponentials)(x), tf.exp(x), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int64", "uint16", "bool"])
def test_dtypes(dtype):
    copy = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[i]))
    x = tf.cast([0, 1, 1, 0], dtype)
    np.testing.assert_array_equal(compiled(copy)(x), x)


def test_shapes_said_by_the_caller(plain):
    x, y = normal(5), normal(5)
    shapes = {
        "static": lambda x, y, size: plain.func("add", output_shape=[5])(x, y),
        "of a tensor": lambda x, y, size: plain.func("add", output_shape=tf.shape(x))(x, y),
        "an argument": lambda x, y, size: plain.func("add", output_shape=size)(x, y),
        "the first input's": lambda x, y, size: plain["add"](x, y),
    }
    for fn in shapes.values():
        np.testing.assert_array_equal(compiled(fn)(x, y, tf.constant([5])), x + y)


def test_attrs(cpp):
    scaled = cpp.func(
        "scaled",
        signature="(x: float32[n], factor: float) -> (y: float32[n])",
        arg_spec=["args", "rets", "attrs.factor"],
    )
    x = normal(5)
    np.testing.assert_allclose(compiled(lambda x: scaled(x, factor=1.5))(x), 1.5 * x, rtol=1e-6)


def test_returned_outputs(cpp):
    doubled = cpp.func("doubled", signature="(x: float32[n]) -> (y: float32[n])", arg_spec=["args"])
    x = normal(5)
    np.testing.assert_array_equal(compiled(doubled)(x), 2.0 * x)


def test_returned_outputs_of_unknown_size(cpp):
    unknown = cpp.func("doubled", signature="(x: float32[n]) -> (y: float32[?])", arg_spec=["args"])
    with pytest.raises(tf.errors.UnimplementedError, match="'doubled'.*XLA has to know the shape"):
        compiled(unknown)(normal(5))
    wrong = cpp.func("one_more", output_shape=[5], output_dtype="float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"has shape \[6\]; expected \[5\]"):
        compiled(wrong)(normal(5))


def test_tensors_that_the_function_keeps(cpp):
    """XLA uses the memory again, so that what is kept must be a copy."""
    keep = cpp.func("keep", signature="(x: float32[n]) -> (y: float32[n])")
    call = compiled(lambda x: keep(x * 1.0) + 0.0)
    for i in range(3):
        x = normal(1000) + i
        np.testing.assert_array_equal(call(x), x + 1.0)


def test_control_flow():
    x = normal(2, 5)

    @compiled
    def repeated(x):
        step = lambda i, x: (i + 1, scale(x, 2.0 * tf.ones([5])))  # noqa: E731
        return tf.while_loop(lambda i, x: i < 5, step, [0, x])[1]

    np.testing.assert_allclose(repeated(x), 32.0 * x, rtol=1e-6)


def test_wrong_shapes_are_refused_by_name(plain):
    call = compiled(lambda x, y: plain["add"](x, y))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call(normal(3), normal(4))
    message = str(caught.value)
    assert "TVM function 'add' of library 'plain.so' failed" in message
    assert "called on CPU by XLA with inputs (float32[3], float32[4])" in message
    np.testing.assert_array_equal(call(normal(3), normal(3)), 2.0 * normal(3))


def test_other_devices_are_refused(plain):
    add = plain.func("add", target_device="ext_dev")
    with pytest.raises((tf.errors.OpError, ValueError), match="leave out jit_compile=True"):
        compiled(add)(normal(3), normal(3))


def test_a_library_that_is_no_longer_loaded(tmp_path):
    """The executable has the bytes: they are an argument of what was compiled."""
    path = libraries.export(libraries.elementwise("plus", lambda x: x + 3.0), tmp_path / "plus.so")
    module = tftvm.Module(path)
    call = compiled(module["plus"]).get_concrete_function(tf.TensorSpec([3]))
    loaded = tftvm.stats()["libraries"]
    del module
    os.remove(path)
    gc.collect()
    assert tftvm.stats()["libraries"] < loaded
    np.testing.assert_array_equal(call(normal(3)), normal(3) + 3.0)


def test_saved_models(tmp_path):
    class Model(tf.Module):
        @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([2, 3])])
        def __call__(self, x):
            return scale(x, tf.ones([3])) + 1.0

    tf.saved_model.save(Model(), str(tmp_path))
    code = """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        print(tf.saved_model.load(sys.argv[1])(tf.ones([2, 3])).numpy().tolist())
    """
    assert "[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]" in check_python(code, tmp_path)


def test_after_xla_has_compiled(addone_path):
    """TensorFlow makes XLA's kernels when it first compiles; ours come later then."""
    code = """
        import sys
        import tensorflow as tf
        print(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.ones([2])).numpy())
        import tensorflow_tvm as tftvm
        addone = tftvm.Module(sys.argv[1])["addone"]
        print(tf.function(lambda x: addone(x) * 2.0, jit_compile=True)(tf.ones([2])).numpy())
    """
    assert "[4. 4.]" in check_python(code, addone_path)


def test_autoclustering(addone_path, tmp_path):
    code = """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        addone = tftvm.Module(sys.argv[1])["addone"]
        call = tf.function(lambda x: tf.sin(addone(x) * 0.0) + tf.sqrt(x))
        print(call(4.0 * tf.ones([2])).numpy())
    """
    env = {
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit --tf_xla_min_cluster_size=1",
        "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text",
    }
    assert "[2. 2.]" in check_python(code, addone_path, env=env)
    dumped = "".join(file.read_text() for file in tmp_path.glob("*before_optimizations.txt"))
    assert 'custom_call_target="tensorflow_tvm.call"' in dumped


def test_autoclustering_leaves_out_what_xla_cannot_compile(cpp_path):
    code = """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        doubled = tftvm.Module(sys.argv[1]).func(
            "doubled", signature="(x: float32[n]) -> (y: float32[?])", arg_spec=["args"]
        )
        print(tf.function(lambda x: tf.sqrt(doubled(x) * 2.0) + 1.0)(tf.ones([2])).numpy())
    """
    flags = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit --tf_xla_min_cluster_size=1"
    assert "[3. 3.]" in check_python(code, cpp_path, env={"TF_XLA_FLAGS": flags})


def test_without_the_op_library():
    code = """
        import sys
        import tensorflow as tf
        import tvm_ffi
        tf.load_library(sys.argv[1])
        print(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.ones([2])).numpy())
    """
    path = os.path.join(os.path.dirname(tftvm.sysconfig.get_lib_path()), "_tvm_dso_xla.so")
    assert "[2. 2.]" in check_python(code, path)


def test_keras_goes_without_where_xla_cannot(cpp):
    doubled = cpp.func("doubled", signature="(x: float32[n]) -> (y: float32[?])", arg_spec=["args"])
    assert not tftvm.layers.TVMLayer(doubled).supports_jit
    assert tftvm.layers.TVMLayer(scale, weights=["w"]).supports_jit


def test_keras():
    model = keras.Sequential([keras.layers.Dense(5), tftvm.layers.TVMLayer(scale, weights=["w"])])
    other = keras.Sequential([keras.layers.Dense(5), tftvm.layers.TVMLayer(scale, weights=["w"])])
    x, y = normal(8, 3), normal(8, 5)
    for each in (model, other):
        each.build((None, 3))
    other.set_weights(model.get_weights())
    model.compile("sgd", "mse", jit_compile=True)
    other.compile("sgd", "mse", jit_compile=False)
    assert model.jit_compile
    histories = [each.fit(x, y, epochs=3, verbose=0, shuffle=False) for each in (model, other)]
    losses, expected = (history.history["loss"] for history in histories)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[-1] < losses[0]


def test_functions_with_effects_are_called_each_time(tmp_path):
    counter = libraries.compile_cc(
        """
        #include <tvm/ffi/tvm_ffi.h>
        void Count(tvm::ffi::TensorView y) {
          static int calls = 0;
          static_cast<float*>(y.data_ptr())[0] = ++calls;
        }
        TVM_FFI_DLL_EXPORT_TYPED_FUNC(count, Count);
        """,
        tmp_path / "count.so",
        "-std=c++17",
    )
    count = tftvm.Module(counter).func(
        "count", output_shape=[1], output_dtype="float32", stateful=True
    )
    call = compiled(lambda: (count(), count()))
    first, second = call()
    assert {float(first[0]), float(second[0])} == {1.0, 2.0}
    call()
    assert float(call()[0][0]) >= 5.0
