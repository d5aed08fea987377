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
"""How partial results of a reduction are made one, where the order of the elements is free."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tvm import tirx

from tensorflow_tvm.schedules import loops
from tensorflow_tvm.schedules.operations import is_constant, is_load_of, operand, reads_any
from tensorflow_tvm.schedules.stages import Stage, is_same, substitute

Combine = Callable[[list[Any], list[Any]], list[Any]]

_NEGATED = {tirx.GT: tirx.LE, tirx.LE: tirx.GT, tirx.LT: tirx.GE, tirx.GE: tirx.LT}
_REVERSED = {tirx.GT: tirx.LT, tirx.LT: tirx.GT, tirx.GE: tirx.LE, tirx.LE: tirx.GE}
_STRICT = {tirx.GT: tirx.GT, tirx.GE: tirx.GT, tirx.LT: tirx.LT, tirx.LE: tirx.LT}


def combiner(stage: Stage) -> Combine | None:
    """Return what makes one of two partial results, None if the elements have to stay in order.

    They may be in any order if each value is a sum, a maximum or the like of its own elements, or
    if two values are the largest or smallest element and where it is, and it is settled which one
    is taken of several that are equal.
    """
    if not stage.reduce:
        return None
    elements = [
        operand(value, old, stage.partial)
        for value, old in zip(stage.values, stage.partial, strict=True)
    ]
    if all(element is not None for element in elements):
        kinds = [type(value) for value in stage.values]
        return lambda left, right: [
            kind(a, b) for kind, a, b in zip(kinds, left, right, strict=True)
        ]
    if len(stage.values) == 1:
        return _choice(stage)
    if len(stage.values) == 2:
        return _extreme(stage, 1, 0) or _extreme(stage, 0, 1)
    return None


@dataclasses.dataclass
class _Kept:
    """A value that is the old one on a condition, and else the element."""

    condition: Any
    element: Any
    negated: bool

    def comparison(self, condition: Any, old: tirx.Var, element: Any) -> type | None:
        """Return how the old value compares with the element where it is kept."""
        kind = type(condition)
        if kind not in _NEGATED:
            return None
        if is_load_of(condition.b, old) and is_same(condition.a, element):
            kind = _REVERSED[kind]
        elif not (is_load_of(condition.a, old) and is_same(condition.b, element)):
            return None
        return _NEGATED[kind] if self.negated else kind


def _kept(stage: Stage, index: int) -> _Kept | None:
    value, old = stage.values[index], stage.partial[index]
    if not isinstance(value, tirx.Select):
        return None
    for negated in (False, True):
        kept, element = value.true_value, value.false_value
        if negated:
            kept, element = element, kept
        if is_load_of(kept, old) and not reads_any(element, stage.partial):
            return _Kept(value.condition, element, negated)
    return None


def _choice(stage: Stage) -> Combine | None:
    """Return the combiner of a maximum or minimum that is written as a choice."""
    kept = _kept(stage, 0)
    kind = kept and kept.comparison(kept.condition, stage.partial[0], kept.element)
    if kind is None:
        return None
    return lambda left, right: [tirx.Select(kind(left[0], right[0]), left[0], right[0])]


def _extreme(stage: Stage, key: int, place: int) -> Combine | None:
    """Return the combiner of an extreme element and its place, in the order of `stage.values`."""
    better, element = _of_key(stage, key)
    kept = _kept(stage, place)
    if better is None or kept is None:
        return None
    condition, old = kept.condition, stage.partial[key]
    simple = kept.comparison(condition, old, element)
    if simple is not None:
        # It depends on the order which of equals is kept; where that is known, so is the place.
        if _STRICT[simple] is not better or not _increases(stage, place, kept.element):
            return None
        nearer = tirx.GT if simple is better else tirx.LT
    else:
        found = _settled(stage, kept, key, place, element)
        if found is None or found[0] is not better:
            return None
        nearer = found[1]

    def combine(left: list[Any], right: list[Any]) -> list[Any]:
        wins = better(left[key], right[key])
        is_equal = tirx.EQ(left[key], right[key])
        stays = tirx.Or(wins, tirx.And(is_equal, nearer(left[place], right[place])))
        results: list[Any] = [None, None]
        results[key] = tirx.Select(wins, left[key], right[key])
        results[place] = tirx.Select(stays, left[place], right[place])
        return results

    return combine


def _of_key(stage: Stage, key: int) -> tuple[type | None, Any]:
    """Return GT for a maximum, LT for a minimum, and the element."""
    value, old = stage.values[key], stage.partial[key]
    if isinstance(value, (tirx.Max, tirx.Min)):
        element = operand(value, old, stage.partial)
        if element is not None:
            return (tirx.GT if isinstance(value, tirx.Max) else tirx.LT), element
        return None, None
    kept = _kept(stage, key)
    kind = kept and kept.comparison(kept.condition, old, kept.element)
    return (_STRICT[kind], kept.element) if kind else (None, None)


def _settled(
    stage: Stage, kept: _Kept, key: int, place: int, element: Any
) -> tuple[type, type] | None:
    """Return how key and place compare where they are kept: of equal keys the place decides."""
    condition = kept.condition
    if not isinstance(condition, tirx.Or):
        return None
    for wins, tie in ((condition.a, condition.b), (condition.b, condition.a)):
        if not isinstance(tie, tirx.And):
            continue
        for equal, place_wins in ((tie.a, tie.b), (tie.b, tie.a)):
            first = kept.comparison(wins, stage.partial[key], element)
            second = kept.comparison(place_wins, stage.partial[place], kept.element)
            if first is None or second is None or not _is_tie(equal, stage.partial[key], element):
                continue
            strict = (_STRICT[first], _STRICT[second])
            # Negated, what is strict is written of the element, and so is not of the old value.
            if (first is strict[0]) != kept.negated:
                return strict
    return None


def _is_tie(condition: Any, old: tirx.Var, element: Any) -> bool:
    if not isinstance(condition, tirx.EQ):
        return False
    return any(
        is_load_of(a, old) and is_same(b, element)
        for a, b in ((condition.a, condition.b), (condition.b, condition.a))
    )


def _increases(stage: Stage, place: int, element: Any) -> bool:
    """Whether `element` is a number that grows with each step, from at least where it begins."""
    axes = [axis for axis in stage.reduce if axis.size != 1]
    while isinstance(element, tirx.Cast):
        element = element.value
    identity = stage.identities[place]
    if len(axes) != 1 or not isinstance(identity, tirx.IntImm) or "int" not in str(element.ty):
        return False
    zero = {axis.var: loops.const(0, axis.var) for axis in stage.reduce}
    first = loops.simplify(substitute(element, zero))
    if not is_constant(first) or identity.value > first.value:
        return False
    var = axes[0].var
    step = loops.simplify(substitute(element, {var: var + 1}) - element)
    return (loops.value_of(step) or 0) > 0
