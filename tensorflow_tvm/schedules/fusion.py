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
"""Which stages are computed together: the fewer pass over memory, the faster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm_ffi.structural import structural_walk

from tensorflow_tvm.schedules.stages import (
    Axis,
    Program,
    Stage,
    cost_of_divisions,
    count_expensive,
    count_nodes,
    is_guarded,
    is_same,
    replace_loads,
    substitute,
)

# Expressions that are copied into several places grow; beyond so many nodes they are not copied.
_MOST_NODES = 64
# So many if all of the places have the same element, of which one is computed.
_MOST_SHARED_NODES = 512
# What it takes to keep an element in memory and to read it again, in reads of memory.
_KEPT = 2
# As large is what has a size that is not known.
_UNKNOWN = 64
# A row is kept in the cache while it is gone over again: only if there are rows to share out.
_FEWEST_ROWS = 4


@dataclasses.dataclass
class Group:
    """Stages that are computed together, for each value of their first `depth` axes.

    Attributes
    ----------
    stages : list of Stage
        The stages.
    depth : int
        How many axes they share.
    local : list of tirx.Var
        The tensors that nothing else reads.
    """

    stages: list[Stage]
    depth: int = 0
    local: list[tirx.Var] = dataclasses.field(default_factory=list)


def fuse(
    program: Program, notes: dict[str, list[str]], is_alone: Callable[[Stage], bool]
) -> list[Group | tirx.Stmt]:
    """Return the stages of `program` in groups, fewer than there were.

    Parameters
    ----------
    program
        A function's stages.
    notes
        What was done with each stage is added here, by its name.
    is_alone
        Whether a stage has a rule of its own that makes more of it than rows with others would.
    """
    stages = program.stages
    _inline(program, stages, notes)
    _finish(program, stages, notes)
    return _group(program, stages, notes, is_alone)


def _readers(stages: list[Stage | tirx.Stmt], buffers: list[tirx.Var]) -> list[Any]:
    """Return the stages that read any of `buffers`, and the statements that mention one."""
    found: list[Any] = []
    for stage in stages:
        if isinstance(stage, Stage):
            mentioned = stage.sources
        else:
            mentioned = []
            structural_walk(stage, [(tirx.Var, mentioned.append)])
        if any(buffer.same_as(other) for buffer in buffers for other in mentioned):
            found.append(stage)
    return found


def _is_intermediate(program: Program, buffers: list[tirx.Var]) -> bool:
    return all(any(buffer.same_as(other) for other in program.intermediates) for buffer in buffers)


def _inline(program: Program, stages: list[Stage | tirx.Stmt], notes: dict[str, list[str]]) -> None:
    """Compute elements where they are needed, in place of reading them from memory."""
    for stage in list(stages):
        if not isinstance(stage, Stage) or stage.reduce or len(stage.outputs) != 1:
            continue
        if not _is_intermediate(program, stage.outputs):
            continue
        readers = _readers(stages, stage.outputs)
        if not readers or not all(isinstance(reader, Stage) for reader in readers):
            continue
        if not _should_inline(stage, readers):
            continue

        def element(index: int, indices: list[Any], stage: Stage = stage) -> Any:
            axes = [axis.var for axis in stage.axes]
            return substitute(stage.values[index], dict(zip(axes, indices, strict=True)))

        for reader in readers:
            reader.values = [replace_loads(v, stage.outputs, element) for v in reader.values]
            if reader.finish is not None:
                reader.finish = [replace_loads(v, stage.outputs, element) for v in reader.finish]
        where = ", ".join(reader.name for reader in readers)
        notes[stage.name] = [f"computed where it is needed, in {where}"]
        stages.remove(stage)


def _should_inline(stage: Stage, readers: list[Stage]) -> bool:
    (value,) = stage.values
    places = sum(
        load.source.same_as(stage.outputs[0]) for reader in readers for load in reader.reads
    )
    if len(readers) == 1 and _reads_each_once(readers[0], stage.outputs[0]):
        return places == 1 or count_nodes(value) * places <= _MOST_SHARED_NODES
    if count_expensive(value):
        return False
    division = cost_of_divisions(value)
    if division and division * (_times_computed(stage, readers) - 1) > _KEPT:
        return False
    if any(reader.reduce for reader in readers) and is_guarded(value):
        return False
    return count_nodes(value) * places <= _MOST_NODES


def _times_computed(stage: Stage, readers: list[Stage]) -> float:
    """Return how often an element of `stage` is computed if its readers compute it themselves."""
    return sum(
        _ratio([*reader.axes, *reader.reduce], stage.axes)
        for reader in readers
        for load in reader.reads
        if load.source.same_as(stage.outputs[0])
    )


def _ratio(axes: list[Axis], others: list[Axis]) -> float:
    """Return how many times more elements `axes` have than `others`."""
    rest = list(others)
    ratio = 1.0
    for axis in axes:
        same = next((other for other in rest if is_same(axis.extent, other.extent)), None)
        if same is None:
            ratio *= _UNKNOWN if axis.size is None else axis.size
        else:
            rest.remove(same)
    for axis in rest:
        ratio /= _UNKNOWN if axis.size is None else max(axis.size, 1)
    return ratio


def _reads_each_once(reader: Stage, buffer: tirx.Var) -> bool:
    """Whether `reader` has one use for each element of `buffer`."""
    found = [load for load in reader.reads if load.source.same_as(buffer)]
    if not all(is_same(load, found[0]) for load in found):
        return False
    axes = [axis for axis in (*reader.axes, *reader.reduce) if axis.size != 1]
    indices = [index for index in found[0].indices if isinstance(index, tirx.Var)]
    return len(indices) == len({*indices}) and all(
        any(index.same_as(axis.var) for index in indices) for axis in axes
    )


def _finish(program: Program, stages: list[Stage | tirx.Stmt], notes: dict[str, list[str]]) -> None:
    """Let reductions store what is made of their result, rather than the result."""
    changed = True
    while changed:
        changed = False
        for stage in stages:
            if not isinstance(stage, Stage) or not stage.reduce:
                continue
            if not _is_intermediate(program, stage.outputs):
                continue
            readers = _readers(stages, stage.outputs)
            if len(readers) != 1 or not _is_elementwise_of(readers[0], stage):
                continue
            (reader,) = readers
            own = [axis.var for axis in stage.axes]
            renamed = dict(zip((axis.var for axis in reader.axes), own, strict=True))

            def result(index: int, indices: list[Any], stage: Stage = stage) -> Any:
                if stage.finish is not None:
                    return stage.finish[index]
                return tirx.BufferLoad(stage.partial[index], indices)

            values = [substitute(value, renamed) for value in reader.values]
            merged = dataclasses.replace(
                stage,
                name=reader.name,
                outputs=reader.outputs,
                finish=[replace_loads(value, stage.outputs, result) for value in values],
            )
            notes[stage.name] = [f"finished in {reader.name}"]
            stages[stages.index(reader)] = merged
            stages.remove(stage)
            changed = True
            break


def _is_elementwise_of(reader: Any, stage: Stage) -> bool:
    if not isinstance(reader, Stage) or reader.reduce or not _are_same(reader.axes, stage.axes):
        return False
    axes = [axis.var for axis in reader.axes]
    return all(
        all(map(tirx.Var.same_as, load.indices, axes))
        for load in reader.reads
        if any(load.source.same_as(buffer) for buffer in stage.outputs)
    )


def _are_same(axes: list[Axis], others: list[Axis]) -> bool:
    return len(axes) == len(others) and all(
        is_same(a.extent, b.extent) for a, b in zip(axes, others, strict=True)
    )


def _group(
    program: Program,
    stages: list[Stage | tirx.Stmt],
    notes: dict[str, list[str]],
    is_alone: Callable[[Stage], bool],
) -> list[Group | tirx.Stmt]:
    """Put stages together that go over the same rows, one after the other."""
    groups: list[Group | tirx.Stmt] = []
    alone = False
    for stage in stages:
        if not isinstance(stage, Stage):
            groups.append(stage)
            continue
        last = groups[-1] if groups else None
        before, alone = alone, is_alone(stage)
        if isinstance(last, Group) and not before and not alone:
            depth = _common_depth(last, stage)
            if depth and _is_worth_it(last, stage, depth):
                last.stages.append(stage)
                last.depth = depth
                continue
        groups.append(Group([stage]))
    for group in groups:
        if isinstance(group, Group) and len(group.stages) > 1:
            others = [stage for stage in stages if stage not in group.stages]
            group.local = [
                output
                for stage in group.stages
                for output in stage.outputs
                if _is_intermediate(program, [output]) and not _readers(others, [output])
            ]
            names = ", ".join(stage.name for stage in group.stages)
            for stage in group.stages:
                notes[stage.name].append(f"a row at a time with {names}")
    return groups


def _is_worth_it(group: Group, stage: Stage, depth: int) -> bool:
    outputs = [buffer for member in group.stages for buffer in member.outputs]
    related = any(a.same_as(b) for a in stage.sources for b in outputs)
    shared = [
        a
        for a in stage.sources
        if any(a.same_as(b) for member in group.stages for b in member.sources)
    ]
    rows = 1
    for axis in stage.axes[:depth]:
        if axis.size is None:
            rows = _FEWEST_ROWS
            break
        rows *= axis.size
    return (related or bool(shared)) and rows >= _FEWEST_ROWS


def _common_depth(group: Group, stage: Stage) -> int:
    """Return how many axes `stage` can share with `group`: of them it reads its own row only."""
    first = group.stages[0]
    depth = group.depth or min(len(member.axes) for member in group.stages)
    # What is left inside makes the vectors.
    ranks = [len(member.axes) + len(member.reduce) for member in (*group.stages, stage)]
    depth = min(depth, len(stage.axes), max(ranks) - 1)
    while depth and not _are_same(first.axes[:depth], stage.axes[:depth]):
        depth -= 1
    outputs = [buffer for member in group.stages for buffer in member.outputs]
    for load in stage.reads:
        if not any(load.source.same_as(buffer) for buffer in outputs):
            continue
        same = 0
        for index, axis in zip(load.indices, stage.axes, strict=False):
            if not index.same_as(axis.var):
                break
            same += 1
        depth = min(depth, same)
    return depth
