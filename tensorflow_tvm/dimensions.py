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
"""Dimensions of tensors: integers, symbols, and expressions of symbols, as in ``2*n+1``.

signature.py has the grammar.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

UNKNOWN = "?"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FUNCTIONS = ("min", "max")
_SPACE = " \t\n\r\f\v"  # the same as in C++, and no more
_TOKEN = re.compile(
    r"[ \t\n\r\f\v]*(?:([A-Za-z_][A-Za-z0-9_]*)|([0-9]+)|(->|//|\.\.\.|[()\[\],:+*%?-]))"
)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
# Both bound what one dimension may cost, and how deep the functions below call themselves.
_MOST_OPERATORS = 200
_DEEPEST_NESTING = 32
_MOST_CHARACTERS = 1 << 16


def parse_shape(text: str) -> tuple[int | str, ...]:
    """Read dimensions such as ``"[n, 2*d]"`` or ``"n, 2*d"``; without commas also ``"n d"``."""
    return Parser(text, "shape").shape()


def symbols(dim: int | str) -> set[str]:
    """Return the symbols in a dimension."""
    if isinstance(dim, int):
        return set()
    return set(NAME.findall(dim)) - set(_FUNCTIONS)


def evaluate(dim: int | str, values: Mapping[str, int]) -> int:
    """Return a dimension's size.

    Parameters
    ----------
    dim : int or str
        For example ``"2*n+1"``.
    values : mapping of str to int
        The size that each symbol stands for.

    Returns
    -------
    int

    Raises
    ------
    KeyError
        If a symbol has no value.
    ZeroDivisionError
        If it divides by zero.
    OverflowError
        If a number on the way does not fit in 64 bits.
    """
    return fold(dim, values.__getitem__, _ARITHMETIC)


def fold(dim: int | str, value_of: Callable[[str], Any], operations: Mapping[str, Callable]) -> Any:
    """Evaluate a dimension with operations of the caller's.

    Parameters
    ----------
    dim : int or str
        For example ``"2*n+1"``.
    value_of : callable
        Gives the value of a symbol.
    operations : mapping of str to callable
        What ``+ - * // % min max`` do; ``-`` is called with one value or two.
    """
    if isinstance(dim, int):
        return dim
    return _fold(_expression(dim), value_of, operations)


# An expression: an integer, a symbol, or an operator and its operands.
_Expression = int | str | tuple[Any, ...]


def _fold(
    expression: _Expression, value_of: Callable[[str], Any], operations: Mapping[str, Callable]
) -> Any:
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return value_of(expression)
    operator, *operands = expression
    return operations[operator](*(_fold(operand, value_of, operations) for operand in operands))


def _in_64_bits(operation: Callable[..., int]) -> Callable[..., int]:
    def checked(*operands: int) -> int:
        result = operation(*operands)
        if not _INT64_MIN <= result <= _INT64_MAX:
            raise OverflowError(f"{result} does not fit in 64 bits")
        return result

    return checked


_ARITHMETIC = {
    "+": _in_64_bits(lambda a, b: a + b),
    "-": _in_64_bits(lambda a, b=None: -a if b is None else a - b),
    "*": _in_64_bits(lambda a, b: a * b),
    "//": _in_64_bits(lambda a, b: a // b),
    "%": _in_64_bits(lambda a, b: a % b),
    "min": min,
    "max": max,
}


@functools.lru_cache(maxsize=4096)
def _expression(dim: str) -> _Expression:
    return Parser(dim, "dimension").whole_dimension()


_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "%": 2}
_UNARY, _ATOM = 3, 4


def _print(expression: _Expression) -> tuple[str, int]:
    """Return an expression's text, with no more brackets than it needs, and how tight it binds."""
    if isinstance(expression, int):
        return str(expression), _ATOM if expression >= 0 else _UNARY
    if isinstance(expression, str):
        return expression, _ATOM
    operator, *operands = expression
    if operator in _FUNCTIONS:
        return f"{operator}({', '.join(_print(operand)[0] for operand in operands)})", _ATOM
    if len(operands) == 1:
        return f"-{_bracketed(operands[0], _ATOM)}", _UNARY
    level = _PRECEDENCE[operator]
    # Operators of one level group from the left.
    left, right = _bracketed(operands[0], level), _bracketed(operands[1], level + 1)
    return f"{left}{operator}{right}", level


def _bracketed(expression: _Expression, least: int) -> str:
    text, level = _print(expression)
    return text if level >= least else f"({text})"


