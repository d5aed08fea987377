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
"""Default schedules and bounds: results are right, and nothing outside a tensor is accessed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import s_tir, te, tirx, topi
from tvm.script import tirx as T
from tvm_ffi.structural import structural_equal

import tensorflow_tvm as tftvm
from tensorflow_tvm import schedules
from tensorflow_tvm.schedules import temporaries

LLVM = {"kind": "llvm", "num-cores": 2}
InvalidArgumentError = tf.errors.InvalidArgumentError


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def compiled(monkeypatch):
    """The modules that were given to TVM's compiler, which does not find them in the cache."""
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "")
    modules = []
    compile_ = tvm.compile

    def spy(module, *args, **kwargs):
        modules.append(module)
        return compile_(module, *args, **kwargs)

    monkeypatch.setattr(tvm, "compile", spy)
    return modules


def _input(shape, dtype="float32", seed=0):
    random = np.random.default_rng(seed)
    dtype = tf.as_dtype(dtype)
    if dtype == tf.bool:
        return random.integers(0, 2, shape).astype(bool)
    if dtype.is_integer:
        return random.integers(0 if dtype.is_unsigned else -9, 9, shape).astype(
            dtype.as_numpy_dtype
        )
    return random.standard_normal(shape).astype(dtype.as_numpy_dtype)


def _sum(extent):
    return te.reduce_axis((0, extent), name="k")


# Functions on TE tensors, and below what they compute in NumPy.


def _elementwise(x):
    return te.compute(x.shape, lambda i, j: te.tanh(x[i, j]) * 2.0 + 1.0)


def _broadcast(x, row, column):
    return te.compute(x.shape, lambda i, j: x[i, j] * row[j] + column[i])


def _outer(x, y):
    return te.compute((x.shape[0], y.shape[0]), lambda i, j: x[i] * y[j])


def _transpose(x):
    n, m = x.shape
    return te.compute((m, n), lambda i, j: x[j, i])


def _transpose3(x):
    a, b, c = x.shape
    return te.compute((c, a, b), lambda i, j, k: x[j, k, i])


def _sum_rows(x):
    k = _sum(x.shape[1])
    return te.compute(x.shape[:1], lambda i: te.sum(x[i, k], k))


def _sum_columns(x):
    k = _sum(x.shape[0])
    return te.compute(x.shape[1:], lambda j: te.sum(x[k, j], k))


def _max_columns(x):
    k = _sum(x.shape[0])
    return te.compute(x.shape[1:], lambda j: te.max(x[k, j], k))


def _sum_all(x):
    k, r = (_sum(size) for size in x.shape)
    return te.compute((), lambda: te.sum(x[k, r], [k, r]))


def _sum_middle(x):
    k = _sum(x.shape[1])
    return te.compute((x.shape[0], x.shape[2]), lambda i, j: te.sum(x[i, k, j], k))


def _matmul(a, b):
    k = _sum(a.shape[1])
    return te.compute((a.shape[0], b.shape[1]), lambda i, j: te.sum(a[i, k] * b[k, j], k))


def _matmul_transposed(a, b):
    k = _sum(a.shape[1])
    return te.compute((a.shape[0], b.shape[0]), lambda i, j: te.sum(a[i, k] * b[j, k], k))


def _batch_matmul(a, b):
    k = _sum(a.shape[2])
    return te.compute(
        (a.shape[0], a.shape[1], b.shape[2]), lambda n, i, j: te.sum(a[n, i, k] * b[n, k, j], k)
    )


def _matvec(a, x):
    k = _sum(a.shape[1])
    return te.compute(a.shape[:1], lambda i: te.sum(a[i, k] * x[k], k))


def _vecmat(x, a):
    k = _sum(a.shape[0])
    return te.compute(a.shape[1:], lambda j: te.sum(x[k] * a[k, j], k))


def _softmax(x):
    return topi.nn.softmax(x, axis=1)


