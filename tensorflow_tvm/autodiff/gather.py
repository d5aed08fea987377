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
"""Contributions to a gradient, collected for each element that was read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tvm import te, tirx
from tvm.ir import prim

from tensorflow_tvm.autodiff import nodes
from tensorflow_tvm.autodiff.errors import NotDifferentiable
from tensorflow_tvm.autodiff.expressions import Term
from tensorflow_tvm.autodiff.indices import Inverse, Unknown, invert

_HALVES = ("float16", "bfloat16")


@dataclasses.dataclass
class Gathered:
    """What an element of a tensor gets: the sum of `value` over `free`.

    Attributes
    ----------
    value : tirx.Expr
        What is added up.
    free : list of Unknown
        Variables, over all values of which it is added up.
    """

    value: Any
    free: list[Unknown]

    def total(self) -> Any:
        """Return the sum as the body of a stage."""
        if not self.free:
            return self.value
        axes = [te.reduce_axis((0, unknown.extent), unknown.var.name) for unknown in self.free]
        ours = {u.var: axis.var for u, axis in zip(self.free, axes, strict=True)}
        return te.sum(nodes.substitute(self.value, ours, lambda index: index), axis=axes)


def gather(term: Term, axes: Sequence[Unknown], targets: Sequence[Any]) -> Gathered:
    """Return what a term contributes to the element ``targets`` of the tensor that it reads.

    Parameters
    ----------
    term : Term
        The read, in terms of `axes`.
    axes : sequence of Unknown
        The axes of what reads, those that it reduces included.
    targets : sequence of tirx.Var
        The indices of the element.

    Returns
    -------
    Gathered
        With a value of the tensor's dtype, or float32 if that is a half.
    """
    dtype = _index_type(term, axes, targets)
    inverse = _inverse(term, axes, targets, dtype)
    ranges = inverse.ranges
    guards = list(inverse.guards)
    for guard in term.guards:
        guard = ranges.simplify(nodes.retype(guard, dtype, inverse.values))
        if not ranges.proves(guard):
            guards.append(guard)

    def tidy(index: Any) -> Any:
        return ranges.simplify(nodes.retype(index, dtype, {}))

    with ranges.under(guards):
        value = nodes.substitute(term.value, inverse.values, tidy)
    if str(term.tensor.dtype) in _HALVES:
        value = _widened(value)
    return Gathered(_guarded(value, guards, inverse), inverse.free)


def check(term: Term, axes: Sequence[Unknown], targets: Sequence[Any]) -> None:
    """Raise NotDifferentiable if `gather` would."""
    _inverse(term, axes, targets, _index_type(term, axes, targets))


def _inverse(term: Term, axes: Sequence[Unknown], targets: Sequence[Any], dtype: str) -> Inverse:
    elements = [
        Unknown(target, extent) for target, extent in zip(targets, term.tensor.shape, strict=True)
    ]
    try:
        return invert(axes, term.indices, elements, dtype)
    except NotDifferentiable as error:
        raise NotDifferentiable(f"it reads {term.tensor.op.name} at {error}") from None


def cases(term: Term) -> list[Term]:
    """Return a term as two, each on a condition, if it chooses between indices; else as it is.

    So do padding by mirroring and indices that are clamped.
    """
    for at, index in enumerate(term.indices):
        for choice in nodes.choices(index):
            condition, *branches = nodes.branches_of(choice)
            if nodes.loads(condition):
                continue
            both = []
            for guard, branch in zip((condition, tirx.Not(condition)), branches, strict=True):
                indices = list(term.indices)
                indices[at] = nodes.replace(index, choice, branch)
                both.append(
                    dataclasses.replace(term, indices=indices, guards=[*term.guards, guard])
                )
            return both
    return [term]


def _index_type(term: Term, axes: Sequence[Unknown], targets: Sequence[Any]) -> str:
    """Return the integers to compute indices in: wide only if a size is."""
    types = {str(target.ty) for target in targets}
    for extent in (*(axis.extent for axis in axes), *term.tensor.shape):
        types.update(str(variable.ty) for variable in nodes.variables(extent))
        size = nodes.size_of(extent)
        if size is not None and size >= 2**31:
            types.add("int64")
    return "int64" if "int64" in types else "int32"


def _widened(value: Any) -> Any:
    """Return a half as float32, computed so where it is a cast, a sum or a product."""
    if isinstance(value, prim.Cast) and str(value.value.ty) in ("float32", "float64"):
        return nodes.cast(value.value, "float32")
    if isinstance(value, (prim.Add, prim.Sub, prim.Mul)):
        return type(value)(_widened(value.a), _widened(value.b))
    return nodes.cast(value, "float32")


def _guarded(value: Any, guards: list[Any], inverse: Inverse) -> Any:
    """Return `value` where all `guards` hold and 0 elsewhere; a product stays one if it can."""
    if not guards:
        return value
    if isinstance(value, prim.Mul) and inverse.free:
        factors = [value.a, value.b]
        own = [[g for g in guards if _is_about(factor, g, inverse)] for factor in factors]
        safe = all(_is_safe(f, part, inverse) for f, part in zip(factors, own, strict=True))
        if safe and all(any(_has(part, guard) for part in own) for guard in guards):
            for i, factor in enumerate(factors):
                for guard in own[i]:
                    fewer = [g for g in own[i] if g is not guard]
                    if _has(own[1 - i], guard) and _is_safe(factor, fewer, inverse):
                        own[i] = fewer
            return nodes.guarded(own[0], value.a) * nodes.guarded(own[1], value.b)
    return nodes.guarded(guards, value)


def _is_about(factor: Any, guard: Any, inverse: Inverse) -> bool:
    """Whether a factor has all variables of a guard, sizes excluded."""
    sizes = [v for unknown in inverse.free for v in nodes.variables(unknown.extent)]
    own = nodes.variables(factor)
    return all(_has(own, v) or _has(sizes, v) for v in nodes.variables(guard))


def _has(items: Sequence[Any], item: Any) -> bool:
    return any(item.same_as(other) for other in items)


def _is_safe(factor: Any, guards: list[Any], inverse: Inverse) -> bool:
    """Whether all of a factor's reads are inside their tensors where `guards` hold."""
    ranges = inverse.ranges
    with ranges.under(guards):
        return all(
            ranges.proves(tirx.all(index >= 0, index < extent))
            for read in nodes.loads(factor)
            for index, extent in zip(read.args[1:], read.args[0].shape, strict=True)
        )
