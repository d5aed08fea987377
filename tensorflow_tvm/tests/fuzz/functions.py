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
"""Random functions of TE: each is the text of a program, made from a seed alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import re
from typing import Any

import numpy as np

_SYMBOL = re.compile(r"\b[a-e]\b")
_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 13, 17)
_MOST_WORK = 20_000


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of a program: an input, or what a step computes.

    Attributes
    ----------
    name : str
    dtype : str
    shape : tuple of str
        Expressions over the symbols a to e.
    role : str
        Of an input: "data", or "index" if its elements choose elements of other tensors; with
        "attr" before it, it is a number.
    """

    name: str
    dtype: str
    shape: tuple[str, ...]
    role: str = "data"

    def definition(self) -> str:
        """Return the line that makes an input."""
        shape = "".join(f"{size}, " for size in self.shape)
        return f'{self.name} = te.placeholder(({shape}), "{self.dtype}", name="{self.name}")'


@dataclasses.dataclass(frozen=True)
class Step:
    """Lines of a program that compute tensors.

    Attributes
    ----------
    kind : str
    lines : tuple of str
    results : tuple of Value
    domain : tuple of str
        What its loops run over.
    """

    kind: str
    lines: tuple[str, ...]
    results: tuple[Value, ...]
    domain: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of its lines."""
        return "\n".join(self.lines)


@dataclasses.dataclass(frozen=True)
class GeneratedFunction:
    """A function, as a program in which each line makes a tensor.

    Attributes
    ----------
    seed : int
    inputs : tuple of Value
    steps : tuple of Step
    outputs : tuple of str
        Names of results.
    schedule : tuple of str
        Lines by which its author schedules it: `schedule` is an `s_tir.Schedule`.
    gradient : bool
        Whether its gradient is to be derived.
    script : str
        What it is compiled from, if that is TVMScript: the steps compute the same.
    """

    seed: int
    inputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    schedule: tuple[str, ...] = ()
    gradient: bool = False
    script: str = ""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of its inputs' shapes."""
        return tuple(
            sorted(set(_SYMBOL.findall(" ".join(d for x in self.inputs for d in x.shape))))
        )

    def pruned(self) -> GeneratedFunction:
        """Return the function without the steps and inputs that no output needs."""
        needed = set(self.outputs)
        kept = []
        for step in reversed(self.steps):
            if any(value.name in needed for value in step.results):
                kept.append(step)
                needed |= set(re.findall(r"\b[xt]\d+\b", step.text))
        kept.reverse()
        text = " ".join(step.text for step in kept)
        inputs = [value for value in self.inputs if value.name in needed]
        bare = {size for value in inputs for size in value.shape}
        used = set(_SYMBOL.findall(text + " ".join(size for x in inputs for size in x.shape)))
        for value in self.inputs:  # what else says what a symbol is
            if value not in inputs and (used - bare) & set(value.shape):
                inputs.append(value)
                bare |= set(value.shape)
        inputs.sort(key=self.inputs.index)
        return dataclasses.replace(self, inputs=tuple(inputs), steps=tuple(kept))

    def lines(self) -> list[str]:
        """Return the program's lines, which make `tensors`, or `schedule` if it has one."""
        lines = [f'{symbol} = te.var("{symbol}")' for symbol in self.symbols]
        lines += [value.definition() for value in self.inputs]
        lines += [line for step in self.steps for line in step.lines]
        names = [*(value.name for value in self.inputs), *self.outputs]
        lines.append(f"tensors = [{', '.join(names)}]")
        if self.schedule:
            lines.append("schedule = s_tir.Schedule(te.create_prim_func(tensors))")
            lines += self.schedule
        return lines

    def build_te(self) -> Any:
        """Return what `tensorflow_tvm.build` gets: TE tensors, a schedule, or a PrimFunc."""
        from tvm import s_tir, script, te, tirx, topi
        from tvm.script import tirx as script_tirx

        names: dict[str, Any] = {"te": te, "tirx": tirx, "topi": topi, "s_tir": s_tir}
        if self.script:
            return script.from_source(self.script, {**names, "T": script_tirx})
        exec("\n".join(self.lines()), names)
        return names["schedule" if self.schedule else "tensors"]

    def work(self, sizes: dict[str, int]) -> int:
        """Return how many elements all steps compute; negative sizes count as 0."""
        domains = [step.domain for step in self.steps] + [value.shape for value in self.inputs]
        return sum(math.prod(max(_size(d, sizes), 0) for d in domain) for domain in domains)

    def size_choices(self, count: int = 10) -> list[dict[str, int]]:
        """Return what the symbols are in calls: 0 to 3 for all at once, and random mixtures."""
        rng = random.Random(self.seed + 1)
        symbols = self.symbols
        chosen = [dict.fromkeys(symbols, size) for size in range(4 if symbols else 1)]
        if len(symbols) > 1:
            for _ in range(4):
                chosen.append({symbol: rng.randrange(4) for symbol in symbols})
        for _ in range(4 * count):
            if len(chosen) >= count or not symbols:
                break
            chosen.append({symbol: rng.choice(_SIZES) for symbol in symbols})
        unique = [sizes for at, sizes in enumerate(chosen) if sizes not in chosen[:at]]
        return [sizes for sizes in unique if self.work(sizes) <= _MOST_WORK]

    def has_inputs(self, sizes: dict[str, int]) -> bool:
        """Whether inputs of these sizes exist: none of them is negative."""
        return all(_size(d, sizes) >= 0 for value in self.inputs for d in value.shape)

    def arrays(self, sizes: dict[str, int], salt: int = 0) -> list[np.ndarray]:
        """Return values for the inputs."""
        rng = np.random.default_rng([self.seed, salt, *sizes.values()])
        return [
            random_array(rng, value.dtype, [_size(d, sizes) for d in value.shape], value.role)
            for value in self.inputs
        ]

    def program(self, sizes: dict[str, int] | None = None, salt: int = 0) -> str:
        """Return the function as a program of its own, which calls it if `sizes` are given."""
        gradient = ', gradient="auto"' if self.gradient else ""
        made = "schedule" if self.schedule else "function" if self.script else "tensors"
        lines = [
            "import numpy as np, tensorflow as tf, tensorflow_tvm as tftvm",
            "from tvm import s_tir, te, tirx, topi",
        ]
        if self.script:
            lines += [
                "from tvm.script import from_source, tirx as T",
                f'function = from_source("""\n{self.script}""", globals())',
            ]
        else:
            lines += self.lines()
        lines.append(f'module = tftvm.build({{"f": {made}}}{gradient})')
        if sizes is not None and self.has_inputs(sizes):
            pairs = list(zip(self.inputs, self.arrays(sizes, salt), strict=True))
            lines.append("inputs = [")
            lines += [
                f'    tf.cast(tf.constant({_literal(array)}, "{_carrier(value.dtype)}", '
                f'{list(array.shape)}), "{value.dtype}"),'
                for value, array in pairs
                if not value.role.startswith("attr")
            ]
            lines.append("]")
            attrs = [
                f", {value.name}={array.item()}"
                for value, array in pairs
                if value.role.startswith("attr")
            ]
            if self.gradient:
                lines.append(
                    "with tf.GradientTape() as tape:\n    tape.watch(inputs)\n"
                    '    outputs = tf.nest.flatten(module["f"](*inputs))\n'
                    "print(outputs, tape.gradient(outputs, inputs))"
                )
            else:
                lines.append(f'print(module["f"](*inputs{"".join(attrs)}))')
        return "\n".join(lines) + "\n"


