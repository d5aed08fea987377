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
"""Arithmetic on arrays that knows how exact it is: what a compiled function may return.

An element has a value, a bound of its error, and flags: whether any value will do, since TVM
specifies none, and whether it must not have been computed at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Flags of an element.
ANY = 1  # its value is not specified
TRAP = 2  # a division of integers by zero, on which it depends
SOFT = 4  # the same, where it may have been left out
OUTSIDE = 8  # it is read where there is nothing
LARGE = 16  # an integer at an edge has been chosen or left out: TVM moves sums across choices

_UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
_TINY = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
_MOST = {"float16": 65504.0, "bfloat16": 3.3e38, "float32": 3.4e38, "float64": 1.79e308}


def is_float(dtype: str) -> bool:
    """Whether a dtype is one of floating point."""
    return "float" in dtype


def limits(dtype: str) -> tuple[int, int]:
    """Return the least and the most that an integer dtype holds."""
    bits = int(dtype.lstrip("uint"))
    if dtype.startswith("u"):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _objects(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=object)


class Number:
    """Elements of one dtype.

    Parameters
    ----------
    dtype : str
    value : numpy.ndarray
        Python's integers, float64, or bool.
    error : numpy.ndarray or float
        How far off a right result may be.
    flags : numpy.ndarray or int
    data : bool
        Whether it depends on elements of tensors.
    """

    __slots__ = ("data", "dtype", "error", "flags", "value")

    def __init__(
        self, dtype: str, value: Any, error: Any = 0.0, flags: Any = 0, data: bool = False
    ) -> None:
        self.dtype = dtype
        if is_float(dtype):
            self.value = np.asarray(value, dtype=np.float64)
        elif dtype == "bool":
            self.value = np.asarray(value, dtype=bool)
        else:
            self.value = _objects(value)
        self.error = np.asarray(error, dtype=np.float64)
        self.flags = np.asarray(flags, dtype=np.uint8)
        self.data = data

    def lift(self, other: Any) -> Number:
        """Return `other` as numbers, of this dtype if it is Python's."""
        if isinstance(other, Number):
            return other
        return Number(self.dtype, other)

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> Number:
        """Return the numbers with all arrays changed in the same way."""
        value, error, flags = np.broadcast_arrays(self.value, self.error, self.flags)
        return Number(self.dtype, change(value), change(error), change(flags), self.data)

    def flagged(self, mask: Any, flag: int) -> Number:
        """Return the numbers with a flag set where `mask` is."""
        extra = np.where(mask, np.uint8(flag), np.uint8(0))
        return Number(self.dtype, self.value, self.error, self.flags | extra, self.data)

    # Arithmetic.

    def __add__(self, other: Any) -> Number:
        return _sum(self, self.lift(other), 1)

    def __radd__(self, other: Any) -> Number:
        return _sum(self.lift(other), self, 1)

    def __sub__(self, other: Any) -> Number:
        return _sum(self, self.lift(other), -1)

    def __rsub__(self, other: Any) -> Number:
        return _sum(self.lift(other), self, -1)

    def __mul__(self, other: Any) -> Number:
        a, b = self, self.lift(other)
        if not is_float(a.dtype):
            return _integer(a, b, a.value * b.value)
        error = _scaled(abs(a.value), b.error) + _scaled(abs(b.value), a.error) + a.error * b.error
        return _rounded(a.dtype, a.value * b.value, error, a, b)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Number:
        a, b = self, self.lift(other)
        value = a.value / b.value
        least = abs(b.value) - b.error
        error = np.where(
            (a.error == 0) & (b.error == 0),
            0.0,
            (a.error + _scaled(abs(value), b.error)) / np.where(least > 0, least, np.nan),
        )
        return _rounded(a.dtype, value, error, a, b)

    def __and__(self, other: Any) -> Number:
        return _bits(self, self.lift(other), lambda a, b: a & b)

    def __or__(self, other: Any) -> Number:
        return _bits(self, self.lift(other), lambda a, b: a | b)

    def __xor__(self, other: Any) -> Number:
        return _bits(self, self.lift(other), lambda a, b: a ^ b)

    def __lshift__(self, other: Any) -> Number:
        return _shift(self, self.lift(other), lambda a, b: a << b)

    def __rshift__(self, other: Any) -> Number:
        return _shift(self, self.lift(other), lambda a, b: a >> b)

    # Comparisons.

    def __lt__(self, other: Any) -> Number:
        return _compare(self, self.lift(other), np.less)

    def __le__(self, other: Any) -> Number:
        return _compare(self, self.lift(other), np.less_equal)

    def __gt__(self, other: Any) -> Number:
        return _compare(self, self.lift(other), np.greater)

    def __ge__(self, other: Any) -> Number:
        return _compare(self, self.lift(other), np.greater_equal)

    def __eq__(self, other: Any) -> Number:  # type: ignore[override]
        return _compare(self, self.lift(other), np.equal)

    def __ne__(self, other: Any) -> Number:  # type: ignore[override]
        return _compare(self, self.lift(other), np.not_equal)

    __hash__ = None  # type: ignore[assignment]

    def astype(self, dtype: str) -> Number:
        """Return the numbers converted: a float that does not fit an integer becomes any value."""
        if dtype == self.dtype:
            return self
        if dtype == "bool":
            return self != 0
        if is_float(dtype):
            if not is_float(self.dtype):
                value = self.value.astype(np.float64)
                exact = abs(value) <= 1 / _UNITS[dtype]
                error = np.where(exact, 0.0, abs(value) * 2 * _UNITS[dtype])
                result = Number(dtype, value, error, self.flags, self.data)
                return result.flagged(abs(value) > _MOST[dtype], ANY)
            if _UNITS[dtype] <= _UNITS[self.dtype] and "16" not in self.dtype + dtype:
                return Number(dtype, self.value, self.error, self.flags, self.data)
            return _rounded(dtype, self.value, self.error, self)
        if not is_float(self.dtype):
            value = self.value.astype(object) + 0
            return Number(dtype, _wrap(dtype, value)[0], 0.0, self.flags, self.data)
        least, most = limits(dtype)
        low, high = np.trunc(self.value - self.error), np.trunc(self.value + self.error)
        fits = np.isfinite(self.value) & (low >= least) & (high <= float(most)) & (low == high)
        fits &= high < float(most + 1)
        value = np.vectorize(int, otypes=[object])(np.where(fits, np.trunc(self.value), 0.0))
        result = Number(dtype, value, 0.0, self.flags, self.data)
        return result.flagged(~fits, ANY)


