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
"""The callable that is checked, and the ways in which TensorFlow executes it."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tensorflow_tvm.testing.comparison import Tolerance, first_difference
from tensorflow_tvm.testing.report import CheckFailed, NotAvailable, Skipped

STATIC = "known shapes"
LEADING = "unknown leading dimensions"
UNKNOWN = "unknown dimensions"
UNKNOWN_RANK = "unknown rank"

MODEL = "model"

# Takes and gives flat lists of arrays.
Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


class Subject:
    """A callable with its inputs. Structures of tensors are flat lists here."""

    def __init__(
        self,
        f: Callable,
        inputs: Any,
        attrs: dict[str, Any] | None,
        tolerance: Tolerance,
        stateful: bool,
    ) -> None:
        self.f = f
        self.stateful = stateful
        self._inputs = inputs
        self._attrs = dict(attrs or {})
        self.tolerance = tolerance
        self._structure: Any = None
        self._expected: list[np.ndarray] | None = None
        self._functions: dict[str, Any] = {}  # by kind: traced ones, or the error
        self._stack = contextlib.ExitStack()
        tensors = []
        for i, value in enumerate(tf.nest.flatten(inputs)):
            try:
                tensors.append(tf.convert_to_tensor(value))
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"inputs: tensor {i} cannot be made, given {type(value).__name__}: {error}"
                ) from None
        self.dtypes = [tensor.dtype for tensor in tensors]
        for i, dtype in enumerate(self.dtypes):
            if dtype in (tf.resource, tf.variant):
                raise TypeError(f"inputs: tensor {i} is a {dtype.name}, which cannot be copied.")
        self.arrays = [to_array(tensor) for tensor in tensors]
        self._paths: list[str] = []
        self._other_structure: Any = None

    def close(self) -> None:
        """End sessions and delete files."""
        self._stack.close()

    def __call__(self, *tensors: tf.Tensor) -> list[tf.Tensor]:
        """Call the callable, wherever TensorFlow is, and return its outputs as a flat list."""
        result = self.f(*self.pack(list(tensors)), **self._attrs)
        self._note_structure(result)
        return [tf.convert_to_tensor(output) for output in tf.nest.flatten(result)]

    @tf.autograph.experimental.do_not_convert
    def _note_structure(self, result: Any) -> None:
        structure = tf.nest.map_structure(lambda _: 0, result)
        if self._structure is None:
            self._structure, self._paths = structure, _paths(result, "output")
            return
        try:
            tf.nest.assert_same_structure(self._structure, structure)
        except (TypeError, ValueError):
            # Raised later: AutoGraph would make another error of it here.
            self._other_structure = structure

    def tensors(self, arrays: Sequence[np.ndarray] | None = None) -> list[tf.Tensor]:
        """Return new tensors of the inputs, or of other arrays of their dtypes."""
        return [
            tf.constant(array, dtype)
            for array, dtype in zip(arrays or self.arrays, self.dtypes, strict=True)
        ]

    @property
    def expected(self) -> list[np.ndarray]:
        """What the first eager call gave: all else is compared with it."""
        if self._expected is None:
            outputs = self.eager(self.arrays)
            if not outputs:
                raise CheckFailed(
                    "it returns nothing.", "An op has at least one output: return a tensor."
                )
            self._expected = outputs
        return self._expected

    def pack(self, values: list[Any]) -> Any:
        """Return a flat list of values in the structure of the inputs."""
        return tf.nest.pack_sequence_as(self._inputs, values)

    def output(self, i: int) -> str:
        """Return what messages call an output."""
        return self._paths[i]

    def eager(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run it eagerly."""
        return to_arrays(self(*self.tensors(arrays)))

    def specs(self, kind: str) -> list[tf.TensorSpec]:
        """Return what a tf.function is told of the inputs."""
        return [
            tf.TensorSpec(_shape(array.shape, kind), dtype)
            for array, dtype in zip(self.arrays, self.dtypes, strict=True)
        ]

    def function(self, kind: str = STATIC) -> tf.types.experimental.ConcreteFunction:
        """Return a traced tf.function that takes and gives flat lists."""
        if kind not in self._functions:
            try:
                function = tf.function(self.__call__, input_signature=self.specs(kind))
                self._functions[kind] = function.get_concrete_function()
            except Exception as error:
                self._functions[kind] = error
                raise
        function = self._functions[kind]
        if isinstance(function, Exception):
            raise function
        return function

    def best_function(self) -> tf.types.experimental.ConcreteFunction:
        """Return a traced tf.function that knows as little of shapes as this callable allows."""
        for kind in (UNKNOWN, STATIC):
            try:
                return self.function(kind)
            except Exception:
                if kind == STATIC:
                    raise
        raise AssertionError

    def in_function(self, kind: str = STATIC) -> Run:
        """Return what runs it in a tf.function."""
        function = self.function(kind)
        return lambda arrays: to_arrays(function(*self.tensors(arrays)))

    @functools.cached_property
    def in_session(self) -> Run:
        """What runs it in a TF1 session."""
        graph = tf.Graph()
        with graph.as_default(), self.explain_captures():
            inputs = [
                tf.compat.v1.placeholder(dtype, array.shape)
                for array, dtype in zip(self.arrays, self.dtypes, strict=True)
            ]
            outputs = self(*inputs)
        session = self.start_session(graph)
        return lambda arrays: to_arrays(
            session.run(outputs, dict(zip(inputs, arrays, strict=True)))
        )

    def start_session(self, graph: tf.Graph) -> tf.compat.v1.Session:
        """Start a session, which ends with this object."""
        with graph.as_default():
            initialise = [
                tf.compat.v1.global_variables_initializer(),
                tf.compat.v1.tables_initializer(),
            ]
        session = tf.compat.v1.Session(graph=graph)
        self._stack.callback(session.close)
        session.run(initialise)
        return session

    @contextlib.contextmanager
    def explain_captures(self):  # noqa: ANN201
        """Say that a callable with eager tensors of its own is not for TF1 graphs."""
        try:
            yield
        except RuntimeError as error:
            if "Attempting to capture an EagerTensor" not in str(error):
                raise
            raise NotAvailable(
                "it uses eager tensors or variables of its own, which TF1 graphs cannot read"
            ) from None

    @functools.cached_property
    def model_folder(self) -> str:
        """A folder with a SavedModel in it, whose `call` takes and gives flat lists."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="check_op_"))
        model = tf.Module()
        function = self.best_function()
        model.call = function
        # A model saves only those variables that hang on it.
        model.captured = list(function.variables)
        tf.saved_model.save(model, os.path.join(folder, MODEL))
        return folder

    @functools.cached_property
    def loaded_model(self) -> Any:
        """The SavedModel, loaded again."""
        return tf.saved_model.load(os.path.join(self.model_folder, MODEL))

    @property
    def in_saved_model(self) -> Run:
        """What runs it in a SavedModel that has been loaded again."""
        model = self.loaded_model
        return lambda arrays: to_arrays(model.call(*self.tensors(arrays)))

    def compare(
        self,
        given: Sequence[np.ndarray],
        how: str,
        advice: str,
        expected: Sequence[np.ndarray] | None = None,
        tolerance: Tolerance | None = None,
        *,
        dtypes: bool = True,
    ) -> None:
        """Raise CheckFailed if outputs are not as expected: as those of the first eager call.

        Values of a stateful callable differ from call to call and are not compared.
        """
        expected = self.expected if expected is None else expected
        if self._other_structure is not None:
            other, self._other_structure = self._other_structure, None
            raise CheckFailed(
                f"it returns {_describe(other)}, expected {_describe(self._structure)}, {how}.",
                "Return the same structure in every execution, whatever the inputs' shapes are.",
                expected=self._structure,
                given=other,
            )
        if len(expected) != len(given):
            raise CheckFailed(f"{len(given)} outputs, expected {len(expected)}, {how}.", advice)
        for i, (left, right) in enumerate(zip(expected, given, strict=True)):
            difference = first_difference(left, right, tolerance or self.tolerance, dtypes=dtypes)
            if difference is None or (self.stateful and difference.index is not None):
                continue
            raise CheckFailed(
                f"{self.output(i)} {difference.text}, {how}.",
                advice,
                output=self.output(i),
                index=difference.index,
                expected=difference.expected,
                given=difference.given,
            )

    def takes(self, arrays: Sequence[np.ndarray]) -> bool:
        """Whether arrays fit the input_signature of a tf.function, which is not called if not.

        It would raise TypeError, and never again return to other threads that call it.
        """
        signature = getattr(self.f, "input_signature", None)
        if signature is None or not isinstance(self.f, tf.types.experimental.GenericFunction):
            return True
        specs = [spec for spec in tf.nest.flatten(signature) if isinstance(spec, tf.TensorSpec)]
        return all(
            spec.shape.is_compatible_with(array.shape)
            for spec, array in zip(specs, arrays, strict=False)
        )

    def need_dimensions(self) -> None:
        """Skip a check that is about dimensions where inputs have none."""
        if not any(array.ndim for array in self.arrays):
            raise Skipped("no input has a dimension")


def to_array(tensor: Any) -> np.ndarray:
    """Return a tensor's content, in memory of its own."""
    return np.array(tensor.numpy() if tf.is_tensor(tensor) else tensor)


def to_arrays(tensors: Sequence[Any]) -> list[np.ndarray]:
    """Return the contents of tensors."""
    return [to_array(tensor) for tensor in tensors]


def _shape(shape: tuple[int, ...], kind: str) -> tuple[int | None, ...] | None:
    if kind == UNKNOWN_RANK:
        return None
    if kind == UNKNOWN:
        return (None,) * len(shape)
    if kind == LEADING and shape:
        return (None, *shape[1:])
    return shape


def _paths(structure: Any, name: str) -> list[str]:
    """Return what messages call each tensor of a structure, in tf.nest's order."""
    if isinstance(structure, dict):
        return [p for k in sorted(structure) for p in _paths(structure[k], f"{name}[{k!r}]")]
    if isinstance(structure, (list, tuple)):
        glue = f"{name} {{}}" if name == "output" else f"{name}[{{}}]"
        return [p for i, v in enumerate(structure) for p in _paths(v, glue.format(i))]
    count = len(tf.nest.flatten(structure))
    return [name] if count == 1 else [f"{name} {i}" for i in range(count)]


def _describe(structure: Any) -> str:
    if not tf.nest.is_nested(structure):
        return "one tensor"
    return f"a {type(structure).__name__} of {len(structure)}"
