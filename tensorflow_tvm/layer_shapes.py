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
"""Which sizes a function's weights have, given the shapes of its inputs."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

from tensorflow_tvm.dimensions import NAME, evaluate, parse_shape, symbols
from tensorflow_tvm.signature import Argument

Shape = tuple[int | None, ...]


def split(
    arguments: Sequence[Argument] | None, weights: Sequence[str], context: str
) -> tuple[list[int], list[int]] | None:
    """Return which of a function's inputs are not weights, and which are each weight.

    Weights that are called like inputs are those; others come after the inputs.

    Parameters
    ----------
    arguments
        The function's inputs; None if they are not known.
    weights
        The names of the weights.
    context
        What messages begin with.

    Returns
    -------
    inputs, weights : list of int
        By index; None if `arguments` is.

    Raises
    ------
    ValueError
        If the function has no such inputs, or two weights have one name.
    """
    for i, name in enumerate(weights):
        if name in weights[:i]:
            raise ValueError(
                f"{context}: two weights are called '{name}', and each must be another input of "
                "the function. Rename or remove one."
            )
    if arguments is None:
        return None
    names = [argument.name for argument in arguments]
    listed = ", ".join(map(str, arguments))
    if len(weights) > len(arguments):
        raise ValueError(
            f"{context}: it has {len(weights)} weights, and its function takes {len(arguments)} "
            f"inputs: {listed}."
        )
    unknown = [name for name in weights if name not in names]
    if not unknown:
        found = [names.index(name) for name in weights]
    elif len(unknown) == len(weights):
        found = list(range(len(names) - len(weights), len(names)))
    else:
        raise ValueError(
            f"{context}: its function takes {listed}; there is none for weight '{unknown[0]}'. "
            "Call all weights like the inputs that they are, or none: then they come last."
        )
    return [i for i in range(len(names)) if i not in found], found


def check_sizes(sizes: Any, shapes: Iterable[Any], context: str) -> dict[str, int]:
    """Return the sizes that a layer was given, as integers.

    Parameters
    ----------
    sizes
        What was given.
    shapes
        All shapes in which there may be symbols; None where one is not known.
    context
        What messages begin with.

    Raises
    ------
    TypeError, ValueError
        If they are no sizes of symbols.
    """
    if sizes is None:
        return {}
    if not isinstance(sizes, Mapping):
        raise TypeError(
            f"{context}: sizes must be a dict from symbols to integers, such as {{'n': 32}}, given "
            f"{sizes!r}."
        )
    there = list(dict.fromkeys(s for shape in shapes for dim in shape or () for s in _names(dim)))
    checked = {}
    for symbol, size in sizes.items():
        if symbol not in there:
            listed = f"the symbols {', '.join(there)}" if there else "no symbols"
            raise ValueError(
                f"{context}: sizes has {symbol!r}, and the shapes of its function's inputs and of "
                f"its weights have {listed}. Correct or remove it."
            )
        try:
            checked[symbol] = operator.index(size)
        except TypeError:
            checked[symbol] = -1
        if isinstance(size, bool) or checked[symbol] < 0:
            raise ValueError(
                f"{context}: sizes says that {symbol} is {size!r}; expected an integer of at least "
                "0."
            )
    return checked


def _names(dim: int | str) -> list[str]:
    return sorted(symbols(dim)) if isinstance(dim, str) else []


def bind(
    argument: Argument, shape: Sequence[int | None], sizes: MutableMapping[str, int], what: str
) -> None:
    """Add to `sizes` what the shape of an argument says of symbols.

    Raises
    ------
    ValueError
        If the shape contradicts the argument or the sizes.
    """
    if argument.shape is None:
        return
    shape = tuple(shape)
    if len(shape) != len(argument.shape):
        raise ValueError(
            f"{what} has shape {shape}, expected {argument}: its rank is {len(shape)} and must be "
            f"{len(argument.shape)}."
        )
    for dim, size in zip(argument.shape, shape, strict=True):
        if size is None:
            continue
        if isinstance(dim, str) and NAME.fullmatch(dim):
            expected = sizes.setdefault(dim, size)
        else:
            try:
                expected = evaluate(dim, sizes)
            except (KeyError, ZeroDivisionError, OverflowError):
                continue  # not known, or for the op itself to say
        if size != expected:
            why = "" if isinstance(dim, int) else f" ({dim})"
            raise ValueError(
                f"{what} has shape {shape}, expected {argument}: there is {size} where {expected}"
                f"{why} is expected."
            )


def parse_weight_shape(shape: Any, what: str) -> tuple[int | str, ...] | None:
    """Read a weight's shape: integers and expressions of symbols."""
    if shape is None:
        return None
    if isinstance(shape, str):
        return parse_shape(shape)
    try:
        dims: list[int | str] = []
        for dim in shape:
            dims.extend(parse_shape(dim) if isinstance(dim, str) else (operator.index(dim),))
        return tuple(dims)
    except TypeError:
        raise TypeError(
            f"{what}: its shape must be a list of integers and symbols, a string such as 'd 32', "
            f"or a function of the inputs' shapes, given {shape!r}."
        ) from None


def resolve(shape: Sequence[int | str], sizes: Mapping[str, int], what: str) -> tuple[int, ...]:
    """Return a weight's shape in numbers.

    Raises
    ------
    ValueError
        If a symbol has no size.
    """
    resolved = []
    for dim in shape:
        missing = sorted(symbols(dim) - set(sizes)) if isinstance(dim, str) else []
        if missing or dim == "?":
            known = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "nothing"
            example = missing[0] if missing else "n"
            raise ValueError(
                f"{what}: its shape is [{', '.join(map(str, shape))}], and the shapes of the "
                f"inputs say {known}. Say the rest: sizes={{'{example}': …}}, or a shape of the "
                "weight."
            )
        resolved.append(evaluate(dim, sizes))
        if resolved[-1] < 0:
            why = "" if dim == resolved[-1] else f" ({dim})"
            raise ValueError(
                f"{what}: its shape is [{', '.join(map(str, shape))}], in which there is a "
                f"negative size, {resolved[-1]}{why}. Correct the shape, or the sizes that it "
                "follows from."
            )
    return tuple(resolved)