class Parser:
    """A recursive descent over tokens; it knows where each one is, to point at it."""

    def __init__(self, text: str, what: str) -> None:
        self._text = text
        self._what = what
        self._operators = 0
        self._nesting = 0
        self._symbols: dict[str, int] = {}  # where each one is first
        self._tokens: list[tuple[int, str]] = []
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(
                f"Cannot parse {what}: it has {len(text)} characters; at most {_MOST_CHARACTERS} "
                "are allowed."
            )
        at = 0
        end = len(text.rstrip(_SPACE))
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                at += len(text[at:]) - len(text[at:].lstrip(_SPACE))
                self._fail(at, f"unexpected character {text[at]!r}")
            self._tokens.append((match.start(match.lastindex), match[match.lastindex]))
            at = match.end()
        self._tokens.append((end, ""))
        self._next = 0

    def _fail(self, at: int, why: str) -> NoReturn:
        line = re.sub(r"\s", " ", self._text)
        raise ValueError(
            f"Cannot parse {self._what} at character {at + 1}: {why}:\n  {line}\n  {' ' * at}^"
        )

    def _peek(self) -> str:
        return self._tokens[self._next][1]

    def _at(self) -> int:
        return self._tokens[self._next][0]

    def _take(self, *expected: str) -> str:
        token = self._peek()
        if expected and token not in expected:
            self._expected(" or ".join(f"'{text}'" for text in expected))
        self._next += 1
        return token

    def _expected(self, what: str) -> NoReturn:
        token = self._peek()
        self._fail(self._at(), f"expected {what}, found {repr(token) if token else 'the end'}")

    def _end(self) -> None:
        if self._peek():
            self._expected("the end")

    def _name(self, what: str) -> str:
        if NAME.fullmatch(self._peek()) is None:
            self._expected(what)
        return self._take()

    def _list(self, opening: str, element: Callable[[], Any], closing: str) -> Iterable[Any]:
        self._take(opening)
        elements = []
        while self._peek() != closing:
            if elements:
                self._take(",", closing)
            elements.append(element())
        self._take(closing)
        return elements

    def shape(self) -> tuple[int | str, ...]:
        """Read the whole text as a shape."""
        if self._peek() == "[":
            dims = tuple(self._list("[", self._dim, "]"))
        else:
            dims = ()
            while self._peek():
                if dims and self._peek() == ",":
                    self._take(",")
                dims += (self._dim(),)
        self._end()
        return dims

    def whole_dimension(self) -> _Expression:
        """Read the whole text as one dimension."""
        expression = self._sum()
        self._end()
        return expression

    def whole_dimension_text(self) -> int | str:
        """Read the whole text as one dimension and return it in the form that equal ones share."""
        dim = self._dim()
        self._end()
        return dim

    def _dim(self) -> int | str:
        if self._peek() == UNKNOWN:
            return self._take()
        at = self._at()
        self._operators = 0
        text = _print(self._sum())[0]
        if symbols(text):
            return text
        try:
            size = evaluate(text, {})
        except (ZeroDivisionError, OverflowError) as error:
            self._fail(at, str(error))
        if size < 0:
            self._fail(at, f"a dimension cannot be negative, found {size}")
        return size

    def _operator(self, *expected: str) -> str:
        self._count_operator()
        return self._take(*expected)

    def _count_operator(self) -> None:
        self._operators += 1
        if self._operators > _MOST_OPERATORS:
            self._fail(self._at(), f"a dimension of more than {_MOST_OPERATORS} operators")

    def _sum(self) -> _Expression:
        left = self._product()
        while self._peek() in ("+", "-"):
            left = (self._operator("+", "-"), left, self._product())
        return left

    def _product(self) -> _Expression:
        left = self._factor()
        while self._peek() in ("*", "//", "%"):
            left = (self._operator("*", "//", "%"), left, self._factor())
        return left

    def _factor(self) -> _Expression:
        if self._peek() == "-":
            return (self._operator("-"), self._atom())
        return self._atom()

    def _atom(self) -> _Expression:
        token = self._peek()
        if token.isdigit():
            if len(token.lstrip("0")) > 19 or int(token) > _INT64_MAX:
                self._fail(self._at(), "an integer that does not fit in 64 bits")
            return int(self._take())
        if token in _FUNCTIONS:
            self._operator(token)
            at = self._at()
            operands = tuple(self._nested(lambda: self._list("(", self._sum, ")")))
            for _ in operands[1:]:
                self._count_operator()
            if len(operands) < 2:
                self._fail(at, f"'{token}' takes at least two values")
            return (token, *operands)
        if NAME.fullmatch(token):
            self._symbols.setdefault(token, self._at())
            return self._take()
        if token == "(":
            self._take()
            expression = self._nested(self._sum)
            self._take(")")
            return expression
        self._expected("a dimension")

    def _nested(self, inner: Callable[[], Any]) -> Any:
        self._nesting += 1
        if self._nesting > _DEEPEST_NESTING:
            self._fail(self._at(), f"brackets nested more than {_DEEPEST_NESTING} deep")
        result = inner()
        self._nesting -= 1
        return result
