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
"""Relax functions as ops, and their gradients."""

# No `from __future__ import annotations`: TVMScript reads annotations.

import numpy as np
import pytest
import tensorflow as tf
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.script import tirx as T

import tensorflow_tvm as tftvm


@I.ir_module
class Dense:
    @R.function
    def dense(
        x: R.Tensor(("n", 16), "float32"),
        w: R.Tensor((16, 8), "float32"),
        b: R.Tensor((8,), "float32"),
    ) -> R.Tensor(("n", 8), "float32"):
        with R.dataflow():
            y = R.add(R.matmul(x, w), b)
            z = R.nn.softmax(R.nn.relu(R.multiply(y, R.const(2.0))), axis=-1)
            R.output(z)
        return z


@I.ir_module
class Two:
    @T.prim_func(private=True, s_tir=True)
    def halve(
        x: T.Buffer((T.int64(4), T.int64(3)), "float32"),
        y: T.Buffer((T.int64(4), T.int64(3)), "float32"),
    ):
        for i, j in T.grid(T.int64(4), T.int64(3)):
            with T.sblock("halve"):
                vi, vj = T.axis.remap("SS", [i, j])
                y[vi, vj] = x[vi, vj] * T.float32(0.5)

    @R.function
    def parts(x: R.Tensor((4, 3), "float32"), k: R.Tensor((4, 3), "int32")) -> R.Tuple(
        R.Tensor((4,), "float32"), R.Tensor((4, 3), "int32")
    ):
        with R.dataflow():
            y = R.sum(R.multiply(x, x), axis=1)
            z = R.add(k, k)
            both = (y, z)
            R.output(both)
        return both

    @R.function
    def halves(x: R.Tensor((4, 3), "float32")) -> R.Tensor((4, 3), "float32"):
        cls = Two
        with R.dataflow():
            y = R.call_tir(cls.halve, (x,), out_ty=R.Tensor((4, 3), "float32"))
            z = R.exp(y)
            R.output(z)
        return z


def _dense(x, w, b):
    return tf.nn.softmax(tf.nn.relu((x @ w + b) * 2.0))


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(3)
    return [random.normal(size=s).astype("float32") for s in ((5, 16), (16, 8), (8,))]


def test_values(run, arrays):
    dense = tftvm.build(Dense)["dense"]
    assert [argument.name for argument in dense.signature.inputs] == ["x", "w", "b"]
    np.testing.assert_allclose(run(dense, *arrays), _dense(*arrays), rtol=1e-5)


def test_it_is_scheduled_as_others_are():
    text = str(tftvm.explain(Dense))
    assert "a product of matrices" in text
    assert "a row at a time" in text


def _gradients(function):
    def gradients(*inputs):
        inputs = list(map(tf.convert_to_tensor, inputs))
        with tf.GradientTape() as tape:
            for tensor in inputs:
                tape.watch(tensor)
            total = tf.reduce_sum(tf.sin(3.0 * function(*inputs)))
        return tuple(tape.gradient(total, inputs))

    return gradients


def test_gradients(run, arrays):
    dense = tftvm.build(Dense, gradient="auto")["dense"]
    actual = run(_gradients(dense), *arrays)
    for ours, theirs in zip(actual, _gradients(_dense)(*arrays), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_gradient_computes_nothing_twice():
    module = tftvm.build(Dense, gradient="auto")
    assert module.functions == ("dense", "dense_grad")
    from tensorflow_tvm import compiler

    functions, _ = compiler.with_gradients(Dense, None, "auto")
    text = functions["dense_grad"].script()
    assert text.count('sblock("matmul') == 3  # the function's own, and one for x and for w


def test_several_functions_outputs_and_parts(run):
    x = np.arange(12, dtype=np.float32).reshape(4, 3) / 3.0
    k = np.arange(12, dtype=np.int32).reshape(4, 3)
    module = tftvm.build(Two, gradient={"parts": "auto"})
    assert module.functions == ("halves", "parts", "parts_grad")
    y, z = run(module["parts"], x, k)
    np.testing.assert_allclose(y, (x * x).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(z, k + k)
    np.testing.assert_allclose(run(module["halves"], x), np.exp(x / 2), rtol=1e-6)

    def gradient(x, k):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, _ = module["parts"](x, k)
        return tape.gradient(y, x)

    np.testing.assert_allclose(run(gradient, x, k), 2 * x, rtol=1e-6)


def test_what_has_no_gradient():
    with pytest.raises(ValueError, match="'halves': Relax's gradient pass says: .*call_tir"):
        tftvm.build(Two, gradient={"halves": "auto"})


@I.ir_module
class Table:
    @R.function
    def main(x: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
        with R.dataflow():
            y = R.add(x, R.const([1.0, 2.0]))
            R.output(y)
        return y


@I.ir_module
class Choice:
    @R.function
    def main(c: R.Tensor((), "bool"), x: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
        if c:
            y = R.add(x, x)
        else:
            y = R.multiply(x, x)
        return y


@I.ir_module
class Any:
    @R.function
    def main(x: R.Tensor(ndim=2, dtype="float32")) -> R.Tensor(ndim=2, dtype="float32"):
        with R.dataflow():
            y = R.add(x, x)
            R.output(y)
        return y


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Table, r"Cannot build 'main': it has a constant of shape \[2\]; expected a parameter"),
        (Choice, "Cannot build 'main': it cannot be made one function.*TVM says"),
        (Any, "Cannot build 'main': its parameter 'x' is a .*; expected a tensor whose shape"),
    ],
    ids=["constant", "choice", "no shape"],
)
def test_what_cannot_be_built(module, message):
    with pytest.raises(ValueError, match=message):
        tftvm.build(module)


@I.ir_module
class Unused:
    @R.function
    def second(
        x: R.Tensor(("n",), "float32"), y: R.Tensor(("n",), "float32"), z: R.Tensor((3,), "float32")
    ) -> R.Tensor(("n",), "float32"):
        with R.dataflow():
            r = R.multiply(y, y)
            R.output(r)
        return r


def test_parameters_that_are_not_read(run):
    second = tftvm.build(Unused, gradient="auto")["second"]
    x, y, z = np.float32([1, 2]), np.float32([3, 4]), np.float32([5, 6, 7])
    np.testing.assert_array_equal(run(second, x, y, z), y * y)
    dx, dy, dz = run(_gradients(second), x, y, z)
    np.testing.assert_array_equal(dx, np.zeros_like(x))
    np.testing.assert_allclose(dy, 6 * y * np.cos(3 * y * y), rtol=1e-5)
    np.testing.assert_array_equal(dz, np.zeros_like(z))
