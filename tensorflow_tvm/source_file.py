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
"""Python files that define TVM functions, for the command line and the Bazel rule tvm_library."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def read(path: str, only: Sequence[str] = ()) -> tuple[Any, dict[str, Callable]]:
    """Run a file and return what it defines.

    Parameters
    ----------
    path : str
        A Python file with a dict ``FUNCTIONS``, as `tensorflow_tvm.build` takes it; without one,
        its PrimFuncs and IRModules are taken. It may have a dict ``REFERENCES`` of the same
        functions in TensorFlow, as `tensorflow_tvm.tune` takes it.
    only : sequence of str, optional
        The names of the functions that are wanted, if not all are.

    Returns
    -------
    functions
        For `tensorflow_tvm.build`.
    references : dict
        For `tensorflow_tvm.tune`.

    Raises
    ------
    ValueError
        If it defines no functions, or not one of `only`.
    OSError
        If it cannot be read.
    """
    sys.path.insert(0, str(Path(path).parent))
    try:
        names = runpy.run_path(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(
            f"it is not Python ({error}); expected the file that defines the functions"
        ) from None
    functions = names.get("FUNCTIONS")
    if functions is None:
        functions = _prim_funcs(names)
    references = names.get("REFERENCES", {})
    if only:
        from tensorflow_tvm.prim_functions import collect

        found = collect(functions)
        for name in only:
            if name not in found:
                raise ValueError(f"there is no function '{name}'; there are {', '.join(found)}")
        functions = {name: found[name] for name in only}
        references = {name: references[name] for name in only if name in references}
    return functions, references


def _prim_funcs(names: Mapping[str, Any]) -> Any:
    """Return a module of the functions and modules that `names` stand for."""
    from tvm import IRModule, tirx

    module = IRModule({})
    for name, value in names.items():
        if isinstance(value, IRModule):
            module.update(value)
        elif isinstance(value, tirx.PrimFunc):
            known = value.attrs.get("global_symbol", None) if value.attrs else None
            module[str(known or name)] = value
    if not module.functions:
        raise ValueError("expected a dict FUNCTIONS, or PrimFuncs; the file defines neither")
    return module


def parse_target(text: str) -> Any:
    """Return a target that was written as text: a name, or a dict as Python writes it."""
    return ast.literal_eval(text) if text.startswith("{") else text
