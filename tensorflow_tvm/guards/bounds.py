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
"""Indices outside a tensor: refused where sizes decide, and made impossible where data does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import ir, tirx
from tvm_ffi.structural import structural_walk

from tensorflow_tvm.guards import markers, sizes
from tensorflow_tvm.guards.context import Context

_MOST = tirx.IntImm("int64", 2**31 - 1)
Access = ir.TensorLoad | tirx.BufferStore
_INEXACT = (tirx.FloorDiv, tirx.FloorMod, tirx.Div, tirx.Mod, tirx.Min, tirx.Max)


def load(context: Context, written: ir.TensorLoad, indices: Sequence[Any]) -> Any:
    """Return the read `written`, whose indices have become `indices`.

    An index that may be anything becomes the nearest that exists.
    """
    buffer = written.source
    safe_indices = []
    for index, size in zip(indices, buffer.shape, strict=True):
        known = context.known_inside(index, size)
        if known is not None:
            safe_indices.append(known)
            continue
        if not _is_inside(context, index, size) and not _requires(context, index, size, written):
            index = _clamped(context, index, size, written)
        safe_indices.append(index)
    safe = tirx.BufferLoad(buffer, safe_indices)
    if not context.is_guarded:
        return safe
    # Where nothing is demanded for a guarded read, the tensor may even be empty.
    for index, given, size in zip(safe_indices, indices, buffer.shape, strict=True):
        is_clamped = not index.same_as(given) and context.known_inside(given, size) is None
        if is_clamped and not context.proves(size > 0):
            safe = tirx.if_then_else(size > 0, safe, tirx.const(0, buffer.dtype))
    return safe


def store(
    context: Context, written: tirx.BufferStore, indices: Sequence[Any], value: Callable[[], Any]
) -> tirx.Stmt:
    """Return the write `written`, whose indices have become `indices`.

    Nothing is written to an element that does not exist. `value` returns what is written, and is
    asked where it is known which elements are.
    """
    names: list[tirx.Bind] = []
    guards: list[Any] = []
    guarded: list[tuple[Any, Any, Any]] = []
    safe_indices = []
    for index, size in zip(indices, written.buffer.shape, strict=True):
        if not _is_inside(context, index, size) and not _requires(context, index, size, written):
            given = index
            # No tensor has so many elements; and TVM adds to both sides of comparisons.
            near = tirx.max(tirx.min(sizes.wide(index), _MOST), tirx.IntImm("int64", -1))
            # TVM counts what is written, and one more than the most does not fit 32 bits.
            near = markers.wrapping_cast(near, "int64")
            names.append(tirx.Bind(tirx.Var("index", "int64"), near))
            exact = names[-1].var
            guards += [exact >= 0, exact < sizes.wide(size)]
            index = exact.astype(str(index.ty))
            guarded.append((given, size, index))
        safe_indices.append(index)
    if not guards:
        return tirx.BufferStore(written.buffer, value(), safe_indices)
    with context.inside(guarded):
        safe = tirx.BufferStore(written.buffer, value(), safe_indices)
    return tirx.SeqStmt([*names, tirx.IfThenElse(tirx.all(*guards), safe, None)])


def are_inside(context: Context, values: Sequence[Any]) -> bool:
    """Whether all that `values` read exists, whatever the condition under which they are used."""
    found: list[ir.TensorLoad] = []
    for value in values:
        structural_walk(value, [(ir.TensorLoad, found.append)])
    return all(
        _is_inside(context, index, size)
        for load in found
        for index, size in zip(load.indices, load.source.shape, strict=True)
    )


def _is_inside(context: Context, index: Any, size: Any) -> bool:
    if int(index.ty.dtype.lanes) > 1:
        return True  # a vector that its author has written, which nothing can be put around
    if context.is_authors_own(index):
        return True
    if not (context.proves(index >= 0) and context.proves(index < size)):
        return False
    return all(_is_exact(context, operand) for operand in _inexact_operands(index))


def _is_exact(context: Context, operand: Any) -> bool:
    """Whether 32 bits hold an operand, as proofs take for granted."""
    if context.is_known(operand) and not context.is_guarded:
        wide = sizes.wide(operand)
        condition = tirx.all(wide >= -(2**31), wide < 2**31)
        context.require(condition, f"32 bits do not hold {operand}", explains=False)
        return True
    return not sizes.reads_data(operand)


def _requires(context: Context, index: Any, size: Any, access: Access) -> bool:
    """Demand of the sizes that an index exists; False if they do not decide."""
    extremes = None if context.is_guarded else context.extremes(index)
    if extremes is None:
        return False
    least, most = extremes
    condition = tirx.all(least >= 0, most < size)
    context.require(condition, _message(access), _exactness(index))
    return True


def _clamped(context: Context, index: Any, size: Any, access: ir.TensorLoad) -> Any:
    """Return the nearest index that exists."""
    if not context.is_guarded:
        context.require(size > 0, _message(access))
    if not sizes.has_arithmetic(index):
        return tirx.max(tirx.min(index, size - 1), 0)
    nearest = tirx.max(tirx.min(sizes.wide(index), sizes.wide(size) - 1), 0)
    return nearest.astype(str(index.ty))


def _message(access: Access) -> str:
    is_read = isinstance(access, ir.TensorLoad)
    buffer = access.source if is_read else access.buffer
    shape = ", ".join(map(str, buffer.shape))
    indices = ", ".join(map(str, access.indices))
    return (
        f"it {'reads' if is_read else 'writes'} {buffer.name}[{indices}], which is outside "
        f"{buffer.name}, whose shape is [{shape}]"
    )


def _exactness(index: Any) -> list[Any]:
    """Return the conditions by which an index is what it would be in 64 bits.

    Sums and products are, where the result is an index that exists: what they are too large by,
    the rest takes off. Others need operands that 32 bits hold.
    """
    exact = map(sizes.wide, _inexact_operands(index))
    return [tirx.all(operand >= -(2**31), operand < 2**31) for operand in exact]


def _inexact_operands(index: Any) -> list[Any]:
    """Return the operands that 32 bits have to hold for an index to be exact."""
    operands: list[Any] = []

    def see(node: Any) -> None:
        if isinstance(node, _INEXACT) and str(node.ty) == "int32":
            operands.extend(part for part in (node.a, node.b) if sizes.has_arithmetic(part))

    structural_walk(index, [(ir.Expr, see)])
    return operands
