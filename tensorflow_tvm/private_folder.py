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
"""Temporary folders that only this user can enter, and that no killed process leaves for long.

cc/runtime/private_folder.h says how.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tvm_ffi

from tensorflow_tvm import op_library  # noqa: F401  (registers the functions below)

_make = tvm_ffi.get_global_func("tensorflow_tvm.make_folder")
_path = tvm_ffi.get_global_func("tensorflow_tvm.folder_path")
_remove = tvm_ffi.get_global_func("tensorflow_tvm.remove_folder")


@contextlib.contextmanager
def private_folder(context: str) -> Iterator[Path]:
    """Make a folder for the time of a with statement.

    It is made in ``$TMPDIR``, else in /tmp. If the process is killed, the next one removes it; a
    forked child that ends leaves it alone.

    Parameters
    ----------
    context
        What messages begin with.

    Raises
    ------
    tf.errors.FailedPreconditionError
        If no temporary folder can be used.
    tf.errors.ResourceExhaustedError
        If there are no file descriptors left.
    """
    code, message, folder = _make()
    if code:
        error = tf.compat.v1.errors.exception_type_from_error_code(code)
        raise error(None, None, f"{context}: {message}.")
    try:
        yield Path(str(_path(folder)))
    finally:
        _remove(folder)
