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
"""Signatures, attrs, orders of arguments, returned tensors, and what a library says of itself."""

from __future__ import annotations

import concurrent.futures
import os

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

# What a contradiction raises: while a graph is built, and at run time.
_CONTRADICTION = (ValueError, tf.errors.InvalidArgumentError)


# Functions compiled by TVM.

_POOL = "(x: float32[n]) -> (y: float32[(n-3)//2+1])"
_MIXED = "(x: float32[n, d], w: int32[d]) -> (a: float64[n], b: int32[d, n], c: int64[])"
_TWICE = "(x: float32[n], y: float32[2*n]) -> (z: float32[n])"


def _pool():
    """`pool`: float32[n] -> the sums of three neighbours, every other one."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    y = te.compute(((n - 3) // 2 + 1,), lambda i: x[2 * i] + x[2 * i + 1] + x[2 * i + 2], name="y")
    return libraries.prim_func("pool", [x, y])


def _mixed():
    """`mixed`: outputs of other ranks and dtypes."""
    n, d = te.var("n"), te.var("d")
    x = te.placeholder((n, d), "float32", name="x")
    w = te.placeholder((d,), "int32", name="w")
    a = te.compute((n,), lambda i: x[i, 0].astype("float64") * 2.0, name="a")
    b = te.compute((d, n), lambda j, i: x[i, j].astype("int32") + w[j], name="b")
    c = te.compute((), lambda: w[0].astype("int64"), name="c")
    return libraries.prim_func("mixed", [x, w, a, b, c])


def _mixed_in_numpy(x, w):
    return x[:, 0].astype(np.float64) * 2, x.T.astype(np.int32) + w[:, None], np.int64(w[0])


def _twice():
    """`twice`: float32[n], float32[2n] -> the first plus the second's second half."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    y = te.placeholder((2 * n,), "float32", name="y")
    return libraries.prim_func("twice", [x, y, te.compute((n,), lambda i: x[i] + y[i + n])])


@pytest.fixture(scope="module", params=["asserts", "no_asserts"])
def compiled(request, tmp_path_factory):
    """A module compiled with TVM's own checks of arguments, and one compiled without."""
    config = {} if request.param == "asserts" else {"tirx.disable_assert": True}
    with tvm.transform.PassContext(config=config):
        path = libraries.export(
            [_pool(), _mixed(), _twice()], tmp_path_factory.mktemp("lib") / "compiled.so"
        )
    return tftvm.Module(path)


@pytest.fixture(scope="module")
def with_asserts(tmp_path_factory):
    path = libraries.export([_pool(), _mixed()], tmp_path_factory.mktemp("lib") / "compiled.so")
    return tftvm.Module(path)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 101])
def test_shape_that_is_an_expression(run, compiled, n):
    x = np.arange(n, dtype=np.float32)
    y = run(compiled.func("pool", signature=_POOL), x)
    expected = [x[i] + x[i + 1] + x[i + 2] for i in range(0, n - 2, 2)]
    assert y.shape == (len(expected),) and y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)


def test_negative_dimension(run, compiled):
    with pytest.raises(_CONTRADICTION, match=r"'pool'.*'compiled.so'.*would be -1 \(n=0\)"):
        run(compiled.func("pool", signature=_POOL), np.zeros(0, np.float32))


def test_outputs_of_other_ranks_and_dtypes(run, compiled):
    x = np.float32([[1, 2, 3], [4, 5, 6]])
    w = np.int32([10, 20, 30])
    result = run(compiled.func("mixed", signature=_MIXED), x, w)
    assert isinstance(result, tuple) and len(result) == 3
    for got, expected in zip(result, _mixed_in_numpy(x, w), strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        np.testing.assert_array_equal(got, expected)


def test_signature_object(compiled):
    signature = tftvm.Signature.parse(_MIXED)
    function = compiled.func("mixed", signature=signature)
    assert function.signature == signature
    assert "mixed(x: float32[n, d]" in repr(function)
    assert compiled.func("mixed").signature is None and compiled.signature("mixed") is None


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (([2, 3], [3]), ([2], [3, 2], [])),
        (([2, 3], None), ([2], [3, 2], [])),
        (([2, None], [3]), ([2], [3, 2], [])),
        (([2, None], [None]), ([2], [None, 2], [])),
        (([None, None], [3]), ([None], [3, None], [])),
        ((None, [3]), ([None], [3, None], [])),
        ((None, None), ([None], [None, None], [])),
    ],
)
def test_static_shapes(with_asserts, shapes, expected):
    mixed = with_asserts.func("mixed", signature=_MIXED)
    specs = [
        tf.TensorSpec(shape, dtype)
        for shape, dtype in zip(shapes, (tf.float32, tf.int32), strict=True)
    ]
    traced = tf.function(lambda x, w: mixed(x, w)).get_concrete_function(*specs)
    static = [
        None if output.shape.rank is None else output.shape.as_list() for output in traced.outputs
    ]
    assert static == list(expected)
    assert [output.dtype for output in traced.outputs] == [tf.float64, tf.int32, tf.int64]


@pytest.mark.parametrize(("n", "expected"), [(None, None), (3, 1), (8, 3), (9, 4)])
def test_static_shape_of_an_expression(with_asserts, n, expected):
    pool = with_asserts.func("pool", signature=_POOL)
    traced = tf.function(lambda x: pool(x)).get_concrete_function(tf.TensorSpec([n]))
    assert traced.outputs[0].shape.as_list() == [expected]


def test_equal_symbols_have_equal_static_shapes(with_asserts):
    # What is learnt of an output's dimension is learnt of the input's.
    mixed = with_asserts.func("mixed", signature=_MIXED)
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 4])
        w = tf.compat.v1.placeholder(tf.int32, None)
        a, b, _ = mixed(x, w)
        assert b.shape.as_list() == [4, None] and a.shape.as_list() == [None]


def test_dataset(with_asserts):
    mixed = with_asserts.func("mixed", signature=_MIXED)
    xs = tf.data.Dataset.from_generator(
        lambda: (np.full((n, 2), n, np.float32) for n in (1, 3, 2)),
        output_signature=tf.TensorSpec([None, 2]),
    )
    dataset = xs.map(lambda x: mixed(x, tf.constant([1, 2])), num_parallel_calls=2)
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [[None], [2, None], []]
    for n, (a, b, c) in zip((1, 3, 2), dataset, strict=True):
        np.testing.assert_array_equal(a, [2.0 * n] * n)
        np.testing.assert_array_equal(b, [[n + 1] * n, [n + 2] * n])
        assert c.numpy() == 1


_WRONG = [
    ([2, 3], [4], "input 'w' has shape \\[4\\].*d is 3 in input 'x' and 4 in input 'w'"),
    ([0, 3], [4], "d is 3 in input 'x' and 4 in input 'w'"),
    ([2, 0], [1], "d is 0 in input 'x' and 1 in input 'w'"),
    ([2], [2], "input 'x' has shape \\[2\\], expected x: float32\\[n, d\\]: its rank is 1"),
    ([], [2], "input 'x' has shape \\[\\].*its rank is 0 and must be 2"),
    ([1, 2, 3], [2], "its rank is 3 and must be 2"),
    ([2, 3], [3, 1], "input 'w'.*its rank is 2 and must be 1"),
]


