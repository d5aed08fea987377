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
"""Derivatives of TE functions: TensorFlow's own, and what differences of values say."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm.autodiff import NotDifferentiable, differentiate
from tensorflow_tvm.tests.autodiff_cases import CASES, Case

_TOLERANCE = {"float64": 1e-9, "float32": 2e-4}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _listed(results):
    return list(results) if isinstance(results, (list, tuple)) else [results]


class _Derived:
    """A function and its derivative, compiled."""

    def __init__(self, inputs, outputs):
        self.derivative = differentiate(inputs, outputs)
        placeholders = self.derivative.grad_placeholders
        gradients = self.derivative.input_gradients
        module = tftvm.build(
            {"f": [*inputs, *outputs], "f_grad": [*inputs, *placeholders, *gradients]}
        )
        self._function, self._gradient = module["f"], module["f_grad"]

    def __call__(self, *values):
        return _listed(self._function(*values))

    def gradients(self, values, upstream):
        return _listed(self._gradient(*values, *upstream))

    def with_gradient(self, *values):
        @tf.custom_gradient
        def call(*values):
            def gradient(*upstream):
                found = iter(self.gradients(values, upstream))
                return [next(found) if v.dtype.is_floating else None for v in values]

            return self._function(*values), gradient

        return call(*values)


def _random(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def _check(derived, reference, values, tolerance, random):
    """Compare outputs and gradients with TensorFlow's."""
    floats = [value for value in values if value.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        expected = _listed(reference(*values))
    outputs = derived(*values)
    assert len(outputs) == len(expected)
    for output, other in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, other, tolerance, tolerance)
    chosen = [expected[i] for i in derived.derivative.output_indices]
    upstream = [tf.constant(random.uniform(-1, 1, other.shape), other.dtype) for other in chosen]
    wanted = tape.gradient(chosen, floats, upstream, unconnected_gradients="zero")
    found = derived.gradients(values, upstream)
    assert len(found) == len(floats)
    for gradient, other in zip(found, wanted, strict=True):
        other = tf.convert_to_tensor(other)  # tf.gather's is sparse
        assert gradient.dtype == other.dtype
        assert gradient.shape == other.shape
        np.testing.assert_allclose(gradient, other, tolerance, tolerance)


def _dtypes():
    return [
        pytest.param(case, dtype, id=f"{case.name}, {dtype}")
        for case in CASES
        for dtype in case.dtypes
    ]


@pytest.mark.parametrize(("case", "dtype"), _dtypes())
def test_derivative(case: Case, dtype: str):
    inputs = case.placeholders(dtype)
    derived = _Derived(inputs, _listed(case.te(*inputs)))
    random = _random(case.name)
    values = [tf.constant(argument.values(random, dtype)) for argument in case.inputs]
    _check(derived, case.tf, values, _TOLERANCE[dtype], random)
    if case.is_numeric and dtype == "float64" and len(derived.derivative.output_indices) == 1:
        theory, practice = tf.test.compute_gradient(derived.with_gradient, values, delta=1e-5)
        for a, b in zip(theory, practice, strict=True):
            np.testing.assert_allclose(a, b, 1e-5, 1e-6)


