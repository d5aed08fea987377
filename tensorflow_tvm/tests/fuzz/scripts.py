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
"""Random functions that are written by hand: TVMScript, and what it computes as TE."""

from __future__ import annotations

import random
import re

from tensorflow_tvm.tests.fuzz import expressions
from tensorflow_tvm.tests.fuzz.expressions import Expressions, is_float
from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction, Step, Value

_LOOPS = ("T.serial({})", "T.serial({})", "T.parallel({})", "range({})", "T.grid({})")


def generate(seed: int, rng: random.Random) -> GeneratedFunction:
    """Return a function of one or two loops, of tensors and of an attr."""
    dtype = rng.choice(expressions.FLOATS if rng.random() < 0.3 else expressions.INTS)
    x = Value("x0", dtype, ("a",))
    other = Value("x1", rng.choice([dtype, "int32"]), ("a",))
    attr = Value("x2", "int32", (), rng.choice(["attr", "attr_index"]))
    inputs = (x, other, attr)
    leaves = [("x0(i0)", dtype), ("x1(i0)", other.dtype), ("x2()", "int32")]
    values = Expressions(rng, leaves, ["i0"])
    body = values.value(dtype, 2)
    zero = f'tirx.const(0, "{dtype}")'
    kind = rng.choice(["elements", "shifted", "bounded", "guarded", "temporary", "gathered"])
    size, extent, before = "a", "a", ""
    model = body
    if kind == "shifted":  # an index from an attr
        body = model = "x0(i0 + x2())"
    elif kind == "bounded":  # a loop's bound from an attr
        extent = rng.choice(["T.floordiv(a, x2)", "T.min(a, x2)"])
        bound = {"T.floordiv(a, x2)": "te.floordiv(a, x2())", "T.min(a, x2)": "tirx.min(a, x2())"}
        bound = bound[extent]
        before = f"    for i0 in range(a):\n        t1[i0] = T.{dtype}(0)\n"
        model = f"tirx.if_then_else(i0 < {bound}, {body}, {zero})"
    elif kind == "guarded":
        condition = values.condition(1)
        body = model = f"tirx.if_then_else({condition}, {body}, {zero})"
    elif kind == "temporary":
        size = extent = f"(a - {rng.choice([1, 2, 3])})"
    elif kind == "gathered" and not is_float(other.dtype):
        body = model = "x0(x1(i0))"
    loop = rng.choice(_LOOPS).format(extent)
    if rng.random() < 0.2 and kind in ("elements", "guarded"):
        loop = "T.vectorized(8)"
        size = extent = "8"
        inputs = (Value("x0", dtype, ("8",)), Value("x1", other.dtype, ("8",)), attr)
    store = f"    for i0 in {loop}:\n        {{}}[i0] = {_script(body)}\n"
    if kind == "temporary":
        text = f'    t0 = T.alloc_buffer(({size},), "{dtype}")\n' + store.format("t0")
        text += f"    for i0 in range({size}):\n        t1[i0] = t0[{size} - 1 - i0]\n"
    else:
        text = before + store.format("t1")
    script = _signature(inputs, Value("t1", dtype, (size,))) + text
    lines = [f't1 = te.compute(({size},), lambda i0: {model}, name="t1")']
    if kind == "bounded":
        lines.insert(0, f"te.loop({bound})")
    if kind == "temporary":
        lines = [f't0 = te.compute(({size},), lambda i0: {model}, name="t0")']
        lines.append(f't1 = te.compute(({size},), lambda i0: t0({size} - 1 - i0), name="t1")')
    step = Step(f"script_{kind}", tuple(lines), (Value("t1", dtype, (size,)),), (size,))
    return GeneratedFunction(seed, inputs, (step,), ("t1",), script=script)


def _script(text: str) -> str:
    """Return an expression of TE as one of TVMScript."""
    text = text.replace("x2()", "x2")
    while (new := re.sub(r"\b([xt]\d)\(([^()]*)\)", r"\1[\2]", text)) != text:
        text = new
    return text


def _signature(inputs: tuple[Value, ...], output: Value) -> str:
    tensors = [value for value in (*inputs, output) if value.shape]
    parameters = [
        f"h_{value.name}: T.handle" if value.shape else f"{value.name}: T.{value.dtype}"
        for value in (*inputs, output)
    ]
    text = f"@T.prim_func(s_tir=True)\ndef f({', '.join(parameters)}):\n"
    if any("a" in size for value in tensors for size in value.shape):
        text += "    a = T.int32()\n"
    for value in tensors:
        shape = "".join(f"{size}, " for size in value.shape)
        text += f'    {value.name} = T.match_buffer(h_{value.name}, ({shape}), "{value.dtype}")\n'
    return text