@pytest.mark.parametrize(("x", "w", "why"), _WRONG)
def test_contradictions(run, compiled, x, w, why):
    mixed = compiled.func("mixed", signature=_MIXED)
    with pytest.raises(_CONTRADICTION, match=f"'mixed'.*'compiled.so'.*{why}"):
        run(mixed, np.zeros(x, np.float32), np.zeros(w, np.int32))


@pytest.mark.parametrize(("x", "w", "why"), _WRONG)
def test_when_contradictions_are_found(compiled, x, w, why):
    mixed = compiled.func("mixed", signature=_MIXED)
    traced = tf.function(lambda x, w: mixed(x, w), autograph=False)
    with pytest.raises(ValueError, match=why):
        traced.get_concrete_function(tf.TensorSpec(x), tf.TensorSpec(w, tf.int32))
    unknown = traced.get_concrete_function(tf.TensorSpec(None), tf.TensorSpec(None, tf.int32))
    for call in (unknown, mixed):
        with pytest.raises(tf.errors.InvalidArgumentError, match=why):
            call(tf.zeros(x), tf.zeros(w, tf.int32))


def test_contradiction_known_in_part(compiled):
    mixed = compiled.func("mixed", signature=_MIXED)
    with pytest.raises(ValueError, match="'mixed'.*d is 3 in input 'x' and 4 in input 'w'"):
        tf.function(lambda x, w: mixed(x, w), autograph=False).get_concrete_function(
            tf.TensorSpec([None, 3]), tf.TensorSpec([4], tf.int32)
        )


@pytest.mark.parametrize(("n", "m"), [(3, 5), (3, 7), (3, 0), (0, 1), (5, 3)])
def test_input_that_is_an_expression(run, compiled, n, m):
    twice = compiled.func("twice", signature=_TWICE)
    x = np.arange(4, dtype=np.float32)
    y = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(run(twice, x, y), x + y[4:])
    why = rf"'twice'.*input 'y' has shape \[{m}\].* must be 2\*n = {2 * n} \(n={n}\)"
    with pytest.raises(_CONTRADICTION, match=why):
        run(twice, np.zeros(n, np.float32), np.zeros(m, np.float32))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_inputs(run, compiled, count):
    mixed = compiled.func("mixed", signature=_MIXED)
    with pytest.raises(_CONTRADICTION, match=f"'mixed'.*(given {count}|with {count} inputs)"):
        run(mixed, *[np.zeros([2, 2], np.float32)] * count)


@pytest.mark.parametrize(
    "dtypes", [("float64", "int32"), ("float32", "uint32"), ("int32", "int32")]
)
def test_wrong_dtypes(run, compiled, dtypes):
    mixed = compiled.func("mixed", signature=_MIXED)
    with pytest.raises((*_CONTRADICTION, TypeError), match="'mixed'.*dtype|'mixed'.*expected"):
        run(mixed, np.zeros([2, 2], dtypes[0]), np.zeros([2], dtypes[1]))


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize(
    "x",
    [
        [0.0, 1.0, 2.0, 3.5],
        (0.0, 1.0, 2.0, 3.5),
        [np.float32(0), np.float32(1), 2.0, 3.5],
        [0, 1, 2, 3],
        np.float32([0, 1, 2, 3.5]),
        np.float64([0, 1, 2, 3.5]),
        np.int64([0, 1, 2, 3]),
        np.float16([0, 1, 2, 3.5]),
        range(4),
    ],
    ids=["floats", "tuple", "scalars", "ints", "f32", "f64", "i64", "f16", "range"],
)
def test_values_are_converted(with_asserts, wrap, x):
    pool = with_asserts.func("pool", signature=_POOL)
    np.testing.assert_array_equal(wrap(lambda: pool(x))(), [3.0])


def test_values_are_converted_to_float64(with_asserts):
    # Python numbers are float32 to TensorFlow.
    signature = "(x: float32[n, d], w: int32[d]) -> (a: float64[n], b: int32[d, n], c: int64[])"
    mixed = with_asserts.func("mixed", signature=signature)
    a, _, _ = mixed([[0.1, 2]], [1, 2])
    np.testing.assert_array_equal(a, np.float64([np.float32(0.1)]) * 2)


@pytest.mark.parametrize("x", [None, object(), "text", [[1.0], [2.0, 3.0]], [1.0, "a"], 1j])
def test_values_that_cannot_be_converted(with_asserts, x):
    pool = with_asserts.func("pool", signature=_POOL)
    for wrap in (lambda f: f, tf.function):
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError), match="'pool'"):
            wrap(lambda: pool(x))()


def test_output_shape_in_symbols(run, with_asserts):
    partial = "(x: float32[n]) -> (y: float32[...])"
    pool = with_asserts.func("pool", output_shape="[(n-3)//2+1]", signature=partial)
    assert str(pool.signature) == _POOL
    np.testing.assert_array_equal(run(pool, np.float32([1, 2, 3])), [6])


def test_output_shape_that_contradicts_the_signature(run, with_asserts):
    with pytest.raises(_CONTRADICTION, match="'pool'.*output_shape.*signature"):
        run(with_asserts.func("pool", [5], signature=_POOL), np.float32([1, 2, 3]))
    with pytest.raises(ValueError, match="output_dtype says.*float64.*signature says float32"):
        with_asserts.func("pool", output_dtype="float64", signature=_POOL)
    with pytest.raises(ValueError, match="gives 2 outputs, and the signature has 1"):
        with_asserts.func("pool", [[1], [1]], signature=_POOL)
    with pytest.raises(ValueError, match="not what the signature says"):
        with_asserts.func("pool", "[n]", signature=_POOL)


def test_output_shape_that_agrees_with_the_signature(run, with_asserts):
    pool = with_asserts.func("pool", [1], "float32", signature=_POOL)
    np.testing.assert_array_equal(run(pool, np.float32([1, 2, 3])), [6])


@pytest.mark.parametrize(
    ("signature", "error", "why"),
    [
        ("(x: float32[n])", ValueError, "'pool'.*Cannot parse signature at character 16"),
        (3, TypeError, "signature must be a string"),
        ("(x: float32[n]) -> ()", ValueError, "has no outputs"),
        ("(x: float32[n]) -> (y: float32[?])", ValueError, "leaves a dimension open"),
    ],
)
def test_wrong_signatures(with_asserts, signature, error, why):
    with pytest.raises(error, match=f"(?s){why}"):
        with_asserts.func("pool", signature=signature)


