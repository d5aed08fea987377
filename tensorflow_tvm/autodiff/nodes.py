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
"""Scalar expressions of TE: reading them, and making tidy ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tvm import ir, te, tirx
from tvm.ir import prim
from tvm_ffi.structural import structural_equal, structural_mutate, structural_walk

_LOAD = "te.tensor_load"
_INTEGER_OPERATIONS = (
    *(prim.Add, prim.Sub, prim.Mul, prim.FloorDiv, prim.FloorMod, prim.Div, prim.Mod),
    *(prim.Min, prim.Max, prim.EQ, prim.NE, prim.LT, prim.LE, prim.GT, prim.GE, prim.And, prim.Or),
)


def is_load(expression: Any) -> bool:
    """Whether `expression` reads an element of a tensor."""
    return isinstance(expression, ir.Call) and getattr(expression.op, "name", "") == _LOAD


def name_of(call: ir.Call) -> str:
    """Return what a call calls, without the dialect it comes from; empty if it has no name."""
    return getattr(call.op, "name", "").rpartition(".")[2]


def loads(expression: Any) -> list[ir.Call]:
    """Return the reads of tensors in an expression."""
    found: list[ir.Call] = []
    structural_walk(expression, [(ir.Call, lambda c: found.append(c) if is_load(c) else None)])
    return found


def variables(expression: Any) -> list[tirx.Var]:
    """Return the variables in an expression."""
    found: list[tirx.Var] = []
    structural_walk(expression, [(tirx.Var, found.append)])
    return found


def in_remainders(expression: Any) -> list[tirx.Var]:
    """Return the variables of which an expression takes remainders."""
    found: list[tirx.Var] = []
    structural_walk(expression, [(prim.FloorMod, lambda mod: found.extend(variables(mod.a)))])
    return found


def uses(expression: Any, variable: tirx.Var) -> bool:
    """Whether `variable` is in an expression."""
    return any(variable.same_as(other) for other in variables(expression))


def is_float(dtype: Any) -> bool:
    """Whether a dtype is one that has gradients."""
    return "float" in str(dtype)


def is_same(a: Any, b: Any) -> bool:
    """Whether two expressions are the same, as far as can be seen."""
    if a.same_as(b):
        return True
    try:
        return bool(structural_equal(a, b))
    except TypeError:  # TVM does not compare tensors
        return False


def is_same_tensor(a: te.Tensor, b: te.Tensor) -> bool:
    """Whether two tensors are the same output of the same operation."""
    return a.op.same_as(b.op) and int(a.value_index) == int(b.value_index)


def choices(expression: Any) -> list[Any]:
    """Return the parts of an expression that are one of two others."""
    found: list[Any] = []

    def see_call(call: ir.Call) -> None:
        if name_of(call) == "if_then_else":
            found.append(call)

    kinds = (prim.Select, prim.Min, prim.Max)
    structural_walk(expression, [(ir.Call, see_call), *((kind, found.append) for kind in kinds)])
    return found


def branches_of(choice: Any) -> tuple[Any, Any, Any]:
    """Return a choice's condition, and what it is if that holds and if not."""
    if isinstance(choice, prim.Min):
        return choice.a <= choice.b, choice.a, choice.b
    if isinstance(choice, prim.Max):
        return choice.a >= choice.b, choice.a, choice.b
    if isinstance(choice, prim.Select):
        return choice.condition, choice.true_value, choice.false_value
    return tuple(choice.args)


def replace(expression: Any, part: Any, other: Any) -> Any:
    """Return an expression with one of its parts replaced."""

    def see(node: Any, mutator: Any) -> Any:
        return other if node.same_as(part) else mutator.default_mutate(node)

    return structural_mutate(expression, [(type(part), see)])


def number_of(expression: Any) -> int | float | None:
    """Return the number that a constant is; None if it is none."""
    if isinstance(expression, prim.Cast):
        return number_of(expression.value)
    if isinstance(expression, (tirx.IntImm, tirx.FloatImm)):
        return expression.value
    return None


def size_of(extent: Any) -> int | None:
    """Return an extent, None where it is a symbol."""
    return int(extent.value) if isinstance(extent, tirx.IntImm) else None


def const(value: float, like: Any) -> Any:
    """Return a constant with the dtype of `like`."""
    return tirx.const(value, str(like.ty))


def zero(like: Any) -> Any:
    """Return 0 with the dtype of `like`."""
    return const(0, like)


