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
"""Functions with faults, which must be found: python -m tensorflow_tvm.tests.fuzz.planted.

It prints, as JSON, the kinds of what was found in each.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.fuzz import children
from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction, Step, Value

# What else than y[i] = x[i] + 1 is done, for int32[a]; `n` is a.
FAULTS = {
    "none": "for (i = 0; i < n; ++i) y[i] = x[i] + 1;",
    "writes one too many": "for (i = 0; i <= n; ++i) y[i] = i < n ? x[i] + 1 : 0;",
    "writes one before": "for (i = -1; i < n; ++i) y[i] = i < 0 ? 0 : x[i] + 1;",
    "writes far away": "for (i = 0; i < n; ++i) y[i] = x[i] + 1; y[200] = 1;",
    "reads far away": "for (i = 0; i < n; ++i) y[i] = x[i] + 1 + 0 * x[i + 200];",
    "leaves an element": "for (i = 1; i < n; ++i) y[i] = x[i] + 1;",
    "wrong for 3": "for (i = 0; i < n; ++i) y[i] = x[i] + 1 + (n == 3);",
    "changes its input": "for (i = 0; i < n; ++i) y[i] = ++((int*)x)[i];",
    "traps": "for (i = 0; i < n; ++i) y[i] = x[i] + 1 + (n + 7) / (zero + (n != 2)) - n - 7;",
    "hangs": "for (i = 0; i < n; ++i) y[i] = x[i] + 1; while (n == 2) ++zero;",
    "refuses": "for (i = 0; i < n; ++i) y[i] = x[i] + 1; if (n == 1) { "
    'TVMFFIErrorSetRaisedFromCStr("ValueError", "no"); return -1; }',
    "depends on memory": "for (i = 0; i < n; ++i) y[i] = i == 1 ? y[i] + 1 : x[i] + 1;",
}
_HEAD = """
#include <tvm/ffi/c_api.h>
static volatile int zero = 0;
"""
_FUNCTION = """
extern "C" int __tvm_ffi_f%d(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  volatile const int* x = (const int*)((const DLTensor*)args[0].v_ptr)->data;
  volatile int* y = (int*)((const DLTensor*)args[1].v_ptr)->data;
  const int n = (int)((const DLTensor*)args[0].v_ptr)->shape[0];
  int i = 0;
  (void)x;
  %s
  return 0;
}
"""
# Programs that plain TVM compiles to code that does what it must not.
PROGRAMS = {
    "index_put": ('x0 = te.placeholder((a, ), "int32", name="x0")',
                  'x1 = te.placeholder((a, ), "int32", name="x1")',
                  "t1 = topi.index_put(x0, [x1], x0, False)"),
    "division": ('x0 = te.placeholder((a, ), "int32", name="x0")',
                 'x1 = te.placeholder((a, ), "int32", name="x1")',
                 't1 = te.compute((a, ), lambda i0: tirx.truncdiv(x0(i0), x1(i0)), name="t1")'),
    "gather": ('x0 = te.placeholder((a, ), "int32", name="x0")',
               't1 = te.compute((a, ), lambda i0: x0(x0(i0) * 9999), name="t1")'),
    "shift": ('x0 = te.placeholder((a, ), "int32", name="x0")',
              't1 = te.compute((a, ), lambda i0: x0(i0) << x0(i0), name="t1")'),
    "negative size": ('x0 = te.placeholder((a, ), "int32", name="x0")',
                      'r2 = te.reduce_axis((0, a - 3), name="r2")',
                      't2 = te.compute((a - 3, ), lambda i0: x0(i0 + 3), name="t2")',
                      't1 = te.compute((), lambda: te.sum(t2(r2), axis=r2), name="t1")'),
    "zero extent": ('x0 = te.placeholder((a, ), "int32", name="x0")',
                    'r2 = te.reduce_axis((0, a), name="r2")',
                    't1 = te.compute((3,), lambda i0: te.sum(x0(r2), axis=r2), name="t1")'),
}  # fmt: skip


def _plus_one(seed: int) -> GeneratedFunction:
    x, y = Value("x0", "int32", ("a",)), Value("t1", "int32", ("a",))
    line = 't1 = te.compute((a, ), lambda i0: x0(i0) + 1, name="t1")'
    return GeneratedFunction(seed, (x,), (Step("elements", (line,), (y,), ("a",)),), ("t1",))


def _program(seed: int, lines: tuple[str, ...]) -> GeneratedFunction:
    inputs = tuple(Value(line[:2], "int32", ("a",)) for line in lines if "placeholder" in line)
    steps = tuple(line for line in lines if "placeholder" not in line)
    y = Value("t1", "int32", ("a",))
    return GeneratedFunction(seed, inputs, (Step("", steps, (y,), ("a",)),), ("t1",))


def _compile_faults(functions: dict[str, GeneratedFunction], path: Path) -> dict[str, Any]:
    from tensorflow_tvm import prim_functions

    bodies = list(FAULTS.values())
    source = _HEAD
    signatures = {}
    for name, function in functions.items():
        source += _FUNCTION % (function.seed, bodies[function.seed])
        signatures[name] = prim_functions.signature_of(
            prim_functions.from_tensors(function.build_te())
        )
    libraries.compile_cc(source, path, "-O1")
    return signatures


def compile_plain(functions: dict[str, GeneratedFunction], path: Path) -> dict[str, Any]:
    """Compile functions as TVM does by itself."""
    from tensorflow_tvm import prim_functions

    made = {
        name: prim_functions.from_tensors(function.build_te()).with_attr("global_symbol", name)
        for name, function in functions.items()
    }
    libraries.export(list(made.values()), path)
    return {name: prim_functions.signature_of(function) for name, function in made.items()}


def _find(compile_: Any, functions: dict[str, GeneratedFunction]) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        found = children.Runner(Path(folder), compile_).run(list(functions.values()))
    return {
        name: sorted({f"{f.kind}: {f.detail}" for f in found if f.seed == function.seed})
        for name, function in functions.items()
    }


def main() -> None:
    """Run all of them."""
    children.CALL_SECONDS = 1
    faults = {name: _plus_one(seed) for seed, name in enumerate(FAULTS)}
    programs = {name: _program(at, lines) for at, (name, lines) in enumerate(PROGRAMS.items())}
    found = _find(_compile_faults, faults)
    found |= _find(compile_plain, programs)
    print(json.dumps(found))


if __name__ == "__main__":
    children.restart_without_threads(__spec__.name)
    sys.exit(main())
