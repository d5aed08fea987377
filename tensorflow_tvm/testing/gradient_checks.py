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
"""Checks of gradients, against differences of the function's values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tensorflow_tvm.testing import subject as subject_
from tensorflow_tvm.testing.comparison import EPSILON, first_difference
from tensorflow_tvm.testing.report import CheckFailed, NotAvailable, Skipped, first_line
from tensorflow_tvm.testing.subject import Subject, to_array

_ELEMENTS = 32  # of each input are checked
# How far a gradient may be from a slope, relative to it, besides what rounding of the outputs and
# the finite step explain: what computes both is rounded inside, too.
_SLACK = {"float64": 3e-8, "float32": 4e-4, "float16": 0.06, "bfloat16": 0.18}
_ADVICE = (
    "Correct the gradient function: it gets the gradients of the outputs, and returns one for each "
    "input, of its shape and dtype. Where an input has none on purpose, gradients=False."
)
_PRESENCE_ADVICE = (
    "Compute with TensorFlow ops or TVM functions in each execution: .numpy() and NumPy have no "
    "gradients. Or give it one gradient, by tf.custom_gradient. If there is to be none, "
    "gradients=False."
)


class NoGradient(NotAvailable):
    """There is no gradient in an eager call, of inputs and outputs that could have one."""


class Gradients:
    """The gradients of a callable, as TensorFlow gives them in an eager call.

    They are those of a weighted sum of all outputs, with fixed weights.
    """

    def __init__(self, subject: Subject, wanted: bool | None) -> None:
        self.subject = subject
        self._wanted = wanted
        self._eager: list[np.ndarray | None] | None = None
        self.inputs = [i for i, dtype in enumerate(subject.dtypes) if _is_real(dtype)]

    @property
    def outputs(self) -> list[int]:
        """Which outputs have gradients."""
        expected = self.subject.expected
        return [i for i, array in enumerate(expected) if _is_real(tf.as_dtype(array.dtype))]

    def weights(self) -> list[np.ndarray]:
        """Return the weights: all different, none of them small."""
        rng = np.random.default_rng(0)
        weights = []
        for i in self.outputs:
            array = self.subject.expected[i]
            signs = rng.choice([-1.0, 1.0], array.shape)
            weights.append(np.asarray(signs * rng.uniform(0.5, 1.5, array.shape), array.dtype))
        return weights

    def on_tape(
        self, call: Callable, tensors: Sequence[tf.Tensor], *, or_none: bool = False
    ) -> list[tf.Tensor | None]:
        """Return the gradients of a call on tensors, in eager calls and in functions.

        With `or_none`, None stands for those that are not registered, too.
        """
        watched = [tensors[i] for i in self.inputs]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            outputs = call(*tensors)
        targets = [outputs[i] for i in self.outputs]
        if or_none:
            return self._on_tape_or_none(tape, targets, watched)
        return self._dense(tape.gradient(targets, watched, self._weight_tensors()))

    @tf.autograph.experimental.do_not_convert  # AutoGraph would make another error of it
    def _on_tape_or_none(
        self, tape: tf.GradientTape, targets: list[tf.Tensor], watched: list[tf.Tensor]
    ) -> list[tf.Tensor | None]:
        try:
            return self._dense(tape.gradient(targets, watched, self._weight_tensors()))
        except LookupError:
            return [None] * len(watched)

    def in_tf1_graph(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor | None]:
        """Return the gradients in a TF1 graph."""
        outputs = self.subject(*tensors)
        targets = [outputs[i] for i in self.outputs]
        sources = [tensors[i] for i in self.inputs]
        return self._dense(tf.compat.v1.gradients(targets, sources, self._weight_tensors()))

    def _weight_tensors(self) -> list[tf.Tensor]:
        return [tf.constant(weight) for weight in self.weights()]

    def _dense(self, gradients: Sequence[Any]) -> list[tf.Tensor | None]:
        return [None if g is None else tf.convert_to_tensor(g) for g in gradients]

    @property
    def eager(self) -> list[np.ndarray | None]:
        """The gradients in an eager call; raises where there are none to check."""
        if self._eager is None:
            self._eager = self._find()
        return self._eager

    def _find(self) -> list[np.ndarray | None]:
        if self._wanted is False:
            raise Skipped("gradients=False")
        missing, kind = None, NoGradient
        if not self.inputs or not self.outputs:
            which = "output" if self.inputs else "input"
            missing, kind = f"no {which} is of float16, bfloat16, float32 or float64", NotAvailable
        else:
            try:
                gradients = self.on_tape(self.subject, self.subject.tensors())
            except LookupError as error:
                missing = f"none is registered: {first_line(error)}"
            else:
                if all(gradient is None for gradient in gradients):
                    missing = "no output depends on an input, as far as TensorFlow knows"
        if missing is None:
            return [None if g is None else to_array(g) for g in gradients]
        if self._wanted:
            raise CheckFailed(
                f"there is no gradient, and gradients=True asks for one: {missing}.",
                "Give one by tf.custom_gradient, or by tf.RegisterGradient for an op of your own.",
            )
        raise kind(missing)


def gradients(gradients: Gradients) -> None:
    """Check that gradients are those that differences of values show."""
    subject = gradients.subject
    given = gradients.eager
    if subject.stateful:
        raise Skipped("stateful=True")
    verdicts = []
    for number, gradient in zip(gradients.inputs, given, strict=True):
        name = f"the gradient for input {number}"
        array = subject.arrays[number]
        if gradient is None:
            gradient = np.zeros_like(array)
            said = "None, which stands for 0"
        else:
            said = ""
            if gradient.shape != array.shape or gradient.dtype != array.dtype:
                raise CheckFailed(
                    f"{name} has shape {gradient.shape} and dtype {gradient.dtype}, expected those "
                    f"of the input: {array.shape} and {array.dtype}.",
                    _ADVICE,
                    output=name,
                    expected=(array.shape, array.dtype),
                    given=(gradient.shape, gradient.dtype),
                )
        for index in _sample(array.shape):
            slope = _slope(gradients, number, index)
            if slope is None:
                continue
            value = float(gradient[index])
            verdicts.append(slope.can_tell(value))
            if not slope.fits(value):
                raise CheckFailed(
                    f"{name} at index {index} is {said or f'{value:.6g}'}, expected about "
                    f"{slope.middle:.6g}: so much do the outputs, each times a weight, change with "
                    "the input.",
                    _ADVICE,
                    output=name,
                    index=index,
                    expected=slope.middle,
                    given=value,
                )
    if not verdicts:
        raise NotAvailable("the outputs are not finite around these inputs")
    if not any(verdicts):
        raise NotAvailable(
            "rounding hides the gradients at these inputs: take smaller inputs or more bits"
        )


@dataclasses.dataclass(frozen=True)
class _Slope:
    """What a derivative may be: by central difference, and between one-sided ones at a kink."""

    middle: float
    low: float
    high: float
    error: float  # of rounding and of the finite step
    slack: float

    def _tolerance(self, given: float) -> float:
        return self.error + self.slack * max(abs(self.middle), abs(given))

    def fits(self, given: float) -> bool:
        tolerance = self._tolerance(given)
        return self.low - tolerance <= given <= self.high + tolerance

    def uncertainty(self) -> float:
        """How far what the derivative may be spreads, in units of its size."""
        return (self.error + self.high - self.low) / max(abs(self.middle), 1e-30)

    def can_tell(self, given: float) -> bool:
        """Whether a gradient of half the size would be noticed."""
        size = max(abs(self.middle), abs(given))
        return size == 0 or self._tolerance(given) < 0.5 * size


def _slope(gradients: Gradients, number: int, index: tuple[int, ...]) -> _Slope | None:
    """Return the derivative for one element of an input; None if it is nowhere finite."""
    array = gradients.subject.arrays[number]
    value = abs(float(array[index]))
    # The step that rounding and curvature hurt alike, for functions that vary on a scale of 1, or
    # of the input.
    step = EPSILON[tf.as_dtype(array.dtype).name] ** (1 / 3)
    best = None
    for size in dict.fromkeys([max(value, 1.0), value]):
        if size == 0:
            continue
        slope = _slope_by_step(gradients, number, index, step * size)
        if slope is None:
            continue
        if best is None or slope.uncertainty() < best.uncertainty():
            best = slope
        if best.uncertainty() < 0.01:
            break
    return best


def _slope_by_step(
    gradients: Gradients, number: int, index: tuple[int, ...], step: float
) -> _Slope | None:
    subject = gradients.subject
    array = subject.arrays[number]
    points, sums = [], []
    for shift in (-2, -1, 0, 1, 2):
        moved = array.copy()
        moved[index] = np.asarray(float(array[index]) + shift * step, array.dtype)
        arrays = list(subject.arrays)
        arrays[number] = moved
        outputs = subject.eager(arrays)
        points.append(float(moved[index]))
        sums.append([outputs[i].astype(np.float64) for i in gradients.outputs])
    if len(set(points)) < len(points):
        return None
    weights = [weight.astype(np.float64) for weight in gradients.weights()]

    def difference(a: int, b: int) -> float:
        with np.errstate(invalid="ignore", over="ignore"):
            total = sum(
                float(np.sum(w * (right - left)))
                for w, left, right in zip(weights, sums[a], sums[b], strict=True)
            )
        return total / (points[b] - points[a])

    wide, middle = difference(0, 4), difference(1, 3)
    left, right = difference(1, 2), difference(2, 3)
    # Each output is rounded, by itself.
    names = [tf.as_dtype(subject.expected[i].dtype).name for i in gradients.outputs]
    epsilons = [EPSILON[name] for name in names]
    names.append(tf.as_dtype(array.dtype).name)
    if max(EPSILON[name] for name in names) < 1e-6:
        # Curvature, which is no kink, cancels; with fewer bits, rounding hides it.
        with np.errstate(invalid="ignore", over="ignore"):
            left, right = 2 * left - difference(0, 2), 2 * right - difference(2, 4)
    rounding = sum(
        float(np.sum((w * y * epsilon) ** 2))
        for w, y, epsilon in zip(weights, sums[2], epsilons, strict=True)
    )
    error = abs(wide - middle) + 4 * rounding**0.5 / step
    slope = _Slope(
        middle,
        min(middle, left, right),
        max(middle, left, right),
        error,
        max(_SLACK[name] for name in names),
    )
    return slope if np.all(np.isfinite([middle, left, right, error])) else None


def _sample(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return indices of elements, spread evenly, the first and the last among them."""
    size = int(np.prod(shape))
    flat = np.unique(np.linspace(0, size - 1, min(size, _ELEMENTS)).astype(int)) if size else []
    return [tuple(int(i) for i in np.unravel_index(i, shape)) for i in flat]


