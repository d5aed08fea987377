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
"""Every math function of TVM, in every type of float, against NumPy's with more digits."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx
from tvm.script import tirx as T

import tensorflow_tvm as tftvm

DTYPES = ("float16", "bfloat16", "float32", "float64")
_Wide = np.longdouble


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _erf(x):
    return np.array([math.erf(v) for v in x.astype(np.float64)]).astype(_Wide)


UNARY = {
    **{name: getattr(np, name) for name in ("exp", "exp2", "log", "log2", "log10", "log1p")},
    **{name: getattr(np, name) for name in ("sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh")},
    **{name: getattr(np, f"arc{name[1:]}") for name in ("asin", "acos", "atan")},
    **{name: getattr(np, f"arc{name[1:]}") for name in ("asinh", "acosh", "atanh")},
    **{name: getattr(np, name) for name in ("floor", "ceil", "trunc", "abs")},
    **{"exp10": lambda x: np.power(_Wide(10), x), "rsqrt": lambda x: 1 / np.sqrt(x)},
    **{"sigmoid": _sigmoid, "erf": _erf, "round": np.rint, "nearbyint": np.rint},
}
BINARY = {
    **{name: getattr(np, name) for name in ("power", "fmod", "hypot", "copysign")},
    **{"atan2": np.arctan2, "max": np.maximum, "min": np.minimum},
}
TESTS = {"isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite}
EXACT = (
    *("sqrt", "floor", "ceil", "trunc", "abs", "round", "nearbyint"),
    *("fmod", "copysign", "max", "min"),
)
# TVM refuses these before anything is built.
REFUSED = {("bfloat16", name) for name in ("power", *TESTS)}
CASES = [
    (dtype, name)
    for dtype in DTYPES
    for name in (*UNARY, *BINARY, *TESTS, "nextafter")
    if (dtype, name) not in REFUSED
]


def _limit(dtype, name):
    """The largest error in units in the last place."""
    if name in EXACT:
        return 0.5
    return 4.0 if dtype in ("float32", "float64") else 1.0


def _numpy(dtype):
    return tf.as_dtype(dtype).as_numpy_dtype


def _function(dtype, name):
    n = te.var("n")
    inputs = [te.placeholder((n,), dtype, name=i) for i in ("x" if _is_unary(name) else "xy")]
    function = getattr(tirx, name)
    return [*inputs, te.compute((n,), lambda i: function(*(t[i] for t in inputs)), name=name)]


def _is_unary(name):
    return name in UNARY or name in TESTS


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def libraries():
    """For each dtype a library with all functions."""
    built = {}

    def library(dtype):
        if dtype not in built:
            names = [name for other, name in CASES if other == dtype]
            built[dtype] = tftvm.build({name: _function(dtype, name) for name in names})
        return built[dtype]

    return library


def _special(dtype):
    info = ml_dtypes.finfo(_numpy(dtype))
    numbers = [0, 1, np.inf, info.tiny, info.smallest_subnormal, info.max, info.tiny / 2]
    numbers += [0.5, 2, 1.5, 2.5, math.pi, math.pi / 2, 3]
    return np.array([np.nan, *numbers, *(-number for number in numbers)], np.float64)


def _inputs(dtype, count):
    """One or two arrays of special numbers, all sizes, neighbours of 1, and random bits."""
    random = np.random.default_rng(0)
    kind = _numpy(dtype)
    size = np.dtype(kind).itemsize
    bits = random.integers(0, 2 ** (8 * size), 2000, dtype=np.uint64).astype(f"u{size}")
    steps = 2.0 ** -np.arange(1, 50)
    sizes = 10.0 ** -np.arange(0, 40)
    parts = [_special(dtype), sizes, -sizes, 1 + steps, 1 - steps, np.linspace(-20, 20, 801)]
    with np.errstate(all="ignore"):
        x = np.concatenate([np.concatenate(parts).astype(kind), bits.view(kind)])
        x[np.isnan(x)] = np.nan  # one that does not signal
        if count == 1:
            return [x]
        pairs = np.meshgrid(_special(dtype), _special(dtype))
        others = random.permutation(x)
        return [
            np.concatenate([first, pair.ravel().astype(kind)])
            for first, pair in zip((x, others), pairs, strict=True)
        ]


def _without_subnormals(x):
    """Return numbers as TensorFlow's threads read them."""
    tiny = ml_dtypes.finfo(x.dtype).tiny
    return np.where(np.abs(x) < tiny, np.copysign(x.dtype.type(0), x), x)


