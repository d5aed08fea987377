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
"""Functions as TE makes them, read as a list of stages: one for each tensor that is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import ir, s_tir, tirx
from tvm_ffi.structural import (
    structural_equal,
    structural_mutate,
    structural_visit,
    structural_walk,
)

from tensorflow_tvm.schedules import loops, operations, vector_math
from tensorflow_tvm.vectors import is_choice

_PURE = 1  # of TVM's CallEffectKind
_CHEAP = (
    *("if_then_else", "likely", "reinterpret", "shift_left", "shift_right", "bitwise_and"),
    *("bitwise_or", "bitwise_xor", "fabs", "floor", "ceil", "trunc", "nearbyint"),
    *("checked_divisor", "saturating_cast", "wrapping_cast"),
)
# How long things take, in reads of memory, beside which a few operations take no time.
_CALL = 16
_FREE_NODES = 32
_NODES = 4
# What divisions take, beside the memory that a tensor would need which keeps their results.
_DIVISION = 1
_INTEGER_DIVISION = 8  # which processors have no vectors of; division by a constant is none


@dataclasses.dataclass
class Axis:
    """A variable that runs from 0 to below `extent`."""

    var: tirx.Var
    extent: Any

    @property
    def size(self) -> int | None:
        """The extent, None where it is a symbol."""
        return self.extent.value if isinstance(self.extent, tirx.IntImm) else None


@dataclasses.dataclass
class Stage:
    """A tensor, or several of a shape, and how their elements are computed.

    Attributes
    ----------
    name : str
        What its author called it.
    outputs : list of tirx.Var
        The tensors. Element ``[axes]`` of each is written.
    axes : list of Axis
        One for each dimension of the outputs.
    reduce : list of Axis
        What a reduction runs over; none otherwise.
    identities : list of tirx.Expr
        What a reduction begins with, for each output; none otherwise. They are numbers, and those
        of sums and products are neutral, so that any part of a reduction can begin with them.
    values : list of tirx.Expr
        The elements; in a reduction their new values, with loads of the outputs for the old ones.
    finish : list of tirx.Expr or None
        What is stored when a reduction is done, in place of its result, with loads of `partial` for
        it.
    partial : list of tirx.Var
        In a reduction: what `values` load, and `finish`.
    """

    name: str
    outputs: list[tirx.Var]
    axes: list[Axis]
    reduce: list[Axis]
    identities: list[Any]
    values: list[Any]
    partial: list[tirx.Var] = dataclasses.field(default_factory=list)
    finish: list[Any] | None = None

    @property
    def reads(self) -> list[ir.TensorLoad]:
        """The loads of other tensors."""
        found: list[ir.TensorLoad] = []
        for value in (*self.values, *(self.finish or ())):
            structural_walk(value, [(ir.TensorLoad, found.append)])
        return [load for load in found if not any(load.source.same_as(b) for b in self.partial)]

    def element(self, output: tirx.Var, indices: Mapping[tirx.Var, Any]) -> list[Any]:
        """Return the indices of an element of an output, which may hold one row only."""
        return [indices[axis.var] for axis in self.axes[len(self.axes) - len(output.shape) :]]

    @property
    def sources(self) -> list[tirx.Var]:
        """The tensors that it reads."""
        return [load.source for load in self.reads]


@dataclasses.dataclass
class Program:
    """A function's stages, in their order, and the tensors that are neither inputs nor outputs."""

    stages: list[Stage | tirx.Stmt]  # a statement where it is no such stage
    intermediates: list[tirx.Var]


def read(function: tirx.PrimFunc) -> Program | None:
    """Read an unscheduled function; None if it is not as TE makes them."""
    root = function.body
    if not isinstance(root, s_tir.SBlockRealize):
        return None
    block = root.block
    if block.iter_vars or block.init is not None or block.match_buffers:
        return None
    nests = block.body.seq if isinstance(block.body, tirx.SeqStmt) else [block.body]
    stages = [_stage(nest) or nest for nest in nests]
    return Program(stages, list(block.alloc_buffers)) if _are_written_once(stages) else None


