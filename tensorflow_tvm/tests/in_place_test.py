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
"""Outputs that take an input's memory."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries

ADDRESS = """
#include <tvm/ffi/tvm_ffi.h>
void Address(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  static_cast<int64_t*>(y.data_ptr())[0] = reinterpret_cast<int64_t>(x.data_ptr());
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(address, Address);
"""
SIZE = 100_003  # no multiple of a vector's length


def sizes():
    return te.var("n"), te.var("m")


def tensor(shape, dtype="float32", name="x"):
    return te.placeholder(shape, dtype, name=name)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> tftvm.Function:
    """Return a function that gives a tensor's address."""
    path = libraries.compile_cc(ADDRESS, tmp_path_factory.mktemp("cpp") / "a.so", "-std=c++17")
    return tftvm.Module(path).func("address", output_shape=[1], output_dtype="int64")


@pytest.fixture(scope="module")
def gelu() -> tftvm.Function:
    n, _ = sizes()
    x = tensor([n])
    cube = te.compute([n], lambda i: x[i] + 0.0447 * x[i] * x[i] * x[i])
    y = te.compute([n], lambda i: 0.5 * x[i] * (1 + te.tanh(0.79788 * cube[i])))
    return tftvm.build([x, y], name="gelu")["gelu"]


def is_in_place(function: tftvm.Function, address: tftvm.Function, *arrays, keep=False) -> bool:
    """Whether `function` writes over its first argument, which is used no more unless `keep`."""

    @tf.function(autograph=False)
    def call(*tensors):
        first = -tensors[0]  # no argument, which its caller needs
        before = address(first)
        with tf.control_dependencies([before]):
            result = function(first, *tensors[1:])
        return before, address(result), result, first if keep else before

    before, after, result, first = call(*map(tf.constant, arrays))
    np.testing.assert_array_equal(result, function(-arrays[0], *arrays[1:]))
    if keep:
        np.testing.assert_array_equal(first, -arrays[0])
    return int(before[0]) == int(after[0])


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_an_input_that_nobody_else_needs(gelu, address):
    assert is_in_place(gelu, address, array(SIZE))


def test_not_an_input_that_somebody_needs(gelu, address):
    assert not is_in_place(gelu, address, array(SIZE), keep=True)


def test_not_an_argument(gelu, run):
    x = array(SIZE)
    given = x.copy()
    run(gelu, given)
    np.testing.assert_array_equal(given, x)


def test_chains_are_right(gelu, run):
    x = array(SIZE)
    np.testing.assert_array_equal(
        run(lambda x: gelu(gelu(gelu(x)) + 1.0), x),
        run(lambda x: tf.identity_n([gelu(tf.identity_n([gelu(gelu(x)) + 1.0])[0])])[0], x),
    )


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda n, m, x, y: te.compute([n, m], lambda i, j: x[i, j] * y[i, j]), [0, 1]),
        (lambda n, m, x, y: te.compute([n, m], lambda i, j: x[i, j] * y[i, 0]), [0]),
        (lambda n, m, x, y: te.compute([n, m], lambda i, j: x[i, j] + x[n - 1 - i, j] + y[i, j]),
         [1]),
        (lambda n, m, x, y: topi.tanh(topi.add(topi.exp(x), y)), [0, 1]),
        (lambda n, m, x, y: topi.add(x, topi.transpose(topi.reshape(y, (m, n)))), [0]),
        (lambda n, m, x, y: te.compute([m, n], lambda j, i: x[i, j] + y[i, j]), []),
        (lambda n, m, x, y: te.compute([n, m], lambda i, j: (x[i, j] < y[i, j])), []),
        (lambda n, m, x, y: topi.nn.softmax(topi.add(x, y)), []),
        (lambda n, m, x, y: topi.add(x, topi.sum(y, axis=1, keepdims=True)), []),
    ],
)  # fmt: skip
def test_which_inputs(make, expected):
    n, m = sizes()
    x, y = tensor([n, m]), tensor([n, m], name="y")
    module = tftvm.build([x, y, make(n, m, x, y)], name="f")
    said = module._library.metadata("f").in_place
    assert list(said) == expected


def test_what_its_author_has_scheduled_says_nothing():
    n, _ = sizes()
    x = tensor([n])
    schedule = tvm.s_tir.Schedule(te.create_prim_func([x, te.compute([n], lambda i: x[i] + 1.0)]))
    schedule.parallel(schedule.get_loops(schedule.get_sblock("compute"))[0])
    module = tftvm.build(schedule.mod["main"], name="f")
    assert module._library.metadata("f").in_place == ()
