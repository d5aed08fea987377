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
"""What a function takes and gives: names, dtypes and shapes, in one text form.

The grammar, with ``{…}`` for any number of times and ``[…]`` for at most once::

    signature = "(" [ argument { "," argument } ] ")" "->" "(" [ tensor { "," tensor } ] ")"
    argument  = tensor | name ":" attr
    tensor    = name ":" dtype "[" [ "..." | dim { "," dim } ] "]"
    attr      = scalar | "list" "[" scalar "]"
    scalar    = "int" | "float" | "bool" | "str"
    dim       = "?" | sum
    sum       = product { ( "+" | "-" ) product }
    product   = factor { ( "*" | "//" | "%" ) factor }
    factor    = [ "-" ] atom
    atom      = integer | symbol | "(" sum ")" | ( "min" | "max" ) "(" sum "," sum { "," sum } ")"

``//`` and ``%`` round down, as in Python. ``any`` is a dtype that is not said, ``...`` a shape and
``?`` a dimension that is not said. Every symbol stands bare, as a whole dimension, in at least one
input. cc/runtime/signature.cc reads the same grammar.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"),
)
ANY_DTYPE = "any"
UNKNOWN = "?"
_POSSIBLE_DTYPES = f"{', '.join(DTYPES)} and {ANY_DTYPE}"
_SCALARS = ("int", "float", "bool", "str")
ATTR_TYPES = (*_SCALARS, *(f"list[{scalar}]" for scalar in _SCALARS))
_FUNCTIONS = ("min", "max")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)|([0-9]+)|(->|//|\.\.\.|[()\[\],:+*%?-]))")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
# Both bound what one dimension may cost, and how deep the functions below call themselves.
_MOST_OPERATORS = 200
_DEEPEST_NESTING = 32


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a function.

    Attributes
    ----------
    role : str
        ``"input"`` or ``"output"`` for tensors, ``"attr"`` for Python values.
    name : str
        Its name.
    dtype : str
        A tensor's dtype, for example ``"float32"``, or ``"any"``; an attr's type: ``"int"``,
        ``"float"``, ``"bool"``, ``"str"``, or a list of those such as ``"list[int]"``.
    shape : tuple of int and str, or None
        A tensor's dimensions: integers, or symbols and expressions of symbols as text, or ``"?"``.
        None for any shape, and for attrs.
    """

    role: str
    name: str
    dtype: str
    shape: tuple[int | str, ...] | None = None

    def __str__(self) -> str:
        if self.role == "attr":
            return f"{self.name}: {self.dtype}"
        dims = "..." if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a function takes and gives.

    Attributes
    ----------
    arguments : tuple of Argument
        Inputs and attrs in the order in which the function takes them, then the outputs.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> signature = tftvm.Signature.parse("(x: float32[n], k: int) -> (y: float32[2*n])")
    >>> signature.outputs[0].shape
    ('2*n',)
    >>> print(signature)
    (x: float32[n], k: int) -> (y: float32[2*n])
    >>> tftvm.Signature.from_json(signature.to_json()) == signature
    True
    """

    arguments: tuple[Argument, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(map(_checked, self.arguments)))
        names: set[str] = set()
        bound: set[str] = set()
        for argument in self.arguments:
            if argument.name in names:
                raise ValueError(f"two arguments of a signature are called '{argument.name}'")
            names.add(argument.name)
            if argument.role == "input":
                bound.update(
                    dim for dim in argument.shape or () if _NAME.fullmatch(str(dim)) is not None
                )
        roles = [argument.role for argument in self.arguments]
        if "output" in roles and set(roles[roles.index("output") :]) != {"output"}:
            raise ValueError("the outputs of a signature must come after its inputs and attrs")
        for argument in self.arguments:
            for dim in argument.shape or ():
                for symbol in symbols(dim):
                    if symbol not in bound:
                        raise ValueError(
                            f"symbol '{symbol}' in '{argument}' is no dimension of any input; "
                            "an input must have it as a whole dimension"
                        )

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """The tensors that the function takes."""
        return tuple(argument for argument in self.arguments if argument.role == "input")

    @property
    def attrs(self) -> tuple[Argument, ...]:
        """The Python values that the function takes."""
        return tuple(argument for argument in self.arguments if argument.role == "attr")

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """The tensors that the function gives."""
        return tuple(argument for argument in self.arguments if argument.role == "output")

    def __str__(self) -> str:
        taken = ", ".join(str(a) for a in self.arguments if a.role != "output")
        return f"({taken}) -> ({', '.join(map(str, self.outputs))})"

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read a signature's text form.

        Parameters
        ----------
        text : str
            For example ``"(x: float32[n, d], w: float32[d]) -> (y: float32[n, d])"``. The grammar
            is at the top of ``tensorflow_tvm/signature.py`` and in ``docs/signatures.md``.

        Returns
        -------
        Signature

        Raises
        ------
        ValueError
            If it is no signature; the message points at the character.
        TypeError
            If `text` is no string.
        """
        if not isinstance(text, str):
            raise TypeError(f"Expected a signature as a string, given {text!r}.")
        return cls(_Parser(text, "signature").signature())

    def to_json(self) -> str:
        """Return the signature as a JSON object; `from_json` reads it."""
        arguments = []
        for argument in self.arguments:
            entry: dict[str, Any] = dataclasses.asdict(argument)
            if argument.role == "attr":
                del entry["shape"]
            arguments.append(entry)
        return json.dumps({"arguments": arguments})

    @classmethod
    def from_json(cls, text: str | bytes) -> Signature:
        """Read what `to_json` wrote.

        Parameters
        ----------
        text : str or bytes
            A JSON object with the key ``"arguments"``: a list of objects with ``"role"``,
            ``"name"``, ``"dtype"`` and, for tensors, ``"shape"``: a list, or null for any shape.

        Returns
        -------
        Signature

        Raises
        ------
        ValueError
            If it is not such an object, or says what no signature can.
        """
        try:
            arguments = tuple(
                Argument(
                    role=entry["role"],
                    name=entry["name"],
                    dtype=entry["dtype"],
                    shape=None if entry.get("shape") is None else tuple(entry["shape"]),
                )
                for entry in json.loads(text)["arguments"]
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"Cannot read a signature from JSON: {error!r}") from None
        return cls(arguments)


