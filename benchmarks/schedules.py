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
"""Compare what TVM's kernels take: as written, with our schedules, tuned, and TensorFlow's.

Every case is built as its author wrote it, without a schedule, with the default one, and with the
best that tftvm.tune finds in so many trials, and runs as a TensorFlow op inside a tf.function.
Where tuning finds nothing faster, "tuned" is the default. Its rivals are the same formula in
TensorFlow, in each form that TensorFlow has for it (the fastest counts), and that compiled by XLA.
All take turns within a repetition, and ratios are taken there. What takes very long as written is
timed less often.

Tuned with all cores; then measured once with one core and once with all, each in a process of its
own. "share" is of what the machine can do, measured beforehand: of its arithmetic for products of
matrices and convolutions, else of its memory, counting inputs and outputs once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tvm import te, topi

import tensorflow_tvm as tftvm
from benchmarks import measure
from benchmarks.measure import Case
from benchmarks.peaks import measure as measure_peaks

SLOW = 0.25  # seconds: what takes longer is timed three times only
SIDES = ("as written", "default", "tuned", "TensorFlow", "XLA")
RIVALS = SIDES[3:]
FOLDERS = "TENSORFLOW_TVM_TUNING_DIR"


@dataclasses.dataclass
class Kernel:
    """Something to compute, in TE and in TensorFlow."""

    name: str
    shapes: list[tuple[int, ...]]
    function: Callable  # of TE tensors
    references: dict[str, Callable]  # of TensorFlow's tensors
    operations: int = 0  # floating-point, where they are what takes the time
    bar: float = 1.0  # what TensorFlow's time divided by that of the default should reach
    tuned_bar: float = 1.0  # and by that of the tuned one
    tolerance: float = 1e-4

    def formula(self) -> list[te.Tensor]:
        """Return the inputs and the result."""
        inputs = [te.placeholder(s, "float32", name=f"x{i}") for i, s in enumerate(self.shapes)]
        return [*inputs, self.function(*inputs)]


def elementwise_kernels(size: int) -> list[Kernel]:
    """Return kernels on `size` elements, most of them as rows of 1,024."""
    rows, columns = (size // 1024, 1024) if size > 1024 else (1, 1024)
    matrix, row = (rows, columns), (columns,)

    def gelu(x: te.Tensor) -> te.Tensor:
        def element(i: object, j: object) -> object:
            v = x[i, j]
            return v * 0.5 * (1 + te.tanh(0.7978845608 * (v + 0.044715 * v * v * v)))

        return te.compute(x.shape, element, name="gelu")

    def layer_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, [1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5)

    def layer_norm_fused(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        ones, zeros = tf.ones([rows]), tf.zeros([rows])
        y, *_ = tf.compat.v1.nn.fused_batch_norm(
            x[None, :, :, None], ones, zeros, epsilon=1e-5, data_format="NCHW"
        )
        return y[0, :, :, 0] * gamma + beta

    kernels = [
        Kernel("add one", [matrix], lambda x: topi.add(x, 1.0), {"+": lambda x: x + 1.0}),
        Kernel(
            "scale, bias, ReLU",
            [matrix, row, row],
            lambda x, s, b: topi.nn.relu(
                te.compute(x.shape, lambda i, j: x[i, j] * s[j] + b[j], name="affine")
            ),
            {
                "*, +, relu": lambda x, s, b: tf.nn.relu(x * s + b),
                "bias_add": lambda x, s, b: tf.nn.relu(tf.nn.bias_add(x * s, b)),
            },
        ),
        Kernel(
            "GELU (tanh)",
            [matrix],
            gelu,
            {
                "tf.nn.gelu": lambda x: tf.nn.gelu(x, approximate=True),
                "formula": lambda x: (
                    x * 0.5 * (1 + tf.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))
                ),
            },
        ),
        Kernel("row softmax", [matrix], topi.nn.softmax, {"tf.nn.softmax": tf.nn.softmax}),
        Kernel(
            "layer norm",
            [matrix, row, row],
            lambda x, g, b: topi.nn.layer_norm(x, g, b, axis=[1]),
            {"moments": layer_norm, "fused": layer_norm_fused},
        ),
        Kernel(
            "row sum",
            [matrix],
            lambda x: topi.sum(x, axis=1),
            {"reduce_sum": lambda x: tf.reduce_sum(x, 1)},
        ),
        Kernel(
            "column sum",
            [matrix],
            lambda x: topi.sum(x, axis=0),
            {
                "reduce_sum": lambda x: tf.reduce_sum(x, 0),
                "matmul": lambda x: tf.ones([1, rows]) @ x,
            },
            tolerance=1e-3,
        ),
        Kernel(
            "argmax",
            [matrix],
            lambda x: topi.argmax(x, axis=1),
            {"tf.argmax": lambda x: tf.argmax(x, 1, tf.int32)},
        ),
        Kernel("transpose", [matrix], topi.transpose, {"tf.transpose": tf.transpose}),
        Kernel(
            "broadcast multiply",
            [matrix, row],
            topi.multiply,
            {"*": lambda x, r: x * r},
        ),
    ]
    for kernel in kernels:
        kernel.name += f", {_short(size)}"
    return kernels


def _short(size: int) -> str:
    return f"{size >> 20} M" if size >= 1 << 20 else f"{size >> 10} K"


def large_kernels() -> list[Kernel]:
    """Return products of matrices, convolutions and pooling."""
    kernels = [
        Kernel(
            f"matmul, {n}³",
            [(n, n), (n, n)],
            topi.matmul,
            {"tf.matmul": tf.matmul},
            operations=2 * n**3,
            bar=0.4,
            tuned_bar=0.8,
        )
        for n in (64, 512, 1024)
    ]
    image, odd = (1, 56, 56, 64), (1, 112, 112, 32)
    return [
        *kernels,
        Kernel(
            "batch matmul, 64 x 128³",
            [(64, 128, 128)] * 2,
            lambda x, y: topi.nn.batch_matmul(x, y, transpose_b=False),
            {"tf.matmul": tf.matmul},
            operations=64 * 2 * 128**3,
            bar=0.4,
            tuned_bar=0.8,
        ),
        Kernel(
            "dense, 1 x 1,024 x 1,024",
            [(1, 1024), (1024, 1024)],
            topi.matmul,
            {"tf.matmul": tf.matmul},
            bar=0.4,
            tuned_bar=0.8,
        ),
        Kernel(
            "conv2d 3 x 3, 56 x 56 x 64",
            [image, (3, 3, 64, 64)],
            lambda x, w: topi.nn.conv2d_nhwc(x, w, 1, 1, 1),
            {"tf.nn.conv2d": lambda x, w: tf.nn.conv2d(x, w, 1, "SAME")},
            operations=2 * 56 * 56 * 64 * 64 * 9,
            bar=0.4,
            tuned_bar=0.8,
        ),
        Kernel(
            "conv2d 1 x 1, 56 x 56 x 64",
            [image, (1, 1, 64, 64)],
            lambda x, w: topi.nn.conv2d_nhwc(x, w, 1, 0, 1),
            {
                "tf.nn.conv2d": lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"),
                "tf.matmul": lambda x, w: tf.reshape(
                    tf.reshape(x, [-1, 64]) @ w[0, 0], [1, 56, 56, 64]
                ),
            },
            operations=2 * 56 * 56 * 64 * 64,
            bar=0.4,
            tuned_bar=0.8,
        ),
        Kernel(
            "depthwise 3 x 3, 112 x 112 x 32",
            [odd, (3, 3, 32, 1)],
            lambda x, w: topi.nn.depthwise_conv2d_nhwc(x, w, 1, 1, 1),
            {"tf.nn.depthwise_conv2d": lambda x, w: tf.nn.depthwise_conv2d(x, w, [1] * 4, "SAME")},
            bar=0.4,
            tuned_bar=0.8,
        ),
        Kernel(
            "max-pool 2 x 2, 112 x 112 x 32",
            [odd],
            lambda x: topi.nn.pool2d(x, (2, 2), (2, 2), (1, 1), (0, 0, 0, 0), "max", layout="NHWC"),
            {"tf.nn.max_pool2d": lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID")},
        ),
    ]


def kernels(quick: bool) -> list[Kernel]:
    """Return all kernels."""
    if quick:
        return [*elementwise_kernels(1 << 14)[:3], *large_kernels()[:1]]
    sizes = (1 << 10, 1 << 15, 1 << 20, 1 << 24)
    return [*(kernel for size in sizes for kernel in elementwise_kernels(size)), *large_kernels()]


@contextlib.contextmanager
def tuned_from(folder: str) -> Iterator[None]:
    """Let what is built find schedules in `folder` only; in none if it is empty."""
    before = os.environ.get(FOLDERS)
    os.environ[FOLDERS] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[FOLDERS]
        else:
            os.environ[FOLDERS] = before


def kernels_of(arguments: argparse.Namespace) -> list[Kernel]:
    """Return the kernels that are asked for."""
    return [kernel for kernel in kernels(arguments.quick) if arguments.only in kernel.name]


def cases_of(kernel: Kernel, folder: str = "") -> tuple[list[Case], int]:
    """Return the cases of a kernel, and how many bytes it reads and writes at least."""
    inputs = [tf.random.stateless_uniform(s, [i, 7], -1, 1) for i, s in enumerate(kernel.shapes)]
    formula = kernel.formula()
    written = te.create_prim_func(formula).with_attr("tirx.is_scheduled", True)
    functions = {"as written": tftvm.build({"kernel": written})["kernel"]}
    with tuned_from(""):
        functions["default"] = tftvm.build(formula, name="kernel")["kernel"]
    with tuned_from(folder):
        if any(line.schedule.startswith("tuned: ") for line in tftvm.explain(formula)):
            functions["tuned"] = tftvm.build(formula, name="kernel")["kernel"]
    (expected, *_) = (reference(*inputs) for reference in kernel.references.values())
    cases = []
    for name, function in functions.items():
        np.testing.assert_allclose(
            function(*inputs), expected, rtol=kernel.tolerance, atol=kernel.tolerance
        )
        cases.append(_case(name, kernel.name, function, inputs))
    for form, function in kernel.references.items():
        cases.append(_case(f"TensorFlow: {form}", kernel.name, function, inputs))
        cases.append(_case(f"XLA: {form}", kernel.name, function, inputs, jit_compile=True))
    return cases, sum(x.numpy().nbytes for x in (*inputs, expected))


def _case(
    name: str, group: str, function: Callable, inputs: Sequence[tf.Tensor], **options: bool
) -> Case:
    signature = [tf.TensorSpec(x.shape, x.dtype) for x in inputs]
    # TensorFlow binds the arguments of a function without defaults several times faster.
    plain = {
        1: lambda x: function(x),
        2: lambda x, y: function(x, y),
        3: lambda x, y, z: function(x, y, z),
    }[len(inputs)]
    compiled = tf.function(
        plain, input_signature=signature, autograph=False, **options
    ).get_concrete_function()
    return Case(name, group, lambda: compiled(*inputs))


def time(cases: list[Case], repetitions: int, seconds: float) -> None:
    """Time every case by turns; a slow one is not timed each time."""
    for case in cases:
        timer = timeit.Timer(case.call)
        timer.timeit(2)
        case.count = max(1, int(seconds / timer.timeit(1)))
    for repetition in range(repetitions):
        first = repetition % len(cases)
        for case in cases[first:] + cases[:first]:
            if repetition >= 3 and case.times[0] > SLOW:
                continue
            case.times.append(timeit.timeit(case.call, number=case.count) / case.count)


def row_of(kernel: Kernel, cases: list[Case], size: int, peaks: dict[str, float]) -> dict:
    """Return what was measured of a kernel; times are in microseconds."""
    best = {}
    for case in cases:
        side = case.name.partition(":")[0]
        if side not in best or np.median(case.times) < np.median(best[side].times):
            best[side] = case
    best.setdefault("tuned", best["default"])  # nothing faster was found
    ours, rival = best["default"].times, best["TensorFlow"].times
    kind = "flops" if kernel.operations else "bandwidth"
    return {
        "kernel": kernel.name,
        "microseconds": {side: measure.summary(best[side].times, 1e6) for side in SIDES},
        "forms": {side: best[side].name.partition(": ")[2] for side in RIVALS},
        "TensorFlow / default": measure.ratio(rival, ours),
        "TensorFlow / tuned": measure.ratio(rival, best["tuned"].times),
        "XLA / default": measure.ratio(best["XLA"].times, ours),
        "as written / default": round(
            float(np.median(best["as written"].times) / np.median(ours)), 4
        ),
        "bar": kernel.bar,
        "tuned bar": kernel.tuned_bar,
        "peak": kind,
        "share": round((kernel.operations or size) / float(np.median(ours)) / peaks[kind], 4),
    }


def measure_here(arguments: argparse.Namespace) -> dict:
    """Measure in this process, with `arguments.threads` threads."""
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    peaks = measure_peaks()
    rows = []
    found = kernels_of(arguments)
    for i, kernel in enumerate(found):
        cases, size = cases_of(kernel, arguments.tuned)
        time(cases, arguments.repetitions, arguments.seconds)
        rows.append({"threads": arguments.threads, **row_of(kernel, cases, size, peaks)})
        end = "\r" if sys.stderr.isatty() and i + 1 < len(found) else "\n"
        text = f"{arguments.threads} threads, {i + 1} of {len(found)}: {kernel.name}"
        print(f"{text:70}", end=end, file=sys.stderr, flush=True)
    return {"peaks": {k: round(v) for k, v in peaks.items()}, "rows": rows}


def in_documentation(rows: list[dict]) -> list[dict]:
    """Return the rows of the documentation's table: of each kernel, one size."""
    return [row for row in rows if not row["kernel"].endswith((" K", " 16 M"))]


