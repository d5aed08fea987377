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
"""Fixtures for all tests."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python, path_without_tvm

# What the user has tuned is not for the tests, nor for the processes that they start.
os.environ["TENSORFLOW_TVM_TUNING_DIR"] = ""


@pytest.fixture(params=["eager", "function", "unknown_shapes", "session"])
def run(request: pytest.FixtureRequest) -> Callable:
    """Return `run(fn, *arrays)`: the result of `fn` on tensors, as NumPy arrays.

    The test runs once for each way in which TensorFlow executes: eagerly, in a tf.function, in one
    that knows no static shapes, and in a TF1 session.
    """
    return {
        "eager": _run_eagerly,
        "function": _run_in_function,
        "unknown_shapes": _run_with_unknown_shapes,
        "session": _run_in_session,
    }[request.param]


def _run_eagerly(fn: Callable, *arrays: np.ndarray):
    return _to_numpy(fn(*map(tf.constant, arrays)))


def _run_in_function(fn: Callable, *arrays: np.ndarray):
    return _to_numpy(tf.function(fn, autograph=False)(*map(tf.constant, arrays)))


def _run_with_unknown_shapes(fn: Callable, *arrays: np.ndarray):
    tensors = [tf.constant(array) for array in arrays]
    signature = [tf.TensorSpec(None, tensor.dtype) for tensor in tensors]
    return _to_numpy(tf.function(fn, input_signature=signature, autograph=False)(*tensors))


def _run_in_session(fn: Callable, *arrays: np.ndarray):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = [tf.compat.v1.placeholder(array.dtype, array.shape) for array in arrays]
        result = fn(*inputs)
        # Session.run returns a list for a tuple of fetches.
        fetched = session.run(result, dict(zip(inputs, arrays, strict=True)))
        return tuple(fetched) if isinstance(result, (list, tuple)) else fetched


def _to_numpy(result):
    if isinstance(result, (list, tuple)):
        return tuple(tensor.numpy() for tensor in result)
    return result.numpy()


@pytest.fixture(scope="session")
def addone_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library with `addone`: float32[n] -> float32[n], x + 1."""
    addone = libraries.elementwise("addone", lambda x: x + 1.0)
    return libraries.export(addone, tmp_path_factory.mktemp("lib") / "addone.so")


_WITHOUT_TVM = """
import ctypes
try:
    import tvm
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("tvm is there")
try:
    ctypes.CDLL("libtvm_runtime.so")
except OSError:
    pass
else:
    raise AssertionError("the TVM runtime is there")
maps = open("/proc/self/maps").read()
assert "_tvm_dso_ops.so" in maps and "/libtvm_ffi.so" in maps
assert "libtvm_runtime" not in maps and "libtvm_compiler" not in maps
"""


@pytest.fixture(scope="session")
def folders_without_tvm(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Where to import from as if apache-tvm were not installed; `run_python` takes them."""
    return path_without_tvm(tmp_path_factory.mktemp("without_tvm"))


@pytest.fixture
def check_without_tvm(folders_without_tvm: list[str]) -> Callable[..., str]:
    """Return `check(code, *args)`: `check_python` in a process for which there is no apache-tvm."""

    def check(code: str, *args: str) -> str:
        code = f"{textwrap.dedent(code)}\n{_WITHOUT_TVM}"
        return check_python(code, *args, path=folders_without_tvm)

    return check