def parse_shape(text: str) -> tuple[int | str, ...]:
    """Read dimensions such as ``"[n, 2*d]"`` or ``"n, 2*d"``; without commas also ``"n d"``."""
    return _Parser(text, "shape").shape()


def symbols(dim: int | str) -> set[str]:
    """Return the symbols in a dimension."""
    if isinstance(dim, int):
        return set()
    return set(_NAME.findall(dim)) - set(_FUNCTIONS)


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
    return _Parser(dim, "dimension").whole_dimension()


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


def _checked(argument: Argument) -> Argument:
    """Return `argument` with each dimension in the one form that equal ones share."""
    if not isinstance(argument, Argument):
        raise ValueError(f"expected arguments of a signature, given {argument!r}")
    role, name, dtype, shape = dataclasses.astuple(argument)
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"the name of an argument must be an identifier, given {name!r}")
    if role == "attr":
        if dtype not in ATTR_TYPES:
            raise ValueError(
                f"attr '{name}' has type {dtype!r}; possible are {', '.join(ATTR_TYPES)}"
            )
        if shape is not None:
            raise ValueError(f"attr '{name}' cannot have a shape")
        return argument
    if role not in ("input", "output"):
        raise ValueError(
            f"the role of argument '{name}' must be 'input', 'output' or 'attr', given {role!r}"
        )
    if dtype not in (*DTYPES, ANY_DTYPE):
        raise ValueError(f"argument '{name}' has dtype {dtype!r}; possible are {_POSSIBLE_DTYPES}")
    if shape is None:
        return argument
    dims = []
    for dim in shape:
        if isinstance(dim, str):
            dims.append(_Parser(dim, f"dimension of '{name}'").whole_dimension_text())
        elif isinstance(dim, int) and not isinstance(dim, bool) and 0 <= dim <= _INT64_MAX:
            dims.append(dim)
        else:
            raise ValueError(
                f"a dimension of argument '{name}' must be an integer of at least 0, or text, "
                f"given {dim!r}"
            )
    return dataclasses.replace(argument, shape=tuple(dims))


