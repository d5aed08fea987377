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
"""Walks over a function, and guards what it finds at each place."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import tvm
from tvm import ir, s_tir, tirx
from tvm.ir import prim
from tvm_ffi.structural import structural_mutate, structural_walk

from tensorflow_tvm.guards import arithmetic, bounds, markers, sizes
from tensorflow_tvm.guards.context import Condition, Context
from tensorflow_tvm.vectors import is_choice
from tensorflow_tvm.written_tensors import Views, outputs_of

_GUARDED = "tensorflow_tvm.guarded"  # an attribute of functions that are finished


@dataclasses.dataclass
class Guarded:
    """A function that does no harm, if `conditions` hold.

    Attributes
    ----------
    function : tirx.PrimFunc
        The function. An index that comes from data, and may be anything, is clamped where it reads,
        and nothing is written to one that does not exist; divisors that may be 0 are marked.
    conditions : list of (tirx.Expr, str)
        What must be true of sizes and attrs when it is called, and the message otherwise.
    is_empty : tirx.Expr or None
        Whether all outputs of a call are empty; None if they cannot be.
    """

    function: tirx.PrimFunc
    conditions: list[Condition]
    is_empty: Any

    def finish(self, function: tirx.PrimFunc) -> tirx.PrimFunc:
        """Return `function`, which has been scheduled since, without marks and with all checks."""
        function = markers.expand(function)
        conditions = [*self.conditions, *sizes.of_allocations(function)]
        if conditions and self.is_empty is not None:
            # Nothing is demanded of a call that has nothing to compute.
            conditions = [(tirx.any(self.is_empty, c), message) for c, message in conditions]
            has_elements = tirx.Not(self.is_empty)
            function = function.with_body(tirx.IfThenElse(has_elements, function.body, None))
        return require(function, conditions).with_attr(_GUARDED, True)


def is_guarded(function: tirx.PrimFunc) -> bool:
    """Whether a function is the result of `Guarded.finish`."""
    return bool(function.attrs and function.attrs.get(_GUARDED, False))


def require(function: tirx.PrimFunc, conditions: Sequence[Condition]) -> tirx.PrimFunc:
    """Return `function` with each of `conditions` checked first; an error has its message."""
    if not conditions:
        return function
    checks = [markers.assertion(condition, message) for condition, message in conditions]
    return function.with_body(tirx.SeqStmt([*checks, function.body]))


def guard(
    function: tirx.PrimFunc,
    target: tvm.target.Target,
    is_scheduled: bool = False,
    trusts_axes: bool = False,
) -> Guarded:
    """Find what a function may do outside its tensors, or with operands that trap.

    Where sizes or attrs decide, a condition on them is returned. Other indices, which come from
    data, or which we cannot follow, are clamped to the tensor where they are read, and passed over
    where they are written: for those that were right nothing changes.

    Parameters
    ----------
    function : tirx.PrimFunc
        With or without a schedule.
    target : tvm.target.Target
        What it will be compiled for.
    is_scheduled : bool
        Whether its loops stay as they are.
    trusts_axes : bool
        Whether the axes of blocks are known to stay in their domains, as TVM's schedules keep them.

    Returns
    -------
    Guarded
    """
    context = Context(function, "gpu" in target.keys, is_scheduled, trusts_axes)
    checker = _Checker(context, function.body, is_scheduled)
    handlers = [
        (s_tir.SBlockRealize, checker.realize),
        (tirx.AllocBuffer, checker.allocate),
        (tirx.DeclBuffer, checker.declare),
        (tirx.For, checker.loop),
        (tirx.While, checker.while_loop),
        (tirx.AttrStmt, checker.attribute),
        (tirx.Bind, checker.bind),
        (tirx.IfThenElse, checker.branch),
        (ir.TensorLoad, checker.load),
        (tirx.BufferStore, checker.store),
        (ir.Call, checker.call),
        (prim.Select, checker.select),
        (tirx.Cast, checker.cast),
        *((kind, checker.division) for kind in arithmetic.DIVISIONS),
        *((kind, checker.shift) for kind in arithmetic.SHIFTS),
    ]
    with context.function():
        body = structural_mutate(function.body, handlers)
    is_empty = sizes.are_empty(outputs_of(function))
    return Guarded(function.with_body(body), context.conditions, is_empty)


class _Checker:
    def __init__(self, context: Context, body: tirx.Stmt, is_scheduled: bool) -> None:
        self._context = context
        self._views = Views(body)
        self._written = list(map(self._views.viewed_by, _written_by(body)))
        self._is_scheduled = is_scheduled
        self._vectorized = 0  # vectorized loops around
        self._loop_checks: list[list[Condition]] = []  # of what changes with each loop around

    # Statements.

    def realize(self, realize: s_tir.SBlockRealize, mutator: Any) -> Any:
        block = realize.block
        with self._context.conditionally():
            predicate = mutator.mutate(realize.predicate)
        values = [mutator.mutate(value) for value in realize.iter_values]
        for axis in block.iter_vars:
            self._visit_sizes([axis.dom.extent], mutator)
            for condition, message in sizes.of_axis(axis):
                self._demand(condition, f"in step '{block.name_hint}', {message}")
        if block.init is not None and self._is_scheduled and not self._context.is_gpu:
            self._demand_initialization(block)
        is_empty = None if self._is_scheduled else _writes_nothing(block)
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(self._context.block(realize, self._lasting(realize.predicate)))
            if is_empty is not None:
                scopes.enter_context(self._context.unless(is_empty))
            self._allocate(block.alloc_buffers, mutator)
            body = mutator.mutate(block.body)
            if not (self._context.is_gpu or self._context.trusts_axes):
                body = tirx.SeqStmt([*checks, body]) if (checks := self._match(block)) else body
            if is_empty is not None:
                body = tirx.IfThenElse(tirx.Not(is_empty), body, None)
            block = s_tir.SBlock(
                *(block.iter_vars, block.reads, block.writes, block.name_hint),
                body,
                None if block.init is None else mutator.mutate(block.init),
                *(block.alloc_buffers, block.match_buffers, block.annotations),
            )
        return s_tir.SBlockRealize(values, predicate, block)

    def _demand_initialization(self, block: s_tir.SBlock) -> None:
        """Demand something to reduce: TVM has the first step of a reduction initialize it."""
        kinds = (tirx.IterVar.DataPar, tirx.IterVar.CommReduce)
        own, reduced = (
            [axis.dom.extent for axis in block.iter_vars if axis.iter_type == kind]
            for kind in kinds
        )
        for extent in reduced:
            message = (
                f"in step '{block.name_hint}', it reduces {extent} elements: none, which its "
                "schedule does not provide for"
            )
            # Loops around it run only if there is something: what is known here does not count.
            condition = tirx.any(extent >= 1, *(size <= 0 for size in own))
            if self._context.is_known(condition):
                self._context.add(condition, message)

    def allocate(self, allocation: tirx.AllocBuffer, mutator: Any) -> Any:
        self._allocate([allocation.buffer], mutator)
        return allocation

    def declare(self, declaration: tirx.DeclBuffer, mutator: Any) -> Any:
        view = declaration.buffer
        source = self._views.viewed_by(view)
        if isinstance(source.ty, tirx.BufferType) and not source.same_as(view):
            message = (
                f"'{view.name}' views '{source.name}' with more elements than that has: "
                f"[{', '.join(map(str, view.shape))}]"
            )
            self._demand(sizes.count(view, view.elem_offset) <= sizes.count(source), message)
        return declaration

    def _match(self, block: s_tir.SBlock) -> list[tirx.Stmt]:
        """Return what checks that the regions that a block has names for exist."""
        checks = []
        for match in block.match_buffers:
            source = match.source.source
            for part, size in zip(match.source.region, source.shape, strict=True):
                condition = tirx.all(part.min >= 0, part.min + part.extent <= size)
                if not self._context.proves(condition):
                    message = f"'{match.buffer.name}' is a part of '{source.name}' outside of it"
                    checks.append(markers.assertion(sizes.wide(condition), message))
        return checks

    def _allocate(self, buffers: Sequence[tirx.Var], mutator: Any) -> None:
        for buffer in buffers:
            self._visit_sizes(buffer.shape, mutator)
            for condition, message in sizes.of_shape(buffer):
                self._demand(condition, message)

    def _visit_sizes(self, values: Sequence[Any], mutator: Any) -> None:
        """See to divisions in sizes; lowering.py sees to it that they do not trap."""
        for size in values:
            if not isinstance(size, (tirx.Var, tirx.IntImm)):
                mutator.mutate(size)

    def _demand(self, condition: Any, message: str) -> None:
        """Demand a condition on a size: of each call, or each time that a loop gets there."""
        condition = self._context.inlined(condition)
        if self._context.is_known(condition):
            if not self._context.proves(condition):
                self._context.add(condition, message)
        elif self._loop_checks and not (self._context.is_gpu or self._context.proves(condition)):
            if not self._context.is_defined_inside(condition):
                self._loop_checks[-1].append((condition, message))

    def loop(self, loop: tirx.For, mutator: Any) -> Any:
        start, extent = mutator.mutate(loop.min), mutator.mutate(loop.extent)
        # A loop whose extent data decides, or a loop around, or which may not be reached, does not
        # run if that is negative; nor does one from 1 to 0, which is what its author means.
        if self._context.is_known(extent) and not self._context.is_guarded:
            starts_at_0 = isinstance(loop.min, tirx.IntImm) and loop.min.value == 0
            counts = str(loop.extent.ty) != "int64" and not _has_blocks(loop.body)
            name = f"its loop {loop.loop_var.name}"
            for condition, message in sizes.of_extent(loop.extent, name, starts_at_0, counts):
                self._demand(condition, message)
        self._loop_checks.append([])
        with contextlib.ExitStack() as scopes:
            is_lasting = not self._may_change([loop.min, loop.extent])
            scopes.enter_context(self._context.loop(loop, is_lasting))
            if _may_end_early(loop.body):
                scopes.enter_context(self._context.conditionally())
            self._vectorized += loop.kind == tirx.ForKind.VECTORIZED
            body = mutator.mutate(loop.body)
            self._vectorized -= loop.kind == tirx.ForKind.VECTORIZED
        checks = self._loop_checks.pop()
        if checks:
            body = tirx.SeqStmt([*(markers.assertion(*check) for check in checks), body])
        kind = loop.kind
        if kind == tirx.ForKind.VECTORIZED and _count(body, tirx.Bind) > _count(
            loop.body, tirx.Bind
        ):
            kind = tirx.ForKind.SERIAL  # TVM makes no vectors of what a guard defines
        return tirx.For(
            *(loop.loop_var, start, extent, kind, body),
            *(loop.thread_binding, loop.annotations, loop.step),
        )

    def attribute(self, attribute: tirx.AttrStmt, mutator: Any) -> Any:
        if attribute.attr_key not in ("thread_extent", "virtual_thread"):
            return mutator.default_mutate(attribute)
        with self._context.threads(attribute.node.var, attribute.value):
            return mutator.default_mutate(attribute)

    def while_loop(self, loop: tirx.While, mutator: Any) -> Any:
        condition = mutator.mutate(loop.condition)
        with self._context.conditionally():
            body = mutator.mutate(loop.body)
        return tirx.While(condition, body)

    def bind(self, bind: tirx.Bind, mutator: Any) -> Any:
        if "int" in str(bind.value.ty) and not sizes.reads_data(bind.value):
            self._context.analyzer.bind(bind.var, bind.value)
            self._context.define(bind.var, bind.value)
        else:
            self._context.define(bind.var, None)
        return mutator.default_mutate(bind)

    def branch(self, branch: tirx.IfThenElse, mutator: Any) -> Any:
        condition = mutator.mutate(branch.condition)
        then, otherwise = branch.then_case, branch.else_case
        with self._context.assuming(self._lasting(branch.condition)):
            then = mutator.mutate(then)
        if otherwise is not None:
            with self._context.assuming(self._lasting(self._not(branch.condition))):
                otherwise = mutator.mutate(otherwise)
        return tirx.IfThenElse(condition, then, otherwise)

    def store(self, store: tirx.BufferStore, mutator: Any) -> Any:
        indices = [mutator.mutate(index) for index in store.indices]
        return bounds.store(self._context, store, indices, lambda: mutator.mutate(store.value))

    # Expressions.

    def load(self, load: ir.TensorLoad, mutator: Any) -> Any:
        indices = [mutator.mutate(index) for index in load.indices]
        return bounds.load(self._context, load, indices)

    def call(self, call: ir.Call, mutator: Any) -> Any:
        if is_choice(call):
            return tirx.if_then_else(*self._branches(*call.args, mutator))
        if getattr(call.op, "name", "").endswith(".address_of"):
            return call  # what is done with it is its author's
        return mutator.default_mutate(call)

    def select(self, select: Any, mutator: Any) -> Any:
        parts = (select.condition, select.true_value, select.false_value)
        condition, left, right = self._branches(*parts, mutator)
        # What only the condition keeps inside a tensor must not be read without it.
        is_inside = bounds.are_inside(self._context, [left, right])
        if not is_inside and self._vectorized:
            # TVM makes vectors of a selection only, so that both of its values are computed.
            with self._context.conditionally():
                left, right = (mutator.mutate(part) for part in parts[1:])
            is_inside = True
        if is_inside:
            return prim.Select(condition, left, right)
        return tirx.if_then_else(condition, left, right)

    def cast(self, cast: tirx.Cast, mutator: Any) -> Any:
        value = mutator.mutate(cast.value)
        return arithmetic.convert(cast, value)

    def division(self, node: Any, mutator: Any) -> Any:
        return arithmetic.divide(
            self._context, node, mutator.mutate(node.a), mutator.mutate(node.b)
        )

    def shift(self, node: Any, mutator: Any) -> Any:
        return arithmetic.shift(self._context, node, mutator.mutate(node.a), mutator.mutate(node.b))

    def _branches(self, condition: Any, left: Any, right: Any, mutator: Any) -> Sequence[Any]:
        results = [mutator.mutate(condition)]
        for assumed, branch in ((condition, left), (self._not(condition), right)):
            with self._context.assuming(assumed):
                results.append(mutator.mutate(branch))
        return results

    def _lasting(self, condition: Any) -> Any:
        """Return what of a statement's condition holds for all of the statement."""
        if isinstance(condition, tirx.And):
            return tirx.And(self._lasting(condition.a), self._lasting(condition.b))
        return tirx.const(True, "bool") if self._may_change([condition]) else condition

    def _may_change(self, values: Sequence[Any]) -> bool:
        """Whether any of `values` reads what the function writes somewhere."""
        found: list[bool] = []

        def see(load: ir.TensorLoad) -> None:
            source = self._views.viewed_by(load.source)
            found.append(any(source.same_as(buffer) for buffer in self._written))

        for value in values:
            structural_walk(value, [(ir.TensorLoad, see)])
        return any(found)

    def _not(self, condition: Any) -> Any:
        return self._context.analyzer.simplify(tirx.Not(condition))


