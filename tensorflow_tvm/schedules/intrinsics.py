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
"""TVM's tensor intrinsics, imported in seconds."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_import() -> Iterator[None]:
    """Let TVM import `tvm.s_tir.tensor_intrin`, as some of its rules do, without a long wait.

    That is hundreds of functions in TVMScript, and for each TVM has `inspect` find the module of
    each caller. For frames without a file that looks through all modules there are, which with
    TensorFlow's thousands takes minutes altogether, for an answer that nobody needs.
    """
    search = inspect.getmodule
    inspect.getmodule = lambda *_, **__: None
    try:
        yield
    finally:
        inspect.getmodule = search