# Functions compiled by a C++ compiler. The file is compiled once as it is, and once so that the
# library says of itself what it takes.
_FUNCTIONS = """
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/container/tuple.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/optional.h>
#include <tvm/ffi/string.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace {
namespace ffi = tvm::ffi;
using ffi::Tensor;
using ffi::TensorView;

constexpr DLDevice kCpu = {kDLCPU, 0};
constexpr DLDataType kFloat = {kDLFloat, 32, 1};
constexpr DLDataType kDouble = {kDLFloat, 64, 1};
constexpr DLDataType kInt = {kDLInt, 64, 1};
constexpr DLDataType kBool = {kDLBool, 8, 1};
constexpr DLDataType kByte = {kDLUInt, 8, 1};

Tensor Allocate(const std::vector<int64_t>& shape, DLDataType dtype) {
  return Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ffi::ShapeView(shape.data(), shape.size()),
                              dtype, kCpu);
}

template <typename T>
T* Data(const Tensor& tensor) { return static_cast<T*>(tensor.data_ptr()); }
float* Floats(TensorView tensor) { return static_cast<float*>(tensor.data_ptr()); }

template <typename T>
Tensor Vector(const std::vector<T>& values, DLDataType dtype) {
  Tensor result = Allocate({static_cast<int64_t>(values.size())}, dtype);
  if (!values.empty()) std::memcpy(Data<T>(result), values.data(), values.size() * sizeof(T));
  return result;
}

template <typename T>
Tensor Scalar(T value, DLDataType dtype) {
  Tensor result = Allocate({}, dtype);
  *Data<T>(result) = value;
  return result;
}

std::vector<float> ToVector(TensorView x) { return {Floats(x), Floats(x) + x.numel()}; }

Tensor Plus(TensorView x, float value) {
  Tensor result = Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, x.shape(), x.dtype(), x.device());
  for (int64_t i = 0; i < x.numel(); ++i) Data<float>(result)[i] = Floats(x)[i] + value;
  return result;
}

// Attrs.
Tensor echo_int(int64_t k) { return Scalar<int64_t>(k, kInt); }
Tensor echo_float(double k) { return Scalar<double>(k, kDouble); }
Tensor echo_bool(bool k) { return Scalar<bool>(k, kBool); }
Tensor echo_str(ffi::String k) {
  return Vector<uint8_t>(std::vector<uint8_t>(k.data(), k.data() + k.size()), kByte);
}
Tensor echo_ints(ffi::Array<int64_t> k) {
  return Vector<int64_t>(std::vector<int64_t>(k.begin(), k.end()), kInt);
}
Tensor echo_floats(ffi::Array<double> k) {
  return Vector<double>(std::vector<double>(k.begin(), k.end()), kDouble);
}
Tensor echo_bools(ffi::Array<bool> k) {
  std::vector<uint8_t> values;
  for (bool value : k) values.push_back(value);
  return Vector<uint8_t>(values, kBool);
}
Tensor echo_strs(ffi::Array<ffi::String> k) {
  std::vector<uint8_t> values;
  for (const ffi::String& value : k) {
    values.insert(values.end(), value.data(), value.data() + value.size());
    values.push_back('|');
  }
  return Vector<uint8_t>(values, kByte);
}

// Orders: y = a * k - b.
void compute(TensorView a, TensorView b, double k, TensorView y) {
  for (int64_t i = 0; i < y.numel(); ++i) Floats(y)[i] = Floats(a)[i] * k - Floats(b)[i];
}
void a_b_y_k(TensorView a, TensorView b, TensorView y, double k) { compute(a, b, k, y); }
void k_a_b_y(double k, TensorView a, TensorView b, TensorView y) { compute(a, b, k, y); }
void a_k_b_y(TensorView a, double k, TensorView b, TensorView y) { compute(a, b, k, y); }
void y_b_k_a(TensorView y, TensorView b, double k, TensorView a) { compute(a, b, k, y); }
void attrs_mixed(TensorView x, int64_t add, ffi::String unused, bool negate, TensorView y) {
  for (int64_t i = 0; i < y.numel(); ++i) {
    Floats(y)[i] = (negate ? -1 : 1) * Floats(x)[i] + add + unused.size();
  }
}

// Tensors that are returned.
Tensor one(TensorView x) { return Plus(x, 1); }
ffi::Tuple<Tensor, Tensor> pair(TensorView x) {
  return ffi::Tuple<Tensor, Tensor>(Plus(x, 1), Vector<int64_t>({7, 8}, kInt));
}
ffi::Array<Tensor> array(TensorView x) { return {Plus(x, 1), Plus(x, 2), Plus(x, 3)}; }
ffi::Array<Tensor> array_of_one(TensorView x) { return {Plus(x, 1)}; }
ffi::Array<Tensor> array_of_none(TensorView x) { return {}; }
Tensor nonzero(TensorView x) {
  std::vector<int64_t> found;
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (Floats(x)[i] != 0) found.push_back(i);
  }
  return Vector(found, kInt);
}
Tensor kept(TensorView x) {
  static Tensor* tensor = new Tensor(Plus(x, 0));
  for (int64_t i = 0; i < x.numel(); ++i) Data<float>(*tensor)[i] = Floats(x)[i];
  return *tensor;
}
Tensor view_of_kept(TensorView x) {
  static Tensor* tensor = new Tensor(Plus(x, 0));
  for (int64_t i = 0; i < x.numel(); ++i) Data<float>(*tensor)[i] = Floats(x)[i];
  return tensor->as_strided(tensor->shape(), tensor->strides());
}
Tensor kept_by_dlpack(TensorView x) {
  static Tensor* tensor = new Tensor(Plus(x, 0));
  static DLManagedTensorVersioned* shared = tensor->ToDLPackVersioned();
  if (tensor->defined()) {
    Tensor result = *tensor;
    *tensor = Tensor();
    return result;
  }
  for (int64_t i = 0; i < x.numel(); ++i) {
    static_cast<float*>(shared->dl_tensor.data)[i] = Floats(x)[i];
  }
  return Plus(x, 0);
}
ffi::Array<Tensor> same_twice(TensorView x) {
  Tensor result = Plus(x, 1);
  return {result, result};
}
ffi::Array<Tensor> two_views(TensorView x) {
  Tensor result = Plus(x, 1);
  return {result.as_strided(result.shape(), result.strides()),
          result.as_strided(result.shape(), result.strides())};
}
Tensor second_half(TensorView x) {
  Tensor result = Plus(x, 1);
  const int64_t half = result.numel() / 2;
  return result.as_strided({half}, {1}, half);
}
Tensor first_half(TensorView x) {
  Tensor result = Plus(x, 1);
  return result.as_strided({result.numel() / 2}, {1});
}
struct Malloc {
  void AllocData(DLTensor* tensor) { tensor->data = std::malloc(ffi::GetDataSize(*tensor)); }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};
Tensor own_memory(TensorView x) {
  Tensor result = Tensor::FromNDAlloc(Malloc(), x.shape(), x.dtype(), x.device());
  for (int64_t i = 0; i < x.numel(); ++i) Data<float>(result)[i] = Floats(x)[i] + 1;
  return result;
}
Tensor transposed(TensorView x) {
  Tensor result = Plus(x, 1);
  return result.as_strided({x.size(1), x.size(0)}, {1, x.size(1)});
}
Tensor transposed_ones(TensorView x) {  // contiguous all the same
  return Plus(x, 1).as_strided({1, x.numel()}, {12345, 1});
}
Tensor other_device(TensorView x) {
  return Tensor::FromNDAlloc(Malloc(), x.shape(), x.dtype(), DLDevice{kDLCUDA, 3});
}
void nothing(TensorView x) {}
int64_t number(TensorView x) { return 3; }
ffi::String text(TensorView x) { return "a text that is too long to be stored in place"; }
ffi::Array<ffi::Any> array_with_number(TensorView x) { return {Plus(x, 1), 3}; }
ffi::Array<ffi::Any> array_with_none(TensorView x) { return {Plus(x, 1), nullptr}; }
ffi::Optional<Tensor> no_tensor(TensorView x) { return std::nullopt; }
ffi::Array<ffi::Any> nested(TensorView x) { return {ffi::Array<Tensor>{Plus(x, 1)}}; }
Tensor refuse(TensorView x) { TVM_FFI_THROW(ValueError) << "not today"; }
Tensor throw_error(TensorView x) { throw std::runtime_error("thrown on purpose"); }
Tensor allocate_negative(TensorView x) { return Allocate({-1}, kFloat); }
Tensor allocate_far_too_much(TensorView x) {
  return Allocate({int64_t{1} << 40, 1 << 21}, kDouble);
}
Tensor allocate_too_much(TensorView x) { return Allocate({int64_t{1} << 50}, kFloat); }
Tensor allocate_and_refuse(TensorView x) {
  Tensor unused = Plus(x, 1);
  return refuse(x);
}

// What only some metadata can say.
void optional(TensorView x, TensorView y, ffi::Optional<int64_t> k) {
  for (int64_t i = 0; i < y.numel(); ++i) Floats(y)[i] = Floats(x)[i] + k.value_or(5);
}
void anything(ffi::AnyView x, TensorView y) {
  TensorView view = x.cast<TensorView>();
  for (int64_t i = 0; i < y.numel(); ++i) Floats(y)[i] = Floats(view)[i] + 1;
}
ffi::Any returns_anything(TensorView x) { return Plus(x, 1); }
Tensor previous(Tensor x) {
  static Tensor* last = new Tensor(x);
  Tensor result = *last;
  *last = x;
  return result;
}
void owned(Tensor x, Tensor y) {
  for (int64_t i = 0; i < y.numel(); ++i) Data<float>(y)[i] = Data<float>(x)[i] + 1;
}
void two_outputs(TensorView x, TensorView y, TensorView z) {
  compute(x, x, 2, y);
  compute(x, x, 3, z);
}
}  // namespace
"""
_NAMES = """
echo_int echo_float echo_bool echo_str echo_ints echo_floats echo_bools echo_strs a_b_y_k k_a_b_y
a_k_b_y y_b_k_a attrs_mixed one pair array array_of_one array_of_none nonzero kept view_of_kept
kept_by_dlpack same_twice two_views second_half first_half own_memory transposed transposed_ones
other_device nothing number text array_with_number array_with_none no_tensor nested refuse
throw_error allocate_negative allocate_far_too_much allocate_too_much allocate_and_refuse
optional anything returns_anything previous owned two_outputs
""".split()
_SOURCE = _FUNCTIONS + "".join(f"TVM_FFI_DLL_EXPORT_TYPED_FUNC({n}, {n});\n" for n in _NAMES)


