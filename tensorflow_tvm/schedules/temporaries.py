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
"""Temporary tensors of scheduled functions, on processors.

TVM 0.27 has small ones on the stack, and LLVM has those in registers; but not those of the scope
"local", for which it allocates memory, each time they are reached.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm_ffi.structural import structural_mutate


def rewrite(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return `function` with temporary tensors that have no scope; all memory is the same here."""
    plain: dict[tirx.Var, tirx.Var] = {}

    def see(var: tirx.Var, _: Any) -> tirx.Var:
        if not isinstance(var.ty, tirx.BufferType) or var.scope() != "local":
            return var
        if var not in plain:
            plain[var] = tirx.decl_buffer(
                var.shape,
                str(var.dtype),
                var.name,
                strides=var.strides,
                elem_offset=var.elem_offset,
                data_alignment=var.data_alignment,
                offset_factor=var.offset_factor,
                layout=var.layout,
            )
        return plain[var]

    return function.with_body(structural_mutate(function.body, [(tirx.Var, see)]))
