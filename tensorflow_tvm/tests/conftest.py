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
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tensorflow_tvm.tests import libraries

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
