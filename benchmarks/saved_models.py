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
"""Measure what it costs to save, load and first call a model that holds a large library.

The rival is TensorFlow alone: a model that holds a constant of as many bytes. Both save and load in
processes of their own, by turns; the least of each figure is given. Memory is what a step adds to
what the process had before. Shared memory is where the copy is that the library's code runs from;
it is the whole machine's, so that other programs disturb it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tvm_ffi

import tensorflow_tvm as tftvm
from benchmarks import measure

OURS, RIVAL = "library", "constant"
TIMES = ["open the library", "save", "load", "first call", "later call"]
SIZES = [
    "files",
    "most memory, save",
    "most memory, load",
    "memory that stays, load",
    "shared memory, load",
]
# Its function adds 1, and its data is as large as is wanted.
SOURCE = """
#include <tvm/ffi/c_api.h>
asm(".section .rodata; .global blob; blob: .incbin \\"BLOB\\"; .previous");
extern "C" int __tvm_ffi_addone(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  const auto* x = static_cast<const DLTensor*>(args[0].v_ptr);
  const auto* y = static_cast<const DLTensor*>(args[1].v_ptr);
  for (int64_t i = 0; i < x->shape[0]; ++i) {
    static_cast<float*>(y->data)[i] = static_cast<const float*>(x->data)[i] + 1.0f;
  }
  return 0;
}
"""


def compile_library(path: Path, size: int) -> None:
    """Write a library of about `size` bytes that do not compress."""
    blob = path.with_suffix(".blob")
    blob.write_bytes(os.urandom(size))
    includes = [f"-I{folder}" for folder in tvm_ffi.libinfo.include_paths()]
    command = ["g++", "-shared", "-fPIC", *includes, "-o", path, "-x", "c++", "-"]
    subprocess.run(command, input=SOURCE.replace("BLOB", str(blob)), text=True, check=True)
    blob.unlink()


def memory(key: str, file: str = "self/status") -> float:
    """Return a figure of Linux's in MB, such as VmHWM, the most memory that there has been."""
    text = Path("/proc", file).read_text(encoding="ascii")
    return int(text.split(f"{key}:")[1].split()[0]) * 1024 / 1e6


def settled_memory() -> float:
    """Return the memory that this process has, in MB, and have the most that it had forgotten."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return memory("VmRSS")


def timed(step: Callable, *args: object) -> tuple[float, object]:
    """Return the seconds that a step takes, and what it returns."""
    start = time.perf_counter()
    result = step(*args)
    return time.perf_counter() - start, result


def save(case: str, path: str, folder: str) -> dict[str, float]:
    """Save a model that calls the library at `path`, or that holds its bytes."""
    if case == OURS:
        opened, module = timed(tftvm.Module, path)
        function = module["addone"]
    else:
        opened, content = timed(lambda: tf.io.decode_raw(tf.io.read_file(path), tf.uint8))

        def function(x: tf.Tensor) -> tf.Tensor:
            return x + tf.cast(tf.minimum(content[-1], 1), tf.float32)

    model = tf.Module()
    model.call = tf.function(function, input_signature=[tf.TensorSpec([None])], autograph=False)
    before = settled_memory()
    saved, _ = timed(tf.saved_model.save, model, folder)
    return {TIMES[0]: opened, "save": saved, "most memory, save": memory("VmHWM") - before}


def load(case: str, path: str, folder: str) -> dict[str, float]:
    """Load what has been saved, and call it."""
    x = tf.zeros([3])
    before, shared = settled_memory(), memory("Shmem", "meminfo")
    loaded, model = timed(tf.saved_model.load, folder)
    first, _ = timed(lambda: model.call(x).numpy())
    return {
        "load": loaded,
        "first call": first,
        "most memory, load": memory("VmHWM") - before,
        "memory that stays, load": memory("VmRSS") - before,
        "shared memory, load": max(0.0, memory("Shmem", "meminfo") - shared),
        "later call": statistics.median(timed(lambda: model.call(x).numpy())[0] for _ in range(99)),
    }


def run(part: str, case: str, path: Path, folder: Path) -> dict[str, float]:
    """Run `save` or `load` in a process of its own."""
    command = [sys.executable, __file__, "--part", part, case, path, folder]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise RuntimeError(f"{part} of a {case} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)


def rows(megabytes: int, repetitions: int) -> list[dict]:
    """Measure one size; return a row for each case."""
    seen: dict[str, list[dict[str, float]]] = {OURS: [], RIVAL: []}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "library.so")
        compile_library(path, megabytes * 1_000_000)
        for repetition in range(repetitions):
            for case, several in seen.items():
                folder = Path(scratch, f"{case}_{repetition}")
                figures = run("save", case, path, folder) | run("load", case, path, folder)
                files = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
                several.append(figures | {"files": sum(files) / 1e6})
    return [
        {"case": case, "MB": megabytes} | {key: min(f[key] for f in several) for key in several[0]}
        for case, several in seen.items()
    ]


def markdown(found: list[dict]) -> str:
    """Return a table."""
    heads = [f"{row['MB']} MB, {row['case']}" for row in found]
    lines = [f"| | {' | '.join(heads)} |", "|---" + "|---:" * len(found) + "|"]
    for key in TIMES:
        lines.append(f"| {key}, ms | " + " | ".join(f"{r[key] * 1e3:,.1f}" for r in found) + " |")
    for key in SIZES:
        lines.append(f"| {key}, MB | " + " | ".join(f"{r[key]:,.0f}" for r in found) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", help="where to write the figures, as JSON")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--repetitions", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.part:
        part, *rest = arguments.part
        print(json.dumps({"save": save, "load": load}[part](*rest)))
        return 0
    before = os.getloadavg()
    found = [row for size in arguments.megabytes for row in rows(size, arguments.repetitions)]
    print(markdown(found))
    if arguments.output:
        measure.write(arguments.output, found, arguments, before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
