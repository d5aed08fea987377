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
"""Any number of inputs and outputs, what may be an input, and what a call is to a graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries

tf1 = tf.compat.v1

_OUTPUT_DTYPES = ["float32", "int32", "float64", "int64", "uint8", "int8", "float16", "uint16"]


def _ramp():
    """`ramp`: no input -> int32[n], 0 to n - 1."""
    y = te.compute((te.var("n"),), lambda i: i.astype("int32"), name="y")
    return libraries.prim_func("ramp", [y])


def _sum(inputs):
    """`sum<inputs>`: the weighted sum of so many float32[n], so that their order matters."""

    def weighted(*values):
        result = values[0]
        for weight, value in enumerate(values[1:], start=2):
            result = result + value * float(weight)
        return result

    return libraries.elementwise(f"sum{inputs}", weighted, inputs=inputs)


def _outputs(count):
    """`outputs<count>`: int32[n] -> output i is x + i, in dtype i, of shape [i + 1, n]."""
    n = te.var("n")
    x = te.placeholder((n,), "int32", name="x")

    def output(i):
        dtype = _OUTPUT_DTYPES[i % len(_OUTPUT_DTYPES)]
        return te.compute((i + 1, n), lambda _, j: (x[j] + i).astype(dtype), name=f"y{i}")

    return libraries.prim_func(f"outputs{count}", [x, *map(output, range(count))])


def _multiples(name, dtypes):
    """`name`: float32[n] -> output k is (k + 1) * x, in dtype k, of shape [n]."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")

    def output(k, dtype):
        return te.compute((n,), lambda i: (x[i] * float(k + 1)).astype(dtype), name=f"y{k}")

    return libraries.prim_func(name, [x, *map(output, range(len(dtypes)), dtypes)])


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    functions = [
        _ramp(),
        *map(_sum, (1, 2, 8, 9, 64)),
        *map(_outputs, (1, 2, 16)),
        _multiples("one_shape", ["float32", "int32"]),
    ]
    return tftvm.Module(libraries.export(functions, tmp_path_factory.mktemp("lib") / "arity.so"))


@pytest.fixture(scope="module")
def count(tmp_path_factory):
    """Make functions whose result is how often the library's code has run."""
    path = libraries.compile_cc(libraries.PROBES, tmp_path_factory.mktemp("lib") / "probes.so")
    module = tftvm.Module(path)
    return lambda stateful: module.func("count", [], tf.int64, stateful=stateful)


@pytest.mark.parametrize("inputs", [1, 2, 8, 9, 64])
def test_inputs(run, module, inputs):
    arrays = np.random.default_rng(inputs).integers(-9, 9, (inputs, 5)).astype(np.float32)
    expected = np.arange(1, inputs + 1, dtype=np.float32) @ arrays
    np.testing.assert_array_equal(run(module[f"sum{inputs}"], *arrays), expected)


def test_no_inputs(run, module):
    y = run(module.func("ramp", output_shape=[7], output_dtype="int32"))
    np.testing.assert_array_equal(y, np.arange(7, dtype=np.int32))


@pytest.mark.parametrize(
    "output_shape, output_dtype", [(None, None), ([7], None), (None, tf.int32)]
)
def test_no_inputs_need_output_shape_and_dtype(run, module, output_shape, output_dtype):
    ramp = module.func("ramp", output_shape, output_dtype)
    for _ in range(2):  # eager calls after the first go another way
        with pytest.raises(
            ValueError, match="(?s)'ramp'.*'arity.so'.*without inputs.*Give output_shape"
        ):
            run(ramp)


@pytest.mark.parametrize("outputs", [1, 2, 16])
def test_outputs_of_different_shapes_and_dtypes(run, module, outputs):
    x = np.int32([3, 0, 7])
    dtypes = [_OUTPUT_DTYPES[i % len(_OUTPUT_DTYPES)] for i in range(outputs)]
    shapes = [[i + 1, 3] for i in range(outputs)]
    result = run(module.func(f"outputs{outputs}", shapes, dtypes), x)
    assert isinstance(result, tuple) and len(result) == outputs
    for i, y in enumerate(result):
        assert y.dtype == dtypes[i]
        np.testing.assert_array_equal(y, np.broadcast_to(x + i, shapes[i]))


@pytest.mark.parametrize(
    "output_shape, output_dtype, is_tuple",
    [
        ([3], "float32", False),
        ([[3]], "float32", True),
        ([3], ["float32"], True),
        (None, ["float32"], True),
        (None, None, False),
        ([(3,)], ("float32",), True),
    ],
)
def test_lists_give_tuples(run, module, output_shape, output_dtype, is_tuple):
    result = run(module.func("sum1", output_shape, output_dtype), np.float32([1, 2, 3]))
    assert isinstance(result, tuple) is is_tuple
    np.testing.assert_array_equal(result[0] if is_tuple else result, [1, 2, 3])


