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
"""A GPU that is none: two devices for TensorFlow, and the CUDA that TVM's runtime calls.

TensorFlow gets its devices from a plugin, and TVM's own CUDA runtime is loaded on top of a fake
driver. Device code is compiled for the host, by nvcc.py. Everything that is enqueued is done at
once and written down. This proves which calls are made, on which device and stream, and no GPU's
arithmetic.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

_HERE = Path(__file__).absolute().parent
_BUILT = _HERE.parents[2] / "bazel-bin/tensorflow_tvm/tests/fake_gpu"


def folder() -> Path | None:
    """Return where the libraries are; None if they have not been built."""
    found = [place for place in (_HERE, _BUILT) if (place / "libcuda.so.1").exists()]
    return found[0] if found else None


@functools.cache
def load() -> FakeGpu:
    """Make the fake GPUs known to TensorFlow and TVM: before TensorFlow looks for its devices."""
    import tvm
    from tensorflow.python.framework import load_library

    libraries = folder()
    driver = ctypes.CDLL(str(libraries / "libcuda.so.1"), ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(libraries / "libcudart.so.13"), ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(Path(tvm.__file__).parent / "lib/libtvm_runtime_cuda.so"), ctypes.RTLD_GLOBAL)
    os.environ["CUDACXX"] = _nvcc()
    load_library.load_pluggable_device_library(str(libraries / "fake_gpu.so"))
    return FakeGpu(driver)


class FakeGpu:
    """What the fake GPUs were asked to do, and what they shall fail at."""

    def __init__(self, driver: ctypes.CDLL) -> None:
        self._driver = driver
        driver.FakeGpuRecord.restype = ctypes.c_char_p
        driver.FakeGpuNewStream.restype = ctypes.c_void_p

    def clear(self) -> None:
        """Forget what has been asked so far."""
        self._driver.FakeGpuClear()

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """Return the calls since `clear`, or those of one function."""
        calls = json.loads(self._driver.FakeGpuRecord())
        return [call for call in calls if name in ("", call["call"])]

    def launches(self) -> list[dict[str, Any]]:
        """Return the kernels that were launched."""
        return self.calls("cuLaunchKernelEx")

    def fail(self, name: str, code: int = 719, count: int = 1) -> None:
        """Let the next `count` calls of a function fail."""
        self._driver.FakeGpuFail(name.encode(), code, count)

    def new_stream(self, device: int) -> int:
        """Return the address of a stream that TensorFlow does not know."""
        return self._driver.FakeGpuNewStream(device)


def _nvcc() -> str:
    """Return the path of a program that is nvcc.py."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "nvcc"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_HERE / "nvcc.py"}" "$@"\n')
    path.chmod(0o700)
    return str(path)