@pytest.fixture(scope="module")
def cc_path(tmp_path_factory):
    return libraries.compile_cc(_SOURCE, tmp_path_factory.mktemp("lib") / "cc.so")


@pytest.fixture(scope="module")
def cc(cc_path):
    """C++ functions in a library that says nothing of them."""
    return tftvm.Module(cc_path)


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    """The same functions in a library that says what they take."""
    path = tmp_path_factory.mktemp("lib") / "talking.so"
    option = "-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1"
    return tftvm.Module(libraries.compile_cc(_SOURCE, path, option))


def _output_copies():
    return tftvm.stats()["output_copies"]


_ECHOES = {
    "int": ("echo_int", "int64[]"),
    "float": ("echo_float", "float64[]"),
    "bool": ("echo_bool", "bool[]"),
    "str": ("echo_str", "uint8[?]"),
    "list[int]": ("echo_ints", "int64[?]"),
    "list[float]": ("echo_floats", "float64[?]"),
    "list[bool]": ("echo_bools", "bool[?]"),
    "list[str]": ("echo_strs", "uint8[?]"),
}


def _echo(module, kind):
    name, output = _ECHOES[kind]
    return module.func(name, signature=f"(k: {kind}) -> (y: {output})", arg_spec=["attrs.k"])


def _to_text(array):
    return array.tobytes().decode()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("int", v) for v in (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), np.int8(-3))),
        ("int", np.uint64(2**63 - 1)),
        *(("float", v) for v in (0.0, -0.0, 1.5, 0.1, 1e22, 1e308, -2.5e-308, 5, 2**60)),
        *(("float", v) for v in (float("inf"), -float("inf"), float("nan"), np.float32(0.1))),
        *(("bool", v) for v in (True, False, np.bool_(True))),
        ("list[int]", []),
        ("list[int]", [1, -2, 2**63 - 1]),
        ("list[int]", (3,)),
        ("list[int]", np.arange(5)),
        ("list[int]", list(range(10_000))),
        ("list[float]", []),
        ("list[float]", [1, 2.5, -0.0]),
        ("list[float]", [float("inf"), float("nan"), 3.0]),
        ("list[float]", np.float32([0.1, 0.2])),
        ("list[bool]", [True, False, np.bool_(True)]),
    ],
)
def test_attrs(run, cc, kind, value):
    echo = _echo(cc, kind)
    result = run(lambda: echo(k=value))
    np.testing.assert_array_equal(result, np.array(value, result.dtype))
    if kind == "float":
        np.testing.assert_array_equal(np.signbit(result), np.signbit(value))


_TEXTS = [
    "",
    "a",
    "a b\n\t\r\x01\x7f",
    "\0",
    "a\0b",
    '"',
    "\\",
    '\\"[',
    "[[[[[[[[[[[[{{{{{{{{{{{{",
    "]]]]]]]]}}}}}}}",
    "é",
    "日本語",
    "😀",
    "\u2028\ufeff\uffff",
    "/*//*/",
    "a" * 100_000,
]


@pytest.mark.parametrize("value", _TEXTS, ids=range(len(_TEXTS)))
def test_text_attrs(run, cc, value):
    echo, echo_list = _echo(cc, "str"), _echo(cc, "list[str]")
    assert _to_text(run(lambda: echo(k=value))) == value
    assert _to_text(run(lambda: echo_list(k=[value, "-", value]))) == f"{value}|-|{value}|"


def test_lone_surrogate_is_refused(cc):
    # It cannot be written in UTF-8.
    for wrap in (lambda f: f, tf.function):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            wrap(lambda: _echo(cc, "str")(k="\ud800"))()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("int", v) for v in (1.0, True, "1", None, [1], np.array([1]), 1j, np.float32(1))),
        *(("float", v) for v in (True, "1", None, [1.0], 1j, b"1")),
        *(("bool", v) for v in (0, 1, "True", None, [True], 1.0)),
        *(("str", v) for v in (1, None, b"a", ["a"], True)),
        *(("list[int]", v) for v in (1, [1.0], [True], ["1"], [[1]], None, {1}, "1", range(2))),
        *(("list[float]", v) for v in (1.0, [True], [None], ["1"], np.ones([2, 2]))),
        *(("list[bool]", v) for v in ([1], [0.0], True)),
        *(("list[str]", v) for v in ("abc", [1], [b"a"], [["a"]])),
    ],
)
def test_attrs_of_another_type(run, cc, kind, value):
    echo = _echo(cc, kind)
    with pytest.raises(TypeError, match=r"'echo_\w+'.*'cc.so'.*attr 'k' must be"):
        run(lambda: echo(k=value))


