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
"""Long formulas, computed in parts.

The derivative of f(f(f(x))) has each part of it again for each that is further out, and a formula
that has a part twice has the part's parts four times. Each part that is a tensor of its own is
derived once.
"""

from __future__ import annotations

from typing import Any

from tvm import ir, te, tirx
from tvm.ir import prim

from tensorflow_tvm.autodiff import nodes

_LONG = 48  # operations of a formula that is divided
_PART = 24  # those of a part that is a tensor
_SHARED = 8  # those of one that is needed more than once

_BINARY = (
    *(prim.Add, prim.Sub, prim.Mul, prim.Div, prim.Min, prim.Max),
    *(prim.EQ, prim.NE, prim.LT, prim.LE, prim.GT, prim.GE, prim.And, prim.Or),
)
_NOT_HERE = ("if_then_else", "likely")  # they guard what they read


def in_parts(tensor: te.Tensor) -> te.Tensor:
    """Return `tensor`, or one that computes the same of tensors that are parts of its formula."""
    op = tensor.op
    if not isinstance(op, te.ComputeOp) or len(op.body) != 1:
        return tensor
    (body,) = op.body
    if isinstance(body, tirx.Reduce):
        return tensor
    parts = _Parts(tensor)
    if parts.length(body) <= _LONG:
        return tensor
    return parts.tensor(parts.rewrite(body, True), op.name)


class _Parts:
    def __init__(self, tensor: te.Tensor) -> None:
        self._shape = tensor.shape
        self._axes = [axis.var for axis in tensor.op.axis]
        # By address. What formulas are made of is alive as long as they are.
        self._lengths: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._rewritten: dict[int, tuple[Any, int]] = {}

    def length(self, node: Any) -> int:
        """Return how many operations an expression has, each counted as often as it is there."""
        key = hash(node)
        self._uses[key] = self._uses.get(key, 0) + 1
        if key not in self._lengths:
            self._lengths[key] = 1 + sum(map(self.length, _operands(node)))
        return self._lengths[key]

    def rewrite(self, node: Any, is_whole: bool = False) -> Any:
        """Return an expression that reads its parts from tensors."""
        return self._rewrite(node, is_whole)[0]

    def _rewrite(self, node: Any, is_whole: bool = False) -> tuple[Any, int]:
        key = hash(node)
        if key in self._rewritten:
            return self._rewritten[key]
        operands = _operands(node)
        found = [self._rewrite(operand) for operand in operands]
        length = 1 + sum(length for _, length in found)
        new = node
        if any(not a.same_as(b) for a, (b, _) in zip(operands, found, strict=True)):
            new = _with_operands(node, [operand for operand, _ in found])
        most = _SHARED if self._uses[key] > 1 else _PART
        if not is_whole and operands and length >= most and nodes.is_float(node.ty):
            new, length = self.tensor(new, "part")(*self._axes), 1
        self._rewritten[key] = new, length
        return new, length

    def tensor(self, body: Any, name: str) -> te.Tensor:
        """Return what computes `body` for each element."""

        def element(*at: Any) -> Any:
            return nodes.substitute(body, dict(zip(self._axes, at, strict=True)), lambda i: i)

        return te.compute(self._shape, element, name=name)


def _operands(node: Any) -> list[Any]:
    """Return what an operation is of, if it computes all of that for each element."""
    if isinstance(node, _BINARY):
        return [node.a, node.b] if _computes(node.a) else []
    if isinstance(node, prim.Select):
        # A condition on indices may be one under which there is something to read.
        if not nodes.loads(node.condition):
            return []
        return [node.condition, node.true_value, node.false_value]
    if isinstance(node, prim.Not):
        return [node.a]
    if isinstance(node, prim.Cast):
        return [node.value] if _computes(node.value) else []
    if isinstance(node, ir.Call) and not nodes.is_load(node):
        if nodes.name_of(node) not in _NOT_HERE and nodes.is_float(node.ty):
            return list(node.args) if all(map(_computes, node.args)) else []
    return []


def _computes(node: Any) -> bool:
    return nodes.is_float(node.ty) or str(node.ty) == "bool"


def _with_operands(node: Any, operands: list[Any]) -> Any:
    if isinstance(node, prim.Cast):
        return operands[0].astype(str(node.ty))
    if isinstance(node, ir.Call):
        return tirx.call_intrin(str(node.ty), node.op, *operands)
    return type(node)(*operands)