def _softmax_in_numpy(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _normalise(x):
    n, m = x.shape
    k, r = _sum(m), _sum(m)
    mean = te.compute((n,), lambda i: te.sum(x[i, k] / m, k), name="mean")
    centred = te.compute((n, m), lambda i, j: x[i, j] - mean[i], name="centred")
    variance = te.compute(
        (n,), lambda i: te.sum(centred[i, r] * centred[i, r] / m, r), name="variance"
    )
    scaled = te.compute(
        (n, m), lambda i, j: centred[i, j] / te.sqrt(variance[i] + 1e-3), name="scaled"
    )
    return scaled, mean, variance


def _normalise_in_numpy(x):
    mean, variance = x.mean(1), x.var(1)
    return (x - mean[:, None]) / np.sqrt(variance + 1e-3)[:, None], mean, variance


def _dense_relu(x, w, b):
    y = _matmul(x, w)
    z = te.compute(y.shape, lambda i, j: y[i, j] + b[j], name="biased")
    zero = tirx.const(0, "float32")
    return te.compute(y.shape, lambda i, j: tirx.max(z[i, j], zero), name="relu")


def _convolve(x, w):
    n, m = x.shape[0], w.shape[0]
    k = _sum(m)
    return te.compute((n - m + 1,), lambda i: te.sum(x[i + k] * w[k], k))


def _pad(x):
    n, m = x.shape
    zero = tirx.const(0, "float32")
    return te.compute(
        (n + 2, m + 3),
        lambda i, j: te.if_then_else(
            tirx.all(i >= 1, i < n + 1, j >= 2, j < m + 2), x[i - 1, j - 2], zero
        ),
    )


def _reverse(x):
    n, m = x.shape
    return te.compute((n, m), lambda i, j: x[n - 1 - i, m - 1 - j])


def _every_other(x):
    return te.compute((x.shape[0] // 2,), lambda i: x[2 * i + 1] - x[2 * i])


def _flatten(x):
    n, m = x.shape
    return te.compute((n * m,), lambda i: x[tirx.indexdiv(i, m), tirx.indexmod(i, m)])


def _gather(x, rows):
    return te.compute((rows.shape[0], x.shape[1]), lambda i, j: x[rows[i], j])


def _concatenate(x, y):
    n, m = x.shape[0], y.shape[0]
    return te.compute((n + m,), lambda i: te.if_then_else(i < n, x[i], y[i - n]))


def _diagonal(x):
    return te.compute(x.shape[:1], lambda i: x[i, i])


def _compare(x, y):
    return te.compute(x.shape, lambda i, j: x[i, j] < y[i, j])


def _extremes(x):
    return topi.max(x, axis=1), topi.min(x, axis=0), topi.argmax(x, axis=1)


_SIZES_1 = [(1,), (2,), (3,), (8,), (17,), (1000,), (20000,)]
_SIZES_2 = [(1, 1), (1, 8), (7, 1), (3, 5), (16, 16), (17, 33), (64, 20), (130, 257), (160, 160)]
_SIZES_3 = [(1, 1, 1), (2, 3, 5), (16, 8, 12), (5, 70, 64), (33, 17, 40)]


@dataclasses.dataclass
class Case:
    function: Callable
    shapes: list[str]
    reference: Callable
    sizes: list[tuple[int, ...]]

    @property
    def name(self):
        return self.function.__name__.strip("_")

    def inputs(self, sizes):
        """Return arrays for sizes of the symbols in the order in which they appear."""
        symbols = dict.fromkeys(" ".join(self.shapes).split())
        values = dict(zip(symbols, sizes, strict=True))
        arrays = []
        for i, shape in enumerate(self.shapes):
            size = [values[symbol] for symbol in shape.split()]
            arrays.append(_input(size, seed=i))
        return arrays

    def check(self, op, sizes):
        arrays = self.inputs(sizes)
        outputs, expected = op(*arrays), self.reference(*arrays)
        if not isinstance(expected, tuple):
            outputs, expected = (outputs,), (expected,)
        assert len(outputs) == len(expected)
        for output, array in zip(outputs, expected, strict=True):
            assert output.shape == array.shape, sizes
            message = f"sizes {sizes}"
            np.testing.assert_allclose(output, array, rtol=1e-4, atol=1e-4, err_msg=message)


CASES = [
    Case(_elementwise, ["n m"], lambda x: np.tanh(x) * 2 + 1, _SIZES_2),
    Case(_broadcast, ["n m", "m", "n"], lambda x, r, c: x * r + c[:, None], _SIZES_2),
    Case(_outer, ["n", "m"], np.outer, _SIZES_2),
    Case(_transpose, ["n m"], np.transpose, _SIZES_2),
    Case(_transpose3, ["a b c"], lambda x: x.transpose(2, 0, 1), _SIZES_3),
    Case(_sum_rows, ["n m"], lambda x: x.sum(1), _SIZES_2),
    Case(_sum_columns, ["n m"], lambda x: x.sum(0), _SIZES_2),
    Case(_max_columns, ["n m"], lambda x: x.max(0), _SIZES_2),
    Case(_sum_all, ["n m"], lambda x: np.asarray(x.sum()), [*_SIZES_2, (1, 20000)]),
    Case(_sum_middle, ["a b c"], lambda x: x.sum(1), _SIZES_3),
    Case(_matmul, ["n k", "k m"], np.matmul, [*_SIZES_3, (64, 64, 64), (1, 300, 80)]),
    Case(_matmul_transposed, ["n k", "m k"], lambda a, b: a @ b.T, _SIZES_3),
    Case(
        _batch_matmul, ["b n k", "b k m"], np.matmul, [(1, 1, 1, 1), (3, 5, 7, 9), (4, 32, 8, 32)]
    ),
    Case(_matvec, ["n k", "k"], np.matmul, _SIZES_2),
    Case(_vecmat, ["k", "k m"], np.matmul, _SIZES_2),
    Case(_softmax, ["n m"], _softmax_in_numpy, _SIZES_2),
    Case(_normalise, ["n m"], _normalise_in_numpy, _SIZES_2),
    Case(_dense_relu, ["n k", "k m", "m"], lambda x, w, b: np.maximum(x @ w + b, 0), _SIZES_3),
    Case(
        _convolve,
        ["n", "k"],
        lambda x, w: np.correlate(x, w, "valid"),
        [(1, 1), (5, 5), (33, 3), (20000, 7)],
    ),
    Case(_pad, ["n m"], lambda x: np.pad(x, ((1, 1), (2, 1))), _SIZES_2),
    Case(_reverse, ["n m"], lambda x: x[::-1, ::-1], _SIZES_2),
    Case(_every_other, ["n"], lambda x: x[1::2] - x[: len(x) - 1 : 2], _SIZES_1),
    Case(_flatten, ["n m"], np.ravel, _SIZES_2),
    Case(_concatenate, ["n", "m"], lambda x, y: np.concatenate([x, y]), _SIZES_2),
    Case(_diagonal, ["n n"], np.diagonal, _SIZES_1[:-2]),
    Case(_compare, ["n m", "n m"], np.less, _SIZES_2),
    Case(_extremes, ["n m"], lambda x: (x.max(1), x.min(0), x.argmax(1)), _SIZES_2),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@each_case
def test_static_sizes(case):
    op = tftvm.op(case.function)
    # The rest is for symbolic sizes: a build for each takes its time.
    for sizes in case.sizes[1::3]:
        case.check(op, sizes)


@each_case
def test_symbolic_sizes(case):
    op = tftvm.op(case.function, shapes=case.shapes)
    for sizes in case.sizes:
        case.check(op, sizes)


@each_case
def test_sizes_that_are_unknown_and_unrelated(case):
    """Each dimension has a symbol of its own: the sizes that agree are still right."""
    op = tftvm.op(case.function)
    ranks = [len(shape.split()) for shape in case.shapes]
    signature = [tf.TensorSpec([None] * rank, tf.float32) for rank in ranks]
    graph = tf.function(op, input_signature=signature, autograph=False)
    for sizes in case.sizes[:4] + case.sizes[-1:]:
        case.check(graph, sizes)


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_target_c(case):
    op = tftvm.op(case.function, shapes=case.shapes, target="c")
    for sizes in case.sizes[1:5]:
        case.check(op, sizes)


@pytest.mark.parametrize("name", ["elementwise", "sum_columns", "matmul", "concatenate", "pad"])
def test_no_elements(name):
    """The sums here have their last axis inside: nothing to add up gives zeros."""
    case = next(case for case in CASES if case.name == name)
    op = tftvm.op(case.function, shapes=case.shapes)
    several = tftvm.op(case.function)
    count = len(case.sizes[0])
    for sizes in itertools.product((0, 3), repeat=count):
        case.check(op, sizes)
        case.check(several, sizes)


@pytest.mark.parametrize("shapes", [None, ["n m"]], ids=["specialised", "symbolic"])
def test_reduction_of_no_elements(shapes):
    @tftvm.op(shapes=shapes)
    def function(x):
        k, r = _sum(x.shape[1]), _sum(x.shape[1])
        total = te.compute(x.shape[:1], lambda i: te.sum(x[i, k], k), name="total")
        return total, te.compute(x.shape[:1], lambda i: te.max(x[i, r], r), name="largest")

    tf.fill([3], 7.0)  # its memory is free again
    total, largest = function(tf.zeros([3, 0]))
    np.testing.assert_array_equal(total, np.zeros(3))
    np.testing.assert_array_equal(largest, np.full(3, -np.inf))


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (0, 0), (5, 0, 2), (0,)], ids=str)
def test_no_elements_of_static_sizes(shape):
    x = te.placeholder(shape, "float32", name="x")
    functions = {
        "exp": topi.exp(x),
        "total": topi.sum(x),
        "sum": topi.exp(topi.sum(x, axis=-1)),
        "softmax": topi.nn.softmax(x),
        "padded": topi.nn.pad(x, [1] * len(shape)),
        "transposed": topi.transpose(x),
        "sorted": topi.sort(x),
    }
    module = tftvm.build({name: [result] for name, result in functions.items()})
    zeros = tf.zeros(shape)
    expected = {
        "exp": zeros,
        "total": 0,
        "sum": tf.ones(shape[:-1]),
        "softmax": zeros,
        "padded": tf.zeros([size + 2 for size in shape]),
        "transposed": tf.transpose(zeros),
        "sorted": zeros,
    }
    for name, result in expected.items():
        np.testing.assert_array_equal(module[name](zeros), result, err_msg=name)


def test_product_over_no_elements():
    x, w = te.placeholder((3, 0), name="x"), te.placeholder((0, 7), name="w")
    function = tftvm.build([x, w, topi.matmul(x, w)])["main"]
    np.testing.assert_array_equal(function(tf.zeros([3, 0]), tf.zeros([0, 7])), np.zeros((3, 7)))


_NUMBERS = [
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
]


@pytest.mark.parametrize("dtype", _NUMBERS)
def test_dtypes(dtype):
    """Elementwise, and sums over rows and columns: vectors of all widths."""

    def function(a, b):
        k, r = _sum(a.shape[1]), _sum(a.shape[0])
        total = te.compute(a.shape, lambda i, j: a[i, j] + b[i, j], name="total")
        # Sums of small numbers, so that no dtype loses one.
        rows = te.compute(a.shape[:1], lambda i: te.max(a[i, k], k), name="rows")
        columns = te.compute(a.shape[1:], lambda j: te.min(a[r, j], r), name="columns")
        return total, rows, columns, _matmul(a, b)

    a, b = _input((32, 32), dtype, 1), _input((32, 32), dtype, 2)
    tolerance = {"float16": 0.05, "bfloat16": 0.5, "float32": 1e-4, "float64": 1e-10}.get(dtype, 0)
    wide = np.float64 if tolerance else a.dtype
    product = a.astype(wide) @ b.astype(wide)
    for op in (tftvm.op(function), tftvm.op(function, shapes=["n n", "n n"])):
        total, rows, columns, matrix = (y.numpy() for y in op(a, b))
        assert total.dtype == rows.dtype == columns.dtype == matrix.dtype == a.dtype
        np.testing.assert_array_equal(total, a + b)
        np.testing.assert_array_equal(rows, a.max(1))
        np.testing.assert_array_equal(columns, a.min(0))
        np.testing.assert_allclose(matrix.astype(wide), product, tolerance, tolerance)


def test_bfloat16_of_odd_sizes():
    a, b = _input((7, 9), "bfloat16", 1), _input((9, 5), "bfloat16", 2)
    product = a.astype(np.float64) @ b.astype(np.float64)
    for op in (tftvm.op(_matmul), tftvm.op(_matmul, shapes=["n k", "k m"])):
        np.testing.assert_allclose(op(a, b).numpy().astype(np.float64), product, 0.1, 0.1)


@pytest.mark.parametrize("n", [5, 32])
@pytest.mark.parametrize("dtype", [*_NUMBERS, "bool", "float8_e4m3fn", "float8_e5m2"])
def test_copies_of_every_dtype(dtype, n):
    x = _input((n,), dtype)
    y = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[n - 1 - i]))(x).numpy()
    assert y.dtype == x.dtype
    assert y.tobytes() == x[::-1].tobytes()


