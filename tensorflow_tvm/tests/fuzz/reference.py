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
"""What a random function should return, by NumPy: its program's text, with another `te`.

Nothing of TVM takes part: `te`, `tirx` and `topi` are the classes below, which evaluate at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorflow_tvm.tests.fuzz import numbers, operators
from tensorflow_tvm.tests.fuzz.expected import Expected
from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction
from tensorflow_tvm.tests.fuzz.numbers import ANY, OUTSIDE, SOFT, TRAP, Number

_OUTPUT_AXES = 6
_AXES = 32  # of which the first are an output's, and the others those of reductions


class Refused(Exception):
    """A call that must be refused, and why."""


class Tensor:
    """A tensor's elements."""

    def __init__(self, context: Context, elements: Number, is_input: bool = False) -> None:
        self.context = context
        self.elements = elements.map(np.array)
        self.shape = self.elements.value.shape
        self.dtype = elements.dtype
        self.is_input = is_input

    def __call__(self, *indices: Any) -> Number:
        """Read elements."""
        numbers_ = [x if isinstance(x, Number) else Number("int32", x) for x in indices]
        flags = np.zeros((), np.uint8)
        positions, outside = [], np.zeros((), bool)
        for index, size in zip(numbers_, self.shape, strict=True):
            flags = flags | index.flags
            beyond = np.asarray((index.value < 0) | (index.value >= size), dtype=bool)
            if index.data and size:
                # What comes from data is moved to the nearest element.
                beyond = np.zeros((), bool)
            outside = outside | beyond
            value = np.asarray(np.maximum(index.value, 0), dtype=object)
            value = np.minimum(value, max(size - 1, 0))
            positions.append(np.asarray(value).astype(np.int64))
        elements = self.elements
        if 0 in self.shape:
            shape = np.broadcast_shapes(outside.shape, *(p.shape for p in positions))
            flags = np.broadcast_to(flags | np.uint8(OUTSIDE | ANY), shape)
            return Number(self.dtype, np.zeros(shape, int), 0.0, flags, True)
        at = tuple(np.broadcast_arrays(*positions)) if positions else ()
        flags = flags | elements.flags[at]
        is_data = elements.data or any(index.data for index in numbers_)
        result = Number(self.dtype, elements.value[at], elements.error[at], flags, is_data)
        return result.flagged(outside, OUTSIDE | ANY)


@dataclasses.dataclass
class Context:
    """What an evaluation collects.

    Attributes
    ----------
    sizes : dict of str to int
    arrays : list of numpy.ndarray
        The inputs that are still to be used.
    reasons : list of str
        Why the call may be refused.
    axes : int
        How many reduction axes there are.
    """

    sizes: dict[str, int]
    arrays: list[np.ndarray]
    reasons: list[str]
    axes: int = 0

    def size(self, size: Any, what: str) -> int:
        """Return a size as an integer."""
        number = size if isinstance(size, Number) else Number("int32", size)
        if number.flags & TRAP:
            raise Refused(f"{what} divides by 0")
        if number.value < 0:
            raise Refused(f"{what} is {int(number.value)}")
        return int(number.value)

    def see(self, elements: Number) -> None:
        """Take note of elements that have been computed."""
        if (elements.flags & (TRAP | SOFT)).any():
            self.reasons.append("a division by zero")
        if (elements.flags & OUTSIDE).any():
            self.reasons.append("a read outside a tensor")


class _Axis(Number):
    __slots__ = ("place",)

    def __init__(self, place: int, size: int) -> None:
        shape = [1] * _AXES
        shape[place] = size
        super().__init__("int32", np.arange(size).reshape(shape))
        self.place = place


