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
"""TVM functions for tvm_library_test.py, by Bazel."""

from tvm import te

n = te.var("n")
x = te.placeholder((n,), "float32", name="x")
w = te.placeholder((2,), "float32", name="w")

FUNCTIONS = {
    "affine": [x, w, te.compute((n,), lambda i: x[i] * w[0] + w[1], name="y")],
    "pairs": [x, te.compute((n // 2,), lambda i: x[2 * i] + x[2 * i + 1], name="sums")],
}
