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
"""Makes a function unbreakable, whatever its caller or its author does. Needs apache-tvm.

TVM compiles accesses outside a tensor, negative sizes and integer divisions by zero without a word.
`guard` rewrites a function before it is scheduled, so that none of them does harm:

- checker.py walks over the function and knows, at each place, what is true there (context.py);
- sizes.py refuses sizes that are negative, or that TVM's 32 bits cannot count;
- bounds.py keeps indices inside their tensors;
- arithmetic.py defines what integer division, shifts and conversions do for every operand.

What depends only on the sizes and attrs of a call becomes a condition, checked when the function is
called. What depends on data is marked by the pure ops of markers.py, which schedules treat like any
function. Once the function is scheduled, `Guarded.finish` expands the marks and adds the
conditions. lowering.py is the last step, in TVM's own pipeline: conditions are checked before
memory is allocated, and no division that TVM's passes have moved can trap.
"""

from __future__ import annotations

from tensorflow_tvm.guards.checker import Guarded, guard, require

__all__ = ["Guarded", "guard", "require"]
