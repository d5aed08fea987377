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
"""Tests of gradients: who gives them, and that they are wherever the op is."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import run_python

tf1 = tf.compat.v1

X = np.array([1.0, -2.0, 3.0], np.float32)
W = np.array([0.5, 4.0, -1.0], np.float32)


def _vectors(*names, dtype="float32"):
    n = te.var("n")
    return n, *(te.placeholder((n,), dtype, name=name) for name in names)


def _functions():
    """Functions of vectors, and gradients of them.

    scale: x * x * w. scale_grad: its gradient, (x, w, y, dy) -> (dx, dw). scale_grad_grad: the
    gradient of that one, for x and dy only.
    """
    n, x, w, y, dy, dx, dw, ddx, ddw = _vectors("x", "w", "y", "dy", "dx", "dw", "ddx", "ddw")
    gx = te.compute((n,), lambda i: 2.0 * x[i] * w[i] * dy[i], name="gx")
    gw = te.compute((n,), lambda i: x[i] * x[i] * dy[i], name="gw")
    # Of gx and gw, for x and for dy.
    ggx = te.compute((n,), lambda i: 2.0 * dy[i] * (w[i] * ddx[i] + x[i] * ddw[i]), name="ggx")
    ggdy = te.compute((n,), lambda i: x[i] * (2.0 * w[i] * ddx[i] + x[i] * ddw[i]), name="ggdy")
    low = te.compute((n,), lambda i: te.floor(x[i]), name="low")
    rest = te.compute((n,), lambda i: x[i] - te.floor(x[i]), name="rest")
    sign = te.compute((n,), lambda i: te.if_then_else(x[i] < 0.0, -1, 1), name="sign")
    triple = te.compute((n,), lambda i: 3.0 * x[i], name="triple")
    triple_dx = te.compute((n,), lambda i: 3.0 * dy[i], name="tdx")
    return {
        "scale": [x, w, te.compute((n,), lambda i: x[i] * x[i] * w[i], name="y")],
        "scale_grad": [x, w, y, dy, gx, gw],
        "scale_grad_grad": [x, w, dy, ddx, ddw, ggx, ggdy],
        "scale_dx": [x, w, dy, gx],
        "parts": [x, low, sign, rest],
        # What it takes says which of them: outputs 0 and 2 are of floating point.
        "parts_grad": [dy, ddx, te.compute((n,), lambda i: dy[i] * 10.0 + ddx[i], name="g")],
        "rest_grad": [ddx, te.compute((n,), lambda i: ddx[i] * 1.0, name="g")],
        "triple": [x, triple],
        "triple_grad": [dy, triple_dx],
    }


@pytest.fixture(scope="module")
def module():
    return tftvm.build(_functions())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same in a library that says nothing of its functions."""
    functions = [libraries.prim_func(name, t) for name, t in _functions().items()]
    return tftvm.Module(libraries.export(functions, tmp_path_factory.mktemp("lib") / "plain.so"))


def gradient_of(function, count=None):
    """Return a function that returns the gradients of all inputs, None as NaN."""

    def gradient(*inputs):
        inputs = list(map(tf.convert_to_tensor, inputs))
        with tf.GradientTape() as tape:
            for tensor in inputs:
                tape.watch(tensor)
            outputs = tf.nest.flatten(function(*inputs))
            total = sum(tf.reduce_sum(tf.sin(output)) for output in outputs[:count])
        gradients = tape.gradient(total, inputs)
        return tuple(
            tf.fill(tf.shape(x), np.float32("nan")) if g is None else g
            for x, g in zip(inputs, gradients, strict=True)
        )

    return gradient


def _reference(x, w):
    return x * x * w


def check(run, function, reference, *inputs):
    actual = run(gradient_of(function), *inputs)
    expected = gradient_of(reference)(*inputs)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# Who gives a gradient.


def test_a_function_of_the_same_library(run, module):
    check(run, module.func("scale", gradient="scale_grad"), _reference, X, W)


