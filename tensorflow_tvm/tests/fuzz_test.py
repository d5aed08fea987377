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
"""Random functions, called where they may crash; see fuzz/__main__.py for more of them."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tensorflow_tvm.tests.fuzz import functions, planted, reference, shrinking

_MODULE = "tensorflow_tvm.tests.fuzz"
# How long the random functions take, from the start of their process.
_SECONDS = 32


def _start(module: str, *arguments: str) -> subprocess.Popen:
    """Start a process that imports from where this one does."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


_HARM = ("crash: ", "hang: ", "memory: ", "harness: ")


def test_random_functions():
    today = str(datetime.date.today().toordinal())
    seed = os.environ.get("TENSORFLOW_TVM_FUZZ_SEED", today)
    limits = ["--seconds", str(_SECONDS), "--functions", "2000", "--batch", "8"]
    process = _start(_MODULE, "--seed", seed, *limits)
    output, errors = process.communicate()
    print(f"seed {seed}\n{output}")
    again = f"TENSORFLOW_TVM_FUZZ_SEED={seed}, or python -m {_MODULE} --only FUNCTION"
    # Other findings are printed: a few functions in a thousand do not build, or meet what TVM folds
    # as if floats were real numbers, which no generator can leave out altogether.
    harm = [line for line in output.splitlines() if line.startswith(_HARM)]
    assert not harm, f"{output}\n{errors[-2000:]}\nagain by: {again}"
    assert f"seed {seed}: " in output, f"{output}\n{errors[-2000:]}"


@pytest.fixture(scope="module")
def found():
    process = _start(f"{_MODULE}.planted")
    output, errors = process.communicate()
    assert process.returncode == 0, errors[-4000:]
    return json.loads(output)


def test_right_functions_have_no_findings(found):
    assert found["none"] == []


@pytest.mark.parametrize(
    "name, finding",
    [
        ("writes one too many", "memory: wrote byte"),
        ("writes one before", "crash: SIGSEGV at byte -4 of output 0"),
        ("writes far away", "crash: SIGSEGV"),
        ("reads far away", "crash: SIGSEGV"),
        ("leaves an element", "memory: does not write element 0 of output 0"),
        ("wrong for 3", "value: output 0"),
        ("changes its input", "memory: changed input 0"),
        ("traps", "crash: SIGFPE"),
        ("hangs", "hang: SIGXCPU"),
        ("refuses", "refused: ValueError: no"),
        ("depends on memory", "memory: depends on what memory held before: element 1"),
        ("index_put", "crash: SIGSEGV"),
        ("division", "crash: SIGFPE"),
        ("gather", "crash: SIGSEGV"),
        ("shift", "value: output 0"),
        ("negative size", "memory: "),
        ("zero extent", "memory: does not write element 0 of output 0"),
    ],
)
def test_planted_faults_are_found(found, name, finding):
    assert name in planted.FAULTS or name in planted.PROGRAMS
    assert any(text.startswith(finding) for text in found[name]), found[name]


def test_a_seed_makes_one_function():
    for seed in range(50):
        function = functions.generate(seed)
        assert function == functions.generate(seed)
        choices = function.size_choices()
        assert choices == functions.generate(seed).size_choices()
        for sizes in choices:
            if function.has_inputs(sizes):
                for one, other in zip(
                    function.arrays(sizes), functions.generate(seed).arrays(sizes), strict=True
                ):
                    assert one.tobytes() == other.tobytes()


def test_sizes_and_integers_at_the_edges_are_among_the_inputs():
    functions_ = [functions.generate(seed) for seed in range(100)]
    sizes = [set(map(str, f.size_choices())) for f in functions_ if f.symbols]
    every = [
        {str(dict.fromkeys(f.symbols, size)) for size in range(4)} for f in functions_ if f.symbols
    ]
    assert sum(some <= chosen for some, chosen in zip(every, sizes, strict=True)) > 90
    values = np.concatenate(
        [
            array.reshape(-1)
            for f in functions_
            for sizes in f.size_choices()[-1:]
            if f.has_inputs(sizes)
            for array in f.arrays(sizes)
            if array.dtype == np.int32
        ]
    )
    assert {0, -1, -(2**31), 2**31 - 1} <= set(values.tolist())


def _expected(lines, sizes, *arrays):
    inputs = tuple(
        functions.Value(f"x{at}", str(array.dtype), ("a",)) for at, array in enumerate(arrays)
    )
    result = functions.Value("t1", "", ("a",))
    step = functions.Step("", tuple(lines), (result,), ("a",))
    function = functions.GeneratedFunction(0, inputs, (step,), ("t1",))
    return reference.evaluate(function, sizes, list(arrays))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("tirx.truncdiv(x0(i0), x1(i0))", [-3, 4, -(2**31)]),
        ("tirx.floordiv(x0(i0), x1(i0))", [-4, 4, -(2**31)]),
        ("tirx.floormod(x0(i0), x1(i0))", [1, 0, 0]),
        ("tirx.truncmod(x0(i0), x1(i0))", [-1, 0, 0]),
        ("x0(i0) << x1(i0)", [-28, 32, -(2**31)]),
        ("tirx.Select(x0(i0) < 0, x1(i0), x0(i0))", [2, 8, -1]),
        ("x0(x1(i0) - 1)", [8, 8, -7]),
    ],
)
def test_reference(text, expected):
    x = np.array([-7, 8, -(2**31)], np.int32)
    y = np.array([2, 2, -1], np.int32)
    line = f"t1 = te.compute((a,), lambda i0: {text}, name='t1')"
    result = _expected([line], {"a": 3}, x, y)
    assert not result.reasons
    assert result.outputs[0].value.tolist() == expected


def test_reference_refuses():
    x = np.array([1, 2], np.int32)
    line = "t1 = te.compute((a - 3,), lambda i0: x0(i0), name='t1')"
    assert _expected([line], {"a": 2}, x).outputs is None
    line = "t1 = te.compute((a,), lambda i0: tirx.floordiv(1, x0(i0) - 1), name='t1')"
    result = _expected([line], {"a": 2}, x)
    assert result.reasons == ["a division by zero"]
    wrong = result.check_outputs([np.zeros(2, np.int32)], False)
    assert wrong == [("accepted", "output 0: a division by zero in (0,)")]


def test_shrinking():
    def has_fault(function):
        return any("te.exp" in line for line in function.lines())

    function = next(f for f in map(functions.generate, range(1000)) if has_fault(f))
    small = shrinking.shrink(function, has_fault, seconds=5)
    assert has_fault(small)
    assert len(small.steps) <= len(function.steps)
    assert small.program().count("te.compute") <= 2
