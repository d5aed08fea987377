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
"""exp for kernels that are written with T.vectorized, where TVM's own is one number at a time."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T

# Of exp(r), for r from -log(2) / 2 to log(2) / 2, the highest power first.
_POLYNOMIAL = (0.0013814596, 0.0083687175, 0.04166839, 0.16666521, 0.49999994, 1.0, 1.0)


def exp(x: Any) -> Any:
    """Return exp(x), 1e-7 of it off at most, for x from -87 to 87; outside, what it is there.

    x = n * log(2) + r, as W. J. Cody and W. Waite, "Software Manual for the Elementary Functions"
    (1980), reduce it; 2**n is a matter of bits.
    """
    # A comparison with NaN is false, which keeps it.
    x = T.Select(x > T.float32(87), T.float32(87), x)
    x = T.Select(x < T.float32(-87), T.float32(-87), x)
    n = T.floor(x * T.float32(1.44269504) + T.float32(0.5))
    r = x - n * T.float32(0.693359375) + n * T.float32(2.12194440e-4)
    value = T.float32(_POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        value = value * r + T.float32(coefficient)
    return value * T.reinterpret("float32", (T.Cast("int32", n) + 127) << 23)
