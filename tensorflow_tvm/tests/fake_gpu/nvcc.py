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
"""An nvcc that compiles CUDA C for the host: what the fake GPUs run.

Device code is run one thread after the other, so that no kernel here may wait for its neighbours.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_HEAD = """
#include <cmath>
#include <cstdint>
namespace {
struct Index { unsigned x, y, z; };
thread_local Index blockIdx, threadIdx;
using half = _Float16;
half __float2half_rn(float x) { return static_cast<half>(x); }
}
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define EXPORT extern "C" __attribute__((visibility("default")))
"""


def main(arguments: list[str]) -> None:
    """The part of nvcc's command line that is needed."""
    if "--version" in arguments:
        print("the fake GPUs' nvcc, release 13.0")
    elif "--list-gpu-code" in arguments:
        print("sm_80\nsm_90")
    else:
        output = arguments[arguments.index("-o") + 1]
        text = compilable(Path(arguments[-1]).read_text(encoding="utf-8"))
        command = ["g++", "-x", "c++", "-std=c++17", "-O1", "-shared", "-fPIC", "-", "-o", output]
        subprocess.run(command, input=text, text=True, check=True)


def compilable(code: str) -> str:
    """Return CUDA C as C++, with what the fake driver calls for one thread of each kernel."""
    kernels = code[code.index('extern "C" __global__') :]
    parts = [_HEAD, kernels]
    pattern = r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\) \{'
    for name, parameters in re.findall(pattern, kernels):
        types = [
            parameter.replace("__restrict__", "").strip().rpartition(" ")[0]
            for parameter in parameters.split(",")
            if parameter.strip()
        ]
        values = ", ".join(f"*({dtype}*)values[{i}]" for i, dtype in enumerate(types))
        parts.append(
            f"EXPORT const int {name}__parameters = {len(types)};\n"
            f"EXPORT void {name}__run(void** values, const unsigned* b, const unsigned* t) {{\n"
            "  blockIdx = {b[0], b[1], b[2]};\n"
            "  threadIdx = {t[0], t[1], t[2]};\n"
            f"  {name}({values});\n"
            "}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    main(sys.argv[1:])
