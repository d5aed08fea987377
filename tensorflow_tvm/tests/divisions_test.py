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
"""Divisions in indices that TVM would make others of."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tvm import te, tirx

import tensorflow_tvm as tftvm

_INDICES = {
    "quotient": lambda div, mod, i, j, n: div(7 - i, 3),
    "quotient, below 0": lambda div, mod, i, j, n: div(3 - i, 3) + 2,
    "remainder": lambda div, mod, i, j, n: mod(7 - i, 3),
    "remainder of two": lambda div, mod, i, j, n: mod(3 - i * 2 + j, 4),
    "quotient of two": lambda div, mod, i, j, n: div(4 * j - i, 3) + 8,
    "by a symbol": lambda div, mod, i, j, n: div(2 - i, n) + 8,
    "remainder by a symbol": lambda div, mod, i, j, n: mod(2 - i - j, n),
    "by a negative number": lambda div, mod, i, j, n: div(i - 3, -2) + 8,
    "one in the other": lambda div, mod, i, j, n: div(mod(5 - i, 4) * 3 - j, 2) + 8,
}


def _elements(x, size, index):
    def plain(i, j):
        return x[index(tirx.floordiv, tirx.floormod, i, j, size.shape[0])] + size[0]

    def guarded(i, j):
        return tirx.if_then_else(1 < i, plain(i, j), tirx.const(-1, "float32"))

    return plain, guarded


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    x = te.placeholder((32,), "float32", name="x")
    size = te.placeholder((te.var("n"),), "float32", name="size")
    functions = {}
    for at, index in enumerate(_INDICES.values()):
        plain, guarded = _elements(x, size, index)
        functions[f"plain{at}"] = [x, size, te.compute((8, 5), plain)]
        functions[f"guarded{at}"] = [x, size, te.compute((8, 5), guarded)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return tftvm.build(functions)


@pytest.mark.parametrize("kind", ["plain", "guarded"])
@pytest.mark.parametrize("name", _INDICES)
def test_what_counts_down_is_divided(module, name, kind):
    index = _INDICES[name]
    expected = [
        [
            -1.0
            if kind == "guarded" and i < 2
            else index(lambda a, b: a // b, lambda a, b: a % b, i, j, 4)
            for j in range(5)
        ]
        for i in range(8)
    ]
    found = module[f"{kind}{list(_INDICES).index(name)}"](tf.range(32.0), tf.zeros(4))
    np.testing.assert_array_equal(found, expected)
