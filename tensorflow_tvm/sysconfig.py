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
"""Where things are, for programs that link or load the op library themselves."""

from __future__ import annotations

from tensorflow_tvm import op_library


def get_lib_path() -> str:
    """Return the path of the op library, `_tvm_dso_ops.so`.

    A C++ program loads it with ``Env::LoadDynamicLibrary`` or ``TF_LoadLibrary`` before it loads a
    model that calls TVM functions.

    Returns
    -------
    str
        An absolute path.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> tftvm.sysconfig.get_lib_path().endswith("_tvm_dso_ops.so")
    True
    """
    return str(op_library.find())