def gradients_in_graphs(gradients: Gradients) -> None:
    """Check that gradients in a tf.function and a TF1 session are those of an eager call."""
    subject = gradients.subject
    expected, none = _expected(gradients)
    for kind in (subject_.STATIC, subject_.UNKNOWN):
        try:
            subject.function(kind)
        except Exception:  # noqa: S112
            continue  # another check says so
        try:
            function = tf.function(
                lambda *tensors: _present(
                    gradients.on_tape(subject, tensors, or_none=none is not None)
                ),
                input_signature=subject.specs(kind),
            ).get_concrete_function()
        except NotImplementedError:
            continue  # as it says, for unknown dimensions
        _compare(gradients, expected, function(*subject.tensors()), f"in a tf.function of {kind}")
    _compare_in_session(gradients, expected, none)
    if none is not None:
        raise none


def _expected(gradients: Gradients) -> tuple[list[np.ndarray | None], NoGradient | None]:
    """Return the gradients in an eager call, and why there are none if so."""
    try:
        return gradients.eager, None
    except NoGradient as error:
        return [None] * len(gradients.inputs), error


def _compare_in_session(
    gradients: Gradients, expected: list[np.ndarray | None], none: NoGradient | None
) -> None:
    subject = gradients.subject
    try:
        subject.in_session  # noqa: B018
    except Exception:
        return  # another check says so
    graph = tf.Graph()
    with graph.as_default():
        inputs = [
            tf.compat.v1.placeholder(dtype, array.shape)
            for array, dtype in zip(subject.arrays, subject.dtypes, strict=True)
        ]
        try:
            fetches = _present(gradients.in_tf1_graph(inputs))
        except LookupError:
            if none is None:
                raise
            return  # as in an eager call
    if none is not None and not fetches:
        return
    session = subject.start_session(graph)
    feeds = dict(zip(inputs, subject.arrays, strict=True))
    _compare(gradients, expected, session.run(fetches, feeds), "in a TF1 session")


