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

from typing import Any

from tvm import tirx
from tvm_ffi.structural import structural_mutate, structural_walk

from tensorflow_tvm.guards import markers


@tirx.transform.prim_func_pass(opt_level=0, name="tensorflow_tvm.ChecksFirst")
def checks_first(function: tirx.PrimFunc, _module: Any, _context: Any) -> tirx.PrimFunc:
    def see(sequence: tirx.SeqStmt, mutator: Any) -> tirx.Stmt:
        statements = [mutator.mutate(statement) for statement in sequence.seq]
        checks = [i for i, s in enumerate(statements) if isinstance(s, tirx.AssertStmt)]
        if not checks:
            return tirx.SeqStmt(statements)
        ordered: list[tirx.Stmt] = []
        waiting: list[tirx.AllocBuffer] = []
        for statement in statements[: checks[-1] + 1]:
            if isinstance(statement, tirx.AllocBuffer):
                waiting.append(statement)
                continue
            if _mentions(statement, [allocation.buffer for allocation in waiting]):
                ordered += waiting
                waiting = []
            ordered.append(statement)
        return tirx.SeqStmt([*ordered, *waiting, *statements[checks[-1] + 1 :]])

    return function.with_body(structural_mutate(function.body, [(tirx.SeqStmt, see)]))


def _mentions(statement: tirx.Stmt, buffers: list[tirx.Var]) -> bool:
    found: list[bool] = []
    structural_walk(
        statement, [(tirx.Var, lambda var: found.append(any(map(var.same_as, buffers))))]
    )
    return any(found)


@tirx.transform.prim_func_pass(opt_level=0, name="tensorflow_tvm.TotalDivisions")
def total_divisions(function: tirx.PrimFunc, _module: Any, _context: Any) -> tirx.PrimFunc:
    def see(node: Any, mutator: Any) -> Any:
        a, b = mutator.mutate(node.a), mutator.mutate(node.b)
        if isinstance(b, tirx.IntImm) and b.value not in (0, -1):
            return type(node)(a, b)
        if not str(b.ty).startswith(("int", "uint")):
            return type(node)(a, b)
        return type(node)(a, markers.total_divisor(b, a))

    kinds = [(tirx.Div, see), (tirx.Mod, see)]
    return function.with_body(structural_mutate(function.body, kinds))
