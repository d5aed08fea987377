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
"""How a random function is made: inputs, and steps that read them and each other."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Mapping, Sequence

from tensorflow_tvm.tests.fuzz import expressions
from tensorflow_tvm.tests.fuzz.expressions import Expressions, is_float
from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction, Step, Value

_CONSTANTS = ("1", "2", "3", "4", "5", "8")
# Kinds of steps that authors schedule.
_SCHEDULABLE = ("elements", "broadcast", "transpose", "gather", "slice", "reduce", "convolution")
Kinds = Mapping[str, tuple[Callable[["Builder"], None], float]]


class Builder:
    """Makes the function of a seed, step by step."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._seed = seed
        self.symbols = ["a", "b", "c", "d", "e"][: self.rng.choice([1, 2, 2, 3, 4])]
        self._is_symbolic = self.rng.choice([0.6, 0.85, 1.0])
        self.inputs: list[Value] = []
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self._count = 0
        rng = self.rng
        self.dtypes = [
            rng.choice(expressions.FLOATS if rng.random() < 0.55 else expressions.INTS)
            for _ in range(rng.choice([1, 1, 2]))
        ]

    def build(self, kinds: Kinds) -> GeneratedFunction:
        """Return a function of some kinds of steps, each with its weight."""
        rng = self.rng
        rank = rng.choices([1, 2, 3, 4, 5], [5, 5, 3, 2, 2])[0]
        self.input(self.dtype(), tuple(self.size() for _ in range(rank)))
        count = rng.choices([1, 2, 3, 4, 5, 6], [4, 4, 4, 3, 2, 2])[0]
        while len(self.steps) < count:
            kind = rng.choices(list(kinds), [weight for _, weight in kinds.values()])[0]
            kinds[kind][0](self)
        used = " ".join(step.text for step in self.steps)
        results = [value for step in self.steps for value in step.results]
        unread = [value for value in results if f"{value.name}(" not in used]
        outputs = [value.name for value in unread if f"{value.name}," not in used]
        outputs = outputs or [results[-1].name]
        others = [value.name for value in results if value.name not in outputs]
        if others and rng.random() < 0.15:
            outputs.append(rng.choice(others))
        self._bind_symbols()
        function = GeneratedFunction(
            self._seed, tuple(self.inputs), tuple(self.steps), tuple(outputs)
        ).pruned()
        return self._decorate(function)

    def _bind_symbols(self) -> None:
        """Add inputs by which each symbol that occurs has a value."""
        bare = {size for value in self.inputs for size in value.shape}
        text = " ".join(step.text for step in self.steps)
        text += " ".join(size for value in self.inputs for size in value.shape)
        for symbol in self.symbols:
            if symbol not in bare and re.search(rf"\b{symbol}\b", text):
                self.input(self.dtype(), (symbol,))

    def _decorate(self, function: GeneratedFunction) -> GeneratedFunction:
        """Let some functions be scheduled by their author, and some have gradients."""
        rng = self.rng
        choice = rng.random()
        by_name = {value.name: value for step in function.steps for value in step.results}
        dtypes = [by_name[name].dtype for name in function.outputs]
        if choice < 0.25 and any(map(is_float, dtypes)):
            if any(is_float(value.dtype) for value in function.inputs):
                return dataclasses.replace(function, gradient=True)
        last = function.steps[-1]
        if choice > 0.9 and last.kind in _SCHEDULABLE and last.results[0].shape:
            return dataclasses.replace(function, schedule=self._schedule(last))
        return function

    def _schedule(self, step: Step) -> tuple[str, ...]:
        rng = self.rng
        name = step.results[0].name
        rank = len(step.results[0].shape)
        lines = [f'loops = schedule.get_loops(schedule.get_sblock("{name}"))']
        lines.append(f"loop = schedule.fuse(*loops[:{rank}])" if rank > 1 else "loop = loops[0]")
        choice = rng.randrange(4)
        if choice == 0:
            lines.append("schedule.parallel(loop)")
            return tuple(lines)
        factor = rng.choice([2, 4, 8, 3])
        lines.append(f"outer, inner = schedule.split(loop, [None, {factor}])")
        if choice in (1, 3):
            lines.append("schedule.parallel(outer)")
        if choice in (2, 3) and step.kind in ("elements", "broadcast", "transpose"):
            lines.append("schedule.vectorize(inner)")
        elif choice == 2:
            lines.append("schedule.unroll(inner)")
        return tuple(lines)

    # What steps are made with.

    def dtype(self) -> str:
        """Return one of the few dtypes that a function has."""
        rng = self.rng
        if rng.random() < 0.08:
            return rng.choice([*expressions.FLOATS, *expressions.INTS, "bool"])
        return rng.choice(self.dtypes)

    def size(self) -> str:
        """Return a dimension of an input."""
        if self.rng.random() < self._is_symbolic:
            return self.rng.choice(self.symbols)
        return self.rng.choice(_CONSTANTS)

    def input(self, dtype: str, shape: tuple[str, ...], role: str = "data") -> Value:
        """Add an input."""
        value = Value(f"x{len(self.inputs)}", dtype, shape, role)
        self.inputs.append(value)
        self.values.append(value)
        return value

    def value(
        self, test: Callable[[Value], bool] = lambda value: True, rank: int | None = None
    ) -> Value:
        """Return a tensor, one of the last most often, or an input made for it."""
        rng = self.rng
        found = [value for value in self.values if value.role == "data" and test(value)]
        if rank is not None:
            found = [value for value in found if len(value.shape) == rank]
        if found and rng.random() < 0.95:
            return found[-1 - min(int(rng.expovariate(0.9)), len(found) - 1)]
        rank = rng.choice([1, 2, 3]) if rank is None else rank
        for _ in range(50):
            value = Value("", self.dtype(), tuple(self.size() for _ in range(rank)))
            if test(value):
                break
        else:
            value = Value("", "float32", value.shape)
        return self.input(value.dtype, value.shape)

    def name(self, prefix: str = "t") -> str:
        """Return a new name."""
        self._count += 1
        return f"{prefix}{self._count}"

    def axis(self, size: str) -> tuple[str, str]:
        """Return the name of a reduction axis and the line that makes it."""
        name = self.name("r")
        return name, f'{name} = te.reduce_axis((0, {size}), name="{name}")'

    def compute(
        self,
        kind: str,
        dtype: str,
        shape: Sequence[str],
        body: str,
        axes: Sequence[tuple[str, str, str]] = (),
        before: Sequence[str] = (),
    ) -> Value:
        """Add a step that computes one tensor from `body`, in which the indices are i0, i1, …"""
        value = Value(self.name(), dtype, tuple(shape))
        indices = ", ".join(f"i{axis}" for axis in range(len(shape)))
        sizes = "".join(f"{size}, " for size in shape)
        line = (
            f'{value.name} = te.compute(({sizes}), lambda {indices}: {body}, name="{value.name}")'
        )
        lines = [
            *(definition for _, definition, _ in axes),
            *before,
            line.replace("lambda :", "lambda:"),
        ]
        return self.add(kind, lines, [value], [*shape, *(size for _, _, size in axes)])

    def add(
        self, kind: str, lines: Sequence[str], results: Sequence[Value], domain: Sequence[str]
    ) -> Value:
        """Add a step and return the first of its results."""
        self.steps.append(Step(kind, tuple(lines), tuple(results), tuple(domain)))
        self.values += results
        return results[0]

    def operator(
        self, kind: str, dtype: str, shape: Sequence[str], call: str, domain: Sequence[str] = ()
    ) -> Value:
        """Add a step that calls an operator of topi."""
        value = Value(self.name(), dtype, tuple(shape))
        return self.add(kind, [f"{value.name} = {call}"], [value], [*shape, *domain])

    def expressions(self, leaves: list[tuple[str, str]], rank: int) -> Expressions:
        """Return expressions over `leaves` and the indices i0, i1, …"""
        indices = [f"i{axis}" for axis in range(rank)]
        if self.rng.random() < 0.4:
            indices.append(self.rng.choice(self.symbols))
        return Expressions(self.rng, leaves, indices)


def read(value: Value, indices: Sequence[str] | None = None) -> str:
    """Return the text that reads an element."""
    if indices is None:
        indices = [f"i{axis}" for axis in range(len(value.shape))]
    return f"{value.name}({', '.join(indices)})"
