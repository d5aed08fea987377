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
"""Schedules for functions that have none. Needs apache-tvm.

cpu.py and gpu.py choose the schedules; bounds.py sees to it that no function reads outside a
tensor.
"""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx
from tvm_ffi.structural import structural_walk

from tensorflow_tvm.schedules import cpu, gpu
from tensorflow_tvm.schedules.bounds import check_reads


def apply(function: tirx.PrimFunc, target: tvm.target.Target) -> tirx.PrimFunc:
    """Return `function` with a schedule that is right for `target`.

    Parameters
    ----------
    function : tirx.PrimFunc
        A function; one that its author has scheduled is returned as it is.
    target : tvm.target.Target
        What it will be compiled for.

    Returns
    -------
    tirx.PrimFunc
    """
    if is_scheduled(function):
        return function
    checked = check_reads(function)
    schedule = gpu.schedule if "gpu" in target.keys else cpu.schedule
    return checked.with_conditions(schedule(checked.function, target))


def is_scheduled(function: tirx.PrimFunc) -> bool:
    """Whether a function's author has said how it runs.

    So it is unless the function is as `te.create_prim_func` makes it: blocks in serial loops over
    the blocks' axes, in their order.
    """
    if not function.attrs or not function.attrs.get("s_tir", False):
        return True
    if function.attrs.get("tirx.is_scheduled", False):
        return True
    found: list[bool] = []

    def see_loop(loop: tirx.For) -> None:
        found.append(loop.kind != tirx.ForKind.SERIAL or bool(loop.annotations))

    def see_realize(realize: s_tir.SBlockRealize) -> None:
        block = realize.block
        # te.create_prim_func itself annotates what it makes of operators with a layout.
        bindings = [value for value in realize.iter_values if not isinstance(value, tirx.IntImm)]
        found.append(not all(isinstance(value, tirx.Var) for value in bindings))
        found.append(any(axis.thread_tag for axis in block.iter_vars))

    structural_walk(function.body, [(tirx.For, see_loop), (s_tir.SBlockRealize, see_realize)])
    return any(found)