@pytest.mark.parametrize("n", [5, 16, 32, 40000])
def test_bools(n):
    @tftvm.op
    def function(x, y):
        return te.compute(x.shape, lambda i: tirx.any(tirx.Not(x[i]), y[i]))

    x, y = _input((n,), "bool", 1), _input((n,), "bool", 2)
    np.testing.assert_array_equal(function(x, y), ~x | y)


# The schedules themselves.


def _prim_func(function, *shapes):
    inputs = [te.placeholder(s, "float32", name=f"x{i}") for i, s in enumerate(shapes)]
    results = function(*inputs)
    outputs = list(results) if isinstance(results, (list, tuple)) else [results]
    return te.create_prim_func([*inputs, *outputs])


def _text(function, target=LLVM):
    return schedules.apply(function, tvm.target.Target(target)).script()


def test_large_loops_are_parallel():
    assert "T.parallel" in _text(_prim_func(_elementwise, (256, 256)))


def test_reductions_have_vectors_on_the_inside():
    text = _text(_prim_func(_matmul, (256, 256), (256, 256)))
    assert "T.parallel" in text
    assert text.rindex("T.vectorized") > text.rindex("range(256)")


@pytest.mark.parametrize("function", [_sum_rows, _sum_columns, _max_columns])
def test_reductions_are_parallel(function):
    text = _text(_prim_func(function, (1024, 2048)))
    assert "T.parallel" in text
    assert "T.vectorized" in text


@pytest.mark.parametrize("function", [_transpose, _sum_rows, _sum_columns])
def test_small_loops_are_not_parallel(function):
    assert "T.parallel" not in _text(_prim_func(function, (32, 32)))


def test_loops_of_unknown_length_are_parallel_where_they_are_long():
    text = _text(_prim_func(_transpose3, [te.var(name) for name in "nmk"]))
    assert text.count("T.parallel") == 1
    assert " < T.int64(" in text[: text.index("T.parallel")]