def add(a: Any, b: Any) -> Any:
    """Return a + b."""
    if number_of(a) == 0:
        return b
    return a if number_of(b) == 0 else a + b


def neg(a: Any) -> Any:
    """Return -a."""
    value = number_of(a)
    return const(-1, a) * a if value is None else const(-value, a)


def mul(a: Any, b: Any) -> Any:
    """Return a * b."""
    x, y = number_of(a), number_of(b)
    if x == 0 or y == 1:
        return a
    if y == 0 or x == 1:
        return b
    if x is not None and y is not None and math.isfinite(x * y):
        return const(x * y, a)
    return a * b


def div(a: Any, b: Any) -> Any:
    """Return a / b."""
    return a if number_of(a) == 0 or number_of(b) == 1 else tirx.div(a, b)


def select(condition: Any, a: Any, b: Any) -> Any:
    """Return a where `condition` holds, b elsewhere; both are computed."""
    return a if is_same(a, b) else tirx.Select(condition, a, b)


def is_nan(value: Any) -> Any:
    """Return whether a float is NaN. To TVM, each number is equal to itself."""
    is_wide = str(value.ty) in ("float32", "float64")
    return tirx.isnan(value if is_wide else cast(value, "float32"))


def guarded(conditions: list[Any], value: Any) -> Any:
    """Return `value`, which is only computed where all `conditions` hold, and else 0."""
    if not conditions or number_of(value) == 0:
        return value
    return tirx.if_then_else(tirx.all(*conditions), value, zero(value))


def cast(value: Any, dtype: str) -> Any:
    """Return `value` as another dtype."""
    return value if str(value.ty) == dtype else value.astype(dtype)


def substitute(expression: Any, values: Mapping[tirx.Var, Any], tidy: Callable) -> Any:
    """Return `expression` with variables replaced, and what `tidy` makes of indices of reads."""
    # By address, for those that are there more than once.
    seen: dict[int, tuple[Any, Any]] = {}
    seen_indices: dict[int, tuple[Any, Any]] = {}

    def see_variable(variable: tirx.Var, mutator: Any) -> Any:
        value = values.get(variable)
        return variable if value is None else cast(value, str(variable.ty))

    def see(node: Any, mutator: Any) -> Any:
        key = hash(node)
        if key not in seen:
            seen[key] = node, see_once(node, mutator)
        return seen[key][1]

    def see_once(node: Any, mutator: Any) -> Any:
        if not is_load(node):
            return mutator.default_mutate(node)
        tensor, *indices = node.args
        return load(tensor, [tidied(index, mutator) for index in indices])

    def tidied(index: Any, mutator: Any) -> Any:
        key = hash(index)
        if key not in seen_indices:
            seen_indices[key] = index, tidy(mutator.mutate(index))
        return seen_indices[key][1]

    return structural_mutate(
        expression, [(tirx.Var, see_variable), (ir.Call, see), (prim.Select, see)]
    )


def load(tensor: te.Tensor, indices: list[Any]) -> Any:
    """Return the read of an element."""
    return tensor(*indices)


def retype(expression: Any, dtype: str, values: Mapping[tirx.Var, Any]) -> Any:
    """Return an expression of integers, computed in `dtype`, with variables replaced."""

    def convert(part: Any) -> Any:
        if isinstance(part, tirx.IntImm):
            return part if str(part.ty) == "bool" else tirx.const(part.value, dtype)
        if isinstance(part, tirx.Var):
            return cast(values.get(part, part), dtype)
        if isinstance(part, prim.Cast) and _is_integer(part) and _is_integer(part.value):
            return convert(part.value)
        if isinstance(part, prim.Not):
            return prim.Not(convert(part.a))
        if isinstance(part, _INTEGER_OPERATIONS) and _is_integer(part.a):
            return type(part)(convert(part.a), convert(part.b))
        if isinstance(part, prim.Select):
            return prim.Select(
                convert(part.condition), convert(part.true_value), convert(part.false_value)
            )
        if isinstance(part, ir.Call) and name_of(part) == "likely":
            return convert(part.args[0])
        # What else there is reads data, and keeps its own types.
        part = structural_mutate(
            part, [(tirx.Var, lambda v, _: cast(values[v], str(v.ty)) if v in values else v)]
        )
        return cast(part, dtype) if _is_integer(part) and str(part.ty) != "bool" else part

    return convert(expression)


def _is_integer(expression: Any) -> bool:
    return "int" in str(expression.ty) or str(expression.ty) == "bool"
