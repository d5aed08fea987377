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
"""`tensorflow_tvm.op`: what a user of decorated functions may expect."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import inspect
import logging
import math
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm

InvalidArgumentError = tf.errors.InvalidArgumentError


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def builds(monkeypatch):
    """One entry for each time that TVM compiles; the disk cache is off."""
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "")
    calls = []
    compile_ = tvm.compile

    def spy(*args, **kwargs):
        calls.append(args)
        return compile_(*args, **kwargs)

    monkeypatch.setattr(tvm, "compile", spy)
    return calls


def _array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _double(x):
    return te.compute(x.shape, lambda *i: x(*i) + x(*i), name="y")


def _scale(x, w, factor=1.0):
    return te.compute(x.shape, lambda i, j: x[i, j] * w[j] * factor, name="y")


# Ways to call.


def test_polymorphic_op_however_it_is_run(run):
    scale = tftvm.op(_scale, shapes=["n d", "d"])
    for n, d in [(1, 1), (3, 5), (0, 4), (100, 300)]:
        x, w = _array(n, d), _array(d, seed=1)
        np.testing.assert_allclose(run(scale, x, w), x * w, rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 4, 5), (0,), (3, 0), (0, 0, 2)])
def test_specialised_op_eagerly_and_in_graphs(shape):
    double = tftvm.op(_double)
    x = _array(*shape)
    np.testing.assert_array_equal(double(tf.constant(x)), x + x)
    np.testing.assert_array_equal(tf.function(double)(tf.constant(x)), x + x)
    for known in (shape, [None] * len(shape)):
        graph = tf.function(double, input_signature=[tf.TensorSpec(known)])
        np.testing.assert_array_equal(graph(x), x + x)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        feed = tf.compat.v1.placeholder(tf.float32, shape)
        np.testing.assert_array_equal(session.run(double(feed), {feed: x}), x + x)


def test_graph_with_unknown_dimensions_takes_all_sizes(builds):
    double = tftvm.op(_double)
    graph = tf.function(double, input_signature=[tf.TensorSpec([None, 3])])
    for n in (0, 1, 4, 50):
        x = _array(n, 3)
        np.testing.assert_array_equal(graph(x), x + x)
    assert graph.get_concrete_function().outputs[0].shape.as_list() == [None, 3]
    assert len(builds) == 1


def test_known_shapes_give_known_shapes():
    transpose = tftvm.op(lambda x: te.compute(x.shape[::-1], lambda i, j: x[j, i]))
    graph = tf.function(transpose).get_concrete_function(tf.TensorSpec([2, 3]))
    assert graph.outputs[0].shape == (3, 2)


def test_unknown_rank_is_refused_and_ensure_shape_helps():
    double = tftvm.op(_double)
    unknown = tf.TensorSpec(None)
    with pytest.raises(ValueError, match="the rank of 'x' is not known here"):
        tf.function(double).get_concrete_function(unknown)
    graph = tf.function(lambda x: double(tf.ensure_shape(x, [None])), input_signature=[unknown])
    np.testing.assert_array_equal(graph(_array(4)), 2 * _array(4))


def test_dataset():
    scale, double = tftvm.op(_scale, shapes=["n d", "d"]), tftvm.op(_double)
    x, w = _array(10, 3), _array(3)
    data = tf.data.Dataset.from_tensor_slices(x).batch(4)
    data = data.map(lambda batch: double(scale(batch, w)), num_parallel_calls=2)
    np.testing.assert_allclose(np.concatenate(list(data)), 2 * x * w, rtol=1e-6)


def test_keras_layer():
    scale, double = tftvm.op(_scale, shapes=["n d", "d"]), tftvm.op(_double)

    class Scale(tf.keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(shape[-1],), initializer="ones", trainable=False)

        def call(self, x):
            return double(scale(x, self.w))

    layer = Scale()
    x = _array(7, 3)
    np.testing.assert_allclose(layer(x), 2 * x, rtol=1e-6)
    layer.w.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(layer(x), 2 * x * [1, 2, 3], rtol=1e-6)
    inputs = tf.keras.Input([3])
    model = tf.keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 3)
    # The last batch is a shorter one.
    np.testing.assert_allclose(model.predict(x, 4, verbose=0), 2 * x * [1, 2, 3], rtol=1e-6)


@pytest.mark.parametrize("shapes", [None, ["n"]])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2], np.int32([2, 4])),
        ((1.5, 2), np.float32([3, 4])),
        ([True, False], [True, False]),
        (np.array([1.5, 2]), np.float64([3, 4])),
        (np.array([3, 5], np.uint8), np.uint8([6, 10])),
        (tf.Variable([1.0, 2.0]), np.float32([2, 4])),
        (tf.range(3), np.int32([0, 2, 4])),
        (np.arange(6, dtype=np.float32)[::2], np.float32([0, 4, 8])),
    ],
    ids=["list", "tuple", "bools", "float64", "uint8", "Variable", "tensor", "strided"],
)
def test_tensor_likes(shapes, value, expected):
    def function(x):
        if x.dtype == "bool":
            return te.compute(x.shape, lambda i: x[i])
        return _double(x)

    op = tftvm.op(function, shapes=shapes)
    for _ in range(2):  # the second call finds what the first has built
        result = op(value)
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == np.asarray(expected).dtype


def test_variable_that_changes():
    double = tftvm.op(_double)
    variable = tf.Variable([1.0, 2.0])
    graph = tf.function(lambda: double(variable))
    for values in ([1.0, 2.0], [3.0, 4.0]):
        variable.assign(values)
        np.testing.assert_array_equal(double(variable), np.multiply(2, values))
        np.testing.assert_array_equal(graph(), np.multiply(2, values))


@pytest.mark.parametrize("shapes", [None, ["", ""]])
def test_scalars(shapes):
    @tftvm.op(shapes=shapes)
    def function(x, y):
        return te.compute((), lambda: x() - y()), te.compute((3,), lambda i: x() + y() * i)

    for args in [
        (2.0, 0.5),
        (tf.constant(2.0), tf.Variable(0.5)),
        (np.float32(2), np.float32(0.5)),
    ]:
        difference, line = function(*args)
        assert difference.shape == ()
        assert difference.numpy() == 1.5
        np.testing.assert_array_equal(line, [2, 2.5, 3])


DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    x = np.array([0, 1, 1, 0, 1]).astype(tf.as_dtype(dtype).as_numpy_dtype)
    reverse = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[x.shape[0] - 1 - i]))
    polymorphic = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[i]), shapes=["n"])
    assert reverse(x).dtype == polymorphic(x).dtype == dtype
    assert reverse(x).numpy().tobytes() == x[::-1].tobytes()
    assert polymorphic(x).numpy().tobytes() == x.tobytes()


@pytest.mark.parametrize(
    "value", [tf.constant(["a"]), tf.constant([1j])], ids=["string", "complex"]
)
@pytest.mark.parametrize("shapes", [None, ["n"]])
def test_dtype_that_tvm_has_not(value, shapes):
    with pytest.raises(ValueError) as caught:
        tftvm.op(_double, shapes=shapes)(value)
    message = str(caught.value)
    assert f"'x' has dtype {value.dtype.name}; possible are bool, int8" in message
    assert all(dtype in message for dtype in DTYPES)


@pytest.mark.parametrize(
    "value",
    [tf.ragged.constant([[1], [2, 3]]), tf.sparse.from_dense([[1.0, 0.0]]), object(), {"a": 1}],
    ids=["ragged", "sparse", "object", "dict"],
)
def test_no_tensors(value):
    double = tftvm.op(_double)
    with pytest.raises(
        (TypeError, ValueError), match="TVM op '_double': 'x' cannot be made a tensor"
    ):
        double(value)


# One build for what is alike.


def test_one_build_for_each_shape_and_dtype(builds):
    double = tftvm.op(_double)
    for _ in range(2):
        double(tf.ones([2]))
        double(np.ones(2, np.float32))
        double([1.0, 1.0])
        double(tf.Variable([1.0, 1.0]))
    assert len(builds) == 1
    double(tf.ones([3]))
    double(tf.ones([1, 2]))
    double(tf.ones([2], tf.int32))
    assert len(builds) == 4
    double(tf.ones([2]))
    tf.function(double)(tf.ones([2]))
    assert len(builds) == 4


def test_one_build_for_all_sizes(builds):
    scale = tftvm.op(_scale, shapes=["n d", "d"])
    for n, d in [(1, 1), (2, 3), (0, 0)]:
        scale(tf.ones([n, d]), tf.ones([d]))
    assert len(builds) == 1
    scale(tf.ones([2, 3], tf.float64), tf.ones([3], tf.float64), factor=1.0)
    assert len(builds) == 2


def test_one_build_for_threads_that_call_at_once(builds):
    double = tftvm.op(_double)
    count = 8
    barrier = threading.Barrier(count, timeout=60)

    def call(i):
        barrier.wait()
        return double(tf.fill([5], float(i))).numpy()

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        results = list(pool.map(call, range(count)))
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, np.full(5, 2 * i))
    assert len(builds) == 1


def test_threads_that_build_different_shapes():
    double = tftvm.op(_double)
    barrier = threading.Barrier(6, timeout=60)

    def call(i):
        barrier.wait()
        return double(tf.ones([i + 1])).numpy()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for i, result in enumerate(pool.map(call, range(6))):
            np.testing.assert_array_equal(result, np.full(i + 1, 2))


def test_a_failed_build_is_tried_again():
    failures = [ValueError("not yet")]

    @tftvm.op
    def function(x):
        if failures:
            raise failures.pop()
        return _double(x)

    with pytest.raises(ValueError, match="not yet"):
        function([1.0])
    assert function([1.0]).numpy() == [2.0]


def test_many_builds_are_warned_of_once(monkeypatch, caplog):
    monkeypatch.setattr(sys.modules["tensorflow_tvm.op"], "_MANY_BUILDS", 3)
    double = tftvm.op(_double)
    with caplog.at_level(logging.WARNING, "tensorflow_tvm"):
        for n in range(1, 3):
            double(tf.ones([n]))
        assert not caplog.records
        for n in range(3, 6):
            double(tf.ones([n]))
    (record,) = caplog.records
    assert "has been compiled for 3 shapes, dtypes or attrs" in record.getMessage()
    assert "shapes=" in record.getMessage()


# Attrs.


def test_attrs_are_constants(builds):
    @tftvm.op
    def function(x, factor=2.0, *, offset=0):
        assert not isinstance(factor, te.Tensor)
        return te.compute(x.shape, lambda i: x[i] * factor + offset)

    x = tf.constant([1.0, 2.0])
    np.testing.assert_array_equal(function(x), [2, 4])
    np.testing.assert_array_equal(function(x, 3.0), [3, 6])
    np.testing.assert_array_equal(function(x, factor=3.0), [3, 6])
    np.testing.assert_array_equal(function(x, offset=1), [3, 5])
    np.testing.assert_array_equal(function(x, factor=3.0, offset=1), [4, 7])
    np.testing.assert_array_equal(function(x), [2, 4])
    assert len(builds) == 4


def test_attrs_of_different_types_are_different():
    @tftvm.op
    def function(x, value=0):
        names = {bool: 1, int: 2, float: 3, str: 4, tuple: 5, list: 6, type(None): 7}
        return te.compute(x.shape, lambda i: x[i] + names[type(value)])

    values = (True, 1, 1.0, "1", (1,), [1], None)
    assert [float(function([0.0], value=value)[0]) for value in values] == [1, 2, 3, 4, 5, 6, 7]


def test_attrs_inside_lists_are_told_apart():
    @tftvm.op
    def function(x, values=()):
        return te.compute(x.shape, lambda i: x[i] + sum(type(v) is float for v in values))

    assert function([0.0], values=(1, 1)).numpy() == [0]
    assert function([0.0], values=(1, 1.0)).numpy() == [1]
    assert function([0.0], values=[1.0, 1.0]).numpy() == [2]


def test_negative_zero_is_another_attr():
    fill = tftvm.op(
        lambda x, value=1.0: te.compute(x.shape, lambda i: tirx.const(value, "float32"))
    )
    assert math.copysign(1, fill([1.0], value=0.0)[0]) == 1
    assert math.copysign(1, fill([1.0], value=-0.0)[0]) == -1


def test_functions_as_attrs():
    @tftvm.op
    def function(x, activation=te.exp):
        return te.compute(x.shape, lambda i: activation(x[i]))

    np.testing.assert_allclose(function([1.0]), np.exp([1.0]), rtol=1e-6)
    np.testing.assert_allclose(function([1.0], activation=te.tanh), np.tanh([1.0]), rtol=1e-6)


@pytest.mark.parametrize("value", [tf.constant(1.0), tf.Variable(1.0)], ids=["tensor", "Variable"])
def test_tensors_are_no_attrs(value):
    with pytest.raises(TypeError, match="attr 'factor' is a tensor; expected a Python value"):
        tftvm.op(_scale)(tf.ones([1, 1]), [1.0], factor=value)


def test_attr_that_cannot_be_hashed():
    with pytest.raises(TypeError, match="attr 'factor' is .*; expected a number, string, tuple"):
        tftvm.op(_scale)(tf.ones([1, 1]), [1.0], factor=np.ones(2))


def test_keywords_of_any_name():
    @tftvm.op
    def function(x, **keywords):
        return te.compute(x.shape, lambda i: x[i] * len(keywords) + keywords.get("b", 0))

    assert function([1.0]).numpy() == [0]
    assert function([1.0], b=3).numpy() == [4]
    assert function([1.0], b=3, c="d").numpy() == [5]


def test_tensors_by_keyword():
    scale = tftvm.op(_scale)
    np.testing.assert_array_equal(scale(w=[2.0], x=[[3.0]]), [[6]])
    np.testing.assert_array_equal(scale([[3.0]], w=[2.0], factor=2.0), [[12]])


@pytest.mark.parametrize(
    ("args", "keywords", "message"),
    [
        ([], {}, "missing a required argument: 'x'"),
        ([[[1.0]]], {}, "missing a required argument: 'w'"),
        ([[[1.0]], [1.0], 1.0, 1.0], {}, "too many positional arguments"),
        ([[[1.0]], [1.0]], {"other": 1}, "got an unexpected keyword argument 'other'"),
    ],
)
def test_wrong_arguments(args, keywords, message):
    with pytest.raises(TypeError, match=message) as caught:
        tftvm.op(_scale)(*args, **keywords)
    assert "TVM op '_scale'" in str(caught.value)
    assert "it takes _scale(x, w, factor=1.0)" in str(caught.value)


def test_any_number_of_tensors(builds):
    @tftvm.op
    def add(*xs, scale=1.0):
        return te.compute(xs[0].shape, lambda i: sum((x[i] for x in xs[1:]), xs[0][i]) * scale)

    for count in (1, 2, 5):
        arrays = [_array(4, seed=i) for i in range(count)]
        for _ in range(2):
            np.testing.assert_allclose(add(*arrays), sum(arrays), rtol=1e-5)
    np.testing.assert_allclose(add(*arrays, scale=2.0), 2 * sum(arrays), rtol=1e-5)
    assert len(builds) == 4
    with pytest.raises(TypeError, match="takes no tensors"):
        add()


def test_tensors_before_any_number_of_tensors():
    @tftvm.op
    def function(x, factor=2.0, *xs):
        return te.compute(x.shape, lambda i: x[i] * factor - sum((y[i] for y in xs), 0.0))

    np.testing.assert_array_equal(function([5.0]), [10])
    np.testing.assert_array_equal(function([5.0], 3.0, [1.0], [2.0]), [12])


def test_shapes_of_any_number_of_tensors():
    @tftvm.op(shapes=["n", "n"])
    def add(*xs):
        return te.compute(xs[0].shape, lambda i: xs[0][i] + xs[1][i])

    np.testing.assert_array_equal(add([1.0, 2.0], [3.0, 4.0]), [4, 6])
    with pytest.raises(TypeError, match="shapes= is for 2 tensors, and it was called with 1"):
        add([1.0])


# Results.


def test_several_outputs():
    @tftvm.op
    def function(x):
        doubled = _double(x)
        return doubled, te.compute(x.shape, lambda i: (doubled[i] + 1).astype("int32"))

    graph = tf.function(function, input_signature=[tf.TensorSpec([None])])
    for outputs in (function([1.0, 2.0]), function(tf.constant([1.0, 2.0])), graph([1.0, 2.0])):
        assert isinstance(outputs, tuple)
        first, second = outputs
        np.testing.assert_array_equal(first, [2, 4])
        np.testing.assert_array_equal(second, [3, 5])
        assert second.dtype == tf.int32


def test_inputs_and_outputs_as_results():
    @tftvm.op
    def function(x):
        y = _double(x)
        return x, y, y, x

    for x in ([1.0, 2.0], [[3.0]]):
        outputs = function(tf.constant(x))
        for output, factor in zip(outputs, (1, 2, 2, 1), strict=True):
            np.testing.assert_array_equal(output, np.multiply(factor, x))


def test_scalar_input_as_result():
    assert tftvm.op(lambda x: x)(3.0).numpy() == 3


def test_intermediate_results_are_outputs_in_any_order():
    @tftvm.op(shapes=["n"])
    def function(x):
        a = _double(x)
        b = te.compute(x.shape, lambda i: a[i] + 1.0)
        c = te.compute(x.shape, lambda i: b[i] * a[i])
        return c, a, b

    x = _array(5)
    for output, expected in zip(function(x), (2 * x * (2 * x + 1), 2 * x, 2 * x + 1), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-5)


def test_results_that_depend_on_no_input():
    @tftvm.op(shapes=["n"])
    def count(x):
        return te.compute(x.shape, lambda i: i)

    np.testing.assert_array_equal(count(tf.zeros([4])), range(4))


def test_shapes_that_are_computed(run):
    @tftvm.op(shapes=["n m"])
    def function(x):
        n, m = x.shape
        return topi.sum(x, axis=1), te.compute(
            (n + m, m // 2), lambda i, j: (i * j).astype("int32")
        )

    x = _array(3, 5)
    rows, table = run(function, x)
    np.testing.assert_allclose(rows, x.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(table, np.outer(range(8), range(2)))


@pytest.mark.parametrize("result", [None, 5, (), [], "x", np.ones(2)], ids=repr)
def test_result_that_is_no_te_tensor(result):
    with pytest.raises(ValueError, match="it must return a te.Tensor or a tuple of those"):
        tftvm.op(lambda x: result)([1.0])
    with pytest.raises(ValueError, match="it must return TE tensors, returned .* among them"):
        tftvm.op(lambda x: (x, result))([1.0])


# shapes=


def test_shapes_with_numbers_and_expressions():
    @tftvm.op(shapes=["n 3", "[2*n+1]", "n, n", ""])
    def function(x, y, z, s):
        return te.compute(x.shape, lambda i, j: x[i, j] + y[2 * i + 2] + z[i, i] + s())

    x, y, z = _array(4, 3), _array(9, seed=1), _array(4, 4, seed=2)
    expected = x + (y[2::2] + np.diagonal(z))[:, None] + 2
    np.testing.assert_allclose(function(x, y, z, 2.0), expected, rtol=1e-5, atol=1e-5)
    for wrong, message in [
        ((x[:, :2], y, z), "its dimension 1 is 2 and must be 3"),
        ((x, y[:8], z), r"its dimension 0 is 8 and must be 2\*n\+1 = 9"),
        ((x, y, z[:3]), "n is 4 in input 'x' and 3 in"),
        ((x[0], y, z), "its rank is 1 and must be 2"),
    ]:
        with pytest.raises(InvalidArgumentError, match=message):
            function(*wrong, 2.0)


def test_contradiction_in_a_graph_is_found_when_it_is_built():
    scale = tftvm.op(_scale, shapes=["n d", "d"])
    with pytest.raises(ValueError, match="d"):
        tf.function(scale).get_concrete_function(tf.TensorSpec([None, 3]), tf.TensorSpec([4]))


def test_size_that_would_be_negative():
    @tftvm.op(shapes=["n", "k"])
    def function(x, w):
        k = te.reduce_axis((0, w.shape[0]))
        shape = (x.shape[0] - w.shape[0] + 1,)
        return te.compute(shape, lambda i: te.sum(x[i + k] * w[k], k))

    assert function(tf.ones([2]), tf.ones([3])).shape == (0,)
    with pytest.raises(InvalidArgumentError, match=r"would be -1 \(n=1, k=3\)"):
        function(tf.ones([1]), tf.ones([3]))


@pytest.mark.parametrize(
    ("shapes", "error", "message"),
    [
        ("n d", TypeError, "shapes must be a list of strings"),
        (5, TypeError, "shapes must be a list of strings"),
        ([5, "d"], TypeError, "given 5"),
        (["n d"], ValueError, "shapes has 1 entries, and the function takes 2 tensors: x, w"),
        (["n d", "d", "d"], ValueError, "shapes has 3 entries"),
        (["n ?", "d"], ValueError, r"'\?' in 'n \?'; name the dimension instead"),
        (["n d", "2*k"], ValueError, "symbol 'k' in '2\\*k' is nowhere a whole dimension"),
        (["n $", "d"], ValueError, "shapes: Cannot parse shape at character 3"),
        (["n -1", "d"], ValueError, "shapes"),
    ],
)
def test_wrong_shapes(shapes, error, message):
    with pytest.raises(error, match=message) as caught:
        tftvm.op(_scale, shapes=shapes)
    assert "TVM op '_scale'" in str(caught.value)


def test_only_functions():
    with pytest.raises(TypeError, match="tensorflow_tvm.op is for functions, given 5"):
        tftvm.op(5)


def test_names_that_are_alike():
    """Parameters that are called like each other's dimensions, outputs, or TVM's functions."""

    @tftvm.op
    def function(x, x_0, x_1, min, y, main):
        return te.compute(x.shape, lambda i: x[i] + x_0[i] + x_1[i] + min[i] + y[i] + main[i])

    arrays = [_array(3, seed=i) for i in range(6)]
    np.testing.assert_allclose(function(*arrays), sum(arrays), rtol=1e-5)
    graph = tf.function(function, input_signature=[tf.TensorSpec([None])] * 6)
    np.testing.assert_allclose(graph(*arrays), sum(arrays), rtol=1e-5)


def test_dimensions_that_are_called_like_tensors():
    @tftvm.op(shapes=["x w", "w"])
    def function(x, w):
        return te.compute(x.shape, lambda i, j: x[i, j] * w[j], name="x")

    x, w = _array(2, 3), _array(3)
    np.testing.assert_allclose(function(x, w), x * w, rtol=1e-6)


@pytest.mark.parametrize("what", ["function", "parameter"])
def test_names_in_other_scripts(what):
    def größe(x):
        return _double(x)

    def function(β):
        return _double(β)

    assert tftvm.op(größe if what == "function" else function)([1.0]).numpy() == [2]


def test_methods_lambdas_and_callables():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def method(self, x):
            return te.compute(x.shape, lambda i: x[i] * self.factor)

        __call__ = method

    assert tftvm.op(Scale(3.0).method)([1.0]).numpy() == [3]
    assert tftvm.op(Scale(4.0))([1.0]).numpy() == [4]
    assert tftvm.op(lambda x: _double(x))([1.0]).numpy() == [2]


def test_it_looks_like_the_function():
    scale = tftvm.op(_scale)
    assert scale.__name__ == "_scale"
    assert str(inspect.signature(scale)) == str(inspect.signature(_scale))
    assert repr(scale) == "<tensorflow_tvm.Op '_scale(x, w, factor=1.0)'>"


def test_as_an_argument_of_a_function():
    double = tftvm.op(_double)

    @tf.function
    def call(function, x, other=double):
        return function(x) + other(x)

    np.testing.assert_array_equal(call(double, tf.ones([2])), [4, 4])


def test_name_of_the_node():
    double = tftvm.op(_double)
    with tf.Graph().as_default() as graph:
        double(tf.zeros([2]), name="doubled")
        double(tf.zeros([2]))
        names = [node.name for node in graph.get_operations()]
    assert "doubled" in names
    assert "double" in names


def test_an_op_of_te_tensors_is_its_function():
    double = tftvm.op(_double)
    assert tftvm.op(lambda x: double(double(x)))([1.0]).numpy() == [4]


def test_a_method_of_a_class():
    with pytest.raises(TypeError, match="'method' is a method of a class, whose 'self' is no ten"):

        class Scale:
            @tftvm.op
            def method(self, x):
                return x


def test_an_op_that_calls_another():
    inner = tftvm.op(_double)

    @tf.function
    def outer(x):
        for _ in tf.range(3):
            x = inner(x)
        return x

    np.testing.assert_array_equal(outer(tf.ones([2])), [8, 8])


# Failures.


@pytest.fixture
def program(tmp_path):
    """`program(*lines)` is a user's module: it has an op `broken` of these lines."""

    def load(*lines, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        path = folder / "program.py"
        head = "import tensorflow_tvm as tftvm\nfrom tvm import te\n\n@tftvm.op\ndef broken(x):\n"
        path.write_text(head + "".join(f"    {line}\n" for line in lines))
        spec = importlib.util.spec_from_file_location("program", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_failure_shows_the_line_that_caused_it(program):
    module = program("y = te.compute(x.shape, lambda i: x[i, i])", "return y")
    broken, path = module.broken, module.__file__
    with pytest.raises(ValueError) as caught:
        broken([1.0])
    message = str(caught.value)
    assert message.startswith(f"Cannot build TVM op 'broken' ({path}, line 4): ")
    assert "Need to provide 1 index in tensor but 2 was provided" in message
    assert f"({path}, line 6: y = te.compute(x.shape, lambda i: x[i, i]))" in message
    assert "Traceback" not in message
    assert "Stack trace" not in message
    assert len(message.splitlines()) <= 12
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_failure_in_a_folder_that_is_called_alike(program, tmp_path, monkeypatch):
    # Like a package tensorflow_tvm_kernels beside tensorflow_tvm, or a program in /projects.
    compiler = sys.modules["tensorflow_tvm.compiler"]
    monkeypatch.setattr(compiler, "__file__", str(tmp_path / "tensorflow_tvm" / "compiler.py"))
    broken = program("return [].pop()", folder=tmp_path / "tensorflow_tvm_kernels").broken
    with pytest.raises(ValueError, match=r"pop from empty list \(.*line 6"):
        broken([1.0])


def test_failure_of_python_code(program):
    with pytest.raises(ValueError, match=r"pop from empty list \(.*, line 6: return \[\].pop"):
        program("return [].pop()").broken([1.0])


def test_failure_in_a_graph():
    @tftvm.op
    def broken(x):
        return te.compute(x.shape, lambda i: x[i + 1])

    with pytest.raises(
        ValueError, match=r"TVM op 'broken'(.|\n)*x\[v_i \+ 1\], which is outside x"
    ):
        tf.function(broken).get_concrete_function(tf.TensorSpec([3]))


def test_unknown_target():
    with pytest.raises(ValueError, match="target 'nonsense' is not known.*'host', llvm, c"):
        tftvm.op(_double, target="nonsense")([1.0])


def test_stateful_op_stays_in_the_graph():
    double = tftvm.op(_double, stateful=True)
    graph = tf.function(lambda x: double(x)).get_concrete_function(tf.TensorSpec([2])).graph
    assert any(op.op_def.is_stateful for op in graph.get_operations() if op.type.startswith("TVM"))
