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
"""Pure ops that mark what depends on data, until the function is scheduled and they are expanded.

A schedule treats them like any function of their argument, so that what is guarded is fused and
vectorized like everything else. Afterwards a checked divisor becomes an assertion before the
statement that divides; a conversion that saturates becomes comparisons after TVM's own passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import ir, s_tir, tirx
from tvm_ffi.structural import structural_mutate, structural_visit, structural_walk

from tensorflow_tvm.vectors import const, is_choice, let, like, register, select, split

_CHECKED_DIVISOR = ir.Op.get(register("tensorflow_tvm.checked_divisor"))
_SATURATING_CAST = ir.Op.get(register("tensorflow_tvm.saturating_cast"))
# TVM takes conversions of integers for exact, and what depends on them for proven.
_WRAPPING_CAST = ir.Op.get(register("tensorflow_tvm.wrapping_cast"))
_IS_ZERO = ir.Op.get(register("tensorflow_tvm.is_zero"))


def checked_divisor(divisor: Any, message: str) -> Any:
    """Return `divisor`, of integers; a call in which it is 0 fails with `message`."""
    args = [divisor, ir.StringImm(message)]
    return ir.Call(_CHECKED_DIVISOR, args, ret_ty=divisor.ty)


def saturating_cast(value: Any, dtype: str) -> Any:
    """Return a floating-point `value` as an integer: the nearest that `dtype` has, 0 for NaN."""
    if str(value.ty) not in ("float32", "float64"):
        value = value.astype("float32")
    return ir.Call(_SATURATING_CAST, [value], ret_ty=ir.PrimType(dtype))


def wrapping_cast(value: Any, dtype: str) -> Any:
    """Return an integer `value` in another dtype, of which it may be too large or negative."""
    return ir.Call(_WRAPPING_CAST, [value], ret_ty=ir.PrimType(dtype))


def is_zero(value: Any) -> Any:
    """Return whether an integer is 0, which TVM does not reason about."""
    return ir.Call(_IS_ZERO, [value], ret_ty=ir.PrimType("bool"))


def total_divisor(divisor: Any, dividend: Any | None = None) -> Any:
    """Return `divisor`, and 1 where the quotient of `dividend` by it would trap.

    It would for 0, and for the least integer by -1; by 1 that is the quotient which wraps.
    """
    dtype = str(divisor.ty)
    zero = tirx.const(0, dtype)
    traps = tirx.EQ(divisor, zero)
    if dividend is not None and dtype.startswith("int"):
        least = tirx.const(-(2 ** (divisor.ty.dtype.bits - 1)), dtype)
        # TVM would bring what is added to the dividend to the other side, where it overflows.
        is_least = tirx.EQ(tirx.bitwise_xor(dividend, least), zero)
        is_negated = tirx.EQ(divisor, tirx.const(-1, dtype))
        traps = tirx.Or(traps, tirx.And(is_negated, is_least))
    return tirx.Select(traps, tirx.const(1, dtype), divisor)


def assertion(condition: Any, message: str) -> tirx.AssertStmt:
    """Return a statement that fails with `message`, a ValueError, unless `condition` holds."""
    # The condition comes first, whatever the constructor's parameters are called.
    return tirx.AssertStmt(condition, ir.StringImm("ValueError"), [ir.StringImm(message)])


def expand(function: tirx.PrimFunc, checks: bool = True) -> tirx.PrimFunc:
    """Return `function` without checked divisors.

    Parameters
    ----------
    function : tirx.PrimFunc
        With a schedule, or with its author's loops.
    checks : bool
        Whether divisors are checked; otherwise a quotient by 0 is that by 1, see `lowering`.
    """
    if not _has_divisors(function.body):
        return function
    expander = _Expander(checks)
    body = structural_mutate(
        function.body,
        [
            (tirx.SeqStmt, expander.sequence),
            (tirx.BufferStore, expander.leaf),
            (tirx.Bind, expander.leaf),
            (tirx.Evaluate, expander.leaf),
            (tirx.AssertStmt, expander.leaf),
            (tirx.IfThenElse, expander.branch),
            (tirx.For, expander.loop),
            (tirx.While, expander.while_loop),
            (s_tir.SBlockRealize, expander.realize),
            (ir.Call, expander.call),
        ],
    )
    return function.with_body(body)


class _Expander:
    def __init__(self, checks: bool) -> None:
        self._checks = checks

    def sequence(self, sequence: tirx.SeqStmt, mutator: Any) -> tirx.Stmt:
        statements: list[tirx.Stmt] = []
        for statement in sequence.seq:
            new = mutator.mutate(statement)
            # What a statement defines is defined for those that follow it in the same sequence.
            is_more = isinstance(new, tirx.SeqStmt) and not isinstance(statement, tirx.SeqStmt)
            statements.extend(new.seq if is_more else [new])
        return tirx.SeqStmt(statements)

    def leaf(self, statement: tirx.Stmt, mutator: Any) -> tirx.Stmt:
        return self._checked(statement, mutator.default_mutate(statement))

    def branch(self, branch: tirx.IfThenElse, mutator: Any) -> tirx.Stmt:
        return self._checked(branch.condition, mutator.default_mutate(branch))

    def loop(self, loop: tirx.For, mutator: Any) -> tirx.Stmt:
        new = mutator.default_mutate(loop)
        if loop.kind == tirx.ForKind.VECTORIZED and not new.same_as(loop):
            new = _without_vector_assertions(new)
        return self._checked([loop.min, loop.extent], new)

    def while_loop(self, loop: tirx.While, mutator: Any) -> tirx.Stmt:
        new = mutator.default_mutate(loop)
        checks = self._assertions(loop.condition)
        if not checks:
            return new
        return tirx.SeqStmt([*checks, tirx.While(new.condition, tirx.SeqStmt([new.body, *checks]))])

    def realize(self, realize: s_tir.SBlockRealize, mutator: Any) -> tirx.Stmt:
        return self._checked(
            [*realize.iter_values, realize.predicate], mutator.default_mutate(realize)
        )

    def call(self, call: ir.Call, mutator: Any) -> Any:
        new = mutator.default_mutate(call)
        return new.args[0] if call.op.same_as(_CHECKED_DIVISOR) else new

    def _checked(self, read: Any, new: tirx.Stmt) -> tirx.Stmt:
        checks = self._assertions(read)
        return tirx.SeqStmt([*checks, new]) if checks else new

    def _assertions(self, read: Any) -> list[tirx.Stmt]:
        """Return the assertions that what `read` computes divides by no 0."""
        if not self._checks or not _has_divisors(read):
            return []
        return [assertion(tirx.Not(is_0), message) for is_0, message in _zero_divisors(read)]


def _without_vector_assertions(loop: tirx.For) -> tirx.Stmt:
    """Return a vectorized loop as one that TVM can vectorize, with its assertions before it."""
    found: list[tirx.AssertStmt] = []
    structural_walk(loop.body, [(tirx.AssertStmt, found.append)])
    if not found:
        return loop
    statements = list(loop.body.seq) if isinstance(loop.body, tirx.SeqStmt) else [loop.body]
    if len(statements) != len(found) + 1 or isinstance(statements[-1], tirx.AssertStmt):
        return _loop_like(loop, loop.loop_var, tirx.ForKind.SERIAL, loop.body)
    var = tirx.Var(loop.loop_var.name, str(loop.loop_var.ty))
    checks = structural_mutate(
        tirx.SeqStmt(statements[:-1]) if len(found) > 1 else found[0],
        [(tirx.Var, lambda v, _: var if v.same_as(loop.loop_var) else v)],
    )
    return tirx.SeqStmt(
        [
            _loop_like(loop, var, tirx.ForKind.SERIAL, checks),
            _loop_like(loop, loop.loop_var, loop.kind, statements[-1]),
        ]
    )


def _loop_like(loop: tirx.For, var: tirx.Var, kind: tirx.ForKind, body: tirx.Stmt) -> tirx.For:
    return tirx.For(var, loop.min, loop.extent, kind, body, None, loop.annotations, loop.step)


def _has_divisors(node: Any) -> bool:
    found: list[bool] = []

    def see(call: ir.Call) -> None:
        found.append(call.op.same_as(_CHECKED_DIVISOR))

    for part in node if isinstance(node, list) else [node]:
        structural_walk(part, [(ir.Call, see)])
    return any(found)


def _zero_divisors(node: Any) -> list[tuple[Any, str]]:
    """Return when each checked divisor of what `node` computes is 0, and its message."""
    found: list[tuple[Any, str]] = []
    reached: list[Callable[[Any], Any]] = []  # each adds what must hold to reach this place
    false = tirx.const(False, "bool")

    def plain(expression: Any) -> Any:
        return structural_mutate(expression, [(ir.Call, _Expander(False).call)])

    def under(add: Callable[[Any], Any], part: Any, visitor: Any) -> None:
        reached.append(add)
        visitor.visit(part)
        reached.pop()

    def branches(condition: Any, left: Any, right: Any, visitor: Any) -> None:
        visitor.visit(condition)
        chosen = plain(condition)
        under(lambda then: tirx.if_then_else(chosen, then, false), left, visitor)
        under(lambda then: tirx.if_then_else(chosen, false, then), right, visitor)

    def see_call(call: ir.Call, visitor: Any) -> None:
        if is_choice(call):
            branches(*call.args, visitor)
            return
        visitor.default_visit(call)
        if call.op.same_as(_CHECKED_DIVISOR):
            divisor, message = call.args
            condition = is_zero(plain(divisor))
            for add in reversed(reached):
                condition = add(condition)
            found.append((condition, message.value))

    def see_let(let: tirx.Let, visitor: Any) -> None:
        visitor.visit(let.value)
        value = plain(let.value)

        def add(inner: Any) -> Any:
            var = tirx.Var(let.var.name, str(let.var.ty))
            renamed = structural_mutate(
                inner, [(tirx.Var, lambda v, _: var if v.same_as(let.var) else v)]
            )
            return tirx.Let(var, value, renamed)

        under(add, let.body, visitor)

    def see_and(node: tirx.And, visitor: Any) -> None:
        branches(node.a, node.b, false, visitor)

    def see_or(node: tirx.Or, visitor: Any) -> None:
        branches(node.a, false, node.b, visitor)

    def see_select(select: tirx.Select, visitor: Any) -> None:
        branches(select.condition, select.true_value, select.false_value, visitor)

    for part in node if isinstance(node, list) else [node]:
        structural_visit(
            part,
            [
                (ir.Call, see_call),
                (tirx.Let, see_let),
                (tirx.And, see_and),
                (tirx.Or, see_or),
                (tirx.Select, see_select),
            ],
        )
    return found


def lower(call: ir.Call) -> Any:
    """Return what computes a call of an op of this module, of scalars or vectors; None of others.

    To be called after TVM's own passes, which take comparisons of floats for those of real numbers.
    """
    if call.op.same_as(_SATURATING_CAST):
        return _saturated(call)
    if call.op.same_as(_IS_ZERO):
        return tirx.EQ(call.args[0], const(0, call.args[0]))
    return None


def lower_wrapping_cast(call: ir.Call) -> Any:
    """Return what computes a call, of a wrapping cast or not; after quotients are lowered, too."""
    return call.args[0].astype(str(call.ty)) if call.op.same_as(_WRAPPING_CAST) else call


def _saturated(call: ir.Call) -> Any:
    """Return the nearest integer; what LLVM makes of a number that does not fit is not chosen."""
    dtype, _ = split(call)
    least, most = (int(limit(dtype).value) for limit in (tirx.min_value, tirx.max_value))

    def chosen(x: Any) -> Any:
        integers = [tirx.const(n, str(call.ty)) for n in (0, least, most)]
        zero, low, high = integers
        is_large = x >= const(float(most + 1), x)  # a power of two
        inside = x.astype(str(call.ty))
        if dtype.startswith("u"):
            return select(is_large, high, select(x > const(-1.0, x), inside, zero))
        result = select(x >= const(float(least), x), inside, low)
        return select(_is_nan(x), zero, select(is_large, high, result))

    return let(call.args[0], chosen)


def _is_nan(x: Any) -> Any:
    """Return whether `x` is NaN, by its bits."""
    dtype, infinity = ("int32", 0x7F800000)
    if split(x)[0] == "float64":
        dtype, infinity = ("int64", 0x7FF0000000000000)
    bits = tirx.reinterpret(like(dtype, x), x)
    magnitude = bits & tirx.const(int(tirx.max_value(dtype).value), like(dtype, x))
    return magnitude > tirx.const(infinity, like(dtype, x))
