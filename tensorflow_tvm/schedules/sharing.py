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
"""Parts of an element that are there several times, which are computed once.

Fusion puts an expression in the place of each read of the tensor. TVM takes more than twice as long
to simplify twice as much, and very long for choices between values that their condition is about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tvm import ir, tirx
from tvm_ffi.structural import (
    structural_equal,
    structural_hash,
    structural_mutate,
    structural_visit,
)

from tensorflow_tvm.schedules import loops, operations
from tensorflow_tvm.schedules.stages import count_nodes, substitute
from tensorflow_tvm.vectors import is_choice

_LEAST_NODES = 8  # that are worth it
_NUMBERS = ("int", "uint", "float", "bfloat")


class Scratch:
    """Memory for the parts of elements that are computed at once; see `rewrite`.

    Attributes
    ----------
    lanes : int
        How many elements that are.
    """

    def __init__(self, lanes: int = 1) -> None:
        self.lanes = lanes
        self._buffers: list[tirx.Var] = []

    def around(self, body: tirx.Stmt) -> tirx.Stmt:
        """Return `body`, which uses the memory, and what allocates it."""
        return loops.sequence(*map(tirx.AllocBuffer, self._buffers), body)

    def rewrite(
        self, values: Sequence[Any], lane: Any, old: Sequence[tirx.Var] = ()
    ) -> tuple[list[tirx.Stmt], list[Any]]:
        """Return what computes the parts that `values` have in common, and `values` with those.

        Parameters
        ----------
        values
            The values of an element.
        lane
            Which element it is of those that are computed at once.
        old
            Tensors that no part may depend on.
        """
        parts, values = _split(values, list(old))
        statements: list[tirx.Stmt] = []
        reads: dict[tirx.Var, Any] = {}
        for variable, part in parts:
            buffer = self._buffer(len(reads), str(variable.ty))
            statements.append(tirx.BufferStore(buffer, substitute(part, reads), [lane]))
            reads[variable] = tirx.BufferLoad(buffer, [lane])
        return statements, [substitute(value, reads) for value in values]

    def _buffer(self, number: int, dtype: str) -> tirx.Var:
        if number == len(self._buffers):
            self._buffers.append(tirx.decl_buffer((self.lanes,), dtype, "part"))
        return self._buffers[number]


@dataclasses.dataclass
class _Part:
    node: Any
    count: int = 1  # of the places that it is in, each of those counted once
    outside: bool = False  # of all branches, in one of them


def _split(values: Sequence[Any], old: list[tirx.Var]) -> tuple[list[tuple[tirx.Var, Any]], list]:
    """Return the parts that `values` have in common, each with a name, and `values` with names.

    A part may have the names of those before it.
    """
    shared = {
        number: (part, tirx.Var("part", str(part.node.ty)))
        for number, part in enumerate(_parts(values))
        if _is_worth_it(part, old)
    }
    if not shared:
        return [], list(values)
    names: dict[int, list[tuple[Any, tirx.Var]]] = {}

    def see(node: Any, mutator: Any) -> Any:
        if isinstance(node, ir.TensorLoad):
            return node
        for other, name in names.get(structural_hash(node), ()):
            if structural_equal(node, other):
                return name
        return mutator.default_mutate(node)

    parts = []
    for part, name in shared.values():
        parts.append((name, structural_mutate(part.node, [(ir.Expr, see)])))
        names.setdefault(structural_hash(part.node), []).append((part.node, name))
    return parts, [structural_mutate(value, [(ir.Expr, see)]) for value in values]


def _is_worth_it(part: _Part, old: list[tirx.Var]) -> bool:
    return (
        part.count > 1
        and part.outside
        and str(part.node.ty).startswith(_NUMBERS)
        and count_nodes(part.node) >= _LEAST_NODES
        and not operations.reads_any(part.node, old)
    )


def _parts(values: Sequence[Any]) -> list[_Part]:
    """Return all parts of `values`, each after its own parts.

    Those of a tensor's indices are none: vectors are read from indices that are known to be
    neighbours.
    """
    found: dict[int, list[_Part]] = {}
    ordered: list[_Part] = []
    depth = 0  # of branches around what is seen

    def enter(node: Any) -> _Part | None:
        """Return a part that is new, None for one that has been seen, which is counted."""
        same = found.setdefault(structural_hash(node), [])
        for part in same:
            if structural_equal(part.node, node):
                part.count += 1
                part.outside = part.outside or not depth
                return None
        same.append(_Part(node, outside=not depth))
        return same[-1]

    def see(node: Any, visitor: Any) -> None:
        part = enter(node)
        if part is not None:
            visitor.default_visit(node)
            ordered.append(part)

    def branches(node: Any, condition: Any, others: Sequence[Any], visitor: Any) -> None:
        nonlocal depth
        part = enter(node)
        if part is None:
            return
        visitor.visit(condition)
        depth += 1
        for other in others:
            visitor.visit(other)
        depth -= 1
        ordered.append(part)

    def see_select(node: tirx.Select, visitor: Any) -> None:
        branches(node, node.condition, [node.true_value, node.false_value], visitor)

    def see_call(node: ir.Call, visitor: Any) -> None:
        if is_choice(node):
            branches(node, node.args[0], node.args[1:], visitor)
        else:
            see(node, visitor)

    handlers = [
        (ir.TensorLoad, lambda node, visitor: None),
        (tirx.Var, lambda node, visitor: None),
        (tirx.Select, see_select),
        (ir.Call, see_call),
        (ir.Expr, see),
    ]
    for value in values:
        structural_visit(value, handlers)
    return ordered