def markdown(rows: list[dict]) -> str:
    """Return a table of rows."""
    ratios = ("TensorFlow / default", "TensorFlow / tuned", "XLA / default")
    titles = ["", *(f"{side}, µs" for side in SIDES), *ratios, "share of peak"]
    lines = [f"| {' | '.join(titles)} |".replace("|  |", "| |"), "|---" + "|---:" * 9 + "|"]
    threads = None
    for row in rows:
        if row["threads"] != threads:
            threads = row["threads"]
            cores = "1 core" if threads == 1 else f"{threads} cores"
            lines.append(f"| **{cores}** |" + " |" * 9)
        times = " | ".join(f"{row['microseconds'][side]['median']:,.0f}" for side in SIDES)
        medians = " | ".join(f"{row[key]['median']:.2f}" for key in ratios)
        lines.append(f"| {row['kernel']} | {times} | {medians} | {row['share']:.0%} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict], path: Path) -> None:
    """Draw the ratios as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = sorted({row["threads"] for row in rows})
    names = list(dict.fromkeys(row["kernel"] for row in rows))
    figure, axes = pyplot.subplots(figsize=(9, 2 + 0.28 * len(names)), layout="constrained")
    height = 0.8 / len(groups)
    for i, threads in enumerate(groups):
        found = {
            row["kernel"]: row["TensorFlow / default"] for row in rows if row["threads"] == threads
        }
        medians = np.array([found[name]["median"] for name in names])
        spread = [
            medians - [found[name]["p25"] for name in names],
            [found[name]["p75"] for name in names] - medians,
        ]
        places = np.arange(len(names)) + i * height
        label = "1 core" if threads == 1 else f"{threads} cores"
        axes.barh(places, medians, height, xerr=spread, label=label, error_kw={"linewidth": 0.5})
        tuned = [row["TensorFlow / tuned"]["median"] for row in rows if row["threads"] == threads]
        label = None if i else "tuned"
        axes.plot(tuned, places, "|", color="black", markersize=height * 14, label=label)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(np.arange(len(names)) + height * (len(groups) - 1) / 2, names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8], ["¼", "½", "1", "2", "4", "8"])
    axes.set_xlabel("TensorFlow's time / that of our schedules (right of 1: faster)")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; with --check the exit status is 1 if a ratio is under its bar."""
    parser = measure.option_parser(__doc__, repetitions=15, seconds=0.02)
    parser.add_argument("--plot", help="where to draw them, as SVG")
    parser.add_argument(
        "--trials", type=int, default=16, help="of tuning, for each kernel (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="kernels whose names have this")
    parser.add_argument("--check", action="store_true", help="fail if a ratio is under its bar")
    # Of the inner process.
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tuned", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repetitions, arguments.seconds, arguments.trials = 3, 0.001, 2
    if arguments.threads:
        Path(arguments.output).write_text(json.dumps(measure_here(arguments)))
        return 0
    load = os.getloadavg()
    rows, peaks = [], {}
    with tempfile.TemporaryDirectory() as folder:
        found = kernels_of(arguments)
        formulas = {re.sub("[^a-zA-Z0-9]+", "_", k.name): k.formula() for k in found}
        with tuned_from(folder):
            tftvm.tune(formulas, trials=arguments.trials)
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            path = Path(folder) / "figures"
            given = sys.argv[1:] if argv is None else argv
            options = [f"--threads={threads}", f"--tuned={folder}", f"--output={path}"]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run(
                [sys.executable, __file__, *given, *options], check=True, env=environment
            )
            document = json.loads(path.read_text())
            rows += document["rows"]
            peaks[threads] = document["peaks"]
    print(markdown(rows))
    if arguments.output:
        arguments.peaks = peaks
        measure.write(arguments.output, rows, arguments, load)
    if arguments.plot:
        plot(rows, Path(os.environ.get("BUILD_WORKING_DIRECTORY", ""), arguments.plot))
    missed = [
        f"{ratio} of {row[bar]}, {ours}: {row['kernel']}, {row['threads']} threads"
        for row in rows
        for ours, bar in (("default", "bar"), ("tuned", "tuned bar"))
        if (ratio := row[f"TensorFlow / {ours}"]["median"]) < row[bar]
    ]
    for text in missed:
        print(f"under its bar: {text}", file=sys.stderr)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