_TWICE = """
@T.prim_func(s_tir=True)
def twice(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
    t = T.sblock_alloc_buffer((4,), "float32")
    for i in range(4):
        with T.sblock("first"):
            v = T.axis.spatial(4, i)
            t[v] = x[v] * T.float32(2)
    for i in range(4):
        with T.sblock("second"):
            v = T.axis.spatial(4, i)
            {second}
    for i in range(4):
        with T.sblock("third"):
            v = T.axis.spatial(4, i)
            y[v] = t[v] + T.float32(1)
"""


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("t[v] = x[v] * T.float32(3)", lambda x: x * 3 + 1),
        ("t[v] = t[v] + x[v]", lambda x: x * 3 + 1),
        ("t[3 - v] = x[v] * T.float32(3)", lambda x: x[::-1] * 3 + 1),
    ],
)
def test_tensor_that_is_written_twice(second, expected):
    function = tvm.script.from_source(_TWICE.format(second=second))
    x = np.float32([1, 2, 3, 4])
    np.testing.assert_array_equal(tftvm.build(function)["twice"](x), expected(x))


def test_c_has_no_vectors():
    assert "T.vectorized" not in _text(_prim_func(_sum_rows, (256, 256)), {"kind": "c"})


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name) for case in CASES],
)
@pytest.mark.parametrize("static", [True, False])
def test_gpu_has_threads(case, static):
    shapes = [array.shape for array in case.inputs(case.sizes[-1])]
    if not static:
        symbols = {name: te.var(name) for name in dict.fromkeys(" ".join(case.shapes).split())}
        shapes = [tuple(symbols[name] for name in shape.split()) for shape in case.shapes]
    text = _text(_prim_func(case.function, *shapes), {"kind": "cuda", "arch": "sm_80"})
    assert "threadIdx.x" in text
    assert "T.parallel" not in text


def test_gpu_checks_bounds():
    function = _prim_func(_outer, (te.var("n"),), (te.var("m"),))
    assert "assert" not in _text(function, {"kind": "cuda", "arch": "sm_80"})
    x, y = (te.placeholder((te.var(name),), "float32", name=name) for name in "xy")
    function = te.create_prim_func([x, y, te.compute(x.shape, lambda i: x[i] + y[i])])
    assert "assert" in _text(function, {"kind": "cuda", "arch": "sm_80"})


# Temporary tensors.


@T.prim_func(s_tir=True)
def _local_tensor(x: T.Buffer(("n", 64), "float32"), y: T.Buffer(("n",), "float32")):
    n = T.int32()
    for i in T.parallel(n):
        sums = T.alloc_buffer((16,), "float32", scope="local")
        for lane in T.vectorized(16):
            sums[lane] = x[i, lane]
        for k in range(1, 4):
            for lane in T.vectorized(16):
                sums[lane] += x[i, k * 16 + lane]
        y[i] = 0.0
        for lane in T.unroll(16):
            y[i] += sums[lane]


@T.prim_func(s_tir=True)
def _local_number(x: T.Buffer(("n", 64), "float32"), y: T.Buffer(("n",), "float32")):
    n = T.int32()
    for i in T.parallel(n):
        total: T.float32 = 0.0
        for k in range(64):
            total += x[i, k]
        y[i] = total


@T.prim_func(s_tir=True)
def _local_views(x: T.Buffer(("n", 64), "float32"), y: T.Buffer(("n",), "float32")):
    n = T.int32()
    for i in T.parallel(n):
        row = T.alloc_buffer((64,), "float32", scope="local")
        square = T.decl_buffer((8, 8), "float32", data=row.data, scope="local")
        pointer: T.let[T.handle("float32", "local")] = row.data
        again = T.decl_buffer((64,), "float32", data=pointer, scope="local")
        for k in range(64):
            row[k] = x[i, k]
        again[0] = again[0] * 1.0
        y[i] = 0.0
        for j, k in T.grid(8, 8):
            y[i] += square[j, k]


def _local_block():
    n = te.var("n")
    x = te.placeholder((n, 64), "float32", name="x")
    schedule = s_tir.Schedule(te.create_prim_func([x, _sum_rows(x)]))
    (block,) = schedule.get_child_blocks(schedule.get_sblock("root"))
    write = schedule.cache_write(block, 0, "local")
    row, k = schedule.get_loops(block)
    schedule.reverse_compute_at(write, row)
    schedule.parallel(row)
    schedule.decompose_reduction(block, k)
    return schedule


def _allocates(function, path, target="host"):
    tftvm.export_library(function, path, name="f", target=target)
    return b"__TVMBackendAllocWorkspace" in path.read_bytes()


@pytest.mark.parametrize("target", ["host", "llvm"])
@pytest.mark.parametrize(
    "function",
    [_local_tensor, _local_number, _local_views, _local_block()],
    ids=["tensor", "number", "views", "block"],
)
def test_small_temporary_tensors_of_a_schedule_are_not_allocated(tmp_path, function, target):
    assert not _allocates(function, tmp_path / "f.so", target)
    x = _input((5, 64))
    sums = tftvm.Module(tmp_path / "f.so")["f"](x)
    np.testing.assert_allclose(sums, x.sum(1), rtol=1e-5, atol=1e-5)