def _error(result, exact):
    """Return errors in units in the last place, of which subnormal results have none."""
    kind = result.dtype
    info = ml_dtypes.finfo(kind)
    with np.errstate(all="ignore"):
        expected = exact.astype(np.float64).astype(kind).astype(np.float64)
        found = result.astype(np.float64)
        _, exponent = np.frexp(np.maximum(np.abs(exact), _Wide(info.tiny)))
        unit = np.ldexp(_Wide(1), exponent - 1 - info.nmant)
        error = (np.abs(found.astype(_Wide) - exact) / unit).astype(np.float64)
    tiny = float(info.tiny)
    error[(np.abs(expected) <= tiny) & (np.abs(found) <= tiny)] = 0
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    return np.where(np.isfinite(expected) & np.isfinite(found), error, np.where(same, 0, np.inf))


@pytest.mark.parametrize("dtype, name", CASES)
def test_function(libraries, dtype, name):
    inputs = _inputs(dtype, 1 if _is_unary(name) else 2)
    result = libraries(dtype)[name](*inputs).numpy()
    if name == "nextafter":
        _check_next(result, *inputs)
        return
    with np.errstate(all="ignore"):
        exact, flushed = (
            {**UNARY, **BINARY, **TESTS}[name](*(x.astype(_Wide) for x in numbers))
            for numbers in (inputs, [_without_subnormals(x) for x in inputs])
        )
    if name in TESTS:
        np.testing.assert_array_equal(result, exact)
        return
    # Subnormal numbers may be taken for zeros, and may be not.
    error = np.minimum(_error(result, exact), _error(result, flushed))
    worst = error.argmax()
    assert error[worst] <= _limit(dtype, name), (
        f"{error[worst]} ulp at {[x[worst] for x in inputs]}: {result[worst]}, not {exact[worst]}"
    )
    zero = (exact == 0) & (result == 0)
    if name not in ("max", "min", "hypot"):
        np.testing.assert_array_equal(np.signbit(result)[zero], np.signbit(exact)[zero])


def _check_next(result, x, y):
    kind = x.dtype
    info = ml_dtypes.finfo(kind)
    if kind.name != "float16":  # NumPy's has signs of zero of its own
        with np.errstate(all="ignore"):
            expected = np.nextafter(x, y)
        np.testing.assert_array_equal(result.astype(np.float64), expected.astype(np.float64))
    up = x.astype(np.float64) < y.astype(np.float64)
    assert np.all(result.astype(np.float64)[up] > x.astype(np.float64)[up])
    zero = (x.astype(np.float64) == 0) & (y.astype(np.float64) > 0)
    np.testing.assert_array_equal(result[zero], info.smallest_subnormal)
    largest = (x == info.max) & (y == np.inf)
    np.testing.assert_array_equal(result[largest], kind.type(np.inf))


# Whatever the schedule.


@T.prim_func(s_tir=True)
def _vectors(
    x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float64"), z: T.Buffer((64,), "float64")
):
    for i in range(4):
        for j in T.vectorized(16):
            with T.sblock("b"):
                v = T.axis.spatial(64, i * 16 + j)
                z[v] = T.atan2(
                    T.tanh(y[v]), T.Cast("float64", T.sinh(x[v]) + T.tanh(x[v]) + T.cos(x[v]))
                )


@pytest.mark.parametrize("libm", [False, True])
def test_author_scheduled_vectors(libm):
    x = np.linspace(-3, 3, 64, dtype=np.float32)
    y = 10.0 ** -np.linspace(0, 20, 64)
    wide = x.astype(np.float64)
    expected = np.arctan2(np.tanh(y), np.sinh(wide) + np.tanh(wide) + np.cos(wide))
    result = tftvm.build(_vectors, libm=libm)["_vectors"](x, y)
    np.testing.assert_allclose(result, expected, rtol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_the_c_library(dtype):
    """The formulas that TVM has in place of some lose all digits of small numbers."""
    names = ("tanh", "atanh", "sinh", "tan", "erf")
    library = tftvm.build({name: _function(dtype, name) for name in names}, libm=True)
    x = np.array([-0.0, 1e-3, -1e-7, 1e-12, 0.3], np.float64).astype(_numpy(dtype))
    for name in names:
        error = _error(library[name](x).numpy(), UNARY[name](x.astype(_Wide)))
        assert error.max() <= _limit(dtype, name), name


@pytest.mark.parametrize("dtype", ["float8_e5m2", "float8_e4m3fn"])
def test_float8(dtype):
    x = np.arange(256).astype(np.uint8).view(getattr(ml_dtypes, dtype))
    small = x[np.abs(x.astype(np.float32)) < 0.02]
    function = tftvm.op(
        lambda x: te.compute(x.shape, lambda i: te.atanh(te.tanh(te.sinh(x[i])))), shapes=["n"]
    )
    np.testing.assert_array_equal(function(small).numpy().view(np.uint8), small.view(np.uint8))
