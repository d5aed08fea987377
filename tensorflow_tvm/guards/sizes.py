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
"""Sizes that are negative, or that 32 bits do not hold, in which TVM's code counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import ir, s_tir, tirx
from tvm_ffi.structural import structural_walk

_MOST = 2**31 - 1
_ARITHMETIC = (
    *(tirx.Add, tirx.Sub, tirx.Mul, tirx.FloorDiv, tirx.FloorMod, tirx.Div, tirx.Mod),
    *(tirx.Min, tirx.Max),
)
_LOGIC = (
    *(tirx.And, tirx.Or, tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE),
    *_ARITHMETIC,
)


def wide(expression: Any) -> Any:
    """Return an expression of integers, or a comparison of those, computed in 64 bits."""
    if isinstance(expression, _LOGIC) and _is_signed(expression.a):
        return type(expression)(wide(expression.a), wide(expression.b))
    if isinstance(expression, tirx.Not):
        return tirx.Not(wide(expression.a))
    dtype = str(expression.ty)
    if dtype in ("bool", "int64"):
        return expression
    if isinstance(expression, tirx.IntImm):
        return tirx.IntImm("int64", expression.value)
    return expression.astype("int64")


def _is_signed(expression: Any) -> bool:
    return str(expression.ty) in ("int8", "int16", "int32", "int64", "bool")


def has_arithmetic(expression: Any) -> bool:
    """Whether `expression` may be larger than each of its parts."""
    found: list[bool] = []

    def see(node: Any) -> None:
        found.append(isinstance(node, (tirx.Add, tirx.Sub, tirx.Mul)))

    structural_walk(expression, [(ir.Expr, see)])
    return any(found)


def of_axis(axis: tirx.IterVar) -> list[tuple[Any, str]]:
    """Return what must be true of the extent of a block's axis, and the message otherwise."""
    extent = axis.dom.extent
    counts = axis.iter_type == tirx.IterVar.CommReduce
    return of_extent(extent, f"its axis {axis.var.name}", True, counts)


def of_extent(extent: Any, name: str, is_size: bool, counts: bool) -> list[tuple[Any, str]]:
    """Return the conditions on an extent, and their messages.

    As a size it must not be negative and, if nothing else `counts` so many elements, 32 bits must
    hold it.
    """
    conditions = []
    if is_size and (
        not isinstance(extent, (tirx.Var, tirx.IntImm)) or getattr(extent, "value", 0) < 0
    ):
        conditions.append((wide(extent) >= 0, f"{name} has {extent} elements, a negative number"))
    if counts and has_arithmetic(extent):
        message = f"{name} has {extent} elements, and at most {_MOST} are possible"
        conditions.append((wide(extent) <= tirx.IntImm("int64", _MOST), message))
    return conditions


def of_shape(buffer: tirx.Var) -> list[tuple[Any, str]]:
    """Return what must be true of an intermediate tensor's shape, and the message otherwise."""
    shape = ", ".join(map(str, buffer.shape))
    return [
        (
            wide(size) >= 0,
            f"its intermediate tensor {buffer.name} has the shape [{shape}], in which {size} is "
            "negative",
        )
        for size in buffer.shape
        if not isinstance(size, (tirx.Var, tirx.IntImm))
    ]


