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
"""Loops, as statements of TVM's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import sym, tirx
from tvm.tirx import ForKind

# So many elements are computed before other threads have woken up and taken their share.
LEAST_SHARED = 1 << 20
# A block of so many is worth handing out.
GRAIN = 1 << 15
# More would keep no more processors busy, and each takes its temporary memory anew.
_MOST_BLOCKS = 128


def const(value: int, like: Any) -> tirx.IntImm:
    """Return an integer of the type of `like`."""
    return tirx.IntImm(str(like.ty) if isinstance(like, tirx.Var) else _dtype(like), value)


def _dtype(expression: Any) -> str:
    return str(expression.ty)


def simplify(expression: Any) -> Any:
    """Return `expression` in simpler form."""
    return sym.Analyzer().simplify(expression)


def value_of(extent: Any) -> int | None:
    """Return the value of a constant, None of anything else."""
    return int(extent.value) if isinstance(extent, tirx.IntImm) else None


def loop(
    name: str,
    extent: Any,
    body: Callable[[Any], tirx.Stmt],
    kind: ForKind = ForKind.SERIAL,
) -> tirx.Stmt:
    """Return a loop from 0 to below `extent` over ``body(i)``."""
    if value_of(extent) == 1:
        return body(const(0, extent))
    var = tirx.Var(name, _dtype(extent))
    return tirx.For(var, const(0, extent), extent, kind, body(var))


def nest(
    names: Sequence[str], extents: Sequence[Any], body: Callable[[list[Any]], tirx.Stmt]
) -> tirx.Stmt:
    """Return serial loops, one in the other, over ``body(indices)``."""
    if not names:
        return body([])
    return loop(
        names[0],
        extents[0],
        lambda index: nest(names[1:], extents[1:], lambda rest: body([index, *rest])),
    )


def bind(name: str, value: Any, body: Callable[[Any], tirx.Stmt]) -> tirx.Stmt:
    """Return ``body(variable)`` for a variable that stands for `value`."""
    if isinstance(value, (tirx.IntImm, tirx.Var)):
        return body(value)
    var = tirx.Var(name, _dtype(value))
    return sequence(tirx.Bind(var, value), body(var))


def bind_before(statements: list[tirx.Stmt], name: str, value: Any) -> Any:
    """Return a variable that stands for `value`, and add what defines it to `statements`."""
    if isinstance(value, (tirx.IntImm, tirx.Var)):
        return value
    statements.append(tirx.Bind(tirx.Var(name, _dtype(value)), value))
    return statements[-1].var


def keep(name: str, value: Any, body: Callable[[Any], tirx.Stmt]) -> tirx.Stmt:
    """Return ``body(variable)`` like `bind`, for what is not to be computed again.

    Of long values, cells.py sees to that; this is for short ones that take long, such as divisions.
    """
    if value_of(value) is not None:
        return body(value)
    cell = tirx.decl_buffer((1,), _dtype(value), name)
    zero = const(0, value)
    return sequence(
        tirx.AllocBuffer(cell),
        tirx.BufferStore(cell, value, [zero]),
        bind(name, tirx.BufferLoad(cell, [zero]), body),
    )


def sequence(*statements: tirx.Stmt | None) -> tirx.Stmt:
    """Return statements one after the other."""
    flat: list[tirx.Stmt] = []
    for statement in statements:
        if isinstance(statement, tirx.SeqStmt):
            flat.extend(statement.seq)
        elif statement is not None:
            flat.append(statement)
    return flat[0] if len(flat) == 1 else tirx.SeqStmt(flat)


def product(extents: Sequence[Any], like: Any) -> Any:
    """Return the product of `extents`."""
    result: Any = const(1, like)
    for extent in extents:
        result = result * extent
    return simplify(result)


def blocks(
    total: Any,
    work: Any,
    body: Callable[[Any, Any], tirx.Stmt],
    multiple: int = 1,
    alone: tirx.Stmt | None = None,
) -> tirx.Stmt:
    """Share out ``range(total)`` among threads.

    Parameters
    ----------
    total
        How many iterations there are.
    work
        How much each has to do, in elements, see `work`.
    body
        Given the first of some iterations and their number, returns what does them.
    multiple
        Threads get so many iterations, or multiples of it.
    alone
        What does all of it on one thread; by default `body` does.
    """
    if not isinstance(total, (tirx.IntImm, tirx.Var)):
        return bind("total", total, lambda total: blocks(total, work, body, multiple, alone))
    whole = body(const(0, total), total) if alone is None else alone
    is_small = simplify(_cast(total, "int64") * work < LEAST_SHARED)
    if value_of(is_small) == 1:
        return whole
    # In 64 bits, as the work of a tensor may have more than its elements.
    grain = tirx.floordiv(tirx.IntImm("int64", GRAIN), tirx.max(work, tirx.IntImm("int64", 1)))
    least = simplify(ceil_div(tirx.max(total, const(1, total)), _MOST_BLOCKS))

    def share(grain: Any, least: Any) -> tirx.Stmt:
        size = simplify(ceil_div(tirx.max(grain, least), multiple) * multiple)
        return keep("size", size, count)

    def count(size: Any) -> tirx.Stmt:
        return bind("count", simplify(ceil_div(total, size)), all_of(size))

    def all_of(size: Any) -> Callable[[Any], tirx.Stmt]:
        is_odd = value_of(simplify(tirx.floormod(total, size))) != 0

        def block(index: Any) -> tirx.Stmt:
            index = _natural(index, value_of(simplify(ceil_div(total, size))))
            return bind(
                "first",
                simplify(index * size),
                lambda first: bind(
                    "number",
                    simplify(tirx.min(size, total - first)) if is_odd else size,
                    lambda number: body(first, number),
                ),
            )

        return lambda count: loop("block", count, block, ForKind.PARALLEL)

    # Each is a variable: TVM cannot lower quotients of quotients by symbols.
    shared = bind(
        "grain",
        _cast(simplify(grain), _dtype(total)),
        lambda grain: bind("least", least, lambda least: share(grain, least)),
    )
    return shared if value_of(is_small) == 0 else tirx.IfThenElse(is_small, whole, shared)


def _natural(index: Any, extent: int | None) -> Any:
    """Return `index` such that LLVM sees that it is not negative, and below a power of two.

    Of what a thread is given it knows nothing, and so would take care that no product of it wraps.
    """
    most = int(tirx.max_value(_dtype(index)).value) if extent is None else extent - 1
    return tirx.bitwise_and(index, const((1 << most.bit_length()) - 1, index))


def work(factors: Sequence[Any]) -> Any:
    """Return the product of sizes, in 64 bits."""
    result: Any = tirx.IntImm("int64", 1)
    for factor in factors:
        result = result * _cast(factor, "int64")
    return simplify(result)


def ceil_div(value: Any, divisor: Any) -> Any:
    """Return ``value / divisor``, rounded up; nothing in between is larger than `value`."""
    return tirx.floordiv(value - 1, divisor) + 1


def _cast(value: Any, dtype: str) -> Any:
    if isinstance(value, int):
        return tirx.IntImm(dtype, value)
    return value if _dtype(value) == dtype else value.astype(dtype)


def unravel(
    index: Any, extents: Sequence[Any], body: Callable[[list[Any]], tirx.Stmt]
) -> tirx.Stmt:
    """Return ``body(indices)`` for what `index` stands for, counting through `extents` in order.

    Each index is a variable: TVM cannot lower quotients of quotients by symbols.
    """
    if not extents:
        return body([])

    def step(index: Any, rest: Sequence[Any], found: list[Any]) -> tirx.Stmt:
        if len(rest) == 1:
            return body([index, *found])
        return bind(
            "index",
            simplify(tirx.floormod(index, rest[-1])),
            lambda inner: bind(
                "quotient",
                simplify(tirx.floordiv(index, rest[-1])),
                lambda outer: step(outer, rest[:-1], [inner, *found]),
            ),
        )

    return bind("index", simplify(index), lambda index: step(index, extents, []))


def ranges(
    names: Sequence[str],
    extents: Sequence[Any],
    first: Any,
    number: Any,
    body: Callable[[list[Any], Any, Any], tirx.Stmt],
) -> tirx.Stmt:
    """Return loops over `number` of what counts through `extents` in order, from `first` on.

    They are as they would be over all of it, with other bounds, so that there is no division for
    each of many. There must be one at least.

    Parameters
    ----------
    names, extents
        Of the loops, from the outermost to the innermost, which `body` makes.
    body
        Given the indices but for the last, and where that begins and how many it takes, returns
        what does it.
    """
    *outer, last = [i for i, extent in enumerate(extents) if value_of(extent) != 1] or [0]
    zero = const(0, first)

    def inner(found: dict[int, Any], begin: Any, count: Any) -> tirx.Stmt:
        if last == len(extents) - 1:
            return body([found.get(i, zero) for i in range(last)], begin, count)

        def one(index: Any) -> tirx.Stmt:
            indices = {**found, last: begin + index}
            return body([indices.get(i, zero) for i in range(len(extents) - 1)], zero, zero + 1)

        return loop(names[last], count, one)

    def step(left: list[int], found: dict[int, Any], begin: Any, count: Any) -> tirx.Stmt:
        if not left:
            return inner(found, begin, count)
        axis, *rest = left
        return parts(
            names[axis],
            product([extents[i] for i in (*rest, last)], first),
            begin,
            count,
            lambda index, *part: step(rest, {**found, axis: index}, *part),
        )

    return step(outer, {}, first, number)


def parts(
    name: str, size: Any, first: Any, number: Any, body: Callable[[Any, Any, Any], tirx.Stmt]
) -> tirx.Stmt:
    """Return a loop over ``body(i, begin, count)``: what falls into the `i`-th of equal parts.

    Parameters
    ----------
    name
        Of the loop.
    size
        How many make a part.
    first, number
        What to do: so many from there on, one at least.
    body
        Does `count` of the `i`-th part, from `begin` on.
    """
    zero = const(0, first)

    def part(index: Any, size: Any, end: Any) -> tirx.Stmt:
        start = index * size
        return bind(
            "begin",
            simplify(tirx.max(first - start, zero)),
            lambda begin: bind(
                "count",
                simplify(tirx.min(end - start, size) - begin),
                lambda count: body(index, begin, count),
            ),
        )

    def all_of(size: Any, end: Any, start: Any) -> tirx.Stmt:
        count = simplify(tirx.floordiv(end - 1, size) - start + 1)
        return loop(name, count, lambda i: bind("index", start + i, lambda i: part(i, size, end)))

    return bind(
        "part",
        size,
        lambda size: bind(
            "end",
            simplify(first + number),
            lambda end: bind(
                "start",
                simplify(tirx.floordiv(first, size)),
                lambda start: all_of(size, end, start),
            ),
        ),
    )


def split_index(index: Any, extents: Sequence[Any]) -> list[Any]:
    """Return the indices that `index` stands for as expressions; `extents` are constants."""
    indices: list[Any] = []
    for extent in reversed(extents[1:]):
        indices.append(tirx.floormod(index, extent))
        index = tirx.floordiv(index, extent)
    return [*([index] if extents else []), *reversed(indices)]
