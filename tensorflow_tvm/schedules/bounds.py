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
"""Accesses outside a tensor, which TVM compiles without a word: found, and made impossible."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from tvm import ir, s_tir, sym, tirx
from tvm.ir import prim
from tvm_ffi.structural import structural_equal, structural_mutate, structural_walk

from tensorflow_tvm.schedules import sizes

_Access = ir.TensorLoad | tirx.BufferStore
_INEXACT = (tirx.FloorDiv, tirx.FloorMod, tirx.Div, tirx.Mod, tirx.Min, tirx.Max)


@dataclasses.dataclass
class CheckedFunction:
    """A function that reads and writes outside no tensor, if `conditions` hold.

    Attributes
    ----------
    function : tirx.PrimFunc
        The function; an index that comes from data, and may be anything, is clamped where it reads,
        and nothing is written to one that does not exist.
    conditions : list of (tirx.Expr, str)
        What must be true of the tensors' sizes when it is called, and what to say if it is not.
    """

    function: tirx.PrimFunc
    conditions: list[tuple[Any, str]]

    def with_conditions(self, function: tirx.PrimFunc) -> tirx.PrimFunc:
        """Return `function`, which may have been scheduled since, with the conditions checked."""
        return require(function, self.conditions)


def require(function: tirx.PrimFunc, conditions: Sequence[tuple[Any, str]]) -> tirx.PrimFunc:
    """Return `function` with each of `conditions` checked first; an error says its message."""
    if not conditions:
        return function
    checks = [
        # The condition comes first, whatever the constructor's parameters are called.
        tirx.AssertStmt(condition, ir.StringImm("ValueError"), [ir.StringImm(message)])
        for condition, message in conditions
    ]
    return function.with_body(tirx.SeqStmt([*checks, function.body]))


def check_bounds(function: tirx.PrimFunc) -> CheckedFunction:
    """Find what an unscheduled function may read and write outside its tensors.

    Where the sizes of the tensors decide, a condition on them is returned. Other indices, which
    come from data, or which we cannot follow, are clamped to the tensor where they are read, and
    passed over where they are written: for those that were right nothing changes.

    Parameters
    ----------
    function : tirx.PrimFunc
        As `te.create_prim_func` makes it: blocks whose axes run over plain loops.

    Returns
    -------
    CheckedFunction
    """
    checker = _Checker(sizes.symbols_of(function))
    body = structural_mutate(
        function.body,
        [
            (s_tir.SBlock, checker.block),
            (s_tir.SBlockRealize, checker.realize),
            (tirx.For, checker.loop),
            (tirx.While, checker.while_loop),
            (tirx.Bind, checker.bind),
            (tirx.IfThenElse, checker.branch),
            (ir.TensorLoad, checker.load),
            (tirx.BufferStore, checker.store),
            (ir.Call, checker.call),
            (prim.Select, checker.select),
        ],
    )
    return CheckedFunction(function.with_body(body), checker.conditions)


class _Checker:
    def __init__(self, symbols: list[tirx.Var]) -> None:
        self.conditions: list[tuple[Any, str]] = []
        self._symbols = symbols
        self._analyzer = sym.Analyzer()
        self._axes: list[tirx.IterVar] = []
        self._loops: list[Any] = []  # how often those run that are around what is seen
        self._conditional = 0

    def block(self, block: s_tir.SBlock, mutator: Any) -> Any:
        outer, self._axes = self._axes, list(block.iter_vars)
        for axis in self._axes:
            self._analyzer.bind(axis.var, axis.dom)
            for condition, message in sizes.of_axis(axis):
                self._add(condition, message, message)
        result = mutator.default_mutate(block)
        self._axes = outer
        return result

    def loop(self, loop: tirx.For, mutator: Any) -> Any:
        self._analyzer.bind(loop.loop_var, ir.Range.from_min_extent(loop.min, loop.extent))
        self._loops.append(self._analyzer.simplify(loop.extent))
        result = mutator.default_mutate(loop)
        self._loops.pop()
        return result

    def while_loop(self, loop: tirx.While, mutator: Any) -> Any:
        condition = mutator.mutate(loop.condition)
        self._conditional += 1
        body = mutator.mutate(loop.body)
        self._conditional -= 1
        return tirx.While(condition, body)

    def bind(self, bind: tirx.Bind, mutator: Any) -> Any:
        if "int" in str(bind.value.ty) and not _reads_data(bind.value):
            self._analyzer.bind(bind.var, bind.value)
        return mutator.default_mutate(bind)

    def realize(self, realize: s_tir.SBlockRealize, mutator: Any) -> Any:
        if isinstance(realize.predicate, tirx.IntImm):
            return mutator.default_mutate(realize)
        # It speaks of the loops, and the block of its own axes.
        self._conditional += 1
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(self._analyzer.constraint_scope(realize.predicate))
            for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
                scopes.enter_context(self._analyzer.constraint_scope(axis.var == value))
            result = mutator.default_mutate(realize)
        self._conditional -= 1
        return result

    def branch(self, branch: tirx.IfThenElse, mutator: Any) -> Any:
        condition = mutator.mutate(branch.condition)
        self._conditional += 1
        with self._analyzer.constraint_scope(branch.condition):
            then = mutator.mutate(branch.then_case)
        otherwise = branch.else_case
        if otherwise is not None:
            negated = self._analyzer.simplify(tirx.Not(branch.condition))
            with self._analyzer.constraint_scope(negated):
                otherwise = mutator.mutate(otherwise)
        self._conditional -= 1
        return tirx.IfThenElse(condition, then, otherwise)

    def call(self, call: ir.Call, mutator: Any) -> Any:
        if getattr(call.op, "name", "").endswith(".if_then_else") and len(call.args) == 3:
            condition, left, right = self._branches(*call.args, mutator)
            return tirx.if_then_else(condition, left, right)
        return mutator.default_mutate(call)

    def select(self, select: Any, mutator: Any) -> Any:
        return prim.Select(
            *self._branches(select.condition, select.true_value, select.false_value, mutator)
        )

    def _branches(self, condition: Any, left: Any, right: Any, mutator: Any) -> Sequence[Any]:
        results = [mutator.mutate(condition)]
        self._conditional += 1
        otherwise = self._analyzer.simplify(tirx.Not(condition))
        for assumed, branch in ((condition, left), (otherwise, right)):
            with self._analyzer.constraint_scope(assumed):
                results.append(mutator.mutate(branch))
        self._conditional -= 1
        return results

    def load(self, load: ir.TensorLoad, mutator: Any) -> Any:
        buffer = load.source
        indices = []
        for index, size in zip(load.indices, buffer.shape, strict=True):
            index = mutator.mutate(index)
            if not self._is_inside(index, size) and not self._requires(index, size, load):
                index = self._clamped(index, size, load)
            indices.append(index)
        safe = tirx.BufferLoad(buffer, indices)
        if not self._guarded:
            return safe
        # Where nothing is said of a guarded read, the tensor may even be empty.
        for index, given, size in zip(indices, load.indices, buffer.shape, strict=True):
            if not index.same_as(given) and not self._proves(size > 0):
                safe = tirx.if_then_else(size > 0, safe, tirx.const(0, buffer.dtype))
        return safe

    def store(self, store: tirx.BufferStore, mutator: Any) -> Any:
        value = mutator.mutate(store.value)
        names: list[tirx.Bind] = []
        guards = []
        indices = []
        for index, size in zip(store.indices, store.buffer.shape, strict=True):
            index = mutator.mutate(index)
            if not self._is_inside(index, size) and not self._requires(index, size, store):
                exact = sizes.wide(index)
                if not isinstance(exact, tirx.Var):
                    names.append(tirx.Bind(tirx.Var("index", "int64"), exact))
                    exact = names[-1].var
                guards += [exact >= 0, exact < sizes.wide(size)]
                index = exact.astype(str(index.ty))
            indices.append(index)
        safe = tirx.BufferStore(store.buffer, value, indices)
        if not guards:
            return safe
        return tirx.SeqStmt([*names, tirx.IfThenElse(tirx.all(*guards), safe, None)])

    @property
    def _guarded(self) -> bool:
        """Whether what is seen may not be reached, and the tensors' sizes do not say so."""
        if self._conditional or self._axes:
            return self._conditional > 0
        return not all(sizes.is_known(extent, self._symbols) for extent in self._loops)

    def _is_inside(self, index: Any, size: Any) -> bool:
        return self._proves(index >= 0) and self._proves(index < size)

    def _proves(self, condition: Any) -> bool:
        return self._analyzer.can_prove(condition, sym.ProofStrength.SYMBOLIC_BOUND)

    def _requires(self, index: Any, size: Any, access: _Access) -> bool:
        """Add a condition on the sizes by which an index exists; False if they do not decide."""
        extremes = None if self._guarded else self._extremes(index)
        if extremes is None:
            return False
        least, most = extremes
        self._require(tirx.all(least >= 0, most < size), access, _exactness(index))
        return True

    def _clamped(self, index: Any, size: Any, load: ir.TensorLoad) -> Any:
        """Return the nearest index that exists."""
        if not self._guarded:
            self._require(size > 0, load)
        if not sizes.has_arithmetic(index):
            return tirx.max(tirx.min(index, size - 1), 0)
        nearest = tirx.max(tirx.min(sizes.wide(index), sizes.wide(size) - 1), 0)
        return nearest.astype(str(index.ty))

    def _require(self, condition: Any, access: _Access, others: Sequence[Any] = ()) -> None:
        """Add conditions, which need not hold if there is nothing to compute."""
        # In 64 bits: in fewer, sums and products of sizes would be others.
        exact = tirx.all(sizes.wide(condition), *others)
        for extent in [axis.dom.extent for axis in self._axes] or self._loops:
            condition = tirx.any(condition, extent <= 0)
            exact = tirx.any(exact, sizes.wide(extent) <= 0)
        is_read = isinstance(access, ir.TensorLoad)
        buffer = access.source if is_read else access.buffer
        shape = ", ".join(map(str, buffer.shape))
        indices = ", ".join(map(str, access.indices))
        message = (
            f"it {'reads' if is_read else 'writes'} {buffer.name}[{indices}], which is outside "
            f"{buffer.name}, whose shape is [{shape}]"
        )
        text = self._analyzer.simplify(condition)
        if not isinstance(text, tirx.IntImm):
            self._add(exact, message, f"{message}, unless {text}")
        elif text.value:
            self._add(exact, message, message)
        else:
            raise ValueError(message)

    def _add(self, condition: Any, never: str, unless: str) -> None:
        """Add a condition, and what to say if it is never true, and if it is not true in a call."""
        condition = self._analyzer.simplify(condition)
        if isinstance(condition, tirx.IntImm):
            if not condition.value:
                raise ValueError(never)
        elif not any(structural_equal(condition, known) for known, _ in self.conditions):
            self.conditions.append((condition, unless))

    def _extremes(self, index: Any) -> tuple[Any, Any] | None:
        """Return the least and the largest value of an index that is linear in the axes."""
        axes = [axis.var for axis in self._axes]
        if not axes:
            return None
        *factors, least = sym.detect_linear_equation(index, axes) or [None]
        if least is None or _reads_data(least):
            return None
        most = least
        for factor, axis in zip(factors, self._axes, strict=True):
            factor = self._analyzer.simplify(factor)
            if not isinstance(factor, tirx.IntImm):
                return None
            reach = factor * (axis.dom.extent - 1)
            first = factor * axis.dom.min
            least, most = least + first, most + first
            if factor.value < 0:
                least = least + reach
            else:
                most = most + reach
        return least, most


def _exactness(index: Any) -> list[Any]:
    """Return the conditions by which an index is what it would be in 64 bits.

    Sums and products are, where the result is an index that exists: what they are too large by,
    the rest takes off. Others need operands that 32 bits hold.
    """
    conditions = []

    def see(node: Any) -> None:
        if isinstance(node, _INEXACT) and str(node.ty) == "int32":
            for operand in (node.a, node.b):
                if sizes.has_arithmetic(operand):
                    exact = sizes.wide(operand)
                    conditions.append(tirx.all(exact >= -(2**31), exact < 2**31))

    structural_walk(index, [(ir.Expr, see)])
    return conditions


def _reads_data(expression: Any) -> bool:
    found = []
    structural_walk(expression, [(ir.TensorLoad, found.append), (ir.Call, found.append)])
    return bool(found)
