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
from tensorflow_tvm.vectors import const, let, like, register, select, split

# Functions of the C library, by their names in float64. Those of float32 end with an f.
_LIBRARY = (
    *("tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
    *("atan2", "hypot", "fmod", "log1p", "erf"),
)
# Those that TVM lowers well in float32 and float64.
_LOWERED = ("exp", "exp2", "log", "log2", "log10", "pow", "rsqrt", "sigmoid", "sin", "cos")
_FUNCTIONS = {*_LIBRARY, *_LOWERED, "exp10"}
# Those that are wrong for subnormal numbers in threads that take those for zeros.
_FLUSHED = ("atan2", "log", "log2", "log10", "pow")
# Integers with the bits of floats.
_INTEGERS = {
    **{"float16": "int16", "bfloat16": "int16"},
    **{"float32": "int32", "float64": "int64"},
}
# Those with the bits of infinity.
_INFINITY = {
    **{"float16": 0x7C00, "bfloat16": 0x7F80},
    **{"float32": 0x7F800000, "float64": 0x7FF0000000000000},
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
    if name == "copysign" and dtype in _INTEGERS:
        return let(call.args[0], lambda a: _copysign(a, call.args[1]))
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
    if name in _FLUSHED:
        arguments = list(map(_flush, arguments))
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


def _flush(value: Any) -> Any:
    """Return `value`, with 0 of its sign in place of subnormal numbers.

    TensorFlow's threads take those for zeros. The C library looks at the bits of some numbers and
    compares others, and so does neither.
    """

    def flushed(value: Any) -> Any:
        bits = _bits(value)
        exponent = bits & tirx.const(_INFINITY[split(value)[0]], split(bits)[0])
        zero = tirx.reinterpret(str(value.ty), bits & _sign(value))
        return select(tirx.EQ(exponent, const(0, bits)), zero, value)

    return let(value, flushed)


def _bits(value: Any) -> Any:
    return tirx.reinterpret(like(_INTEGERS[split(value)[0]], value), value)


def _sign(value: Any) -> Any:
    """Return the bits of -0."""
    return tirx.min_value(_INTEGERS[split(value)[0]])


def _copysign(a: Any, b: Any) -> Any:
    sign = _sign(a)
    rest = tirx.max_value(str(sign.ty))
    return tirx.reinterpret(str(a.ty), (_bits(a) & rest) | (_bits(b) & sign))


# TVM makes no vectors of its own.
_ERF = ir.Op.get(register("tensorflow_tvm.erf"))


def rewrite(call: ir.Call, libm: bool) -> Any:
    """Return what computes a call before TVM lowers it, and makes float32 of bfloat16."""
    dtype, _ = split(call)
    if vector_math.name_of(call) == "erf" and not libm and dtype in ("float32", "float16"):
        return ir.Call(_ERF, call.args, ret_ty=call.ty)
    if vector_math.name_of(call) != "nextafter" or dtype not in _INTEGERS:
        return call
    return tirx.reinterpret(dtype, _bits_of_next(*map(_bits, call.args), dtype))


def _bits_of_next(a: Any, b: Any, dtype: str) -> Any:
    zero, one, infinity = (tirx.const(n, _INTEGERS[dtype]) for n in (0, 1, _INFINITY[dtype]))

    sign = tirx.min_value(_INTEGERS[dtype])

    def in_order(bits: Any) -> Any:
        """Return integers in the order of floats for their bits, and the bits for those."""
        return select(bits < zero, sign - bits, bits)

    def is_nan(bits: Any) -> Any:
        return (bits & tirx.max_value(_INTEGERS[dtype])) > infinity

    def of_bits(x: Any, y: Any) -> Any:
        first, last = in_order(x), in_order(y)
        step = first + select(first < last, one, -one)
        stepped = select(tirx.EQ(step, zero), x & sign, in_order(step))
        result = select(tirx.EQ(first, last), y, stepped)
        return select(is_nan(x), x, select(is_nan(y), y, result))

    return let(a, lambda a: let(b, lambda b: of_bits(a, b)))
