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
"""Libraries for tests, compiled by TVM."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import tvm
from tvm import te


def export(functions: Any, path: Any, target: Any = "llvm") -> str:
    """Compile a PrimFunc, an IRModule or a list of those into one library and return its path."""
    module = tvm.IRModule({})
    for function in functions if isinstance(functions, (list, tuple)) else [functions]:
        if isinstance(function, tvm.IRModule):
            module.update(function)
        else:
            module[function.attrs["global_symbol"]] = function
    tvm.compile(module, target=target).export_library(os.fspath(path))
    return os.fspath(path)


def prim_func(name: str, tensors: list[te.Tensor]) -> tvm.tirx.PrimFunc:
    """Make a function called `name` of TE tensors: inputs, then outputs."""
    return te.create_prim_func(tensors).with_attr("global_symbol", name)


def elementwise(
    name: str, fn: Callable, *, inputs: int = 1, rank: int = 1, dtype: str = "float32",
    output_dtype: str | None = None,
) -> tvm.tirx.PrimFunc:
    """Make a function of `inputs` tensors of one shape that applies `fn` to their elements."""
    shape = [te.var(f"n{i}") for i in range(rank)]
    arguments = [te.placeholder(shape, dtype, name=f"x{i}") for i in range(inputs)]
    result = te.compute(
        shape,
        lambda *index: fn(*(argument(*index) for argument in arguments)).astype(output_dtype or dtype),
        name="y",
    )
    return prim_func(name, [*arguments, result])
