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
"""The op on a GPU: numerics, the order of work on a busy stream, memory. Skipped without one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm import device_code

_FLOATS = ["float32", "float16", "bfloat16"]
# By how much one rounded operation may be off.
_PRECISION = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_LARGE = 2048


def _why_not() -> str | None:
    """Return why nothing here can run."""
    if not tf.test.is_built_with_cuda():
        return "this TensorFlow is built without CUDA"
    if not tf.config.list_physical_devices("GPU"):
        return "TensorFlow sees no GPU"
    if device_code.find_nvcc() is None:
        return "there is no nvcc to build libraries for it"
    return None


@pytest.fixture(scope="module", autouse=True)
def a_gpu():
    reason = _why_not()
    if reason is None:
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    elif os.environ.get("TENSORFLOW_TVM_REQUIRE_GPU"):
        pytest.fail(f"a GPU is required: {reason}")
    else:
        pytest.skip(reason)


def _addone(dtype: str) -> list[te.Tensor]:
    n = te.var("n")
    x = te.placeholder((n,), dtype, name="x")
    return [x, te.compute((n,), lambda i: x[i] + tirx.const(1.0, dtype), name="y")]


def _row_sums(dtype: str) -> list[te.Tensor]:
    x = te.placeholder((64, 1000), dtype, name="x")
    j = te.reduce_axis((0, 1000), name="j")
    return [x, te.compute((64,), lambda i: te.sum(x[i, j].astype("float32"), axis=j), name="y")]


def _matmul(dtype: str, size: int) -> list[te.Tensor]:
    a, b = (te.placeholder((size, size), dtype, name=name) for name in "ab")
    k = te.reduce_axis((0, size), name="k")

    def element(i, j):
        return te.sum(a[i, k].astype("float32") * b[k, j].astype("float32"), axis=k)

    return [a, b, te.compute((size, size), element, name="c")]


def functions() -> dict[str, list[te.Tensor]]:
    """Return all functions that are built here, by name."""
    x = te.placeholder((64, 1000), "float32", name="x")
    made = {"softmax": [x, topi.nn.softmax(x)], "large": _matmul("float32", _LARGE)}
    for dtype in _FLOATS:
        made[f"addone_{dtype}"] = _addone(dtype)
        made[f"row_sums_{dtype}"] = _row_sums(dtype)
        made[f"matmul_{dtype}"] = _matmul(dtype, 256)
    return made


@pytest.fixture(scope="module")
def module(a_gpu, tmp_path_factory):
    path = tmp_path_factory.mktemp("lib") / "gpu.so"
    tftvm.export_library(functions(), path, "cuda")
    return tftvm.Module(path)


def _random(shape, dtype: str, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape)
    return values.astype(tf.as_dtype(dtype).as_numpy_dtype)


def _on_gpu(function, device: int = 0):
    def call(*inputs):
        with tf.device(f"/gpu:{device}"):
            return function(*inputs)

    return call


# Numerics.


@pytest.mark.parametrize("dtype", _FLOATS)
@pytest.mark.parametrize("size", [1, 1000, 1_000_003])
def test_addone(run, module, dtype, size):
    x = _random(size, dtype)
    result = run(_on_gpu(module[f"addone_{dtype}"]), x)
    assert result.dtype == x.dtype
    expected = x.astype(np.float64) + 1.0
    precision = _PRECISION[dtype]
    np.testing.assert_allclose(result.astype(np.float64), expected, precision, precision)


@pytest.mark.parametrize("dtype", _FLOATS)
def test_reduction(run, module, dtype):
    x = _random((64, 1000), dtype)
    result = run(_on_gpu(module[f"row_sums_{dtype}"]), x)
    np.testing.assert_allclose(result, x.astype(np.float64).sum(axis=1), rtol=1e-4, atol=1e-4)


def test_rows_whose_threads_wait_for_each_other(run, module):
    x = _random((64, 1000), "float32")
    result = run(_on_gpu(module["softmax"]), x)
    np.testing.assert_allclose(result, tf.nn.softmax(x), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", _FLOATS)
def test_matmul(run, module, dtype):
    a, b = (_random((256, 256), dtype, seed) for seed in (1, 2))
    result = run(_on_gpu(module[f"matmul_{dtype}"]), a, b)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)


def test_outputs_are_on_the_gpu(module):
    with tf.device("/gpu:0"):
        y = module["addone_float32"](tf.zeros([3]))
    assert "GPU:0" in y.device
    with tf.device("/gpu:0"):
        np.testing.assert_array_equal(y * 2.0, [2.0, 2.0, 2.0])


def test_another_gpu(module):
    if len(tf.config.list_physical_devices("GPU")) < 2:
        pytest.skip("this machine has one GPU")
    with tf.device("/gpu:1"):
        y = module["addone_float32"](tf.zeros([3]))
    assert "GPU:1" in y.device
    np.testing.assert_array_equal(y, [1.0, 1.0, 1.0])


# The order of work. On another stream than TensorFlow's a function would read its inputs before
# the long kernel that they depend on has ended, and find what the round before left there.


def _round(module, i, large, zeros):
    """Return by how much one round is off: TensorFlow's kernel, ours, TensorFlow's."""
    after_long_kernel = tf.matmul(large, large)[0]  # of zeros
    x = tf.fill([_LARGE], i) + after_long_kernel
    y = module["addone_float32"](x)
    ours_is_long = module["large"](large, large)[0]
    z = module["addone_float32"](y * 2.0 + ours_is_long + zeros)
    return tf.reduce_sum(tf.abs(z - (i * 2.0 + 3.0)))


def test_order_in_eager_calls(module):
    with tf.device("/gpu:0"):
        large, zeros = tf.zeros([_LARGE, _LARGE]), tf.zeros([_LARGE])
        off = tf.zeros([])
        for i in range(2000):
            off += _round(module, tf.constant(float(i)), large, zeros)
        assert off.numpy() == 0.0


@tf.function
def _rounds(module, count, large, zeros):
    off = tf.zeros([])
    for i in tf.range(count):
        off += _round(module, tf.cast(i, tf.float32), large, zeros)
    return off


def test_order_in_a_loop_of_a_graph(module):
    with tf.device("/gpu:0"):
        large, zeros = tf.zeros([_LARGE, _LARGE]), tf.zeros([_LARGE])
        assert _rounds(module, tf.constant(2000), large, zeros).numpy() == 0.0


def test_order_in_several_threads(module):
    off = []

    def work():
        with tf.device("/gpu:0"):
            large, zeros = tf.zeros([_LARGE, _LARGE]), tf.zeros([_LARGE])
            total = tf.zeros([])
            for i in range(300):
                total += _round(module, tf.constant(float(i)), large, zeros)
            off.append(total.numpy())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert off == [0.0] * 4


# Memory.


def test_memory_does_not_grow(module):
    addone = module["addone_float32"]
    with tf.device("/gpu:0"):
        x = tf.zeros([1 << 20])
        for _ in range(10):
            x = addone(x)
        x.numpy()
        before = tf.config.experimental.get_memory_info("GPU:0")["current"]
        tf.config.experimental.reset_memory_stats("GPU:0")
        for _ in range(5000):
            x = addone(x)
        np.testing.assert_array_equal(x[:2], [5010.0, 5010.0])
    after = tf.config.experimental.get_memory_info("GPU:0")
    assert after["current"] == before
    assert after["peak"] < before + (64 << 20)


def test_cuda_12_and_13_in_one_process(module):
    version = tf.sysconfig.get_build_info()["cuda_version"]
    if not version.startswith("12"):
        pytest.skip(f"this TensorFlow is built for CUDA {version}")
    with tf.device("/gpu:0"):
        x = tf.constant(_random((256, 256), "float32"))
        ours, theirs = module["matmul_float32"](x, x), tf.matmul(x, x)
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=0.1)  # theirs may be in TF32
    loaded = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert "libcudart.so.12" in loaded and "libcudart.so.13" in loaded