def test_a_function_of_another_library(run, module):
    n, x, w, y, dy = _vectors("x", "w", "y", "dy")
    gx = te.compute((n,), lambda i: x[i] * w[i] * dy[i] * 2.0, name="gx")
    gw = te.compute((n,), lambda i: x[i] * x[i] * dy[i], name="gw")
    other = tftvm.build([x, w, y, dy, gx, gw], name="other")
    check(run, module.func("scale", gradient=other["other"]), _reference, X, W)


def test_a_library_without_signatures(run, plain):
    assert plain.signature("scale") is None
    check(run, plain.func("scale", gradient="scale_grad"), _reference, X, W)


def test_a_stateful_function(run, module):
    scale = module.func("scale", stateful=True, gradient=module.func("scale_grad", stateful=True))
    check(run, scale, _reference, X, W)


def test_a_function_in_python(run, module):
    def gradient(x, w, y, dy):
        return module["scale_dx"](x, w, dy), tf.math.divide_no_nan(y, w) * dy

    check(run, module["scale"].with_gradient(gradient), _reference, X, W)


def test_a_tensorflow_function_that_computes_the_same(run, module):
    check(run, module.func("scale", gradient_from=_reference), _reference, X, W)
    check(run, module["scale"].with_gradient_from(_reference), _reference, X, W)


def test_the_library_says_it(run):
    built = tftvm.build(_functions(), gradient={"scale": "scale_grad"})
    assert "scale_dx" in built
    check(run, built["scale"], _reference, X, W)


def test_the_caller_overrides_the_library():
    built = tftvm.build(_functions(), gradient={"triple": tftvm.Gradient("triple_grad", ["grads"])})
    (dx,) = gradient_of(built["triple"])(X)
    np.testing.assert_allclose(dx, 3.0 * np.cos(3.0 * X), rtol=1e-5)
    halved = built["triple"].with_gradient(lambda x, y, dy: dy / 2.0)
    (dx,) = gradient_of(halved)(X)
    np.testing.assert_allclose(dx, 0.5 * np.cos(3.0 * X), rtol=1e-5)


def test_an_op_with_its_gradient_on_te_tensors(run):
    def scale_grad(x, w, y, dy, factor):
        dx = te.compute(x.shape, lambda i: factor * dy[i] * w[i], name="dx")
        return dx, te.compute(x.shape, lambda i: factor * dy[i] * x[i], name="dw")

    @tftvm.op(shapes=["n", "n"], gradient=scale_grad)
    def scale(x, w, factor=2.0):
        return te.compute(x.shape, lambda i: factor * x[i] * w[i], name="y")

    check(run, scale, lambda x, w: 2.0 * x * w, X, W)
    check(run, lambda x, w: scale(x, w, factor=3.0), lambda x, w: 3.0 * x * w, X, W)


@tftvm.op(shapes=["n", "n"])
def _product(x, w):
    return te.compute(x.shape, lambda i: x[i] * w[i], name="y")


def test_an_op_with_its_gradient_in_tensorflow(run):
    written = _product.with_gradient(lambda x, w, y, dy: (w * dy, x * dy))
    check(run, written, tf.multiply, X, W)
    from_tensorflow = tftvm.op(_product._function, shapes=["n", "n"], gradient_from=tf.multiply)
    check(run, from_tensorflow, tf.multiply, X, W)


def test_derived(run):
    @tftvm.op(shapes=["n", "n"], gradient="auto")
    def product(x, w):
        return te.compute(x.shape, lambda i: te.exp(x[i]) * w[i], name="y")

    check(run, product, lambda x, w: tf.exp(x) * w, X, W)
    assert [name.split("(")[0] for name, _ in product.compiled] == ["product", "product_grad"]


def test_derived_in_a_library(run, tmp_path):
    path = tmp_path / "derived.so"
    functions = {name: _functions()[name] for name in ("scale", "triple")}
    tftvm.export_library(functions, path, target="llvm", gradient="auto")
    built = tftvm.Module(path)
    assert built.functions == ("scale", "scale_grad", "triple", "triple_grad")
    check(run, built["scale"], _reference, X, W)
    check(run, built["triple"], lambda x: 3.0 * x, X)