def gradients_in_saved_model(gradients: Gradients) -> None:
    """Check that gradients are there in a SavedModel that was loaded again."""
    subject = gradients.subject
    expected, none = _expected(gradients)
    model = subject.loaded_model
    try:
        given = gradients.on_tape(model.call, subject.tensors())
    except NotImplementedError as error:
        raise NotAvailable(first_line(error)) from None  # for unknown dimensions
    except LookupError as error:
        if none is not None:
            raise none from None
        raise CheckFailed(
            f"a SavedModel that was loaded again has no gradient: {first_line(error)}",
            "Save with tf.custom_gradient or a registered gradient. If the model is only for "
            "inference, skip=['gradients_in_saved_model'].",
        ) from error
    _compare(gradients, expected, _present(given), "in a SavedModel that was loaded again")
    if none is not None:
        raise none


def _present(gradients: Sequence[Any]) -> dict[str, Any]:
    """Return the gradients that are not None, in a form that functions can return."""
    return {str(i): gradient for i, gradient in enumerate(gradients) if gradient is not None}


def _compare(
    gradients: Gradients,
    wanted: Sequence[np.ndarray | None],
    given: dict[str, Any],
    how: str,
) -> None:
    for i, (number, expected) in enumerate(zip(gradients.inputs, wanted, strict=True)):
        name = f"the gradient for input {number}"
        value = given.get(str(i))
        if (value is None) != (expected is None):
            raise CheckFailed(
                f"{name} is {'None' if value is None else 'there'} {how}, unlike in an eager call.",
                _PRESENCE_ADVICE,
                output=name,
            )
        if expected is None or gradients.subject.stateful:
            continue
        difference = first_difference(expected, to_array(value), gradients.subject.tolerance)
        if difference is not None:
            raise CheckFailed(
                f"{name} {difference.text}, as in an eager call, {how}.",
                _ADVICE,
                output=name,
                index=difference.index,
                expected=difference.expected,
                given=difference.given,
            )


def _is_real(dtype: tf.DType) -> bool:
    return dtype in (tf.float16, tf.bfloat16, tf.float32, tf.float64)