@pytest.mark.parametrize("output_shape", [[3], None, [[3], [3]], "3"])
def test_one_shape_for_all_outputs(run, module, output_shape):
    function = module.func("one_shape", output_shape, ["float32", "int32"])
    result = run(function, np.float32([1, 2, 3]))
    np.testing.assert_array_equal(result[0], np.float32([1, 2, 3]))
    np.testing.assert_array_equal(result[1], np.int32([2, 4, 6]))
    assert result[0].dtype == np.float32 and result[1].dtype == np.int32


def test_one_dtype_for_all_outputs(run, tmp_path):
    path = libraries.export(_multiples("one_dtype", ["float32"] * 3), tmp_path / "lib.so")
    for dtype in ("float32", None):
        function = tftvm.Module(path).func("one_dtype", [[2], "2", (2,)], dtype)
        for k, y in enumerate(run(function, np.float32([1, 2]))):
            np.testing.assert_array_equal(y, np.float32([1, 2]) * (k + 1))


@pytest.mark.parametrize("shapes, dtypes", [(2, 3), (3, 2), (1, 2), (2, 1), (16, 15)])
def test_as_many_shapes_as_dtypes(module, shapes, dtypes):
    with pytest.raises(ValueError, match=rf"'sum1'.*{shapes} outputs and output_dtype {dtypes};"):
        module.func("sum1", [[1]] * shapes, ["float32"] * dtypes)


@pytest.mark.parametrize("given", [0, 1, 3, 64])
def test_wrong_number_of_inputs(run, module, given):
    function = module.func("sum2", output_shape=[1], output_dtype="float32")
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        run(function, *np.ones([given, 1], np.float32))
    inputs = ", ".join(["float32[1]"] * given)
    for part in ("'sum2'", "'arity.so'", "Expected 3 arguments", "sum2(x0: ", f"inputs ({inputs})"):
        assert part in raised.value.message, part


@pytest.mark.parametrize("given", [1, 3])
def test_wrong_number_of_outputs(run, module, given):
    function = module.func("outputs2", [[1, 1]] * given, ["float32"] * given)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        run(function, np.int32([1]))
    outputs = ", ".join(["float32[1,1]"] * given)
    for part in ("'outputs2'", "'arity.so'", "Expected 3 arguments", f"outputs ({outputs})"):
        assert part in raised.value.message, part


@pytest.mark.parametrize(
    "value",
    [[1.0, 2.0], (1.0, 2.0), np.float32([1, 2]), [np.float32(1), 2.0]],
    ids=["list", "tuple", "array", "list_of_scalars"],
)
def test_what_may_be_an_input(run, module, value):
    x = np.float32([3, 4])
    for sum2 in (module["sum2"], module.func("sum2", output_dtype="float32")):
        np.testing.assert_array_equal(run(lambda x, f=sum2: f(x, value), x), [5, 8])
        np.testing.assert_array_equal(run(lambda x, f=sum2: f(value, x), x), [7, 10])
        np.testing.assert_array_equal(run(lambda f=sum2: f(value, value)), [3, 6])


def test_python_number_as_input(run, tmp_path):
    scalar = libraries.elementwise("double", lambda x: x * 2.0, rank=0)
    double = tftvm.Module(libraries.export(scalar, tmp_path / "lib.so"))["double"]
    np.testing.assert_array_equal(run(lambda: double(1.5)), np.float32(3))
    np.testing.assert_array_equal(run(lambda: double(np.float32(1.5))), np.float32(3))


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_variables_as_inputs(module, wrap):
    x = tf.Variable([1.0, 2.0])
    for output_dtype in (None, "float32"):
        function = module.func("sum2", output_dtype=output_dtype)
        call = wrap(lambda: function(x, x))  # noqa: B023
        x.assign([1.0, 2.0])
        np.testing.assert_array_equal(call(), [3, 6])
        x.assign([3.0, 4.0])
        np.testing.assert_array_equal(call(), [9, 12])


def test_variables_as_inputs_in_session(module):
    with tf.Graph().as_default(), tf1.Session() as session:
        for use_resource in (True, False):
            name = f"x{use_resource}"
            x = tf1.get_variable(name, initializer=[1.0, 2.0], use_resource=use_resource)
            session.run(x.initializer)
            np.testing.assert_array_equal(session.run(module["sum2"](x, x)), [3, 6])


