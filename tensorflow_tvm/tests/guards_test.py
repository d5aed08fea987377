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
"""Generated code neither traps nor leaves its tensors, whatever sizes, attrs and data are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import s_tir, te, tirx, topi
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm import schedules, targets

Refused = tf.errors.InvalidArgumentError
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DIVISIONS = {
    "floordiv": (tirx.floordiv, np.floor_divide),
    "floormod": (tirx.floormod, np.remainder),
    "truncdiv": (tirx.truncdiv, lambda a, b: a - np.fmod(a, b)),
    "truncmod": (tirx.truncmod, np.fmod),
}


def _vector(name, dtype="float32", size=None):
    return te.placeholder((te.var("n") if size is None else size,), dtype, name=name)


def _pair(dtype, formula, second=None):
    x = _vector("x", dtype)
    y = _vector("y", second or dtype, x.shape[0])
    return [x, y, te.compute(x.shape, lambda i: formula(x[i], y[i]), name="z")]


def _conversion(source, dtype):
    x = _vector("x", source)
    return [x, te.compute(x.shape, lambda i: x[i].astype(dtype))]


def _functions():
    functions = {}
    for dtype in _INTEGERS:
        for name, (divide, _) in _DIVISIONS.items():
            functions[f"{name}_{dtype}"] = _pair(dtype, divide)
        functions[f"left_{dtype}"] = _pair(dtype, lambda a, b: a << b)
        functions[f"right_{dtype}"] = _pair(dtype, lambda a, b: a >> b)
        for source in ("float16", "bfloat16", "float32", "float64"):
            functions[f"{source}_to_{dtype}"] = _conversion(source, dtype)
    table = _vector("table", size=te.var("k"))
    a, b = (_vector(name, "int32", te.var("n")) for name in "ab")
    b = _vector("b", "int32", a.shape[0])
    functions["in_index"] = [table, a, b, te.compute(a.shape, lambda i: table[a[i] // b[i]])]
    functions["in_condition"] = _pair("int32", lambda a, b: te.if_then_else(a // b > 1, a, b))
    functions["unless_zero"] = _pair("int32", lambda a, b: te.if_then_else(b != 0, a // b, -1))
    functions["selected"] = _pair("int32", lambda a, b: tirx.Select(b != 0, a // b, tirx.const(-1)))
    functions["conjunction"] = _pair(
        "int32", lambda a, b: tirx.Cast("int32", tirx.all(b != 0, a // b > 3))
    )
    p = te.placeholder((te.var("n"), te.var("m")), "int32", name="p")
    q = te.placeholder(p.shape, "int32", name="q")
    k = te.reduce_axis((0, p.shape[1]))
    functions["in_sum"] = [p, q, te.compute(p.shape[:1], lambda i: te.sum(p[i, k] // q[i, k], k))]
    rows = te.compute(p.shape[:1], lambda i: te.floordiv(i * 3, p.shape[1]))
    functions["by_size"] = [p, te.compute(p.shape[:1], lambda i: rows[i] + p[i, 0])]
    x, attr = _vector("x", "int32"), te.var("k")
    by_attr = te.compute(x.shape, lambda i: x[i] // attr + (x[i] << attr))
    functions["by_attr"] = te.create_prim_func([x, attr, by_attr])
    x, y, z = _pair("int32", tirx.floordiv)
    schedule = s_tir.Schedule(te.create_prim_func([x, y, z]))
    (loop,) = schedule.get_loops(schedule.get_sblock("z"))
    outer, inner = schedule.split(loop, [None, 16])
    schedule.parallel(outer)
    schedule.vectorize(inner)
    functions["scheduled"] = schedule
    functions["loop_bound"] = _loop_bound
    functions["written_scatter"] = _written_scatter
    functions["empty_rows"] = _scheduled_sum()
    return functions


@T.prim_func(s_tir=True)
def _loop_bound(a_h: T.handle, b_h: T.handle, y_h: T.handle):
    n = T.int32()
    a = T.match_buffer(a_h, (n,), "int32")
    b = T.match_buffer(b_h, (n,), "int32")
    y = T.match_buffer(y_h, (n,), "int32")
    for i in T.parallel(n):
        y[i] = 0
        for j in range(a[i] // b[i]):
            y[i] = y[i] + j


@T.prim_func(s_tir=True)
def _written_scatter(x_h: T.handle, index_h: T.handle, start_h: T.handle, y_h: T.handle):
    n, m = T.int32(), T.int32()
    x = T.match_buffer(x_h, (m,), "float32")
    index = T.match_buffer(index_h, (m,), "int32")
    start = T.match_buffer(start_h, (n,), "float32")
    y = T.match_buffer(y_h, (n,), "float32")
    for i in range(n):
        y[i] = start[i]
    for i in T.parallel(m):
        y[index[i] * 2] = x[i]


def _scheduled_sum():
    x = te.placeholder((te.var("n"), te.var("m")), name="x")
    k = te.reduce_axis((0, x.shape[1]), name="k")
    y = te.compute(x.shape[:1], lambda i: te.sum(x[i, k], k), name="y")
    schedule = s_tir.Schedule(te.create_prim_func([x, y]))
    schedule.parallel(schedule.get_loops(schedule.get_sblock("y"))[0])
    return schedule


@pytest.fixture(scope="module")
def module():
    return tftvm.build(_functions())


def _operands(dtype):
    """Return all pairs of special operands, so many that vectors are filled too."""
    limits = np.iinfo(dtype)
    special = [0, 1, 2, 3, 7, limits.max, limits.max - 1, limits.min, limits.min + 1]
    special += [-1, -2, -3, -7] if limits.min else [limits.max // 2, limits.max // 3]
    values = np.array(special, dtype)
    a, b = np.meshgrid(values, values)
    return np.tile(a.ravel(), 3), np.tile(b.ravel(), 3)


@pytest.mark.parametrize("dtype", _INTEGERS)
@pytest.mark.parametrize("name", _DIVISIONS)
def test_division_wraps_or_is_refused(module, name, dtype):
    a, b = _operands(dtype)
    function = module[f"{name}_{dtype}"]
    kept = b != 0
    least = np.iinfo(dtype).min
    with np.errstate(all="ignore"):
        result = _DIVISIONS[name][1](a[kept], b[kept])
        if name == "truncdiv":
            result = (result // b[kept]).astype(dtype)
    wraps = (a[kept] == least) & (b[kept] == -1) if least else np.zeros(kept.sum(), bool)
    expected = np.where(wraps, 0 if "mod" in name else least, result).astype(dtype)
    np.testing.assert_array_equal(function(a[kept], b[kept]), expected)
    with pytest.raises(Refused, match="integer division by zero: x.* y"):
        function(a, b)


def test_division_by_zero_in_every_execution(module, run):
    function = module["floordiv_int32"]
    a, b = np.int32([7, 8]), np.int32([2, 0])
    with pytest.raises(Refused, match="TVM function 'floordiv_int32'.*integer division by zero"):
        run(function, a, b)
    np.testing.assert_array_equal(run(function, a, b + 1), [2, 8])


def test_division_by_zero_under_xla(module):
    function = tf.function(module["floormod_int32"], jit_compile=True)
    np.testing.assert_array_equal(function(tf.constant([7, 8]), tf.constant([2, 3])), [1, 2])
    with pytest.raises(Refused, match="integer division by zero"):
        function(tf.constant([7, 8]), tf.constant([2, 0]))


@pytest.mark.parametrize("name", ["in_condition", "loop_bound", "scheduled"])
def test_divisors_from_data(module, name):
    a, b = np.arange(40, dtype=np.int32), np.full(40, 3, np.int32)
    quotients = a // 3
    expected = {
        "in_condition": np.where(quotients > 1, a, b),
        "loop_bound": quotients * (quotients - 1) // 2,
        "scheduled": quotients,
    }[name]
    np.testing.assert_array_equal(module[name](a, b), expected)
    b[-1] = 0
    with pytest.raises(Refused, match="integer division by zero"):
        module[name](a, b)


def test_divisor_in_an_index(module):
    table, a = np.float32([0, 1, 2]), np.int32([4, 100])
    np.testing.assert_array_equal(module["in_index"](table, a, np.int32([2, 3])), [2, 2])
    with pytest.raises(Refused, match="integer division by zero"):
        module["in_index"](table, a, np.int32([2, 0]))


def test_divisor_in_a_reduction(module):
    a = np.full((5, 130), 6, np.int32)
    b = np.full_like(a, 4)
    np.testing.assert_array_equal(module["in_sum"](a, b), [130] * 5)
    b[4, 129] = 0
    with pytest.raises(Refused, match="integer division by zero"):
        module["in_sum"](a, b)
    assert module["in_sum"](a[:0], b[:0]).shape == (0,)


@pytest.mark.parametrize(
    "name, expected", [("unless_zero", -1), ("selected", -1), ("conjunction", 0)]
)
def test_division_that_is_not_reached(module, name, expected):
    found = module[name](np.int32([8, 8]), np.int32([1, 0]))
    np.testing.assert_array_equal(found, [8 if expected else 1, expected])


def test_division_by_a_size(module):
    ones = np.ones((4, 2), np.int32)
    np.testing.assert_array_equal(module["by_size"](ones), [1, 2, 4, 5])
    assert module["by_size"](ones[:0, :0]).shape == (0,)
    with pytest.raises(Refused, match="outside p|by zero: v_i \\* 3 // m"):
        module["by_size"](ones[:, :0])


def test_division_and_shift_by_an_attr(module):
    x = tf.constant([7, -9])
    np.testing.assert_array_equal(module["by_attr"](x, k=2), [3 + 28, -5 - 36])
    np.testing.assert_array_equal(module["by_attr"](x[:0], k=0), [])
    shifted = tf.bitwise.left_shift(x, [40, 40]).numpy()
    np.testing.assert_array_equal(module["by_attr"](x, k=40), x.numpy() // 40 + shifted)
    with pytest.raises(Refused, match="by zero: x.* // k"):
        module["by_attr"](x, k=0)


@pytest.mark.parametrize("dtype", _INTEGERS)
def test_shifts_are_tensorflows(module, dtype):
    a, b = _operands(dtype)
    left, right = module[f"left_{dtype}"](a, b), module[f"right_{dtype}"](a, b)
    np.testing.assert_array_equal(left, tf.bitwise.left_shift(a, b))
    np.testing.assert_array_equal(right, tf.bitwise.right_shift(a, b))


@pytest.mark.parametrize("dtype", _INTEGERS)
@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "float64"])
def test_floats_become_the_nearest_integers(module, source, dtype):
    limits = np.iinfo(dtype)
    values = [0.5, -0.5, -1.0, -0.99, 7.9, -7.9, np.inf, -np.inf, np.nan, 1e30, -1e30, -0.0]
    values += [limits.max * f for f in (0.5, 0.99, 1.0, 1.01)]
    values += [limits.min * f for f in (0.5, 0.99, 1.0, 1.01)]
    x = tf.cast(tf.constant(values * 5, tf.float64), source)
    expected = [_nearest(float(v), limits) for v in tf.cast(x, tf.float64).numpy()]
    found = module[f"{source}_to_{dtype}"](x)
    np.testing.assert_array_equal(found, np.array(expected, dtype))


def _nearest(value, limits):
    if np.isnan(value):
        return 0
    if np.isinf(value):
        return limits.max if value > 0 else limits.min
    return min(max(int(value), limits.min), limits.max)


def test_a_divisor_that_is_not_zero_costs_nothing():
    x, y = _vector("x", "int32"), te.placeholder((te.var("n"), te.var("m")), "int32", name="y")
    for formula in (
        te.compute(x.shape, lambda i: x[i] // 7),
        te.compute(x.shape, lambda i: x[i] // (te.max(x[i], 0) + 1)),
        topi.reshape(y, (y.shape[0] * y.shape[1],)),
    ):
        function = te.create_prim_func([x, y, formula])
        script = schedules.apply(function, targets.parse("host")).script()
        assert "assert" not in script


@pytest.mark.parametrize("sizes", [(0, 5), (2, 2), (2, 9), (9, 2)])
def test_two_sizes_below_zero(sizes):
    @tftvm.op(shapes=["a b"])
    def total(x):
        c = te.compute([s - 3 for s in x.shape], lambda i, j: te.exp(x[i + 3, j + 3]), name="c")
        i, j = (te.reduce_axis((0, s)) for s in c.shape)
        return te.compute((1,), lambda _: te.sum(c[i, j], axis=[i, j]))

    with pytest.raises(Refused, match=r"TVM function 'total'.*c has the shape \[a - 3, b - 3\]"):
        total(tf.zeros(sizes))
    np.testing.assert_array_equal(total(tf.zeros([3, 2 + 3])), [0])
    np.testing.assert_array_equal(total(tf.zeros([5, 4])), [2])


def test_a_size_below_zero_in_a_gradient():
    @tftvm.op(shapes=["n"], gradient="auto")
    def tail(x):
        return topi.sum(te.compute((x.shape[0] - 3,), lambda i: te.exp(x[i + 3])), axis=0)

    x = tf.Variable(tf.zeros([5]))
    with tf.GradientTape() as tape:
        y = tail(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 0, 0, 1, 1])
    with pytest.raises(Refused, match="is negative"):
        tail(x[:2])


def test_a_loop_below_zero():
    @T.prim_func(s_tir=True)
    def first(x_h: T.handle, y_h: T.handle):
        n = T.int32()
        x = T.match_buffer(x_h, (n,), "float32")
        y = T.match_buffer(y_h, (1,), "float32")
        y[0] = T.float32(1)
        for i in range(n - 2):
            y[0] = y[0] + x[i]

    function = tftvm.build(first)["first"]
    np.testing.assert_array_equal(function(tf.ones([4])), [3])
    np.testing.assert_array_equal(function(tf.ones([2])), [1])
    with pytest.raises(Refused, match="its loop i has n - 2 elements, a negative number"):
        function(tf.ones([1]))


def test_nothing_is_demanded_where_nothing_is_computed():
    sums = tftvm.op(lambda x: topi.cumsum(x, axis=0), shapes=["n"])
    np.testing.assert_array_equal(sums(tf.constant([1, 2, 3])), [1, 3, 6])
    assert sums(tf.zeros([0])).shape == (0,)

    @tftvm.op(shapes=["a b"])
    def rows(x):
        c = te.compute((x.shape[0], x.shape[1] - 3), lambda i, j: te.exp(x[i, j]))
        k = te.reduce_axis((0, x.shape[1] - 3))
        return te.compute(x.shape[:1], lambda i: te.sum(c[i, k], k))

    assert rows(tf.zeros([0, 1])).shape == (0,)
    with pytest.raises(Refused, match="is negative"):
        rows(tf.zeros([1, 1]))


def test_a_schedule_of_a_sum_of_nothing(module):
    function = module["empty_rows"]
    np.testing.assert_array_equal(function(tf.ones([3, 4])), [4, 4, 4])
    assert function(tf.ones([0, 0])).shape == (0,)
    with pytest.raises(Refused, match="in step 'y', it reduces m elements: none"):
        function(tf.ones([3, 0]))


_DATA = np.arange(1, 6, dtype=np.float32)
_INDEX = np.int64([0, -2, 3, 10**8, -(10**9)])
_UPDATES = np.float32([10, 20, 30, 40, 50])
# What is computed before the scatter, and what is computed from its result.
_SCATTERS = {
    "index computed": lambda a, i, u: topi.scatter_elements(a, i + 1, u, 0),
    "index put": lambda a, i, u: topi.index_put(a, [i + 1], u),
    "updates computed": lambda a, i, u: topi.scatter_elements(
        a, i + 1, te.compute(u.shape, lambda k: u[k] * 2.0 - u[k]), 0
    ),
    "index gathered": lambda a, i, u: topi.scatter_elements(
        a, topi.take(i, topi.arange(0, 5, 1, "int64"), 0) + 1, u, 0
    ),
    "index reshaped": lambda a, i, u: topi.scatter_nd(
        a, topi.reshape(te.compute(i.shape, lambda k: i[k] + 1), (1, i.shape[0])), u, "update"
    ),
    "data computed": lambda a, i, u: topi.scatter_elements(
        te.compute(a.shape, lambda k: te.exp(te.log(a[k]))), i + 1, u, 0
    ),
    "result used": lambda a, i, u: topi.add(
        topi.scatter_elements(a, i + 1, u, 0), tirx.const(0.0, "float32")
    ),
}


@pytest.fixture(scope="module")
def scatters():
    functions = {}
    for n, scatter in enumerate(_SCATTERS.values()):
        a, i = _vector("a"), te.placeholder((5,), "int64", name="i")
        u = te.placeholder((5,), "float32", name="u")
        functions[f"scatter_{n}"] = [a, i, u, scatter(a, i, u)]
    return tftvm.build(functions)


@pytest.mark.parametrize("name", _SCATTERS)
def test_a_scatter_writes_nowhere_else(scatters, name):
    function = scatters[f"scatter_{list(_SCATTERS).index(name)}"]
    found = function(_DATA, _INDEX, _UPDATES).numpy()
    # Index 1 gets 10, and 4 gets 30; -1 is the last, or outside, as the operator has it.
    last = {5.0 + 0 * name.count("reshaped"), 30.0}
    np.testing.assert_allclose(found[:4], [1, 10, 3, 4], rtol=1e-6)
    assert found[4] in last
    np.testing.assert_allclose(
        function(np.ones(9, np.float32), _INDEX * 0 + 10**15, _UPDATES), np.ones(9)
    )


def test_a_scatter_by_hand_writes_nowhere_else(module):
    found = module["written_scatter"](
        tf.constant([10.0, 20.0, 30.0, 40.0]), tf.constant([1, -1, 2, 10**9]), tf.constant(_DATA)
    )
    np.testing.assert_array_equal(found, [1, 2, 10, 4, 30])


def test_a_scatter_in_a_gradient_writes_nowhere_else():
    def gradient(x, index, y, grad):
        zeros = te.compute(x.shape, lambda i: tirx.const(0.0, "float32"))
        doubled = te.compute(grad.shape, lambda i: grad[i] * 2.0)
        return topi.scatter_elements(zeros, index, doubled, 0, "add")

    @tftvm.op(shapes=["n", "m"], gradient=gradient)
    def pick(x, index):
        return te.compute(index.shape, lambda i: x[index[i]] * 2.0)

    x = tf.Variable(_DATA)
    with tf.GradientTape() as tape:
        y = pick(x, tf.constant([1, 1, 10**9, -(10**9)]))
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 4, 0, 0, 0])


def test_memory_of_calls_that_fail_is_freed():
    @tftvm.op(shapes=["n", "n"])
    def fails(x, d):
        c = te.compute(x.shape, lambda i: te.exp(x[i]))
        k = te.reduce_axis((0, x.shape[0]))
        total = te.compute((1,), lambda _: te.sum(c[k], k))
        return te.compute(x.shape, lambda i: (c[i] * total[0]).astype("int32") // d[i])

    x, d = tf.ones([1 << 20]), tf.zeros([1 << 20], tf.int32)

    def fail(times):
        for _ in range(times):
            with pytest.raises(Refused, match="by zero"):
                fails(x, d)
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    before = fail(3)
    assert fail(40) - before < 40 * 4 * (1 << 20) // 4


def test_an_index_near_the_most_of_64_bits():
    @tftvm.op(shapes=["n", "k", "k"])
    def put(x, index, updates):
        shorter = te.compute((x.shape[0] - 2,), lambda i: x[i])
        return topi.index_put(shorter, [index], updates)

    index = tf.constant([2**63 - 1, -(2**63), 1, 2**63 - 2], tf.int64)
    found = put(tf.constant([1.0, 2.0, 3.0, 4.0]), index, tf.constant([5.0, 6.0, 7.0, 8.0]))
    np.testing.assert_array_equal(found, [1, 7])


def test_conversions_of_integers_wrap():
    @tftvm.op(shapes=["n", "n"])
    def divide(x, y):
        return te.compute(
            x.shape, lambda i: te.floordiv(x[i], y[i].astype("uint32").astype("int8"))
        )

    x = np.int8([49, 49, 7])
    np.testing.assert_array_equal(divide(x, np.int32([-6, 6, 258])), [-9, 8, 3])
    with pytest.raises(Refused, match="by zero"):
        divide(x, np.int32([-6, 6, 256]))

    @tftvm.op(shapes=["n", "n"])
    def pick(x, index):
        wrapped = te.compute(index.shape, lambda i: index[i].astype("uint32").astype("int32"))
        return te.compute(index.shape, lambda i: x[wrapped[i]])

    np.testing.assert_array_equal(pick(_DATA, np.int32([-6, 0, 4, 9, 1])), [1, 1, 5, 5, 2])


def test_a_condition_is_not_believed_once_it_may_have_changed():
    @T.prim_func(s_tir=True)
    def store(x: T.Buffer((10,), "int32"), y: T.Buffer((10,), "int32")):
        at = T.alloc_buffer((1,), "int32")
        for i in range(10):
            y[i] = 0
        at[0] = x[0]
        if at[0] >= 0 and at[0] < 10:
            at[0] = x[1]
            y[at[0]] = 7

    function = tftvm.build(store)["store"]
    x = np.zeros(10, np.int32)
    x[1] = 200_000_000
    np.testing.assert_array_equal(function(x), np.zeros(10))
    x[1] = 3
    assert function(x).numpy()[3] == 7


def test_a_loop_that_is_not_reached_may_be_below_zero():
    @T.prim_func(s_tir=True)
    def fill(x: T.Buffer(("n",), "int32"), y: T.Buffer((1,), "int32")):
        n = T.int32()
        y[0] = 0
        if x[0] > 0:
            for i in range(n - 3):
                y[0] = y[0] + x[i]

    function = tftvm.build(fill)["fill"]
    np.testing.assert_array_equal(function(np.int32([0, 1])), [0])
    np.testing.assert_array_equal(function(np.int32([1, 1])), [0])
    np.testing.assert_array_equal(function(np.int32([2, 3, 4, 5, 6])), [5])


def test_a_loop_that_32_bits_do_not_hold():
    @T.prim_func(s_tir=True)
    def count(x: T.Buffer(("n",), "int8"), z: T.Buffer(("m",), "int8"), y: T.Buffer((1,), "int8")):
        n, m = T.int32(), T.int32()
        y[0] = T.int8(1)
        for i in range(n * m):
            y[0] = x[i // m] + z[i % m]

    function = tftvm.build(count)["count"]
    np.testing.assert_array_equal(function(np.int8([1, 2]), np.int8([3, 4])), [6])
    with pytest.raises(Refused, match=r"its loop i has n \* m elements, and at most 2147483647"):
        function(np.zeros(65536, np.int8), np.zeros(32769, np.int8))


def test_a_scan_of_nothing_in_a_sum():
    total = tftvm.op(lambda x: topi.sum(topi.cumsum(x, axis=0, exclusive=True)), shapes=["n"])
    assert total(tf.zeros([0])).numpy() == 0
    assert total(tf.constant([1.0, 2.0, 3.0])).numpy() == 4
