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
"""Stages that go over the same rows, one after the other for each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tvm import tirx

from tensorflow_tvm.schedules import elementwise, loops, reduction
from tensorflow_tvm.schedules.fusion import Group
from tensorflow_tvm.schedules.stages import Stage, replace_loads, substitute, work_of


def share(group: Group, lanes: Callable[[Stage], int]) -> tirx.Stmt:
    """Return what computes a group on all threads, with vectors of `lanes(stage)` elements."""
    first = group.stages[0]
    outer = first.axes[: group.depth]
    like = outer[0].extent
    extents = [axis.extent for axis in outer]
    work: Any = loops.work([0])
    for stage in group.stages:
        start = {axis.var: loops.const(0, axis.var) for axis in stage.axes}
        inner = [
            substitute(axis.extent, start) for axis in (*stage.axes[group.depth :], *stage.reduce)
        ]
        work = work + loops.work([*inner, work_of(stage)])

    def row(found: list[Any], buffers: list[tirx.Var]) -> tirx.Stmt:
        statements = []
        for stage in _with_local(group, buffers):
            indices = dict(zip((axis.var for axis in stage.axes), found, strict=False))
            if stage.reduce:
                statements.append(reduction.emit(stage, indices, lanes(stage)))
            else:
                statements.append(elementwise.emit(stage, indices, lanes(stage)))
        return loops.sequence(*statements)

    def over(rows: Callable[[Callable[[list[Any]], tirx.Stmt]], tirx.Stmt]) -> tirx.Stmt:
        buffers = [
            tirx.decl_buffer(list(b.shape)[group.depth :], str(b.dtype), f"{b.name}_row")
            for b in group.local
        ]
        return loops.sequence(
            *map(tirx.AllocBuffer, buffers), rows(lambda found: row(found, buffers))
        )

    def some(first: Any, number: Any) -> tirx.Stmt:
        return over(
            lambda body: loops.loop(
                "row", number, lambda i: loops.unravel(first + i, extents, body)
            )
        )

    whole = over(lambda body: loops.nest([axis.var.name for axis in outer], extents, body))
    return loops.blocks(loops.product(extents, like), loops.simplify(work), some, alone=whole)


def _with_local(group: Group, buffers: list[tirx.Var]) -> list[Stage]:
    """Return a group's stages, with `buffers`, which hold one row, for its local tensors."""
    stages = []
    for stage in group.stages:
        own = [any(b.same_as(local) for b in stage.outputs) for local in group.local]
        others = [local for local, mine in zip(group.local, own, strict=True) if not mine]
        known = [buffer for buffer, mine in zip(buffers, own, strict=True) if not mine]

        def load(index: int, indices: list[Any], known: list[tirx.Var] = known) -> Any:
            return tirx.BufferLoad(known[index], indices[group.depth :])

        outputs = list(stage.outputs)
        for local, buffer in zip(group.local, buffers, strict=True):
            outputs = [buffer if output.same_as(local) else output for output in outputs]
        stages.append(
            dataclasses.replace(
                stage,
                outputs=outputs,
                values=[replace_loads(value, others, load) for value in stage.values],
                finish=stage.finish and [replace_loads(v, others, load) for v in stage.finish],
            )
        )
    return stages
