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
"""Code that TVM compiles for any device and that runs on CPUs only, and what packed functions need.

Needs apache-tvm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tvm
from tvm import ir, sym, tirx
from tvm_ffi.structural import structural_walk

from tensorflow_tvm.guards import require
from tensorflow_tvm.guards.sizes import is_known, symbols_of

_SORTS = "tvm.contrib.sort."


def check(function: tirx.PrimFunc, target: tvm.target.Target) -> tirx.PrimFunc:
    """Return `function` with a check of what the packed functions need that it calls.

    Parameters
    ----------
    function : tirx.PrimFunc
        It may have been scheduled.
    target : tvm.target.Target
        What it will be compiled for.

    Raises
    ------
    ValueError
        If one of them can never work.
    """
    if "gpu" in target.keys:
        _check_device(function, target)
    conditions = []
    symbols = symbols_of(function)
    for name, arguments in _calls(function):
        if name == f"{_SORTS}topk":
            condition, message = _topk(arguments)
            if not is_known(condition, symbols):
                continue
            condition = sym.Analyzer().simplify(condition)
            if not isinstance(condition, tirx.IntImm):
                conditions.append((condition, message))
            elif not condition.value:
                raise ValueError(message)
    return require(function, conditions)


def _check_device(function: tirx.PrimFunc, target: tvm.target.Target) -> None:
    """Raise an error for code that would read a GPU's memory from the CPU."""
    loops: list[tirx.For] = []
    structural_walk(function.body, [(tirx.For, loops.append)])
    found = [
        f"has the parallel loop '{loop.loop_var.name}'"
        for loop in loops
        if loop.kind == tirx.ForKind.PARALLEL
    ]
    found += [f"calls '{name}'" for name, _ in _calls(function) if name.startswith(_SORTS)]
    if found:
        raise ValueError(
            f"it {found[0]}, which runs on CPUs only, and the target is {target.kind.name}. "
            "Compile it for a CPU"
        )


def _calls(function: tirx.PrimFunc) -> Iterator[tuple[str, list[Any]]]:
    calls: list[ir.Call] = []
    structural_walk(function.body, [(ir.Call, calls.append)])
    for call in calls:
        if call.args and "call_packed" in getattr(call.op, "name", ""):
            name, *arguments = call.args
            yield str(getattr(name, "value", name)), arguments


def _topk(arguments: list[Any]) -> tuple[Any, str]:
    """Return that there are k elements, of which the others would be left as they were."""
    array, *_, k, axis, _, _ = arguments
    _, shape, *_ = array.args
    size = shape.args[int(axis)]
    text = f"topk with k={k} needs at least as many elements along axis {axis}, which has {size}"
    return tirx.any(k < 1, k <= size), text