def constant(value: Any, dtype: str) -> Number:
    """Return a constant, which may be rounded to its dtype early or late."""
    if not is_float(dtype):
        return Number(dtype, value)
    is_exact = value * 8 == int(value * 8) and abs(value) <= 128
    return Number(dtype, value, 0.0 if is_exact else abs(value) * _UNITS[dtype])


def _scaled(factor: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a product in which an error of 0 stays 0, whatever the factor is."""
    return np.where(error == 0, 0.0, factor * error)


def _flags(*numbers: Number) -> np.ndarray:
    flags = numbers[0].flags
    for number in numbers[1:]:
        flags = flags | number.flags
    return flags


def _is_data(*numbers: Number) -> bool:
    return any(number.data for number in numbers)


def _rounded(dtype: str, value: np.ndarray, error: np.ndarray, *of: Number) -> Number:
    """Return a result of floating point with its rounding."""
    value, error = np.broadcast_arrays(value, error)
    finite = np.isfinite(value)
    error = error + np.where(finite, abs(value), 0.0) * _UNITS[dtype] + _TINY[dtype]
    unclear = finite & ~(abs(value) + error < _MOST[dtype])
    # An infinity or NaN that comes from what is not exact may be a number as well.
    for number in of:
        unclear = unclear | (~finite & (number.error > 0) & np.isfinite(number.value))
    error = np.where(finite & ~unclear, error, 0.0)
    return Number(dtype, value, error, _flags(*of), _is_data(*of)).flagged(unclear, ANY)


def _wrap(dtype: str, exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exact = _objects(exact)
    least, most = limits(dtype)
    beyond = np.asarray((exact < least) | (exact > most), dtype=bool)
    if beyond.any():
        exact = _objects((exact - least) % (most - least + 1) + least)
    return exact, beyond


def _integer(a: Number, b: Number, exact: np.ndarray) -> Number:
    """Return a result of integers, of which TVM specifies none if it overflows."""
    value, beyond = _wrap(a.dtype, exact)
    flags = _flags(a, b)
    beyond = beyond | (flags & LARGE != 0)
    return Number(a.dtype, value, 0.0, flags, _is_data(a, b)).flagged(beyond, ANY)


def _is_large(a: Number) -> np.ndarray | bool:
    if is_float(a.dtype) or a.dtype == "bool" or not a.data:
        return False
    return np.asarray(abs(a.value) > limits(a.dtype)[1] // 4, dtype=bool)


def _sum(a: Number, b: Number, sign: int) -> Number:
    exact = a.value + b.value if sign > 0 else a.value - b.value
    if not is_float(a.dtype):
        return _integer(a, b, exact)
    return _rounded(a.dtype, exact, a.error + b.error, a, b)


def _bits(a: Number, b: Number, operation: Callable) -> Number:
    return Number(a.dtype, operation(a.value, b.value), 0.0, _flags(a, b), _is_data(a, b))


def _shift(a: Number, b: Number, operation: Callable) -> Number:
    """Shift by an amount that is clamped to what is possible."""
    bits = int(a.dtype.lstrip("uint"))
    amount = _objects(np.minimum(_objects(np.maximum(b.value, 0)), bits - 1))
    value, _ = _wrap(a.dtype, operation(a.value, amount))
    return Number(a.dtype, value, 0.0, _flags(a, b), _is_data(a, b))


def _compare(a: Number, b: Number, operation: Callable) -> Number:
    value = np.asarray(operation(a.value, b.value), dtype=bool)
    result = Number("bool", value, 0.0, _flags(a, b), _is_data(a, b))
    if is_float(a.dtype):
        error = a.error + b.error
        with np.errstate(invalid="ignore"):
            result = result.flagged((error > 0) & (abs(a.value - b.value) <= error), ANY)
    return result


def divide(a: Number, b: Any, floor: bool, remainder: bool) -> Number:
    """Divide integers; the least by -1 wraps, and a division by zero is flagged."""
    b = a.lift(b)
    zero = np.asarray(b.value == 0, dtype=bool)
    divisor = _objects(np.where(zero, 1, b.value))
    quotient = _objects(a.value // divisor)
    rest = _objects(a.value - quotient * divisor)
    if not floor:  # round towards zero
        up = np.asarray((rest != 0) & ((a.value < 0) != (divisor < 0)), dtype=bool)
        quotient = _objects(quotient + np.where(up, 1, 0))
        rest = _objects(a.value - quotient * divisor)
    value, _ = _wrap(a.dtype, rest if remainder else quotient)
    return Number(a.dtype, value, 0.0, _flags(a, b), _is_data(a, b)).flagged(zero, TRAP)


def extreme(a: Any, b: Any, is_max: bool) -> Number:
    """Return the larger or the smaller; NaN is kept."""
    a = a if isinstance(a, Number) else b.lift(a)
    b = a.lift(b)
    operation = np.maximum if is_max else np.minimum
    value = operation(a.value, b.value)
    error: Any = 0.0
    if is_float(a.dtype):
        error = np.where(np.isfinite(value), np.maximum(a.error, b.error), 0.0)
    result = Number(a.dtype, value, error, _flags(a, b), _is_data(a, b))
    return result.flagged(_is_large(a) | _is_large(b), LARGE)


def select(condition: Number, a: Any, b: Any, lazy: bool) -> Number:
    """Choose; what is not chosen has not been computed if `lazy`, and may have been otherwise."""
    a = a if isinstance(a, Number) else b.lift(a)
    b = a.lift(b)
    chosen = condition.value
    value = np.where(chosen, a.value, b.value)
    error = np.where(chosen, a.error, b.error)
    flags = np.where(chosen, a.flags, b.flags)
    if not lazy:
        other = np.where(chosen, b.flags, a.flags)
        flags = flags | np.where(other & (TRAP | SOFT | OUTSIDE), np.uint8(SOFT), np.uint8(0))
    unclear = condition.flags & ANY != 0
    either = np.where(unclear & (_flags(a, b) & (TRAP | OUTSIDE) != 0), SOFT, 0).astype(np.uint8)
    flags = flags | condition.flags | either
    result = Number(a.dtype, value, error, flags, _is_data(condition, a, b))
    return result.flagged(_is_large(a) | _is_large(b), LARGE)


def unary(a: Number, function: Callable, *, monotone: bool = True, units: float = 6.0) -> Number:
    """Apply a function of floating point, which an implementation has within some units."""
    value = function(a.value)
    if monotone:
        low, high = function(a.value - a.error), function(a.value + a.error)
        error = np.maximum(abs(high - value), abs(low - value))
        error = np.where(a.error == 0, 0.0, error)
    else:  # a slope of at most 1
        error = a.error
    finite = np.isfinite(value)
    error = np.where(finite, error + units * _UNITS[a.dtype] * abs(value), error)
    result = _rounded(a.dtype, value, error, a)
    return result.flagged(np.isfinite(a.value) & (a.error > 0) & ~np.isfinite(error), ANY)


def step(a: Number, function: Callable) -> Number:
    """Apply a function whose results are integers: what is near a jump has any value."""
    value = function(a.value)
    unclear = (a.error > 0) & (function(a.value - a.error) != function(a.value + a.error))
    return Number(a.dtype, value, 0.0, a.flags, a.data).flagged(unclear, ANY)


def absolute(a: Number) -> Number:
    """Return the absolute value; the least integer has none."""
    if is_float(a.dtype):
        return Number(a.dtype, abs(a.value), a.error, a.flags, a.data)
    value, beyond = _wrap(a.dtype, abs(a.value))
    return Number(a.dtype, value, 0.0, a.flags, a.data).flagged(beyond, ANY)


def reduce(a: Number, kind: str, axes: tuple[int, ...]) -> Number:
    """Reduce by "sum", "max" or "min" over axes, which stay with one element each."""
    value, error, flags = np.broadcast_arrays(a.value, a.error, a.flags)
    flags = np.bitwise_or.reduce(flags, axis=axes, keepdims=True)
    count = int(np.prod([value.shape[axis] for axis in axes]))
    if kind != "sum":
        return _reduce_extreme(a, kind, value, error, flags, count, axes)
    total = np.sum(value, axis=axes, keepdims=True)
    size = np.sum(abs(value), axis=axes, keepdims=True)
    if not is_float(a.dtype):
        wrapped, _ = _wrap(a.dtype, total)
        beyond = np.asarray(size > limits(a.dtype)[1], dtype=bool)
        return Number(a.dtype, wrapped, 0.0, flags, a.data).flagged(beyond, ANY)
    if count <= 1 or not np.isfinite(size).all():
        error = np.where(np.isfinite(value), error, 0.0)
    error = np.sum(error, axis=axes, keepdims=True)
    error = error + np.where(np.isfinite(size), size, 0.0) * count * _UNITS[a.dtype]
    source = Number(a.dtype, 0.0, error, flags, a.data)
    result = _rounded(a.dtype, total, error, source) if count else Number(a.dtype, total, 0, flags)
    return result.flagged(np.isfinite(size) & (size + error >= _MOST[a.dtype]), ANY)


def _reduce_extreme(
    a: Number,
    kind: str,
    value: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    count: int,
    axes: tuple[int, ...],
) -> Number:
    if count == 0:
        # The reducer's identity; for floats, which it is is not specified.
        least, most = (0, 0) if is_float(a.dtype) else limits(a.dtype)
        shape = tuple(1 if at in axes else size for at, size in enumerate(value.shape))
        identity = least if kind == "max" else most
        result = Number(a.dtype, np.full(shape, identity), 0.0, 0, a.data)
        return result.flagged(np.full(shape, is_float(a.dtype)), ANY)
    operation = np.max if kind == "max" else np.min
    result = operation(value, axis=axes, keepdims=True)
    if not is_float(a.dtype):
        return Number(a.dtype, result, 0.0, flags, a.data)
    bound = np.max(error, axis=axes, keepdims=True)
    unclear = ~np.isfinite(result) | np.isnan(value).any(axis=axes, keepdims=True)
    bound = np.where(unclear, 0.0, bound)
    return Number(a.dtype, result, bound, flags, a.data).flagged(unclear, ANY)
