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
"""Maxima and minima of floats, which are NaN where an operand is, as TensorFlow's are.

TVM's own are the second operand where either is NaN. pipeline.py calls this where TVM has lowered
all the rest: TVM knows reductions, and simplifies indices, by its own nodes.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import tirx

from tensorflow_tvm.schedules.vectors import let, select, split

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def lower(node: Any, a: Any, b: Any) -> Any:
    """Return the maximum or minimum `node` of operands that have been lowered.

    A comparison with NaN is false. So one selection keeps a NaN of one operand, which takes no
    longer than TVM's code if the other is a constant, as in ReLU.
    """
    if split(node)[0] not in _FLOATS:
        return node if a.same_as(node.a) and b.same_as(node.b) else type(node)(a, b)
    is_better = tirx.LT if isinstance(node, tirx.Max) else tirx.GT

    def kept(a: Any, b: Any) -> Any:
        return select(is_better(a, b), b, a)

    if _is_number(b):
        return let(a, lambda a: kept(a, b))
    if _is_number(a):
        return let(b, lambda b: kept(b, a))
    # Of a reduction's step, the first operand is the accumulator: only a choice waits for it.
    return let(a, lambda a: let(b, lambda b: select(tirx.NE(b, b), b, kept(a, b))))


def _is_number(value: Any) -> bool:
    """Whether a float is never NaN."""
    if isinstance(value, tirx.Broadcast):
        return _is_number(value.value)
    if isinstance(value, tirx.FloatImm):
        return not math.isnan(value.value)
    return isinstance(value, tirx.Cast) and "float" not in str(value.value.ty)
