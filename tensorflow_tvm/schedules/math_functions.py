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
"""Math functions on CPUs, lowered to code that is exact for small numbers, and for float16.

TVM 0.27 lowers tanh, atanh and exp10 to formulas that lose all digits near 0, and does not lower
fmod, nor most functions of float16. pipeline.py calls this where TVM has lowered all the rest, so
that it is the same for each schedule: bfloat16 is float32 here, and loops may be vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import ir, tirx

from tensorflow_tvm.schedules import vector_math
from tensorflow_tvm.schedules.vectors import const, let, like, split

# Functions of the C library, by their names in float64. Those of float32 end with an f.
_LIBRARY = (
    *("tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
    *("atan2", "hypot", "fmod", "log1p", "erf", "nextafter"),
)
# Those that TVM lowers well in float32 and float64.
_LOWERED = ("exp", "exp2", "log", "log2", "log10", "pow", "rsqrt", "sigmoid", "sin", "cos")
_FUNCTIONS = {*_LIBRARY, *_LOWERED, "exp10"}
_SIGN = {
    "float16": ("int16", -(1 << 15)),
    "float32": ("int32", -(1 << 31)),
    "float64": ("int64", -(1 << 63)),
}


def lower(call: ir.Call, libm: bool) -> Any:
    """Return what computes a call whose arguments have been lowered; itself if TVM's code does.

    Parameters
    ----------
    call : ir.Call
        A call of a math function, or of anything else.
    libm : bool
        Whether functions that vector_math.py writes out are called from the C library.
    """
    name = vector_math.name_of(call)
    dtype, lanes = split(call)
    if name == "copysign" and dtype in _SIGN:
        return _copysign(*call.args, *_SIGN[dtype])
    if not lanes or name not in _FUNCTIONS or dtype not in ("float16", "float32", "float64"):
        return call
    if dtype == "float16":
        arguments = [argument.astype(like("float32", argument)) for argument in call.args]
        return _lowered(name, arguments, "float32", lanes, libm).astype(str(call.ty))
    return _lowered(name, list(call.args), dtype, lanes, libm)


def _lowered(name: str, arguments: list[Any], dtype: str, lanes: int, libm: bool) -> Any:
    written_out = None if libm or dtype != "float32" else vector_math.FUNCTIONS.get(name)
    if written_out is not None:
        return let(arguments[0], written_out)
    if name == "exp10":
        return tirx.pow(const(10.0, arguments[0]), arguments[0])
    if name not in _LIBRARY:
        return getattr(tirx, name)(*arguments)
    symbol = name if dtype == "float64" else f"{name}f"
    return _each_lane(
        lambda *values: tirx.call_pure_extern(dtype, symbol, *values), arguments, lanes
    )


def _each_lane(function: Callable[..., Any], arguments: Sequence[Any], lanes: int) -> Any:
    """Return the vector of what a function returns for each of the elements of vectors."""
    if lanes == 1:
        return function(*arguments)
    if len(arguments) == 2:
        return let(
            arguments[0],
            lambda a: let(arguments[1], lambda b: _of_lanes(function, [a, b], lanes)),
        )
    return let(arguments[0], lambda a: _of_lanes(function, [a], lanes))


def _of_lanes(function: Callable[..., Any], arguments: Sequence[Any], lanes: int) -> Any:
    numbers = [tirx.const(i, "int32") for i in range(lanes)]
    elements = [
        function(*(tirx.Shuffle([argument], [number]) for argument in arguments))
        for number in numbers
    ]
    return tirx.Shuffle(elements, numbers)


def _copysign(a: Any, b: Any, integer: str, sign: int) -> Any:
    bits = [tirx.reinterpret(like(integer, value), value) for value in (a, b)]
    mixed = (bits[0] & tirx.const(~sign, integer)) | (bits[1] & tirx.const(sign, integer))
    return tirx.reinterpret(str(a.ty), mixed)
