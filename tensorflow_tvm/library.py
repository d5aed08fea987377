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
"""Libraries loaded into this process."""

from __future__ import annotations

import functools
import os
import re
import threading
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
import tvm_ffi

from tensorflow_tvm import (
    eager_op,
    op_library,  # noqa: F401  (registers the functions below)
)
from tensorflow_tvm.metadata import Metadata
from tensorflow_tvm.metadata import read as read_metadata

_DIGEST = re.compile("sha256:[0-9a-fA-F]{64}")
_UNKNOWN_OP = re.compile(
    r"not registered 'TVM>|'TVM>\w+' is neither a type of a primitive operation"
)

_load_library = tvm_ffi.get_global_func("tensorflow_tvm.load_library")
_check_function = tvm_ffi.get_global_func("tensorflow_tvm.check_function")
_functions = tvm_ffi.get_global_func("tensorflow_tvm.functions")
_digest = tvm_ffi.get_global_func("tensorflow_tvm.digest")
_bytes = tvm_ffi.get_global_func("tensorflow_tvm.bytes")
_metadata = tvm_ffi.get_global_func("tensorflow_tvm.metadata")
_stats = tvm_ffi.get_global_func("tensorflow_tvm.stats")


def stats() -> dict[str, int]:
    """Return counters of what may slow a program down.

    Returns
    -------
    dict of str to int
        ``alignment_copies``, ``alignment_copied_bytes``: tensors that were copied since the process
        began because their memory is not aligned as their function expects, and their total size
        in bytes. ``output_copies``, ``output_copied_bytes``: likewise, outputs that a function
        returned and TensorFlow could not take over: the function keeps them, or allocated them
        elsewhere. ``libraries``: how many TVM libraries are loaded now.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> tftvm.stats()["alignment_copies"]
    0
    """
    return {str(key): int(value) for key, value in _stats().items()}


def _raise(code: int, message: str) -> NoReturn:
    error = tf.compat.v1.errors.exception_type_from_error_code(code)
    raise error(None, None, message)