def _are_written_once(stages: list[Stage | tirx.Stmt]) -> bool:
    """Whether each tensor is written by one stage, and read after that, as in TE."""
    written: list[tirx.Var] = []
    read: list[tirx.Var] = []
    for stage in stages:
        if isinstance(stage, Stage):
            writes = stage.outputs
            read.extend(stage.sources)
        else:
            writes = _writes(stage)
        for buffer in writes:
            if any(buffer.same_as(other) for other in (*written, *read)):
                return False
        written.extend(writes)
        if not isinstance(stage, Stage):
            structural_walk(stage, [(tirx.Var, read.append)])
    return True


def _writes(statement: tirx.Stmt) -> list[tirx.Var]:
    """Return the tensors that a statement writes, each once."""
    found: list[tirx.Var] = []

    def see(buffer: tirx.Var) -> None:
        if not any(buffer.same_as(other) for other in found):
            found.append(buffer)

    def see_block(block: s_tir.SBlock) -> None:
        for region in block.writes:
            see(region.source)

    structural_walk(
        statement,
        [
            (tirx.BufferStore, lambda store: see(store.buffer)),
            (s_tir.SBlock, see_block),
        ],
    )
    return found


def name_of(stage: Stage | tirx.Stmt) -> str:
    """Return what the author of a stage called it."""
    if isinstance(stage, Stage):
        return stage.name
    found: list[str] = []
    structural_walk(stage, [(s_tir.SBlock, lambda block: found.append(block.name_hint))])
    return ", ".join(found)


def _stage(nest: tirx.Stmt) -> Stage | None:
    while isinstance(nest, tirx.For):
        nest = nest.body
    if not isinstance(nest, s_tir.SBlockRealize):
        return None
    block = nest.block
    if block.alloc_buffers or block.match_buffers or not _is_true(nest.predicate):
        return None
    axes: list[Axis] = []
    reduce: list[Axis] = []
    for axis in block.iter_vars:
        if axis.iter_type not in (0, 2) or not _is_zero(axis.dom.min):
            return None
        (reduce if axis.iter_type == 2 else axes).append(Axis(axis.var, axis.dom.extent))
    stores = _stores(block.body)
    first = _stores(block.init) if block.init is not None else []
    if not stores or bool(reduce) != bool(first):
        return None
    outputs = [store.buffer for store in stores]
    for store in (*stores, *(first or ())):
        if len(store.indices) != len(axes) or not all(
            index.same_as(axis.var) for index, axis in zip(store.indices, axes, strict=True)
        ):
            return None
    if first and not all(a.buffer.same_as(b) for a, b in zip(first, outputs, strict=False)):
        return None
    if first and len(first) != len(stores):
        return None
    stage = Stage(
        block.name_hint,
        outputs,
        axes,
        reduce,
        [store.value for store in first],
        [store.value for store in stores],
        outputs if reduce else [],
    )
    if any(buffer.same_as(other) for i, buffer in enumerate(outputs) for other in outputs[:i]):
        return None
    if any(operations.reads_any(store.value, outputs) for store in first):
        return None
    own = [axis.var for axis in axes]
    for value in stage.values:
        for load in loads(value):
            mine = any(load.source.same_as(buffer) for buffer in outputs)
            if mine and not (reduce and all(map(tirx.Var.same_as, load.indices, own))):
                return None
    if any(_has_effects(value) for value in (*stage.values, *stage.identities)):
        return None
    if any(axis.size == 0 for axis in axes):
        return None  # rules divide by sizes, and loops over nothing take no time as they are
    if any(axis.size == 0 for axis in reduce):
        stage = dataclasses.replace(
            stage, reduce=[], values=stage.identities, identities=[], partial=[]
        )
    return _from_neutral(_with_one_type(stage))


