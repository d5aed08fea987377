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
"""NaN where TVM loses it: in maxima and minima, comparisons, signs, and rounding to bfloat16.

TVM's maximum of floats is the second operand where either is NaN; TensorFlow's is NaN. pipeline.py
calls this where TVM has lowered all the rest: TVM finds reductions, and simplifies indices, by its
own nodes. Only comparisons are hidden from it, since it takes floats for real numbers.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import ir, s_tir, tirx
from tvm.ir import prim
from tvm_ffi.structural import structural_equal, structural_mutate

from tensorflow_tvm.schedules import vector_math
from tensorflow_tvm.vectors import const, let, like, register, select, split

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_HIDDEN = {
    tirx.LT: register("tensorflow_tvm.less"),
    tirx.LE: register("tensorflow_tvm.less_equal"),
    tirx.GT: register("tensorflow_tvm.greater"),
    tirx.GE: register("tensorflow_tvm.greater_equal"),
    tirx.EQ: register("tensorflow_tvm.equal"),
    tirx.NE: register("tensorflow_tvm.not_equal"),
}
_SHOWN = {name: kind for kind, name in _HIDDEN.items()}
_HALF = 0x7FFF  # half of the last bit that bfloat16 has of float32, less one
_QUIET = 0x40  # a bit of bfloat16's NaN


def is_float(value: Any) -> bool:
    """Whether an expression is a float, or a vector of floats."""
    return split(value)[0] in _FLOATS


def extreme(node: Any, a: Any, b: Any) -> Any:
    """Return the maximum or minimum `node` of operands that have been lowered.

    One selection keeps a NaN of one operand, and takes no longer than TVM's code. That is all there
    is to do if the other one is a constant, as in ReLU.
    """
    if not is_float(a):
        return node if a.same_as(node.a) and b.same_as(node.b) else type(node)(a, b)
    is_better = tirx.LT if isinstance(node, tirx.Max) else tirx.GT

    def kept(a: Any, b: Any) -> Any:
        return select(is_better(a, b), b, a)

    if _is_number(b):
        return let(a, lambda a: kept(a, b))
    if _is_number(a):
        return let(b, lambda b: kept(b, a))
    # Of a reduction's step, the first operand is the accumulator: only a selection waits for it.
    return let(a, lambda a: let(b, lambda b: select(tirx.EQ(b, b), kept(a, b), b)))


def _is_number(value: Any) -> bool:
    """Whether a float is never NaN."""
    number = _number(value)
    if number is not None:
        return not math.isnan(number)
    return isinstance(value, tirx.Cast) and "float" not in str(value.value.ty)


def hide_comparisons(body: tirx.Stmt) -> tirx.Stmt:
    """Return `body` with comparisons of floats as calls, which TVM does not reason about.

    To TVM, what is not less is greater or equal, and each number is equal to itself.
    """

    def see(node: Any, mutator: Any) -> Any:
        node = mutator.default_mutate(node)
        if not is_float(node.a):
            return node
        return tirx.call_intrin(like("bool", node.a), _HIDDEN[type(node)], node.a, node.b)

    return structural_mutate(body, [(kind, see) for kind in _HIDDEN])


def comparison(call: ir.Call) -> Any:
    """Return the comparison that a call hides; None if it is another one."""
    kind = _SHOWN.get(getattr(call.op, "name", ""))
    if kind is tirx.NE:
        return tirx.Not(tirx.EQ(*call.args))  # TVM's own is false for NaN
    return kind and kind(*call.args)


def keep_in_signs(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return `function` with NaN for the sign of NaN, where it computes `topi.sign` or Relax's."""

    def see(block: s_tir.SBlock, mutator: Any) -> Any:
        block = mutator.default_mutate(block)
        if not block.name_hint.startswith("T_sign"):  # as both call their step
            return block
        handlers = [(kind, lambda node, _: _sign(node)) for kind in (tirx.Select, ir.Call)]
        return structural_mutate(block, handlers)

    return function.with_body(structural_mutate(function.body, [(s_tir.SBlock, see)]))


def _sign(node: Any) -> Any:
    """Return `topi.sign` as the choice of 1 for positive x, -1 for negative x, and else x."""
    outer = _parts(node)
    inner = outer and _parts(outer[2])
    if not inner or _number(inner[2]) != 0 or not is_float(node):
        return node
    signs = (_number(outer[1]), _number(inner[1]))
    if signs not in ((1, -1), (-1, 1)):
        return node
    x, y = (_compared(part[0], number) for part, number in zip((outer, inner), signs, strict=True))
    if x is None or y is None or str(x.ty) != str(node.ty) or not structural_equal(x, y):
        return node
    return tirx.Select(outer[0], outer[1], tirx.Select(inner[0], inner[1], x))


def _parts(node: Any) -> tuple[Any, ...]:
    """Return a choice's condition, and what it is if that holds and if not; () if it is none."""
    if isinstance(node, tirx.Select):
        return node.condition, node.true_value, node.false_value
    if _is_call(node, "if_then_else"):
        return tuple(node.args)
    return ()


def _number(value: Any) -> float | None:
    """Return the number that a constant is; None if it is none."""
    if isinstance(value, tirx.Broadcast):
        return _number(value.value)
    return float(value.value) if isinstance(value, (tirx.FloatImm, tirx.IntImm)) else None


def _compared(condition: Any, number: float) -> Any:
    """Return what a condition says has the sign of `number`; None if it says something else."""
    if not isinstance(condition, (tirx.LT, tirx.GT)):
        return None
    less, greater = condition.a, condition.b
    if isinstance(condition, tirx.GT):
        less, greater = greater, less
    zero, x = (less, greater) if number > 0 else (greater, less)
    return x if _number(zero) == 0 else None


def rounded_to_bfloat16(node: tirx.Cast) -> Any:
    """Return the float32 of which a cast makes the bits of a bfloat16; None if it makes others.

    It is computed twice in TVM's expression, and so in one of others as often as there are subsets.
    """
    shift = node.value
    total = shift.a if isinstance(shift, prim.RShift) else None
    bits = total.a if isinstance(total, tirx.Add) else None
    if split(node)[0] != "uint16" or not _is_call(bits, "reinterpret"):
        return None
    is_rounding = isinstance(total.b, tirx.Add) and _number(total.b.b) == _HALF
    return bits.args[0] if is_rounding and split(bits.args[0])[0] == "float32" else None


def _is_call(node: Any, name: str) -> bool:
    return isinstance(node, ir.Call) and vector_math.name_of(node) == name


def bits_of_bfloat16(value: Any) -> Any:
    """Return the bits of the bfloat16 next to a float32; TVM's are those of 0 for some NaNs."""

    def of_bits(value: Any, bits: Any) -> Any:
        def number(number: int) -> Any:
            return const(number, bits)

        high = bits >> number(16)
        rounded = (bits + (high & number(1)) + number(_HALF)) >> number(16)
        chosen = select(tirx.EQ(value, value), rounded, high | number(_QUIET))
        return chosen.astype(like("uint16", value))

    return let(
        value, lambda v: let(tirx.reinterpret(like("uint32", v), v), lambda b: of_bits(v, b))
    )