# What a gradient is called with, and what it gives.


def test_only_some_arguments_and_inputs(run, module):
    gradient = tftvm.Gradient("scale_dx", takes=["args.0", "args.1", "grads"], wrt=[0])
    dx, dw = run(gradient_of(module.func("scale", gradient=gradient)), X, W)
    np.testing.assert_allclose(dx, gradient_of(_reference)(X, W)[0], rtol=1e-5)
    assert np.isnan(dw).all()


def test_without_the_library_saying_so(run, plain):
    gradient = tftvm.Gradient("scale_dx", takes=["args", "grads"], wrt=[0])
    dx, _ = run(gradient_of(plain.func("scale", gradient=gradient)), X, W)
    np.testing.assert_allclose(dx, gradient_of(_reference)(X, W)[0], rtol=1e-5)


def test_outputs_that_are_not_of_floating_point(run, module):
    parts = module.func("parts", gradient=tftvm.Gradient("parts_grad", takes=["grads"]))

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            low, sign, rest = parts(x)
            total = tf.reduce_sum(2.0 * low) + tf.reduce_sum(rest)
        return tape.gradient(total, x)

    np.testing.assert_array_equal(run(gradient, X), [21.0, 21.0, 21.0])


def test_outputs_that_nobody_uses_count_as_zeros(run, module):
    parts = module.func("parts", gradient=tftvm.Gradient("parts_grad", takes=["grads"]))

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(parts(x)[2] * 4.0)
        return tape.gradient(total, x)

    np.testing.assert_array_equal(run(gradient, X), [4.0, 4.0, 4.0])


def test_no_zeros_for_what_the_gradient_does_not_take(module):
    parts = module.func("parts", gradient=tftvm.Gradient("rest_grad", takes=["grads.2"]))
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None])
        (dx,) = tf1.gradients(parts(x)[2], x, grad_ys=tf1.placeholder(tf.float32, [None]))
        needed = tf1.graph_util.extract_sub_graph(graph.as_graph_def(), [dx.op.name])
    kinds = [node.op for node in needed.node]
    assert "ZerosLike" not in kinds
    assert kinds.count("TVM>DSOOp") == 1  # nor is the function itself called


def test_inputs_that_are_not_of_floating_point(run):
    n, x, dy = _vectors("x", "dy")
    k = te.placeholder((n,), "int32", name="k")
    y = te.placeholder((n,), "float32", name="y")
    shift = te.compute((n,), lambda i: x[i] * k[i].astype("float32"), name="y")
    shift_grad = te.compute((n,), lambda i: dy[i] * k[i].astype("float32"), name="dx")
    built = tftvm.build(
        {"shift": [x, k, shift], "shift_grad": [x, k, y, dy, shift_grad]},
        gradient={"shift": "shift_grad"},
    )

    def gradient(x, k):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = built["shift"](x, k)
        dx, dk = tape.gradient(y, [x, k])
        assert dk is None
        return dx

    np.testing.assert_array_equal(run(gradient, X, np.array([1, 2, 3], np.int32)), [1, 2, 3])


_CC = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

using tvm::ffi::TensorView;

static void Times(TensorView x, double k, TensorView y) {
  for (int64_t i = 0; i < x.numel(); ++i) {
    static_cast<float*>(y.data_ptr())[i] = static_cast<float*>(x.data_ptr())[i] * k;
  }
}

