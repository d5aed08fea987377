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
"""Checks that all executions give the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tensorflow_tvm.testing import subject as subject_
from tensorflow_tvm.testing.comparison import EXACT
from tensorflow_tvm.testing.report import CheckFailed, NotAvailable, Skipped, first_line
from tensorflow_tvm.testing.subject import Run, Subject, to_arrays

_GRAPH_ADVICE = (
    "Compute with TensorFlow ops or TVM functions only: no NumPy, no tf.executing_eagerly(), no "
    "Python state. If both are right and only rounded differently, give rtol and atol."
)
_SHAPE_ADVICE = (
    "Correct what says the shape: set_shape, ensure_shape, output_shape, the signature, or the "
    "op's shape function. A dimension that is not known has to be None."
)
_SECONDS_ON_THREADS = 0.3
_SECONDS_TO_DEADLOCK = 60.0


def eager(subject: Subject) -> None:
    """Check that it can be called, and returns tensors."""
    subject.expected  # noqa: B018


def determinism(subject: Subject) -> None:
    """Check that eager calls give the same, whatever is in the memory that their outputs get."""
    if subject.stateful:
        raise Skipped("stateful=True")
    for value in (0, 1, 85):
        fill_free_memory(subject.expected, value)
        subject.compare(
            subject.eager(subject.arrays),
            "in a second eager call with the same inputs",
            "If that is meant, pass stateful=True, and to Module.func or tftvm.op too, or "
            "TensorFlow merges and drops calls. Else look for outputs that are not written in "
            "full, or for static variables.",
            tolerance=EXACT,
        )


def fill_free_memory(arrays: list[np.ndarray], value: int) -> None:
    """Leave `value` in memory from which outputs like `arrays` may be allocated next."""
    for array in arrays:
        dtype = tf.as_dtype(array.dtype)
        if dtype.is_floating or dtype.is_integer or dtype.is_bool:
            try:
                filled = [tf.fill(array.shape, tf.cast(value, dtype)) for _ in range(3)]
            except tf.errors.OpError:
                continue  # a dtype that TensorFlow hardly knows
            del filled


def reference(subject: Subject, function: Callable | None) -> None:
    """Check that values are those of another function."""
    if function is None:
        raise Skipped("no reference was given")
    if subject.stateful:
        raise Skipped("stateful=True")
    subject.compare(
        subject.expected,
        "as the reference gives",
        "Correct whichever is wrong. If it is only rounding, give rtol and atol.",
        call_reference(subject, function, subject.arrays),
        dtypes=False,
    )


def call_reference(
    subject: Subject, function: Callable, arrays: list[np.ndarray]
) -> list[np.ndarray]:
    """Call a reference on tensors, or if it cannot take those on arrays."""
    try:
        result = function(*subject.pack(subject.tensors(arrays)))
    except (AttributeError, TypeError):
        result = function(*subject.pack(list(arrays)))
    return to_arrays(tf.nest.flatten(result))


def static_dtype(subject: Subject) -> None:
    """Check that graphs are built with the dtypes that eager calls give."""
    for kind, specs in _static_specs(subject):
        for i, (spec, array) in enumerate(zip(specs, subject.expected, strict=True)):
            if spec.dtype != tf.as_dtype(array.dtype):
                raise CheckFailed(
                    f"{subject.output(i)} has dtype {spec.dtype.name} in a tf.function of {kind}, "
                    f"expected {tf.as_dtype(array.dtype).name} as in an eager call.",
                    "Make the dtype depend on the inputs' dtypes and on attrs only.",
                    output=subject.output(i),
                    expected=tf.as_dtype(array.dtype).name,
                    given=spec.dtype.name,
                )


def static_shape(subject: Subject) -> None:
    """Check that what a graph knows of shapes is true when it runs."""
    for kind, specs in _static_specs(subject):
        for i, (spec, array) in enumerate(zip(specs, subject.expected, strict=True)):
            if not spec.shape.is_compatible_with(array.shape):
                raise CheckFailed(
                    f"{subject.output(i)} has the static shape {spec.shape} in a tf.function of "
                    f"{kind}, expected one that fits the shape {array.shape} that it has when it "
                    "runs.",
                    _SHAPE_ADVICE,
                    output=subject.output(i),
                    expected=array.shape,
                    given=spec.shape,
                )


def _static_specs(subject: Subject) -> Iterator[tuple[str, list[tf.TensorSpec]]]:
    for kind in (subject_.STATIC, subject_.LEADING, subject_.UNKNOWN, subject_.UNKNOWN_RANK):
        try:
            concrete = subject.function(kind)
        except Exception:  # noqa: S112
            continue  # another check says so
        yield kind, concrete.structured_outputs


def function(subject: Subject) -> None:
    """Check that a tf.function gives the same as an eager call."""
    subject.compare(
        subject.in_function()(subject.arrays),
        "as in an eager call, in a tf.function",
        _GRAPH_ADVICE,
    )


def session(subject: Subject) -> None:
    """Check that a TF1 graph in a session gives the same as an eager call."""
    _need_no_variables(subject)
    subject.compare(
        subject.in_session(subject.arrays), "as in an eager call, in a TF1 session", _GRAPH_ADVICE
    )


def _need_no_variables(subject: Subject) -> None:
    try:
        variables = subject.best_function().variables
    except Exception:
        return  # the check of tf.function says so
    if variables:
        raise NotAvailable("it has variables that were made eagerly, which TF1 graphs cannot read")


def unknown_dimensions(subject: Subject) -> None:
    """Check that it works where a graph knows the ranks and not all dimensions."""
    subject.need_dimensions()
    for kind in (subject_.LEADING, subject_.UNKNOWN):
        try:
            run = subject.in_function(kind)
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(
                f"a tf.function of {kind} cannot be built: {first_line(error)}",
                "Use tf.shape(x) where x.shape has None in it. If its shapes have to be known, "
                "skip=['unknown_dimensions'].",
            ) from error
        subject.compare(
            run(subject.arrays), f"as in an eager call, in a tf.function of {kind}", _GRAPH_ADVICE
        )


def unknown_rank(subject: Subject) -> None:
    """Check that it works where a graph does not know the ranks, or says that it needs them."""
    subject.need_dimensions()
    try:
        run = subject.in_function(subject_.UNKNOWN_RANK)
    except ValueError as error:
        if re.search(r"rank|shape|dimension", str(error), re.IGNORECASE):
            raise NotAvailable(f"it needs the inputs' ranks: {first_line(error)}") from None
        raise
    subject.compare(
        run(subject.arrays), "as in an eager call, in a tf.function of unknown rank", _GRAPH_ADVICE
    )


def saved_model(subject: Subject) -> None:
    """Check that a SavedModel gives the same once it is loaded again."""
    subject.compare(
        subject.in_saved_model(subject.arrays),
        "as in an eager call, in a SavedModel that was loaded again",
        _GRAPH_ADVICE,
    )


def new_process(subject: Subject) -> None:
    """Check that a SavedModel gives the same in a process that has imported tensorflow_tvm."""
    folder = subject.model_folder
    for i, tensor in enumerate(subject.tensors()):
        tf.io.write_file(os.path.join(folder, f"input_{i}"), tf.io.serialize_tensor(tensor))
    dtypes = [dtype.name for dtype in subject.dtypes]
    process = subprocess.run(
        [sys.executable, "-m", "tensorflow_tvm.testing.run_saved_model", folder, *dtypes],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            # This process may have taken most of a GPU's memory.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        lines = process.stderr.strip().splitlines() or [""]
        # The last line that says the kind of error; TensorFlow's messages have many.
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        raise CheckFailed(
            f"its SavedModel does not run in a new process (exit status {process.returncode}): "
            f"{(errors or lines)[-1]}",
            "Use no tf.py_function or tf.numpy_function: their Python code is not saved. Files, "
            "tables and assets have to be attributes of the saved object. The new process imports "
            "tensorflow_tvm; if the ops of another library are needed, skip=['new_process'].",
        )
    given = [
        tf.io.parse_tensor(
            tf.io.read_file(os.path.join(folder, f"output_{i}")), tf.as_dtype(array.dtype)
        )
        for i, array in enumerate(subject.expected)
    ]
    subject.compare(
        to_arrays(given), "as in an eager call, in a SavedModel in a new process", _GRAPH_ADVICE
    )


def xla(subject: Subject) -> None:
    """Check that jit_compile=True gives the same, where XLA can compile it."""
    specs = subject.specs(subject_.STATIC)
    try:
        compiled = tf.function(subject.__call__, input_signature=specs, jit_compile=True)
        given = to_arrays(compiled.get_concrete_function()(*subject.tensors()))
    except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
        missing = re.search(r"No registered '([^']*)' OpKernel", str(error))
        why = f"XLA cannot compile the op {missing[1]}" if missing else first_line(error)
        raise NotAvailable(why) from None
    subject.compare(
        given,
        "as in an eager call, in a tf.function with jit_compile=True",
        "XLA sums in another order: if it is only that, give rtol and atol.",
    )


def threads(subject: Subject, count: int) -> None:
    """Check that many threads that call it at once get the same as one alone."""
    executions: list[tuple[str, Callable[[], Run]]] = [
        ("eager calls", lambda: subject.eager),
        ("a tf.function", subject.in_function),
        ("a TF1 session", lambda: subject.in_session),
        ("a SavedModel", lambda: subject.in_saved_model),
    ]
    for how, make in executions:
        try:
            run = make()
            run(subject.arrays)
        except Exception:  # noqa: S112
            continue  # another check says so
        _run_on_threads(subject, run, how, count)


def _run_on_threads(subject: Subject, run: Run, how: str, count: int) -> None:
    variants, expected = [], []
    start = time.perf_counter()
    for i in range(count):
        arrays = _vary(subject, i)
        try:
            result = run(arrays)
        except Exception:
            arrays = subject.arrays  # it takes not all values
            result = run(arrays)
        variants.append(arrays)
        expected.append(result)
    once = (time.perf_counter() - start) / count
    repetitions = int(np.clip(_SECONDS_ON_THREADS / (count * once), 1, 50))
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def work(i: int) -> None:
        try:
            barrier.wait()
            for _ in range(repetitions):
                subject.compare(
                    run(variants[i]),
                    f"in {how} on {count} threads at once, unlike one call at a time",
                    "Look for static variables and buffers that calls share: keep what a call "
                    "needs on its stack, or make it thread_local.",
                    expected=expected[i],
                )
        except BaseException as error:
            errors.append(error)

    # Daemons, so that a deadlock does not keep the process from ending.
    workers = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for worker in workers:
        worker.start()
    patience = _SECONDS_TO_DEADLOCK + 10 * count * repetitions * once
    deadline = time.monotonic() + patience
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    if any(worker.is_alive() for worker in workers):
        raise CheckFailed(
            f"{how} on {count} threads at once do not end within {patience:.0f} s.",
            "Look for locks: one that is held while another is waited for, or while Python code "
            "runs.",
        )


def _vary(subject: Subject, i: int) -> list[np.ndarray]:
    """Return inputs that differ from thread to thread, with the same values where possible."""
    if i == 0:
        return subject.arrays
    varied = []
    for array, dtype in zip(subject.arrays, subject.dtypes, strict=True):
        rolled = np.roll(array, i)  # indices stay within their limits
        if dtype.is_floating:
            rolled = (rolled * np.asarray(1 - i / 64, array.dtype)).astype(array.dtype)
        varied.append(rolled)
    return varied