def _writes_nothing(block: s_tir.SBlock) -> Any:
    """Return when a program in a block, such as a scan of TVM's, has no elements to write.

    None if it is no such program, or always writes something.
    """
    if block.iter_vars or _has_blocks(block.body):
        return None
    allocated = list(block.alloc_buffers)
    structural_walk(
        block.body, [(tirx.AllocBuffer, lambda statement: allocated.append(statement.buffer))]
    )
    written = _written_by(block.body)
    return sizes.are_empty([b for b in written if not any(b.same_as(own) for own in allocated)])


def _has_blocks(body: tirx.Stmt) -> bool:
    found: list[s_tir.SBlock] = []
    structural_walk(body, [(s_tir.SBlock, found.append)])
    return bool(found)


def _written_by(body: tirx.Stmt) -> list[tirx.Var]:
    found: list[tirx.Var] = []

    def see_block(block: s_tir.SBlock) -> None:
        found.extend(region.source for region in block.writes)

    handlers = [
        (tirx.BufferStore, lambda store: found.append(store.buffer)),
        (s_tir.SBlock, see_block),
    ]
    structural_walk(body, handlers)
    return found


def _count(body: tirx.Stmt, kind: type) -> int:
    found: list[tirx.Stmt] = []
    structural_walk(body, [(kind, found.append)])
    return len(found)


def _may_end_early(body: tirx.Stmt) -> bool:
    """Whether a loop may end, or a step of it, before all of its body has run."""
    found: list[tirx.Stmt] = []
    kinds = (tirx.Break, tirx.Continue, tirx.Return)
    structural_walk(body, [(kind, found.append) for kind in kinds])
    return bool(found)
