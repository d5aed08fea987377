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
"""The example of C++ functions as TensorFlow ops."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm

PATH = Path(__file__).absolute().parents[2] / "examples" / "tvm_ffi_cpp" / "main.py"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The example as a module, which compiles its library once."""
    spec = importlib.util.spec_from_file_location("tvm_ffi_cpp", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = module.compile_library(str(tmp_path_factory.mktemp("lib")))
    module.compile_library = lambda folder: path
    return module


@pytest.fixture(scope="module")
def library(example: ModuleType) -> tftvm.Module:
    """The example's functions."""
    return tftvm.Module(example.compile_library(""))


def test_results_agree(example, capsys):
    assert example.main() == 0
    printed = capsys.readouterr().out
    for name in ["clip", "nonzero"]:
        for where in ["eager", "tf.function", "tf.data"]:
            assert f"{name:<9}{where:<13}same" in printed
    assert "DIFFERENT" not in printed
    assert "  clip(arg0: any[...], arg1: float, arg2: float, arg3: any[...]) -> ()" in printed
    assert "  nonzero(arg0: any[...]) -> (ret0: any[...])" in printed
    assert "  clip     (8,)" in printed and "  nonzero  (None, None)" in printed
    assert "ValueError: low is 2; expected at most high, 1" in printed


def test_a_mismatch_is_a_failure(example, monkeypatch, capsys):
    monkeypatch.setattr(example, "compare", lambda *args: False)
    assert example.main() == 1
    assert "differ" in capsys.readouterr().err


def test_compare_sees_wrong_values_and_shapes(example, capsys):
    x = tf.constant([1.0, 2.0])
    assert example.compare("same", tf.identity, tf.identity, x)
    assert not example.compare("value", tf.identity, lambda x: x + 0.5, x)
    assert not example.compare("shape", tf.identity, lambda x: x[:1], x)


def test_ninja_of_pypi_where_there_is_no_other(example, monkeypatch, tmp_path):
    folders = {"PATH": "/nowhere"}
    monkeypatch.setattr(example.os, "environ", folders)
    monkeypatch.setattr(example.tvm_ffi.cpp, "build", lambda *args, **kwargs: "built")
    spec = importlib.util.spec_from_file_location("again", PATH)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.compile_library(str(tmp_path)) == "built"
    nowhere, _, folder = folders["PATH"].partition(":")
    assert nowhere == "/nowhere" and (Path(folder) / "ninja").exists()


def test_what_the_functions_refuse(library):
    clip = library.func("clip", output_shape=[3])
    with pytest.raises(tf.errors.InvalidArgumentError, match="x has dtype float64"):
        clip(np.float64([1, 2, 3]), arg1=0.0, arg2=1.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="y has 3 elements, and x has 2"):
        clip(np.float32([1, 2]), arg1=0.0, arg2=1.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="x has dtype int32"):
        library.func("nonzero", output_dtype="int64")(np.int32([1]))


def test_nonzero_costs_no_copy(library):
    nonzero = library.func("nonzero", output_dtype="int64")
    before = tftvm.stats()["output_copies"]
    np.testing.assert_array_equal(nonzero(np.float32([[0, 1], [2, 0]])), [[0, 1], [1, 0]])
    assert tftvm.stats()["output_copies"] == before
