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
"""TVM's lowering passes, and after them what they do not do as TensorFlow does."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tvm
from tvm import ir, tirx
from tvm.tirx import compilation_pipeline
from tvm_ffi.structural import structural_mutate

from tensorflow_tvm import vectors
from tensorflow_tvm.guards import lowering, markers
from tensorflow_tvm.schedules import (
    cells,
    float8,
    math_functions,
    nan,
    operations,
    vector_math,
)

NAME = "tensorflow_tvm"  # for `tir_pipeline` of `tvm.compile`
LIBM = "tensorflow_tvm.libm"  # an attr: whether exp and the like are the C library's
_CPUS = ("llvm", "c")


def _pipeline() -> tuple[Any, Any, Any]:
    lower, _, finalize_device = compilation_pipeline.get_tir_pipeline("s_tir")

    @tvm.transform.module_pass(opt_level=0)
    def passes(module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
        # Loops that are written out several times define their variables again.
        module = tirx.transform.ConvertSSA()(_map(_prepare, module))
        lowered = lowering.checks_first(lower(module))
        return _map(_lower_math, lowered)

    return passes, _finalize_host, finalize_device


def _finalize_host() -> tvm.transform.Pass:
    return tvm.transform.Sequential(
        [
            tirx.transform.LowerTVMBuiltin(),
            cells.keep_values,
            tirx.transform.LowerIntrin(),
            lowering.total_divisions,
            cells.keep_values,  # of which the last two make more
        ]
    )


def _map(change: Callable[[tirx.PrimFunc], tirx.PrimFunc], module: tvm.IRModule) -> tvm.IRModule:
    functions = {
        variable: change(function) if isinstance(function, tirx.PrimFunc) else function
        for variable, function in module.functions_items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _is_for_cpu(function: tirx.PrimFunc) -> bool:
    return function.attrs["target"].kind.name in _CPUS


def _prepare(function: tirx.PrimFunc) -> tirx.PrimFunc:
    # On GPUs TVM finds reductions that threads share by them.
    if not _is_for_cpu(function):
        return function
    libm = bool(function.attrs.get(LIBM, False))

    def see(call: ir.Call, mutator: Any) -> Any:
        return math_functions.rewrite(mutator.default_mutate(call), libm)

    body = structural_mutate(function.body, [(ir.Call, see)])
    if function.attrs["target"].kind.name == "llvm":  # TVM's C code has no infinities
        body = operations.start_with_infinities(body)
    return function.with_body(nan.hide_comparisons(body))


def _lower_math(function: tirx.PrimFunc) -> tirx.PrimFunc:
    is_for_cpu = _is_for_cpu(function)
    libm = bool(function.attrs.get(LIBM, False))

    def see_extreme(node: Any, mutator: Any) -> Any:
        return nan.extreme(node, mutator.mutate(node.a), mutator.mutate(node.b))

    def see_cast(node: tirx.Cast, mutator: Any) -> Any:
        value = nan.rounded_to_bfloat16(node) if is_for_cpu else None
        if value is None:
            return mutator.default_mutate(node)
        return nan.bits_of_bfloat16(mutator.mutate(value))

    def see_call(call: ir.Call, mutator: Any) -> Any:
        call = mutator.default_mutate(call)
        for lower in (markers.lower, *((nan.comparison, float8.lower) if is_for_cpu else ())):
            lowered = lower(call)
            if lowered is not None:
                return lowered
        return math_functions.lower(call, libm) if is_for_cpu else markers.lower_wrapping_cast(call)

    handlers = [
        *((kind, see_extreme) for kind in (tirx.Max, tirx.Min)),
        *((tirx.Cast, see_cast), (ir.Call, see_call)),
    ]
    return function.with_body(structural_mutate(function.body, handlers))


@functools.cache
def version() -> str:
    """Return a digest of what is done here, for keys of caches of compiled code."""
    rules = (cells, float8, math_functions, nan, operations, vector_math)
    modules = (lowering, markers, vectors, *rules)
    digest = hashlib.sha256()
    for path in (__file__, *(module.__file__ for module in modules)):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


compilation_pipeline.register_tir_pipeline(NAME, _pipeline)
