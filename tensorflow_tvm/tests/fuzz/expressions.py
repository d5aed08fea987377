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
"""Random scalar expressions, as the text of a program."""

from __future__ import annotations

import random

FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
INTS = ("int32", "int32", "int64", "int8", "int16", "uint8", "uint16", "uint32", "uint64")
_UNARY = (
    *("te.exp", "te.tanh", "te.sigmoid", "te.sqrt", "te.log", "te.cos", "te.sin", "te.erf"),
    *("te.floor", "te.ceil", "te.trunc", "te.nearbyint", "te.abs", "te.abs"),
)
_INT_BINARY = (
    *("{} + {}", "{} - {}", "{} * {}", "tirx.max({}, {})", "tirx.min({}, {})"),
    *("{} & {}", "{} | {}", "{} ^ {}"),
)
_DIVISIONS = ("tirx.floordiv", "tirx.floormod", "tirx.truncdiv", "tirx.truncmod")
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


def is_float(dtype: str) -> bool:
    """Whether a dtype is one of floating point."""
    return "float" in dtype


def constant(rng: random.Random, dtype: str) -> str:
    """Return a constant: often one that is at an edge."""
    if dtype == "bool":
        return f'tirx.const({rng.random() < 0.5}, "bool")'
    if is_float(dtype):
        value = rng.choice([0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 100.0, 1e-3])
        return f'tirx.const({value}, "{dtype}")'
    bits = int(dtype.lstrip("uint"))
    if dtype.startswith("u"):
        choices = [0, 1, 2, 3, 5, 2 ** min(bits, 31) - 1]
    else:
        choices = [0, 1, -1, 2, 3, -3, 7, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))]
    weights = [6] * (len(choices) - 2) + [1, 1]
    return f'tirx.const({rng.choices(choices, weights)[0]}, "{dtype}")'


class Expressions:
    """Expressions over some leaves.

    Parameters
    ----------
    rng : random.Random
    leaves : list of (str, str)
        Text and dtype of what the expressions are made of: elements of tensors.
    indices : list of str
        int32 expressions that do not depend on data: loop variables and sizes.
    """

    def __init__(
        self, rng: random.Random, leaves: list[tuple[str, str]], indices: list[str]
    ) -> None:
        self._rng = rng
        self._leaves = leaves
        self._indices = indices

    def value(self, dtype: str, depth: int) -> str:
        """Return an expression of `dtype`."""
        if dtype == "bool":
            return self.condition(depth)
        rng = self._rng
        if depth <= 0 or rng.random() < 0.15:
            return self._leaf(dtype)
        if rng.random() < 0.12:
            choose = rng.choice(["tirx.if_then_else", "tirx.Select"])
            condition = self.condition(depth - 1)
            return (
                f"{choose}({condition}, {self.value(dtype, depth - 1)}, "
                f"{self.value(dtype, depth - 1)})"
            )
        if rng.random() < 0.1:
            other = rng.choice(FLOATS + INTS)
            if other != dtype:
                return f'({self.value(other, depth - 1)}).astype("{dtype}")'
        return self._float(dtype, depth) if is_float(dtype) else self._integer(dtype, depth)

    def _float(self, dtype: str, depth: int) -> str:
        rng = self._rng
        a = self.value(dtype, depth - 1)
        if rng.random() < 0.4:
            return f"{rng.choice(_UNARY)}({a})"
        b = self.value(dtype, depth - 1)
        if a == b:  # TVM makes 0 of x - x, even of NaN
            return f"({a} + {b})"
        form = rng.choice(
            ("{} + {}", "{} - {}", "{} * {}", "{} / {}", "tirx.max({}, {})", "tirx.min({}, {})")
        )
        return f"({form.format(a, b)})"

    def _integer(self, dtype: str, depth: int) -> str:
        rng = self._rng
        a, b = self.value(dtype, depth - 1), self.value(dtype, depth - 1)
        kind = rng.random()
        if kind < 0.3:
            return self._division(dtype, a, b)
        if kind < 0.42:
            return f"({a} {rng.choice(['<<', '>>'])} {b})"
        if kind < 0.5 and not dtype.startswith("u"):
            return f"te.abs({a})"
        return f"({rng.choice(_INT_BINARY).format(a, b)})"

    def _division(self, dtype: str, a: str, b: str) -> str:
        rng = self._rng
        choice = rng.random()
        division = rng.choice(_DIVISIONS)
        if choice < 0.4 and a != b:  # TVM makes 1 of x // x, whatever x is
            return f"{division}({a}, {b})"
        if choice < 0.7:  # a divisor that is never 0
            b = f'tirx.const({rng.choice([1, 2, 3, 7])}, "{dtype}")'
            return f"{division}({a}, {b})"
        zero, one = (f'tirx.const({value}, "{dtype}")' for value in (0, 1))
        if choice < 0.85:
            return f"tirx.if_then_else({b} != {zero}, {division}({a}, {b}), {zero})"
        return f"{division}({a}, tirx.max({b}, {one}))"

    def condition(self, depth: int) -> str:
        """Return an expression of dtype bool."""
        rng = self._rng
        choice = rng.random()
        bools = [text for text, dtype in self._leaves if dtype == "bool"]
        if bools and choice < 0.25:
            return rng.choice(bools)
        if depth > 0 and choice < 0.45:
            both = f"{self.condition(depth - 1)}, {self.condition(depth - 1)}"
            return f"{rng.choice(['tirx.all', 'tirx.any'])}({both})"
        if depth > 0 and choice < 0.5:
            return f"tirx.Not({self.condition(depth - 1)})"
        if self._indices and choice < 0.65:
            index = rng.choice(self._indices)
            return f"({index} {rng.choice(_COMPARISONS)} {rng.choice(['1', '2', *self._indices])})"
        _, dtype = rng.choice(self._leaves or [("", "int32")])
        dtype = "int32" if dtype == "bool" else dtype
        return (
            f"({self.value(dtype, min(depth - 1, 1))} {rng.choice(_COMPARISONS)} "
            f"{constant(rng, dtype)})"
        )

    def _leaf(self, dtype: str) -> str:
        rng = self._rng
        choice = rng.random()
        if not self._leaves or choice < 0.1:
            return constant(rng, dtype)
        if self._indices and choice < 0.2:
            return f'({rng.choice(self._indices)}).astype("{dtype}")'
        same = [text for text, other in self._leaves if other == dtype]
        if same and rng.random() < 0.85:
            return rng.choice(same)
        text, other = rng.choice(self._leaves)
        return text if other == dtype else f'({text}).astype("{dtype}")'
