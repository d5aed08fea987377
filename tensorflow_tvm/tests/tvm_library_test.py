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
"""The Bazel rule tvm_library, and the file that it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm

ROOT = Path(__file__).absolute().parents[2]
TOOL = ROOT / "tools" / "tvm_library.py"
TESTDATA = Path(__file__).absolute().parent / "testdata"


_NEGATE = (
    "from tvm import te\n"
    "x = te.placeholder((3,), 'int32', name='x')\n"
    "y = te.compute((3,), lambda i: -x[i], name='y')\n"
)


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> tftvm.Module:
    """The library that Bazel made; outside Bazel, made here."""
    path = TESTDATA / "affine.so"
    if not path.exists():
        path = tmp_path_factory.mktemp("lib") / "affine.so"
        process = run(TESTDATA / "affine.py", f"--output={path}", "--target=llvm")
        assert process.returncode == 0, process.stderr
    return tftvm.Module(path)


def test_functions_have_their_signatures(affine):
    assert affine.functions == ("affine", "pairs")
    assert str(affine.signature("affine")) == "(x: float32[n], w: float32[2]) -> (y: float32[n])"
    assert str(affine.signature("pairs")) == "(x: float32[n]) -> (sums: float32[n//2])"


def test_results(affine):
    x = np.arange(7, dtype=np.float32)
    np.testing.assert_allclose(affine["affine"](x, [2.0, 1.0]), 2 * x + 1)
    np.testing.assert_allclose(affine["pairs"](x), x[:-1:2] + x[1::2])


def test_prim_funcs_are_found_without_a_dict(tmp_path):
    source = tmp_path / "kernels.py"
    source.write_text(
        _NEGATE + "negate = te.create_prim_func([x, y]).with_attr('global_symbol', 'negate')\n"
    )
    process = run(source, f"--output={tmp_path / 'k.so'}", "--target={'kind': 'llvm'}")
    assert process.returncode == 0, process.stderr
    negate = tftvm.Module(tmp_path / "k.so")["negate"]
    np.testing.assert_array_equal(negate(tf.constant([1, 2, 3])), [-1, -2, -3])


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("x = 1", "llvm", "expected a dict FUNCTIONS, or PrimFuncs"),
        ("FUNCTIONS = {'f': 3}", "llvm", "'f' is int; expected TE tensors"),
        ("from tvm import te\nFUNCTIONS = {'f': te.placeholder((3,))}", "llvm", "placeholders"),
        ("FUNCTIONS = {}", "llvm", "There is no function to compile"),
        (_NEGATE + "FUNCTIONS = {'f': [x, y]}", "no_such_target", "'no_such_target' is not known"),
    ],
)
def test_mistakes(tmp_path, text, target, message):
    source = tmp_path / "kernels.py"
    source.write_text(text)
    process = run(source, f"--output={tmp_path / 'k.so'}", f"--target={target}")
    assert process.returncode == 1
    assert str(source) in process.stderr and message in process.stderr
    assert not (tmp_path / "k.so").exists()


def test_example():
    main = ROOT / "examples" / "tvm_library" / "main.py"
    if not (main.parent / "kernels.so").exists():
        pytest.skip("Bazel makes the example's library: ./bazelw test //...")
    process = subprocess.run(
        [sys.executable, str(main)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "running mean: [1.    1.5   2.75  5.375]" in process.stdout, process.stdout
    assert "dot product: 85.0" in process.stdout
