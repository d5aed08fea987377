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
"""Reductions of every form, with the default schedules and as written: the results are the same."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx, topi
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm import prim_functions, schedules
from tensorflow_tvm.schedules import combiners, stages


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _compare(obj, *inputs, tolerance=0.0):
    """Compare what a function or TE tensors give with what they give as written."""
    function = obj if isinstance(obj, tirx.PrimFunc) else prim_functions.from_tensors(obj)
    module = tftvm.build({"ours": function, "plain": schedules.mark_scheduled(function)})
    results, expected = module["ours"](*inputs), module["plain"](*inputs)
    if not isinstance(results, tuple):
        results, expected = (results,), (expected,)
    for result, plain in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, plain, rtol=tolerance, atol=tolerance)


def _normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _few_values(*shape):
    return np.random.default_rng(0).integers(0, 3, shape).astype(np.float32)


# Several results at once.

_SHAPES = [(3, 63), (300, 70), (1, 70000)]


def _max_and_min():
    return te.comm_reducer(
        lambda a, b: (tirx.max(a[0], b[0]), tirx.min(a[1], b[1])),
        lambda t, u: (tirx.min_value(t), tirx.max_value(u)),
    )


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("shape", _SHAPES)
def test_two_results_of_the_same_element(shape, axis):
    @tftvm.op(shapes=["n d"])
    def extremes(x):
        axes = [te.reduce_axis((0, size), name="k") for size in x.shape]
        both = _max_and_min()
        if axis is None:
            return tuple(te.compute((1,), lambda _: both((x[*axes], x[*axes]), axis=axes)))

        def element(i):
            value = x[axes[0], i] if axis == 0 else x[i, axes[1]]
            return both((value, value), axis=axes[axis])

        return tuple(te.compute((x.shape[1 - axis],), element))

    x = _normal(*shape)
    most, least = extremes(x)
    np.testing.assert_array_equal(tf.reshape(most, [-1]), np.reshape(x.max(axis), [-1]))
    np.testing.assert_array_equal(tf.reshape(least, [-1]), np.reshape(x.min(axis), [-1]))


def _argmax(better, key=None):
    """Return a reducer to place and value, as most people write it: nothing is said of equals."""
    return te.comm_reducer(
        lambda a, b: (
            tirx.Select(better(a[1], b[1]), a[0], b[0]),
            tirx.Select(better(a[1], b[1]), a[1], b[1]) if key is None else key(a[1], b[1]),
        ),
        lambda t, u: (tirx.const(-1, t), tirx.min_value(u)),
    )


@pytest.mark.parametrize("key", [None, tirx.max])
@pytest.mark.parametrize("shape", _SHAPES)
def test_first_of_equals(shape, key):
    first = _argmax(lambda a, b: a >= b, key)

    @tftvm.op(shapes=["n d"])
    def places(x):
        k = te.reduce_axis((0, x.shape[1]), name="k")
        return te.compute((x.shape[0],), lambda i: first((k, x[i, k]), axis=k))[0]

    x = _few_values(*shape)
    np.testing.assert_array_equal(places(x), x.argmax(1))


@pytest.mark.parametrize("shape", _SHAPES)
def test_last_of_equals(shape):
    last = _argmax(lambda a, b: a > b)

    @tftvm.op(shapes=["n d"])
    def places(x):
        k = te.reduce_axis((0, x.shape[1]), name="k")
        return te.compute((x.shape[0],), lambda i: last((k, x[i, k]), axis=k))[0]

    x = _few_values(*shape)
    np.testing.assert_array_equal(places(x), shape[1] - 1 - x[:, ::-1].argmax(1))


@pytest.mark.parametrize("shape", _SHAPES)
def test_first_of_equals_by_places_from_data(shape):
    first = _argmax(lambda a, b: a >= b)

    @tftvm.op(shapes=["n d", "d"])
    def places(x, place):
        k = te.reduce_axis((0, x.shape[1]), name="k")
        return te.compute((x.shape[0],), lambda i: first((place[k], x[i, k]), axis=k))[0]

    x = _few_values(*shape)
    place = np.random.default_rng(1).permutation(shape[1]).astype(np.int32)
    np.testing.assert_array_equal(places(x, place), place[x.argmax(1)])


def _combines(element, reducer=None, identity=None):
    """Whether the elements of a reduction over x[8, 100] may be in any order."""
    x = te.placeholder((8, 100), "float32", name="x")
    k = te.reduce_axis((0, 100), name="k")
    result = te.compute((8,), lambda i: element(x, i, k), name="result")
    results = [result] if isinstance(result, te.Tensor) else list(result)
    program = stages.read(te.create_prim_func([x, *results]))
    return combiners.combiner(program.stages[0]) is not None


def test_order_is_free_where_it_does_not_matter():
    x = te.placeholder((8, 100), "float32", name="x")
    for function in (topi.argmax, topi.argmin, topi.sum, topi.max, topi.prod):
        program = stages.read(te.create_prim_func([x, function(x, axis=1)]))
        assert combiners.combiner(program.stages[0]) is not None
    for better in (lambda a, b: a >= b, lambda a, b: a > b, lambda a, b: b < a):
        reducer = _argmax(better)
        assert _combines(lambda x, i, k, r=reducer: r((k, x[i, k]), axis=k))
        assert _combines(lambda x, i, k, r=reducer: r((2 * k + 1, x[i, k]), axis=k))
        # The place does not tell which was first.
        assert not _combines(lambda x, i, k, r=reducer: r((7 - k, x[i, k]), axis=k))
        assert not _combines(lambda x, i, k, r=reducer: r((k - 9, x[i, k]), axis=k))
        assert not _combines(lambda x, i, k, r=reducer: r((k % 5, x[i, k]), axis=k))


def test_order_is_kept_where_it_matters():
    last = te.comm_reducer(lambda a, b: tirx.Select(b > 0.5, b, a), lambda t: tirx.const(0, t))
    assert not _combines(lambda x, i, k: last(x[i, k], axis=k))
    x = te.placeholder((3, 1000), "float32", name="x")
    k = te.reduce_axis((0, 1000), name="k")
    y = te.compute((3,), lambda i: last(x[i, k], axis=k))
    _compare([x, y], _normal(3, 1000))


# What reductions begin with.


@pytest.mark.parametrize("n", [40, 300])
def test_sum_that_begins_with_a_tensor(n):
    @T.prim_func(s_tir=True)
    def function(
        x: T.Buffer((7, n), "float32"), b: T.Buffer((7,), "float32"), y: T.Buffer((7,), "float32")
    ):
        for i, k in T.grid(7, n):
            with T.sblock("y"):
                vi, vk = T.axis.remap("SR", [i, k])
                with T.init():
                    y[vi] = b[vi]
                y[vi] = y[vi] + x[vi, vk]

    x, b = _normal(7, n), np.arange(7, dtype=np.float32) * 100
    _compare(function, x, b, tolerance=1e-5)
    result = tftvm.build(function, name="begun")["begun"](x, b)
    np.testing.assert_allclose(result, b + x.sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("first", "combine"),
    [
        (lambda b: b, lambda old, x: old + x),
        (lambda b: T.float32(5), lambda old, x: old + x),
        (lambda b: T.float32(0), lambda old, x: x + old),
        (lambda b: b * 2, lambda old, x: old * x),
        (lambda b: b, tirx.max),
        (lambda b: b, tirx.min),
        (lambda b: b, lambda old, x: old - x),
        (lambda b: T.float32(3), lambda old, x: tirx.Select(old > x, old, x)),
        (lambda b: b, lambda old, x: tirx.Select(old > x, old, x)),
    ],
)
@pytest.mark.parametrize("shape", [(5, 300), (1, 70000)])
def test_first_values(shape, first, combine):
    n, d = shape

    @T.prim_func(s_tir=True)
    def function(
        x: T.Buffer((n, d), "float32"), b: T.Buffer((n,), "float32"), y: T.Buffer((n,), "float32")
    ):
        # An intermediate tensor, which is inlined into what a reduction begins with.
        c = T.sblock_alloc_buffer((n,), "float32")
        for i in range(n):
            with T.sblock("c"):
                vi = T.axis.spatial(n, i)
                c[vi] = b[vi] + T.float32(1)
        for i, k in T.grid(n, d):
            with T.sblock("y"):
                vi, vk = T.axis.remap("SR", [i, k])
                with T.init():
                    y[vi] = first(c[vi])
                y[vi] = combine(y[vi], x[vi, vk])

    # Products of many stay near one.
    x = 1 + _normal(n, d) * np.float32(1e-3)
    _compare(function, x, _normal(n), tolerance=1e-4)


def test_product_that_begins_with_a_tensor():
    @T.prim_func(s_tir=True)
    def function(
        x: T.Buffer((33, 64), "float32"),
        w: T.Buffer((64, 50), "float32"),
        b: T.Buffer((50,), "float32"),
        y: T.Buffer((33, 50), "float32"),
    ):
        for i, j, k in T.grid(33, 50, 64):
            with T.sblock("y"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                with T.init():
                    y[vi, vj] = b[vj]
                y[vi, vj] = y[vi, vj] + x[vi, vk] * w[vk, vj]

    assert tftvm.explain(function)[0].schedule.startswith("a product of matrices")
    _compare(function, _normal(33, 64), _normal(64, 50), _normal(50), tolerance=1e-4)


# Blocks of several stores.


@pytest.mark.parametrize("sizes", [(32, 32, 64), (33, 50, 64), (4, 3, 9), (1, 8, 70000)])
def test_two_tensors_of_one_reduction(sizes):
    n, m, d = sizes

    @T.prim_func(s_tir=True)
    def function(
        x: T.Buffer((n, d), "float32"),
        w: T.Buffer((d, m), "float32"),
        y: T.Buffer((n, m), "float32"),
        z: T.Buffer((n, m), "float32"),
    ):
        c = T.sblock_alloc_buffer((n, m), "float32")
        for i, j, k in T.grid(n, m, d):
            with T.sblock("c"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                with T.init():
                    c[vi, vj] = T.float32(0)
                c[vi, vj] = c[vi, vj] + x[vi, vk] * w[vk, vj]
        for i, j in T.grid(n, m):
            with T.sblock("o"):
                vi, vj = T.axis.remap("SS", [i, j])
                y[vi, vj] = c[vi, vj] * T.float32(2)
                z[vi, vj] = c[vi, vj] + T.float32(1)

    _compare(function, _normal(n, d), _normal(d, m), tolerance=1e-3)


def test_stores_that_depend_on_each_other():
    @T.prim_func(s_tir=True)
    def function(
        x: T.Buffer((5, 100), "float32"),
        y: T.Buffer((5,), "float32"),
        z: T.Buffer((5,), "float32"),
    ):
        for i, k in T.grid(5, 100):
            with T.sblock("sums"):
                vi, vk = T.axis.remap("SR", [i, k])
                with T.init():
                    y[vi] = T.float32(0)
                    z[vi] = T.float32(0)
                y[vi] = y[vi] + x[vi, vk]
                z[vi] = z[vi] + y[vi]

    assert "as written" in tftvm.explain(function)[0].schedule
    _compare(function, _few_values(5, 100))


# Products that are cast.


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        ("float32", "int32"),
        ("int8", "int32"),
        ("uint8", "int32"),
        ("int16", "int64"),
        ("float16", "float32"),
        ("float32", "float64"),
        ("float64", "float32"),
    ],
)
@pytest.mark.parametrize("sizes", [(20, 33, 40), (3, 5, 100)])
def test_sum_of_a_product_that_is_cast(dtype, wide, sizes):
    n, m, d = sizes
    x = te.placeholder((n, d), dtype, name="x")
    w = te.placeholder((d, m), dtype, name="w")
    k = te.reduce_axis((0, d), name="k")
    y = te.compute((n, m), lambda i, j: te.sum((x[i, k] * w[k, j]).astype(wide), axis=k), name="y")
    least = 0 if dtype.startswith("uint") else -20
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(least, 20, shape).astype(dtype) for shape in ((n, d), (d, m))]
    _compare([x, w, y], *inputs, tolerance=1e-6 if wide.startswith("float") else 0)


def test_cast_product_is_one_of_matrices():
    x = te.placeholder((20, 64), "int8", name="x")
    w = te.placeholder((64, 40), "int8", name="w")
    k = te.reduce_axis((0, 64), name="k")
    y = te.compute(
        (20, 40), lambda i, j: te.sum((x[i, k] * w[k, j]).astype("int32"), axis=k), name="y"
    )
    assert tftvm.explain([x, w, y])[0].schedule.startswith("a product of matrices")


# Reductions at random.

_ELEMENTS = [
    lambda x, w, i, k: x[i, k],
    lambda x, w, i, k: x[i, k] * w[k],
    lambda x, w, i, k: w[k],
    lambda x, w, i, k: (x[i, k] * w[k]).astype("int32"),
    lambda x, w, i, k: k,
]
_KINDS = {
    "sum": (lambda a, b: a + b, lambda t: tirx.const(0, t)),
    "max": (tirx.max, tirx.min_value),
    "min": (tirx.min, tirx.max_value),
    "kept": (lambda a, b: tirx.Select(a >= b, a, b), tirx.min_value),
    "other": (lambda a, b: tirx.Select(b < a, b, a), tirx.max_value),
}


def _random_reduction(rng):
    """Return a function of two to three results, some of the same element."""
    n, d = int(rng.choice([1, 3, 70])), int(rng.choice([1, 5, 63, 64, 200, 1000]))
    x = te.placeholder((n, d), "float32", name="x")
    w = te.placeholder((d,), "float32", name="w")
    k = te.reduce_axis((0, d), name="k")
    count = int(rng.integers(1, 4))
    kinds = [_KINDS[name] for name in rng.choice(list(_KINDS), count)]
    picked = rng.integers(0, len(_ELEMENTS), count)

    def combine(a, b):
        if count == 1:
            return kinds[0][0](a, b)
        return tuple(kind(old, new) for (kind, _), old, new in zip(kinds, a, b, strict=True))

    def identity(*types):
        values = tuple(first(str(t)) for (_, first), t in zip(kinds, types, strict=True))
        return values[0] if count == 1 else values

    reducer = te.comm_reducer(combine, identity)

    def element(i):
        values = tuple(_ELEMENTS[e](x, w, i, k) for e in picked)
        return reducer(values[0] if count == 1 else values, axis=k)

    results = te.compute((n,), element, name="results")
    results = [results] if count == 1 else list(results)
    return prim_functions.from_tensors([x, w, *results]), (n, d)


def test_random_reductions():
    rng = np.random.default_rng(0)
    cases = [_random_reduction(rng) for _ in range(24)]
    functions = {}
    for i, (function, _) in enumerate(cases):
        functions[f"ours_{i}"] = function
        functions[f"plain_{i}"] = schedules.mark_scheduled(function)
    module = tftvm.build(functions)
    for i, (function, shape) in enumerate(cases):
        inputs = rng.integers(-4, 5, shape), rng.integers(-4, 5, shape[1:])
        inputs = [x.astype(np.float32) / 2 for x in inputs]
        results = module[f"ours_{i}"](*inputs), module[f"plain_{i}"](*inputs)
        for ours, plain in zip(*map(tf.nest.flatten, results), strict=True):
            np.testing.assert_array_equal(ours, plain, err_msg=function.script())