void times(TensorView x, double k, TensorView y) { Times(x, k, y); }
void times_grad(TensorView dy, double k, TensorView dx) { Times(dy, k, dx); }
TVM_FFI_DLL_EXPORT_TYPED_FUNC(times, times)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(times_grad, times_grad)
"""


def test_attrs_are_passed_on(run, tmp_path):
    built = tftvm.Module(libraries.compile_cc(_CC, tmp_path / "times.so", "-std=c++17"))
    signature = "({}: float32[n], k: float) -> ({}: float32[n])"
    gradient = built.func("times_grad", signature=signature.format("dy", "dx"))
    times = built.func(
        "times",
        signature=signature.format("x", "y"),
        gradient=tftvm.Gradient(gradient, takes=["grads"]),
    )
    check(run, lambda x: times(x, k=2.5), lambda x: x * 2.5, X)


def test_second_order(run, module):
    second = tftvm.Gradient(
        "scale_grad_grad", takes=["args.0", "args.1", "args.3", "grads"], wrt=[0, 3]
    )
    first = module.func("scale_grad", gradient=second)
    scale = module.func("scale", gradient=first)

    def second_order(function):
        def gradient(x, w):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = tf.sin(function(x, w))
                dx = inner.gradient(y, x)
            return outer.gradient(dx, x)

        return gradient

    expected = second_order(_reference)(tf.constant(X), tf.constant(W))
    np.testing.assert_allclose(run(second_order(scale), X, W), expected, rtol=1e-4)
    from_tensorflow = module["scale"].with_gradient_from(_reference)
    np.testing.assert_allclose(run(second_order(from_tensorflow), X, W), expected, rtol=1e-4)


def _second_order(function):
    def gradient(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.sin(function(x)))
            dx = inner.gradient(y, x)
        return outer.gradient(dx, x)

    return gradient


def test_derived_second_order(run):
    def cube(x):
        return te.compute(x.shape, lambda i: x[i] * x[i] * x[i], name="y")

    expected = _second_order(lambda x: x**3)(tf.constant(X))
    op = tftvm.op(cube, shapes=["n"], gradient={"cube": "auto", "cube_grad": "auto"})
    np.testing.assert_allclose(run(_second_order(op), X), expected, rtol=1e-4, atol=1e-4)
    x = te.placeholder((te.var("n"),), "float32", name="x")
    built = tftvm.build([x, cube(x)], name="f", gradient={"f_grad": "auto", "f": "auto"})
    assert built.functions == ("f", "f_grad", "f_grad_grad")
    np.testing.assert_allclose(run(_second_order(built["f"]), X), expected, rtol=1e-4, atol=1e-4)


def test_no_third_order(module):
    scale = module.func("scale", gradient="scale_grad")
    x, w = tf.constant(X), tf.constant(W)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = scale(x, w)
        dx = inner.gradient(y, x)
    with pytest.raises(LookupError, match="'scale_grad' of library .* has no gradient"):
        outer.gradient(dx, x)


def test_functions_of_integers_have_none(run):
    @tftvm.op(gradient="auto", shapes=["n"])
    def next_one(x):
        return te.compute(x.shape, lambda i: x[i] + 1, name="y")

    np.testing.assert_array_equal(run(next_one, np.int32([1, 2])), [2, 3])
    check(run, next_one, lambda x: x + 1.0, X)


def test_outputs_of_integers_have_none():
    @tftvm.op(gradient="auto", shapes=["n"])
    def to_int(x):
        return te.compute(x.shape, lambda i: x[i].astype("int32"), name="y")

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast(to_int(x), tf.float32)
    assert tape.gradient(y, x) is None


# Where gradients are.


def test_gradients_of_tf1(module):
    scale = module.func("scale", gradient="scale_grad")
    with tf.Graph().as_default(), tf1.Session() as session:
        x, w = tf1.placeholder(tf.float32, [None]), tf1.placeholder(tf.float32, [3])
        dx, dw = tf1.gradients(scale(x, w), [x, w])
        assert dx.shape.as_list() == [3]  # the two have one size
        values = session.run([dx, dw], {x: X, w: W})
    np.testing.assert_allclose(values, [2 * X * W, X * X], rtol=1e-5)


def test_a_temporary_function():
    """A tape may be all that is left of a function."""

    def call(x):
        n, a, dy = _vectors("a", "dy")
        y = te.compute((n,), lambda i: a[i] * 123.0, name="y")
        dx = te.compute((n,), lambda i: dy[i] * 123.0, name="dx")
        gradient = {"f": tftvm.Gradient("g", takes=["grads"])}
        return tftvm.build({"f": [a, y], "g": [dy, dx]}, gradient=gradient)["f"](x)

    gc.collect()
    before = tftvm.stats()["libraries"]
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(x)
    gc.collect()
    np.testing.assert_array_equal(tape.gradient(y, x), [123.0] * 3)
    del tape, y
    gc.collect()
    assert tftvm.stats()["libraries"] == before


def test_a_temporary_function_and_two_tapes():
    def first_order(x):
        a = te.placeholder((3,), "float32", name="a")
        y = te.compute((3,), lambda i: a[i] * a[i] * 321.0, name="y")
        both = {"f": "auto", "f_grad": "auto"}
        function = tftvm.build([a, y], name="f", gradient=both)["f"]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        dx = first_order(x)
    gc.collect()
    np.testing.assert_allclose(tape.gradient(dx, x), [642.0] * 3)


def test_recompute_grad(module):
    scale = module.func("scale", gradient="scale_grad")
    recomputed = tf.recompute_grad(lambda x, w: scale(tf.sin(x), w))
    for wrap in (lambda f: f, tf.function):
        actual = wrap(gradient_of(recomputed))(tf.constant(X), tf.constant(W))
        expected = gradient_of(lambda x, w: tf.sin(x) ** 2 * w)(X, W)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_variables_are_trained(module):
    scale = module.func("scale", gradient="scale_grad")
    w = tf.Variable(W)
    optimizer = tf.keras.optimizers.SGD(0.01)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((scale(tf.constant(X), w) - 1.0) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
        return loss

    losses = [step().numpy() for _ in range(20)]
    assert losses[-1] < losses[0] / 10


_RELOADED = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_tvm

x, w = tf.constant([1.0, -2.0, 3.0]), tf.constant([0.5, 4.0, -1.0])
model = tf.saved_model.load(sys.argv[1])
with tf.GradientTape() as tape:
    tape.watch([x, w])
    y = model.call(x, w)
dx, dw = tape.gradient(y, [x, w])
np.testing.assert_allclose(y, x * x * w)
np.testing.assert_allclose(dx, 2 * x * w)
np.testing.assert_allclose(dw, x * x)
print("the same")
"""


