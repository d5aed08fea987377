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
"""Quotients and remainders of what counts down, written out.

TVM 0.27 lays tensors out in memory by `sym.iter_map_simplify`, which makes (7 - i) // 3 something
else. It does not look into what is rounded towards zero.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.ir import prim
from tvm_ffi.structural import structural_mutate, structural_walk


def rewrite(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return `function` with those divisions written out that TVM would make others of."""

    def see(node: Any, mutator: Any) -> Any:
        a, b = mutator.mutate(node.a), mutator.mutate(node.b)
        if not (_goes_down(node.a) or _is_negative(node.b)) or "int" not in str(node.ty):
            return node if a.same_as(node.a) and b.same_as(node.b) else type(node)(a, b)
        return _written_out(type(node), a, b)

    return function.with_body(
        structural_mutate(function.body, [(prim.FloorDiv, see), (prim.FloorMod, see)])
    )


def _goes_down(expression: Any) -> bool:
    """Whether something is subtracted in an expression that is no number."""
    found: list[bool] = []
    structural_walk(
        expression,
        [
            (prim.Sub, lambda node: found.append(not isinstance(node.b, tirx.IntImm))),
            (prim.Mul, lambda node: found.append(_is_negative(node.a) or _is_negative(node.b))),
        ],
    )
    return any(found)


def _is_negative(expression: Any) -> bool:
    return isinstance(expression, tirx.IntImm) and expression.value < 0


def _written_out(kind: type, a: Any, b: Any) -> Any:
    """Return a quotient or a remainder, which are rounded down, by those rounded to zero."""
    rest = prim.Mod(a, b)
    zero = tirx.const(0, str(rest.ty))
    if isinstance(b, tirx.IntImm):
        is_exact = rest <= zero if b.value < 0 else rest >= zero
    else:
        is_exact = tirx.any(tirx.all(rest >= zero, b > zero), tirx.all(rest <= zero, b < zero))
    if kind is prim.FloorMod:
        return tirx.Select(is_exact, rest, rest + b)
    quotient = prim.Div(a, b)
    return tirx.Select(is_exact, quotient, quotient - tirx.const(1, str(rest.ty)))