def count(buffer: tirx.Var, more: Any = 0) -> Any:
    """Return how many bytes the elements of a tensor take, and `more` elements before them."""
    elements: Any = tirx.IntImm("int64", 1)
    for size in buffer.shape:
        elements = elements * wide(size)
    more = wide(more) if isinstance(more, tirx.Expr) else tirx.IntImm("int64", more)
    return (elements + more) * tirx.IntImm("int64", max(1, int(buffer.dtype.bits) // 8))


def are_empty(buffers: Sequence[tirx.Var]) -> Any:
    """Return the condition that tensors have no elements; None if that cannot be."""
    conditions = []
    for buffer in buffers:
        if any(isinstance(size, tirx.IntImm) and size.value == 0 for size in buffer.shape):
            continue
        sizes = [size for size in buffer.shape if not isinstance(size, tirx.IntImm)]
        if not sizes:
            return None
        conditions.append(tirx.any(*(tirx.EQ(size, tirx.const(0, size.ty)) for size in sizes)))
    return tirx.all(*conditions) if conditions else None


def of_allocations(function: tirx.PrimFunc) -> list[tuple[Any, str]]:
    """Return what must be true of the tensors that `function` allocates, as `bounds.require` takes.

    TVM may allocate before it checks; nothing is read or written before.

    Raises
    ------
    ValueError
        If one is always too large.
    """
    known = symbols_of(function)
    conditions: list[tuple[Any, str]] = []

    def see(buffer: tirx.Var) -> None:
        if all(str(size.ty) == "int64" for size in buffer.shape):
            return
        count: Any = tirx.IntImm("int64", 1)
        for size in buffer.shape:
            count = count * wide(size)
        shape = ", ".join(map(str, buffer.shape))
        message = (
            f"its intermediate tensor {buffer.name} has the shape [{shape}], and at most {_MOST} "
            "elements are possible"
        )
        if isinstance(count, tirx.IntImm):
            if count.value > _MOST:
                raise ValueError(message)
            return
        if not is_known(count, known):
            return  # a part of what something else has been allocated for
        if all(message != known for _, known in conditions):
            conditions.append((_fits(buffer), message))

    def see_block(block: s_tir.SBlock) -> None:
        for buffer in block.alloc_buffers:
            see(buffer)

    structural_walk(
        function.body,
        [
            (tirx.AllocBuffer, lambda allocation: see(allocation.buffer)),
            (s_tir.SBlock, see_block),
        ],
    )
    return conditions


def _fits(buffer: tirx.Var) -> Any:
    """Whether the product of a tensor's sizes is not too large, nor any on the way to it."""
    most = tirx.IntImm("int64", _MOST)
    count: Any = tirx.IntImm("int64", 1)
    conditions = []
    for size in buffer.shape:
        count = count * wide(size)
        if not isinstance(count, tirx.IntImm):
            conditions.append(count <= most)
    return tirx.all(*conditions)


def symbols_of(function: tirx.PrimFunc) -> list[tirx.Var]:
    """Return the variables that have a value when `function` is called."""
    found = list(function.params)
    for parameter in function.params:
        if isinstance(parameter.ty, tirx.BufferType):
            for value in (*parameter.shape, *(parameter.strides or ()), parameter.elem_offset):
                structural_walk(value, [(tirx.Var, found.append)])
    return found


def shape_symbols_of(function: tirx.PrimFunc) -> list[tirx.Var]:
    """Return the variables that are sizes of tensors, and so not negative."""
    found: dict[tirx.Var, None] = {}
    for parameter in function.params:
        if isinstance(parameter.ty, tirx.BufferType):
            found.update((size, None) for size in parameter.shape if isinstance(size, tirx.Var))
    return list(found)


def is_known(expression: Any, symbols: list[tirx.Var]) -> bool:
    """Whether `expression` depends on `symbols` alone, and on no tensor's elements."""
    found: list[bool] = []

    def see(var: tirx.Var) -> None:
        found.append(any(var.same_as(symbol) for symbol in symbols))

    def see_other(_: ir.Expr) -> None:
        found.append(False)

    handlers = [(tirx.Var, see), (ir.TensorLoad, see_other), (ir.Call, see_other)]
    structural_walk(expression, handlers)
    return all(found)


def mentions(node: Any, variables: Sequence[tirx.Var]) -> bool:
    """Whether any of `variables` is in an expression or a statement."""
    found: list[bool] = []

    def see(var: tirx.Var) -> None:
        found.append(any(var.same_as(other) for other in variables))

    structural_walk(node, [(tirx.Var, see)])
    return any(found)


def reads_data(expression: Any) -> bool:
    """Whether an expression depends on elements of tensors, or on what a function returns."""
    found: list[Any] = []
    structural_walk(expression, [(ir.TensorLoad, found.append), (ir.Call, found.append)])
    return bool(found)