class _Model(tf.Module):
    def __init__(self, function):
        super().__init__()
        spec = tf.TensorSpec([None], tf.float32)
        self.call = tf.function(function, input_signature=[spec, spec])


def _other_gradient():
    n, x, w, dy = _vectors("x", "w", "dy")
    gx = te.compute((n,), lambda i: dy[i] * x[i] * w[i] * 2.0, name="gx")
    gw = te.compute((n,), lambda i: x[i] * dy[i] * x[i], name="gw")
    other = tftvm.build([x, w, dy, gx, gw], name="other")
    return tftvm.Gradient(other["other"], takes=["args", "grads"])


@pytest.mark.parametrize("kind", ["same library", "other library", "Python", "reference"])
def test_a_saved_model_in_another_process(module, kind, tmp_path):
    if kind == "same library":
        scale = module.func("scale", gradient="scale_grad")
    elif kind == "other library":
        scale = module.func("scale", gradient=_other_gradient())
    elif kind == "Python":
        scale = module["scale"].with_gradient(lambda x, w, y, dy: (2 * x * w * dy, x * x * dy))
    else:
        scale = module.func("scale", gradient_from=_reference)
    tf.saved_model.save(_Model(scale), str(tmp_path / "model"))
    assert "the same" in run_python(_RELOADED, str(tmp_path / "model")).stdout


@pytest.mark.parametrize("in_another_library", [False, True])
def test_an_imported_graph(module, in_another_library):
    gradient = _other_gradient() if in_another_library else "scale_grad"
    scale = module.func("scale", gradient=gradient)
    with tf.Graph().as_default() as graph:
        scale(
            tf1.placeholder(tf.float32, [None], "x"),
            tf1.placeholder(tf.float32, [None], "w"),
            name="y",
        )
    constants = [node for node in graph.as_graph_def().node if node.op == "Const"]
    assert len(constants) == 1 + in_another_library
    with tf.Graph().as_default(), tf1.Session() as session:
        x, w, y = tf.import_graph_def(graph.as_graph_def(), return_elements=["x:0", "w:0", "y:0"])
        values = session.run(tf1.gradients(y, [x, w]), {x: X, w: W})
    np.testing.assert_allclose(values, [2 * X * W, X * X], rtol=1e-5)


