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
"""Values of variables that TVM does not put in the place of the variables.

TVM's passes and its LLVM code generator simplify an expression with each variable replaced by its
value, and the variables in that by theirs: the time grows exponentially with the length of a chain
of variables. What a variable reads from memory stays a read. So a long value is stored in a cell, a
buffer of one element, and the variable reads it. LLVM has cells in registers.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import ir, s_tir, tirx
from tvm_ffi.structural import structural_mutate, structural_visit

from tensorflow_tvm.schedules import loops
from tensorflow_tvm.vectors import is_choice

# The nodes of a value, with the variables in it replaced by theirs, that stay a variable's value.
_MOST_NODES = 24
_ZERO = tirx.IntImm("int32", 0)
_PUT = "tensorflow_tvm_put_"  # what the functions begin with that store into a cell


def keep_binds(body: tirx.Stmt) -> tirx.Stmt:
    """Return `body`, a function's before it is lowered, with the long values of `Bind` in cells."""
    return _Cutter(None).rewrite(body)


@tvm.transform.module_pass(opt_level=0, name="tensorflow_tvm.KeepValues")
def keep_values(module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
    """Have the long values of each `Bind` and each `Let` in cells, after loops are vectors."""
    puts = _Puts(module)
    functions = {}
    for variable, function in module.functions_items():
        is_llvm = function.attrs["target"].kind.name == "llvm"
        if is_llvm and not variable.name_hint.startswith(_PUT):
            puts.target = function.attrs["target"]
            function = function.with_body(_Cutter(puts).rewrite(function.body))
        functions[variable] = function
    return tvm.IRModule({**functions, **puts.functions}, attrs=module.attrs)


class _Puts:
    """Functions that store a value, one for each dtype: what an expression calls to store one."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.target: tvm.target.Target | None = None
        self.functions: dict[ir.GlobalVar, tirx.PrimFunc] = {}
        self._variables = {
            variable.name_hint: variable
            for variable, _ in module.functions_items()
            if variable.name_hint.startswith(_PUT)
        }

    def call(self, cell: tirx.Var, value: Any) -> Any:
        """Return the call that stores `value`."""
        name = _PUT + str(value.ty)
        if name not in self._variables:
            self._variables[name] = ir.GlobalVar(name)
            self.functions[self._variables[name]] = self._function(str(value.ty))
        place = tirx.address_of(tirx.BufferLoad(cell, [_ZERO]))
        return ir.Call(self._variables[name], [place, value], ret_ty="int32")

    def _function(self, dtype: str) -> tirx.PrimFunc:
        place = tirx.Var("place", ir.PointerType(ir.PrimType(dtype)))
        value = tirx.Var("value", dtype)
        cell = tirx.decl_buffer((1,), dtype, "cell", data=place)
        body = [
            tirx.DeclBuffer(cell, data=place),
            tirx.BufferStore(cell, value, [_ZERO]),
            tirx.Return(_ZERO),
        ]
        function = tirx.PrimFunc([place, value], tirx.SeqStmt(body), ir.PrimType("int32"))
        return function.with_attr("target", self.target)


class _Cutter:
    """Puts long values into cells: those of `Bind`, and those of `Let` if there are `puts`."""

    def __init__(self, puts: _Puts | None) -> None:
        self._puts = puts
        self._sizes: dict[tirx.Var, int] = {}  # of variables: the nodes that stand for them
        self._names: dict[tirx.Var, tirx.Var] = {}  # of each `Let`: it may be there several times
        self._before: list[tirx.Stmt] = []  # what comes before the statement that is seen
        # Those of the expression that is seen; None in statements that have no long ones.
        self._lets: list[tuple[tirx.Var, Any, bool]] | None = None
        self._in_vectors = False

    def rewrite(self, body: tirx.Stmt) -> tirx.Stmt:
        handlers: list[Any] = [
            (tirx.SeqStmt, self._sequence),
            (tirx.Bind, self._bind),
            (tirx.For, self._loop),
            (s_tir.SBlock, lambda block, _: block),  # its author's
        ]
        if self._puts is not None:
            handlers += [
                (tirx.BufferStore, self._store),
                (tirx.Evaluate, self._evaluate),
                (tirx.AssertStmt, self._assert),
                (tirx.While, self._while),
                (tirx.IfThenElse, self._branch),
                (tirx.Let, self._let),
                (ir.Call, self._call),
                (tirx.Var, lambda variable, _: self._names.get(variable, variable)),
            ]
        return structural_mutate(body, handlers)

    def _sequence(self, sequence: tirx.SeqStmt, mutator: Any) -> tirx.Stmt:
        # What a statement defines is defined in the sequence that it is in.
        return loops.sequence(*(mutator.mutate(statement) for statement in sequence.seq))

    def _bind(self, bind: tirx.Bind, mutator: Any) -> tirx.Stmt:
        if not isinstance(bind.var.ty, ir.PrimType):
            return bind  # an address, whose type may differ from its value's
        value = self._whole(bind.value, mutator)
        is_long = self._is_long(bind.var, value) and not self._in_vectors
        return self._after_others(*_bound(bind.var, value, is_long))

    def _loop(self, loop: tirx.For, mutator: Any) -> tirx.Stmt:
        extents = [self._whole(value, mutator) for value in (loop.min, loop.extent)]
        before, self._before = self._before, []
        outer = self._in_vectors
        self._in_vectors = outer or loop.kind == tirx.ForKind.VECTORIZED
        body = mutator.mutate(loop.body)
        self._in_vectors, self._before = outer, before
        new = tirx.For(
            loop.loop_var,
            *extents,
            loop.kind,
            body,
            loop.thread_binding,
            loop.annotations,
            loop.step,
        )
        return self._after_others(new)

    def _store(self, store: tirx.BufferStore, mutator: Any) -> tirx.Stmt:
        value, *indices = (self._whole(e, mutator) for e in (store.value, *store.indices))
        return self._after_others(tirx.BufferStore(store.buffer, value, indices))

    def _evaluate(self, evaluate: tirx.Evaluate, mutator: Any) -> tirx.Stmt:
        return self._after_others(tirx.Evaluate(self._whole(evaluate.value, mutator)))

    def _assert(self, check: tirx.AssertStmt, mutator: Any) -> tirx.Stmt:
        condition = self._whole(check.condition, mutator)
        return self._after_others(tirx.AssertStmt(condition, check.error_kind, check.message_parts))

    def _while(self, loop: tirx.While, mutator: Any) -> tirx.Stmt:
        condition = self._whole(loop.condition, mutator, is_repeated=True)
        before, self._before = self._before, []
        body = mutator.mutate(loop.body)
        self._before = before
        return self._after_others(tirx.While(condition, body))

    def _branch(self, branch: tirx.IfThenElse, mutator: Any) -> tirx.Stmt:
        condition = self._whole(branch.condition, mutator)
        before, self._before = self._before, []
        then = mutator.mutate(branch.then_case)
        otherwise = branch.else_case and mutator.mutate(branch.else_case)
        self._before = before
        return self._after_others(tirx.IfThenElse(condition, then, otherwise))

    def _after_others(self, *statements: tirx.Stmt) -> tirx.Stmt:
        before, self._before = self._before, []
        return loops.sequence(*before, *statements)

    def _call(self, call: ir.Call, mutator: Any) -> Any:
        if not is_choice(call):
            return mutator.default_mutate(call)
        condition, *branches = call.args
        condition = mutator.mutate(condition)
        # What is in a branch is computed there only.
        branches = [self._whole(branch, mutator, is_repeated=True) for branch in branches]
        return ir.Call(call.op, [condition, *branches], ret_ty=call.ty)

    def _whole(self, expression: Any, mutator: Any, is_repeated: bool = False) -> Any:
        """Return an expression without its variables, which come before the statement.

        With `is_repeated`, which is for what the statement does not compute exactly once, they are
        in the expression, none in the value of another.
        """
        outer, self._lets = self._lets, []
        new = mutator.mutate(expression)
        lets, self._lets = self._lets, outer
        if not is_repeated:
            for variable, value, is_long in lets:
                self._before += _bound(variable, value, is_long)
            return new
        for variable, value, is_long in reversed(lets):
            if not is_long:
                new = tirx.Let(variable, value, new)
                continue
            cell = _cell(variable)
            self._before.append(tirx.AllocBuffer(cell))
            new = tirx.Let(variable, tirx.BufferLoad(cell, [_ZERO]), new)
            new = tirx.Let(tirx.Var("stored", "int32"), self._puts.call(cell, value), new)
        return new

    def _let(self, let: tirx.Let, mutator: Any) -> Any:
        if self._lets is None:
            return mutator.default_mutate(let)
        value = mutator.mutate(let.value)
        variable = tirx.Var(let.var.name, let.var.ty)
        self._lets.append((variable, value, self._is_long(variable, value)))
        outer = self._names.get(let.var, let.var)
        self._names[let.var] = variable
        body = mutator.mutate(let.body)
        self._names[let.var] = outer
        return body

    def _is_long(self, variable: tirx.Var, value: Any) -> bool:
        """Whether a variable's value is to be in a cell; what the variable stands for is noted."""
        is_put = isinstance(value, ir.Call) and isinstance(value.op, ir.GlobalVar)
        dtype = str(value.ty) if isinstance(value.ty, ir.PrimType) else "handle"
        fits = dtype != "handle" and not dtype.startswith("boolx")  # whose lanes are bits
        size = self._size(value)
        is_long = size > _MOST_NODES and fits and not is_put
        self._sizes[variable] = 1 if is_long or is_put else size
        return is_long

    def _size(self, value: Any) -> int:
        """Return the number of nodes of a value, with those of its variables' values."""
        size = 0

        def see(node: Any, visitor: Any) -> None:
            nonlocal size
            size += self._sizes.get(node, 1) if isinstance(node, tirx.Var) else 1
            visitor.default_visit(node)

        structural_visit(value, [(ir.Expr, see)])
        return size


def _cell(variable: tirx.Var) -> tirx.Var:
    return tirx.decl_buffer((1,), str(variable.ty), variable.name)


def _bound(variable: tirx.Var, value: Any, is_long: bool) -> list[tirx.Stmt]:
    """Return what defines a variable."""
    if not is_long:
        return [tirx.Bind(variable, value)]
    cell = _cell(variable)
    return [
        tirx.AllocBuffer(cell),
        tirx.BufferStore(cell, value, [_ZERO]),
        tirx.Bind(variable, tirx.BufferLoad(cell, [_ZERO])),
    ]