@pytest.mark.parametrize("kind", list(_ECHOES))
@pytest.mark.parametrize("make", [tf.constant, tf.Variable])
def test_tensors_are_no_attrs(run, cc, kind, make):
    with pytest.raises(TypeError, match=r"attr 'k' is a tensor; expected.*has to be an input"):
        run(lambda: _echo(cc, kind)(k=make(1)))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_attrs_beyond_64_bits(cc, value):
    with pytest.raises(ValueError, match="attr 'k' does not fit in 64 bits"):
        _echo(cc, "int")(k=value)
    with pytest.raises(ValueError, match="attr 'k' does not fit in 64 bits"):
        _echo(cc, "list[int]")(k=[1, value])


def test_attrs_that_are_missing_or_unknown(run, cc):
    echo = _echo(cc, "int")
    with pytest.raises(TypeError, match="'echo_int'.*without its attr 'k: int'"):
        run(lambda: echo())
    with pytest.raises(TypeError, match="has no attr 'j'; its attrs are k.*arg_spec"):
        run(lambda: echo(k=1, j=2))
    one = cc.func("one", arg_spec=["args"])
    with pytest.raises(TypeError, match="has no attr 'k'; it has none"):
        run(lambda x: one(x, k=2), np.float32([1]))


@pytest.mark.parametrize("value", [5e-324, -(2.0**-1060)])
def test_subnormal_attrs_are_refused(run, cc, value):
    with pytest.raises(ValueError, match="'k' is .*, a subnormal number; the smallest"):
        run(lambda: _echo(cc, "float")(k=value))


def test_attr_called_name_is_refused(cc):
    with pytest.raises(ValueError, match="attr cannot be called 'name', which names the op"):
        cc.func("echo_str", signature="(name: str) -> (y: uint8[?])", arg_spec=["attrs.name"])
    with pytest.raises(ValueError, match="given \\['attrs.name', 'rets'\\]"):
        cc.func("one", arg_spec=["attrs.name", "rets"])


@pytest.mark.parametrize("name", ["self", "inputs"])
def test_names_of_attrs(cc, name):
    echo = cc.func(
        "echo_str", signature=f"({name}: str) -> (y: uint8[?])", arg_spec=[f"attrs.{name}"]
    )
    assert _to_text(echo(**{name: "abc"}).numpy()) == "abc"


def test_attrs_without_a_signature(run, cc):
    for name, value in [("echo_int", 3), ("echo_float", 2.0), ("echo_bool", True)]:
        echo = cc.func(name, output_shape=[], output_dtype="int64", arg_spec=["attrs.k"])
        if name == "echo_int":
            assert run(lambda: echo(k=value)) == 3  # noqa: B023
        else:
            with pytest.raises(_CONTRADICTION, match=f"'{name}'.*has dtype"):
                run(lambda: echo(k=value))  # noqa: B023
        with pytest.raises(TypeError, match="without its attr 'k'"):
            echo()
    ints = cc.func("echo_ints", output_dtype="int64", arg_spec=["attrs.k"])
    np.testing.assert_array_equal(run(lambda: ints(k=[1, 2])), [1, 2])
    with pytest.raises(_CONTRADICTION + (TypeError,), match="'echo_int'"):
        run(lambda: cc.func("echo_int", [], "int64", arg_spec=["attrs.k"])(k="a"))


_ORDERS = [
    ("a_b_y_k", ["args", "rets", "attrs.k"]),
    ("a_b_y_k", ["args.0", "args.1", "rets.0", "attrs.k"]),
    ("a_b_y_k", ["args", "rets.0", "attrs.k"]),
    ("k_a_b_y", ["attrs.k", "args", "rets"]),
    ("a_k_b_y", ["args.0", "attrs.k", "args.1", "rets"]),
    ("y_b_k_a", ["rets", "args.1", "attrs.k", "args.0"]),
]


@pytest.mark.parametrize("given", ["signature", "no_signature"])
@pytest.mark.parametrize(("name", "arg_spec"), _ORDERS)
def test_orders(run, cc, name, arg_spec, given):
    signature = "(a: float32[n], b: float32[n], k: float) -> (y: float32[n])"
    function = cc.func(
        name, signature=signature if given == "signature" else None, arg_spec=arg_spec
    )
    a, b = np.float32([1, 2]), np.float32([10, 20])
    np.testing.assert_array_equal(run(lambda a, b: function(a, b, k=3.0), a, b), a * 3 - b)


def test_the_signature_says_the_order(run, cc):
    signature = "(a: float32[n], k: float, b: float32[n]) -> (y: float32[n])"
    a, b = np.float32([1, 2]), np.float32([10, 20])
    function = cc.func("a_k_b_y", signature=signature)
    np.testing.assert_array_equal(run(lambda a, b: function(a, b, k=3), a, b), a * 3 - b)
    function = cc.func("k_a_b_y", signature="(k: float, a: any[n], b: any[n]) -> (y: float32[n])")
    np.testing.assert_array_equal(run(lambda a, b: function(a, b, k=3), a, b), a * 3 - b)


def test_several_attrs(run, cc):
    function = cc.func(
        "attrs_mixed",
        signature="(x: float32[n], add: int, s: str, negate: bool) -> (y: float32[n])",
    )
    x = np.float32([1, 2])
    np.testing.assert_array_equal(
        run(lambda x: function(x, negate=True, add=100, s="ab"), x), 102 - x
    )
    np.testing.assert_array_equal(
        run(lambda x: function(x, s="", add=-1, negate=False, name="node"), x), x - 1
    )


def test_two_calls_with_other_attrs_in_one_graph(run, cc):
    function = cc.func("k_a_b_y", arg_spec=["attrs.k", "args", "rets"])
    a, b = np.float32([1, 2]), np.float32([10, 20])
    results = run(lambda a, b: tuple(function(a, b, k=k) for k in (2.0, 3.0, 2.0)), a, b)
    for k, result in zip((2, 3, 2), results, strict=True):
        np.testing.assert_array_equal(result, a * k - b)


def test_attrs_are_python_values_of_a_traced_function(cc):
    function = cc.func("k_a_b_y", arg_spec=["attrs.k", "args", "rets"])
    traced = tf.function(lambda x, k: function(x, x, k=k))
    for k in (2.0, 3.0, 2.0):
        np.testing.assert_array_equal(traced(tf.constant([1.0, 2.0]), k), [k - 1, 2 * k - 2])
    assert traced.experimental_get_tracing_count() == 2
    with pytest.raises(TypeError, match="attr 'k' is a tensor"):
        traced(tf.constant([1.0]), tf.constant(2.0))


_AB = "(a: float32[n], b: float32[n], k: float) -> (y: float32[n])"