# Failures.


def test_none(module):
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = module["triple"](x)
    with pytest.raises(LookupError) as caught:
        tape.gradient(y, x)
    for part in ("'triple' of library", "gradient=", "with_gradient", "gradient_from="):
        assert part in str(caught.value)
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None])
        y = module["triple"](x, name="my_node")
        with pytest.raises(LookupError, match=r"\(op 'my_node'\) has no gradient"):
            tf1.gradients(y, x)
    with tf.GradientTape() as tape:  # nobody asks
        x = tf.constant(X)
        tape.watch(x)
        y = tf.reduce_sum(x + tf.stop_gradient(module["triple"](x)))
    np.testing.assert_array_equal(tape.gradient(y, x), [1, 1, 1])


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        ("scale_gard", ValueError, "gradient 'scale_gard': .*has no function 'scale_gard'"),
        ("scale", ValueError, "cannot be its own gradient"),
        ("auto", ValueError, '"auto" is for tftvm.build, export_library and op'),
        (1, TypeError, "gradient must be the name of a function.*given 1"),
        (lambda x: x, TypeError, "For a Python function use with_gradient"),
        ("scale_dx", ValueError, r"must be a function that takes x: float32\[n\], w: float32\[n\]"),
        ("parts", ValueError, "its gradient 'parts' must be a function that"),
        (
            lambda: tftvm.Gradient("scale_dx", takes=["args", "grads"]),
            ValueError,
            "that returns the gradients of x, w, and is",
        ),
        (lambda: tftvm.Gradient("scale_grad", wrt=[2]), ValueError, "has 2 inputs"),
        (lambda: tftvm.Gradient("scale_grad", takes=["args.7"]), ValueError, "takes has 'args.7'"),
        (lambda: tftvm.Gradient("scale_grad", takes=["grads.1"]), ValueError, "'grads.1'"),
        (
            lambda: tftvm.Gradient("scale_grad", takes=["dy"]),
            ValueError,
            "takes has 'dy'; expected",
        ),
        (lambda: tftvm.Gradient("scale_grad", takes="args"), TypeError, "takes must be a list"),
        (lambda: tftvm.Gradient("scale_grad", wrt=[0, 0]), ValueError, "each once"),
        (lambda: tftvm.Gradient("scale_grad", wrt=[-1]), ValueError, "by index"),
        (lambda: tftvm.Gradient(3), TypeError, "expected a gradient as the name of a function"),
    ],
)
def test_what_cannot_be_a_gradient(module, gradient, error, message):
    with pytest.raises(error, match=message):
        if callable(gradient) and gradient.__code__.co_argcount == 0:
            gradient = gradient()
        module.func("scale", gradient=gradient)


def test_wrt_what_has_no_gradient():
    n, x, dy = _vectors("x", "dy")
    k = te.placeholder((n,), "int32", name="k")
    y = te.compute((n,), lambda i: x[i] + k[i].astype("float32"), name="y")
    functions = {"f": [x, k, y], "g": [x, dy, te.compute((n,), lambda i: dy[i] * 1.0, name="dx")]}
    with pytest.raises(ValueError, match="wrt has 1, and input 1 is int32"):
        tftvm.build(functions, gradient={"f": tftvm.Gradient("g", wrt=[1])})


def test_functions_that_cannot_be_embedded(module):
    with tf.Graph().as_default():
        shaped = module.func("scale_grad", output_shape=[tf1.placeholder(tf.int32)] * 2)
    for function, message in (
        (module.func("scale_grad", target_device="cpu"), "target_device is .*Leave target_device"),
        (shaped, "output_shape is a tensor"),
        (module["scale_grad"].with_gradient(lambda *_: None), "has a gradient in Python"),
    ):
        with pytest.raises(ValueError, match=message):
            module.func("scale", gradient=function)