@pytest.mark.parametrize("given", [1, 2])
@pytest.mark.parametrize(
    "make, kind",
    [
        (lambda: None, "None"),
        (lambda: object(), "object"),
        (lambda: {"a": 1.0}, "dict"),
        (lambda: tf.sparse.eye(2), "SparseTensor"),
        (lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]), "RaggedTensor"),
        (lambda: [[1.0], [2.0, 3.0]], "list"),
        (lambda: np.array([object()]), "ndarray"),
        (lambda: tf.data.Dataset.range(2), "Dataset"),
        (lambda: tf.TensorArray(tf.float32, 2), "TensorArray"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_not_be_an_input(run, module, make, kind, given):
    for output_dtype in (None, "float32"):
        function = module.func("sum2", output_dtype=output_dtype)
        with pytest.raises(
            (TypeError, ValueError), match=f"(?s)'sum2'.*'arity.so'.*input {given - 1} .*{kind}"
        ):
            run(lambda x: function(*[x, make()][-given:]), np.float32([1, 2]))  # noqa: B023


def test_names_in_graph(module):
    function = module.func("sum2")
    two_outputs = module.func("one_shape", output_dtype=["float32", "int32"])
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [2])
        assert [function(x, x).op.name for _ in range(2)] == ["sum2", "sum2_1"]
        assert function(x, x, name="total").op.name == "total"
        assert {y.op.name for y in two_outputs(x, name="both")} == {"both"}
        with tf.name_scope("outer"):
            assert function(x, x).op.name == "outer/sum2"
            assert function(x, x, name="total").op.name == "outer/total"
        assert function(x, x).op.type == "TVM>DSOOp"
        assert module.func("sum2", stateful=True)(x, x).op.type == "TVM>StatefulDSOOp"


def test_names_in_function_and_eager(module):
    function = module.func("sum2")
    traced = tf.function(lambda x: function(x, x, name="total") + function(x, x))
    nodes = traced.get_concrete_function(tf.TensorSpec([2])).graph.get_operations()
    assert [op.name for op in nodes if op.type == "TVM>DSOOp"] == ["total", "sum2"]
    np.testing.assert_array_equal(function([1.0], [1.0], name="total"), [3])
    np.testing.assert_array_equal(function(tf.constant([1.0]), tf.constant([1.0]), name="x"), [3])


@pytest.mark.parametrize("name", ["a b", "-a", "é"])
def test_names_that_are_none(module, name):
    with tf.Graph().as_default(), pytest.raises(ValueError, match="not a valid"):
        module["sum1"](tf.zeros([1]), name=name)


@pytest.mark.parametrize(
    "name, node", [("my::fn-1", "my__fn_1"), ("0_private", "0_private"), ("_private", "private")]
)
def test_function_names_that_are_no_node_names(run, tmp_path, name, node):
    path = libraries.export(libraries.elementwise(name, lambda x: x + 1.0), tmp_path / "lib.so")
    module = tftvm.Module(path)
    assert module.functions == (name,)
    np.testing.assert_array_equal(run(module[name], np.float32([1])), [2])
    with tf.Graph().as_default():
        assert module[name](tf.zeros([1])).op.name == node


def test_stateless_calls_are_merged_and_stateful_ones_are_not(count):
    for stateful, difference in [(False, 0), (True, 1)]:
        function = count(stateful)
        first, second = tf.function(lambda x: (function(x), function(x)))(tf.constant(0))  # noqa: B023
        assert abs(int(second - first)) == difference


@pytest.mark.parametrize("stateful, runs", [(False, 0), (True, 3)])
def test_unused_stateless_calls_are_dropped_and_stateful_ones_are_not(count, stateful, runs):
    function = count(stateful)

    @tf.function
    def ignore(x):
        function(x)
        return x

    before = int(count(True)(0))
    for _ in range(3):
        ignore(tf.constant(0))
    assert int(count(True)(0)) - before - 1 == runs


def test_stateful_calls_run_in_order_and_are_not_precomputed(count):
    function = count(True)
    traced = tf.function(lambda: [function(0) for _ in range(5)])
    before = int(function(0))
    for call in range(3):
        np.testing.assert_array_equal(traced(), before + 1 + 5 * call + np.arange(5))
    with tf.Graph().as_default(), tf1.Session() as session:
        y = function(0)
        assert [session.run(y) for _ in range(3)] == [before + 16, before + 17, before + 18]


def test_eager_calls_are_never_merged(count):
    for stateful in (False, True):
        function = count(stateful)
        first = int(function(0))
        assert int(function(0)) == first + 1
