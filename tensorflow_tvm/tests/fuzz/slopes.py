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
"""Derived gradients against differences of what the reference returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tensorflow_tvm.tests.fuzz import reference
from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction
from tensorflow_tvm.tests.fuzz.numbers import is_float

_STEPS = (1e-4, 3e-5)
_TOLERANCE = 0.02


def check(
    function: GeneratedFunction,
    sizes: dict[str, int],
    arrays: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    results: Sequence[np.ndarray],
) -> list[tuple[str, str]]:
    """Compare a gradient with a slope in a random direction.

    Parameters
    ----------
    function, sizes, arrays
        What was called.
    gradients : sequence of numpy.ndarray
        Those of the outputs of floating point.
    results : sequence of numpy.ndarray
        Those of the inputs of floating point.

    Returns
    -------
    list of (str, str)
        Kind and text of what is wrong; nothing where the slope is not clear.
    """
    floats = [at for at, value in enumerate(function.inputs) if is_float(value.dtype)]
    if len(floats) != len(results) or any("16" in value.dtype for value in function.inputs):
        return []
    rng = np.random.default_rng(function.seed)
    directions = [rng.uniform(-1, 1, arrays[at].shape) for at in floats]

    def loss(step: float) -> float:
        moved = [np.asarray(array) for array in arrays]
        for at, direction in zip(floats, directions, strict=True):
            moved[at] = moved[at].astype(np.float64) + step * direction
        expected = reference.evaluate(function, sizes, moved)
        if expected.outputs is None or expected.reasons:
            return np.nan
        outputs = [output for output in expected.outputs if is_float(output.dtype)]
        if len(outputs) != len(gradients) or any(output.flags.any() for output in outputs):
            return np.nan
        return float(
            sum(
                np.sum(output.value * gradient.astype(np.float64))
                for output, gradient in zip(outputs, gradients, strict=True)
            )
        )

    here = loss(0.0)
    slopes = [(loss(sign * step) - here) / (sign * step) for step in _STEPS for sign in (1, -1)]
    terms = [
        result.astype(np.float64) * direction
        for result, direction in zip(results, directions, strict=True)
    ]
    slope = float(np.mean(slopes))
    bound = _TOLERANCE * (abs(slope) + 1e-2 * abs(here) + 1e-2)
    if not np.isfinite(slopes).all() or np.ptp(slopes) > bound:
        return []
    found = float(sum(np.sum(term) for term in terms))
    bound += _TOLERANCE * float(sum(np.sum(abs(term)) for term in terms))
    if abs(found - slope) <= bound:
        return []
    return [("gradient", f"its slope is {found:.5g}, not {slope:.5g} (within {bound:.2g})")]
