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
"""The process that builds, checks and times schedules, and that a bad one may bring down.

It is run by its path, so that it imports TVM and NumPy, and not TensorFlow. Requests and replies
are lines of JSON, see `_Worker`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_GUARD = 4096  # bytes before and after each tensor, which nothing may change
_UNWRITTEN = 0xFF  # of which floats are NaN
_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
_SLOW = 3.0  # times as long as the best: timed once


def random_values(shape: Sequence[int], dtype: str, seed: int) -> np.ndarray:
    """Return an array to measure with: floats from 0 to 1, small integers, booleans."""
    import ml_dtypes  # noqa: F401  NumPy learns of bfloat16 and float8 by it

    generator = np.random.default_rng(seed)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if "int" in dtype:
        return generator.integers(0, 8, shape).astype(dtype)
    return generator.random(shape, np.float32).astype(dtype)


class _Tensor:
    """A tensor amid bytes that must stay as they are."""

    def __init__(self, shape: Sequence[int], dtype: str, values: np.ndarray | None = None) -> None:
        import tvm

        self._dtype = np.dtype(dtype)
        self._size = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        memory = np.empty(self._size + 2 * _GUARD + 64, np.uint8)
        start = _GUARD + -(memory.ctypes.data + _GUARD) % 64
        self._all = memory[start - _GUARD : start + self._size + _GUARD]
        self._shape = tuple(shape)
        self._is_input = values is not None
        self.clear()
        self._bytes = memory[start : start + self._size]
        if values is not None:
            self._bytes[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self.tensor = tvm.runtime.from_dlpack(self._bytes)._create_view(self._shape, dtype)

    def clear(self) -> None:
        """Forget what was written."""
        if not self._is_input:
            self._all[:] = _UNWRITTEN
        else:
            self._all[:_GUARD] = self._all[_GUARD + self._size :] = _UNWRITTEN

    def is_intact(self) -> bool:
        """Whether the bytes around it are as they were."""
        around = (self._all[:_GUARD], self._all[_GUARD + self._size :])
        return all((part == _UNWRITTEN).all() for part in around)

    def values(self) -> np.ndarray:
        """Return a copy of the values."""
        return self._bytes.copy().view(self._dtype).reshape(self._shape)


class _Worker:
    """Replies to requests.

    ``{"do": "begin", "function": …, "target": …, "outputs": …, "seed": …}`` names the function with
    the schedule that others are compared with; ``{"do": "measure", "function": …, "best": …}`` one
    with another schedule. Functions are TVM's JSON of a module that has them as "main". The reply
    has ``"seconds"``, or ``"error"``.
    """

    def begin(self, request: dict[str, Any]) -> float:
        import tvm

        self._pipeline = _lowering()  # which functions may have ops of
        self._target = tvm.ir.load_json(request["target"])
        module = tvm.ir.load_json(request["function"])
        parameters = list(module["main"].params)
        inputs = len(parameters) - request["outputs"]
        self._tensors = []
        for i, parameter in enumerate(parameters):
            shape, dtype = [int(size) for size in parameter.shape], str(parameter.dtype)
            values = random_values(shape, dtype, request["seed"] + i) if i < inputs else None
            self._tensors.append(_Tensor(shape, dtype, values))
        self._outputs = self._tensors[inputs:]
        self._expected: list[np.ndarray] | None = None
        return self._measure(module, None)

    def measure(self, request: dict[str, Any]) -> float:
        import tvm

        return self._measure(tvm.ir.load_json(request["function"]), request["best"])

    def _measure(self, module: Any, best: float | None) -> float:
        """Return how long a function takes; raise ValueError if it does something else."""
        import tvm

        executable = tvm.compile(module, target=self._target, tir_pipeline=self._pipeline)
        library = executable.jit()
        arguments = [tensor.tensor for tensor in self._tensors]
        for output in self._outputs:
            output.clear()
        function = library["main"]
        function(*arguments)
        self._check()
        start = time.perf_counter()
        function(*arguments)
        once = time.perf_counter() - start
        if best is not None and once > _SLOW * best + 1e-3:
            return once
        timer = library.time_evaluator("main", tvm.cpu(), number=1, repeat=5, min_repeat_ms=10)
        return min(timer(*arguments).results)

    def _check(self) -> None:
        if not all(tensor.is_intact() for tensor in self._tensors):
            raise ValueError("it writes outside its tensors")
        results = [output.values() for output in self._outputs]
        if self._expected is None:
            self._expected = results
        for i, (result, expected) in enumerate(zip(results, self._expected, strict=True)):
            if not _is_close(result, expected):
                raise ValueError(f"output {i} differs from that of the default schedule")


def _lowering() -> str:
    """Return the name of the lowering passes, and import them without TensorFlow."""
    root = Path(__file__).parents[1]
    for name, folder in (
        ("tensorflow_tvm", root),
        ("tensorflow_tvm.schedules", root / "schedules"),
    ):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules.setdefault(name, package)
    from tensorflow_tvm.schedules import pipeline

    return pipeline.NAME


def _is_close(result: np.ndarray, expected: np.ndarray) -> bool:
    name = expected.dtype.name
    if name.startswith("float8"):
        return bool(np.mean(result.view(np.uint8) != expected.view(np.uint8)) < 0.01)
    if name not in _TOLERANCE:
        return bool(np.array_equal(result, expected))
    result, expected = result.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(result[~finite], expected[~finite], equal_nan=True):
        return False
    largest = np.max(np.abs(expected[finite]), initial=0.0)
    limit = _TOLERANCE[name]
    return bool(np.allclose(result[finite], expected[finite], rtol=limit, atol=limit * largest))


def main() -> None:
    """Reply to requests until there are no more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a compiler prints is no reply
    worker = _Worker()
    for line in sys.stdin:
        request = json.loads(line)
        do = worker.begin if request["do"] == "begin" else worker.measure
        try:
            reply: dict[str, Any] = {"seconds": do(request)}
        except Exception as error:
            reply = {"error": str(error).strip()[:1000] or type(error).__name__}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
