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
"""What reductions do with each element, as far as it is one operation, such as a sum."""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx
from tvm_ffi.structural import (
    structural_mutate,
    structural_walk,
)

KINDS = (tirx.Add, tirx.Mul, tirx.Min, tirx.Max, tirx.And, tirx.Or)
# Of these it does not matter how often an element is taken.
IDEMPOTENT = (tirx.Min, tirx.Max, tirx.And, tirx.Or)
_INFINITE = ("float16", "bfloat16", "float32", "float64")


def operand(value: Any, old: tirx.Var, others: list[tirx.Var]) -> Any:
    """Return what `value` combines the element of `old` with; None if it is not one of `KINDS`.

    Parameters
    ----------
    value
        The new value of a reduction.
    old
        The tensor that has the value before.
    others
        What the operand must not read: all tensors that the reduction writes.
    """
    if not isinstance(value, KINDS):
        return None
    for before, element in ((value.a, value.b), (value.b, value.a)):
        if is_load_of(before, old) and not reads_any(element, others):
            return element
    return None


def is_load_of(value: Any, buffer: tirx.Var) -> bool:
    """Whether `value` is an element of `buffer`."""
    return isinstance(value, ir.TensorLoad) and value.source.same_as(buffer)


def reads_any(value: Any, buffers: list[tirx.Var]) -> bool:
    """Whether `value` depends on an element of any of `buffers`."""
    found: list[bool] = []

    def see(load: ir.TensorLoad) -> None:
        found.append(any(load.source.same_as(buffer) for buffer in buffers))

    structural_walk(value, [(ir.TensorLoad, see)])
    return any(found)


def neutral(kind: type, dtype: str) -> Any:
    """Return the value that changes no other when it is combined with it."""
    if kind in (tirx.And, tirx.Or):
        return tirx.const(kind is tirx.And, dtype)
    if kind in (tirx.Add, tirx.Mul):
        return tirx.const(int(kind is tirx.Mul), dtype)
    if dtype in _INFINITE:
        return tirx.const(float("inf") if kind is tirx.Min else float("-inf"), dtype)
    return tirx.max_value(dtype) if kind is tirx.Min else tirx.min_value(dtype)


def start_with_infinities(body: tirx.Stmt) -> tirx.Stmt:
    """Return `body` with reductions to the largest or smallest float that start with infinities.

    TE's start with the lowest and the largest number, of which nothing infinite makes others.
    """
    kinds: dict[tirx.Var, type] = {}

    def see(store: tirx.BufferStore) -> None:
        is_extreme = isinstance(store.value, (tirx.Max, tirx.Min))
        if is_extreme and operand(store.value, store.buffer, [store.buffer]) is not None:
            kinds[store.buffer] = type(store.value)

    def start(store: tirx.BufferStore, mutator: Any) -> tirx.BufferStore:
        dtype = str(store.buffer.dtype)
        kind = kinds.get(store.buffer)
        if kind is None or dtype not in _INFINITE or not isinstance(store.value, tirx.FloatImm):
            return mutator.default_mutate(store)
        first = tirx.max_value(dtype) if kind is tirx.Min else tirx.min_value(dtype)
        if store.value.value != first.value:
            return store
        return tirx.BufferStore(store.buffer, neutral(kind, dtype), store.indices)

    structural_walk(body, [(tirx.BufferStore, see)])
    return structural_mutate(body, [(tirx.BufferStore, start)]) if kinds else body


def is_constant(value: Any) -> bool:
    """Whether `value` is a number."""
    return isinstance(value, (tirx.IntImm, tirx.FloatImm))
