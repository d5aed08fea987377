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
    argument  = tensor [ "?" ] | name ":" attr
    tensor    = name ":" dtype "[" [ "..." | dim { "," dim } ] "]"
    attr      = scalar | "list" "[" scalar "]"
    scalar    = "int" | "float" | "bool" | "str"
    dim       = "?" | sum
    sum       = product { ( "+" | "-" ) product }
    product   = factor { ( "*" | "//" | "%" ) factor }
    factor    = [ "-" ] atom
    atom      = integer | symbol | "(" sum ")" | ( "min" | "max" ) "(" sum "," sum { "," sum } ")"

``//`` and ``%`` round down, as in Python. ``any`` is a dtype that is not said, ``...`` a shape and
``?`` a dimension that is not said; after a tensor's ``]`` it marks an optional input. Every symbol
stands bare, as a whole dimension, in at least one input. A tensor has at most 254 dimensions.
cc/runtime/signature.cc reads the same grammar.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tensorflow_tvm.dimensions import NAME, UNKNOWN, Parser, evaluate, symbols  # noqa: F401

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"),
)
ANY_DTYPE = "any"
MOST_DIMENSIONS = 254  # that TensorFlow's shapes have
_POSSIBLE_DTYPES = f"{', '.join(DTYPES)} and {ANY_DTYPE}"
_SCALARS = ("int", "float", "bool", "str")
ATTR_TYPES = (*_SCALARS, *(f"list[{scalar}]" for scalar in _SCALARS))


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
    optional : bool
        Whether calls may pass None for this input.
    """

    role: str
    name: str
    dtype: str
    shape: tuple[int | str, ...] | None = None
    optional: bool = False

    def __str__(self) -> str:
        if self.role == "attr":
            return f"{self.name}: {self.dtype}"
        dims = "..." if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.name}: {self.dtype}[{dims}]{UNKNOWN if self.optional else ''}"


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
        for argument in self.arguments:
            if argument.name in names:
                raise ValueError(f"two arguments of a signature are called '{argument.name}'")
            names.add(argument.name)
        roles = [argument.role for argument in self.arguments]
        if "output" in roles and set(roles[roles.index("output") :]) != {"output"}:
            raise ValueError("the outputs of a signature must come after its inputs and attrs")
        for symbol, argument in unbound_symbols(self.arguments):
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
        return cls(_SignatureParser(text).signature())

    def to_json(self) -> str:
        """Return the signature as a JSON object; `from_json` reads it."""
        arguments = []
        for argument in self.arguments:
            entry: dict[str, Any] = dataclasses.asdict(argument)
            if argument.role == "attr":
                del entry["shape"]
            if not argument.optional:
                del entry["optional"]
            arguments.append(entry)
        return json.dumps({"arguments": arguments})

    @classmethod
    def from_json(cls, text: str | bytes) -> Signature:
        """Read what `to_json` wrote.

        Parameters
        ----------
        text : str or bytes
            A JSON object with the key ``"arguments"``: a list of objects with ``"role"``,
            ``"name"``, ``"dtype"`` and, for tensors, ``"shape"``: a list, or null for any shape;
            for optional inputs also ``"optional"``: true.

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
                    shape=_shape_of(entry.get("shape")),
                    optional=entry.get("optional", False),
                )
                for entry in json.loads(text)["arguments"]
            )
        except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"Cannot read a signature from JSON: {error!r}") from None
        return cls(arguments)


def unbound_symbols(arguments: Sequence[Argument]) -> Iterator[tuple[str, Argument]]:
    """Yield the symbols that are no whole dimension of an input, each with an argument it is in."""
    inputs = (argument for argument in arguments if argument.role == "input")
    bound = {dim for argument in inputs for dim in argument.shape or ()}
    for argument in arguments:
        for dim in argument.shape or ():
            yield from ((symbol, argument) for symbol in symbols(dim) if symbol not in bound)


def _shape_of(entry: Any) -> tuple[int | str, ...] | None:
    if entry is not None and not isinstance(entry, list):
        raise TypeError(f"a shape must be a list or null, given {entry!r}")
    return None if entry is None else tuple(entry)


def _checked(argument: Argument) -> Argument:
    """Return `argument` with each dimension in the one form that equal ones share."""
    if not isinstance(argument, Argument):
        raise ValueError(f"expected arguments of a signature, given {argument!r}")
    role, name, dtype, shape, optional = dataclasses.astuple(argument)
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ValueError(f"the name of an argument must be an identifier, given {name!r}")
    if not isinstance(optional, bool) or (optional and role != "input"):
        raise ValueError(
            f"optional must be True or False for an input, and False for others; argument '{name}' "
            f"has role {role!r} and optional {optional!r}"
        )
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
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError(
            f"argument '{name}' has {len(shape)} dimensions; a tensor has at most {MOST_DIMENSIONS}"
        )
    dims = []
    for dim in shape:
        if isinstance(dim, str):
            dims.append(Parser(dim, f"dimension of '{name}'").whole_dimension_text())
        elif isinstance(dim, int) and not isinstance(dim, bool) and 0 <= dim < 2**63:
            dims.append(dim)
        else:
            raise ValueError(
                f"a dimension of argument '{name}' must be an integer of at least 0, or text, "
                f"given {dim!r}"
            )
    return dataclasses.replace(argument, shape=tuple(dims))


class _SignatureParser(Parser):
    def __init__(self, text: str) -> None:
        super().__init__(text, "signature")
        self._names: set[str] = set()

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
            return Argument(role, name, dtype, self._dims(), self._optional(role))
        if role == "output":
            self._fail(at, "expected the dtype of a tensor as in 'float32[n]', found an attr's")
        return Argument("attr", name, dtype)

    def _optional(self, role: str) -> bool:
        if self._peek() != UNKNOWN:
            return False
        if role == "output":
            self._fail(self._at(), "an output cannot be optional")
        self._take(UNKNOWN)
        return True

    def _dims(self) -> tuple[int | str, ...] | None:
        if (
            self._tokens[self._next + 1 : self._next + 2]
            and self._tokens[self._next + 1][1] == "..."
        ):
            self._take("[")
            self._take("...")
            self._take("]")
            return None
        at = self._at()
        dims = tuple(self._list("[", self._dim, "]"))
        if len(dims) > MOST_DIMENSIONS:
            self._fail(at, f"a tensor has at most {MOST_DIMENSIONS} dimensions, found {len(dims)}")
        return dims
