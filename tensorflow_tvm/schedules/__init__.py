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
"""Schedules for functions that have none. Needs apache-tvm.

Functions come here guarded (see `tensorflow_tvm.guards`). gpu.py leaves the choice to TVM's dlight,
and cpu.py makes loops of its own: stages.py reads the function as a list of stages, fusion.py
decides which are computed together, and one of the rules makes the loops of each: elementwise.py,
reduction.py, contraction.py, and rows.py for several at once; sharing.py and cells.py keep the code
short enough for TVM to simplify. pipeline.py lowers it, and vector_math.py writes out functions
such as exp there; float8.py writes out that type's arithmetic, and divisions.py what TVM does not
divide rightly; temporaries.py has small temporary tensors on the stack. What has been tuned gets
the schedule that was found.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm_ffi.structural import structural_visit, structural_walk

from tensorflow_tvm.guards import checker, markers
from tensorflow_tvm.schedules import (
    cpu,
    divisions,
    float8,
    gpu,
    pipeline,
    temporaries,
)
from tensorflow_tvm.tuning import database

Notes = dict[str, list[str]]
_MARK = "tirx.is_scheduled"  # the mark that TVM's own schedulers leave


def apply(
    function: tirx.PrimFunc,
    target: tvm.target.Target,
    libm: bool = False,
    notes: Notes | None = None,
) -> tirx.PrimFunc:
    """Return `function` with a schedule that is right for `target`.

    Parameters
    ----------
    function : tirx.PrimFunc
        A function; one that its author has scheduled is returned as it is.
    target : tvm.target.Target
        What it will be compiled for.
    libm : bool
        Whether functions such as exp are the C library's, on processors.
    notes : dict, optional
        What was done with each block, and why, is added here, by its name.

    Returns
    -------
    tirx.PrimFunc
    """
    notes = {} if notes is None else notes
    is_gpu = "gpu" in target.keys
    if is_scheduled(function):
        notes[""] = ["as written: its author has scheduled it"]
        if checker.is_guarded(function):
            scheduled = function
        else:
            is_marked = bool(function.attrs and function.attrs.get(_MARK, False))
            guarded = checker.guard(function, target, True, trusts_axes=is_marked)
            scheduled = guarded.finish(guarded.function)
    else:
        guarded = checker.guard(function, target)
        scheduled = _tuned(guarded.function, target, libm, notes)
        if scheduled is None:
            scheduled = by_rules(guarded.function, target, libm, notes)
        scheduled = guarded.finish(scheduled)
        scheduled = scheduled if is_gpu else float8.rewrite(scheduled)
    scheduled = divisions.rewrite(scheduled)
    return scheduled if is_gpu else temporaries.rewrite(scheduled)


def by_rules(
    function: tirx.PrimFunc,
    target: tvm.target.Target,
    libm: bool = False,
    notes: Notes | None = None,
) -> tirx.PrimFunc:
    """Return `function`, which has been guarded, with the default schedule; see `apply`."""
    notes = {} if notes is None else notes
    if "gpu" in target.keys:
        return gpu.schedule(function, target, notes)
    return cpu.schedule(function, target, libm, notes).with_attr(pipeline.LIBM, libm)


def unscheduled_for_tuning(function: tirx.PrimFunc, libm: bool = False) -> tirx.PrimFunc:
    """Return `function`, which has been guarded, in the form that schedules are searched for."""
    return markers.expand(_without_schedule(function, libm), checks=False)


def _without_schedule(function: tirx.PrimFunc, libm: bool) -> tirx.PrimFunc:
    return function.with_attr(pipeline.LIBM, libm)


def _tuned(
    function: tirx.PrimFunc, target: tvm.target.Target, libm: bool, notes: Notes
) -> tirx.PrimFunc | None:
    """Return `function` with the schedule that tuning has found, if it has been tuned."""
    if target.kind.name != "llvm" or not database.is_there():
        return None
    entry = database.find(unscheduled_for_tuning(function, libm), target)
    if entry is None:
        return None
    gain = entry.default / entry.tuned
    notes[""] = [
        f"tuned: {gain:.2f} times as fast as the default schedule, the best of {entry.trials}"
    ]
    return mark_scheduled(entry.apply(_without_schedule(function, libm)))


def in_place(function: tirx.PrimFunc) -> tuple[int, ...]:
    """Return which inputs of a function with a default schedule its output may be written over."""
    found = (function.attrs or {}).get(cpu.IN_PLACE, ())
    return tuple(map(int, found))


def mark_scheduled(function: tirx.PrimFunc, value: bool = True) -> tirx.PrimFunc:
    """Return `function`, marked as one that its author has scheduled, or has not."""
    return function.with_attr(_MARK, value)


def is_scheduled(function: tirx.PrimFunc) -> bool:
    """Whether a function's author has said how it runs.

    What comes from TE tensors or Relax is marked as having no schedule, whatever loops TVM's own
    operators are made of. Where there is no mark, a function has a schedule unless it is as
    `te.create_prim_func` makes it: one nest of serial loops for each block, over the block's axes
    and in their order, and reductions with their initial value.
    """
    if not function.attrs or not function.attrs.get("s_tir", False):
        return True
    mark = function.attrs.get(_MARK, None)
    if mark is not None:
        return bool(mark)
    found: list[bool] = []
    mixed: list[bool] = []
    has_axes: list[bool] = []
    loops: list[tirx.Var] = []

    def see_loop(loop: tirx.For, visitor: Any) -> None:
        is_plain = loop.kind == tirx.ForKind.SERIAL and not loop.annotations
        # In a block, and over no other's axes, it is part of a program, as in topi's scatters.
        in_program = has_axes and loop.kind == tirx.ForKind.PARALLEL and not _has_axes(loop.body)
        found.append(not is_plain and not in_program)
        mixed.append(not isinstance(loop.body, (tirx.For, s_tir.SBlockRealize)))
        loops.append(loop.loop_var)
        visitor.default_visit(loop)
        loops.pop()

    def see_realize(realize: s_tir.SBlockRealize, visitor: Any) -> None:
        block = realize.block
        bound = [value for value in realize.iter_values if not isinstance(value, tirx.IntImm)]
        in_order = len(bound) == len(loops) and all(map(tirx.Var.same_as, bound, loops))
        has_axes.append(bool(block.iter_vars))
        found.append(has_axes[-1] and not in_order)
        reduces = any(axis.iter_type == tirx.IterVar.CommReduce for axis in block.iter_vars)
        found.append(reduces and block.init is None)
        found.append(any(axis.thread_tag for axis in block.iter_vars))
        found.append(any(buffer.scope() not in ("", "global") for buffer in block.alloc_buffers))
        # Others are what TE's authors say of their computations.
        found.append("buffer_dim_align" in (block.annotations or {}))
        outer, loops[:] = list(loops), []
        visitor.default_visit(realize)
        loops[:] = outer

    structural_visit(function.body, [(tirx.For, see_loop), (s_tir.SBlockRealize, see_realize)])
    # Loops without blocks are a program, and no schedule of one.
    return any(found) or (any(has_axes) and any(mixed))


def _has_axes(statement: tirx.Stmt) -> bool:
    """Whether a block in `statement` has axes."""
    found: list[bool] = []
    structural_walk(statement, [(s_tir.SBlock, lambda block: found.append(bool(block.iter_vars)))])
    return any(found)
