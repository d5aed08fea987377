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
"""Inverting maps from a stage's axes to the indices that it reads.

A read ``x[e(v)]`` for all v in a box is turned round: for a given element j of x, which v have
``e(v) = j``? The equations are linear in the axes, with quotients and remainders by what does not
depend on them. They are solved one by one, as mixed radix numbers where they are such, and
otherwise for one axis; axes that are left over are free. The idea of a gather with free axes is
that of S. Urban and P. van der Smagt, "Automatic Differentiation for Tensor Algebras",
arXiv:1711.01348.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tvm import ir, sym, tirx
from tvm.ir import prim
from tvm_ffi.structural import structural_mutate, structural_walk

from tensorflow_tvm.autodiff import nodes
from tensorflow_tvm.autodiff.errors import NotDifferentiable

_LARGE = 4096  # what a symbolic extent counts as
_DIVISIONS = (prim.FloorDiv, prim.FloorMod)


class Ranges:
    """What is known of variables, and what follows from it."""

    def __init__(self) -> None:
        self._analyzer = sym.Analyzer()

    def bind(self, variable: tirx.Var, extent: Any) -> None:
        """Let `variable` run from 0 to below `extent`."""
        self._analyzer.bind(variable, ir.Range(tirx.const(0, str(variable.ty)), extent))

    def proves(self, condition: Any) -> bool:
        """Whether a condition always holds, as far as can be seen."""
        return self._analyzer.can_prove(condition, sym.ProofStrength.SYMBOLIC_BOUND)

    def under(self, conditions: list[Any]) -> Any:
        """Return a scope in which all `conditions` hold."""
        if not conditions:
            return contextlib.nullcontext()
        return self._analyzer.constraint_scope(tirx.all(*conditions))

    def simplify(self, expression: Any) -> Any:
        """Return an expression of integers in a simpler form."""
        simple = self._analyzer.simplify(expression)
        return self._analyzer.simplify(
            structural_mutate(
                simple,
                [
                    (prim.Div, self._truncated),
                    (prim.Mod, self._truncated),
                    (prim.FloorDiv, self._floored),
                    (prim.FloorMod, self._floored),
                ],
            )
        )

    def _truncated(self, node: Any, mutator: Any) -> Any:
        a, b = mutator.mutate(node.a), mutator.mutate(node.b)
        if not self.proves(tirx.all(a >= 0, b > 0)):
            return type(node)(a, b)
        return self._divided(prim.FloorDiv if isinstance(node, prim.Div) else prim.FloorMod, a, b)

    def _floored(self, node: Any, mutator: Any) -> Any:
        return self._divided(type(node), mutator.mutate(node.a), mutator.mutate(node.b))

    def _divided(self, kind: type, a: Any, b: Any) -> Any:
        """Return the quotient or the remainder of what is a multiple and less than one more."""
        multiple, rest = self._split(a, b)
        if self._is_below(rest, b):
            return multiple if kind is prim.FloorDiv else rest
        return kind(a, b)

    def _is_below(self, value: Any, bound: Any) -> bool:
        if not self.proves(value >= 0):
            return False
        if self.proves(value < bound):
            return True
        # a // m < b follows from a < b * m, which may be the extent that is known.
        return isinstance(value, prim.FloorDiv) and self.proves(value.a < bound * value.b)

    def _split(self, value: Any, divisor: Any) -> tuple[Any, Any]:
        """Return q and r such that ``value = q * divisor + r``."""
        found = list(dict.fromkeys(nodes.variables(value)))
        own = [v for v in found if not nodes.uses(divisor, v)]
        parts = sym.detect_linear_equation(value, own) if own else []
        zero = tirx.const(0, str(value.ty))
        multiple, rest = zero, zero
        if not parts:
            return zero, value
        for part, variable in zip(parts, [*own, None], strict=True):
            times = self.quotient(part, divisor)
            scaled = tirx.const(1, str(value.ty)) if variable is None else variable
            if times is None:
                rest = rest + part * scaled
            else:
                multiple = multiple + times * scaled
        return self._analyzer.simplify(multiple), self._analyzer.simplify(rest)

    def quotient(self, value: Any, divisor: Any) -> Any | None:
        """Return ``value / divisor`` if it is one without a rest."""
        a, b = nodes.number_of(value), nodes.number_of(divisor)
        if a is not None and b is not None:
            return None if b == 0 or a % b else tirx.const(a // b, str(value.ty))
        if b is not None and b <= 0:
            return None
        times = self._analyzer.simplify(tirx.floordiv(value, divisor))
        if isinstance(times, prim.FloorDiv):
            return None
        equal = self._analyzer.can_prove_equal(self._analyzer.simplify(times * divisor), value)
        return times if equal else None


@dataclasses.dataclass
class Unknown:
    """A variable that runs from 0 to below `extent`."""

    var: tirx.Var
    extent: Any


@dataclasses.dataclass
class Inverse:
    """For which values of the axes a given element is read.

    Attributes
    ----------
    values : dict
        The axes, in terms of the element's indices and the free variables.
    free : list of Unknown
        Variables that take all values.
    guards : list of tirx.Expr
        Conditions on both under which there is such a value.
    ranges : Ranges
        What is known of both.
    """

    values: dict[tirx.Var, Any]
    free: list[Unknown]
    guards: list[Any]
    ranges: Ranges


def invert(
    axes: Sequence[Unknown], indices: Sequence[Any], targets: Sequence[Unknown], dtype: str
) -> Inverse:
    """Return for which values of `axes` the `indices` are those of `targets`.

    Parameters
    ----------
    axes : sequence of Unknown
        The axes of what reads.
    indices : sequence of tirx.Expr
        What it reads, in terms of the axes.
    targets : sequence of Unknown
        The indices of the element, with the extents of the tensor that is read.
    dtype : str
        The integers in which indices are computed.

    Raises
    ------
    NotDifferentiable
        If this cannot be told.
    """
    solver = _Solver(axes, dtype)
    for target in targets:
        solver.ranges.bind(target.var, nodes.retype(target.extent, dtype, {}))
    left = [solver.read(index) for index in indices]
    right = [nodes.cast(target.var, dtype) for target in targets]
    solver.solve(left, right, [nodes.retype(target.extent, dtype, {}) for target in targets])
    return solver.result(axes)


class _Solver:
    def __init__(self, axes: Sequence[Unknown], dtype: str) -> None:
        self.dtype = dtype
        self.ranges = Ranges()
        self.unknown: list[Unknown] = []
        self.solved: dict[tirx.Var, Any] = {}
        self.guards: list[Any] = []
        self._own: dict[tirx.Var, Any] = {}
        for axis in axes:
            self._own[axis.var] = self._new(axis.var.name, axis.extent)

    def _new(self, name: str, extent: Any) -> Any:
        extent = self.ranges.simplify(nodes.retype(extent, self.dtype, {}))
        if nodes.size_of(extent) == 1:
            return tirx.const(0, self.dtype)
        variable = tirx.Var(name, self.dtype)
        self.ranges.bind(variable, extent)
        self.unknown.append(Unknown(variable, extent))
        return variable

    def read(self, index: Any) -> Any:
        """Return an index in terms of our variables."""
        if nodes.loads(index):
            raise NotDifferentiable("indices that come from data")
        return self.ranges.simplify(nodes.retype(index, self.dtype, self._own))

    def result(self, axes: Sequence[Unknown]) -> Inverse:
        values = {axis.var: self._now(self._own[axis.var]) for axis in axes}
        guards: list[Any] = []
        for guard in map(self._now, self.guards):
            if not self.ranges.proves(guard) and not any(nodes.is_same(guard, g) for g in guards):
                guards.append(guard)
        return Inverse(values, self.unknown, guards, self.ranges)

    def _now(self, expression: Any) -> Any:
        """Return an expression with what has been solved replaced."""
        for _ in range(len(self.solved) + 1):
            if not any(variable in self.solved for variable in nodes.variables(expression)):
                break
            expression = structural_mutate(
                expression, [(tirx.Var, lambda v, _: self.solved.get(v, v))]
            )
        return self.ranges.simplify(expression)

    def _set(self, variable: tirx.Var, value: Any) -> None:
        (unknown,) = [u for u in self.unknown if u.var.same_as(variable)]
        self.unknown = [u for u in self.unknown if u is not unknown]
        self.solved[variable] = value
        self.guards += [value >= 0, value < unknown.extent]

    def solve(self, left: list[Any], right: list[Any], sizes: list[Any]) -> None:
        equations = [*self._flattened(left, right, sizes)]
        while equations:
            current = [(self._now(a), self._now(b)) for a, b in equations]
            # What has one solution comes first: less is left for the others to choose.
            current.sort(key=lambda equation: self._rank(equation[0]))
            (a, b), *equations = current
            equations = [*equations, *self._one(a, b)]

    def _flattened(
        self, left: list[Any], right: list[Any], sizes: list[Any]
    ) -> list[tuple[Any, Any]]:
        """Join the indices that are digits of one number, as a reshape's are."""
        mixed = [i for i, index in enumerate(left) if _divides(index)]
        equations = []
        first, last = (mixed[0], mixed[-1]) if len(mixed) > 1 else (0, -1)
        joined = None
        if last > first:
            a, b = left[first], right[first]
            for i in range(first + 1, last + 1):
                a, b = a * sizes[i] + left[i], b * sizes[i] + right[i]
            a = self.ranges.simplify(a)
            joined = None if _divides(a) else (a, b)
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            if joined is None or not first <= i <= last:
                equations.append((a, b))
            elif i == first:
                equations.append(joined)
        return equations

    def _unknowns(self, expression: Any) -> list[Unknown]:
        found = nodes.variables(expression)
        return [u for u in self.unknown if any(u.var.same_as(v) for v in found)]

    def _rank(self, expression: Any) -> int:
        if isinstance(expression, tirx.Var):
            return 0
        return 10 * len(self._unknowns(expression)) + _divides(expression)

    def _one(self, a: Any, b: Any) -> list[tuple[Any, Any]]:
        """Solve ``a = b``; return equations that are left of it."""
        unknowns = self._unknowns(a)
        if not unknowns:
            self.guards.append(tirx.EQ(a, b))
            return []
        if isinstance(a, prim.FloorDiv) and not self._unknowns(a.b):
            return [(a.a, b * a.b + self._new("rest", a.b))]
        if isinstance(a, prim.FloorMod) and not self._unknowns(a.b):
            times = self._new("times", self._most(a.a, unknowns) // a.b + 1)
            return [(a.a, times * a.b + b)]
        if _divides(a):
            a, more = self._without_divisions(a)
            return [(a, b), *more]
        parts = sym.detect_linear_equation(a, [u.var for u in unknowns])
        if not parts:
            raise NotDifferentiable(f"{a}, which is not linear in its axes")
        *factors, offset = map(self.ranges.simplify, parts)
        self._linear(list(zip(unknowns, factors, strict=True)), b - offset)
        return []

    def _most(self, expression: Any, unknowns: list[Unknown]) -> Any:
        """Return the largest value of what is at least 0."""
        parts = sym.detect_linear_equation(expression, [u.var for u in unknowns])
        if not parts or not self.ranges.proves(expression >= 0):
            raise NotDifferentiable(f"a remainder of {expression}")
        *factors, most = parts
        for unknown, factor in zip(unknowns, factors, strict=True):
            if not self.ranges.proves(factor >= 0):
                continue
            most = most + factor * (unknown.extent - 1)
        return self.ranges.simplify(most)

    def _without_divisions(self, expression: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Replace quotients and remainders by variables; return equations for these."""
        more = []
        errors: list[NotDifferentiable] = []  # TVM would make others of what is raised in `see`

        def see(node: Any, mutator: Any) -> Any:
            if self._unknowns(node.b) or not self._unknowns(node.a):
                return mutator.default_mutate(node)
            extent = node.b
            if isinstance(node, prim.FloorDiv):
                try:
                    extent = self._most(node.a, self._unknowns(node.a)) // node.b + 1
                except NotDifferentiable as error:
                    errors.append(error)
                    return node
            for other, variable in more:
                if nodes.is_same(other, node):
                    return variable
            variable = self._new("part", extent)
            more.append((node, variable))
            return variable

        replaced = structural_mutate(expression, [(kind, see) for kind in _DIVISIONS])
        if errors:
            raise errors[0]
        if not more:
            raise NotDifferentiable(f"{expression}, which is not linear in its axes")
        return self.ranges.simplify(replaced), more

    def _linear(self, parts: list[tuple[Unknown, Any]], total: Any) -> None:
        """Solve ``sum of factor * unknown = total``."""
        numbers = [nodes.number_of(factor) for _, factor in parts]
        if all(number is not None for number in numbers):
            common = math.gcd(*numbers)
            if common > 1:
                self.guards.append(tirx.EQ(tirx.floormod(total, common), 0))
                total = self.ranges.simplify(tirx.floordiv(total, common))
                parts = [
                    (u, self.ranges.quotient(f, tirx.const(common, self.dtype))) for u, f in parts
                ]
        unknown, factor = min(parts, key=lambda part: self._cost(part, parts))
        others = [part for part in parts if part[0] is not unknown]
        radix = self._radix(parts)
        if others and radix is not None:
            digit, base = radix
            count = self.ranges.simplify(tirx.floordiv(digit.extent + base - 1, base))
            rest = [(u, f) for u, f in parts if u is not digit]
            worth = _size(count) * (1 if len(rest) == 1 else 0)
            if self.ranges.proves(digit.extent <= base) or worth < self._cost(
                (unknown, factor), parts
            ):
                whole = tirx.const(0, self.dtype)
                if not self.ranges.proves(digit.extent <= base):
                    whole = self._new(f"{digit.var.name}_part", count)
                self._set(digit.var, tirx.floormod(total, base) + whole * base)
                rest = [(u, self.ranges.quotient(f, base)) for u, f in rest]
                self._linear(rest, self.ranges.simplify(tirx.floordiv(total, base) - whole))
                return
        for other, scale in others:
            total = total - scale * other.var
        number = nodes.number_of(factor)
        if number is None:
            if not self.ranges.proves(factor > 0):
                raise NotDifferentiable(f"every {factor}-th element")
        elif number < 0:
            factor, total = tirx.const(-number, self.dtype), -total
        if number not in (1, -1):
            self.guards.append(tirx.EQ(tirx.floormod(total, factor), 0))
            total = tirx.floordiv(total, factor)
        self._set(unknown.var, total)

    def _cost(self, part: tuple[Unknown, Any], parts: list[tuple[Unknown, Any]]) -> int:
        """Return how many values are tried if the equation is solved for an unknown."""
        return math.prod(_size(u.extent) for u, _ in parts if u is not part[0])

    def _radix(self, parts: list[tuple[Unknown, Any]]) -> tuple[Unknown, Any] | None:
        """Return the unknown that counts ones, and the base of which the others count multiples."""
        ones = [u for u, factor in parts if nodes.number_of(factor) == 1]
        others = [factor for _, factor in parts if nodes.number_of(factor) != 1]
        if len(ones) != 1 or not others:
            return None
        numbers = [nodes.number_of(factor) for factor in others]
        if all(number is not None for number in numbers):
            base = math.gcd(*numbers)
            # Only numbers that grow with each digit.
            if base < 2 or min(numbers) < 0:
                return None
            return ones[0], tirx.const(base, self.dtype)
        for base in others:
            if all(self.ranges.quotient(factor, base) is not None for factor in others):
                # Otherwise the base might be 0.
                if self.ranges.proves(ones[0].extent <= base):
                    return ones[0], base
        return None


def _size(extent: Any) -> int:
    size = nodes.size_of(extent)
    return _LARGE if size is None else size


def _divides(expression: Any) -> bool:
    found: list[bool] = []
    structural_walk(expression, [(kind, lambda node: found.append(True)) for kind in _DIVISIONS])
    return bool(found)
