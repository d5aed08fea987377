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
"""Call C++ functions as TensorFlow ops: `./bazelw run //examples/tvm_ffi_cpp:main`.

functions.cc beside this file is compiled by tvm-ffi; TVM's compiler is not used. Each function runs
eagerly, in a `tf.function` and in `tf.data`, beside TensorFlow's own op for the same thing.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tvm_ffi.cpp

import tensorflow_tvm as tftvm

SOURCE = Path(__file__).parent / "functions.cc"


def compile_library(folder: str) -> str:
    """Compile the functions and return the library's path."""
    if shutil.which("ninja") is None:  # which tvm-ffi compiles with; PyPI has it
        import ninja

        os.environ["PATH"] += os.pathsep + ninja.BIN_DIR
    return tvm_ffi.cpp.build(
        "functions",
        sources=str(SOURCE.resolve()),
        # The library then says how many arguments its functions take, and which are tensors.
        extra_cflags=["-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1"],
        build_directory=folder,
    )


def in_dataset(fn: Callable) -> Callable:
    """Return a function that maps `fn` over a data set of one element."""
    return lambda x: next(iter(tf.data.Dataset.from_tensors(x).map(fn)))


def compare(name: str, ours: Callable, theirs: Callable, *inputs: tf.Tensor) -> bool:
    """Run both functions every way, print a line for each, and return whether results agree."""
    agree = True
    for where, wrap in [
        ("eager", lambda fn: fn),
        ("tf.function", tf.function),
        ("tf.data", in_dataset),
    ]:
        results = [wrap(ours)(x).numpy() for x in inputs]
        same = all(map(np.array_equal, results, [wrap(theirs)(x).numpy() for x in inputs]))
        agree &= same
        shapes = ", ".join(str(list(result.shape)) for result in results)
        print(f"{name:<9}{where:<13}{'same' if same else 'DIFFERENT':<11}{shapes}")
    return agree


def main() -> int:
    """Run the example; the exit status is 1 if a result differs from TensorFlow's."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"Compiling {SOURCE.name} …")
        module = tftvm.Module(compile_library(folder))  # it keeps what it has read

    print("\nWhat the library says of itself:")
    for name in module:
        print(f"  {name}{module.signature(name)}")

    # C++ types say neither dtypes nor shapes, nor which tensors are outputs. We do.
    clip = module.func(
        "clip", signature="(x: float32[n], low: float, high: float) -> (y: float32[n])"
    )
    # `?` is a size that only the function knows. What "args" leaves out is returned; here the
    # library says so too, and arg_spec= could be left out.
    nonzero = module.func(
        "nonzero", signature="(x: float32[...]) -> (indices: int64[?, ?])", arg_spec=["args"]
    )
    print("\nWhat we know of it:")
    print(f"  {clip.name}{clip.signature}")
    print(f"  {nonzero.name}{nonzero.signature}")

    def clip_unit(x: tf.Tensor) -> tf.Tensor:
        return clip(x, low=-1.0, high=1.0)

    def clip_unit_by_tensorflow(x: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(x, -1.0, 1.0)

    print("\nBeside TensorFlow's own ops, with the shapes of the results:")
    vectors = [tf.random.normal([1000]), tf.constant([-2.0, 0.5, 3.0]), tf.zeros([0])]
    agree = compare("clip", clip_unit, clip_unit_by_tensorflow, *vectors)
    sparse = [tf.constant([0.0, 7.0, 0.0, 8.0]), tf.eye(3), tf.zeros([2, 3, 4])]
    agree &= compare("nonzero", nonzero, tf.where, *sparse)

    print("\nBefore it runs, a graph knows clip's shape and nonzero's rank:")
    for name, fn in [("clip", clip_unit), ("nonzero", nonzero)]:
        graph = tf.function(fn).get_concrete_function(tf.TensorSpec([8], tf.float32))
        print(f"  {name:<9}{graph.output_shapes}")

    print("\nWhat a function throws is a TensorFlow error:")
    try:
        clip(tf.constant([1.0]), low=2.0, high=1.0)
    except tf.errors.InvalidArgumentError as error:
        print("  " + error.message.splitlines()[0].rpartition("}} ")[2])

    if not agree:
        print("tvm_ffi_cpp: results differ from TensorFlow's", file=sys.stderr)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
