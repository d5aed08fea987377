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
import subprocess
from collections.abc import Callable
from typing import Any

import tvm
import tvm_ffi
from tvm import te
from tvm.support import cc


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
    name: str,
    fn: Callable,
    *,
    inputs: int = 1,
    rank: int = 1,
    dtype: str = "float32",
    output_dtype: str | None = None,
) -> tvm.tirx.PrimFunc:
    """Make a function of `inputs` tensors of one shape that applies `fn` to their elements."""
    shape = [te.var(f"n{i}") for i in range(rank)]
    arguments = [te.placeholder(shape, dtype, name=f"x{i}") for i in range(inputs)]
    result = te.compute(
        shape,
        lambda *index: fn(*(argument(*index) for argument in arguments)).astype(
            output_dtype or dtype
        ),
        name="y",
    )
    return prim_func(name, [*arguments, result])


def compile_cc(source: str, path: Any, *options: str, kind: str = "-shared") -> str:
    """Compile C++ text with the compiler that TVM links with and return `path`.

    `kind` is the option that says what is made: "-shared", "-c", "-pie" or "-no-pie".
    """
    includes = [f"-I{folder}" for folder in tvm_ffi.libinfo.include_paths()]
    command = [cc.get_cc(), kind, "-fPIC", *includes, "-o", os.fspath(path), "-x", "c++", "-"]
    subprocess.run([*command, "-x", "none", *options], input=source, text=True, check=True)
    return os.fspath(path)


# Functions that TVM's compiler cannot make, to be compiled by `compile_cc`. Their arguments are
# tensors: inputs, then outputs.
PROBES = """
#include <tvm/ffi/c_api.h>

static DLTensor* tensor(const TVMFFIAny& argument) {
  return static_cast<DLTensor*>(argument.v_ptr);
}

// Writes how often it was called, this call included, into its last argument: int64.
extern "C" int __tvm_ffi_count(void*, const TVMFFIAny* args, int32_t num_args, TVMFFIAny*) {
  static int64_t calls = 0;
  *static_cast<int64_t*>(tensor(args[num_args - 1])->data) = __sync_add_and_fetch(&calls, 1);
  return 0;
}

// Writes the address of each argument's data into the last one: int64[number of arguments].
extern "C" int __tvm_ffi_addresses(void*, const TVMFFIAny* args, int32_t num_args, TVMFFIAny*) {
  for (int i = 0; i < num_args; ++i) {
    static_cast<int64_t*>(tensor(args[num_args - 1])->data)[i] =
        reinterpret_cast<int64_t>(tensor(args[i])->data);
  }
  return 0;
}
"""