_TWICE = (
    *("exp", "tanh", "sigmoid", "erf", "rsqrt", "cube", "pow", "abs", "reciprocal", "atan"),
    *("where", "huber", "max of rows", "mean", "variance", "logsumexp", "softmax", "log softmax"),
    *("cross entropy", "norm", "L2 distances", "matmul", "gram", "attention", "dense and gelu"),
    *("conv1d", "conv2d NHWC, strided", "conv2d NCHW", "depthwise conv2d", "average pool"),
    *("reshape of three", "strided slice", "concat", "pad", "tile", "product of ranks 2 and 1, 0"),
    *("quotient of ranks 3 and 2, 2", "several outputs", "a choice by data", "a perceptron"),
)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in CASES if case.name in _TWICE]
)
def test_second_derivative(case: Case):
    inputs = case.placeholders("float64")
    first = differentiate(inputs, _listed(case.te(*inputs)))
    derived = _Derived([*inputs, *first.grad_placeholders], first.input_gradients)
    random = _random(case.name)
    values = [tf.constant(argument.values(random, "float64")) for argument in case.inputs]
    upstream = [
        tf.constant(random.uniform(-1, 1, output.shape))
        for output in _listed(case.tf(*values))
        if output.dtype.is_floating
    ]

    def gradients(*every):
        values, upstream = every[: len(case.inputs)], every[len(case.inputs) :]
        floats = [value for value in values if value.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(floats)
            outputs = _listed(case.tf(*values))
        return tape.gradient(outputs, floats, upstream, unconnected_gradients="zero")

    _check(derived, gradients, [*values, *upstream], 1e-8, random)


def test_all_second_derivatives_are_of_cases():
    assert {case.name for case in CASES} >= {*_TWICE}


def _gradient(function, reference, *values, tolerance=1e-6):
    """Compare the gradient of a function of vectors or matrices, and return it."""
    inputs = [
        te.placeholder(value.shape, str(value.dtype), name=f"x{i}")
        for i, value in enumerate(values)
    ]
    derived = _Derived(inputs, _listed(function(*inputs)))
    tensors = [tf.constant(value) for value in values]
    _check(derived, reference, tensors, tolerance, _random("gradient"))
    ones = [tf.ones_like(output) for output in derived(*tensors)]
    return [gradient.numpy().tolist() for gradient in derived.gradients(tensors, ones)]


def test_the_largest_share_the_gradient():
    x = np.float32([[1, 3, 3, 0], [2, 2, 2, 2]])
    (gradient,) = _gradient(lambda x: topi.max(x, axis=1), lambda x: tf.reduce_max(x, 1), x)
    assert gradient == [[0, 0.5, 0.5, 0], [0.25, 0.25, 0.25, 0.25]]
    _gradient(lambda x: topi.min(x, axis=0), lambda x: tf.reduce_min(x, 0), x)


def test_the_first_of_two_that_are_equal_gets_the_gradient():
    x, y = np.float32([0, 1, 2]), np.float32([1, 1, 1])
    assert _gradient(topi.maximum, tf.maximum, x, y) == [[0, 1, 1], [1, 0, 0]]
    assert _gradient(topi.minimum, tf.minimum, x, y) == [[1, 1, 0], [0, 0, 1]]


def test_corners_at_zero():
    x = np.float32([-1, 0, -0.0, 2])
    assert _gradient(topi.nn.relu, tf.nn.relu, x) == [[0, 0, 0, 1]]
    assert _gradient(topi.abs, tf.abs, x) == [[-1, 0, 0, 1]]
    clip = [[0, 0, 0, 1]]
    assert _gradient(lambda x: topi.clip(x, 0, 6), tf.nn.relu6, x) == clip


def test_products_with_zeros():
    x = np.float64([[2, 3, 4], [2, 0, 4], [0, 3, 0], [0, 0, 0]])
    (gradient,) = _gradient(lambda x: topi.prod(x, axis=1), lambda x: tf.reduce_prod(x, 1), x)
    assert gradient == [[12, 8, 6], [0, 8, 0], [0, 0, 0], [0, 0, 0]]


def test_products_that_are_too_small_or_too_large():
    x = te.placeholder((2, 4), "float32", name="x")
    derived = _Derived([x], [topi.prod(x, axis=1)])
    values = np.float32([[1e-20, 1e-20, 1e-20, 1e25], [1e20, 1e-30, 1e20, 1e35]])
    (gradient,) = derived.gradients([tf.constant(values)], [tf.ones(2)])
    expected = [[1e-15, 1e-15, 1e-15, 0], [1e25, np.inf, 1e25, 1e10]]
    np.testing.assert_allclose(gradient, np.float32(expected), 1e-6)


def test_powers_of_nothing():
    x, p = np.float32([0, 0, 2, -2]), np.float32([2, 1, 0, 2])
    _gradient(topi.power, tf.pow, x, p)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_added_up_in_single_precision(dtype):
    rows = 4096  # ones added up in a half stay at 2048 or 256
    x = te.placeholder((rows, 4), dtype, name="x")
    b = te.placeholder((4,), dtype, name="b")
    derived = _Derived([x, b], [topi.add(x, b)])
    values = [tf.ones([rows, 4], dtype), tf.ones([4], dtype)]
    gradients = derived.gradients(values, [tf.ones([rows, 4], dtype)])
    assert [gradient.dtype for gradient in gradients] == [tf.as_dtype(dtype)] * 2
    assert tf.cast(gradients[1], tf.float32).numpy().tolist() == [rows] * 4


def test_halves():
    a, b = (
        te.placeholder(shape, "float16", name="ab"[i]) for i, shape in enumerate([(8, 6), (6, 4)])
    )
    product = topi.nn.matmul(a, b, out_dtype="float32")
    derived = _Derived([a, b], [topi.cast(topi.tanh(product), "float16")])
    random = _random("halves")
    values = [tf.constant(random.uniform(-1, 1, size), tf.float16) for size in ((8, 6), (6, 4))]

    def reference(a, b):
        return tf.cast(tf.tanh(tf.cast(a, tf.float32) @ tf.cast(b, tf.float32)), tf.float16)

    _check(derived, reference, values, 5e-3, random)


def test_a_matmul_is_derived_to_two():
    a, b = (te.placeholder((512, 512), "float32", name=name) for name in "ab")
    found = differentiate([a, b], [topi.nn.matmul(a, b)])
    lines = tftvm.explain([a, b, *found.grad_placeholders, *found.input_gradients])
    assert [line.block for line in lines] == ["grad_a", "grad_b"]
    assert all(line.schedule.startswith("a product of matrices") for line in lines)


def test_convolutions_are_derived_to_products():
    for layout, shapes in {
        "nchw": [(2, 16, 14, 14), (32, 16, 3, 3)],
        "nhwc": [(2, 14, 14, 16), (3, 3, 16, 32)],
    }.items():
        x, w = (te.placeholder(s, "float32", name="xw"[i]) for i, s in enumerate(shapes))
        found = differentiate([x, w], [getattr(topi.nn, f"conv2d_{layout}")(x, w, 1, 1, 1)])
        lines = tftvm.explain([x, w, *found.grad_placeholders, *found.input_gradients])
        assert sum("a product of matrices" in line.schedule for line in lines) == 2


def test_what_is_simple_stays_simple():
    x = te.placeholder((te.var("n"), 4), "float32", name="x")
    b = te.placeholder((4,), "float32", name="b")
    found = differentiate([x, b], [topi.add(x, b)])
    by_name = {gradient.op.name: gradient for gradient in found.input_gradients}
    assert found.grad_placeholders[0].op.name == "grad_T_add"
    assert not by_name["grad_x"].op.reduce_axis
    assert len(by_name["grad_b"].op.reduce_axis) == 1
    for gradient in found.input_gradients:
        assert [read.op.name for read in gradient.op.input_tensors] == ["grad_T_add"]


def test_which_inputs_and_outputs_have_gradients():
    x = te.placeholder((4, 3), "float32", name="x")
    count = te.placeholder((4,), "int32", name="count")
    y = te.placeholder((4,), "float64", name="y")
    outputs = [
        topi.argmax(x, axis=1),
        te.compute((4,), lambda i: x[i, 0] * count[i].astype("float32"), name="scaled"),
    ]
    found = differentiate([count, x, y], outputs)
    assert found.output_indices == (1,)
    assert found.input_indices == (1, 2)
    assert [str(t.dtype) for t in found.input_gradients] == ["float32", "float64"]
    assert [tuple(map(int, t.shape)) for t in found.input_gradients] == [(4, 3), (4,)]


def _refused():
    x = te.placeholder((6, 4), "float32", name="x")
    ids = te.placeholder((5,), "int32", name="ids")
    row = te.reduce_axis((0, 4), "k")

    def pairs(a, b):
        return (
            tirx.Select(a[1] > b[1], a[0], b[0]),
            tirx.Select(a[1] > b[1], a[1], b[1]),
        )

    largest = te.comm_reducer(
        pairs, lambda *dtypes: (tirx.const(-1, dtypes[0]), tirx.min_value(dtypes[1]))
    )
    _, most = te.compute(
        (6,), lambda i: largest((row.var, x[i, row.var]), axis=row), name="largest"
    )
    odd = te.comm_reducer(lambda a, b: a + b + a * b, lambda dtype: tirx.const(0, dtype))
    state = te.placeholder((6, 4), "float32", name="state")
    first = te.compute((1, 4), lambda _, j: x[0, j], name="first")
    update = te.compute((6, 4), lambda t, j: state[t - 1, j] + x[t, j], name="update")
    return {
        "gather": (
            te.compute((5, 4), lambda i, j: x[ids[i], j], name="picked"),
            "'picked' cannot be derived: it reads x at indices that come from data",
        ),
        "sort": (topi.sort(x), "is computed by a packed or external function"),
        "scan": (
            te.scan(first, update, state, inputs=[x], name="running"),
            "'running' cannot be derived: it is computed by a scan",
        ),
        "two results": (most, "none of sum, max, min and product"),
        "reduction": (
            te.compute((6,), lambda i: odd(x[i, row.var], axis=row), name="odd"),
            "none of sum, max, min and product",
        ),
        "condition": (
            te.compute((6,), lambda i: te.sum(x[i, row.var], axis=row, where=row.var < 2)),
            "which TVM ignores",
        ),
        "bits": (topi.fast_exp(x), "there is no rule for reinterpret"),
        "function": (
            te.compute((6, 4), lambda i, j: tirx.nextafter(x[i, j], x[i, j]), name="next"),
            "'next' cannot be derived: there is no rule for nextafter",
        ),
        "ragged": (
            topi.nn.adaptive_pool(te.placeholder((1, 1, 7, 8), "float32"), (3, 5), "avg"),
            "how much it reduces along rv0 depends on the element",
        ),
        "remainder of a difference": (
            te.compute(
                (4, 4),
                lambda i, j: te.placeholder((4, 9, 9), "float32", name="cube")[
                    tirx.floormod(i * 3 + 2, 4), i + j, i - j - 1
                ],
            ),
            "it reads cube at a remainder of",
        ),
        "square indices": (
            te.compute((3,), lambda i: x[i * i, 0], name="squares"),
            "it reads x at i * i",
        ),
        "chosen indices": (
            te.compute((5,), lambda i: x[tirx.if_then_else(ids[i] > 0, i, 0), 0], name="chosen"),
            "'chosen' cannot be derived: it reads x at indices that come from data",
        ),
    }


def _placeholders(output):
    found, stack = [], [output]
    while stack:
        tensor = stack.pop()
        if isinstance(tensor.op, te.PlaceholderOp):
            found.append(tensor)
        else:
            stack.extend(tensor.op.input_tensors)
    return found


@pytest.mark.parametrize("name", sorted(_refused()))
def test_refusals(name):
    output, message = _refused()[name]
    with pytest.raises(NotDifferentiable) as raised:
        differentiate(_placeholders(output), [output])
    assert message in str(raised.value)
    assert "gradient yourself" in str(raised.value)


def test_what_no_gradient_passes_is_not_refused():
    x = te.placeholder((6,), "float32", name="x")
    ids = te.placeholder((6,), "int32", name="ids")
    table = te.compute((6,), lambda i: tirx.const(2, "float32"), name="table")
    found = differentiate(
        [x, ids], [te.compute((6,), lambda i: x[i] * table[ids[i]], name="scaled")]
    )
    assert [t.op.name for t in found.input_gradients] == ["grad_x"]
