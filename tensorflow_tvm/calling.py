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
"""How a function is called: in which order it takes its arguments, and values for its attrs."""

from __future__ import annotations

import dataclasses
import numbers
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from tensorflow_tvm.dimensions import UNKNOWN
from tensorflow_tvm.metadata import Metadata, order
from tensorflow_tvm.signature import ANY_DTYPE, Argument, Signature, unbound_symbols

_DEFAULT_ORDER = ("args", "rets")
_ENTRY = re.compile(r"(args|rets)(\.\d+)?|attrs\.[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Convention:
    """What the op must know to call a function.

    Attributes
    ----------
    signature : Signature or None
        What the function takes and gives.
    arg_spec : tuple of str
        The order of its arguments, see `Module.func`; ``"null"`` for an optional input that calls
        leave out.
    owned_tensors : bool
        Whether it takes tensors that it may keep, rather than views.
    """

    signature: Signature | None
    arg_spec: tuple[str, ...]
    owned_tensors: bool = False

    @property
    def returns_outputs(self) -> bool:
        """Whether the function returns its outputs, rather than fill in those passed to it."""
        return not any(entry.startswith("rets") for entry in self.arg_spec)

    @property
    def attrs(self) -> tuple[str, ...]:
        """The names of the attrs."""
        prefix = "attrs."
        return tuple(e.removeprefix(prefix) for e in self.arg_spec if e.startswith(prefix))

    def callee_keys(self) -> dict[str, Any]:
        """Return what the op's attribute `callee` says of this."""
        keys: dict[str, Any] = {}
        if self.signature is not None:
            keys["signature"] = str(self.signature)
        if self.arg_spec != _DEFAULT_ORDER:
            keys["arg_spec"] = self.arg_spec
        if self.owned_tensors:
            keys["owned_tensors"] = True
        return keys

    @tf.autograph.experimental.do_not_convert
    def left_out(self, inputs: Sequence[Any], context: str) -> tuple[int, ...]:
        """Return which optional inputs a call does not have, by index.

        Raises
        ------
        ValueError
            If it does not have another, or has too many.
        """
        arguments = self.signature.inputs
        required = [i for i, argument in enumerate(arguments) if not argument.optional]
        if not max(required, default=-1) < len(inputs) <= len(arguments):
            refuse_count(self.signature, len(inputs), context)
        for i in required:
            if inputs[i] is None:
                refuse_none(self.signature, i, context)
        return tuple(i for i in range(len(arguments)) if i >= len(inputs) or inputs[i] is None)

    def without(self, left_out: Sequence[int], context: str) -> Convention:
        """Return what is left for calls that leave out these inputs, by index.

        Raises
        ------
        ValueError
            If only such an input has a symbol that others need.
        """
        optional = [self.signature.inputs[i] for i in left_out]
        rest = tuple(argument for argument in self.signature.arguments if argument not in optional)
        for symbol, argument in unbound_symbols(rest):
            needed = next(str(other) for other in optional if symbol in (other.shape or ()))
            raise ValueError(
                f"{context}: optional input '{needed}' is left out, or None, and no other input "
                f"has the symbol '{symbol}' of '{argument}' as a whole dimension. Pass that input."
            )
        kept = [i for i in range(len(self.signature.inputs)) if i not in left_out]
        entries = {f"args.{i}": f"args.{new}" for new, i in enumerate(kept)}
        entries.update({f"args.{i}": "null" for i in left_out})
        spec = (entries.get(entry, entry) for entry in _expanded(self.arg_spec, self.signature))
        return dataclasses.replace(self, signature=Signature(rest), arg_spec=tuple(spec))

    def attr_values(self, given: dict[str, Any], context: str) -> dict[str, Any]:
        """Check a call's attrs, and return them as values that JSON can hold."""
        names = self.attrs
        for name in given:
            if name not in names:
                known = f"its attrs are {', '.join(names)}" if names else "it has none"
                raise TypeError(
                    f"{context} has no attr '{name}'; {known}. Inputs are passed by position; "
                    "attrs are named by the signature or by arg_spec, as in "
                    f"arg_spec=['args', 'rets', 'attrs.{name}']."
                )
        values = {}
        for name in names:
            argument = self._attr(name)
            if name not in given:
                what = f"{name}: {argument.dtype}" if argument else name
                raise TypeError(f"{context} was called without its attr '{what}'.")
            values[name] = _attr_value(given[name], name, argument, context)
        return values

    def _attr(self, name: str) -> Argument | None:
        attrs = self.signature.attrs if self.signature is not None else ()
        return next((argument for argument in attrs if argument.name == name), None)


def refuse_count(signature: Signature, count: int, context: str) -> NoReturn:
    """Raise the error that a call has so many inputs."""
    raise ValueError(
        f"{context} was called with {count} inputs; expected {len(signature.inputs)}: its "
        f"signature is {signature}."
    )


def refuse_none(signature: Signature | None, index: int, context: str) -> NoReturn:
    """Raise the error that an input is None."""
    what, cure = f"input {index}", "Its signature is not known: give signature="
    if signature is not None:
        what = f"input '{signature.inputs[index].name}'"
        cure = f"Its signature is {signature}; an optional input is declared"
    raise ValueError(
        f"{context}: {what} is None, and is not optional; expected a tensor. {cure} with a "
        "question mark after its shape, as in 'bias: float32[n]?'."
    )


def resolve(
    metadata: Metadata,
    signature: Signature | str | None,
    arg_spec: Sequence[str] | None,
    given_outputs: int,
    context: str,
) -> Convention:
    """Make one of what the library says and what the caller says.

    Parameters
    ----------
    metadata
        What the library says of the function.
    signature, arg_spec
        What the caller says, see `Module.func`.
    given_outputs
        How many outputs output_shape and output_dtype speak of; at least 1.
    context
        What messages begin with.
    """
    given = _parse_signature(signature, context)
    spec = _parse_arg_spec(arg_spec, context)
    metadata = metadata.with_outputs(given_outputs if given is None else len(given.outputs))
    said = metadata.signature
    if said is not None and not _is_vague(said):
        if given not in (None, said):
            raise ValueError(
                f"{context}: its library says that its signature is {said}, and signature= says "
                f"{given}. Leave signature= out."
            )
        if spec is not None and _expanded(spec, said) != _expanded(metadata.arg_spec, said):
            raise ValueError(
                f"{context}: its library says that it takes {list(metadata.arg_spec)}, and "
                f"arg_spec= says {list(spec)}. Leave arg_spec= out."
            )
        given, spec = said, metadata.arg_spec
    elif given is None and spec is None:
        given, spec = said, metadata.arg_spec
    elif spec is None and said is not None:
        spec = _renamed(metadata.arg_spec, said, given, context)
    if spec is None:
        spec = _DEFAULT_ORDER if given is None else (*order(given.arguments), "rets")
    if given is not None:
        _check(given, spec, context)
        if _expanded(spec, given) == _expanded(_DEFAULT_ORDER, given):
            spec = _DEFAULT_ORDER
    convention = Convention(given, spec, metadata.owned_tensors)
    if "name" in convention.attrs:
        raise ValueError(
            f"{context}: an attr cannot be called 'name', which names the op. Call it something "
            f"else in signature= or arg_spec=, given {given or list(spec)}."
        )
    return convention


def _parse_signature(signature: Signature | str | None, context: str) -> Signature | None:
    if signature is None or isinstance(signature, Signature):
        return signature
    if not isinstance(signature, str):
        raise TypeError(
            f"{context}: signature must be a string or a tensorflow_tvm.Signature, given "
            f"{signature!r}."
        )
    try:
        return Signature.parse(signature)
    except ValueError as error:
        raise ValueError(f"{context}: {error}") from None


def _parse_arg_spec(arg_spec: Sequence[str] | None, context: str) -> tuple[str, ...] | None:
    if arg_spec is None:
        return None
    expected = "expected 'args', 'rets' and 'attrs.<name>', each at most once"
    if isinstance(arg_spec, str) or not isinstance(arg_spec, Sequence):
        raise TypeError(f"{context}: arg_spec must be a list of strings, given {arg_spec!r}.")
    for i, entry in enumerate(arg_spec):
        if not isinstance(entry, str) or _ENTRY.fullmatch(entry) is None:
            raise ValueError(f"{context}: arg_spec has {entry!r}; {expected}.")
        if entry in arg_spec[:i]:
            raise ValueError(f"{context}: arg_spec has {entry!r} twice; {expected}.")
    return tuple(arg_spec)


def _is_vague(signature: Signature) -> bool:
    """Whether a signature leaves dtypes and shapes open, as tvm-ffi's own metadata does."""
    return any(argument.dtype == ANY_DTYPE for argument in signature.arguments)


def _expanded(spec: Sequence[str], signature: Signature) -> tuple[str, ...]:
    """Return `spec` with every tensor by itself."""
    counts = {"args": len(signature.inputs), "rets": len(signature.outputs)}
    return tuple(
        part
        for entry in spec
        for part in ([f"{entry}.{i}" for i in range(counts[entry])] if entry in counts else [entry])
    )


def _renamed(
    spec: Sequence[str], said: Signature, given: Signature, context: str
) -> tuple[str, ...]:
    """Return the library's order with the caller's names for attrs."""
    for what in ("inputs", "outputs", "attrs"):
        theirs, ours = len(getattr(said, what)), len(getattr(given, what))
        if theirs != ours:
            raise ValueError(
                f"{context}: its library says that it has {theirs} {what}, and signature= has "
                f"{ours}: {given}."
            )
    for theirs, ours in zip(said.inputs, given.inputs, strict=True):
        if ours.optional and not theirs.optional:
            raise ValueError(
                f"{context}: signature= says that input '{ours}' is optional, and its library says "
                "that it is not. Leave out the '?' after its shape."
            )
    names = iter(given.attrs)
    return tuple(
        f"attrs.{next(names).name}" if entry.startswith("attrs.") else entry for entry in spec
    )


def _check(signature: Signature, spec: Sequence[str], context: str) -> None:
    """Check that the order has all that the signature has, and nothing else."""
    inputs = ("args", *(f"attrs.{attr.name}" for attr in signature.attrs))
    expected = _expanded((*inputs, "rets"), signature)
    given = sorted(_expanded(spec, signature))
    if given not in (sorted(expected), sorted(_expanded(inputs, signature))):
        raise ValueError(
            f"{context}: arg_spec {list(spec)} does not fit the signature {signature}; the "
            f"function takes {', '.join(expected)}, outputs only if it fills them in."
        )
    if not signature.outputs:
        raise ValueError(f"{context} has no outputs: {signature}. An op needs at least one.")
    if any(entry.startswith("rets") for entry in spec):
        for output in signature.outputs:
            if output.shape is not None and UNKNOWN in output.shape:
                raise ValueError(
                    f"{context}: output '{output}' leaves a dimension open, and the function does "
                    "not allocate it: say its size, or, if the function returns its outputs, "
                    "arg_spec=['args']."
                )


def _attr_value(value: Any, name: str, argument: Argument | None, context: str) -> Any:
    expected = argument.dtype if argument is not None else None
    if isinstance(value, (tf.Tensor, tf.Variable)):
        raise TypeError(
            f"{context}: attr '{name}' is a tensor; expected {expected or 'a Python value'}. Attrs "
            "are part of the op; what changes from call to call has to be an input."
        )
    if expected is not None and expected.startswith("list["):
        if isinstance(value, (list, tuple, np.ndarray)):
            kind = expected.removeprefix("list[").removesuffix("]")
            return [_scalar(element, kind, name, context) for element in value]
        raise TypeError(f"{context}: attr '{name}' must be a {expected}, given {value!r}.")
    if expected is None and isinstance(value, (list, tuple, np.ndarray)):
        return [_scalar(element, None, name, context) for element in value]
    return _scalar(value, expected, name, context)


def _scalar(value: Any, kind: str | None, name: str, context: str) -> bool | int | float | str:
    if kind in (None, "bool") and isinstance(value, (bool, np.bool_)):
        return bool(value)
    is_number = not isinstance(value, (bool, np.bool_))
    if kind in (None, "int") and is_number and isinstance(value, numbers.Integral):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{context}: attr '{name}' does not fit in 64 bits: {value}.")
        return int(value)
    if kind in (None, "float") and is_number and isinstance(value, numbers.Real):
        if 0 < abs(value) < sys.float_info.min:  # which tvm-ffi does not read from JSON
            raise ValueError(
                f"{context}: attr '{name}' is {value!r}, a subnormal number; the smallest that can "
                f"be passed is {sys.float_info.min!r}."
            )
        return float(value)
    if kind in (None, "str") and isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{context}: attr '{name}' is no text: {error}.") from None
        return value
    raise TypeError(
        f"{context}: attr '{name}' must be {kind or 'int, float, bool, str or a list of those'}, "
        f"given {value!r}."
    )
