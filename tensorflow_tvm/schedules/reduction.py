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
"""Reductions: accumulators that stay in registers, side by side in vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from tensorflow_tvm.schedules import elementwise, loops
from tensorflow_tvm.schedules.combiners import Combine, combiner
from tensorflow_tvm.schedules.sharing import Scratch
from tensorflow_tvm.schedules.stages import (
    Axis,
    Stage,
    is_contiguous,
    replace_loads,
    substitute,
    uses,
)

# A reduction over so few elements is written out.
_MOST_UNROLLED = 32
# One over at least so many for few results is split, so that threads share it.
_LEAST_SPLIT = 1 << 16
_MOST_PARTS = 64
# Of fewer elements than that, adding up a vector's lanes takes longer than it saves.
_FEWEST_FOR_VECTORS = 64
_ACCUMULATORS = 4  # vectors of them: enough to keep the processor's adders busy


def unrolled(stage: Stage) -> Stage | None:
    """Return a reduction over few elements with each of them written out; None if they are many.

    None also where the elements are neighbours in memory, and those of the next result are not.
    """
    if not stage.axes or not _is_window(stage):
        return None
    count = 1
    for axis in stage.reduce:
        if axis.size is None:
            return None
        count *= axis.size
    if not 0 < count <= _MOST_UNROLLED or len(stage.values) != 1:
        return None
    result = stage.identities[0]
    value = stage.values[0]
    for flat in range(count):
        indices = {}
        rest = flat
        for axis in reversed(stage.reduce):
            indices[axis.var] = loops.const(rest % axis.size, axis.extent)
            rest //= axis.size
        element = substitute(value, indices)
        old = result
        result = replace_loads(element, stage.partial, lambda i, _, old=old: old)
    values = [result]
    if stage.finish is not None:
        values = [replace_loads(v, stage.partial, lambda i, _: result) for v in stage.finish]
    return dataclasses.replace(
        stage, reduce=[], identities=[], values=values, partial=[], finish=None
    )


def _is_window(stage: Stage) -> bool:
    """Whether no tensor that has the last axis has it across memory and the reduction along it."""
    last = stage.axes[-1].var
    return all(
        uses(load.indices[-1], last)
        or not any(uses(load.indices[-1], axis.var) for axis in stage.reduce)
        or not uses(load, last)
        for load in stage.reads
        if load.indices
    )


def split(stage: Stage, body: Callable[[Stage, Stage], tirx.Stmt]) -> tirx.Stmt | None:
    """Return ``body(first, last)`` of a reduction to few results in two steps; None otherwise.

    The first is of parts, and the last of the results of those.
    """
    combine = combiner(stage)
    spatial = 1
    for axis in stage.axes:
        spatial *= axis.size or _LEAST_SPLIT
    total = 1
    for axis in stage.reduce:
        total *= axis.size or _LEAST_SPLIT
    first = stage.reduce[0]
    if combine is None or spatial >= 256 or total < _LEAST_SPLIT or (first.size or 64) < 8:
        return None
    # Parts of a constant number, so that the result is the same on any number of threads.
    size = loops.simplify(tirx.max(loops.ceil_div(first.extent, _MOST_PARTS), 1))

    def in_parts(size: Any) -> tirx.Stmt:
        count = loops.simplify(loops.ceil_div(first.extent, size))
        return loops.bind("parts", count, lambda count: body(*_steps(stage, combine, size, count)))

    return loops.keep("size", size, in_parts)


def _steps(stage: Stage, combine: Combine, size: Any, count: Any) -> tuple[Stage, Stage]:
    """Return the reduction of each of `count` parts, of `size` at most, and that of the parts."""
    first = stage.reduce[0]
    part = tirx.Var("part", str(first.var.ty))
    inner = tirx.Var(first.var.name, str(first.var.ty))
    offset = {first.var: part * size + inner}
    shape = [_MOST_PARTS, *(axis.extent for axis in stage.axes)]
    parts = [
        tirx.decl_buffer(shape, str(buffer.dtype), f"{buffer.name}_parts")
        for buffer in stage.partial
    ]
    own = [axis.var for axis in stage.axes]

    def to_part(index: int, indices: list[Any]) -> Any:
        return tirx.BufferLoad(parts[index], [part, *indices])

    first_axis = Axis(inner, loops.simplify(tirx.min(size, first.extent - part * size)))
    partial = Stage(
        f"{stage.name}_parts",
        parts,
        [Axis(part, count), *stage.axes],
        [first_axis, *stage.reduce[1:]],
        stage.identities,
        [replace_loads(substitute(v, offset), stage.partial, to_part) for v in stage.values],
        parts,
    )
    old = [tirx.BufferLoad(buffer, own) for buffer in stage.partial]
    index = tirx.Var("part", str(first.var.ty))
    new = [tirx.BufferLoad(buffer, [index, *own]) for buffer in parts]
    whole = dataclasses.replace(stage, reduce=[Axis(index, count)], values=combine(old, new))
    return partial, whole


def emit(stage: Stage, indices: dict[tirx.Var, Any], lanes: int) -> tirx.Stmt:
    """Return what computes `stage` for the axes that `indices` does not have yet.

    Parameters
    ----------
    stage, indices
        What to compute.
    lanes
        How many elements a vector has; 1 for none.
    """
    axes = [axis for axis in stage.axes if axis.var not in indices]
    names = [axis.var.name for axis in axes]
    if axes and lanes > 1 and is_contiguous(stage, axes[-1].var):
        rows = max(0, len(axes) - side_by_side(stage, lanes))
        extents = [axis.extent for axis in axes]
        return loops.nest(
            names[:rows],
            extents[:rows],
            lambda found: columns(
                stage,
                {**indices, **dict(zip((a.var for a in axes), found, strict=False))},
                loops.const(0, extents[-1]),
                loops.product(extents[rows:], extents[-1]),
                lanes,
                axes[rows:],
            ),
        )

    def element(found: list[Any]) -> tirx.Stmt:
        values = {**indices, **dict(zip((a.var for a in axes), found, strict=True))}
        return _row(stage, values, lanes)

    return loops.nest(names, [axis.extent for axis in axes], element)


def describe(stage: Stage, lanes: int) -> str:
    """Return how `emit` computes a stage, in words."""
    if lanes > 1 and stage.axes and is_contiguous(stage, stage.axes[-1].var):
        return f"columns side by side, {lanes * _accumulators(stage) * 2} in registers"
    if lanes > 1 and combiner(stage) and is_contiguous(stage, stage.reduce[-1].var):
        return f"along memory, in {_accumulators(stage)} vectors of {lanes}"
    return "one element after the other, since what it reads is not side by side in memory"


def side_by_side(stage: Stage, lanes: int) -> int:
    """Return how many of the last axes make columns: as few as fill the registers."""
    most = elementwise.collapsible(stage, stage.axes)
    count, size = 1, stage.axes[-1].size
    while count < most and size is not None and size < lanes * _ACCUMULATORS * 2:
        factor = stage.axes[-count - 1].size
        if factor is None:
            break
        count, size = count + 1, size * factor
    return count


def share_columns(stage: Stage, lanes: int) -> tirx.Stmt:
    """Return what computes a stage all of whose axes make columns on all threads."""
    extents = [axis.extent for axis in stage.axes]
    return loops.blocks(
        loops.product(extents, extents[-1]),
        loops.work([a.extent for a in stage.reduce]),
        lambda first, number: columns(stage, {}, first, number, lanes, stage.axes),
        multiple=lanes * _accumulators(stage) * 2,
    )


def columns(
    stage: Stage,
    indices: dict[tirx.Var, Any],
    first: Any,
    count: Any,
    lanes: int,
    axes: list[Axis],
) -> tirx.Stmt:
    """Return what computes `count` neighbours along `axes` side by side, from `first` on."""
    statements: list[tirx.Stmt] = []
    start, rest = first, count
    width = lanes * _accumulators(stage) * 2
    widths = [width]
    while width > lanes:
        width //= 2
        if loops.value_of(count) is not None or width == lanes:
            widths.append(width)

    def named(name: str, value: Any) -> Any:
        return loops.bind_before(statements, name, loops.simplify(value))

    for width in widths:
        tiles = named("tiles", tirx.floordiv(rest, width))
        if loops.value_of(tiles) == 0:
            continue

        def tile(index: Any, start: Any = start, width: int = width) -> tirx.Stmt:
            begin = start + index * width
            return _tile(stage, indices, begin, width, axes)

        statements.append(loops.loop("tile", tiles, tile))
        start = named("start", start + tiles * width)
        rest = named("rest", rest - tiles * width)
    if loops.value_of(rest) != 0:
        statements.append(
            loops.loop(
                "rest",
                rest,
                lambda index: _row(stage, {**indices, **_along(axes, start + index)}, 1),
            )
        )
    return loops.sequence(*statements)


def _accumulators(stage: Stage) -> int:
    # Several values at once need registers for what compares them, too.
    return _ACCUMULATORS if len(stage.values) == 1 else 1


def _along(axes: list[Axis], position: Any) -> dict[tirx.Var, Any]:
    """Return what `axes` are where `position` counts through them."""
    indices = loops.split_index(position, [axis.extent for axis in axes])
    return dict(zip((axis.var for axis in axes), indices, strict=True))


def _tile(
    stage: Stage, indices: dict[tirx.Var, Any], begin: Any, width: int, axes: list[Axis]
) -> tirx.Stmt:
    accumulators = _allocate(stage, width)
    like = axes[-1].extent
    scratch, ends = Scratch(width), Scratch(width)

    def at(lane: Any) -> dict[tirx.Var, Any]:
        return {**indices, **_along(axes, begin + lane)}

    def each(body: Callable[[Any], tirx.Stmt]) -> tirx.Stmt:
        return loops.loop("lane", loops.const(width, like), body, ForKind.VECTORIZED)

    def update(found: list[Any]) -> tirx.Stmt:
        reduced = dict(zip((a.var for a in stage.reduce), found, strict=True))
        return each(
            lambda lane: _update(stage, {**at(lane), **reduced}, accumulators, lane, scratch)
        )

    updates = loops.nest(
        [a.var.name for a in stage.reduce],
        [substitute(a.extent, indices) for a in stage.reduce],
        update,
    )
    return loops.sequence(
        *map(tirx.AllocBuffer, accumulators),
        each(lambda lane: _start(stage, at(lane), accumulators, lane)),
        scratch.around(updates),
        ends.around(each(lambda lane: _store(stage, at(lane), accumulators, lane, ends))),
    )


def _row(stage: Stage, indices: dict[tirx.Var, Any], lanes: int) -> tirx.Stmt:
    """Return what computes one element."""
    combine = combiner(stage) if lanes > 1 else None
    count = elementwise.collapsible(stage, stage.reduce)
    outer, inner = stage.reduce[:-count], stage.reduce[-count:]
    extents = [substitute(axis.extent, indices) for axis in inner]
    extent = loops.product(extents, extents[0])
    width = lanes * _accumulators(stage)
    size = loops.value_of(extent)
    if combine is None or not is_contiguous(stage, inner[-1].var):
        width = 1
    elif size is not None and size < _FEWEST_FOR_VECTORS:
        width = 1  # the next element's sum does not wait for this one's
    result = _allocate(stage, 1)
    scratch = Scratch()
    zero = loops.const(0, extent)

    def reduced(found: Sequence[Any], last: Any) -> dict[tirx.Var, Any]:
        values = dict(zip((axis.var for axis in outer), found, strict=True))
        rest = loops.split_index(last, extents)
        return {**indices, **values, **dict(zip((a.var for a in inner), rest, strict=True))}

    def serial(first: Any, number: Any) -> Callable[[list[Any]], tirx.Stmt]:
        return lambda found: loops.loop(
            inner[-1].var.name,
            number,
            lambda i: _update(stage, reduced(found, first + i), result, zero, scratch),
        )

    def over(body: Callable[[list[Any]], tirx.Stmt]) -> tirx.Stmt:
        sizes = [substitute(axis.extent, indices) for axis in outer]
        return loops.nest([axis.var.name for axis in outer], sizes, body)

    begin = [*map(tirx.AllocBuffer, result), _start(stage, indices, result, zero)]
    ends = Scratch()
    end = ends.around(_store(stage, indices, result, zero, ends))
    extent = loops.bind_before(begin, "extent", extent)
    if width == 1:
        update = over(serial(zero, extent))
        return loops.sequence(*begin, scratch.around(update), end)
    accumulators = _allocate(stage, width)
    vector_scratch = Scratch(width)

    def each(width: int, body: Callable[[Any], tirx.Stmt]) -> tirx.Stmt:
        return loops.loop("lane", loops.const(width, extent), body, ForKind.VECTORIZED)

    whole = loops.bind_before(begin, "whole", loops.simplify(tirx.floordiv(extent, width)))
    rest = loops.bind_before(begin, "rest", loops.simplify(extent - whole * width))

    def vectors(found: list[Any]) -> tirx.Stmt:
        return loops.loop(
            inner[-1].var.name,
            whole,
            lambda i: each(
                width,
                lambda lane: _update(
                    stage, reduced(found, i * width + lane), accumulators, lane, vector_scratch
                ),
            ),
        )

    updates = over(vectors)
    steps = [
        *begin,
        *map(tirx.AllocBuffer, accumulators),
        each(width, lambda lane: _start(stage, indices, accumulators, lane)),
        vector_scratch.around(updates),
    ]
    half = width // 2
    while half:
        steps.append(
            each(half, lambda lane, half=half: _merge(combine, accumulators, lane, lane + half))
        )
        half //= 2
    if loops.value_of(rest) != 0:
        update = over(serial(loops.simplify(whole * width), rest))
        steps.append(scratch.around(update))
    into = [tirx.BufferLoad(buffer, [zero]) for buffer in result]
    other = [tirx.BufferLoad(buffer, [zero]) for buffer in accumulators]
    steps.append(_assign(result, zero, combine(into, other)))
    return loops.sequence(*steps, end)


def _allocate(stage: Stage, width: int) -> list[tirx.Var]:
    return [
        tirx.decl_buffer((width,), str(buffer.dtype), f"{buffer.name}_acc")
        for buffer in stage.partial
    ]


def _start(
    stage: Stage, indices: dict[tirx.Var, Any], accumulators: list[tirx.Var], lane: Any
) -> tirx.Stmt:
    return loops.sequence(
        *(
            tirx.BufferStore(buffer, substitute(identity, indices), [lane])
            for buffer, identity in zip(accumulators, stage.identities, strict=True)
        )
    )


def _update(
    stage: Stage,
    indices: dict[tirx.Var, Any],
    accumulators: list[tirx.Var],
    lane: Any,
    scratch: Scratch,
) -> tirx.Stmt:
    """Return what takes one more element into account."""

    def old(index: int, _: list[Any]) -> Any:
        return tirx.BufferLoad(accumulators[index], [lane])

    values = [replace_loads(substitute(v, indices), stage.partial, old) for v in stage.values]
    parts, values = scratch.rewrite(values, lane, accumulators)
    return loops.sequence(*parts, _assign(accumulators, lane, values))


def _merge(
    combine: Combine,
    accumulators: list[tirx.Var],
    lane: Any,
    other: Any,
) -> tirx.Stmt:
    left = [tirx.BufferLoad(buffer, [lane]) for buffer in accumulators]
    right = [tirx.BufferLoad(buffer, [other]) for buffer in accumulators]
    return _assign(accumulators, lane, combine(left, right))


def _assign(buffers: list[tirx.Var], lane: Any, values: list[Any]) -> tirx.Stmt:
    """Return what stores values that may read what is stored to."""
    if len(values) == 1:
        return tirx.BufferStore(buffers[0], values[0], [lane])
    names = [tirx.Var(f"{buffer.name}_new", str(buffer.dtype)) for buffer in buffers]
    return loops.sequence(
        *(tirx.Bind(name, value) for name, value in zip(names, values, strict=True)),
        *(
            tirx.BufferStore(buffer, name, [lane])
            for buffer, name in zip(buffers, names, strict=True)
        ),
    )


def _store(
    stage: Stage,
    indices: dict[tirx.Var, Any],
    accumulators: list[tirx.Var],
    lane: Any,
    scratch: Scratch,
) -> tirx.Stmt:
    def result(index: int, _: Any = None) -> Any:
        return tirx.BufferLoad(accumulators[index], [lane])

    if stage.finish is None:
        values = [result(i) for i in range(len(stage.outputs))]
    else:
        values = [
            replace_loads(substitute(value, indices), stage.partial, result)
            for value in stage.finish
        ]
    parts, values = scratch.rewrite(values, lane)
    return loops.sequence(
        *parts,
        *(
            tirx.BufferStore(output, value, stage.element(output, indices))
            for output, value in zip(stage.outputs, values, strict=True)
        ),
    )