def _from_neutral(stage: Stage) -> Stage | None:
    """Return `stage` with identities that are as `Stage` has them; None if it cannot be.

    What sums and the like begin with otherwise is combined with their result.
    """
    if not stage.reduce:
        return stage
    elements = [
        operations.operand(value, old, stage.partial)
        for value, old in zip(stage.values, stage.partial, strict=True)
    ]
    if any(element is None for element in elements):
        return stage if all(map(operations.is_constant, stage.identities)) else None
    own = [axis.var for axis in stage.axes]
    identities: list[Any] = []
    finish: list[Any] = []
    for value, old, identity in zip(stage.values, stage.partial, stage.identities, strict=True):
        kind = type(value)
        neutral = operations.neutral(kind, str(old.dtype))
        result = tirx.BufferLoad(old, own)
        is_number = operations.is_constant(identity)
        if is_number and (kind in operations.IDEMPOTENT or identity.value == neutral.value):
            identities.append(identity)
            finish.append(result)
        else:
            identities.append(neutral)
            finish.append(kind(identity, result))
    if all(isinstance(value, ir.TensorLoad) for value in finish):
        return stage
    return dataclasses.replace(stage, identities=identities, finish=finish)


def _with_one_type(stage: Stage) -> Stage:
    """Return `stage` with axes that are all of one integer type, so that they can be one."""
    axes = [*stage.axes, *stage.reduce]
    types = {str(axis.extent.ty) for axis in axes}
    if len(types | {str(axis.var.ty) for axis in axes}) <= 1:
        return stage
    wide = {axis.var: tirx.Var(axis.var.name, "int64") for axis in axes}

    def see_load(load: ir.TensorLoad, mutator: Any) -> Any:
        indices = [wide.get(index, index) for index in load.indices]
        return tirx.BufferLoad(load.source, [mutator.mutate(index) for index in indices])

    def see_variable(variable: tirx.Var, mutator: Any) -> Any:
        return wide[variable].astype(str(variable.ty)) if variable in wide else variable

    def widened(value: Any) -> Any:
        return structural_mutate(value, [(ir.TensorLoad, see_load), (tirx.Var, see_variable)])

    def axes_of(axes: list[Axis]) -> list[Axis]:
        return [Axis(wide[axis.var], _wide(axis.extent)) for axis in axes]

    return dataclasses.replace(
        stage,
        axes=axes_of(stage.axes),
        reduce=axes_of(stage.reduce),
        identities=[widened(value) for value in stage.identities],
        values=[widened(value) for value in stage.values],
    )


def _wide(extent: Any) -> Any:
    if isinstance(extent, tirx.IntImm):
        return tirx.IntImm("int64", extent.value)
    return extent.astype("int64")


def _stores(body: tirx.Stmt) -> list[tirx.BufferStore]:
    """Return the stores that `body` consists of, with names replaced by what they stand for.

    None of them if they cannot be done at once, since one reads what another has stored.
    """
    bound: dict[tirx.Var, Any] = {}
    stores: list[tirx.BufferStore] = []
    for statement in body.seq if isinstance(body, tirx.SeqStmt) else [body]:
        if isinstance(statement, tirx.Bind) and not stores:
            bound[statement.var] = substitute(statement.value, bound)
        elif isinstance(statement, tirx.BufferStore):
            if operations.reads_any(statement.value, [store.buffer for store in stores]):
                return []
            value = substitute(statement.value, bound)
            stores.append(tirx.BufferStore(statement.buffer, value, statement.indices))
        else:
            return []
    return stores


def _is_true(condition: Any) -> bool:
    return isinstance(condition, tirx.IntImm) and bool(condition.value)


def _is_zero(expression: Any) -> bool:
    return isinstance(expression, tirx.IntImm) and expression.value == 0


def _has_effects(value: Any) -> bool:
    """Whether it matters how often `value` is computed."""
    found: list[bool] = []

    def see(call: ir.Call) -> None:
        effect = getattr(call.op, "get_attr", lambda name: None)("TCallEffectKind")
        found.append(effect is None or effect > _PURE)

    structural_walk(value, [(ir.Call, see)])
    return any(found)


def loads(expression: Any) -> list[ir.TensorLoad]:
    """Return the reads of tensors in an expression."""
    found: list[ir.TensorLoad] = []
    structural_walk(expression, [(ir.TensorLoad, found.append)])
    return found


def substitute(expression: Any, values: Mapping[tirx.Var, Any]) -> Any:
    """Return `expression` with variables replaced, by values of their types."""
    if not values:
        return expression

    def see(variable: tirx.Var, mutator: Any) -> Any:
        if variable not in values:
            return variable
        value, dtype = values[variable], str(variable.ty)
        return value if str(value.ty) == dtype else value.astype(dtype)

    return structural_mutate(expression, [(tirx.Var, see)])


