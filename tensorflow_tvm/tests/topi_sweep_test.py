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
"""Every operator of tvm.topi as a TensorFlow op: see topi_cases.py for what is run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import subprocesses, topi_cases

_SWEPT = [
    (case, dtype)
    for cases in topi_cases.FAMILIES.values()
    for case in cases
    for dtype in case.dtypes
]
_BROKEN = [(case, dtype) for case in topi_cases.BROKEN for dtype in case.dtypes]
_TOLERANCES = {"float16": 1e-2, "float32": 2e-5, "float64": 1e-9}


def _each(cases):
    """Run a test for each of these cases and dtypes."""
    ids = [f"{case.name}-{dtype}" for case, dtype in cases]
    return pytest.mark.parametrize(("case", "dtype"), cases, ids=ids)


def _name(case, dtype):
    return re.sub(r"\W", "_", f"{case.name}_{dtype}")


def _build(functions):
    """Build all in one library; the value of one that cannot be built is the error."""
    try:
        module = tftvm.build(functions)
    except Exception as error:
        if len(functions) == 1:
            return dict.fromkeys(functions, error)
        names = list(functions)
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        return {
            name: function
            for half in halves
            for name, function in _build({name: functions[name] for name in half}).items()
        }
    return {name: module[name] for name in functions}


@pytest.fixture(scope="module")
def function(request):
    """`function(case, dtype)` is that operator's; one library has all that this run asks for."""
    wanted, built = {}, {}
    for item in request.session.items:
        if item.path == request.path and "function" in item.fixturenames:
            case, dtype = item.callspec.params["case"], item.callspec.params["dtype"]
            try:
                wanted[_name(case, dtype)] = case.tensors(dtype)
            except Exception as error:
                built[_name(case, dtype)] = error
    built |= _build(wanted)

    def get(case, dtype):
        found = built[_name(case, dtype)]
        if isinstance(found, Exception):
            raise found
        return found

    return get


def _check(case, dtype, outputs):
    outputs = [y.numpy() for y in (outputs if isinstance(outputs, tuple) else [outputs])]
    if case.view is not None:
        outputs = case.view(*outputs)
    expected = case.expected(dtype)
    assert [y.dtype for y in outputs] == [y.dtype for y in expected]
    assert [y.shape for y in outputs] == [y.shape for y in expected]
    for y, reference in zip(outputs, expected, strict=True):
        if reference.dtype.kind != "f":
            np.testing.assert_array_equal(y, reference)
        else:
            tolerance = max(_TOLERANCES[reference.dtype.name], case.tolerance or 0)
            np.testing.assert_allclose(y, reference, rtol=tolerance, atol=tolerance)


@_each(_SWEPT)
def test_operator(function, case, dtype):
    _check(case, dtype, function(case, dtype)(*map(tf.constant, case.arrays(dtype))))


@_each([(case, dtype) for case, dtype in _SWEPT if case.inputs and dtype == case.dtypes[0]])
def test_operator_in_a_graph_that_knows_no_dimension(function, case, dtype):
    arrays = case.arrays(dtype)
    signature = [tf.TensorSpec([None] * array.ndim, array.dtype) for array in arrays]
    graph = tf.function(function(case, dtype), input_signature=signature, autograph=False)
    outputs = graph(*map(tf.constant, arrays))
    inferred = graph.get_concrete_function().outputs
    flat = outputs if isinstance(outputs, tuple) else [outputs]
    assert [y.shape.rank for y in inferred] == [y.shape.rank for y in flat]
    assert all(a.shape.is_compatible_with(b.shape) for a, b in zip(inferred, flat, strict=True))
    _check(case, dtype, outputs)


@_each(_BROKEN)
def test_operator_still_fails_in_tvm(case, dtype):
    """If it does not any more, it belongs among those that are swept."""
    if case.crashes:
        process = subprocesses.run_python(
            """
            import sys

            from tensorflow_tvm.tests import topi_cases

            name, dtype = sys.argv[1:]
            next(case for case in topi_cases.BROKEN if case.name == name).tensors(dtype)
            """,
            case.name,
            dtype,
        )
        assert process.returncode != 0
        # A signal is another way out of a bad read.
        assert case.error in process.stderr or process.returncode < 0
    else:
        with pytest.raises(Exception) as caught:
            module = tftvm.build(case.tensors(dtype), name="f")
            module["f"](*map(tf.constant, case.arrays(dtype)))
        assert case.error in f"{caught.type.__name__}: {caught.value}"


def test_at_least_150_operators_are_swept():
    swept, broken = topi_cases.count()
    assert swept >= 150
    names = [case.name for case, dtype in _SWEPT if dtype == case.dtypes[0]]
    assert len(set(names)) == len(names) >= swept
    assert 0 < broken <= len(topi_cases.BROKEN)


def test_the_readme_says_how_many_operators_are_swept():
    readme = Path(__file__).absolute().parents[2] / "README.md"
    swept, broken = topi_cases.count()
    text = " ".join(readme.read_text(encoding="utf-8").split())
    assert f"{swept} operators of `tvm.topi`" in text
    assert f"{broken} cannot be built by TVM itself" in text


def test_no_public_operator_is_missing():
    tables = {case.operator for case, _ in [*_SWEPT, *_BROKEN]}
    assert not tables & topi_cases.NOT_OPERATORS
    assert tables | topi_cases.NOT_OPERATORS == topi_cases.public()