@pytest.mark.parametrize(
    ("arg_spec", "error", "why"),
    [
        ("args", TypeError, "must be a list of strings"),
        (3, TypeError, "must be a list of strings"),
        (["args", "rest", "attrs.k"], ValueError, "'rest'; expected"),
        (["args", 3], ValueError, "has 3; expected"),
        (["args", "args", "rets", "attrs.k"], ValueError, "'args' twice"),
        (["args", "rets"], ValueError, "does not fit the signature"),
        (["args.0", "rets", "attrs.k"], ValueError, "does not fit the signature"),
        (["args.0", "args.2", "rets", "attrs.k"], ValueError, "does not fit the signature"),
        (["args", "args.0", "rets", "attrs.k"], ValueError, "does not fit the signature"),
        (["args", "rets", "attrs.j"], ValueError, "does not fit the signature"),
        (["args", "rets", "attrs.k", "attrs.j"], ValueError, "does not fit the signature"),
        (["args", "rets", "attrs."], ValueError, "expected"),
        (["args.-1", "rets"], ValueError, "expected"),
        (["args", "rets", "attrs.k.l"], ValueError, "expected"),
        (["args", "rets.1", "attrs.k"], ValueError, "does not fit the signature"),
        (["args", "rets", "rets.0", "attrs.k"], ValueError, "does not fit the signature"),
    ],
)
def test_wrong_arg_specs(cc, arg_spec, error, why):
    with pytest.raises(error, match=f"'a_b_y_k'.*arg_spec.*{why}"):
        cc.func("a_b_y_k", signature=_AB, arg_spec=arg_spec)


@pytest.mark.parametrize("arg_spec", [["args.2", "rets"], ["args", "rets.1"], ["rets.0", "rets.7"]])
def test_arg_specs_with_more_tensors_than_there_are(run, cc, arg_spec):
    with pytest.raises(_CONTRADICTION, match="'a_b_y_k'.*arg_spec has \"(args.2|rets.1|rets.7)\""):
        run(cc.func("a_b_y_k", arg_spec=arg_spec), *np.ones([2, 2], np.float32))


@pytest.mark.parametrize("signature", [None, "(x: float32[n]) -> (y: float32[n], z: float32[n])"])
def test_every_output_is_passed(cc, signature):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        cc.func("anything", [[2], [2]], signature=signature, arg_spec=["args", "rets.0"])(
            tf.constant([1.0, 2.0])
        )