def _read(path: str) -> bytes:
    try:
        if tf.io.gfile.isdir(path):
            raise tf.errors.InvalidArgumentError(
                None, None, "it is a folder; expected a shared library"
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.NotFoundError:
        where = "" if os.path.isabs(path) or "://" in path else f" (in folder {os.getcwd()})"
        raise tf.errors.NotFoundError(
            None,
            None,
            f"Cannot load library '{path}': there is no such file{where}. "
            "Give the path of a shared library that TVM exported.",
        ) from None
    except tf.errors.OpError as error:
        raise type(error)(None, None, f"Cannot load library '{path}': {error.message}.") from None


class Library:
    """A TVM library loaded into this process; it stays loaded while this object lives."""

    def __init__(
        self, source: str | os.PathLike | bytes, digest: str | None, name: str | None = None
    ) -> None:
        if isinstance(source, (bytes, bytearray, memoryview)):
            content = bytes(source)
            name = name or "<bytes>"
        elif isinstance(source, (str, os.PathLike)):
            path = os.fspath(source)
            if not isinstance(path, str) or not path:
                raise ValueError(f"Expected the path of a library, given {path!r}.")
            content = _read(path)
            name = name or os.path.basename(path)
        else:
            raise TypeError(
                "Expected a library as a path (str or os.PathLike) or its content (bytes), given "
                f"{type(source).__name__}."
            )
        if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
            raise ValueError(
                "Expected a digest of the form 'sha256:' and 64 hexadecimal digits, given "
                f"{digest!r}."
            )
        code, message, handle = _load_library(content, name, (digest or "").lower())
        if code:
            _raise(code, message)
        self._handle = handle
        self._eager_constant: tf.Tensor | None = None
        self._graph_constants: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._sending = threading.Lock()
        self._cluster: Any = None
        self._tasks: set[tuple[str, int]] = set()  # those of the cluster that have the library
        # Graphs that capture the eager constant. To ask TensorFlow costs as much as a small op.
        self._capturing: weakref.WeakSet = weakref.WeakSet()
        self.name = name
        self.size = len(content)
        self.digest = str(_digest(handle))
        self.functions = tuple(str(function) for function in _functions(handle))

    def check_function(self, function: str) -> None:
        """Raise tf.errors.NotFoundError unless the library has `function`."""
        code, message, _ = _check_function(self._handle, function)
        if code:
            _raise(code, f"Library '{self.name}' {message}.")

    def metadata(self, function: str) -> Metadata:
        """Return what the library says of `function`."""
        code, message, text = _metadata(self._handle, function)
        if code:
            _raise(code, f"Library '{self.name}' {message}.")
        return read_metadata(str(text))

    def content(self) -> bytes:
        """Return the library's bytes."""
        return _bytes(self._handle)

    def constant(self) -> tf.Tensor:
        """Return the library's bytes as a uint8 vector on the CPU, for graphs to capture.

        There is one for all functions, and one for each TF1 graph: a model holds the bytes once,
        however many ops call the library.
        """
        caller = tf.compat.v1.get_default_graph()
        if caller in self._capturing:
            return self._eager_constant
        with tf.init_scope():
            if tf.executing_eagerly():
                if eager_op.connection() is not None:
                    return self._connected_constant(caller)
                self._capturing.add(caller)
                return self.eager_constant()
            graph = tf.compat.v1.get_default_graph()
            # By name: a tensor keeps its graph alive, and so would be a value that does its key.
            if graph not in self._graph_constants:
                self._graph_constants[graph] = self._new_constant().name
            return graph.get_tensor_by_name(self._graph_constants[graph])

    def _connected_constant(self, graph: tf.Graph) -> tf.Tensor:
        """Return the constant for a function of a program that is connected to other machines.

        Where a function is called on another machine, TensorFlow sends it what the function has
        captured once, and it stays there. Where the function itself places ops on other machines,
        what they take is sent at each call, unless it is computed there: a function without
        arguments, which is sent once, returns the bytes.
        """
        with graph.as_default(), tf.control_dependencies(None), tf.device("/cpu:0"):
            device = tf.no_op().device  # of the machine that the device scope names
            if eager_op.other_task(device) is None:
                return self.eager_constant()
            constants = self._graph_constants.setdefault(graph, {})
            if device not in constants:
                constants[device] = self._constant_function().name
            return graph.get_tensor_by_name(constants[device])

    @functools.cached_property
    def _constant_function(self) -> Callable[[], tf.Tensor]:
        with tf.init_scope():
            return tf.function(self._new_constant, autograph=False).get_concrete_function()

    def eager_constant(self) -> tf.Tensor:
        """Return the library's bytes as an eager uint8 vector on this machine's CPU."""
        if self._eager_constant is None:
            with tf.init_scope():
                self._eager_constant = self._new_constant()
        return self._eager_constant

    def is_on(self, task: tuple[str, int]) -> bool:
        """Whether a task of the cluster has been sent the library since we are connected to it."""
        if self._cluster is not eager_op.connection():
            self._cluster, self._tasks = eager_op.connection(), set()
        return task in self._tasks

    def call_eagerly(
        self, op: Callable[[list[tf.Tensor]], list[tf.Tensor]], context: str
    ) -> list[tf.Tensor]:
        """Run an eager op that calls a function of this library, on whatever machine it is placed.

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
        if not self.is_on(task):
            # One thread at a time: TensorFlow loses a tensor that two send to the same machine.
            with self._sending:
                if not self.is_on(task):
                    return self._call_with_bytes(op, task, context)
        try:
            return op([])
        except tf.errors.FailedPreconditionError as error:
            if f"no library with digest {self.digest}" not in error.message:
                raise
        self._tasks.discard(task)  # it has been started anew
        return self.call_eagerly(op, context)

    def _call_with_bytes(
        self, op: Callable[[list[tf.Tensor]], list[tf.Tensor]], task: tuple[str, int], context: str
    ) -> list[tf.Tensor]:
        try:
            outputs = op([self.eager_constant()])
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
        self._tasks.add(task)
        return outputs

    def _new_constant(self) -> tf.Tensor:
        content = np.frombuffer(self.content(), np.uint8)
        with tf.device(None), tf.device("/cpu:0"):  # whatever the caller's device is
            return tf.constant(content, name="tvm_library")
