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
"""What a call may do, and what is wrong with what it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tensorflow_tvm.tests.fuzz import numbers
from tensorflow_tvm.tests.fuzz.numbers import ANY, OUTSIDE, SOFT, TRAP, Number


@dataclasses.dataclass
class Expected:
    """What a call may do.

    Attributes
    ----------
    outputs : list of Number, optional
        None if it must be refused.
    reasons : list of str
        Why it may be refused.
    """

    outputs: list[Number] | None
    reasons: list[str]

    def check_refusal(self, error: str, is_gradient: bool) -> list[tuple[str, str]]:
        """Return what is wrong with a call's failure."""
        if self.reasons:
            return []
        return [("refused", error)]

    def check_outputs(
        self, outputs: Sequence[np.ndarray], is_gradient: bool
    ) -> list[tuple[str, str]]:
        """Return what is wrong with a call's results."""
        if is_gradient:  # it need not compute all that the function computes
            return []
        if self.outputs is None:
            if not any(output.size for output in outputs):
                return []  # there was nothing to compute
            return [("accepted", self.reasons[-1])]
        found = []
        for at, (expected, given) in enumerate(zip(self.outputs, outputs, strict=True)):
            if expected.value.shape != given.shape:
                found.append(("value", f"output {at} is {given.shape}, not {expected.value.shape}"))
            elif message := compare(expected, given):
                found.append((message[0], f"output {at}: {message[1]}"))
        return found


def compare(expected: Number, given: np.ndarray) -> tuple[str, str] | None:
    """Return what is wrong with an output."""
    value, error, flags = np.broadcast_arrays(expected.value, expected.error, expected.flags)
    trapped = flags & TRAP != 0
    if trapped.any():
        return "accepted", f"a division by zero in {_position(trapped)}"
    if numbers.is_float(expected.dtype):
        found = given.astype(np.float64)
        with np.errstate(invalid="ignore"):
            right = abs(found - value) <= 2 * error
        right |= (found == value) | (np.isnan(found) & np.isnan(value))
    else:
        found = given if expected.dtype == "bool" else given.astype(object)
        right = np.asarray(found == value, dtype=bool)
    wrong = ~right & (flags & (ANY | SOFT | OUTSIDE) == 0)
    if not wrong.any():
        return None
    at = _position(wrong)
    return "value", f"{found[at]} at {list(at)}, not {value[at]} (within {error[at]:.3g})"


def _position(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(x) for x in np.argwhere(mask)[0])