def _size(expression: str, sizes: dict[str, int]) -> int:
    try:
        return int(eval(expression, {"te": _Sizes, "tirx": _Sizes}, sizes))
    except ZeroDivisionError:
        return 0


class _Sizes:
    """What expressions of sizes call."""

    max, min = max, min

    @staticmethod
    def floordiv(a: int, b: int) -> int:
        return a // b

    @staticmethod
    def floormod(a: int, b: int) -> int:
        return a % b


def _carrier(dtype: str) -> str:
    return "float64" if dtype == "bfloat16" else dtype


def _literal(array: np.ndarray) -> str:
    if str(array.dtype) == "bfloat16":
        array = array.astype("float64")
    text = repr(array.reshape(-1).tolist())
    return re.sub(r"\b(nan|inf)\b", r'float("\1")', text)


def random_array(rng: np.random.Generator, dtype: str, shape: list[int], role: str) -> np.ndarray:
    """Return random elements, those at the edges of their dtype often among them."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if "float" in dtype:
        values = rng.uniform(-2.0, 2.0, shape)
        if rng.random() < 0.3:
            special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-40, 300.0]
            values = np.where(rng.random(shape) < 0.3, rng.choice(special, shape), values)
        with np.errstate(over="ignore"):
            return values.astype(_numpy_dtype(dtype))
    information = np.iinfo(dtype)
    if role in ("index", "attr_index"):
        values = rng.integers(max(-1, information.min), 5, shape)
        edges = [information.min, information.max, max(-2, information.min), 9]
        chosen = rng.random(shape) < rng.choice([0.0, 0.3])
    else:
        values = rng.integers(max(-9, information.min), 10, shape)
        edges = [0, max(-1, information.min), information.min, information.max]
        chosen = rng.random(shape) < rng.choice([0.0, 0.15, 0.5])
    values = values.astype(dtype)
    for at in itertools.product(*map(range, shape)) if chosen.any() else ():
        if chosen[at]:
            values[at] = np.array(edges[rng.integers(len(edges))], dtype)
    return values


def _numpy_dtype(dtype: str) -> Any:
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(dtype)


def generate(seed: int) -> GeneratedFunction:
    """Return the function of a seed, always the same."""
    from tensorflow_tvm.tests.fuzz import kinds, scripts, steps

    rng = random.Random(seed)
    if rng.random() < 0.06:
        return scripts.generate(seed, rng)
    return steps.Builder(seed).build(kinds.KINDS)
