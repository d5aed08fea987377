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
"""Operations whose result the machine does not define, or that trap: defined for every operand.

- An integer divided by zero is an error: by a size or an attr when the function is called, by data
  where it is computed. On GPUs, which cannot report it, quotient and remainder are 0.
- The least integer divided by -1 wraps (see `lowering`, which sees to it for all divisions).
- A shift is by 0 at least, and by one bit less than there are at most, as in TensorFlow.
- A floating-point number becomes the nearest integer that its type has, and NaN becomes 0.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from tensorflow_tvm.guards import markers, sizes
from tensorflow_tvm.guards.context import Context

DIVISIONS = (tirx.FloorDiv, tirx.FloorMod, tirx.Div, tirx.Mod)
SHIFTS = (tirx.LShift, tirx.RShift)
_SYMBOLS = {tirx.FloorDiv: "//", tirx.FloorMod: "%", tirx.Div: "/", tirx.Mod: "%"}
_FLOATS = ("float", "bfloat")


def divide(context: Context, written: Any, a: Any, b: Any) -> Any:
    """Return the quotient or remainder `written`, whose operands have become `a` and `b`."""
    kind, dtype = type(written), str(b.ty)
    if not _is_integer(dtype) or _is_nonzero(context, b):
        return kind(a, b)
    message = f"integer division by zero: {written.a} {_SYMBOLS[kind]} {written.b}"
    message += f" in step '{context.step}'" if context.step not in ("", "root") else ""
    if isinstance(b, tirx.IntImm):
        raise ValueError(message)
    zero = tirx.const(0, dtype)
    if context.is_known(b) and not context.is_guarded:
        context.require(tirx.NE(b, zero), message, explains=False)
        return kind(a, b)
    if context.is_gpu:
        is_zero = markers.is_zero(b)
        return tirx.Select(is_zero, zero, kind(a, tirx.Select(is_zero, tirx.const(1, dtype), b)))
    return kind(a, markers.checked_divisor(b, message))


def _is_nonzero(context: Context, divisor: Any) -> bool:
    if isinstance(divisor, tirx.IntImm):
        return bool(divisor.value)
    return context.proves(tirx.NE(divisor, tirx.const(0, str(divisor.ty))))


def shift(context: Context, written: Any, a: Any, b: Any) -> Any:
    """Return the shift `written`, whose operands have become `a` and `b`."""
    dtype = str(b.ty)
    most = tirx.const(written.ty.dtype.bits - 1, dtype)
    if isinstance(b, tirx.IntImm):
        if 0 <= b.value <= most.value:
            return type(written)(a, b)
    elif context.proves(tirx.all(b >= tirx.const(0, dtype), b <= most)):
        return type(written)(a, b)
    return type(written)(a, tirx.max(tirx.min(b, most), tirx.const(0, dtype)))


def convert(written: tirx.Cast, value: Any) -> Any:
    """Return the conversion `written`, whose operand has become `value`."""
    dtype = str(written.ty)
    if _is_integer(dtype) and str(value.ty).startswith(_FLOATS):
        return markers.saturating_cast(value, dtype)
    if _is_integer(dtype) and _may_wrap(str(value.ty), dtype) and sizes.reads_data(value):
        return markers.wrapping_cast(value, dtype)
    return written if value.same_as(written.value) else value.astype(dtype)


def _may_wrap(source: str, dtype: str) -> bool:
    """Whether an integer of dtype `source` may be none of `dtype`."""
    if not _is_integer(source):
        return False
    ends = [
        [int(end(t).value) for end in (tirx.min_value, tirx.max_value)] for t in (source, dtype)
    ]
    (least, most), (start, end) = ends
    return least < start or most > end


def _is_integer(dtype: str) -> bool:
    return dtype.startswith(("int", "uint")) and "x" not in dtype