def test_both_ways_at_once(module):
    with pytest.raises(ValueError, match="expected gradient= or gradient_from=, given both"):
        module.func("scale", gradient="scale_grad", gradient_from=_reference)
    with pytest.raises(ValueError, match="give gradient= or gradient_from=, not both"):
        tftvm.op(_product._function, gradient="auto", gradient_from=tf.multiply)


def test_wrong_results_of_a_gradient(module, plain):
    for function, message in (
        (module["scale"].with_gradient(lambda x, w, y, dy: dy), "returned 1 values; expected one"),
        (
            module["scale"].with_gradient(lambda x, w, y, dy: (dy[:1], dy)),
            r"returned shape \(1,\) for input 0, of shape \(3,\)",
        ),
        (
            module["scale"].with_gradient_from(lambda x, w: (x, w)),
            "returned 2 floating-point outputs; expected 1",
        ),
        (
            module["scale"].with_gradient_from(lambda x, w: tf.reduce_sum(x * w)),
            r"gradient_from= returned float32\(\) as output 0; expected float32\(3,\)",
        ),
        (
            plain.func("scale", gradient=plain.func("scale_grad", output_shape=[[1], [1]])),
            r"returned shape \(1,\)|expected to match",
        ),
    ):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
            gradient_of(function)(X, W)
    for gradient, message in (
        (
            lambda x: x,
            "called with 2 inputs, 1 outputs and 1 gradients of outputs, failed: .*takes 1",
        ),
        (
            lambda x, w, y, dy: (tf.cast(dy, tf.float64), dy),
            "returned float64 for input 0, which is",
        ),
    ):
        with pytest.raises(TypeError, match=message):
            gradient_of(module["scale"].with_gradient(gradient))(X, W)
    with pytest.raises(TypeError, match="expected a gradient as a function"):
        module["scale"].with_gradient("scale_grad")
    with pytest.raises(TypeError, match="expected a TensorFlow function"):
        module["scale"].with_gradient_from(1)


def test_what_cannot_be_built():
    functions = _functions()
    for gradient, message in (
        ({"scale": "nothing"}, "its gradient is said to be 'nothing', and the functions are"),
        ({"nothing": "auto"}, "for function 'nothing', and there is none"),
        ({"scale": "scale_dx"}, "must be a function that takes"),
        (
            {
                "triple": tftvm.Gradient("triple_grad", ["grads"]),
                "triple_grad": tftvm.Gradient("triple", ["grads"]),
            },
            "is by its gradients' gradients its own gradient",
        ),
        ({"scale": "auto"}, "there is a function 'scale_grad' already"),
    ):
        with pytest.raises(ValueError, match=message):
            tftvm.build(functions, gradient=gradient)
    function = libraries.prim_func("scale", functions["scale"])
    with pytest.raises(ValueError, match="it is a PrimFunc, and only functions of TE"):
        tftvm.build(function, gradient="auto")
    for gradient in (3, ["auto"]):
        with pytest.raises(TypeError, match="must be 'auto', the name of another function"):
            tftvm.build(functions, gradient={"scale": gradient})
    with pytest.raises(ValueError, match="a derived gradient takes what it needs"):
        tftvm.build(functions, gradient={"scale": tftvm.Gradient("auto", takes=["grads"])})
    with pytest.raises(TypeError, match="gradient_from must be a TensorFlow function"):
        tftvm.op(_product._function, gradient_from=3)
    with pytest.raises(TypeError, match="gradient must be 'auto', a Python function on TE"):
        tftvm.op(_product._function, gradient=1)
    x = te.placeholder((4,), "float32", name="x")
    k = te.placeholder((3,), "int32", name="k")
    y = te.compute((3,), lambda i: x[k[i]], name="picked")
    with pytest.raises(
        ValueError, match="Cannot derive the gradient of TVM function 'pick': 'picked' cannot be"
    ):
        tftvm.build([x, k, y], name="pick", gradient="auto")
