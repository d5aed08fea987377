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
"""Every dtype: those that TVM knows, and how the others are refused."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries

tf1 = tf.compat.v1

_INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
_FLOAT8 = ["float8_e4m3fn", "float8_e5m2"]
_FLOATS = ["float16", "float32", "float64", "bfloat16", *_FLOAT8]
_SUPPORTED = [*_INTEGERS, *_FLOATS, "bool"]

# What the error says, for each dtype that TVM does not take.
_REFUSED = {
    "string": "has no flat memory; tf.io.decode_raw",
    "resource": "handle without elements",
    "variant": "handle without elements",
    "complex64": r"no complex numbers; pass tf.math.real\(x\)",
    "complex128": r"no complex numbers; pass tf.math.real\(x\)",
    "int4": "pass int8 or uint8",
    "uint4": "pass int8 or uint8",
    "int2": "pass int8 or uint8",
    "uint2": "pass int8 or uint8",
    "qint8": "quantised type; tf.bitcast it",
    "quint8": "quantised type; tf.bitcast it",
    "qint16": "quantised type; tf.bitcast it",
    "quint16": "quantised type; tf.bitcast it",
    "qint32": "quantised type; tf.bitcast it",
}


def _values(dtype):
    """Values of `dtype`: the ends of its range, signs, infinities, fractions."""
    np_dtype = tf.as_dtype(dtype).as_numpy_dtype
    if dtype == "bool":
        return np.array([True, False, False, True, True])
    if dtype in _INTEGERS:
        info = np.iinfo(np_dtype)
        return np.array([info.min, info.min + 1, 0, 1, 5, info.max - 1, info.max], np_dtype)
    info = ml_dtypes.finfo(np_dtype)
    special = [np.nan] if dtype == "float8_e4m3fn" else [np.nan, np.inf, -np.inf]
    values = [0, 1, -1, 0.5, -1.75, float(info.max), float(info.min), *special]
    return np.array(values, np.float64).astype(np_dtype)


def _flip(value, dtype):
    """Flip the lowest bit of an integer, the sign of a float, or a bool."""
    if dtype == "bool":
        return tvm.tirx.Not(value)
    if dtype in _INTEGERS:
        return value ^ tvm.tirx.const(1, dtype)
    if dtype in _FLOAT8:
        return (value.astype("float32") * tvm.tirx.const(-1, "float32")).astype(dtype)
    return value * tvm.tirx.const(-1, dtype)


def _flip_in_numpy(array):
    if array.dtype == bool:
        return ~array
    if array.dtype.kind in "iu" and array.dtype.name in _INTEGERS:
        return array ^ array.dtype.type(1)
    return -array


def _mixed():
    """`mixed`: int8, float64, bool, bfloat16 -> float32, int64, bool."""
    n = te.var("n")
    a, b, c, d = (
        te.placeholder((n,), dtype, name=name)
        for name, dtype in [("a", "int8"), ("b", "float64"), ("c", "bool"), ("d", "bfloat16")]
    )
    floats = te.compute((n,), lambda i: (a[i].astype("float64") + b[i]).astype("float32"), "floats")
    integers = te.compute((n,), lambda i: a[i].astype("int64") * 1000, "integers")
    bools = te.compute(
        (n,),
        lambda i: tvm.tirx.all(c[i], d[i].astype("float32") > tvm.tirx.const(0, "float32")),
        "bools",
    )
    return libraries.prim_func("mixed", [a, b, c, d, floats, integers, bools])


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    functions = [
        libraries.elementwise(f"flip_{d}", functools.partial(_flip, dtype=d), dtype=d)
        for d in _SUPPORTED
    ]
    return tftvm.Module(
        libraries.export([*functions, _mixed()], tmp_path_factory.mktemp("lib") / "dtypes.so")
    )


def _bits(array):
    return np.asarray(array).view(np.uint8)


def _make_tensor(dtype):
    """An eager tensor of a dtype that cannot be passed to TVM."""
    if dtype == "resource":
        return tf.Variable(1.0).handle
    if dtype == "variant":
        return tf.raw_ops.EmptyTensorList(
            element_shape=-1, max_num_elements=1, element_dtype=tf.float32
        )
    if dtype.startswith(("q", "quint")):
        plain = {"quint8": "uint8", "quint16": "uint16"}.get(dtype, dtype[1:])
        return tf.bitcast(tf.zeros([2], plain), dtype)
    if dtype == "string":
        return tf.constant(["a", "b"])
    return tf.constant(np.array([0, 1]).astype(tf.as_dtype(dtype).as_numpy_dtype))


@pytest.mark.parametrize("dtype", _SUPPORTED)
def test_values(run, module, dtype):
    x = _values(dtype)
    y = run(module[f"flip_{dtype}"], x)
    assert y.dtype == x.dtype
    nan = x != x
    np.testing.assert_array_equal(nan, y != y)
    np.testing.assert_array_equal(_bits(_flip_in_numpy(x)[~nan]), _bits(y[~nan]))


@pytest.mark.parametrize("dtype", _SUPPORTED)
def test_forms_of_output_dtype(module, dtype):
    x = tf.constant(_values(dtype))
    forms = [dtype, tf.as_dtype(dtype), tf.as_dtype(dtype).as_numpy_dtype, x.numpy().dtype]
    for form in forms:
        y = module.func(f"flip_{dtype}", output_dtype=form)(x)
        assert y.dtype == tf.as_dtype(dtype), form


def test_dtype_of_the_first_input_is_the_default(run, module):
    assert run(module["flip_bool"], np.array([True])).dtype == bool
    with pytest.raises(tf.errors.InvalidArgumentError, match="float32"):
        run(lambda x: module.func("flip_bool", output_dtype="float")(x), np.array([True]))


def test_mixed_dtypes(run, module):
    a = np.int8([-128, 0, 127])
    b = np.float64([0.25, -0.5, 1e-3])
    c = np.array([True, False, True])
    d = np.array([1, 1, -1], ml_dtypes.bfloat16)
    mixed = module.func("mixed", output_dtype=["float32", tf.int64, np.bool_])
    floats, integers, bools = run(mixed, a, b, c, d)
    np.testing.assert_array_equal(floats, (a + b).astype(np.float32))
    np.testing.assert_array_equal(integers, a.astype(np.int64) * 1000)
    np.testing.assert_array_equal(bools, [True, False, False])
    assert (floats.dtype, integers.dtype, bools.dtype) == (np.float32, np.int64, np.bool_)


@pytest.mark.parametrize("given", sorted({*_SUPPORTED} - {"float32"}))
def test_dtype_that_the_function_does_not_take(run, module, given):
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        run(module["flip_float32"], _values(given))
    for part in (
        "'flip_float32'",
        "'dtypes.so'",
        "x0.dtype",
        "argument #0",
        "expected float32",
        f"inputs ({given}[",
    ):
        assert part in raised.value.message, part


def test_wrong_dtype_among_several(run, module):
    mixed = module.func("mixed", output_dtype=["float32", "int64", "bool"])
    c = np.array([True])
    bfloat16 = np.array([1], ml_dtypes.bfloat16)
    with pytest.raises(tf.errors.InvalidArgumentError, match="b.dtype on argument #1"):
        run(mixed, np.int8([1]), np.float32([1]), c, bfloat16)
    wrong_output = module.func("mixed", output_dtype=["float32", "uint64", "bool"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="integers.dtype on argument #5"):
        run(wrong_output, np.int8([1]), np.float64([1]), c, bfloat16)


@pytest.mark.parametrize("dtype", _REFUSED)
def test_refused_input_dtype_in_eager(module, dtype):
    tensor = _make_tensor(dtype)
    assert tensor.dtype == tf.as_dtype(dtype)
    function = module.func("flip_float32", output_shape=[2], output_dtype="float32")
    reason = f"(?s)'flip_float32'.*'dtypes.so'.*input 0: dtype {dtype} .*{_REFUSED[dtype]}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        function(tensor)
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):  # output_dtype follows
        module["flip_float32"](tensor)


@pytest.mark.parametrize("dtype", _REFUSED)
def test_refused_input_dtype_in_graph(module, dtype):
    function = module.func("flip_float32", output_shape=[2], output_dtype="float32")
    reason = f"(?s)'flip_float32'.*input 1: dtype {dtype} .*{_REFUSED[dtype]}"
    with tf.Graph().as_default(), pytest.raises(ValueError, match=reason):
        function(tf.zeros([2]), tf1.placeholder(dtype))
    traced = tf.function(lambda x: function(0.0, x), autograph=False)
    with pytest.raises(ValueError, match=reason):
        traced.get_concrete_function(tf.TensorSpec(None, dtype))


@pytest.mark.parametrize("dtype", _REFUSED)
def test_refused_output_dtype(module, dtype):
    reason = f"(?s)'flip_float32'.*dtype {dtype} .*{_REFUSED[dtype]}"

    def call(x):
        return module.func("flip_float32", output_dtype=dtype)(x)

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=reason):
        call(tf.zeros([2]))
    with pytest.raises(ValueError, match=reason):
        tf.function(call, autograph=False).get_concrete_function(tf.TensorSpec([2]))
    with tf.Graph().as_default(), pytest.raises(ValueError, match=reason):
        call(tf1.placeholder(tf.float32))


@pytest.mark.parametrize("dtype", ["floaty", "", 3.5, 99, object(), [None], [], "float32 "])
def test_unknown_output_dtype(module, dtype):
    with pytest.raises((TypeError, ValueError), match="(?s)'flip_bool'.*'dtypes.so'.*output_dtype"):
        module.func("flip_bool", output_dtype=dtype)
