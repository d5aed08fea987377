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
"""What a workload is: a function of the gallery, and what it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def assert_close(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Assert that each output is within float32's rounding of what is expected."""
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@dataclasses.dataclass(frozen=True)
class Workload:
    """One function, on inputs of one size.

    Attributes
    ----------
    name : str
        Of its file here, and of the one in examples/gallery.
    title : str
        What the tables call it, with its sizes: "Viterbi decoding, 32×128×32".
    make_inputs : callable
        Takes a `numpy.random.Generator`; returns the inputs as arrays.
    ours : callable
        The gallery's function, on tensors.
    rivals : dict of str to callable
        Sensible formulations in TensorFlow, by a name that says how they go about it. Each is
        timed as a `tf.function` and under XLA; the fastest is what ours is compared with.
    flops : int
        Arithmetic operations that cannot be avoided, those of integers included.
    bytes : int
        What has to be read and written at least: each input and output once.
    check : callable
        Takes our outputs and a rival's, as lists of arrays; raises AssertionError.
    note : str
        What a reader of the table has to know: why a target is missed, for example.
    """

    name: str
    title: str
    make_inputs: Callable[[np.random.Generator], list[np.ndarray]]
    ours: Callable[..., Any]
    rivals: dict[str, Callable[..., Any]]
    flops: int
    bytes: int
    check: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], None] = assert_close
    note: str = ""
