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
"""Which schedule a function gets, and why."""

from __future__ import annotations

import dataclasses
from typing import Any

from tensorflow_tvm.build import compiler
from tensorflow_tvm.op import Op


@dataclasses.dataclass(frozen=True)
class BlockSchedule:
    """The schedule of one block of a function.

    Attributes
    ----------
    function : str
        The function's name; for a `tensorflow_tvm.op` its signature, too.
    block : str
        The block's name: for a TE tensor, its own. Empty where this is of the whole function.
    schedule : str
        The schedule, and why.
    """

    function: str
    block: str
    schedule: str


class Explanation(tuple[BlockSchedule, ...]):
    """The schedules of all blocks, in their order; prints as a table."""

    def __str__(self) -> str:
        width = max((len(line.block) for line in self), default=0)
        lines = []
        last = None
        for line in self:
            if line.function != last:
                lines.append(line.function)
                last = line.function
            lines.append(f"  {line.block:{width}}  {line.schedule}".rstrip())
        return "\n".join(lines)


def explain(
    obj: Any, target: Any = "host", name: str | None = None, *, libm: bool = False
) -> Explanation:
    """Say which schedule each block of a function gets, and why.

    Parameters
    ----------
    obj
        What `build` takes; or an `Op`, of which all are explained that have been compiled.
    target, name, libm
        See `build`; an `Op` has its own.

    Returns
    -------
    Explanation
        A tuple of `BlockSchedule`, to be printed.

    Raises
    ------
    ValueError, TypeError, ImportError
        See `build`.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> from tvm import te
    >>> x = te.placeholder((1024,), "float32", name="x")
    >>> y = te.compute((1024,), lambda i: x[i] * 2.0, name="y")
    >>> print(tftvm.explain([x, y], name="double"))
    double
      y  elements in order, in vectors where LLVM sees them
    """
    lines = []
    if isinstance(obj, Op):
        for what, function in obj.compiled:
            found = compiler().explain(function, obj.target, "main", obj.libm)
            lines.extend((what, block, text) for _, block, text in found)
    else:
        lines = compiler().explain(obj, target, name, libm)
    return Explanation(BlockSchedule(*line) for line in lines)
