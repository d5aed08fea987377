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
"""A library's bytes as tensors: what graphs hold, and what other machines are sent."""

from __future__ import annotations

import functools
import re
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tvm_ffi

from tensorflow_tvm import eager_op

_UNKNOWN_OP = re.compile(
    r"not registered 'TVM>|'TVM>\w+' is neither a type of a primitive operation"
)

_bytes = tvm_ffi.get_global_func("tensorflow_tvm.bytes")

_shared: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # guarded by the next one
_lock = threading.Lock()


def of(handle: Any, digest: str) -> LibraryTensors:
    """Return the tensors of a loaded library.

    They are the same for all with that digest: a file that is loaded twice is in a model once.
    """
    with _lock:
        return _shared.setdefault(digest, LibraryTensors(handle, digest))


class LibraryTensors:
    """The tensors with a library's bytes, which are made when they are first asked for."""

    def __init__(self, handle: Any, digest: str) -> None:
        self._handle = handle
        self._digest = digest
        self._lock = threading.RLock()
        self._eager: tf.Tensor | None = None
        # Graphs that capture the eager one. To ask TensorFlow costs as much as a small op.
        self._capturing: weakref.WeakSet = weakref.WeakSet()
        # For graphs that hold one of their own: its name, by the device that it is on. A tensor
        # keeps its graph alive, and so would be a value that does its key.
        self._in_graphs: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        # A cluster, and those of its tasks that have the library. In one, as threads read it.
        self._sent: tuple[Any, set[tuple[str, int]]] = (None, set())

    def content(self) -> bytes:
        """Return the bytes themselves."""
        return _bytes(self._handle)

    def constant(self) -> tf.Tensor:
        """Return the bytes as a uint8 vector on the CPU, for the graph that is being built.

        There is one for all functions, and one for each TF1 graph: a model holds the bytes once,
        however many ops call the library.
        """
        caller = tf.compat.v1.get_default_graph()
        if caller in self._capturing:
            return self._eager
        with tf.init_scope():
            if not tf.executing_eagerly():
                return self._in_graph(tf.compat.v1.get_default_graph(), "", self._new)
            if eager_op.connection() is not None:
                return self._connected_constant(caller)
            self._capturing.add(caller)
            return self._eager_constant()

    def _connected_constant(self, graph: tf.Graph) -> tf.Tensor:
        """Return the constant for a function of a program that is connected to other machines.

        Where a function is called on another machine, TensorFlow sends it what the function has
        captured once, and it stays there. Where the function itself places ops on other machines,
        what they take is sent at each call, unless it is computed there: a function without
        arguments, which is sent once, returns the bytes.
        """
        if not eager_op.has_device_scope(graph):
            return self._eager_constant()
        with graph.as_default(), tf.control_dependencies(None), tf.device("/cpu:0"):
            device = tf.no_op().device  # of the machine that the device scope names
            if eager_op.other_task(device) is None:
                return self._eager_constant()
            return self._in_graph(graph, device, lambda: self._function())

    def _in_graph(self, graph: tf.Graph, device: str, make: Callable[[], tf.Tensor]) -> tf.Tensor:
        with self._lock:
            names = self._in_graphs.setdefault(graph, {})
            if device not in names:
                names[device] = make().name
            return graph.get_tensor_by_name(names[device])

    @functools.cached_property
    def _function(self) -> Callable[[], tf.Tensor]:
        with tf.init_scope():
            return tf.function(self._new, autograph=False).get_concrete_function()

    def _eager_constant(self) -> tf.Tensor:
        with self._lock:
            if self._eager is None:
                with tf.init_scope():
                    self._eager = self._new()
            return self._eager

    def _new(self) -> tf.Tensor:
        content = np.frombuffer(self.content(), np.uint8)
        with tf.device(None), tf.device("/cpu:0"):  # whatever the caller's device is
            return tf.constant(content, name="tvm_library")

    def call_eagerly(
        self, op: Callable[[list[tf.Tensor]], list[tf.Tensor]], context: str
    ) -> list[tf.Tensor]:
        """Run an eager op that calls a function of the library, on whatever machine it is placed.

        Parameters
        ----------
        op
            Called with what the op is to get as its library: nothing, or the bytes, where it is
            placed on a machine that has not loaded them yet. It keeps them afterwards.
        context
            What messages begin with.
        """
        task = eager_op.other_task()
        if task is None:
            return op([])
        tasks = self._tasks_that_have_it()
        if task not in tasks:
            # One thread at a time: TensorFlow loses a tensor that two send to the same machine.
            with self._lock:
                if task not in tasks:
                    outputs = self._call_with_bytes(op, task, context)
                    tasks.add(task)
                    return outputs
        try:
            return op([])
        except tf.errors.FailedPreconditionError as error:
            if f"no library with digest {self._digest}" not in error.message:
                raise
        tasks.discard(task)  # it has been started anew
        return self.call_eagerly(op, context)

    def _tasks_that_have_it(self) -> set[tuple[str, int]]:
        """Return the tasks that have been sent the library since the program connected to them."""
        cluster = eager_op.connection()
        if self._sent[0] is not cluster:
            with self._lock:
                if self._sent[0] is not cluster:
                    self._sent = (cluster, set())
        return self._sent[1]

    def _call_with_bytes(
        self, op: Callable[[list[tf.Tensor]], list[tf.Tensor]], task: tuple[str, int], context: str
    ) -> list[tf.Tensor]:
        try:
            outputs = op([self._eager_constant()])
            # TensorFlow waits for other machines where a value is read: is the library there?
            tf.raw_ops.Rank(input=outputs[0]).numpy()
        except tf.errors.NotFoundError as error:
            if _UNKNOWN_OP.search(error.message) is None:
                raise
            raise tf.errors.NotFoundError(
                None,
                None,
                f"{context}: /job:{task[0]}/task:{task[1]} does not know TVM's ops. Start it by "
                "'python -m tensorflow_tvm worker', or import tensorflow_tvm in its program.",
            ) from None
        return outputs
