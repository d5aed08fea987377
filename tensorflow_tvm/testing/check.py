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
"""`check_op`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tensorflow_tvm.testing import execution_checks as executions
from tensorflow_tvm.testing import gradient_checks, memory_checks
from tensorflow_tvm.testing.comparison import Tolerance
from tensorflow_tvm.testing.report import (
    FAILED,
    NOT_AVAILABLE,
    OK,
    SKIPPED,
    CheckFailed,
    CheckReport,
    CheckResult,
    NotAvailable,
    Skipped,
    first_line,
)
from tensorflow_tvm.testing.subject import Subject

# In this order: what explains most comes first, and what takes long last. `threads` comes before
# `zero_size`: a tf.function that raises for its arguments keeps its lock, and other threads wait.
CHECKS = (
    "eager",
    "inputs_unmodified",
    "determinism",
    "aliasing",
    "reference",
    "static_dtype",
    "static_shape",
    "function",
    "session",
    "unknown_dimensions",
    "unknown_rank",
    "saved_model",
    "gradients",
    "gradients_in_graphs",
    "gradients_in_saved_model",
    "threads",
    "zero_size",
    "misaligned",
    "xla",
    "new_process",
)


def check_op(
    f: Callable,
    inputs: Any,
    *,
    attrs: dict[str, Any] | None = None,
    reference: Callable | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    gradients: bool | None = None,
    misaligned: bool | None = None,
    stateful: bool = False,
    threads: int = 8,
    skip: Sequence[str] | str = (),
    raise_on_failure: bool = True,
) -> CheckReport:
    """Check all that a TensorFlow op must satisfy, on one example of inputs.

    It takes anything that is called on tensors: a `Function`, an `Op`, a function on TensorFlow
    ops, a `tf.function`, a Keras layer. These are the checks, by name:

    - ``eager``: it can be called and returns tensors. All else is compared with this call.
    - ``inputs_unmodified``: inputs stay as they are.
    - ``determinism``: further calls give the same, to the bit.
    - ``aliasing``: an output has memory of its own. What TensorFlow's ops share, as `tf.reshape`
      does, is fine.
    - ``reference``: the values are those of `reference`.
    - ``static_dtype``, ``static_shape``: what graphs know of outputs is true.
    - ``function``, ``session``, ``saved_model``, ``new_process``: a `tf.function`, a TF1 session
      and a SavedModel, loaded here and in a process of its own, give the same.
    - ``unknown_dimensions``, ``unknown_rank``: so does a `tf.function` that does not know the
      inputs' shapes. A ValueError that asks for the rank is accepted.
    - ``gradients``: gradients are those that differences of the outputs show, in steps and within
      bounds that suit the dtype, at up to 32 elements of each input.
    - ``gradients_in_graphs``, ``gradients_in_saved_model``: the same as in an eager call,
      or none where that has none.
    - ``zero_size``: so are outputs where dimensions are 0. A ValueError, or a tf.errors exception
      that is not InternalError or UnknownError, is accepted, also while a graph is built.
    - ``misaligned``: inputs that do not lie at a multiple of 64 bytes give the same.
    - ``threads``: calls on many threads at once give the same, in each execution.
    - ``xla``: ``jit_compile=True`` gives the same, where XLA can compile it.

    Parameters
    ----------
    f : callable
        Returns a tensor, or a structure of tensors (see `tf.nest`).
    inputs : list or tuple
        The arguments that `f` is called with: tensors, arrays, numbers or structures of those. One
        tensor or array stands for a list of it. Take small ones whose dimensions all differ.
    attrs : dict, optional
        Keyword arguments for `f`.
    reference : callable, optional
        What `f` should give, called on `inputs`: on tensors, or where it takes only those, on NumPy
        arrays.
    rtol, atol : float, optional
        How far floats may be apart: ``|given - expected| <= atol + rtol * |expected|``. By default
        1e-10 for float64, 1e-5 for float32, and twice the rounding step for smaller ones.
    gradients : bool, optional
        True: there has to be a gradient. False: do not check it. By default it is checked if there
        is one.
    misaligned : bool, optional
        Whether to check misaligned inputs. By default for a `Function` or `Op` itself. Be sure that
        `f` passes its inputs to nothing else: **TensorFlow's own ops end the process** when they
        meet a misaligned tensor.
    stateful : bool, optional
        Whether values differ from call to call, so that they are not compared.
    threads : int, optional
        How many threads call at once.
    skip : list of str, optional
        Names of checks to leave out. ``new_process`` takes seconds, as it imports TensorFlow.
    raise_on_failure : bool, optional
        Whether to raise at the first check that fails. Otherwise the report says which failed.

    Returns
    -------
    CheckReport
        Print it to see what was checked, what was not, and why.

    Raises
    ------
    CheckFailed
        If a check fails. The message has the check, the output, the first difference and what to
        do.
    TypeError, ValueError
        If an argument is wrong.

    Examples
    --------
    >>> import tensorflow as tf
    >>> import tensorflow_tvm as tftvm
    >>> addone = tftvm.Module("addone.so")["addone"]
    >>> report = tftvm.testing.check_op(
    ...     addone, [tf.constant([1.0, 2.0, 3.0])], reference=lambda x: x + 1.0
    ... )
    >>> report.ok
    True
    >>> report["misaligned"].status
    'ok'
    """
    if not callable(f):
        raise TypeError(f"f must be callable, given {f!r}.")
    if not tf.executing_eagerly():
        raise RuntimeError("check_op is for eager programs: do not call it while a graph is built.")
    if tf.is_tensor(inputs) or isinstance(inputs, (np.ndarray, tf.Variable)):
        inputs = [inputs]
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(f"inputs must be a list of arguments, given {type(inputs).__name__}.")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be an integer of at least 1, given {threads!r}.")
    left_out = {skip} if isinstance(skip, str) else set(skip)
    if left_out - set(CHECKS):
        raise ValueError(
            f"skip: there is no check {', '.join(sorted(left_out - set(CHECKS)))}. There are "
            f"{', '.join(CHECKS)}."
        )
    subject = Subject(f, inputs, attrs, Tolerance(rtol, atol), stateful)
    gradients_ = gradient_checks.Gradients(subject, gradients)
    checks: dict[str, Callable[[], None]] = {
        "eager": lambda: executions.eager(subject),
        "inputs_unmodified": lambda: memory_checks.inputs_unmodified(subject),
        "determinism": lambda: executions.determinism(subject),
        "aliasing": lambda: memory_checks.aliasing(subject),
        "reference": lambda: executions.reference(subject, reference),
        "static_dtype": lambda: executions.static_dtype(subject),
        "static_shape": lambda: executions.static_shape(subject),
        "function": lambda: executions.function(subject),
        "session": lambda: executions.session(subject),
        "unknown_dimensions": lambda: executions.unknown_dimensions(subject),
        "unknown_rank": lambda: executions.unknown_rank(subject),
        "saved_model": lambda: executions.saved_model(subject),
        "gradients": lambda: gradient_checks.gradients(gradients_),
        "gradients_in_graphs": lambda: gradient_checks.gradients_in_graphs(gradients_),
        "gradients_in_saved_model": lambda: gradient_checks.gradients_in_saved_model(gradients_),
        "threads": lambda: executions.threads(subject, threads),
        "zero_size": lambda: memory_checks.zero_size(subject, reference),
        "misaligned": lambda: memory_checks.misaligned(subject, misaligned),
        "xla": lambda: executions.xla(subject),
        "new_process": lambda: executions.new_process(subject),
    }
    report = CheckReport(f"check_op({_name(f)})")
    try:
        for name in CHECKS:
            if name in left_out:
                report.results.append(CheckResult(name, SKIPPED, "skip"))
                continue
            error = _run(name, checks[name], report)
            if error is not None and raise_on_failure:
                raise error from error.__cause__
            if error is not None and name == "eager":
                break  # there is nothing to compare with
    finally:
        subject.close()
    return report


def _run(name: str, check: Callable[[], None], report: CheckReport) -> CheckFailed | None:
    """Make one check, add its result to the report, and return its error."""
    start = time.perf_counter()
    status, reason, failed = OK, "", None
    try:
        check()
    except Skipped as error:
        status, reason = SKIPPED, str(error)
    except NotAvailable as error:
        status, reason = NOT_AVAILABLE, str(error)
    except CheckFailed as error:
        failed = error
    except Exception as error:
        failed = CheckFailed(
            f"it raises {first_line(error)}",
            "The whole error is above this one. If the callable is not meant for this, "
            f"skip=['{name}'].",
        )
        failed.__cause__ = error
    if failed is not None:
        failed.check, failed.subject, failed.report = name, report.subject, report
        status, reason = FAILED, failed.problem
    report.results.append(CheckResult(name, status, reason, time.perf_counter() - start))
    return failed


def _name(f: Callable) -> str:
    name = getattr(f, "__name__", None) or getattr(f, "name", None)
    return name if isinstance(name, str) else type(f).__name__
