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
"""The default schedule for processors: each stage by the first rule that fits."""

from __future__ import annotations

import functools

import tvm
import tvm.target.codegen as codegen
from tvm import tirx

from tensorflow_tvm.schedules import (
    cells,
    contraction,
    elementwise,
    loops,
    operations,
    reduction,
    rows,
)
from tensorflow_tvm.schedules.fusion import Group, fuse
from tensorflow_tvm.schedules.stages import (
    Program,
    Stage,
    count_library_calls,
    is_contiguous,
    name_of,
    read,
)

IN_PLACE = "tensorflow_tvm.in_place"  # an attr: which inputs the output may be written over
_MOST_LANES = 16
_NO_VECTORS = ("bfloat16", "float8", "bool")  # processors lack them, and TVM emulates them


def schedule(
    function: tirx.PrimFunc, target: tvm.target.Target, libm: bool, notes: dict[str, list[str]]
) -> tirx.PrimFunc:
    """Return `function` with loops that are right for `target`, a processor; see `apply`."""
    if target.kind.name == "llvm":  # TVM's C code has no infinities
        function = function.with_body(operations.start_with_infinities(function.body))
    program = read(function)
    if program is None:
        notes[""] = ["as written: it is not as TE makes functions"]
        return function
    for stage in program.stages:
        notes[name_of(stage)] = []
    rules = _Rules(program, target, libm, notes)
    groups = fuse(program, notes, lambda stage: rules.product(stage) is not None)
    statements = [rules.emit(group) for group in groups]
    body = loops.sequence(*map(tirx.AllocBuffer, _kept(groups, program)), *statements)
    body = cells.keep_binds(body)
    function = function.with_body(body).with_attr("tirx.is_scheduled", True)
    return function.with_attr(IN_PLACE, _in_place(function, groups))


def _in_place(function: tirx.PrimFunc, groups: list[Group | tirx.Stmt]) -> list[int]:
    """Return which inputs, by number, the output may be written over."""
    if len(groups) != 1 or not isinstance(groups[0], Group) or len(groups[0].stages) != 1:
        return []
    (stage,) = groups[0].stages
    tensors = [p for p in function.params if isinstance(p.ty, tirx.BufferType)]
    inputs = [t for t in tensors if not any(t.same_as(output) for output in stage.outputs)]
    return elementwise.in_place(stage, inputs)


def _kept(groups: list[Group | tirx.Stmt], program: Program) -> list[tirx.Var]:
    """Return the intermediate tensors that are still written to memory."""

    def is_written(buffer: tirx.Var, group: Group | tirx.Stmt) -> bool:
        if not isinstance(group, Group):
            return True
        if any(buffer.same_as(local) for local in group.local):
            return False
        return any(buffer.same_as(out) for stage in group.stages for out in stage.outputs)

    return [b for b in program.intermediates if any(is_written(b, group) for group in groups)]


class _Rules:
    def __init__(
        self, program: Program, target: tvm.target.Target, libm: bool, notes: dict[str, list[str]]
    ) -> None:
        self._program = program
        self._libm = libm
        self._notes = notes
        self._bits = _vector_bits(target)

    def emit(self, group: Group | tirx.Stmt) -> tirx.Stmt:
        """Return the loops of a group."""
        if not isinstance(group, Group):
            self._notes[name_of(group)].append("as written: it is not a formula for each element")
            return group
        if group.depth:
            for stage in group.stages:
                self._note_vectors(stage)
            return rows.share(group, self._lanes)
        (stage,) = group.stages
        lanes = self._lanes(stage)
        if not stage.reduce:
            crossing = elementwise.crossing(stage)
            self._note(
                stage,
                elementwise.describe(stage, lanes)
                if crossing is None
                else f"squares of {stage.axes[-1].var.name} and {crossing.var.name}, along which "
                "it reads",
            )
            return elementwise.share(stage, lanes)
        product = self.product(stage)
        if product is not None:
            self._note(stage, contraction.describe(product, lanes))
            return contraction.emit(product, lanes)
        simple = reduction.unrolled(stage)
        if simple is not None:
            self._note(stage, "few elements to reduce: written out")
            return elementwise.share(simple, lanes)
        self._note_vectors(stage)
        parts = reduction.split(stage, self._in_parts)
        if parts is None:
            return self._reduction(stage, lanes)
        self._note(stage, "much to reduce for few results: in parts on all threads")
        return parts

    def _in_parts(self, first: Stage, last: Stage) -> tirx.Stmt:
        return loops.sequence(
            *map(tirx.AllocBuffer, first.outputs),
            rows.share(Group([first], 1), self._lanes),
            reduction.emit(last, {}, self._lanes(last)),
        )

    def product(self, stage: Stage) -> contraction.Contraction | None:
        """Return a stage as a product of matrices, None if it is none."""
        return contraction.match(stage) if self._lanes(stage) > 1 else None

    def _reduction(self, stage: Stage, lanes: int) -> tirx.Stmt:
        depth = len(stage.axes)
        if not depth:
            return reduction.emit(stage, {}, lanes)
        if lanes > 1 and is_contiguous(stage, stage.axes[-1].var):
            depth -= reduction.side_by_side(stage, lanes)
            if not depth:
                return reduction.share_columns(stage, lanes)
        return rows.share(Group([stage], depth), self._lanes)

    def _lanes(self, stage: Stage) -> int:
        """Return how many elements of a stage fill a vector; 1 where there are no vectors."""
        buffers = [*stage.partial, *stage.outputs]
        if any(str(buffer.dtype).startswith(_NO_VECTORS) for buffer in buffers):
            return 1
        if not stage.reduce and count_library_calls(stage, self._libm):
            return 1  # they take one number at a time
        widest = max(int(buffer.dtype.bits) for buffer in buffers)
        return max(1, min(self._bits // widest, _MOST_LANES))

    def _note(self, stage: Stage, text: str) -> None:
        self._notes[stage.name].append(text)

    def _note_vectors(self, stage: Stage) -> None:
        if not stage.reduce:
            self._note(stage, elementwise.describe(stage, self._lanes(stage)))
        else:
            self._note(stage, reduction.describe(stage, self._lanes(stage)))


def _vector_bits(target: tvm.target.Target) -> int:
    """Return the length of the target's vectors; 0 where TVM makes none."""
    if target.kind.name != "llvm":
        return 0
    return _llvm_vector_bits(target)


@functools.cache
def _llvm_vector_bits(target: tvm.target.Target) -> int:
    with target:
        features = set(map(str, codegen.llvm_get_cpu_features()))
    # LLVM's own answer is the same for all x86 processors.
    return 512 if "avx512f" in features else 256 if "avx" in features else 128