def replace_loads(expression: Any, buffers: Sequence[tirx.Var], new: Callable) -> Any:
    """Return `expression` with ``new(i, indices)`` in place of the loads of ``buffers[i]``."""

    def see(load: ir.TensorLoad, mutator: Any) -> Any:
        for i, buffer in enumerate(buffers):
            if load.source.same_as(buffer):
                return new(i, [mutator.mutate(index) for index in load.indices])
        return mutator.default_mutate(load)

    return structural_mutate(expression, [(ir.TensorLoad, see)])


def uses(expression: Any, variable: tirx.Var) -> bool:
    """Whether `variable` is in an expression."""
    found: list[bool] = []
    structural_walk(expression, [(tirx.Var, lambda var: found.append(var.same_as(variable)))])
    return any(found)


def is_contiguous(stage: Stage, variable: tirx.Var) -> bool:
    """Whether neighbours along an axis are neighbours in memory, wherever they differ."""
    for load in stage.reads:
        *others, last = load.indices or [None]
        if last is None:
            continue
        if any(uses(index, variable) for index in others):
            return False
        if uses(last, variable) and not _has_step_one(last, variable):
            return False
    return True


def _has_step_one(index: Any, variable: tirx.Var) -> bool:
    step = loops.simplify(substitute(index, {variable: variable + 1}) - index)
    return loops.value_of(step) == 1


def is_same(a: Any, b: Any) -> bool:
    """Whether two expressions are the same."""
    return bool(structural_equal(a, b))


def is_guarded(value: Any) -> bool:
    """Whether parts of an expression are computed on a condition only."""
    found: list[bool] = []

    def see(call: ir.Call) -> None:
        found.append(is_choice(call))

    structural_walk(value, [(ir.Call, see)])
    return any(found)


def count_expensive(value: Any) -> int:
    """Return how many functions such as exp an expression has."""
    found: list[str] = []

    def see(call: ir.Call) -> None:
        name = getattr(call.op, "name", "").rpartition(".")[2]
        if name not in _CHEAP:
            found.append(name)

    structural_walk(value, [(ir.Call, see)])
    return len(found)


def count_library_calls(stage: Stage, libm: bool) -> int:
    """Return how many functions of an element have no vector form, or none has with `libm`."""
    found: list[bool] = []

    def see(call: ir.Call) -> None:
        name = getattr(call.op, "name", "").rpartition(".")[2]
        if name not in _CHEAP:
            found.append(libm or not vector_math.is_vector(call))

    for value in stage.values:
        structural_walk(value, [(ir.Call, see)])
    return sum(found)


def cost_of_divisions(value: Any) -> int:
    """Return how long an expression's divisions take, in reads of memory."""
    found: list[int] = []
    depth = 0  # of tensors whose indices are seen

    def see_load(load: ir.TensorLoad, visitor: Any) -> None:
        nonlocal depth
        depth += 1
        visitor.default_visit(load)
        depth -= 1

    def see(division: Any, visitor: Any) -> None:
        is_float = str(division.ty).startswith(("float", "bfloat"))
        if not is_float and not isinstance(division.b, tirx.IntImm):
            found.append(_INTEGER_DIVISION)
        elif not depth:  # quotients of indices by constants are mostly simplified away
            found.append(_DIVISION)
        visitor.default_visit(division)

    kinds = (tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod)
    structural_visit(value, [(ir.TensorLoad, see_load), *((kind, see) for kind in kinds)])
    return sum(found)


def count_nodes(value: Any) -> int:
    """Return the size of an expression."""
    found: list[Any] = []
    structural_walk(value, [(ir.Expr, found.append)])
    return len(found)


def work_of(stage: Stage) -> int:
    """Return how long an element of a stage takes, in reads of memory."""
    values = (*stage.values, *(stage.finish or ()))
    arithmetic = max(0, sum(map(count_nodes, values)) - _FREE_NODES) // _NODES
    return 1 + arithmetic + _CALL * sum(map(count_expensive, values))
