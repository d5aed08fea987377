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
"""From a function with a fault to a smaller one that has it too."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator

from tensorflow_tvm.tests.fuzz.functions import GeneratedFunction, Value


def candidates(function: GeneratedFunction) -> Iterator[GeneratedFunction]:
    """Yield functions that are smaller: fewer outputs, fewer steps, inputs in place of steps."""
    if function.script:
        return
    if function.schedule:
        yield dataclasses.replace(function, schedule=())
    if function.gradient:
        yield dataclasses.replace(function, gradient=False)
    if len(function.outputs) > 1:
        for name in function.outputs:
            yield _with_outputs(function, (name,))
        for name in function.outputs:
            others = tuple(other for other in function.outputs if other != name)
            yield _with_outputs(function, others)
    if not function.schedule:
        # An earlier step's result in place of the last one's.
        for step in function.steps[:-1]:
            yield _with_outputs(function, (step.results[0].name,))
    for step in function.steps[:-1]:
        yield from _as_input(function, step.results)


def _with_outputs(function: GeneratedFunction, names: tuple[str, ...]) -> GeneratedFunction:
    return dataclasses.replace(function, outputs=names, schedule=()).pruned()


def _as_input(
    function: GeneratedFunction, results: tuple[Value, ...]
) -> Iterator[GeneratedFunction]:
    """Yield the function with results as inputs, if their shapes say nothing new."""
    names = {value.name for value in results}
    if names & set(function.outputs):
        return
    if any(re.search(r"[^a-e0-9 ]", size) for value in results for size in value.shape):
        return
    steps = tuple(step for step in function.steps if step.results[0].name not in names)
    inputs = list(function.inputs)
    renamed = {}
    free = (f"x{at}" for at in range(100) if f"x{at}" not in {v.name for v in inputs})
    for value in results:
        new = dataclasses.replace(value, name=next(free))
        renamed[value.name] = new.name
        inputs.append(new)
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    steps = tuple(
        dataclasses.replace(
            step,
            lines=tuple(pattern.sub(lambda m: renamed[m.group()], line) for line in step.lines),
        )
        for step in steps
    )
    yield dataclasses.replace(function, inputs=tuple(inputs), steps=steps).pruned()


def shrink(
    function: GeneratedFunction,
    has_fault: Callable[[GeneratedFunction], bool],
    seconds: float = 60.0,
) -> GeneratedFunction:
    """Return the smallest function found, in some time, for which `has_fault` holds."""
    deadline = time.monotonic() + seconds
    progress = True
    while progress:
        progress = False
        for candidate in candidates(function):
            if time.monotonic() > deadline:
                return function
            if has_fault(candidate):
                function, progress = candidate, True
                break
    return function