def test_saved_model(cc, tmp_path):
    ordered = cc.func("y_b_k_a", signature=_AB, arg_spec=["rets", "args.1", "attrs.k", "args.0"])
    nonzero = cc.func("nonzero", signature="(x: float32[n]) -> (i: int64[?])", arg_spec=["args"])
    texts = cc.func("echo_strs", signature="(k: list[str]) -> (y: uint8[?])", arg_spec=["attrs.k"])
    model = tf.Module()
    model.call = tf.function(
        lambda a, b: (ordered(a, b, k=float("inf")), ordered(a, b, k=0.1), nonzero(a)),
        input_signature=[tf.TensorSpec([None]), tf.TensorSpec(None)],
    )
    model.texts = tf.function(lambda: texts(k=['é"[', "\0"]), input_signature=[])
    tf.saved_model.save(model, str(tmp_path / "model"))
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        model = tf.saved_model.load(sys.argv[1])
        a, b = tf.constant([1.0, 0.0, 3.0]), tf.constant([1.0, 2.0, 3.0])
        infinite, tenth, i = model.call(a, b)
        print(infinite.numpy().tolist()[::2], tenth.numpy().tolist()[1], i.numpy().tolist())
        print(model.texts().numpy().tobytes().decode().encode())
        (y, _, i) = model.call.concrete_functions[0].outputs
        print(y.shape, i.shape, i.dtype.name)
        try:
            model.call(a, b[:2])
        except tf.errors.InvalidArgumentError as error:
            print("n is 3 in input 'a' and 2 in input 'b'" in str(error))
        """,
        str(tmp_path / "model"),
    )
    assert output.splitlines() == [
        "[inf, inf] -2.0 [0, 2]",
        str('é"[|\0|'.encode()),
        "(None,) (None,) int64",
        "True",
    ]


# Tensors that are returned.


_ONE = "(x: float32[n]) -> (y: float32[n])"


def _returning(module, name, signature=_ONE):
    return module.func(name, signature=signature, arg_spec=["args"])


def test_one_tensor(run, cc):
    before = _output_copies()
    x = np.float32([1, 2, 3])
    np.testing.assert_array_equal(run(_returning(cc, "one"), x), x + 1)
    no_signature = cc.func("one", arg_spec=["args"])
    np.testing.assert_array_equal(run(no_signature, x), x + 1)
    for shape in ([], [2, 3], [1, 1, 1, 2]):
        x = np.random.default_rng(0).random(shape, np.float32)
        np.testing.assert_array_equal(run(no_signature, x), x + 1)
    assert _output_copies() == before


def test_array_of_one_tensor(run, cc):
    x = np.float32([1, 2, 3])
    np.testing.assert_array_equal(run(_returning(cc, "array_of_one"), x), x + 1)
    result = run(cc.func("array_of_one", output_dtype=["float32"], arg_spec=["args"]), x)
    assert isinstance(result, tuple) and len(result) == 1
    np.testing.assert_array_equal(result[0], x + 1)


@pytest.mark.parametrize("signature", ["(x: float32[n]) -> (y: float32[n], z: int64[2])", None])
def test_tuple(run, cc, signature):
    before = _output_copies()
    x = np.float32([1, 2, 3])
    dtypes = None if signature else ["float32", "int64"]
    pair = cc.func("pair", output_dtype=dtypes, signature=signature, arg_spec=["args"])
    y, z = run(pair, x)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(z, [7, 8])
    assert z.dtype == np.int64
    assert _output_copies() == before


def test_array(run, cc):
    before = _output_copies()
    x = np.float32([1, 2, 3])
    results = run(cc.func("array", output_dtype=["float32"] * 3, arg_spec=["args"]), x)
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, x + i + 1)
    assert _output_copies() == before


def test_shape_that_depends_on_data(run, cc):
    nonzero = _returning(cc, "nonzero", "(x: float32[n]) -> (i: int64[?])")
    for x in ([0, 1, 0, 2], [1], [0, 0], []):
        x = np.float32(x)
        i = run(nonzero, x)
        assert i.dtype == np.int64
        np.testing.assert_array_equal(i, np.flatnonzero(x))
    traced = tf.function(lambda x: nonzero(x)).get_concrete_function(tf.TensorSpec([4]))
    assert traced.outputs[0].shape.as_list() == [None]
    no_signature = cc.func("nonzero", output_dtype="int64", arg_spec=["args"])
    traced = tf.function(lambda x: no_signature(x)).get_concrete_function(tf.TensorSpec([4]))
    assert traced.outputs[0].shape.rank is None
    np.testing.assert_array_equal(run(no_signature, np.float32([0, 1])), [1])


@pytest.mark.parametrize("shape", [[0], [0, 3], [2, 0]])
def test_zero_size_results(run, cc, shape):
    before = _output_copies()
    for name in ("one", "own_memory", "same_twice"):
        dtypes = ["float32"] * 2 if name == "same_twice" else None
        function = cc.func(name, output_dtype=dtypes, arg_spec=["args"])
        results = run(function, np.zeros(shape, np.float32))
        for result in results if dtypes else [results]:
            assert result.shape == tuple(shape)
    assert _output_copies() == before


def test_tensor_that_the_function_keeps(cc):
    kept = _returning(cc, "kept")
    before = _output_copies()
    results = [kept(tf.constant([float(i), i + 0.5])) for i in range(4)]
    assert _output_copies() == before + 4
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, [i, i + 0.5])


def test_view_of_a_tensor_that_the_function_keeps(cc):
    view = _returning(cc, "view_of_kept")
    results = [view(tf.constant([float(i), i + 0.5])) for i in range(4)]
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, [i, i + 0.5])


def test_tensor_that_the_function_keeps_by_dlpack(cc):
    function = _returning(cc, "kept_by_dlpack")
    before = _output_copies()
    first = function(tf.constant([1.0, 2.0]))
    assert _output_copies() == before + 1
    function(tf.constant([3.0, 4.0]))  # writes to what it kept
    np.testing.assert_array_equal(first, [1.0, 2.0])


@pytest.mark.parametrize(("name", "copies"), [("same_twice", 2), ("two_views", 2)])
def test_memory_returned_twice(run, cc, name, copies):
    before = _output_copies()
    x = np.float32([1, 2, 3])
    y, z = run(cc.func(name, output_dtype=["float32"] * 2, arg_spec=["args"]), x)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(z, x + 1)
    assert 1 <= _output_copies() - before <= copies


@pytest.mark.parametrize("name", ["same_twice", "two_views"])
def test_outputs_do_not_share_memory(cc, name):
    function = cc.func(name, output_dtype=["float32"] * 2, arg_spec=["args"])
    y, z = function(tf.zeros([64]))
    ones = np.from_dlpack(y) if hasattr(y, "__dlpack__") else y.numpy()
    others = np.from_dlpack(z) if hasattr(z, "__dlpack__") else z.numpy()
    assert not np.shares_memory(ones, others)


@pytest.mark.parametrize(
    ("name", "part"), [("first_half", slice(0, 3)), ("second_half", slice(3, 6))]
)
def test_part_of_a_tensor(run, cc, name, part):
    x = np.arange(6, dtype=np.float32)
    before = _output_copies()
    result = run(_returning(cc, name, "(x: float32[n]) -> (y: float32[n//2])"), x)
    np.testing.assert_array_equal(result, x[part] + 1)
    assert _output_copies() == before + 1


def test_memory_that_the_function_allocated_itself(run, cc):
    before = tftvm.stats()
    x = np.float32([1, 2, 3])
    np.testing.assert_array_equal(run(_returning(cc, "own_memory"), x), x + 1)
    after = tftvm.stats()
    assert after["output_copies"] == before["output_copies"] + 1
    assert after["output_copied_bytes"] == before["output_copied_bytes"] + 12


def test_strides_of_dimensions_of_size_one(run, cc):
    function = _returning(cc, "transposed_ones", "(x: float32[n]) -> (y: float32[1, n])")
    np.testing.assert_array_equal(run(function, np.float32([1, 2])), [[2, 3]])


@pytest.mark.parametrize(
    ("name", "signature", "why"),
    [
        ("one", "(x: float32[n]) -> (y: int32[n])", "has dtype float32; expected int32"),
        ("one", "(x: float32[n]) -> (y: float64[n])", "has dtype float32; expected float64"),
        ("one", "(x: float32[n]) -> (y: float32[n+1])", r"has shape \[3\]; expected .*n\+1"),
        ("one", "(x: float32[n]) -> (y: float32[n, 1])", r"has shape \[3\]; expected"),
        ("one", "(x: float32[n]) -> (y: float32[])", r"has shape \[3\]; expected"),
        ("one", "(x: float32[n]) -> (y: float32[?, ?])", r"has shape \[3\]; expected"),
        ("one", "(x: float32[n]) -> (y: float32[n-4])", "would be -1"),
        ("one", "(x: float32[n]) -> (y: any[n], z: any[n])", "1 tensors; expected 2 tensors"),
        ("pair", _ONE, "returned 2 tensors; expected 1 tensor"),
        ("array", "(x: float32[n]) -> (y: any[...], z: any[...])", "3 tensors; expected 2"),
        ("array_of_none", _ONE, "expected 1 tensor"),
        ("number", _ONE, "returned a value of type int; expected 1 tensor"),
        ("text", _ONE, "returned a value of type ffi.String; expected 1 tensor"),
        ("array_with_number", _ONE, "expected 1 tensor"),
        ("array_with_number", "(x: any[n]) -> (y: any[n], z: any[n])", "expected 2 tensors"),
        ("nested", _ONE, "expected 1 tensor"),
        ("other_device", _ONE, "is on device 2:3; expected device 1:0"),
        ("refuse", _ONE, "ValueError: not today"),
    ],
)
def test_wrong_results(run, cc, name, signature, why):
    with pytest.raises(_CONTRADICTION, match=f"(?s)'{name}' of library 'cc.so'.*{why}"):
        run(_returning(cc, name, signature), np.float32([1, 2, 3]))


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("nothing", _ONE),
        ("no_tensor", _ONE),
        ("array_with_none", "(x: any[n]) -> (y: any[n], z: any[n])"),
    ],
)
def test_none_is_refused(cc_path, name, signature):
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        path, name, signature = sys.argv[1:]
        function = tftvm.Module(path).func(name, signature=signature, arg_spec=["args"])
        try:
            function(tf.constant([1.0, 2.0]))
        except tf.errors.InvalidArgumentError as error:
            print(error.message.split("} ")[-1])
        """,
        cc_path,
        name,
        signature,
    )
    assert f"'{name}' of library 'cc.so' returned" in output and "expected" in output


def test_result_with_gaps(run, cc):
    function = _returning(cc, "transposed", "(x: float32[n, m]) -> (y: float32[m, n])")
    with pytest.raises(tf.errors.InvalidArgumentError, match="'transposed'.*has gaps"):
        run(function, np.ones([2, 3], np.float32))


def test_result_that_contradicts_output_shape(run, cc):
    function = cc.func("one", output_shape=[4], arg_spec=["args"])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"has shape \[3\]; expected \[4\]"):
        run(function, np.float32([1, 2, 3]))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("throw_error", "thrown on purpose"),
        ("allocate_negative", "cannot be allocated"),
        ("allocate_far_too_much", "cannot be allocated"),
        ("allocate_too_much", ""),
        ("allocate_and_refuse", "not today"),
    ],
)
def test_functions_that_fail(run, cc, name, why):
    function = _returning(cc, name, "(x: float32[n]) -> (y: any[...])")
    for _ in range(2):
        with pytest.raises(tf.errors.OpError, match=f"(?s)'{name}' of library 'cc.so'.*{why}"):
            run(function, np.float32([1, 2, 3]))
    np.testing.assert_array_equal(run(_returning(cc, "one"), np.float32([1])), [2])


