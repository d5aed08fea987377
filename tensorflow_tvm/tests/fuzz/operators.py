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
"""Operators of topi, by NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorflow_tvm.tests.fuzz import numbers
from tensorflow_tvm.tests.fuzz.numbers import ANY, OUTSIDE, Number


class Topi:
    """Stands for tvm.topi.

    Parameters
    ----------
    context : Any
        The evaluation's.
    tensor : type
        The class of tensors.
    te : Any
        What stands for tvm.te.
    """

    def __init__(self, context: Any, tensor: type, te: Any) -> None:
        self._context = context
        self._tensor = tensor
        self._te = te
        self.nn = self
        self.exp, self.tanh = (self._elementwise(f) for f in (te.exp, te.tanh))
        self.negative = self._elementwise(lambda x: x.lift(0) - x)
        self.rsqrt = self._elementwise(_rsqrt)
        self.sign = self._elementwise(_sign)
        self.relu = self._elementwise(lambda x: numbers.extreme(x, x.lift(0), True))
        self.sum, self.max, self.min = (self._reduction(k) for k in ("sum", "max", "min"))
        self.argmax, self.argmin = (self._arg(sign) for sign in (1, -1))
        self.cumsum = self._scan(lambda a, b: a + b, 0)
        self.cumprod = self._scan(lambda a, b: a * b, 1)

    def _make(self, elements: Number) -> Any:
        self._context.see(elements)
        return self._tensor(self._context, elements)

    def _elementwise(self, function: Callable) -> Callable:
        return lambda x: self._make(function(x.elements))

    def leaky_relu(self, x: Any, slope: float) -> Any:
        e = x.elements
        return self._make(numbers.select(e > e.lift(0), e, e * e.lift(slope), lazy=False))

    def clip(self, x: Any, low: float, high: float) -> Any:
        e = x.elements
        low, high = (e.lift(int(v) if e.dtype == "int32" else v) for v in (low, high))
        return self._make(numbers.extreme(numbers.extreme(e, high, False), low, True))

    def _reduction(self, kind: str) -> Callable:
        def reduce(x: Any, axis: int, keepdims: bool) -> Any:
            return self._make(_kept(numbers.reduce(x.elements, kind, (axis,)), axis, keepdims))

        return reduce

    def prod(self, x: Any, axis: int, keepdims: bool) -> Any:
        e = x.elements
        shape = [1 if at == axis else size for at, size in enumerate(x.shape)]
        result = Number(e.dtype, np.ones(shape, int), 0.0, 0, True)
        for at in range(x.shape[axis]):
            result = result * e.map(lambda v, at=at: np.take(v, [at], axis))
        if numbers.is_float(e.dtype):
            size = np.where(e.value == 0, 1.0, abs(e.value))
            wild = ((size > 1e3) | (size < 1e-3) | ~np.isfinite(size)).any(axis, keepdims=True)
            result = result.flagged(wild, ANY)
            result.error = result.error * 4
        flags = np.bitwise_or.reduce(e.flags, axis=axis, keepdims=True)
        result.flags = result.flags | flags
        return self._make(_kept(result, axis, keepdims))

    def _arg(self, sign: int) -> Callable:
        def find(x: Any, axis: int) -> Any:
            e = x.elements
            shape = tuple(size for at, size in enumerate(x.shape) if at != axis)
            flags = np.bitwise_or.reduce(e.flags, axis=axis)
            if x.shape[axis] == 0:
                return self._make(Number("int32", np.zeros(shape, int), 0.0, flags | ANY, True))
            if not numbers.is_float(e.dtype):
                values = e.value * sign
                best = np.asarray(np.argmax(values, axis=axis))
                result = Number("int32", best.astype(object), 0.0, flags, True)
                # Where all are what TVM begins with, their place is -1.
                least = min(sign * limit for limit in numbers.limits(e.dtype))
                return self._make(result.flagged((values == least).all(axis=axis), ANY))
            values = np.where(np.isnan(e.value), -np.inf, e.value * sign)
            best = np.argmax(values, axis=axis)
            top = np.max(values - e.error, axis=axis, keepdims=True)
            close = (values + e.error >= top).sum(axis=axis) > 1
            inexact = (e.error > 0).any(axis=axis)
            unclear = (close & inexact) | ~np.isfinite(e.value).all(axis=axis)
            result = Number("int32", best.astype(object), 0.0, flags, True)
            return self._make(result.flagged(unclear, ANY))

        return find

    def _scan(self, combine: Callable, start: int) -> Callable:
        def scan(x: Any, axis: int, dtype: str, exclusive: bool) -> Any:
            e = x.elements
            if 0 in x.shape:
                return self._make(e)
            pieces = [e.map(lambda v, at=at: np.take(v, [at], axis)) for at in range(x.shape[axis])]
            shape = pieces[0].value.shape
            total = Number(e.dtype, np.full(shape, start), 0.0, 0, True)
            results = []
            for piece in pieces:
                before, total = total, combine(total, piece)
                results.append(before if exclusive else total)
            return self._make(_joined(e.dtype, results, axis))

        return scan

    def concatenate(self, tensors: Sequence[Any], axis: int) -> Any:
        return self._make(_joined(tensors[0].dtype, [t.elements for t in tensors], axis))

    def transpose(self, x: Any, order: Sequence[int]) -> Any:
        return self._make(x.elements.map(lambda v: np.transpose(v, order)))

    def tile(self, x: Any, counts: Sequence[int]) -> Any:
        return self._make(x.elements.map(lambda v: np.tile(v, counts)))

    def repeat(self, x: Any, count: int, axis: int) -> Any:
        return self._make(x.elements.map(lambda v: np.repeat(v, count, axis)))

    def softmax(self, x: Any, axis: int) -> Any:
        e = x.elements
        top = numbers.reduce(e, "max", (axis,))
        power = self._te.exp(e - top)
        result = power / numbers.reduce(power, "sum", (axis,))
        strange = ~np.isfinite(e.value).all(axis=axis, keepdims=True)
        return self._make(result.flagged(strange, ANY))

    def take(self, x: Any, index: Any, axis: int, mode: str) -> Any:
        size = x.shape[axis]
        i = index.elements
        shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        if size == 0 or 0 in x.shape:
            flags = np.full(shape, OUTSIDE | ANY, np.uint8)
            return self._make(Number(x.dtype, np.zeros(shape, int), 0.0, flags, True))
        at = np.asarray(i.value % size if mode == "wrap" else np.clip(i.value, 0, size - 1))
        at = at.astype(np.int64)
        flags = np.broadcast_to(i.flags, at.shape).reshape(
            at.shape + (1,) * (len(x.shape) - axis - 1)
        )
        taken = x.elements.map(lambda v: np.take(v, at, axis))
        return self._make(Number(x.dtype, taken.value, taken.error, taken.flags | flags, True))

    # Scatters: what is written to no element is left out.

    def scatter_elements(self, x: Any, index: Any, updates: Any, axis: int, mode: str) -> Any:
        return self._scatter(x, index.elements, updates, mode, wraps=True)

    def scatter_nd(self, x: Any, index: Any, updates: Any, mode: str) -> Any:
        row = index.elements.map(lambda v: v[0])
        return self._scatter(x, row, updates, mode, wraps=False)

    def index_put(self, x: Any, index: Sequence[Any], updates: Any, accumulate: bool) -> Any:
        mode = "add" if accumulate else "update"
        return self._scatter(x, index[0].elements, updates, mode, wraps=True)

    def _scatter(self, x: Any, index: Number, updates: Any, mode: str, wraps: bool) -> Any:
        combine = {
            "update": lambda a, b: b,
            "add": lambda a, b: a + b,
            "mul": lambda a, b: a * b,
            "min": lambda a, b: numbers.extreme(a, b, False),
            "max": lambda a, b: numbers.extreme(a, b, True),
        }[mode]
        rows = [x.elements.map(lambda v, at=at: v[at]) for at in range(x.shape[0])]
        size = len(rows)
        written: set[int] = set()
        unclear = False
        for k in range(index.value.shape[0]):
            unclear = unclear or bool(index.flags[k])
            at = index.value[k]
            if wraps and at < 0:
                at = at + size
            if not 0 <= at < size:
                continue
            update = updates.elements.map(lambda v, k=k: v[k])
            row = combine(rows[at], update)
            if at in written and (mode == "update" or numbers.is_float(x.dtype)):
                # Which comes last is not specified, nor in which order they are combined.
                row = row.flagged(np.ones(row.value.shape, bool), ANY)
            written.add(at)
            rows[at] = row
        if not rows:
            return self._make(x.elements)
        stacked = [row.map(lambda v: np.asarray(v)[None]) for row in rows]
        result = _joined(x.dtype, stacked, 0)
        if unclear:
            result = result.flagged(np.ones(result.value.shape, bool), ANY)
        return self._make(result)


def _joined(dtype: str, pieces: Sequence[Number], axis: int) -> Number:
    wide = [piece.map(np.asarray) for piece in pieces]
    value, error, flags = (
        np.concatenate([getattr(piece, name) for piece in wide], axis)
        for name in ("value", "error", "flags")
    )
    return Number(dtype, value, error, flags, True)


def _kept(result: Number, axis: int, keepdims: bool) -> Number:
    return result if keepdims else result.map(lambda v: np.squeeze(v, axis))


def _rsqrt(x: Number) -> Number:
    return numbers.unary(x, lambda v: 1 / np.sqrt(v), units=16)


def _sign(x: Number) -> Number:
    zero = x.lift(0)
    one = x.lift(1)
    sign = numbers.select(x < zero, zero - one, zero, lazy=True)
    sign = numbers.select(x > zero, one, sign, lazy=True)
    if numbers.is_float(x.dtype):
        nan = Number(x.dtype, np.isnan(x.value).astype(float) * 0 + np.nan)
        unknown = Number("bool", np.isnan(x.value), 0.0, 0, True)
        sign = numbers.select(unknown, nan, sign, lazy=True)
    return sign
