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
"""The default schedule for processors: parallel outer loops, and inner loops that vectorise."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, sym, tirx
from tvm.s_tir.schedule import LoopRV, SBlockRV, Schedule, ScheduleError
from tvm_ffi.structural import structural_mutate, structural_walk

# Below so many iterations a loop is done before another thread has heard of it.
_LEAST_PARALLEL = 1 << 14


def schedule(function: tirx.PrimFunc, target: tvm.target.Target) -> tirx.PrimFunc:
    """Schedule each block of `function` by itself; one that resists stays as it is."""
    # LLVM splits vectors that its registers cannot hold; C has none.
    most_lanes = 16 if target.kind.name == "llvm" else 1
    result = Schedule(tvm.IRModule({"main": function}))
    for block in _blocks(result):
        attempt = result.copy()
        try:
            _schedule_block(attempt, block, most_lanes)
        except (ScheduleError, RuntimeError, ValueError):  # TVM's own errors are of the last two
            continue
        result = attempt
    scheduled = _serial_where_small(result.mod["main"])
    return scheduled.with_attr("tirx.is_scheduled", True)


def _blocks(schedule: Schedule) -> list[str]:
    """Return the names of the blocks that have axes, where a name is one block's."""
    names: list[str] = []

    def see(realize: s_tir.SBlockRealize) -> None:
        if realize.block.iter_vars:
            names.append(realize.block.name_hint)

    structural_walk(schedule.mod["main"].body, [(s_tir.SBlockRealize, see)])
    return [name for name in names if names.count(name) == 1]


def _schedule_block(schedule: Schedule, name: str, most_lanes: int) -> None:
    block = schedule.get_sblock(name)
    loops = schedule.get_loops(block)
    axes = schedule.get(block).iter_vars
    if len(loops) != len(axes):  # axes of one step have no loop
        axes = [axis for axis in axes if not _is_one(axis.dom.extent)]
    if len(loops) != len(axes) or not loops:
        return
    spatial = [loop for loop, axis in zip(loops, axes, strict=True) if axis.iter_type == 0]
    reduce = [loop for loop, axis in zip(loops, axes, strict=True) if axis.iter_type == 2]
    if len(spatial) + len(reduce) != len(loops):
        return
    if spatial:
        _order_loops(
            schedule, block, spatial, reduce, axes[loops.index(spatial[-1])].var, most_lanes
        )
    if reduce:
        # Last, since what it leaves is no reduction to the other steps. Without it, a reduction
        # over nothing would not even get its initial value.
        schedule.decompose_reduction(block, reduce[0])


def _order_loops(
    schedule: Schedule,
    block: SBlockRV,
    spatial: list[LoopRV],
    reduce: list[LoopRV],
    last_axis: tirx.Var,
    most_lanes: int,
) -> None:
    iterations = 1
    for loop in (*spatial, *reduce):
        extent = schedule.get(loop).extent
        iterations *= extent.value if isinstance(extent, tirx.IntImm) else _LEAST_PARALLEL
    *outer, last = spatial
    side_by_side = not reduce or _is_contiguous(schedule.get(block), last_axis)
    if side_by_side:
        lanes = _lanes(
            schedule.get(last).extent, 1 if _is_emulated(schedule, block) else most_lanes
        )
        if lanes > 1:
            rest, last = schedule.split(last, [None, lanes])
            outer.append(rest)
        # Sums of neighbours are built up side by side: the last axis goes inside the reduction.
        # Where it is no vector, LLVM makes vectors of it.
        schedule.reorder(*outer, *reduce, last)
        if lanes > 1:
            schedule.vectorize(last)
    if not side_by_side or not (outer or reduce):
        outer.append(last)
    if outer and iterations >= _LEAST_PARALLEL:
        schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])


def _serial_where_small(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Let parallel loops of unknown length run on the calling thread where they turn out short."""

    def see(loop: tirx.For, mutator: Any) -> Any:
        if loop.kind != tirx.ForKind.PARALLEL:
            return mutator.default_mutate(loop)
        iterations, inner = tirx.const(1, "int64"), loop
        while isinstance(inner, tirx.For):
            iterations, inner = iterations * inner.extent.astype("int64"), inner.body
        iterations = sym.Analyzer().simplify(iterations)
        if isinstance(iterations, tirx.IntImm):
            return loop
        serial = tirx.For(loop.loop_var, loop.min, loop.extent, tirx.ForKind.SERIAL, loop.body)
        return tirx.IfThenElse(iterations < _LEAST_PARALLEL, serial, loop)

    body = structural_mutate(function.body, [(tirx.For, see)])
    module = tvm.IRModule({"main": function.with_body(body)})
    return tirx.transform.ConvertSSA()(module)["main"]


def _is_emulated(schedule: Schedule, block: SBlockRV) -> bool:
    """Whether a block has numbers that processors lack: TVM cannot make vectors of all of those."""
    found: list[bool] = []

    def see(store: tirx.BufferStore) -> None:
        found.append(str(store.buffer.dtype).startswith(("bfloat16", "float8")))

    structural_walk(schedule.get(block), [(tirx.BufferStore, see)])
    return any(found)


def _lanes(extent: tirx.Expr, most: int) -> int:
    """Return the length of vectors that fill a loop without a rest, 1 if there are none."""
    if isinstance(extent, tirx.IntImm):
        for lanes in (16, 8, 4):
            if lanes <= most and extent.value % lanes == 0 and extent.value > lanes:
                return lanes
    return 1


def _is_contiguous(block: s_tir.SBlock, axis: tirx.Var) -> bool:
    """Whether neighbours along `axis` are neighbours in memory, in all that the block reads."""
    steps: list[bool] = []

    def uses(expression: tirx.Expr) -> bool:
        found: list[bool] = []
        structural_walk(expression, [(tirx.Var, lambda var: found.append(var.same_as(axis)))])
        return any(found)

    def see(load: tvm.ir.TensorLoad) -> None:
        *others, last = load.indices
        steps.append(not any(map(uses, others)) and (not uses(last) or last.same_as(axis)))

    structural_walk(block.body, [(tvm.ir.TensorLoad, see)])
    return all(steps)


def _is_one(extent: tirx.Expr) -> bool:
    return isinstance(extent, tirx.IntImm) and extent.value == 1
