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
"""Compile three functions with TVM and run them as TensorFlow ops.

Each runs eagerly, in a `tf.function` and in a TF1 session, beside TensorFlow's own ops for the same
thing. The picture with its edges found is written to a file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tvm
from tvm import te

import tensorflow_tvm as tftvm

PICTURE = Path(__file__).parent / "data" / "landscape.jpg"
TOLERANCE = 1e-5


def addone() -> tvm.tirx.PrimFunc:
    """Return x + 1 for vectors of any length."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    y = te.compute((n,), lambda i: x[i] + 1.0, name="y")
    return te.create_prim_func([x, y])  # inputs first, then outputs


def vector_add() -> tvm.tirx.PrimFunc:
    """Return the sum of two vectors of any length."""
    n = te.var("n")
    left = te.placeholder((n,), "float32", name="left")
    right = te.placeholder((n,), "float32", name="right")
    total = te.compute((n,), lambda i: left[i] + right[i], name="total")
    return te.create_prim_func([left, right, total])


def edges(width: int) -> tvm.tirx.PrimFunc:
    """Return a Sobel edge filter for colour pictures `width` wide and of any height.

    Its input has one more pixel on each side than its output.
    """
    height = te.var("height")
    picture = te.placeholder((height + 2, width + 2, 3), "float32", name="picture")

    def edge(row: tvm.tirx.Var, column: tvm.tirx.Var, channel: tvm.tirx.Var) -> tvm.tirx.PrimExpr:
        def near(down: int, right: int) -> tvm.tirx.PrimExpr:
            return picture[row + 1 + down, column + 1 + right, channel]

        dx = sum(weight * (near(i, 1) - near(i, -1)) for i, weight in [(-1, 1), (0, 2), (1, 1)])
        dy = sum(weight * (near(1, i) - near(-1, i)) for i, weight in [(-1, 1), (0, 2), (1, 1)])
        return te.sqrt(dx * dx + dy * dy)

    result = te.compute((height, width, 3), edge, name="edges")
    # Rows in parallel, on TensorFlow's own threads; along a row, 16 numbers at a time.
    schedule = tvm.s_tir.Schedule(te.create_prim_func([picture, result]))
    rows, columns, channels = schedule.get_loops(schedule.get_sblock("edges"))
    schedule.parallel(rows)
    _, lanes = schedule.split(schedule.fuse(columns, channels), [None, 16])
    schedule.vectorize(lanes)
    return schedule.mod["main"]


def export(path: Path, **functions: tvm.tirx.PrimFunc) -> None:
    """Compile functions into one library, where each has the name that it is given here."""
    module = tvm.IRModule(
        {name: function.with_attr("global_symbol", name) for name, function in functions.items()}
    )
    tvm.compile(module, target="llvm").export_library(path)


def in_session(fn: Callable, *inputs: tf.Tensor) -> Callable:
    """Return a function that runs `fn` in a TF1 session."""
    graph = tf.Graph()
    with graph.as_default():
        placeholders = [tf.compat.v1.placeholder(x.dtype, x.shape) for x in inputs]
        result = fn(*placeholders)
    session = tf.compat.v1.Session(graph=graph)
    return lambda *values: session.run(result, dict(zip(placeholders, values, strict=True)))


def measure(fn: Callable, *inputs: tf.Tensor | np.ndarray) -> tuple[np.ndarray, float]:
    """Return the result of `fn` and the median of its times in milliseconds."""
    result, times = np.asarray(fn(*inputs)), []
    for _ in range(15):
        start = time.perf_counter()
        np.asarray(fn(*inputs))
        times.append(time.perf_counter() - start)
    return result, 1e3 * float(np.median(times))


def compare(name: str, ours: Callable, theirs: Callable, *inputs: tf.Tensor) -> bool:
    """Run both functions every way, print a line for each, and return whether results agree."""
    arrays = [x.numpy() for x in inputs]
    agree = True
    for where, wrap, values in [
        ("eager", lambda fn: fn, inputs),
        ("tf.function", tf.function, inputs),
        ("Session", lambda fn: in_session(fn, *inputs), arrays),
    ]:
        result, time_ours = measure(wrap(ours), *values)
        expected, time_theirs = measure(wrap(theirs), *values)
        difference = float(np.max(np.abs(result - expected)))
        agree &= result.shape == expected.shape and difference <= TOLERANCE
        print(f"{name:<12}{where:<13}{difference:>14.1e}{time_ours:>11.3f}{time_theirs:>16.3f}")
    return agree


def main(argv: list[str] | None = None) -> int:
    """Run the example; the exit status is 1 if a result differs from TensorFlow's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="where to write the edges, as PNG (default: a new file)")
    output = parser.parse_args(argv).output
    if output is None:
        output = str(Path(tempfile.mkdtemp(prefix="quickstart-")) / "edges.png")
    # `bazel run` starts programs in a folder of its own.
    output = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), output)

    picture = tf.image.convert_image_dtype(tf.io.decode_jpeg(PICTURE.read_bytes()), tf.float32)
    x, y = tf.random.uniform([1_000_000]), tf.random.uniform([1_000_000])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quickstart.so"
        export(path, addone=addone(), vector_add=vector_add(), edges=edges(picture.shape[1]))
        module = tftvm.Module(path)  # it keeps what it has read: the file may go
    sobel = module.func("edges", output_shape=picture.shape)

    def find_edges(image: tf.Tensor) -> tf.Tensor:
        return sobel(tf.pad(image, [[1, 1], [1, 1], [0, 0]], "REFLECT"))

    def find_edges_by_tensorflow(image: tf.Tensor) -> tf.Tensor:
        return tf.norm(tf.image.sobel_edges(image[tf.newaxis])[0], axis=-1)

    print("function    where        max difference   ours, ms  TensorFlow, ms")
    agree = compare("addone", module["addone"], lambda x: x + 1.0, x)
    agree &= compare("vector_add", module["vector_add"], tf.add, x, y)
    agree &= compare("edges", find_edges, find_edges_by_tensorflow, picture)

    found = tf.image.convert_image_dtype(find_edges(picture), tf.uint8, saturate=True)
    tf.io.write_file(output, tf.io.encode_png(found))
    print(f"The edges of {PICTURE.name} are in {output}")
    if not agree:
        print(f"quickstart: results differ by more than {TOLERANCE}", file=sys.stderr)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
