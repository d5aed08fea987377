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
"""Eager calls of the op by the shortest way, which is what TensorFlow's own generated code does.

That code would do too, but for what it adds to each call. What it uses is TensorFlow's own affair:
all of that is here, and goes with the minor version that the op library is built for.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, core
from tensorflow.python.framework import ops

_execute = pywrap_tfe.TFE_Py_FastPathExecute
_EagerTensor = ops.EagerTensor
_NOTHING: list[Any] = []


class Call(NamedTuple):
    """What does not vary from call to call."""

    op: str
    """The op's name."""
    input_count: int | None
    """None if it is not known."""
    output_shapes: list[Any]
    """Its input of that name."""
    output_dtypes: list[int] | None
    """By number; None if all are the first input's."""
    output_count: int
    callee: str
    """The op's attribute of that name."""
    several: bool
    """Whether a tuple is returned."""
    libraries: list[Any] | None
    """What the outputs are to hold, for a gradient."""


def connection() -> Any:
    """Return what stands for the cluster that this process is connected to, None if there is none.

    It is another object whenever the program connects anew.
    """
    return None if context._context is None else context._context._server_def


def other_task(device: str | None = None) -> tuple[str, int] | None:
    """Return the job and task that a device is of; None if it is of this one, or does not say.

    Without `device`, the one whose scope eager calls are in.
    """
    cluster = connection()
    if cluster is None:
        return None
    task = _task(device or context.context().device_name or "")
    return None if task in ((None, 0), (cluster.job_name, cluster.task_index)) else task


def has_device_scope(graph: tf.Graph) -> bool:
    """Whether something says where the next op of a graph is placed."""
    colocated = graph._colocation_stack.peek_objs()
    return bool(graph._device_functions_outer_to_inner or colocated)


@functools.lru_cache(maxsize=1024)
def _task(device: str) -> tuple[str | None, int]:
    spec = tf.DeviceSpec.from_string(device)
    return spec.job, spec.task or 0


def execute(call: Call, inputs: tuple[Any, ...], name: str | None) -> Any:
    """Return the outputs of an op on eager tensors.

    None if nothing was done, since a graph is being built, or something is no eager tensor.
    """
    op, input_count, shapes, dtypes, count, callee, several, libraries = call
    current = context._context
    if current is None or not current._thread_local_data.is_eager:
        return None
    if current._server_def is not None and current.device_name and other_task() is not None:
        return None
    if not inputs or (input_count is not None and len(inputs) != input_count):
        return None
    for value in inputs:
        if type(value) is not _EagerTensor:
            return None
    if dtypes is None:
        dtypes = [inputs[0]._datatype_enum()] * count
    try:
        outputs = _execute(
            current, op, name, inputs, _NOTHING, shapes, "Tout", dtypes, "callee", callee
        )
    except core._NotOkStatusException as error:
        ops.raise_from_not_ok_status(error, name)
    except core._FallbackException:
        return None
    if libraries is not None:
        outputs[0]._tvm_libraries = libraries
    return tuple(outputs) if several else outputs[0]
