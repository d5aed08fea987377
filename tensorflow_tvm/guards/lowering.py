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
"""The last steps of lowering, in which TVM's own passes may have undone what guards do.

TVM moves allocations of memory, and computations that loops share, to where they are reached before
the conditions of a call have been checked. Here the conditions come first again, and whatever
divides integers does not trap, wherever it has been moved to.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import compilation_pipeline
from tvm_ffi.structural import structural_mutate

from tensorflow_tvm.guards import markers

PIPELINE = "tensorflow_tvm"  # for tvm.compile(…, tir_pipeline=PIPELINE)


def _pipeline() -> tuple[Any, Any, Any]:
    """Return TVM's own pipeline with what is added here."""
    lower, finalize_host, finalize_device = compilation_pipeline.get_tir_pipeline("default")

    def finalize() -> Any:
        return tvm.transform.Sequential([finalize_host(), _total_divisions])

    return tvm.transform.Sequential([lower, _checks_first]), finalize, finalize_device


@tirx.transform.prim_func_pass(opt_level=0, name="tensorflow_tvm.ChecksFirst")
def _checks_first(function: tirx.PrimFunc, _module: Any, _context: Any) -> tirx.PrimFunc:
    def see(sequence: tirx.SeqStmt, mutator: Any) -> tirx.Stmt:
        statements = [mutator.mutate(statement) for statement in sequence.seq]
        checks = [i for i, s in enumerate(statements) if isinstance(s, tirx.AssertStmt)]
        if not checks:
            return tirx.SeqStmt(statements)
        before, after = statements[: checks[-1] + 1], statements[checks[-1] + 1 :]
        allocations = [s for s in before if isinstance(s, tirx.AllocBuffer)]
        others = [s for s in before if not isinstance(s, tirx.AllocBuffer)]
        return tirx.SeqStmt([*others, *allocations, *after])

    return function.with_body(structural_mutate(function.body, [(tirx.SeqStmt, see)]))


@tirx.transform.prim_func_pass(opt_level=0, name="tensorflow_tvm.TotalDivisions")
def _total_divisions(function: tirx.PrimFunc, _module: Any, _context: Any) -> tirx.PrimFunc:
    def see(node: Any, mutator: Any) -> Any:
        a, b = mutator.mutate(node.a), mutator.mutate(node.b)
        if isinstance(b, tirx.IntImm) and b.value not in (0, -1):
            return type(node)(a, b)
        if not str(b.ty).startswith(("int", "uint")):
            return type(node)(a, b)
        return type(node)(a, markers.total_divisor(b, a))

    kinds = [(tirx.Div, see), (tirx.Mod, see)]
    return function.with_body(structural_mutate(function.body, kinds))


compilation_pipeline.register_tir_pipeline(PIPELINE, _pipeline)
