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
"""The default schedule for GPUs: TVM's dlight."""

from __future__ import annotations

import tvm
from tvm import tirx
from tvm.s_tir import dlight
from tvm.s_tir.schedule import ScheduleError

from tensorflow_tvm.schedules.intrinsics import quick_import


def schedule(
    function: tirx.PrimFunc, target: tvm.target.Target, notes: dict[str, list[str]]
) -> tirx.PrimFunc:
    """Schedule `function` by the first of dlight's rules that fits."""
    rules = (
        dlight.gpu.Matmul(),
        dlight.gpu.GEMV(),
        dlight.gpu.Reduction(),
        dlight.gpu.GeneralReduction(),
        dlight.gpu.Fallback(),
    )
    module = tvm.IRModule({"main": function})
    for rule in rules:
        try:
            with target, quick_import():
                result = dlight.ApplyDefaultSchedule(rule)(module)["main"]
        # A rule that fits, but not to the end.
        except (ScheduleError, AssertionError, RuntimeError, ValueError):
            continue
        if result.attrs and result.attrs.get("tirx.is_scheduled", False):
            notes[""] = [f"dlight's {type(rule).__name__}"]
            return result
    notes[""] = ["as written: none of dlight's rules fits"]
    return function
