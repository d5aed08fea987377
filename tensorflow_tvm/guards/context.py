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
"""What is true at a place in a function, and what its callers must see to."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from tvm import ir, s_tir, sym, tirx
from tvm_ffi.structural import structural_equal, structural_mutate, structural_walk

from tensorflow_tvm.guards import sizes

Condition = tuple[Any, str]
_RANGE_KINDS = (tirx.IterVar.DataPar, tirx.IterVar.CommReduce)


@dataclasses.dataclass
class Range:
    """A variable of a loop or a block, which runs from `min` to below ``min + extent``."""

    var: tirx.Var
    min: Any
    extent: Any


class Context:
    """What is known at the place in a function that is being visited.

    Attributes
    ----------
    analyzer : sym.Analyzer
        Knows the range of each variable, and the conditions that hold here.
    conditions : list of (tirx.Expr, str)
        What must be true of sizes and attrs for a call to be valid, and the message otherwise.
    step : str
        The name of the block.
    is_gpu : bool
        Whether the function is compiled for a GPU.
    trusts_axes : bool
        Whether the axes of blocks are known to stay in their domains.
    """

    def __init__(
        self, function: tirx.PrimFunc, is_gpu: bool, is_scheduled: bool, trusts_axes: bool
    ) -> None:
        self._arguments = list(function.params)
        self._is_scheduled = is_scheduled
        self.analyzer = sym.Analyzer()
        self.conditions: list[Condition] = []
        self.step = ""
        self.is_gpu = is_gpu
        self.symbols = sizes.symbols_of(function)
        self.trusts_axes = trusts_axes
        self._ranges: list[Range] = []
        # Of axes that their block's domain does not bound, and of variables that sizes decide.
        self._values: dict[tirx.Var, Any] = {}
        self._from_data: list[tirx.Var] = []
        self._own_ranges: list[tirx.Var] = []
        self._conditional = 0
        self._nothing_to_do: list[Any] = []  # conditions under which this place is not reached
        self._inside: list[tuple[Any, Any, Any]] = []  # see `inside`
        self._sizes = sizes.shape_symbols_of(function)
        self._entry = sym.Analyzer()  # knows what is true whatever the function is called with

    # Scopes.

    @contextlib.contextmanager
    def function(self) -> Iterator[None]:
        """Visit the function's body."""
        with contextlib.ExitStack() as scopes:
            for size in self._sizes:
                for analyzer in (self.analyzer, self._entry):
                    scopes.enter_context(analyzer.constraint_scope(size >= 0))
            yield

    @contextlib.contextmanager
    def assuming(self, condition: Any) -> Iterator[None]:
        """Visit what is reached only if `condition` holds."""
        self._conditional += 1
        try:
            with self.analyzer.constraint_scope(condition):
                yield
        finally:
            self._conditional -= 1

    @contextlib.contextmanager
    def conditionally(self) -> Iterator[None]:
        """Visit what may not be reached."""
        self._conditional += 1
        try:
            yield
        finally:
            self._conditional -= 1

    @contextlib.contextmanager
    def unless(self, condition: Any) -> Iterator[None]:
        """Visit what is not reached in calls in which `condition` holds, of sizes."""
        self._nothing_to_do.append(condition)
        yield
        self._nothing_to_do.pop()

    @contextlib.contextmanager
    def inside(self, indices: Sequence[tuple[Any, Any, Any]]) -> Iterator[None]:
        """Visit what is reached only if each index, of so many elements, exists.

        The third of each is another form of the index.
        """
        outer, self._inside = self._inside, [*self._inside, *indices]
        with self.conditionally():
            yield
        self._inside = outer

    @contextlib.contextmanager
    def loop(self, loop: tirx.For, is_lasting: bool) -> Iterator[None]:
        """Visit the body of a loop; it does not change what decides its range if `is_lasting`."""
        if not is_lasting:
            if self._is_scheduled and not self._reads_arguments([loop.min, loop.extent]):
                self._own_ranges.append(loop.loop_var)
            with self.conditionally():
                yield
            return
        self.analyzer.bind(loop.loop_var, ir.Range.from_min_extent(loop.min, loop.extent))
        with self._within([*self._ranges, Range(loop.loop_var, loop.min, loop.extent)]):
            yield

    @contextlib.contextmanager
    def threads(self, var: tirx.Var, extent: Any) -> Iterator[None]:
        """Visit what each thread of a GPU does."""
        zero = tirx.const(0, str(var.ty))
        self.analyzer.bind(var, ir.Range.from_min_extent(zero, extent))
        with self._within([*self._ranges, Range(var, zero, extent)]):
            yield

    @contextlib.contextmanager
    def block(self, realize: s_tir.SBlockRealize, predicate: Any) -> Iterator[None]:
        """Visit a block: its axes have values in their domains, which are not empty.

        Of the block's own predicate, `predicate` is what holds in all of it.
        """
        block = realize.block
        ranges = list(self._ranges)
        step, values = self.step, dict(self._values)
        self.step = block.name_hint
        with contextlib.ExitStack() as scopes:
            if not isinstance(realize.predicate, tirx.IntImm):
                scopes.enter_context(self.assuming(predicate))
            for axis, value in zip(block.iter_vars, realize.iter_values, strict=True):
                if self._is_in_domain(axis, value):
                    self.analyzer.bind(axis.var, axis.dom)
                    # The block speaks of its axes, not of the loops that they stand for.
                    ranges = [found for found in ranges if not found.var.same_as(value)]
                    ranges.append(Range(axis.var, axis.dom.min, axis.dom.extent))
                else:
                    self._values[axis.var] = self.inlined(value)
                    self.analyzer.bind(axis.var, value)
            if not isinstance(realize.predicate, tirx.IntImm):
                # It is about the loops, and the block about its own axes.
                for axis, value in zip(block.iter_vars, realize.iter_values, strict=True):
                    scopes.enter_context(self.analyzer.constraint_scope(tirx.EQ(axis.var, value)))
            scopes.enter_context(self._within(ranges))
            yield
        self.step, self._values = step, values

    def _is_in_domain(self, axis: tirx.IterVar, value: Any) -> bool:
        if self.trusts_axes and axis.iter_type in _RANGE_KINDS:
            return True  # TVM's schedules keep values in the domain
        end = axis.dom.min + axis.dom.extent
        return self.proves(value >= axis.dom.min) and self.proves(value < end)

    @contextlib.contextmanager
    def _within(self, ranges: list[Range]) -> Iterator[None]:
        outer, self._ranges = self._ranges, ranges
        with contextlib.ExitStack() as scopes:
            for found in ranges:
                if not any(found is known for known in outer):
                    for factor in self._positive_factors(found.extent):
                        scopes.enter_context(self.analyzer.constraint_scope(factor >= 1))
            yield
        self._ranges = outer

    def _positive_factors(self, extent: Any) -> list[Any]:
        """Return what is at least 1 where a loop of `extent` runs: itself, and its factors."""
        if isinstance(extent, tirx.IntImm):
            return []
        found = [extent]
        if isinstance(extent, tirx.Mul):
            factors = [extent.a, extent.b]
            if all(self.proves(factor >= 0) for factor in factors):
                found += [f for factor in factors for f in self._positive_factors(factor)]
        return found

    # Questions.

    def _reads_arguments(self, values: Sequence[Any]) -> bool:
        found: list[bool] = []

        def see(load: ir.TensorLoad) -> None:
            found.append(any(load.source.same_as(p) for p in self._arguments))

        for value in values:
            structural_walk(value, [(ir.TensorLoad, see)])
        return any(found)

    def proves(self, condition: Any) -> bool:
        """Whether a condition is always true here."""
        return bool(self.analyzer.can_prove(condition, sym.ProofStrength.SYMBOLIC_BOUND))

    def known_inside(self, index: Any, size: Any) -> Any:
        """Return another form of an index that is known to exist; None if it is not."""
        for known, limit, safe in self._inside:
            if structural_equal(index, known) and structural_equal(size, limit):
                return safe
        return None

    def is_known(self, expression: Any) -> bool:
        """Whether an expression has its value when the function is called."""
        return sizes.is_known(expression, self.symbols)

    @property
    def is_guarded(self) -> bool:
        """Whether this place may not be reached, and the sizes of a call do not decide that."""
        return self._conditional > 0 or not all(self.is_known(r.extent) for r in self._ranges)

    def is_authors_own(self, index: Any) -> bool:
        """Whether an index runs over a range that a scheduled function keeps in its own memory."""
        return not sizes.reads_data(index) and sizes.mentions(index, self._own_ranges)

    def define(self, var: tirx.Var, value: Any) -> None:
        """Take note of a variable that a statement defines; `value` is None if data decides it."""
        if value is None:
            self._from_data.append(var)
        else:
            self._values[var] = self.inlined(value)

    def is_defined_inside(self, expression: Any) -> bool:
        """Whether an expression depends on what a statement has defined by data."""
        return sizes.mentions(expression, self._from_data)

    def inlined(self, expression: Any) -> Any:
        """Return `expression` without variables that stand for a value."""
        if not self._values:
            return expression
        return structural_mutate(
            expression, [(tirx.Var, lambda var, _: self._values.get(var, var))]
        )

    def extremes(self, index: Any) -> tuple[Any, Any] | None:
        """Return the least and the largest value of an index, as the sizes of a call decide.

        None if it is not linear in the loops, or depends on data.
        """
        index = self.inlined(index)
        if not self._ranges:
            return (index, index) if self.is_known(index) else None
        variables = [found.var for found in self._ranges]
        *factors, rest = sym.detect_linear_equation(index, variables) or [None]
        if rest is None or not self.is_known(rest):
            return None
        least = most = rest
        for factor, found in zip(factors, self._ranges, strict=True):
            factor = self.analyzer.simplify(factor)
            if not isinstance(factor, tirx.IntImm):
                return None
            if not factor.value:
                continue
            if not self.is_known(found.min):
                return None
            first = factor * found.min
            reach = factor * (found.extent - 1)
            least, most = least + first, most + first
            if factor.value < 0:
                least = least + reach
            else:
                most = most + reach
        return least, most

    # Demands.

    def require(
        self, condition: Any, message: str, others: Sequence[Any] = (), explains: bool = True
    ) -> None:
        """Demand of each call that `condition` holds, unless there is nothing to compute here.

        The message of an error ends with the condition if that `explains` it.
        """
        # In 64 bits: in fewer, sums and products of sizes would be others.
        exact = tirx.all(sizes.wide(condition), *others)
        extents: list[Any] = []
        for found in self._ranges:
            if not any(structural_equal(found.extent, extent) for extent in extents):
                extents.append(found.extent)
        for extent in extents:
            condition = tirx.any(condition, extent <= 0)
            exact = tirx.any(exact, sizes.wide(extent) <= 0)
        text = self._entry.simplify(condition)
        if not isinstance(text, tirx.IntImm):
            self.add(exact, message, f"{message}, unless {text}" if explains else message)
        elif text.value:
            self.add(exact, message)
        else:
            raise ValueError(message)

    def add(self, condition: Any, message: str, unless: str | None = None) -> None:
        """Demand of each call that `condition` holds; a ValueError if it never does."""
        if self._nothing_to_do:
            condition = tirx.any(*self._nothing_to_do, condition)
        condition = self._entry.simplify(condition)
        if isinstance(condition, tirx.IntImm):
            if not condition.value:
                raise ValueError(message)
        elif not any(structural_equal(condition, known) for known, _ in self.conditions):
            self.conditions.append((condition, unless or message))
