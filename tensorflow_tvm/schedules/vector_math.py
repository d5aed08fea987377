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
"""exp, log, tanh, sigmoid, erf, sin and cos of float32, as arithmetic that LLVM makes vectors of.

The C library's take one number at a time. Arguments are reduced as in W. J. Cody and W. Waite,
"Software Manual for the Elementary Functions" (1980); what is left is a polynomial, fitted by
C. L. Lawson's iteratively reweighted least squares (1961) to the least maximal error. Angles are
reduced as by M. H. Payne and R. N. Hanek, "Radian Reduction for Trigonometric Functions" (1983).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import ir, tirx

from tensorflow_tvm.vectors import convert, let, like, select

_LOG2_E = 1.4426950408889634
# log(2) in two parts, of which multiples of the first are exact.
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4
# 1.5 * 2**23: the last bit of float32 numbers of that size is 1. It is an integer, as TVM's C code
# has only seven digits of other numbers.
_ROUNDER = 12582912
_ROUNDER_BITS = 0x4B400000

_EXP = (0.49999994, 0.16666521, 0.04166839, 0.0083687175, 0.00138145965)
_LOG = (
    *(0.33333313, -0.25000009, 0.20002134, -0.16668007, 0.14219223),
    *(-0.12405138, 0.11890336, -0.11679643, 0.0674656),
)
_TANH = (-0.33333331, 0.1333321, -0.0539472, 0.021702968, -0.008182674, 0.0021475370)
_TANH_SMALL = 0.625
_ERF = (
    *(0.12837917, -0.37612638, 0.11283782, -0.0268654),
    *(0.0052209455, -0.00084828265, 0.00011256931, -9.641473e-06),
)
_LOG_ERFC = (
    *(0.00020382256, -1.1296585, -0.63304543, -0.10863193, 0.0253683),
    *(-0.0042799276, 0.0004630849, -2.5201984e-05, 2.4356203e-07),
)
_SIN = (-0.16666655, 0.0083321779, -0.0001951727)
_COS = (0.041666647, -0.0013887367, 2.4438415e-05)
# 1 / (2 pi), 27 bits at a time.
_CHUNKS = (21361414, 115663937, 43318803, 90130388, 110868507, 56792473, 31595650)
_BITS = 27


def is_vector(call: ir.Call) -> bool:
    """Whether a function is computed for a vector at once."""
    return name_of(call) in FUNCTIONS and str(call.ty) in ("float32", "float16")


def name_of(call: ir.Call) -> str:
    """Return the name of the function that is called."""
    return getattr(call.op, "name", "").rpartition(".")[2]


def _f(value: float) -> Any:
    return tirx.const(value, "float32")


def _i(value: int) -> Any:
    return tirx.const(value, "int32")


def _bits(value: Any) -> Any:
    return tirx.reinterpret(like("int32", value), value)


def _float(bits: Any) -> Any:
    return tirx.reinterpret(like("float32", bits), bits)


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    result = _f(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + _f(coefficient)
    return result


def _exp(x: Any) -> Any:
    # Beyond these limits it is 0, and infinite. A comparison with NaN is false, which keeps it.
    limited = select(x > _f(89.0), _f(89.0), select(x < _f(-104.0), _f(-104.0), x))

    def scaled(whole: Any, x: Any) -> Any:
        n = convert(whole, "float32")
        r = x - n * _f(_LN2_HIGH) - n * _f(_LN2_LOW)
        value = let(r, lambda r: r * r * _polynomial(r, _EXP) + r + _f(1.0))
        # In two factors, since 2**n itself may be no normal number.
        half = whole >> _i(1)
        return value * _power_of_two(half) * _power_of_two(whole - half)

    def rounded(x: Any) -> Any:
        # The last bits of the sum are the integer nearest to x / log(2). They are some integer for
        # NaN too, whose conversion to an integer is undefined.
        return _bits(x * _f(_LOG2_E) + tirx.Cast("float32", _i(_ROUNDER))) - _i(_ROUNDER_BITS)

    return let(limited, lambda x: let(rounded(x), lambda whole: scaled(whole, x)))


def _power_of_two(exponent: Any) -> Any:
    return _float((exponent + _i(127)) << _i(23))


def _log(x: Any) -> Any:
    least = _f(1.17549435e-38)
    # What has no full mantissa is made larger first.
    normal = select(x < least, x * _f(2.0**23), x)
    shift = select(x < least, _i(23), _i(0))

    def of_bits(bits: Any) -> Any:
        # The mantissa's interval is moved from [1, 2) to [sqrt(1/2), sqrt(2)).
        moved = bits - _i(0x3F3504F3)
        exponent = (moved >> _i(23)) - shift
        mantissa = _float(bits - ((moved >> _i(23)) << _i(23)))

        def value(f: Any, e: Any) -> Any:
            tail = f * f * f * _polynomial(f, _LOG) + e * _f(_LN2_LOW)
            return (tail - f * f * _f(0.5)) + f + e * _f(_LN2_HIGH)

        return let(
            mantissa - _f(1.0),
            lambda f: let(convert(exponent, "float32"), lambda e: value(f, e)),
        )

    infinity, nan = _float(_i(0x7F800000)), _float(_i(0x7FC00000))
    result = let(_bits(normal), of_bits)
    result = select(x < infinity, result, x)  # infinity and NaN are their own
    # The rest is zero, or a subnormal number to threads that take those for zeros; and NaN.
    rest = select(tirx.isnan(x), x, _float(_i(-0x800000)))
    return select(x > _f(0.0), result, select(x < _f(0.0), nan, rest))


def _absolute(x: Any) -> Any:
    return _float(_bits(x) & _i(0x7FFFFFFF))


def _with_sign_of(value: Any, x: Any) -> Any:
    return _float(_bits(value) | (_bits(x) & _i(-0x80000000)))


def _tanh(x: Any) -> Any:
    def of_absolute(a: Any) -> Any:
        small = let(a * a, lambda u: a + a * u * _polynomial(u, _TANH))
        large = _f(1.0) - _f(2.0) / (_exp(a + a) + _f(1.0))
        return _with_sign_of(select(a < _f(_TANH_SMALL), small, large), x)

    return let(_absolute(x), of_absolute)


def _sigmoid(x: Any) -> Any:
    # Of minus the absolute value, so that nothing cancels and nothing overflows.
    return let(_exp(-_absolute(x)), lambda e: select(x >= _f(0.0), _f(1.0), e) / (_f(1.0) + e))


def _erf(x: Any) -> Any:
    def of_absolute(a: Any) -> Any:
        small = let(a * a, lambda u: a + a * _polynomial(u, _ERF))
        limited = select(a > _f(3.93), _f(3.93), a)
        large = _f(1.0) - let(limited, lambda a: _exp(_polynomial(a, _LOG_ERFC)))
        return _with_sign_of(select(a < _f(1.0), small, large), x)

    return let(_absolute(x), of_absolute)


def _sin(x: Any) -> Any:
    def of_sine(value: Any) -> Any:
        return _float(_bits(value) ^ (_bits(x) & _i(-0x80000000)))

    return let(_of_angle(x, 0), of_sine)


def _cos(x: Any) -> Any:
    return _of_angle(x, 1)


def _of_angle(x: Any, quarters: int) -> Any:
    """Return the sine of |x| and so many quarter turns."""

    def of_quarter(n: Any, r: Any) -> Any:
        sine = let(r * r, lambda u: r + r * u * _polynomial(u, _SIN))
        cosine = let(r * r, lambda u: u * u * _polynomial(u, _COS) - _f(0.5) * u + _f(1.0))
        value = select((n & _i(1)) > _i(0), cosine, sine)
        return _float(_bits(value) ^ ((n & _i(2)) << _i(30)))

    def of_finite(a: Any) -> Any:
        return _reduce(a, lambda n, r: let(n + _i(quarters), lambda n: of_quarter(n, r)))

    infinity, nan = _float(_i(0x7F800000)), _float(_i(0x7FC00000))
    result = let(select(_absolute(x) < infinity, _absolute(x), _f(0.0)), of_finite)
    return select(_absolute(x) < infinity, result, nan)


def _reduce(a: Any, body: Callable[[Any, Any], Any]) -> Any:
    """Pass `body` how many quarter turns the angle `a` is, rounded, and what is left, in radians.

    `a` has 24 bits, and its products with chunks of 1 / (2 pi) are exact in float64. Of those that
    are not whole turns, the first four tell even the angles that come closest to a quarter turn.
    """
    exponent = (_bits(a) >> _i(23)) - _i(127)

    def chunk(k: int) -> Any:
        result = None
        for first in reversed(range(4)):
            value = _d(_CHUNKS[first + k] * 2.0 ** (-_BITS * (first + k + 1)))
            whole_turns = exponent >= _i(23 + _BITS * (first + 1))
            result = value if result is None else select(whole_turns, result, value)
        return result

    def fraction(turns: Any) -> Any:
        return let(turns, lambda t: t - tirx.floor(t + _d(0.5)))

    def of_parts(f0: Any, f1: Any, f2: Any, f3: Any) -> Any:
        quarters = tirx.floor(_d(4.0) * (f0 + f1 + f2) + _d(0.5))

        def of_quarters(q: Any) -> Any:
            # The first difference and the first sum are exact.
            rest = (f0 - q * _d(0.25)) + f1 + f2 + f3
            radians = convert(rest * _d(6.283185307179586), "float32")
            return let(radians, lambda r: body(convert(q, "int32"), r))

        return let(quarters, of_quarters)

    def of_wide(w: Any) -> Any:
        f0, f1 = (fraction(w * chunk(k)) for k in (0, 1))
        f2, f3 = (w * chunk(k) for k in (2, 3))
        return let(
            f0,
            lambda f0: let(f1, lambda f1: let(f2, lambda f2: of_parts(f0, f1, f2, f3))),
        )

    return let(convert(a, "float64"), of_wide)


def _d(value: float) -> Any:
    return tirx.const(value, "float64")


FUNCTIONS = {
    "exp": _exp,
    "log": _log,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "sin": _sin,
    "cos": _cos,
}
