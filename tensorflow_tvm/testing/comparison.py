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
"""Which values count as equal, and where the first difference is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

# The distance from 1 to the next number.
EPSILON = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3,
    "float8_e5m2": 2.0**-2,
    "complex64": 2.0**-23,
    "complex128": 2.0**-52,
}
_TOLERANCE = {"float64": 1e-10, "complex128": 1e-10, "float32": 1e-5, "complex64": 1e-5}


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far values may be apart: ``|given - expected| <= atol + rtol * |expected|``.

    None stands for what suits the dtype; integers, bool and strings have to be equal.
    """

    rtol: float | None = None
    atol: float | None = None

    def of(self, dtype: str) -> tuple[float, float]:
        """Return rtol and atol for values of `dtype`."""
        if dtype not in EPSILON:
            return 0.0, 0.0
        default = _TOLERANCE.get(dtype, 2 * EPSILON[dtype])
        return (
            default if self.rtol is None else self.rtol,
            default if self.atol is None else self.atol,
        )


EXACT = Tolerance(0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Difference:
    """What differs first between two tensors. `index` is None if they differ as a whole."""

    text: str
    index: tuple[int, ...] | None
    expected: Any
    given: Any


def first_difference(
    expected: np.ndarray, given: np.ndarray, tolerance: Tolerance, *, dtypes: bool = True
) -> Difference | None:
    """Return the first difference of two arrays, or None."""
    dtype, given_dtype = (tf.as_dtype(array.dtype).name for array in (expected, given))
    if dtypes and dtype != given_dtype:
        text = f"has dtype {given_dtype}, expected {dtype}"
        return Difference(text, None, dtype, given_dtype)
    if expected.shape != given.shape:
        text = f"has shape {given.shape}, expected {expected.shape}"
        return Difference(text, None, expected.shape, given.shape)
    # A reference may be more precise than what it is compared with.
    rtol, atol = tolerance.of(given_dtype)
    differs = _differs(expected, given, rtol, atol)
    count = int(np.count_nonzero(differs))
    if not count:
        return None
    index = tuple(int(i) for i in np.argwhere(differs)[0])
    text = f"at index {index} is {given[index]}, expected {expected[index]}"
    if expected.size > 1:
        text += f"; {count} of {expected.size} elements differ"
    if rtol or atol:
        text += f" (rtol={rtol:g}, atol={atol:g})"
    return Difference(text, index, expected[index], given[index])


def _differs(expected: np.ndarray, given: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    if not _is_inexact(expected) and not _is_inexact(given):
        return np.asarray(expected != given)
    a, b = _wide(expected), _wide(given)
    with np.errstate(invalid="ignore", over="ignore"):
        close = (a == b) | (np.isnan(a) & np.isnan(b))
        close |= np.isfinite(a) & (np.abs(b - a) <= atol + rtol * np.abs(a))
    return ~close


def _is_inexact(array: np.ndarray) -> bool:
    return tf.as_dtype(array.dtype).name in EPSILON


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