def test_large_temporary_tensors_of_a_schedule_are_right():
    schedule = s_tir.Schedule(_two_stages())
    schedule.set_scope("t", 0, "local")
    a, b = _input((144, 144), seed=1), _input((144, 144), seed=2)
    function = tftvm.build(schedule)["main"]
    np.testing.assert_allclose(function(a, b), (a + 1) @ b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sizes", [(te.var("n"), te.var("m")), (1000, 64), (64, 10000)], ids=str)
@pytest.mark.parametrize(
    "function",
    [_sum_rows, _sum_columns, _max_columns, lambda x: topi.argmax(x, 1)],
    ids=["sum_rows", "sum_columns", "max_columns", "argmax"],
)
def test_accumulators_are_not_allocated(tmp_path, function, sizes):
    assert not _allocates(_prim_func(function, sizes), tmp_path / "f.so")


def test_shares_of_threads_are_computed_once():
    """TVM puts what variables stand for into their place, in loops as well."""
    target = tvm.target.Target(LLVM)
    function = schedules.apply(_prim_func(_sum_rows, (te.var("n"), te.var("m"))), target)
    pipeline, _, _ = tvm.tirx.get_tir_pipeline("s_tir")
    function = function.with_attrs({"global_symbol": "f", "target": target.with_host(target)})
    text = pipeline(tvm.IRModule({"f": function})).script()
    assert text.count("32768") == 1  # the least that a thread is given, by which it is divided


# What its author scheduled.


def _two_stages(n=144):
    a, b = (te.placeholder((n, n), "float32", name=name) for name in "ab")
    k = te.reduce_axis((0, n), "k")
    t = te.compute((n, n), lambda i, j: a[i, j] + 1.0, name="t")
    c = te.compute((n, n), lambda i, j: te.sum(t[i, k] * b[k, j], k), name="c")
    return te.create_prim_func([a, b, c])


def _reorder(s):
    i, j, k = s.get_loops("c")
    s.reorder(k, j, i)


def _unroll(s):
    s.unroll(s.get_loops("t")[1])


def _annotate_loop(s):
    s.annotate(s.get_loops("t")[1], "pragma_auto_unroll_max_step", 4)


STEPS = {
    "fuse": lambda s: s.fuse(*s.get_loops("c")[:2]),
    "split": lambda s: s.split(s.get_loops("c")[0], [None, 4]),
    "parallel": lambda s: s.parallel(s.get_loops("c")[0]),
    "vectorize": lambda s: s.vectorize(s.get_loops("t")[1]),
    "unroll": _unroll,
    "annotate_loop": _annotate_loop,
    "compute_at": lambda s: s.compute_at("t", s.get_loops("c")[0]),
    "reorder": _reorder,
    "decompose_reduction": lambda s: s.decompose_reduction("c", s.get_loops("c")[2]),
    "compute_inline": lambda s: s.compute_inline("t"),
    "cache_write": lambda s: s.cache_write("c", 0, "local"),
    "set_scope": lambda s: s.set_scope("t", 0, "local"),
    "storage_align": lambda s: s.storage_align("t", 0, 0, 64, 8),
    "transform_layout": lambda s: s.transform_layout("t", ("write", 0), lambda i, j: (j, i)),
    "blockize": lambda s: s.blockize(s.get_loops("c")[1]),
}


@pytest.mark.parametrize("step", STEPS)
def test_schedule_of_the_author_is_kept(compiled, step):
    schedule = s_tir.Schedule(_two_stages(16))
    STEPS[step](schedule)
    tftvm.build(schedule)
    (module,) = compiled
    assert structural_equal(module["main"], temporaries.rewrite(module["main"]))
    expected = temporaries.rewrite(schedule.mod["main"])  # no other than it is, but for the scopes
    assert structural_equal(module["main"].body, expected.body)


@pytest.mark.parametrize("give", [lambda s: s.mod, lambda s: s.mod["main"], lambda s: {"main": s}])
def test_schedule_in_a_function_is_kept(compiled, give):
    schedule = s_tir.Schedule(_two_stages(16))
    schedule.unroll(schedule.get_loops("c")[2])
    tftvm.build(give(schedule))
    (module,) = compiled
    assert structural_equal(module["main"].body, schedule.mod["main"].body)


@pytest.mark.parametrize("step", STEPS)
def test_scheduled_function_is_right(step):
    schedule = s_tir.Schedule(_two_stages())
    STEPS[step](schedule)
    a, b = _input((144, 144), seed=1), _input((144, 144), seed=2)
    function = tftvm.build(schedule)["main"]
    for _ in range(3):
        np.testing.assert_allclose(function(a, b), (a + 1) @ b, rtol=1e-3, atol=1e-3)


def test_what_is_parallel_is_scheduled(compiled):
    @T.prim_func(s_tir=True)
    def copy(x: T.Buffer(("n", "m"), "float32"), y: T.Buffer(("n", "m"), "float32")):
        n, m = T.int32(), T.int32()
        for block in T.parallel((n + 31) // 32):
            for i in range(T.min(32, n - block * 32)):
                for j in range(m):
                    y[block * 32 + i, j] = x[block * 32 + i, j]

    function = tftvm.build(copy)["copy"]
    (module,) = compiled
    assert structural_equal(module["copy"].body, copy.body)
    for shape in itertools.product((0, 1, 40), (0, 3)):
        x = _input(shape)
        np.testing.assert_array_equal(function(x), x)


def test_parallel_loops_of_topi_are_no_schedule():
    x, index = te.placeholder((7, 13), name="x"), te.placeholder((2, 13), "int64", name="index")
    update = te.placeholder((2, 13), name="update")
    result = topi.scatter_elements(x, index, update, axis=0)
    function = te.create_prim_func([x, index, update, result])
    assert "T.parallel" in function.script()
    assert not schedules.is_scheduled(function)


def test_function_without_schedule_gets_one(compiled):
    function = _two_stages()
    tftvm.build(function)
    (module,) = compiled
    assert "T.vectorized" in module["main"].script()


def test_scheduled_function_beside_one_that_is_not(compiled):
    schedule = s_tir.Schedule(_two_stages())
    schedule.unroll(schedule.get_loops("t")[1])
    tftvm.build({"scheduled": schedule, "other": _two_stages()})
    (module,) = compiled
    assert structural_equal(module["scheduled"].body, schedule.mod["main"].body)
    assert "T.vectorized" in module["other"].script()


@pytest.mark.parametrize("n", [33, 144])
@pytest.mark.parametrize("order", list(itertools.permutations("ijk")), ids="".join)
def test_loops_in_any_order(order, n):
    """A TVMScript function whose loops are not in the order of the block's axes."""
    shape = f'T.Buffer(({n}, {n}), "float32")'
    source = f"@T.prim_func(s_tir=True)\ndef f(A: {shape}, B: {shape}, C: {shape}):\n"
    for depth, loop in enumerate(order):
        source += "    " * (depth + 1) + f"for {loop} in range({n}):\n"
    source += """
                with T.sblock("c"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    with T.init():
                        C[vi, vj] = 0.0
                    C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]
"""
    function = tftvm.build(tvm.script.from_source(source, {"T": T}))["f"]
    a, b = _input((n, n), seed=1), _input((n, n), seed=2)
    np.testing.assert_allclose(function(a, b), a @ b, rtol=1e-4, atol=1e-4)


# Bounds.


def _affine(factor, offset):
    @tftvm.op(shapes=["n", "m"])
    def function(x, y):
        return te.compute(y.shape, lambda i: x[i * factor + offset] + y[i])

    return function


@pytest.mark.parametrize("offset", [-1, 0, 1, 3])
@pytest.mark.parametrize("factor", [-2, -1, 1, 2])
def test_affine_read_is_right_or_refused(factor, offset):
    function = _affine(factor, offset)
    for n, m in itertools.product(range(7), range(4)):
        x, y = _input((n,)), _input((m,))
        index = np.arange(m) * factor + offset
        if np.all((index >= 0) & (index < n)):
            np.testing.assert_array_equal(function(x, y), x[index] + y)
        else:
            with pytest.raises(InvalidArgumentError, match="is outside x, whose shape is"):
                function(x, y)


def test_affine_read_along_two_axes():
    @tftvm.op(shapes=["n", "p q"])
    def function(x, y):
        return te.compute(y.shape, lambda i, j: x[2 * i - j + 1] + y[i, j])

    for n, p, q in itertools.product(range(6), range(4), range(4)):
        x, y = _input((n,)), _input((p, q))
        index = 2 * np.arange(p)[:, None] - np.arange(q) + 1
        if np.all((index >= 0) & (index < n)):
            np.testing.assert_array_equal(function(x, y), (x[index] if index.size else 0) + y)
        else:
            with pytest.raises(InvalidArgumentError, match="is outside x"):
                function(x, y)


def test_affine_read_along_reduction():
    @tftvm.op(shapes=["n", "m", "p"])
    def function(x, w, y):
        k = _sum(w.shape[0])
        return te.compute(y.shape, lambda i: te.sum(x[i + k] * w[k] * y[i], k))

    for n, m, p in itertools.product(range(5), range(1, 4), range(4)):
        x, w, y = _input((n,)), _input((m,), seed=1), _input((p,), seed=2)
        if p == 0 or p + m - 2 < n:
            expected = [sum(x[i + k] * w[k] for k in range(m)) * y[i] for i in range(p)]
            np.testing.assert_allclose(function(x, w, y), expected, rtol=1e-5, atol=1e-6)
        else:
            with pytest.raises(InvalidArgumentError, match="is outside x"):
                function(x, w, y)


@pytest.mark.parametrize("factor", [-1, 1, 2])
def test_affine_read_of_static_sizes(factor):
    @tftvm.op
    def function(x, y):
        return te.compute(y.shape, lambda i: x[i * factor + 1] + y[i])

    for n, m in [(1, 1), (2, 1), (3, 2), (5, 2), (2, 3), (4, 3), (6, 3), (7, 3)]:
        x, y = _input((n,)), _input((m,))
        index = np.arange(m) * factor + 1
        if np.all((index >= 0) & (index < n)):
            np.testing.assert_array_equal(function(x, y), x[index] + y)
        else:
            with pytest.raises(ValueError, match=rf"is outside x, whose shape is \[{n}\]"):
                function(x, y)


def test_the_message_says_which_sizes_are_right():
    function = _affine(1, 0)
    with pytest.raises(InvalidArgumentError) as caught:
        function(tf.zeros([3]), tf.zeros([4]))
    message = "it reads x[v_i], which is outside x, whose shape is [n], unless m <= n"
    assert message in str(caught.value)


def test_read_of_an_intermediate_tensor():
    @tftvm.op(shapes=["n"])
    def function(x):
        doubled = te.compute(x.shape, lambda i: x[i] * 2.0, name="doubled")
        return te.compute(x.shape, lambda i: doubled[i + 1], name="shifted")

    assert function(tf.zeros([0])).shape == (0,)
    with pytest.raises(InvalidArgumentError, match="is outside doubled"):
        function(tf.zeros([3]))


def test_static_read_of_an_intermediate_tensor():
    def function(x):
        doubled = te.compute((4,), lambda i: x[i] * 2.0, name="doubled")
        return te.compute((4,), lambda i: doubled[i + 1], name="shifted")

    with pytest.raises(ValueError, match="is outside doubled"):
        tftvm.op(function)(tf.zeros([4]))


def test_unknown_sizes_that_contradict_each_other():
    """Like those of matrices that cannot be multiplied."""
    op = tftvm.op(_matmul)
    with pytest.raises(ValueError, match="is outside b"):
        op(_input((2, 4)), _input((3, 5)))
    signature = [tf.TensorSpec([None, None])] * 2
    graph = tf.function(op, input_signature=signature, autograph=False)
    assert graph(_input((2, 4)), _input((4, 5))).shape == (2, 5)
    with pytest.raises(InvalidArgumentError, match="is outside b"):
        graph(_input((2, 4)), _input((3, 5)))


@pytest.mark.parametrize("static", [True, False])
def test_index_from_data_is_clamped(static):
    op = tftvm.op(_gather, shapes=None if static else ["n m", "k"])
    x = _input((5, 4))
    rows = np.int32([0, 4, 2, -1, 5, 2**31 - 1, -(2**31), 3])
    np.testing.assert_array_equal(op(x, rows), x[np.clip(rows, 0, 4)])
    assert op(x, rows[:0]).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_index_of_any_integer_dtype_is_clamped(dtype):
    op = tftvm.op(_gather, shapes=["n m", "k"])
    x = _input((5, 4))
    limits = np.iinfo(dtype)
    rows = np.array([0, 4, limits.max, limits.min, 3], dtype)
    np.testing.assert_array_equal(op(x, rows), x[np.clip(rows, 0, 4)])


@pytest.mark.parametrize("static", [True, False])
def test_sum_of_indices_from_data_is_clamped(static):
    @tftvm.op(shapes=None if static else ["n", "m"])
    def function(x, index):
        return te.compute(index.shape, lambda i: x[index[i] * 3 + i - 2])

    x, index = _input((9,)), np.int32([0, 1, 2, 3, -1])
    expected = x[np.clip(index * 3 + np.arange(5) - 2, 0, 8)]
    np.testing.assert_array_equal(function(x, index), expected)


@pytest.mark.parametrize("static", [True, False])
def test_index_from_data_into_no_elements_is_refused(static):
    op = tftvm.op(_gather, shapes=None if static else ["n m", "k"])
    with pytest.raises(InvalidArgumentError):
        op(np.zeros((0, 4), np.float32), np.int32([0, 1]))


def test_index_that_cannot_be_followed_is_clamped():
    @tftvm.op(shapes=["n", "m"])
    def function(x, y):
        return te.compute(y.shape, lambda i: x[i * i] + y[i])

    x, y = _input((5,)), _input((4,), seed=1)
    np.testing.assert_array_equal(function(x, y), x[[0, 1, 4, 4]] + y)


@pytest.mark.parametrize("choose", [te.if_then_else, tirx.Select], ids=["if_then_else", "Select"])
@pytest.mark.parametrize("static", [True, False])
def test_condition_guards_reads(static, choose):
    @tftvm.op(shapes=None if static else ["n"])
    def function(x):
        n, zero = x.shape[0], tirx.const(0, "float32")
        left = te.compute(x.shape, lambda i: choose(i > 0, x[i - 1], zero), name="left")
        right = te.compute(x.shape, lambda i: choose(i + 2 < n, x[i + 2], x[n - 1]), name="right")
        return left, right

    for n in (1, 2, 5, 16, 33):
        x = _input((n,))
        left, right = function(x)
        np.testing.assert_array_equal(left, np.concatenate([[0], x[:-1]]))
        np.testing.assert_array_equal(right, np.concatenate([x[2:], [x[-1]] * 2])[:n])


@pytest.mark.parametrize("choose", [te.if_then_else, tirx.Select], ids=["if_then_else", "Select"])
def test_condition_that_does_not_suffice(choose):
    """It keeps some reads inside, and the others are clamped."""

    @tftvm.op(shapes=["n", "m"])
    def function(x, y):
        return te.compute(y.shape, lambda i: choose(i < 5, x[i], y[i]))

    for n, m in itertools.product((1, 3, 5, 8), (1, 4, 9)):
        x, y = _input((n,)), _input((m,), seed=1)
        i = np.arange(m)
        np.testing.assert_array_equal(function(x, y), np.where(i < 5, x[np.clip(i, 0, n - 1)], y))


@pytest.mark.parametrize("choose", [te.if_then_else, tirx.Select], ids=["if_then_else", "Select"])
@pytest.mark.parametrize("static", [True, False])
def test_condition_does_not_hold_in_the_other_branch(static, choose):
    @tftvm.op(shapes=None if static else ["5", "n"])
    def function(x, y):
        return te.compute(y.shape, lambda i: choose(i < 5, y[i], x[i]))

    x, y = _input((5,)), _input((900,), seed=1)
    i = np.arange(900)
    np.testing.assert_array_equal(function(x, y), np.where(i < 5, y, x[np.clip(i, 0, 4)]))


def test_nested_conditions():
    @tftvm.op(shapes=["n", "m"])
    def function(x, y):
        n = x.shape[0]
        zero = tirx.const(0, "float32")
        return te.compute(
            y.shape,
            lambda i: te.if_then_else(
                i >= 2,
                te.if_then_else(i - 2 < n, x[i - 2], zero),
                te.if_then_else(i < n, x[i], y[i]),
            ),
        )

    for n, m in itertools.product((1, 2, 3, 6), (1, 2, 5, 12)):
        x, y = _input((n,)), _input((m,), seed=1)
        expected = [
            (x[i - 2] if i - 2 < n else 0) if i >= 2 else (x[i] if i < n else y[i])
            for i in range(m)
        ]
        np.testing.assert_array_equal(function(x, y), np.float32(expected))


def _build_8(lines, inputs=8):
    """Build a TVMScript function of X: float32[inputs] and Y: float32[10], with these lines."""
    source = (
        "@T.prim_func(s_tir=True)\n"
        f'def f(X: T.Buffer(({inputs},), "float32"), Y: T.Buffer((10,), "float32")):\n'
        "    for i in range(10):\n"
    )
    source += "\n".join("        " + line for line in lines)
    return tftvm.build(tvm.script.from_source(source, {"T": T}))["f"]


def test_if_statement_guards_reads():
    function = _build_8(
        [
            'with T.sblock("b"):',
            "    v = T.axis.spatial(10, i)",
            "    if v < 8:",
            "        Y[v] = X[v]",
            "    else:",
            "        Y[v] = 5.0",
        ]
    )
    x = _input((8,))
    np.testing.assert_array_equal(function(x), np.concatenate([x, [5, 5]]))


def test_predicate_guards_reads():
    function = _build_8(
        [
            'with T.sblock("b"):',
            "    v = T.axis.spatial(10, i)",
            "    T.where(i < 8)",
            "    Y[v] = X[v]",
        ]
    )
    x = _input((8,))
    np.testing.assert_array_equal(function(x)[:8], x)


def test_if_statement_without_blocks():
    function = _build_8(["if i < 8:", "    Y[i] = X[i]", "else:", "    Y[i] = 5.0"])
    x = _input((8,))
    np.testing.assert_array_equal(function(x), np.concatenate([x, [5, 5]]))


def test_loops_without_blocks_are_refused():
    with pytest.raises(ValueError, match=r"reads X\[i\], which is outside X"):
        _build_8(["Y[i] = X[i]"])


def test_loops_that_do_not_run_read_nothing():
    @T.prim_func(s_tir=True)
    def copy(x: T.Buffer(("n", "m"), "float32"), y: T.Buffer(("n", "m"), "float32")):
        n, m = T.int32(), T.int32()
        parts: T.let = (m + 31) // 32
        for part in range(n * parts):
            for j in range(T.min(32, m - part % parts * 32)):
                y[part // parts, part % parts * 32 + j] = x[part // parts, part % parts * 32 + j]

    function = tftvm.build(copy)["copy"]
    for shape in itertools.product((0, 1, 3), (0, 1, 32, 40)):
        x = _input(shape)
        np.testing.assert_array_equal(function(x), x)


def test_loops_that_run_read_something():
    @T.prim_func(s_tir=True)
    def pick(a: T.handle, index: T.Buffer(("m",), "int32"), y: T.Buffer(("m",), "float32")):
        n, m = T.int32(), T.int32()
        x = T.match_buffer(a, (n,), "float32")
        for i in range(m):
            y[i] = x[index[i]]

    function = tftvm.build(pick)["pick"]
    np.testing.assert_array_equal(function(np.float32([1, 2]), np.int32([-7, 1, 9])), [1, 2, 2])
    assert function(_input((0,)), np.zeros(0, np.int32)).shape == (0,)
    with pytest.raises(InvalidArgumentError, match="outside x.*unless 0 < n or m == 0"):
        function(_input((0,)), np.zeros(1, np.int32))


def test_while_loops_read_nothing_where_their_condition_does_not_hold():
    @T.prim_func(s_tir=True)
    def total(x: T.Buffer(("n",), "float32"), y: T.Buffer((1,), "float32")):
        n = T.int32()
        i: T.int32 = 0
        y[0] = 0.0
        while i < n:
            y[0] += x[i]
            i += 1

    function = tftvm.build(total)["total"]
    for n in (0, 1, 7):
        np.testing.assert_allclose(function(np.ones(n, np.float32)), [n])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("static", [True, False])
def test_nothing_is_written_to_an_index_that_does_not_exist(static, dtype):
    far = 10**9 if dtype == "int32" else 10**15
    elements = tftvm.op(
        lambda a, i, u: topi.scatter_elements(a, i, u, axis=0),
        shapes=None if static else ["n", "k", "k"],
    )
    x, update = _input((4,)), np.float32([5, 6, 7, 8])
    result = elements(x, np.array([far, 1, -far, -1], dtype), update)
    np.testing.assert_array_equal(result, [x[0], 6, x[2], 8])
    result = elements(x, np.array([4, -5, 0, 3], dtype), update)
    np.testing.assert_array_equal(result, [7, x[1], x[2], 8])


def test_no_rows_are_written_to_an_index_that_does_not_exist():
    x, update = _input((4, 3)), _input((2, 3), seed=1)
    add = tftvm.op(lambda a, i, u: topi.scatter_nd(a, i, u, "add"))
    expected = x.copy()
    expected[1] += update[1]
    for far in (10**9, -(10**9), 4, -5):
        np.testing.assert_array_equal(add(x, np.int32([[far, 1]]), update), expected)


def test_write_of_sizes_that_do_not_fit():
    @T.prim_func(s_tir=True)
    def function(a: T.handle, b: T.handle, c: T.handle):
        n = T.int32()
        m = T.int32()
        x = T.match_buffer(a, (n,), "float32")
        like = T.match_buffer(b, (m,), "float32")
        y = T.match_buffer(c, (m,), "float32")
        for i in range(n):
            with T.sblock("y"):
                vi = T.axis.spatial(n, i)
                y[vi] = x[vi] + like[0]

    function = tftvm.build(function, name="function")["function"]
    np.testing.assert_array_equal(function(np.ones(3), np.zeros(3)), np.ones(3))
    with pytest.raises(InvalidArgumentError, match="it writes y.*, which is outside y"):
        function(_input((4,)), _input((3,)))


_LONG = 2**31 - 1


@pytest.mark.parametrize(
    "index", [lambda i, n, q: i + n + q, lambda i, n, q: i + (n + q) // 2], ids=["sum", "half"]
)
def test_sums_of_sizes_that_32_bits_do_not_hold(index):
    @tftvm.op(shapes=["m", "n p", "q p"])
    def function(x, a, b):
        return te.compute((3,), lambda i: x[index(i, a.shape[0], b.shape[0])])

    x = _input((8,))
    result = function(x, np.zeros((2, 0), np.float32), np.zeros((3, 0), np.float32))
    np.testing.assert_array_equal(result, x[index(np.arange(3), 2, 3)])
    with pytest.raises(InvalidArgumentError, match="is outside x"):
        function(x, *[np.zeros((_LONG, 0), np.float32)] * 2)


def test_products_of_sizes_that_32_bits_do_not_hold():
    @tftvm.op(shapes=["m", "n p"])
    def even(x, like):
        k = te.reduce_axis((0, like.shape[0]), name="k")
        return te.compute((1,), lambda i: te.max(x[2 * k], axis=k))

    np.testing.assert_array_equal(even(tf.range(8.0), tf.zeros([3, 0])), [4])
    with pytest.raises(InvalidArgumentError, match="is outside x"):
        even(tf.ones([4]), tf.zeros([2**30 + 2, 0]))


def test_axis_that_32_bits_do_not_hold():
    @tftvm.op(shapes=["n p", "q p"])
    def count(a, b):
        k = te.reduce_axis((0, a.shape[0] + b.shape[0]), name="k")
        return te.compute((1,), lambda i: te.sum(tirx.const(1, "int32"), axis=k))

    np.testing.assert_array_equal(count(tf.zeros([2, 0]), tf.zeros([3, 0])), [5])
    with pytest.raises(InvalidArgumentError, match="its axis v_k has n . q elements, and at most"):
        count(tf.zeros([_LONG, 0]), tf.zeros([_LONG, 0]))


def _outer(x, y):
    """Both axes of a table are reduced, so that it is kept in memory."""
    n, m = x.shape[0], y.shape[0]
    table = te.compute((n, m), lambda i, j: te.exp(x[i] - y[j]).astype("int8"), name="table")
    rows, columns = te.reduce_axis((0, m), name="k"), te.reduce_axis((0, n), name="k")
    return (
        te.compute((n,), lambda i: te.max(table[i, rows], axis=rows), name="of_rows"),
        te.compute((m,), lambda j: te.max(table[columns, j], axis=columns), name="of_columns"),
    )


def test_intermediate_tensor_that_is_too_large():
    function = tftvm.op(_outer, shapes=["n", "m"])
    for result in function(tf.zeros([70]), tf.zeros([62])):
        np.testing.assert_array_equal(result, np.ones(result.shape))
    message = "its intermediate tensor table has the shape .*, and at most 2147483647 elements"
    with pytest.raises(InvalidArgumentError, match=message):
        function(tf.zeros([70000]), tf.zeros([62000]))
    with pytest.raises(ValueError, match=message):
        tftvm.op(_outer)(tf.zeros([70000]), tf.zeros([62000]))


def test_panels_that_are_too_large():
    @tftvm.op(shapes=["n", "m", "k"])
    def function(x, y, z):
        k = te.reduce_axis((0, z.shape[0]), name="k")
        return te.compute(
            (x.shape[0], y.shape[0]), lambda i, j: te.sum((x[i] + z[k]) * (y[j] - z[k]), axis=k)
        )

    # The panels have 70,000 x 62,000 elements, in 32 bits 45 million.
    with pytest.raises(InvalidArgumentError, match="intermediate tensor .*_right has the shape"):
        function(tf.zeros([1]), tf.zeros([70000]), tf.zeros([62000]))
