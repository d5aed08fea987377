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
from pathlib import Path
from typing import Any

import tvm
from tvm import ir, tirx
from tvm.tirx import compilation_pipeline
from tvm_ffi.structural import structural_mutate

from tensorflow_tvm.schedules import cells, extremes, math_functions, vector_math, vectors

NAME = "tensorflow_tvm"  # for `tir_pipeline` of `tvm.compile`
LIBM = "tensorflow_tvm.libm"  # an attr: whether exp and the like are the C library's
_HOSTS = ("llvm", "c")


def _pipeline() -> tuple[Any, Any, Any]:
    lower, _, finalize_device = compilation_pipeline.get_tir_pipeline("s_tir")

    @tvm.transform.module_pass(opt_level=0)
    def passes(module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
        lowered = lower(module)
        for variable, function in lowered.functions_items():
            if isinstance(function, tirx.PrimFunc):
                lowered[variable] = _lower_math(function)
        return lowered

    def finalize_host() -> tvm.transform.Pass:
        # TVM's own, which have variables for parts of the divisions that they write out.
        return tvm.transform.Sequential(
            [
                tirx.transform.LowerTVMBuiltin(),
                cells.keep_values,
                tirx.transform.LowerIntrin(),
                cells.keep_values,
            ]
        )

    return passes, finalize_host, finalize_device


def _lower_math(function: tirx.PrimFunc) -> tirx.PrimFunc:
    attrs = function.attrs
    is_host = attrs["target"].kind.name in _HOSTS
    libm = bool(attrs.get(LIBM, False))

    def see_extreme(node: Any, mutator: Any) -> Any:
        return extremes.lower(node, mutator.mutate(node.a), mutator.mutate(node.b))

    def see_call(call: ir.Call, mutator: Any) -> Any:
        return math_functions.lower(mutator.default_mutate(call), libm)

    handlers: list[Any] = [(tirx.Max, see_extreme), (tirx.Min, see_extreme)]
    if is_host:
        handlers.append((ir.Call, see_call))
    return function.with_body(structural_mutate(function.body, handlers))


@functools.cache
def version() -> str:
    """Return a digest of what is done here, for keys of caches of compiled code."""
    modules = (extremes, math_functions, vector_math, vectors)
    digest = hashlib.sha256()
    for path in (__file__, *(module.__file__ for module in modules)):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


compilation_pipeline.register_tir_pipeline(NAME, _pipeline)
