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
"""TVM functions that Bazel compiles into kernels.so; see BUILD beside this file."""

from tvm import te
from tvm.script import tirx as T


@T.prim_func(s_tir=True)
def running_mean(x_handle: T.handle, decay: T.float32, y_handle: T.handle):
    """y[i] = decay * y[i-1] + (1 - decay) * x[i]: each result needs the one before."""
    n = T.int32()
    x = T.match_buffer(x_handle, (n,), "float32")
    y = T.match_buffer(y_handle, (n,), "float32")
    for i in range(n):
        if i == 0:
            y[0] = x[0]
        else:
            y[i] = decay * y[i - 1] + (T.float32(1) - decay) * x[i]


size = te.var("n")
left = te.placeholder((size,), "float32", name="left")
right = te.placeholder((size,), "float32", name="right")
k = te.reduce_axis((0, size), name="k")

FUNCTIONS = {
    "running_mean": running_mean,
    "dot": [left, right, te.compute((), lambda: te.sum(left[k] * right[k], axis=k), name="dot")],
}
