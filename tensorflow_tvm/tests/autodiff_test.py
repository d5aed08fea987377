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

import tensorflow_tvm as tftvm
from tensorflow_tvm.autodiff import differentiate
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
