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
"""Sums of products of two tensors, such as matrix products and convolutions: tiles in registers.

The two operands are copied into panels in the order in which they are needed, and a tile of the
result is kept in registers while the reduction runs over a panel, as in K. Goto and R. A. van de
Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from tvm import ir, sym, tirx
from tvm.tirx import ForKind
from tvm_ffi.structural import structural_walk

from tensorflow_tvm.schedules import loops
from tensorflow_tvm.schedules.stages import Axis, Stage, replace_loads, substitute, uses

_ACCUMULATORS = 12  # vectors, which leave registers for the operands
_PADDING = 16
_ACROSS = 16  # tiles, for which a panel of the left operand is packed once
# With fewer columns or rows, or products to add, copying an operand takes longer than it saves.
_FEWEST = 4
_SHALLOWEST = 16
_FEW_ROWS = 8
_SHALLOW_FOR_FEW_ROWS = 64
_NO_PANELS = ("bfloat16", "float8", "bool")  # processors lack vectors of them
_TILE_WORK = 16  # what adding to a tile once takes, in elements read


@dataclasses.dataclass
class Contraction:
    """A stage as ``out[batch, rows, columns] = sum over reduce of left * right``.

    Attributes
    ----------
    stage : Stage
        The stage.
    left, right : tirx.Expr
        The factors. Their product is cast to the type of the sum, where that is another.
    batch, rows, columns : list of Axis
        The axes that both factors have, those of the left one only, and those of the right one,
        the last of which is the last axis of the output.
    split : dict
        The axes of the stage that are not among these, in terms of two that are.
    """

    stage: Stage
    left: Any
    right: Any
    batch: list[Axis]
    rows: list[Axis]
    columns: list[Axis]
    split: dict[tirx.Var, Any]


def match(stage: Stage) -> Contraction | None:
    """Return `stage` as a contraction, None if it is none or too small."""
    if len(stage.values) != 1 or not stage.reduce or not stage.axes:
        return None
    (value,) = stage.values
    if not isinstance(value, tirx.Add):
        return None
    old, factors = value.a, value.b
    if not isinstance(old, ir.TensorLoad):
        old, factors = factors, old
    if not isinstance(old, ir.TensorLoad) or not old.source.same_as(stage.partial[0]):
        return None
    if isinstance(factors, tirx.Cast):
        factors = factors.value
    if not isinstance(factors, tirx.Mul) or str(factors.ty).startswith(_NO_PANELS):
        return None
    axes, split = _split_groups(stage.axes, factors)
    left, right = (_in_terms_of(split, axes, factor) for factor in (factors.a, factors.b))
    last = axes[-1].var
    if uses(left, last):
        left, right = right, left
    axes = [axis for axis in axes if axis.size != 1]
    batch = [a for a in axes if uses(left, a.var) and uses(right, a.var)]
    rows = [a for a in axes if uses(left, a.var) and not uses(right, a.var)]
    columns = [a for a in axes if uses(right, a.var) and not uses(left, a.var)]
    if len(batch) + len(rows) + len(columns) != len(axes) or not rows or not columns:
        return None
    if not columns[-1].var.same_as(last):
        return None
    if any(not uses(f, axis.var) for f in (left, right) for axis in stage.reduce if axis.size != 1):
        return None
    few = [axes_[-1].size for axes_ in (rows, columns) if len(axes_) == 1]
    if any(size is not None and size < _FEWEST for size in few):
        return None
    depth = 1
    for axis in stage.reduce:
        depth *= axis.size or _SHALLOWEST
    if depth < _SHALLOWEST or _are_flat(rows, depth):
        return None
    return Contraction(stage, left, right, batch, rows, columns, split)


def _are_flat(rows: list[Axis], depth: int) -> bool:
    """Whether so few products are made of each element on the right that packing it is no gain."""
    count = 1
    for axis in rows:
        if axis.size is None:
            return False
        count *= axis.size
    return count < _FEW_ROWS and depth < _SHALLOW_FOR_FEW_ROWS


def _split_groups(axes: list[Axis], factors: Any) -> tuple[list[Axis], dict[tirx.Var, tirx.Expr]]:
    """Make two axes of each that counts through groups, as the channels of some convolutions do."""
    found: dict[tirx.Var, int] = {}

    def see(quotient: tirx.FloorDiv) -> None:
        if isinstance(quotient.a, tirx.Var) and isinstance(quotient.b, tirx.IntImm):
            found[quotient.a] = int(quotient.b.value)

    structural_walk(factors, [(tirx.FloorDiv, see)])
    all_axes: list[Axis] = []
    split: dict[tirx.Var, tirx.Expr] = {}
    for axis in axes:
        size = found.get(axis.var)
        if size is None or axis.size is None or axis.size % size:
            all_axes.append(axis)
            continue
        dtype = str(axis.var.ty)
        group = Axis(
            tirx.Var(f"{axis.var.name}_group", dtype), loops.const(axis.size // size, axis.extent)
        )
        inner = Axis(tirx.Var(axis.var.name, dtype), loops.const(size, axis.extent))
        all_axes += [group, inner]
        split[axis.var] = group.var * size + inner.var
    return all_axes, split


def _in_terms_of(split: dict[tirx.Var, tirx.Expr], axes: list[Axis], value: Any) -> Any:
    """Return `value` with the axes that have been split replaced by what they were split into."""
    if not split:
        return value
    analyzer = sym.Analyzer()
    for axis in axes:
        analyzer.bind(axis.var, ir.Range(0, axis.extent))
    return analyzer.simplify(substitute(value, split))


def describe(found: Contraction, lanes: int) -> str:
    """Return how `emit` computes a stage, in words."""
    rows, columns = _tile_of(found, lanes)
    return f"a product of matrices: both packed, tiles of {rows} x {columns} in registers"


def _tile_of(found: Contraction, lanes: int) -> tuple[int, int]:
    """Return the rows and columns of a tile: two vectors wide, if there is as much."""
    width = found.columns[-1].size
    vectors = 1 if width is not None and width <= lanes else 2
    return _ACCUMULATORS // vectors, lanes * vectors


def emit(found: Contraction, lanes: int) -> tirx.Stmt:
    """Return what computes a contraction with vectors of `lanes` elements."""
    stage = found.stage
    like = stage.axes[-1].extent
    batch = [axis.extent for axis in found.batch]

    def one(index: Any, share: bool) -> tirx.Stmt:
        def matrix(values: list[Any]) -> tirx.Stmt:
            indices = dict(zip((axis.var for axis in found.batch), values, strict=True))
            return _Matrix(found, indices, lanes).emit(share)

        return loops.unravel(index, batch, matrix)

    if not batch:
        return one(loops.const(0, like), True)
    count = loops.product(batch, like)
    if loops.value_of(count) is not None and loops.value_of(count) < 4:
        return loops.loop("batch", count, lambda index: one(index, True))
    work = loops.work([a.extent for a in (*found.rows, *found.columns, *stage.reduce)])
    return loops.blocks(
        count,
        work,
        lambda first, number: loops.loop("batch", number, lambda i: one(first + i, False)),
    )


class _Matrix:
    """The contraction for one element of the batch: a product of two matrices."""

    def __init__(self, found: Contraction, indices: dict[tirx.Var, Any], lanes: int) -> None:
        self.found = found
        self.stage = found.stage
        self.indices = indices
        for axis in found.stage.axes:
            if axis.size == 1:
                indices[axis.var] = loops.const(0, axis.extent)
        self.tile_rows, self.lanes = _tile_of(found, lanes)
        like = found.columns[-1].extent
        self.zero = loops.const(0, like)
        self.depth = loops.product([a.extent for a in self.stage.reduce], like)
        self.rows = loops.product([a.extent for a in found.rows], like)
        # Columns are tiled along the last axis alone: its neighbours are neighbours in memory.
        self.width = found.columns[-1].extent
        self.outer = [axis.extent for axis in found.columns[:-1]]
        self.tiles_across = loops.simplify(loops.ceil_div(self.width, self.lanes))
        self.panels = loops.simplify(loops.product(self.outer, like) * self.tiles_across)
        self.tiles_down = loops.simplify(loops.ceil_div(self.rows, self.tile_rows))
        self.factor = str(found.left.ty)
        self.sum = str(self.stage.partial[0].dtype)

    def emit(self, share: bool) -> tirx.Stmt:
        right = self._panels((self.panels, self.depth, self.lanes), "right")

        def pack(first: Any, number: Any) -> tirx.Stmt:
            return loops.loop("panel", number, lambda i: self._pack_right(right, first + i))

        def compute(first: Any, number: Any) -> tirx.Stmt:
            # Lines a power of two apart would push each other out of the cache.
            left = self._panels((self.tile_rows, self.depth + _PADDING), "left")

            def rows(found: list[Any]) -> tirx.Stmt:
                down, start = found
                start = loops.simplify(start * _ACROSS)
                return loops.sequence(
                    self._pack_left(left, down),
                    loops.loop(
                        "across",
                        loops.simplify(tirx.min(_ACROSS, self.panels - start)),
                        lambda j: self._tile(left, right, down, start + j),
                    ),
                )

            return loops.sequence(
                tirx.AllocBuffer(left),
                loops.loop(
                    "down",
                    number,
                    lambda i: loops.unravel(first + i, [self.tiles_down, starts], rows),
                ),
            )

        def shared(count: Any, work: Any, body: Callable[[Any, Any], tirx.Stmt]) -> tirx.Stmt:
            return loops.blocks(count, work, body) if share else body(self.zero, count)

        work = loops.work([self.depth, _TILE_WORK])
        starts = loops.simplify(loops.ceil_div(self.panels, _ACROSS))
        return loops.sequence(
            tirx.AllocBuffer(right),
            shared(self.panels, work, pack),
            shared(
                loops.product([self.tiles_down, starts], self.zero),
                loops.work([tirx.min(self.panels, _ACROSS), work]),
                compute,
            ),
        )

    def _panels(self, shape: Sequence[Any], name: str) -> tirx.Var:
        return tirx.decl_buffer(list(shape), self.factor, f"{self.stage.name}_{name}")

    def _pack_right(self, right: tirx.Var, panel: Any) -> tirx.Stmt:
        return loops.unravel(
            panel,
            [*self.outer, self.tiles_across],
            lambda found: self._pack_panel(right, panel, found),
        )

    def _pack_panel(self, right: tirx.Var, panel: Any, found: list[Any]) -> tirx.Stmt:
        *outer, across = found
        axes = self.found.columns
        values = dict(zip((axis.var for axis in axes[:-1]), outer, strict=True))
        start = across * self.lanes

        def element(found: list[Any], lane: Any) -> Any:
            column = start + lane
            reduced = dict(zip((a.var for a in self.stage.reduce), found, strict=True))
            indices = {**self.indices, **values, **reduced, axes[-1].var: column}
            return substitute(self.found.right, indices)

        def row(found: list[Any]) -> tirx.Stmt:
            at = self._depth_of(found)

            def copy(count: Any) -> tirx.Stmt:
                return loops.loop(
                    "lane",
                    count,
                    lambda lane: tirx.BufferStore(right, element(found, lane), [panel, at, lane]),
                )

            full = loops.const(self.lanes, self.zero)
            if loops.value_of(loops.simplify(tirx.floormod(self.width, self.lanes))) == 0:
                return copy(full)
            rest = loops.simplify(self.width - start)
            return tirx.IfThenElse(
                rest >= full,
                copy(full),
                loops.sequence(
                    copy(rest),
                    loops.loop(
                        "lane",
                        loops.simplify(full - rest),
                        lambda lane: tirx.BufferStore(
                            right, tirx.const(0, self.factor), [panel, at, rest + lane]
                        ),
                    ),
                ),
            )

        return self._over_depth(row)

    def _pack_left(self, left: tirx.Var, down: Any) -> tirx.Stmt:
        def line(i: Any) -> tirx.Stmt:
            # Rows beyond the last are copies of it, and not stored.
            row = down * self.tile_rows + i
            if loops.value_of(loops.simplify(tirx.floormod(self.rows, self.tile_rows))) != 0:
                row = tirx.min(row, self.rows - 1)

            def copies(indices: dict[tirx.Var, Any]) -> tirx.Stmt:
                def copy(found: list[Any]) -> tirx.Stmt:
                    reduced = dict(zip((a.var for a in self.stage.reduce), found, strict=True))
                    value = substitute(self.found.left, {**indices, **reduced})
                    return tirx.BufferStore(left, value, [i, self._depth_of(found)])

                return self._over_depth(copy)

            return self._of_row(row, copies)

        return loops.loop("i", loops.const(self.tile_rows, self.zero), line)

    def _of_row(self, row: Any, body: Callable[[dict[tirx.Var, Any]], tirx.Stmt]) -> tirx.Stmt:
        """Return ``body(indices)`` for the axes of a row, and those that are known before."""
        axes = self.found.rows
        return loops.unravel(
            row,
            [axis.extent for axis in axes],
            lambda values: body(
                {**self.indices, **dict(zip((axis.var for axis in axes), values, strict=True))}
            ),
        )

    def _over_depth(self, body: Callable[[list[Any]], tirx.Stmt]) -> tirx.Stmt:
        reduce = self.stage.reduce
        return loops.nest([a.var.name for a in reduce], [a.extent for a in reduce], body)

    def _depth_of(self, found: list[Any]) -> Any:
        result = self.zero
        for index, axis in zip(found, self.stage.reduce, strict=True):
            result = result * axis.extent + index
        return loops.simplify(result)

    def _tile(self, left: tirx.Var, right: tirx.Var, down: Any, panel: Any) -> tirx.Stmt:
        tile = tirx.decl_buffer([self.tile_rows, self.lanes], self.sum, f"{self.stage.name}_tile")

        def each(body: Callable[[Any, Any], tirx.Stmt]) -> tirx.Stmt:
            return loops.loop(
                "i",
                loops.const(self.tile_rows, self.zero),
                lambda i: loops.loop(
                    "lane",
                    loops.const(self.lanes, self.zero),
                    lambda lane: body(i, lane),
                    ForKind.VECTORIZED,
                ),
                ForKind.UNROLLED,
            )

        (identity,) = self.stage.identities
        start = each(lambda i, lane: tirx.BufferStore(tile, identity, [i, lane]))

        def add(i: Any, lane: Any, k: Any) -> tirx.Stmt:
            product = tirx.BufferLoad(left, [i, k]) * tirx.BufferLoad(right, [panel, k, lane])
            if self.factor != self.sum:
                product = product.astype(self.sum)
            return tirx.BufferStore(tile, tirx.BufferLoad(tile, [i, lane]) + product, [i, lane])

        def step(k: Any) -> tirx.Stmt:
            return each(lambda i, lane: add(i, lane, k))

        return loops.sequence(
            tirx.AllocBuffer(tile),
            start,
            loops.loop("k", self.depth, step),
            self._store(tile, down, panel),
        )

    def _store(self, tile: tirx.Var, down: Any, panel: Any) -> tirx.Stmt:
        return loops.unravel(
            panel,
            [*self.outer, self.tiles_across],
            lambda found: self._store_tile(tile, down, found),
        )

    def _store_tile(self, tile: tirx.Var, down: Any, found: list[Any]) -> tirx.Stmt:
        *outer, across = found
        axes = self.found.columns
        values = dict(zip((axis.var for axis in axes[:-1]), outer, strict=True))
        start = across * self.lanes

        def element(i: Any, row: dict[tirx.Var, Any], lane: Any) -> tirx.Stmt:
            indices = {**row, **values, axes[-1].var: start + lane}
            for axis, value in self.found.split.items():
                indices[axis] = substitute(value, indices)
            result = tirx.BufferLoad(tile, [i, lane])
            results = [result]
            if self.stage.finish is not None:
                results = [
                    replace_loads(substitute(v, indices), self.stage.partial, lambda *_: result)
                    for v in self.stage.finish
                ]
            return loops.sequence(
                *(
                    tirx.BufferStore(output, value, self.stage.element(output, indices))
                    for output, value in zip(self.stage.outputs, results, strict=True)
                )
            )

        def line(i: Any) -> tirx.Stmt:
            def stores(indices: dict[tirx.Var, Any]) -> tirx.Stmt:
                def store(count: Any, kind: ForKind) -> tirx.Stmt:
                    return loops.loop("lane", count, lambda lane: element(i, indices, lane), kind)

                full = loops.const(self.lanes, self.zero)
                if loops.value_of(loops.simplify(tirx.floormod(self.width, self.lanes))) == 0:
                    return store(full, ForKind.VECTORIZED)
                rest = loops.simplify(self.width - start)
                return tirx.IfThenElse(
                    rest >= full, store(full, ForKind.VECTORIZED), store(rest, ForKind.SERIAL)
                )

            row = down * self.tile_rows + i
            body = self._of_row(row, stores)
            if loops.value_of(loops.simplify(tirx.floormod(self.rows, self.tile_rows))) == 0:
                return body
            return tirx.IfThenElse(row < self.rows, body, None)

        return loops.loop("i", loops.const(self.tile_rows, self.zero), line)
