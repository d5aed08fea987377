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
"""Elements that depend on no others: loops over neighbours, of which there are vectors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from tensorflow_tvm.schedules import loops
from tensorflow_tvm.schedules.sharing import Scratch
from tensorflow_tvm.schedules.stages import (
    Axis,
    Stage,
    is_contiguous,
    is_guarded,
    is_same,
    substitute,
    uses,
    work_of,
)

_SQUARE = 16  # elements: a line of the cache, of most types
_BLOCK = 8  # of them, in registers
# Steps of long arithmetic wait for each other: so many vectors are computed at once.
_VECTORS = 4
_LEAST_WORK = 8
# Pieces of work of one size, which keep threads busy for about as long as each other.
_FEWEST_SHARED = 48


def collapsible(stage: Stage, axes: Sequence[Axis]) -> int:
    """Return how many of the last `axes` are one axis to each tensor that has any of them."""
    count = min(1, len(axes))
    while count < len(axes) and _is_one_axis(stage, axes[len(axes) - count - 1 :]):
        count += 1
    return count


def _is_one_axis(stage: Stage, axes: Sequence[Axis]) -> bool:
    if any(axis.size is None for axis in axes[1:]):
        return False  # index arithmetic would remain
    for load in stage.reads:
        if not any(uses(index, axis.var) for index in load.indices for axis in axes):
            continue
        rest, last = load.indices[: -len(axes)], load.indices[-len(axes) :]
        if len(last) != len(axes) or any(uses(i, axis.var) for i in rest for axis in axes):
            return False
        shape = load.source.shape[-len(axes) :]
        for index, size, axis in zip(last, shape, axes, strict=True):
            if not index.same_as(axis.var) or not is_same(size, axis.extent):
                return False
    return True


def crossing(stage: Stage) -> Axis | None:
    """Return the axis along which a tensor is read that is written along the last one.

    None if that is short: then what is read is in the cache until the next elements are.
    """
    size = stage.axes[-1].size if stage.axes else 1
    if size is not None and size < _SQUARE:
        return None
    for load in stage.reads:
        if not load.indices or not stage.axes or uses(load.indices[-1], stage.axes[-1].var):
            continue
        if any(uses(index, stage.axes[-1].var) for index in load.indices[:-1]):
            for axis in stage.axes[:-1]:
                if uses(load.indices[-1], axis.var):
                    return axis
    return None


def in_place(stage: Stage, inputs: Sequence[tirx.Var]) -> list[int]:
    """Return which of `inputs`, by number, may give their memory to what `stage` writes.

    That are those whose elements are read for their own element of the output only, before that is
    written. So it is whatever the order of the loops: each element is written once. That LLVM is
    told that tensors do not overlap does no harm, as what is stored depends on all that is read.
    """
    if stage.reduce or len(stage.outputs) != 1:
        return []
    (output,) = stage.outputs
    found = []
    for i, tensor in enumerate(inputs):
        loads = [load for load in stage.reads if load.source.same_as(tensor)]
        if (
            loads
            and str(tensor.dtype) == str(output.dtype)
            and len(tensor.shape) == len(output.shape)
            and all(map(is_same, tensor.shape, output.shape))
            and all(
                index.same_as(axis.var)
                for load in loads
                for index, axis in zip(load.indices, stage.axes, strict=True)
            )
        ):
            found.append(i)
    return found


def store(stage: Stage, indices: dict[tirx.Var, Any]) -> tirx.Stmt:
    """Return what stores an element of each output."""
    scratch = Scratch()
    zero = tirx.IntImm("int32", 0)
    return scratch.around(_store(stage, indices, zero, scratch))


def _store(stage: Stage, indices: dict[tirx.Var, Any], lane: Any, scratch: Scratch) -> tirx.Stmt:
    values = [substitute(value, indices) for value in stage.values]
    parts, values = scratch.rewrite(values, lane)
    return loops.sequence(
        *parts,
        *(
            tirx.BufferStore(output, value, stage.element(output, indices))
            for output, value in zip(stage.outputs, values, strict=True)
        ),
    )


def describe(stage: Stage, lanes: int) -> str:
    """Return how elements that are neighbours are computed, in words."""
    if _width(stage, lanes) == 1:
        return "elements in order, in vectors where LLVM sees them"
    return f"elements in order, in {_VECTORS} vectors of {lanes}"


def _width(stage: Stage, lanes: int) -> int:
    """Return how many elements are computed at once; with 1 it is left to LLVM."""
    if lanes == 1 or work_of(stage) < _LEAST_WORK:
        return 1
    if any(is_guarded(value) for value in stage.values):
        return 1
    return lanes * _VECTORS if is_contiguous(stage, stage.axes[-1].var) else 1


def _along(
    name: str, extent: Any, width: int, body: Callable[[Any, Any, Scratch], tirx.Stmt]
) -> tirx.Stmt:
    """Return a loop over ``body(i, lane, scratch)``, `width` elements at once."""

    def single(i: Any) -> tirx.Stmt:
        scratch = Scratch()
        return scratch.around(body(i, loops.const(0, extent), scratch))

    if width == 1 or (loops.value_of(extent) or width) < width:
        return loops.loop(name, extent, single)
    lanes = loops.const(width, extent)

    def vector(i: Any) -> tirx.Stmt:
        scratch = Scratch(width)

        def of_lane(lane: Any) -> tirx.Stmt:
            return body(i * width + lane, lane, scratch)

        return scratch.around(loops.loop("lane", lanes, of_lane, ForKind.VECTORIZED))

    def both(whole: Any) -> tirx.Stmt:
        rest = loops.simplify(extent - whole * width)
        vectors = loops.loop(name, whole, vector)
        if loops.value_of(rest) == 0:
            return vectors
        start = loops.simplify(whole * width)
        return loops.sequence(vectors, loops.loop(name, rest, lambda i: single(start + i)))

    return loops.bind("whole", loops.simplify(tirx.floordiv(extent, width)), both)


def emit(stage: Stage, indices: dict[tirx.Var, Any], lanes: int) -> tirx.Stmt:
    """Return what computes `stage` for the axes that `indices` does not have yet."""
    axes = [axis for axis in stage.axes if axis.var not in indices]
    count = collapsible(stage, axes)
    outer, inner = axes[: len(axes) - count], axes[len(axes) - count :]

    def element(first: list[Any], last: Any, lane: Any, scratch: Scratch) -> tirx.Stmt:
        values = dict(zip((axis.var for axis in outer), first, strict=True))
        rest = loops.split_index(last, [axis.extent for axis in inner])
        values.update(zip((axis.var for axis in inner), rest, strict=True))
        return _store(stage, {**indices, **values}, lane, scratch)

    if not axes:
        return store(stage, indices)
    extent = loops.product([axis.extent for axis in inner], inner[0].extent)
    name, width = inner[-1].var.name, _width(stage, lanes)
    return loops.nest(
        [axis.var.name for axis in outer],
        [axis.extent for axis in outer],
        lambda found: _along(name, extent, width, functools.partial(element, found)),
    )


def _is_in_blocks(axis: Axis) -> bool:
    return axis.size is not None and axis.size % _BLOCK == 0


def _transposed(stage: Stage, other: Axis) -> tirx.Stmt:
    """Return `stage` in square tiles, so that what is read across stays in the cache."""
    last = stage.axes[-1]
    like = last.extent
    outer = [axis for axis in stage.axes if axis is not last and axis is not other]
    tiles = [loops.simplify(loops.ceil_div(axis.extent, _SQUARE)) for axis in (other, last)]
    extents = [*(axis.extent for axis in outer), tiles[0]]

    def tile(found: list[Any]) -> tirx.Stmt:
        *found, down = found
        indices = dict(zip((axis.var for axis in outer), found, strict=True))

        def square(across: Any) -> tirx.Stmt:
            starts = [down * _SQUARE, across * _SQUARE]
            rests = [
                loops.simplify(axis.extent - start)
                for axis, start in zip((other, last), starts, strict=True)
            ]
            counts = [
                loops.simplify(loops.ceil_div(tirx.min(_SQUARE, rest), _BLOCK)) for rest in rests
            ]

            def block(found: list[Any]) -> tirx.Stmt:
                firsts = [start + i * _BLOCK for start, i in zip(starts, found, strict=True)]
                left = [
                    loops.simplify(rest - i * _BLOCK) for rest, i in zip(rests, found, strict=True)
                ]
                full = [loops.const(_BLOCK, like)] * 2
                if all(map(_is_in_blocks, (other, last))):
                    return elements(firsts, full)
                some = [loops.simplify(tirx.min(_BLOCK, rest)) for rest in left]
                # Only of constant sizes LLVM makes vectors.
                return tirx.IfThenElse(
                    tirx.all(*(rest >= _BLOCK for rest in left)),
                    elements(firsts, full),
                    elements(firsts, some),
                )

            return loops.nest([f"{other.var.name}_8", f"{last.var.name}_8"], counts, block)

        def elements(firsts: list[Any], sizes: list[Any]) -> tirx.Stmt:
            return loops.nest(
                [other.var.name, last.var.name],
                sizes,
                lambda found: store(
                    stage,
                    {**indices, other.var: firsts[0] + found[0], last.var: firsts[1] + found[1]},
                ),
            )

        return loops.loop("across", tiles[1], square)

    return loops.blocks(
        loops.product(extents, like),
        loops.work([like, _SQUARE]),
        lambda first, number: loops.loop(
            "down", number, lambda i: loops.unravel(first + i, extents, tile)
        ),
    )


def _is_enough(shared: Sequence[Any], inside: Sequence[Any], work: int) -> bool:
    """Whether threads that share loops over `shared` have as much to do as each other."""
    for extent in inside:
        size = loops.value_of(extent)
        if size is None:
            return False
        work *= size
    count = 1
    for extent in shared:
        size = loops.value_of(extent)
        if size is None:
            return work <= loops.GRAIN
        count *= size
    return work <= loops.GRAIN or count >= _FEWEST_SHARED


def share(stage: Stage, lanes: int) -> tirx.Stmt:
    """Return what computes a stage on all threads."""
    if not stage.axes:
        return emit(stage, {}, lanes)
    other = crossing(stage)
    if other is not None:
        return _transposed(stage, other)
    count = collapsible(stage, stage.axes)
    outer, inner = stage.axes[: len(stage.axes) - count], stage.axes[len(stage.axes) - count :]
    like = inner[-1].extent
    names = [*(axis.var.name for axis in outer), inner[-1].var.name]
    extents = [*(axis.extent for axis in outer), loops.product([a.extent for a in inner], like)]
    work = work_of(stage)
    # Loops are shared out from the outside, and as few as do: those inside are LLVM's to improve.
    depth = len(extents)
    while depth > 1 and _is_enough(extents[: depth - 1], extents[depth - 1 :], work):
        depth -= 1

    def elements(found: list[Any], start: Any, number: Any) -> tirx.Stmt:
        def element(i: Any, lane: Any, scratch: Scratch) -> tirx.Stmt:
            rest = loops.split_index(start + i, [axis.extent for axis in inner])
            axes = (axis.var for axis in stage.axes)
            indices = dict(zip(axes, [*found, *rest], strict=True))
            return _store(stage, indices, lane, scratch)

        return _along(names[-1], number, _width(stage, lanes), element)

    def part(found: list[Any], start: Any, number: Any) -> tirx.Stmt:
        """Compute `number` of the last loop that is shared out, and all that are in it."""
        if depth == len(extents):
            return elements(found, start, number)
        return loops.loop(
            names[depth - 1],
            number,
            lambda i: loops.nest(
                names[depth:-1],
                extents[depth:-1],
                lambda more: elements(
                    [*found, start + i, *more], loops.const(0, like), extents[-1]
                ),
            ),
        )

    return loops.blocks(
        loops.product(extents[:depth], like),
        loops.work([*extents[depth:], work]),
        lambda first, number: loops.ranges(names[:depth], extents[:depth], first, number, part),
        alone=emit(stage, {}, lanes),
    )
