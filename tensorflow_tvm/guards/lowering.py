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
"""The last steps of lowering, in which TVM's own passes may have undone what guards do.

TVM moves allocations of memory, and computations that loops share, to where they are reached before
the conditions of a call have been checked. Here the conditions come first again, and whatever
divides integers does not trap, wherever it has been moved to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import ir, tirx
from tvm_ffi.structural import structural_mutate, structural_walk

from tensorflow_tvm.guards import markers, sizes
from tensorflow_tvm.vectors import let

_MOST_NODES = 160  # of an operand that is written out several times


@tirx.transform.prim_func_pass(opt_level=0, name="tensorflow_tvm.ChecksFirst")
def checks_first(function: tirx.PrimFunc, _module: Any, _context: Any) -> tirx.PrimFunc:
    """Have conditions before the allocations that TVM has moved to where they are checked."""

    def see(sequence: tirx.SeqStmt, mutator: Any) -> tirx.Stmt:
        return tirx.SeqStmt(_with_checks_first([mutator.mutate(s) for s in sequence.seq]))

    return function.with_body(structural_mutate(function.body, [(tirx.SeqStmt, see)]))


def _with_checks_first(statements: list[tirx.Stmt]) -> list[tirx.Stmt]:
    """Return statements with the assertions that they begin with before allocations."""
    begin = 0
    for i, statement in enumerate(statements):
        if isinstance(statement, tirx.AssertStmt):
            begin = i + 1
        elif not isinstance(statement, (tirx.AllocBuffer, tirx.DeclBuffer, tirx.Bind)):
            break
    early: list[tirx.Stmt] = []
    late: list[tirx.Stmt] = []
    allocated: list[tirx.Var] = []
    for statement in statements[:begin]:
        if isinstance(statement, tirx.AllocBuffer) or sizes.mentions(statement, allocated):
            late.append(statement)
            allocated.extend(_defined_by(statement))
        else:
            early.append(statement)
    rest = statements[begin:]
    if late and len(rest) == 1 and isinstance(rest[0], tirx.IfThenElse) and not rest[0].else_case:
        # A call that has nothing to compute needs no memory.
        rest = [tirx.IfThenElse(rest[0].condition, tirx.SeqStmt([*late, rest[0].then_case]), None)]
        late = []
    return [*early, *late, *rest]


def _defined_by(statement: tirx.Stmt) -> list[tirx.Var]:
    return [statement.var if isinstance(statement, tirx.Bind) else statement.buffer]


@tirx.transform.prim_func_pass(opt_level=0, name="tensorflow_tvm.TotalDivisions")
def total_divisions(function: tirx.PrimFunc, _module: Any, _context: Any) -> tirx.PrimFunc:
    """Have no integer division that traps; conversions of integers are shown to TVM again."""

    def see(node: Any, mutator: Any) -> Any:
        a, b = mutator.mutate(node.a), mutator.mutate(node.b)
        if isinstance(b, tirx.IntImm) and b.value not in (0, -1):
            return type(node)(a, b)
        if not str(b.ty).startswith(("int", "uint")):
            return type(node)(a, b)
        return _once(a, lambda a: _once(b, lambda b: type(node)(a, markers.total_divisor(b, a))))

    def see_call(call: ir.Call, mutator: Any) -> Any:
        return markers.lower_wrapping_cast(mutator.default_mutate(call))

    handlers = [(tirx.Div, see), (tirx.Mod, see), (ir.Call, see_call)]
    return function.with_body(structural_mutate(function.body, handlers))


def _once(value: Any, body: Callable[[Any], Any]) -> Any:
    """Return ``body(value)``, in which a long value is a variable.

    A short one is not: TVM has variables of its own in several places, and their values must be the
    same to the last node there.
    """
    nodes: list[Any] = []
    structural_walk(value, [(ir.Expr, nodes.append)])
    return let(value, body) if len(nodes) > _MOST_NODES else body(value)
