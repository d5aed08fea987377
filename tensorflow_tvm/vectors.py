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
"""Expressions that are scalars, or vectors of as many lanes as others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tvm import ir, tirx

_PURE = 1  # CallEffectKind.Pure
_VECTOR = re.compile(r"([a-z_]+[0-9]+)(?:x([0-9]+))?")


def register(name: str) -> str:
    """Register an operator of scalars or vectors with TVM, whose passes know nothing else of it."""
    for key, value in (("TVectorizable", True), ("TCallEffectKind", _PURE)):
        ir.register_op_attr(name, key, value)
    ir.register_op_attr(name, "TScriptPrinterName", name)
    return name


def split(value: Any) -> tuple[str, int]:
    """Return the dtype of an expression's elements and how many there are; 0 if it has none."""
    found = _VECTOR.fullmatch(str(value.ty))
    return (found[1], int(found[2] or 1)) if found else ("", 0)


def like(dtype: str, value: Any) -> str:
    """Return `dtype` with as many lanes as `value` has."""
    _, _, lanes = str(value.ty).partition("x")
    return f"{dtype}x{lanes}" if lanes else dtype


def convert(value: Any, dtype: str) -> Any:
    """Return `value` as elements of another dtype."""
    return value.astype(like(dtype, value))


def const(number: float, value: Any) -> Any:
    """Return a constant with the dtype and the lanes of `value`."""
    return tirx.const(number, str(value.ty))


def let(value: Any, body: Callable[[Any], Any]) -> Any:
    """Return `body` of a value that is computed once."""
    if isinstance(value, (tirx.Var, tirx.FloatImm, tirx.IntImm)):
        return body(value)
    var = tirx.Var("t", str(value.ty))
    return tirx.Let(var, value, body(var))


def is_choice(call: Any) -> bool:
    """Whether a call is `if_then_else`, which computes one of two values only."""
    return getattr(call.op, "name", "").endswith(".if_then_else") and len(call.args) == 3


def select(condition: Any, a: Any, b: Any) -> Any:
    """Return a where `condition` holds, else b; as vectors if the condition is one."""
    _, _, lanes = str(condition.ty).partition("x")
    if lanes:
        a, b = (v if "x" in str(v.ty) else tirx.Broadcast(v, int(lanes)) for v in (a, b))
    return tirx.Select(condition, a, b)
