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
"""float8 on processors: all numbers, against ml_dtypes, which TensorFlow has it from."""

from __future__ import annotations

import operator

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm

DTYPES = ("float8_e4m3fn", "float8_e5m2")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def _all(dtype):
    return np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, dtype))


def _check(result, expected):
    """Compare numbers, with the signs of zeros."""
    with np.errstate(invalid="ignore"):
        result, expected = (np.asarray(x).astype(np.float64) for x in (result, expected))
    np.testing.assert_array_equal(result, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))


# TVM's C code has no float16.
_WIDE = [("float16", "host"), ("float32", "host"), ("float64", "host"), ("float32", "c")]


@pytest.mark.parametrize(("wide", "target"), _WIDE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_from_float8(dtype, wide, target):
    widened = tftvm.op(
        lambda x: te.compute(x.shape, lambda i: x[i].astype(wide)), shapes=["n"], target=target
    )
    _check(widened(_all(dtype)), _all(dtype))


def _floats(dtype):
    """Floats of all magnitudes, all that lie between two float8, and their neighbours."""
    bits = np.arange(0, 1 << 32, 65521, dtype=np.uint64).astype(np.uint32)
    numbers = np.unique(_all(dtype)[~np.isnan(_all(dtype).astype(np.float32))].astype(np.float32))
    largest = np.float32(ml_dtypes.finfo(dtype).max)
    with np.errstate(invalid="ignore"):
        between = (numbers[1:] + numbers[:-1]) / 2
    ends = largest * np.float32([1.01, 1.03, 1.0625, 1.07, 1.125, 1.126, 2])
    edges = np.concatenate([numbers, between, ends, -ends, np.float32([np.inf, -np.inf, np.nan])])
    up, down = (np.nextafter(edges, np.float32(end)) for end in (np.inf, -np.inf))
    return np.concatenate([bits.view(np.float32), edges, up, down])


@pytest.mark.parametrize(("wide", "target"), _WIDE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_float8(dtype, wide, target):
    rounded = tftvm.op(
        lambda x: te.compute(x.shape, lambda i: x[i].astype(dtype)), shapes=["n"], target=target
    )
    with np.errstate(over="ignore", invalid="ignore"):
        floats = _floats(dtype).astype(wide)
        expected = floats.astype(getattr(ml_dtypes, dtype))
    _check(rounded(floats), expected)
    _check(rounded(floats), tf.cast(floats, dtype))


@pytest.mark.parametrize(
    "operation",
    [operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.ge],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic(dtype, operation):
    function = tftvm.op(lambda x, y: te.compute(x.shape, lambda i: operation(x[i], y[i])))
    x, y = np.repeat(_all(dtype), 256), np.tile(_all(dtype), 256)
    with np.errstate(all="ignore"):
        _check(function(x, y), operation(x, y))


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_functions(dtype):
    x = te.placeholder((40, 64), dtype, name="x")
    cases = {
        "sum": (topi.sum(x.astype("float32"), axis=1), lambda a: a.sum(1)),
        "max": (topi.max(x, axis=1), lambda a: a.max(1)),
        "exp": (topi.exp(x), np.exp),
        "pad": (topi.nn.pad(x, [1, 1]), lambda a: np.pad(a, 1)),
        "constant": (
            te.compute(x.shape, lambda i, j: x[i, j] + tirx.const(1.5, dtype)),
            lambda a: a + np.float32(1.5),
        ),
        "product": (topi.nn.dense(x, x, out_dtype="float32"), lambda a: a @ a.T),
    }
    module = tftvm.build({name: [result] for name, (result, _) in cases.items()})
    values = np.random.default_rng(0).normal(size=(40, 64)).astype(getattr(ml_dtypes, dtype))
    for name, (result, reference) in cases.items():
        expected = reference(values.astype(np.float32))
        _check(
            module[name](values), expected.astype(getattr(ml_dtypes, str(result.dtype), np.float32))
        )
