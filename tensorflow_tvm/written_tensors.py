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
"""Which tensors a PrimFunc writes, and which of those it updates in place. Needs apache-tvm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tvm import ir, s_tir, sym, tirx
from tvm.ir import prim
from tvm_ffi.structural import (
    structural_equal,
    structural_mutate,
    structural_visit,
    structural_walk,
)

# The attribute of a PrimFunc that has the number of its outputs, which are its last parameters.
OUTPUT_COUNT = "tensorflow_tvm.outputs"

_MOST = 2**31 - 1


def is_tensor(parameter: tirx.Var) -> bool:
    """Whether a parameter is a tensor, rather than a number."""
    return isinstance(parameter.ty, tirx.BufferType)


def outputs_of(function: tirx.PrimFunc) -> list[tirx.Var]:
    """Return the tensors that a function writes."""
    tensors = [parameter for parameter in function.params if is_tensor(parameter)]
    count = function.attrs.get(OUTPUT_COUNT, None) if function.attrs else None
    if count is not None:
        return tensors[len(tensors) - int(count) :]
    views = Views(function.body)
    written: list[tirx.Var] = []
    calls: list[Any] = []
    structural_walk(
        function.body,
        [
            (tirx.BufferStore, lambda store: written.append(views.viewed_by(store.buffer))),
            (
                s_tir.SBlock,
                lambda block: written.extend(views.viewed_by(r.source) for r in block.writes),
            ),
            (ir.Call, calls.append),
        ],
    )
    outputs = [tensor for tensor in tensors if any(tensor.same_as(other) for other in written)]
    # What a packed function writes cannot be seen; by custom the last argument is the output.
    return outputs or (tensors[-1:] if calls else [])


def find_update(function: tirx.PrimFunc, outputs: list[tirx.Var]) -> tuple[tirx.Var, str] | None:
    """Return an output that is read before it is written, and that read as text.

    Such a function updates a tensor in place. The statements are followed as they run the first
    time: loops begin with their least value, and a condition that does not hold for it leaves out
    what depends on it. So ``y[i] = if_then_else(i > 0, y[i - 1], 0)`` is no update. Where a
    condition is not decided, a read is one if everything that writes the tensor stands under the
    same condition, or if it is the element that the same statement writes.
    """
    first_run = _FirstRun(function, outputs)
    return first_run.update()


class Views:
    """Which buffers of a function have the memory of which others."""

    def __init__(self, body: tirx.Stmt) -> None:
        self._viewed: dict[tirx.Var, tirx.Var] = {}

        def see_block(block: s_tir.SBlock) -> None:
            for match in block.match_buffers:
                self._viewed[match.buffer] = match.source.source

        def see_declaration(declaration: tirx.DeclBuffer) -> None:
            structural_walk(declaration.data, [(tirx.Var, see_pointer(declaration.buffer))])

        def see_bind(bind: tirx.Bind) -> None:
            if "handle" in str(bind.var.ty):
                structural_walk(bind.value, [(tirx.Var, see_pointer(bind.var))])

        def see_pointer(view: tirx.Var) -> Any:
            def see(variable: tirx.Var) -> None:
                self._viewed.setdefault(view, variable)

            return see

        structural_walk(
            body,
            [
                (s_tir.SBlock, see_block),
                (tirx.DeclBuffer, see_declaration),
                (tirx.Bind, see_bind),
            ],
        )

    def viewed_by(self, buffer: tirx.Var) -> tirx.Var:
        """Return the buffer whose memory `buffer` has: itself, if it is no view."""
        seen = [buffer]
        while (viewed := self._viewed.get(seen[-1])) is not None:
            if any(viewed.same_as(other) for other in seen):
                break
            seen.append(viewed)
        return seen[-1]


class _FirstRun:
    """Follows a function's statements as they run the first time."""

    def __init__(self, function: tirx.PrimFunc, outputs: list[tirx.Var]) -> None:
        self._outputs = outputs
        self._views = Views(function.body)
        self._analyzer = sym.Analyzer()
        for parameter in function.params:
            for size in parameter.shape if is_tensor(parameter) else ():
                if isinstance(size, tirx.Var):  # an empty tensor is not updated
                    self._analyzer.bind(size, ir.Range(1, _MOST))
        self._values: dict[tirx.Var, Any] = {}  # of loops' variables and the like
        self._numbers: dict[tirx.Var, Any] = {}  # the values of buffers of one element
        self._branch: tuple[int, ...] = ()  # the undecided conditions around what is seen
        self._branch_count = 0
        self._written: set[int] = set()  # outputs, by number
        self._reads: dict[int, list[tuple[tuple[int, ...], ir.TensorLoad]]] = {}
        self._writes: dict[int, list[tuple[int, ...]]] = {}
        self._updates: list[tuple[int, ir.TensorLoad]] = []
        structural_visit(
            function.body,
            [
                (tirx.For, self._loop),
                (tirx.While, self._while),
                (s_tir.SBlockRealize, self._realize),
                (s_tir.SBlock, self._block),
                (tirx.Bind, self._bind),
                (tirx.DeclBuffer, lambda declaration, visitor: None),
                (tirx.IfThenElse, self._if),
                (tirx.BufferStore, self._store),
                (ir.TensorLoad, self._load),
                (ir.Call, self._call),
                (prim.Select, self._select),
                (prim.And, self._and),
                (prim.Or, self._or),
                (tirx.Var, self._pointer),
            ],
        )

    def update(self) -> tuple[tirx.Var, str] | None:
        """Return what `find_update` does."""
        for output, reads in self._reads.items():
            for branch, load in reads:
                inside = (write[: len(branch)] == branch for write in self._writes.get(output, ()))
                if all(inside):
                    self._updates.append((output, load))
        if not self._updates:
            return None
        output, load = self._updates[0]
        return self._outputs[output], str(load)

    def _loop(self, loop: tirx.For, visitor: Any) -> None:
        visitor.visit(loop.min)
        visitor.visit(loop.extent)
        self._assign(loop.loop_var, loop.min)
        visitor.visit(loop.body)
        self._forget_numbers(loop.body)

    def _while(self, loop: tirx.While, visitor: Any) -> None:
        visitor.visit(loop.condition)
        visitor.visit(loop.body)
        self._forget_numbers(loop.body)

    def _forget_numbers(self, statement: tirx.Stmt) -> None:
        """Forget the values of what `statement` writes, which may have run several times or not."""

        def see_store(store: tirx.BufferStore) -> None:
            self._numbers.pop(store.buffer, None)

        structural_walk(statement, [(tirx.BufferStore, see_store)])

    def _realize(self, realize: s_tir.SBlockRealize, visitor: Any) -> None:
        for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
            visitor.visit(value)
            self._assign(axis.var, value)
        visitor.visit(realize.predicate)
        self._branches(realize.predicate, realize.block, None, visitor)

    def _block(self, block: s_tir.SBlock, visitor: Any) -> None:
        for part in (block.init, block.body):
            if part is not None:
                visitor.visit(part)
        for region in block.writes:  # what a packed function writes
            self._wrote(region.source)

    def _bind(self, bind: tirx.Bind, visitor: Any) -> None:
        if "handle" in str(bind.var.ty):  # a view
            return
        visitor.visit(bind.value)
        self._assign(bind.var, bind.value)

    def _if(self, branch: tirx.IfThenElse, visitor: Any) -> None:
        visitor.visit(branch.condition)
        self._branches(branch.condition, branch.then_case, branch.else_case, visitor)

    def _select(self, select: Any, visitor: Any) -> None:
        visitor.visit(select.condition)
        self._branches(select.condition, select.true_value, select.false_value, visitor)

    def _and(self, both: Any, visitor: Any) -> None:
        visitor.visit(both.a)
        self._branches(both.a, both.b, None, visitor)

    def _or(self, either: Any, visitor: Any) -> None:
        visitor.visit(either.a)
        self._branches(either.a, None, either.b, visitor)

    def _call(self, call: ir.Call, visitor: Any) -> None:
        name = getattr(call.op, "name", "")
        if name.endswith(".if_then_else") and len(call.args) == 3:
            visitor.visit(call.args[0])
            self._branches(*call.args, visitor)
        elif name.endswith("address_of"):
            structural_walk(call.args[0], [(ir.TensorLoad, lambda load: self._wrote(load.source))])
        else:
            visitor.default_visit(call)

    def _branches(self, condition: Any, then: Any, otherwise: Any, visitor: Any) -> None:
        """Visit what is reached: one of two, or both if the condition is not decided."""
        condition = self._first(condition)
        holds = self._proves(condition)
        fails = not holds and self._proves(tirx.Not(condition))
        if holds or fails:
            reached = then if holds else otherwise
            if reached is not None:
                visitor.visit(reached)
            return
        before = set(self._written)
        after = set(before)
        for part in (then, otherwise):
            if part is not None:
                self._written = set(before)
                with self._in_branch():
                    visitor.visit(part)
                after |= self._written
                if isinstance(part, tirx.Stmt):
                    self._forget_numbers(part)
        self._written = after

    @contextlib.contextmanager
    def _in_branch(self) -> Iterator[None]:
        outer = self._branch
        self._branch_count += 1
        self._branch = (*outer, self._branch_count)
        try:
            yield
        finally:
            self._branch = outer

    def _load(self, load: ir.TensorLoad, visitor: Any) -> None:
        for index in load.indices:
            visitor.visit(index)
        output = self._output(load.source)
        if output is not None and output not in self._written:
            self._reads.setdefault(output, []).append((self._branch, load))

    def _store(self, store: tirx.BufferStore, visitor: Any) -> None:
        output = self._output(store.buffer)
        known = len(self._reads.get(output, ()))
        visitor.visit(store.value)
        for index in store.indices:
            visitor.visit(index)
        for _, load in self._reads.get(output, ())[known:]:
            if load.source.same_as(store.buffer) and structural_equal(load.indices, store.indices):
                self._updates.append((output, load))
        self._wrote(store.buffer)
        if all(isinstance(size, tirx.IntImm) and size.value == 1 for size in store.buffer.shape):
            self._numbers[store.buffer] = self._first(store.value)

    def _pointer(self, variable: tirx.Var, visitor: Any) -> None:
        # Where its address goes, and what happens there, cannot be seen.
        self._wrote(variable)

    def _wrote(self, buffer: tirx.Var) -> None:
        output = self._output(buffer)
        if output is not None:
            self._written.add(output)
            self._writes.setdefault(output, []).append(self._branch)

    def _output(self, buffer: tirx.Var) -> int | None:
        buffer = self._views.viewed_by(buffer)
        found = (i for i, output in enumerate(self._outputs) if output.same_as(buffer))
        return next(found, None)

    def _assign(self, variable: tirx.Var, value: Any) -> None:
        if str(variable.ty) == str(value.ty):
            self._values[variable] = self._first(value)

    def _first(self, expression: Any) -> Any:
        """Return an expression with the values that variables have the first time."""

        def see_variable(variable: tirx.Var, _: Any) -> Any:
            return self._values.get(variable, variable)

        def see_load(load: ir.TensorLoad, mutator: Any) -> Any:
            value = self._numbers.get(load.source)
            return mutator.default_mutate(load) if value is None else value

        handlers = [(tirx.Var, see_variable), (ir.TensorLoad, see_load)]
        return structural_mutate(expression, handlers)

    def _proves(self, condition: Any) -> bool:
        if _reads_data(condition):
            return False
        return self._analyzer.can_prove(condition)


def _reads_data(expression: Any) -> bool:
    found: list[Any] = []
    structural_walk(expression, [(ir.TensorLoad, found.append)])
    return bool(found)