class _Te:
    """Stands for tvm.te."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.exp = lambda x: numbers.unary(x, np.exp)
        self.tanh = lambda x: numbers.unary(x, np.tanh)
        self.sigmoid = lambda x: numbers.unary(x, _sigmoid, units=16)
        self.sqrt = lambda x: numbers.unary(x, np.sqrt)
        self.log = lambda x: numbers.unary(x, np.log)
        self.erf = lambda x: numbers.unary(x, _erf, units=16)
        self.sin = lambda x: _periodic(x, np.sin)
        self.cos = lambda x: _periodic(x, np.cos)
        self.floor = lambda x: numbers.step(x, np.floor)
        self.ceil = lambda x: numbers.step(x, np.ceil)
        self.trunc = lambda x: numbers.step(x, np.trunc)
        self.nearbyint = lambda x: numbers.step(x, np.rint)
        self.abs = numbers.absolute
        self.floordiv = lambda a, b: _divide(a, b, True, False)
        self.floormod = lambda a, b: _divide(a, b, True, True)
        for kind in ("sum", "max", "min"):
            setattr(self, kind, _reducer(kind))

    def var(self, name: str) -> Number:
        return Number("int32", self._context.sizes[name])

    def placeholder(self, shape: Sequence[Any], dtype: str, name: str) -> Tensor:
        array = self._context.arrays.pop(0)
        is_integer = dtype != "bool" and not numbers.is_float(dtype)
        value = array.astype(object) if is_integer else array.astype(np.float64)
        # A number is an attr, and known before anything is read.
        elements = Number(dtype, value, 0.0, 0, data=array.ndim > 0)
        return Tensor(self._context, elements, is_input=True)

    def reduce_axis(self, bounds: tuple[int, Any], name: str) -> _Axis:
        size = self._context.size(bounds[1], f"axis {name}")
        self._context.axes += 1
        return _Axis(_OUTPUT_AXES + self._context.axes - 1, size)

    def loop(self, extent: Number) -> None:
        """Take note of a loop that is written by hand, which may be refused if it is negative."""
        if extent.flags & TRAP:
            raise Refused("a loop divides by 0")
        if extent.value < 0:
            self._context.reasons.append(f"a loop runs {int(extent.value)} times")

    def min_value(self, dtype: str) -> Number:
        if numbers.is_float(dtype):
            return Number(dtype, -np.inf, 0.0, ANY)
        return Number(dtype, numbers.limits(dtype)[0])

    def compute(self, shape: Sequence[Any], body: Callable, name: str) -> Any:
        context = self._context
        sizes = [context.size(size, f"a size of {name}") for size in shape]
        axes = [_Axis(place, size) for place, size in enumerate(sizes)]
        results = body(*axes[: len(inspect.signature(body).parameters)])
        is_tuple = isinstance(results, tuple)
        tensors = []
        for result in results if is_tuple else (results,):
            result = result.lift(result) if isinstance(result, Number) else Number("int32", result)
            full = (*sizes, *([1] * (_AXES - len(sizes))))
            elements = result.map(lambda x, full=full: np.broadcast_to(x, full).reshape(sizes))
            context.see(elements)
            tensors.append(Tensor(context, elements))
        return tuple(tensors) if is_tuple else tensors[0]

    def comm_reducer(self, combine: Callable, identity: Callable, name: str) -> Callable:
        def reduce(element: Any, axis: Any) -> Any:
            axes = _places(axis)
            if isinstance(element, tuple):
                return _fold_pairs(combine, identity, element, axes)
            if math.prod(_extent(element, axis)) == 0:
                start = identity(element.dtype)
                return element.map(lambda x: np.zeros(_reduced(x.shape, axes), x.dtype)) + start
            return _fold(combine, identity, _spread(element, axis), axes)

        return reduce


class _Tirx:
    """Stands for tvm.tirx."""

    def const(self, value: Any, dtype: str) -> Number:
        return numbers.constant(value, dtype)

    def if_then_else(self, condition: Number, a: Any, b: Any) -> Number:
        return numbers.select(condition, a, b, lazy=True)

    def Select(self, condition: Number, a: Any, b: Any) -> Number:  # noqa: N802
        return numbers.select(condition, a, b, lazy=False)

    def Not(self, a: Number) -> Number:  # noqa: N802
        return Number("bool", ~a.value, 0.0, a.flags, a.data)

    def all(self, *conditions: Number) -> Number:
        return _combined(conditions, np.logical_and)

    def any(self, *conditions: Number) -> Number:
        return _combined(conditions, np.logical_or)

    def max(self, a: Any, b: Any) -> Number:
        return numbers.extreme(a, b, True)

    def min(self, a: Any, b: Any) -> Number:
        return numbers.extreme(a, b, False)

    def floordiv(self, a: Any, b: Any) -> Number:
        return _divide(a, b, True, False)

    def floormod(self, a: Any, b: Any) -> Number:
        return _divide(a, b, True, True)

    def truncdiv(self, a: Any, b: Any) -> Number:
        return _divide(a, b, False, False)

    def truncmod(self, a: Any, b: Any) -> Number:
        return _divide(a, b, False, True)


def _divide(a: Any, b: Any, floor: bool, remainder: bool) -> Number:
    a = a if isinstance(a, Number) else b.lift(a)
    return numbers.divide(a, b, floor, remainder)


def _combined(conditions: Sequence[Number], operation: Callable) -> Number:
    """Combine conditions, of which later ones may not have been computed."""
    result = conditions[0]
    for other in conditions[1:]:
        decided = result.value == (operation is np.logical_or)
        flags = np.where(
            decided & (other.flags & (TRAP | OUTSIDE) != 0), np.uint8(SOFT), other.flags
        )
        # What is decided is so whatever an unspecified one is.
        sure = (decided & (result.flags & ANY == 0)) | (
            (other.value == (operation is np.logical_or)) & (other.flags & ANY == 0)
        )
        flags = (result.flags | flags) & np.where(sure, np.uint8(255 - ANY), np.uint8(255))
        value = operation(result.value, other.value)
        result = Number("bool", value, 0.0, flags, result.data or other.data)
    return result


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _periodic(x: Number, function: Callable) -> Number:
    result = numbers.unary(x, function, monotone=False)
    result.error = np.minimum(result.error, 4.0)
    return result.flagged(abs(x.value) > (100 if "16" in x.dtype else 1e4), ANY)


def _places(axis: Any) -> tuple[int, ...]:
    return tuple(one.place for one in (axis if isinstance(axis, list) else [axis]))


def _extent(element: Any, axis: Any) -> list[int]:
    return [one.value.size for one in (axis if isinstance(axis, list) else [axis])]


def _reduced(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(1 if at in axes else size for at, size in enumerate(shape))


def _spread(element: Number, axis: Any) -> Number:
    """Return an element with the full extent of the axes that it is reduced over."""
    shape = [1] * _AXES
    for one in axis if isinstance(axis, list) else [axis]:
        shape[one.place] = one.value.size
    full = np.broadcast_shapes(shape, element.value.shape, element.flags.shape)
    return element.map(lambda x: np.broadcast_to(x, full))


def _reducer(kind: str) -> Callable:
    def reduce(element: Number, axis: Any) -> Number:
        return numbers.reduce(_spread(element, axis), kind, _places(axis))

    return reduce


def _slices(element: Number, axes: Sequence[int]) -> list[Number]:
    spread = element.map(lambda x: np.moveaxis(x, axes, range(len(axes))))
    count = math.prod(spread.value.shape[: len(axes)])
    rest = spread.value.shape[len(axes) :]
    flat = spread.map(lambda x: x.reshape(count, *rest))
    back = [
        flat.map(
            lambda x, at=at: np.moveaxis(
                x[at].reshape([1] * len(axes) + list(rest)), range(len(axes)), axes
            )
        )
        for at in range(count)
    ]
    return back


def _fold(combine: Callable, identity: Callable, element: Number, axes: Sequence[int]) -> Number:
    result = identity(element.dtype)
    for one in _slices(element, axes):
        result = combine(result, one)
    if numbers.is_float(element.dtype):  # which are combined first is not specified
        result.error = result.error * 4
        size = np.where(element.value == 0, 1.0, abs(element.value))
        wild = ((size > 1e3) | (size < 1e-3)).any(axis=tuple(axes), keepdims=True)
        result = result.flagged(wild | ~np.isfinite(result.value), ANY)
    else:
        flags = np.bitwise_or.reduce(element.flags, axis=tuple(axes), keepdims=True)
        result = Number(result.dtype, result.value, 0.0, result.flags | flags, True)
    return result


def _fold_pairs(
    combine: Callable, identity: Callable, pair: tuple, axes: Sequence[int]
) -> tuple[Number, ...]:
    full = np.broadcast_shapes(*(one.value.shape for one in pair))
    wide = [one.map(lambda x: np.broadcast_to(x, full)) for one in pair]
    result = identity(*(one.dtype for one in pair))
    columns = [_slices(one, axes) for one in wide]
    for ones in zip(*columns, strict=True):
        result = combine(result, ones)
    if numbers.is_float(pair[1].dtype):
        unclear = (~np.isfinite(wide[1].value)).any(axis=tuple(axes), keepdims=True)
        if math.prod(full[axis] for axis in axes) == 0:
            unclear = np.ones(_reduced(full, axes), bool)
        result = tuple(one.flagged(unclear, ANY) for one in result)
    elif math.prod(full[axis] for axis in axes) == 0:
        shape = _reduced(full, axes)
        result = tuple(one.map(lambda x: np.broadcast_to(x, shape)) for one in result)
    return result


class _Schedules:
    """Stands for tvm.s_tir: schedules change no value."""

    def Schedule(self, function: Any) -> Any:  # noqa: N802
        return self

    def __getattr__(self, name: str) -> Callable:
        pairs = {"split": (None, None), "get_loops": [None] * 8}
        return lambda *_, **__: pairs.get(name)


def evaluate(
    function: GeneratedFunction, sizes: dict[str, int], arrays: Sequence[np.ndarray]
) -> Expected:
    """Return what a function may do with these inputs."""
    context = Context(sizes, list(arrays), [])
    te = _Te(context)
    te.create_prim_func = lambda tensors: None
    names: dict[str, Any] = {
        "te": te,
        "tirx": _Tirx(),
        "topi": operators.Topi(context, Tensor, te),
        "s_tir": _Schedules(),
    }
    with np.errstate(all="ignore"):
        try:
            exec("\n".join(function.lines()), names)
        except Refused as reason:
            return Expected(None, [*context.reasons, str(reason)])
    outputs = [tensor.elements for tensor in names["tensors"] if not tensor.is_input]
    return Expected(outputs, context.reasons)
