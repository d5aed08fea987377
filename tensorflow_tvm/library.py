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

import os
import re
from typing import NoReturn

import tensorflow as tf
import tvm_ffi

from tensorflow_tvm import (
    library_tensors,
    op_library,  # noqa: F401  (registers the functions below)
    system_errors,
)
from tensorflow_tvm.metadata import Metadata
from tensorflow_tvm.metadata import read as read_metadata

_DIGEST = re.compile("sha256:[0-9a-fA-F]{64}")

_load_library = tvm_ffi.get_global_func("tensorflow_tvm.load_library")
_check_function = tvm_ffi.get_global_func("tensorflow_tvm.check_function")
_functions = tvm_ffi.get_global_func("tensorflow_tvm.functions")
_digest = tvm_ffi.get_global_func("tensorflow_tvm.digest")
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


def _read(path: str) -> tuple[bytes, str]:
    """Return a file's content and its path without links; "" if it is on no disk of this machine.

    It is read by that path. Whoever can change a link cannot have another file read than the one
    that is asked about later.
    """
    try:
        real_path = "" if "://" in path else os.path.realpath(path)
        if not os.path.exists(real_path):  # a path of /proc/self/fd may lead to no name
            real_path = ""
        path.encode()
    except ValueError:  # NUL, or what is no UTF-8
        raise ValueError(f"Expected the path of a library, given {path!r}.") from None
    try:
        if tf.io.gfile.isdir(path):
            raise tf.errors.InvalidArgumentError(
                None, None, "it is a folder; expected a shared library"
            )
        with tf.io.gfile.GFile(real_path or path, "rb") as file:
            return file.read(), real_path
    except tf.errors.NotFoundError:
        where = "" if os.path.isabs(path) or "://" in path else f" (in folder {os.getcwd()})"
        raise tf.errors.NotFoundError(
            None,
            None,
            f"Cannot load library '{path}': there is no such file{where}. "
            "Give the path of a shared library that TVM exported.",
        ) from None
    except tf.errors.OpError as error:
        message = f"Cannot load library '{path}': {error.message}."
        if isinstance(error, tf.errors.ResourceExhaustedError):
            message += f" {system_errors.MORE_DESCRIPTORS}"
        raise type(error)(None, None, message) from None


class Library:
    """A TVM library loaded into this process; it stays loaded while this object lives."""

    def __init__(
        self, source: str | os.PathLike | bytes, digest: str | None, name: str | None = None
    ) -> None:
        real_path = ""
        if isinstance(source, (bytes, bytearray, memoryview)):
            content = bytes(source)
            name = name or "<bytes>"
        elif isinstance(source, (str, os.PathLike)):
            path = os.fspath(source)
            if not isinstance(path, str) or not path:
                raise ValueError(f"Expected the path of a library, given {path!r}.")
            content, real_path = _read(path)
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
        code, message, handle = _load_library(content, name, (digest or "").lower(), real_path)
        if code:
            _raise(code, message)
        self._handle = handle
        self.name = name
        self.size = len(content)
        self.digest = str(_digest(handle))
        self.tensors = library_tensors.of(handle, self.digest)
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
        try:
            return read_metadata(str(text))
        except ValueError as error:
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"Library '{self.name}' has metadata of function '{function}' that cannot be read: "
                f"{str(error).rstrip('.')}. It is damaged, or a newer tensorflow_tvm made it: get "
                "it again from its source, or build it again.",
            ) from None

    def content(self) -> bytes:
        """Return the library's bytes."""
        return self.tensors.content()