def test_function_that_returns_called_as_one_that_fills(run, cc):
    with pytest.raises(tf.errors.OpError, match=r"'one'.*Mismatched number of arguments"):
        run(cc["one"], np.float32([1]))
    with pytest.raises(tf.errors.OpError, match=r"(?s)'one'.*arg_spec=\[\"args\"\]"):
        run(cc.func("one"), np.float32([1]))


def test_function_that_fills_called_as_one_that_returns(run, cc):
    with pytest.raises(tf.errors.OpError, match="(?s)'anything'.*arg_spec must have \"rets\""):
        run(cc.func("anything", arg_spec=["args"]), np.float32([1]))


def _resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", ["one", "own_memory", "array", "allocate_and_refuse"])
def test_memory_does_not_grow(cc, name):
    dtypes = ["float32"] * 3 if name == "array" else None
    function = cc.func(name, output_dtype=dtypes, arg_spec=["args"])
    if name == "allocate_and_refuse":  # whatever fails eagerly, TensorFlow keeps a little of it
        function = tf.function(function)
    x = tf.ones([16 * 1024])

    def call(times):
        for _ in range(times):
            try:
                function(x)
            except tf.errors.InvalidArgumentError:
                assert name == "allocate_and_refuse"

    call(200)
    before = _resident_bytes()
    call(2000)  # 128 MB, were one output kept of each
    assert _resident_bytes() - before < 32 << 20


def test_threads(cc):
    nonzero = _returning(cc, "nonzero", "(x: float32[n]) -> (i: int64[?])")
    echo = _echo(cc, "int")
    arrays = cc.func("array", output_dtype=["float32"] * 3, arg_spec=["args"])
    traced = tf.function(lambda x: (nonzero(x), *arrays(x)), reduce_retracing=True)
    before = _output_copies()

    def work(seed):
        rng = np.random.default_rng(seed)
        for i in range(60):
            x = rng.integers(0, 2, rng.integers(0, 500)).astype(np.float32)
            call = traced if i % 2 else lambda x: (nonzero(x), *arrays(x))
            found, *plus = call(tf.constant(x))
            np.testing.assert_array_equal(found, np.flatnonzero(x))
            for j, result in enumerate(plus):
                np.testing.assert_array_equal(result, x + j + 1)
            assert echo(k=seed * 1000 + i).numpy() == seed * 1000 + i
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert _output_copies() == before


# What a library says of itself.


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("one", "(arg0: any[...]) -> (ret0: any[...])"),
        ("pair", "(arg0: any[...]) -> (ret0: any[...], ret1: any[...])"),
        ("array", "(arg0: any[...]) -> ()"),
        ("a_k_b_y", "(arg0: any[...], arg1: float, arg2: any[...], arg3: any[...]) -> ()"),
        ("echo_strs", "(arg0: list[str]) -> (ret0: any[...])"),
        ("attrs_mixed", "(arg0: any[...], arg1: int, arg2: str, arg3: bool, arg4: any[...]) -> ()"),
        ("optional", None),
        ("anything", None),
        ("returns_anything", None),
        ("number", None),
        ("text", None),
    ],
)
def test_what_a_library_says(talking, cc, name, signature):
    said = talking.signature(name)
    assert (None if said is None else str(said)) == signature
    assert cc.signature(name) is None
    with pytest.raises(tf.errors.NotFoundError):
        talking.signature("absent")


def test_outputs_are_found(run, talking):
    before = _output_copies()
    x = np.float32([1, 2, 3])
    np.testing.assert_array_equal(run(talking["one"], x), x + 1)
    y, z = run(talking.func("pair", output_dtype=["float32", "int64"]), x)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(z, [7, 8])
    for i, y in enumerate(run(talking.func("array", output_dtype=["float32"] * 3), x)):
        np.testing.assert_array_equal(y, x + i + 1)
    np.testing.assert_array_equal(run(talking.func("nonzero", output_dtype="int64"), x - 1), [1, 2])
    y, z = run(talking.func("two_outputs", output_dtype=["float32"] * 2), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(z, 2 * x)
    assert _output_copies() == before


def test_attrs_are_found(run, talking):
    a, b = np.float32([1, 2]), np.float32([10, 20])
    for name, attr in [("a_b_y_k", 3), ("k_a_b_y", 0), ("a_k_b_y", 1)]:
        if name == "a_b_y_k":
            continue  # the last tensor is the output, wherever the attr is
        function = talking[name]
        np.testing.assert_array_equal(
            run(lambda a, b: function(a, b, **{f"arg{attr}": 3.0}), a, b),  # noqa: B023
            a * 3 - b,
        )
    function = talking["a_b_y_k"]
    np.testing.assert_array_equal(run(lambda a, b: function(a, b, arg3=3.0), a, b), a * 3 - b)
    echo = talking.func("echo_strs", output_dtype="uint8")
    assert _to_text(run(lambda: echo(arg0=["a", "é"]))) == "a|é|"


def test_signature_beside_metadata(run, talking):
    a, b = np.float32([1, 2]), np.float32([10, 20])
    # The library knows the order; the names are the caller's.
    function = talking.func("a_k_b_y", signature=_AB)
    np.testing.assert_array_equal(run(lambda a, b: function(a, b, k=3.0), a, b), a * 3 - b)
    nonzero = talking.func("nonzero", signature="(x: float32[n]) -> (i: int64[?])")
    np.testing.assert_array_equal(run(nonzero, np.float32([0, 1])), [1])
    with pytest.raises(ValueError, match="'a_k_b_y'.*says that it has 2 inputs.* has 1"):
        talking.func("a_k_b_y", signature="(a: any[n], k: float) -> (y: float32[n])")
    with pytest.raises(ValueError, match="says that it has 1 attrs"):
        talking.func("a_k_b_y", signature="(a: any[n], b: any[n]) -> (y: float32[n])")


def test_functions_whose_metadata_is_not_understood(run, talking):
    x = np.float32([1, 2])
    np.testing.assert_array_equal(run(talking["anything"], x), x + 1)
    optional = talking.func("optional", arg_spec=["args", "rets", "attrs.k"])
    np.testing.assert_array_equal(run(lambda x: optional(x, k=3), x), x + 3)
    returned = talking.func("returns_anything", arg_spec=["args"])
    np.testing.assert_array_equal(run(returned, x), x + 1)


def test_tensors_that_a_function_may_keep(talking):
    before = _output_copies()
    previous = talking["previous"]
    results = [previous(tf.fill([5], float(i))) for i in range(5)]
    for result, value in zip(results, (0, 0, 1, 2, 3), strict=True):
        np.testing.assert_array_equal(result, [value] * 5)
    assert _output_copies() == before + 5


def test_tensors_that_a_function_owns(run, cc, talking):
    for shape in ([3], [0], [2, 3], []):
        x = np.ones(shape, np.float32)
        np.testing.assert_array_equal(run(talking["owned"], x), x + 1)
    with pytest.raises(tf.errors.OpError, match="'owned'.*Take ffi::TensorView, or compile"):
        run(cc["owned"], np.float32([1]))
