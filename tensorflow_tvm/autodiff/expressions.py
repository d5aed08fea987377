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
"""Derivatives of scalar expressions, by accumulation in reverse.

See A. Griewank and A. Walther, "Evaluating Derivatives", 2nd edition, SIAM 2008, chapter 3. Where a
function has a corner, the derivative is the one that TensorFlow takes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from tvm import ir, te, tirx
from tvm.ir import prim

from tensorflow_tvm.autodiff import nodes
from tensorflow_tvm.autodiff.errors import NotDifferentiable
from tensorflow_tvm.autodiff.nodes import add, const, div, mul, neg, select, zero


@dataclasses.dataclass
class Term:
    """What reading an element contributes to the gradient of the tensor that is read.

    Attributes
    ----------
    tensor : te.Tensor
        What is read.
    indices : list of tirx.Expr
        Where.
    guards : list of tirx.Expr
        Conditions on the axes under which it is read.
    value : tirx.Expr
        What is added to the gradient of the element.
    """

    tensor: te.Tensor
    indices: list[Any]
    guards: list[Any]
    value: Any


def terms_of(
    expression: Any,
    gradient: Any,
    guards: list[Any],
    is_active: Callable[[te.Tensor], bool],
    value: Any | None = None,
) -> list[Term]:
    """Return what an expression's reads contribute, where `gradient` is the expression's own.

    Parameters
    ----------
    expression : tirx.Expr
        A scalar.
    gradient : tirx.Expr
        The gradient with respect to it, of its dtype.
    guards : list of tirx.Expr
        Conditions on the axes under which it is computed.
    is_active : callable
        Which tensors' gradients are asked for.
    value : tirx.Expr, optional
        Something shorter that has its value.

    Raises
    ------
    NotDifferentiable
        If there is no rule for a part of it.
    """
    walk = _Walk(is_active)
    walk.visit(expression, gradient, guards, value)
    return walk.terms


class _Walk:
    def __init__(self, is_active: Callable[[te.Tensor], bool]) -> None:
        self.terms: list[Term] = []
        self._is_active = is_active
        self._known: dict[int, bool] = {}  # by address

    def _matters(self, node: Any) -> bool:
        key = hash(node)
        if key not in self._known:
            self._known[key] = any(self._is_active(read.args[0]) for read in nodes.loads(node))
        return self._known[key]

    def visit(self, node: Any, gradient: Any, guards: list[Any], value: Any | None = None) -> None:
        """Pass the gradient with respect to `node` on to its parts."""
        if not nodes.is_float(node.ty) or nodes.number_of(gradient) == 0:
            return
        if not self._matters(node):
            return
        if nodes.is_load(node):
            self._add(node, gradient, guards)
        elif isinstance(node, ir.Call):
            self._call(node, gradient, guards, node if value is None else value)
        elif isinstance(node, prim.Select):
            self._choice(node.condition, node.true_value, node.false_value, gradient, guards, True)
        elif isinstance(node, prim.Cast):
            self.visit(node.value, nodes.cast(gradient, str(node.value.ty)), guards)
        elif isinstance(node, (prim.Min, prim.Max)):
            first = self._first_wins(node)
            self.visit(node.a, select(first, gradient, zero(gradient)), guards)
            self.visit(node.b, select(first, zero(gradient), gradient), guards)
        elif type(node) in _OPERATORS:
            if nodes.is_same(node.a, node.b) and isinstance(node, prim.Mul):
                self.visit(node.a, mul(gradient, mul(const(2, node), node.a)), guards)
                return
            value = node if value is None else value
            for part, rule in zip((node.a, node.b), _OPERATORS[type(node)], strict=True):
                if self._matters(part):
                    self.visit(part, rule(gradient, value, node.a, node.b), guards)
        else:
            raise NotDifferentiable(f"there is no rule for {type(node).__name__} in {node}")

    @staticmethod
    def _first_wins(node: Any) -> Any:
        """Whether the first operand is the result: also if they are equal, as in tf.maximum.

        But the derivative of max(x, 0) at 0 is 0, as that of tf.nn.relu.
        """
        if isinstance(node, prim.Min):
            return node.a <= node.b
        if nodes.number_of(node.b) == 0:
            return node.a > node.b
        return node.a >= node.b

    def _add(self, node: ir.Call, gradient: Any, guards: list[Any]) -> None:
        tensor, *indices = node.args
        for term in self.terms:
            if (
                nodes.is_same_tensor(term.tensor, tensor)
                and all(map(nodes.is_same, term.indices, indices))
                and len(term.guards) == len(guards)
                and all(map(nodes.is_same, term.guards, guards))
            ):
                term.value = add(term.value, gradient)
                return
        self.terms.append(Term(tensor, indices, guards, gradient))

    def _choice(
        self, condition: Any, a: Any, b: Any, gradient: Any, guards: list[Any], both: bool
    ) -> None:
        if not nodes.loads(condition):
            self.visit(a, gradient, [*guards, condition])
            self.visit(b, gradient, [*guards, tirx.Not(condition)])
            return
        # The condition may guard reads, and the gradient may have those again.
        choose = select if both else tirx.if_then_else
        self.visit(a, choose(condition, gradient, zero(gradient)), guards)
        self.visit(b, choose(condition, zero(gradient), gradient), guards)

    def _call(self, node: ir.Call, gradient: Any, guards: list[Any], value: Any) -> None:
        name = nodes.name_of(node)
        if name == "if_then_else":
            self._choice(*node.args, gradient, guards, False)
        elif name == "likely":
            self.visit(node.args[0], gradient, guards)
        elif name in _FUNCTIONS:
            for part, rule in zip(node.args, _FUNCTIONS[name], strict=True):
                if self._matters(part):
                    self.visit(part, rule(gradient, value, *node.args), guards)
        elif name not in _STEPS:
            raise NotDifferentiable(f"there is no rule for {name or node.op} in {_short(node)}")


def _short(node: Any) -> str:
    args = ", ".join("…" if nodes.loads(part) else str(part) for part in node.args)
    return f"{nodes.name_of(node)}({args})"


_STEPS = ("floor", "ceil", "round", "nearbyint", "trunc")

Rule = Callable[..., Any]

# The gradient with respect to a and to b, from the gradient g with respect to the result y.
_OPERATORS: dict[type, tuple[Rule, Rule]] = {
    prim.Add: (lambda g, y, a, b: g, lambda g, y, a, b: g),
    prim.Sub: (lambda g, y, a, b: g, lambda g, y, a, b: neg(g)),
    prim.Mul: (lambda g, y, a, b: mul(g, b), lambda g, y, a, b: mul(g, a)),
    prim.Div: (lambda g, y, a, b: div(g, b), lambda g, y, a, b: neg(mul(g, div(y, b)))),
    prim.FloorDiv: (lambda g, y, a, b: zero(g), lambda g, y, a, b: zero(g)),
    prim.FloorMod: (
        lambda g, y, a, b: g,
        lambda g, y, a, b: neg(mul(g, tirx.floor(div(a, b)))),
    ),
    prim.Mod: (lambda g, y, a, b: g, lambda g, y, a, b: neg(mul(g, tirx.trunc(div(a, b))))),
}


def _one_minus_square(x: Any) -> Any:
    return const(1, x) - x * x


def _power_by_base(g: Any, y: Any, x: Any, p: Any) -> Any:
    exponent = nodes.number_of(p)
    if exponent == 0:
        return zero(g)
    if exponent == 1:
        return g
    if exponent == 2:
        return mul(g, const(2, x) * x)
    return mul(g, mul(p, tirx.pow(x, p - const(1, p))))


def _power_by_exponent(g: Any, y: Any, x: Any, p: Any) -> Any:
    # TensorFlow takes the logarithm of what is not positive for 0.
    positive = x > zero(x)
    return mul(g, mul(y, select(positive, tirx.log(select(positive, x, const(1, x))), zero(x))))


def _absolute(g: Any, y: Any, x: Any) -> Any:
    # x stands for 0, which it is, or for NaN, which it is as well.
    return mul(g, select(x > zero(x), const(1, x), select(x < zero(x), const(-1, x), x)))


def _sqrt(g: Any, y: Any, x: Any) -> Any:
    return div(mul(g, const(0.5, x)), y)


# The gradient with respect to each argument, from the gradient g with respect to the result y.
_FUNCTIONS: dict[str, tuple[Rule, ...]] = {
    "exp": (lambda g, y, x: mul(g, y),),
    "exp2": (lambda g, y, x: mul(g, y * const(math.log(2), x)),),
    "exp10": (lambda g, y, x: mul(g, y * const(math.log(10), x)),),
    "log": (lambda g, y, x: div(g, x),),
    "log2": (lambda g, y, x: div(g, x * const(math.log(2), x)),),
    "log10": (lambda g, y, x: div(g, x * const(math.log(10), x)),),
    "log1p": (lambda g, y, x: div(g, x + const(1, x)),),
    "sqrt": (_sqrt,),
    "rsqrt": (lambda g, y, x: mul(g, mul(const(-0.5, x), y * y * y)),),
    "tanh": (lambda g, y, x: mul(g, _one_minus_square(y)),),
    "sigmoid": (lambda g, y, x: mul(g, y * (const(1, x) - y)),),
    "erf": (lambda g, y, x: mul(g, const(2 / math.sqrt(math.pi), x) * tirx.exp(neg(x * x))),),
    "sin": (lambda g, y, x: mul(g, tirx.cos(x)),),
    "cos": (lambda g, y, x: neg(mul(g, tirx.sin(x))),),
    "tan": (lambda g, y, x: mul(g, const(1, x) + y * y),),
    "asin": (lambda g, y, x: div(g, tirx.sqrt(_one_minus_square(x))),),
    "acos": (lambda g, y, x: neg(div(g, tirx.sqrt(_one_minus_square(x)))),),
    "atan": (lambda g, y, x: div(g, const(1, x) + x * x),),
    "sinh": (lambda g, y, x: mul(g, tirx.cosh(x)),),
    "cosh": (lambda g, y, x: mul(g, tirx.sinh(x)),),
    "asinh": (lambda g, y, x: div(g, tirx.sqrt(x * x + const(1, x))),),
    "acosh": (lambda g, y, x: div(g, tirx.sqrt(x * x - const(1, x))),),
    "atanh": (lambda g, y, x: div(g, _one_minus_square(x)),),
    "fabs": (_absolute,),
    "abs": (_absolute,),
    "pow": (_power_by_base, _power_by_exponent),
    "atan2": (
        lambda g, r, y, x: mul(g, div(x, x * x + y * y)),
        lambda g, r, y, x: neg(mul(g, div(y, x * x + y * y))),
    ),
    "hypot": (lambda g, r, x, y: mul(g, div(x, r)), lambda g, r, x, y: mul(g, div(y, r))),
    "fmod": (lambda g, r, x, y: g, lambda g, r, x, y: neg(mul(g, tirx.trunc(div(x, y))))),
    "fma": (
        lambda g, r, x, y, z: mul(g, y),
        lambda g, r, x, y, z: mul(g, x),
        lambda g, r, x, y, z: g,
    ),
}