class _Parser:
    """A recursive descent over tokens; it knows where each one is, to point at it."""

    def __init__(self, text: str, what: str) -> None:
        self._text = text
        self._what = what
        self._operators = 0
        self._nesting = 0
        self._names: set[str] = set()
        self._symbols: dict[str, int] = {}  # where each one is first
        self._tokens: list[tuple[int, str]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                at += len(text[at:]) - len(text[at:].lstrip())
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
        if _NAME.fullmatch(self._peek()) is None:
            self._expected(what)
        return self._take()

    def signature(self) -> tuple[Argument, ...]:
        arguments = list(self._list("(", lambda: self._argument("input"), ")"))
        self._take("->")
        arguments += self._list("(", lambda: self._argument("output"), ")")
        self._end()
        bound = {dim for a in arguments if a.role == "input" for dim in a.shape or ()}
        for symbol, at in self._symbols.items():
            if symbol not in bound:
                self._fail(
                    at,
                    f"symbol '{symbol}' is no dimension of any input; an input must have it as a "
                    "whole dimension",
                )
        return tuple(arguments)

    def _list(self, opening: str, element: Callable[[], Any], closing: str) -> Iterable[Any]:
        self._take(opening)
        elements = []
        while self._peek() != closing:
            if elements:
                self._take(",", closing)
            elements.append(element())
        self._take(closing)
        return elements

    def _argument(self, role: str) -> Argument:
        at = self._at()
        name = self._name("the name of an argument")
        if name in self._names:
            self._fail(at, f"two arguments are called '{name}'")
        self._names.add(name)
        self._take(":")
        at = self._at()
        dtype = self._name("a dtype")
        if dtype == "list":
            self._take("[")
            dtype = f"list[{self._take(*_SCALARS)}]"
            self._take("]")
        elif dtype not in _SCALARS or self._peek() == "[":
            if dtype not in (*DTYPES, ANY_DTYPE):
                self._fail(at, f"unknown dtype '{dtype}'; possible are {_POSSIBLE_DTYPES}")
            return Argument(role, name, dtype, self._dims())
        if role == "output":
            self._fail(at, "expected the dtype of a tensor as in 'float32[n]', found an attr's")
        return Argument("attr", name, dtype)

    def _dims(self) -> tuple[int | str, ...] | None:
        if (
            self._tokens[self._next + 1 : self._next + 2]
            and self._tokens[self._next + 1][1] == "..."
        ):
            self._take("[")
            self._take("...")
            self._take("]")
            return None
        return tuple(self._list("[", self._dim, "]"))

    def shape(self) -> tuple[int | str, ...]:
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
        expression = self._sum()
        self._end()
        return expression

    def whole_dimension_text(self) -> int | str:
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
        self._operators += 1
        if self._operators > _MOST_OPERATORS:
            self._fail(self._at(), f"a dimension of more than {_MOST_OPERATORS} operators")
        return self._take(*expected)

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
            if int(token) > _INT64_MAX:
                self._fail(self._at(), "an integer that does not fit in 64 bits")
            return int(self._take())
        if token in _FUNCTIONS:
            self._operator(token)
            at = self._at()
            operands = tuple(self._nested(lambda: self._list("(", self._sum, ")")))
            if len(operands) < 2:
                self._fail(at, f"'{token}' takes at least two values")
            return (token, *operands)
        if _NAME.fullmatch(token):
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
