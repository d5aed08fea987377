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
"""exp, log, tanh, sigmoid, erf, sin and cos against NumPy in float64, over all of float32."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm

# The largest error in units in the last place.
BOUNDS = {
    **{"exp": 1.0, "log": 1.0, "tanh": 1.5, "sigmoid": 2.5, "erf": 1.5},
    **{"sin": 1.75, "cos": 1.75},
}
_TINY = np.finfo(np.float32).tiny


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _erf(x):
    """Interpolate math.erf, which takes one number at a time: exact to 2e-11."""
    knots = np.linspace(0, 6, 60001)
    values = np.array([math.erf(knot) for knot in knots])
    slopes = 2 / np.sqrt(np.pi) * np.exp(-(knots**2))
    a = np.minimum(np.abs(x), 5.9999)
    a = np.where(np.isnan(a), 0, a)
    i = (a * 10000).astype(int)
    h, t = 1e-4, (a - knots[i]) / 1e-4
    result = (
        (1 + 2 * t) * (1 - t) ** 2 * values[i]
        + t * (1 - t) ** 2 * h * slopes[i]
        + t**2 * (3 - 2 * t) * values[i + 1]
        + t**2 * (t - 1) * h * slopes[i + 1]
    )
    small = a < 1e-3
    series = 2 / np.sqrt(np.pi) * (a - a**3 / 3 + a**5 / 10)
    result = np.copysign(np.where(small, series, result), x)
    return np.where(np.isnan(x), np.nan, result)


REFERENCES = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _op(name, **options):
    function = getattr(te, name)
    return tftvm.op(
        lambda x: te.compute(x.shape, lambda i: function(x[i])), shapes=["n"], **options
    )


@pytest.fixture(scope="module")
def everywhere():
    """Numbers of every exponent and sign, infinities, and numbers that are none."""
    bits = np.arange(0, 2**32, 1021, dtype=np.uint64).astype(np.uint32)
    special = np.float32([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, _TINY, -_TINY])
    return np.concatenate([bits.view(np.float32), special])


@pytest.mark.parametrize("name", REFERENCES)
def test_error(everywhere, name):
    result = _op(name)(everywhere).numpy()
    # TensorFlow computes with subnormal numbers as zeros, inputs and results alike.
    x = np.where(np.abs(everywhere) < _TINY, np.copysign(0, everywhere), everywhere)
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(np.float64))
        expected = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(result[infinite], expected[infinite])
    zero = np.abs(expected) < _TINY
    assert np.all(np.abs(result[zero]) <= _TINY)
    rest = np.isfinite(expected) & ~zero
    error = np.abs(result[rest] - exact[rest]) / np.spacing(np.abs(expected[rest]))
    assert error.max() <= BOUNDS[name], f"{error.max()} at {x[rest][error.argmax()]}"


@pytest.mark.parametrize("name", ["tanh", "erf", "sin"])
def test_signs_of_zero(name):
    result = _op(name)(np.float32([0, -0.0])).numpy()
    np.testing.assert_array_equal(np.signbit(result), [False, True])


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats(name, dtype):
    x = tf.cast(np.linspace(0.01, 8, 1001), dtype)
    result = tf.cast(_op(name)(x), tf.float64)
    expected = REFERENCES[name](tf.cast(x, tf.float64).numpy())
    np.testing.assert_allclose(result, expected, rtol=1e-3 if dtype == "float16" else 1e-2)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "sin", "cos"])
def test_float64_is_as_exact_as_ever(name):
    x = np.linspace(0.01, 8, 1001)
    np.testing.assert_allclose(_op(name)(x), REFERENCES[name](x), rtol=1e-14)


@pytest.mark.parametrize("name", REFERENCES)
def test_libm(name):
    x = np.linspace(0.01, 8, 1001).astype(np.float32)
    expected = REFERENCES[name](x.astype(np.float64))
    np.testing.assert_allclose(_op(name, libm=True)(x), expected, rtol=1e-6)
    tensor = te.placeholder((8,), "float32", name="x")
    result = te.compute((8,), lambda i: getattr(te, name)(tensor[i]))
    for libm in (True, False):
        module = tftvm.build([tensor, result], libm=libm)
        np.testing.assert_allclose(module["main"](x[-8:]), expected[-8:], rtol=1e-6)


def test_functions_of_functions_are_compiled_soon():
    """TVM needs minutes where all of four or five nested ones are written out."""

    @tftvm.op
    def nested(x):
        def element(i):
            softplus = te.log(1 + te.exp(te.sigmoid(x[i])))
            return te.exp(-te.tanh(softplus))

        return te.compute(x.shape, element)

    x = np.linspace(-4, 4, 1000, dtype=np.float32)
    expected = np.exp(-np.tanh(np.log1p(np.exp(1 / (1 + np.exp(-x.astype(np.float64)))))))
    np.testing.assert_allclose(nested(x), expected, rtol=1e-6)


def test_angles_of_functions_are_compiled_soon():
    x = te.placeholder((1000,), "float32", name="x")
    results = [
        te.compute((1000,), lambda i: te.cos(te.sin(x[i]))),
        te.compute((1000,), lambda i: te.exp(te.sin(x[i]))),
        te.compute((1000,), lambda i: te.sin(te.exp(x[i]))),
    ]
    values = np.linspace(-4, 4, 1000, dtype=np.float32)
    wide = values.astype(np.float64)
    expected = [np.cos(np.sin(wide)), np.exp(np.sin(wide)), np.sin(np.exp(wide))]
    found = tftvm.build([x, *results])["main"](values)
    for result, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-5, atol=1e-5)
