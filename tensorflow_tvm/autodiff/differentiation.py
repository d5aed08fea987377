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
"""The gradient of a function, from its outputs back to its inputs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from tvm import te, tirx
from tvm.ir import prim

from tensorflow_tvm.autodiff import nodes
from tensorflow_tvm.autodiff.errors import NotDifferentiable
from tensorflow_tvm.autodiff.expressions import Term
from tensorflow_tvm.autodiff.gather import Gathered, cases, check, gather
from tensorflow_tvm.autodiff.indices import Unknown
from tensorflow_tvm.autodiff.parts import in_parts
from tensorflow_tvm.autodiff.stages import derive

_NARROW = 8  # elements of a last axis that fill no vector

Contribution = Callable[[Sequence[Any]], Gathered]


@dataclasses.dataclass(frozen=True)
class Derivative:
    """The function that computes gradients.

    It takes the inputs and `grad_placeholders`, and computes `input_gradients`.

    Attributes
    ----------
    grad_placeholders : list of te.Tensor
        The gradient with respect to each output of floating point numbers, of its shape and dtype.
    output_indices : tuple of int
        Which outputs those are.
    input_gradients : list of te.Tensor
        The gradient with respect to each input of floating point numbers, of its shape and dtype;
        zeros where no output depends on it.
    input_indices : tuple of int
        Which inputs those are.
    """

    grad_placeholders: list[te.Tensor]
    output_indices: tuple[int, ...]
    input_gradients: list[te.Tensor]
    input_indices: tuple[int, ...]


def differentiate(inputs: Sequence[te.Tensor], outputs: Sequence[te.Tensor]) -> Derivative:
    """Derive a function of TE tensors by accumulation in reverse.

    Each tensor's gradient is a tensor again, whose elements collect what the reads of the element
    contribute. What has been computed on the way to the outputs is computed again.

    Parameters
    ----------
    inputs : sequence of te.Tensor
        Placeholders.
    outputs : sequence of te.Tensor
        What is computed of them.

    Returns
    -------
    Derivative

    Raises
    ------
    NotDifferentiable
        If one of the tensors on the way has no derivative that can be found.

    Examples
    --------
    >>> from tvm import te
    >>> x = te.placeholder((4,), "float32", name="x")
    >>> y = te.compute((4,), lambda i: x[i] * x[i], name="y")
    >>> found = differentiate([x], [y])
    >>> found.grad_placeholders, found.input_gradients
    ([Tensor(shape=[4], op.name=grad_y)], [Tensor(shape=[4], op.name=grad_x)])
    """
    return _Differentiation(inputs, outputs).run()


class _Tensors:
    """A dict whose keys are tensors: theirs compare their elements where they are scalars."""

    def __init__(self) -> None:
        self._items: dict[tuple[Any, int], Any] = {}

    @staticmethod
    def _key(tensor: te.Tensor) -> tuple[Any, int]:
        return tensor.op, int(tensor.value_index)

    def __contains__(self, tensor: te.Tensor) -> bool:
        return self._key(tensor) in self._items

    def __setitem__(self, tensor: te.Tensor, value: Any) -> None:
        self._items[self._key(tensor)] = value

    def get(self, tensor: te.Tensor, default: Any) -> Any:
        return self._items.get(self._key(tensor), default)


class _Differentiation:
    def __init__(self, inputs: Sequence[te.Tensor], outputs: Sequence[te.Tensor]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.parts = _Tensors()
        self.order = self._in_order(outputs)
        self.contributions = _Tensors()
        self.active = _Tensors()
        for tensor in inputs:
            if nodes.is_float(tensor.dtype):
                self.active[tensor] = True
        for tensor in self.order:
            if tensor not in self.active and nodes.is_float(tensor.dtype):
                reads = self.parts.get(tensor, tensor).op.input_tensors
                if any(read in self.active for read in reads):
                    self.active[tensor] = True

    def _in_order(self, outputs: Sequence[te.Tensor]) -> list[te.Tensor]:
        """Return all tensors that are computed or read, each after those that it reads."""
        order: list[te.Tensor] = []
        seen = _Tensors()
        stack = [(tensor, False) for tensor in reversed(outputs)]
        while stack:
            tensor, done = stack.pop()
            if done:
                order.append(tensor)
            elif tensor not in seen:
                seen[tensor] = True
                self.parts[tensor] = parts = in_parts(tensor)
                stack.append((tensor, True))
                stack.extend((read, False) for read in parts.op.input_tensors)
        return order

    def run(self) -> Derivative:
        placeholders = []
        chosen = [i for i, out in enumerate(self.outputs) if nodes.is_float(out.dtype)]
        for i in chosen:
            output = self.outputs[i]
            placeholder = te.placeholder(
                output.shape, str(output.dtype), name=f"grad_{output.op.name}"
            )
            placeholders.append(placeholder)
            self._contribute(output, _element_of(placeholder), placeholder)
        for tensor in reversed(self.order):
            if isinstance(tensor.op, te.PlaceholderOp) or tensor not in self.active:
                continue
            self._propagate(tensor)
        own = [i for i, tensor in enumerate(self.inputs) if nodes.is_float(tensor.dtype)]
        gradients = [self._gradient_of_input(self.inputs[i]) for i in own]
        return Derivative(placeholders, tuple(chosen), gradients, tuple(own))

    def _contribute(
        self, tensor: te.Tensor, contribution: Contribution, alone: te.Tensor | None = None
    ) -> None:
        found = self.contributions.get(tensor, None)
        if found is None:
            self.contributions[tensor] = found = []
        found.append((contribution, alone))

    def _propagate(self, tensor: te.Tensor) -> None:
        found = self.contributions.get(tensor, [])
        if not found:
            return
        with _explained(tensor):
            gradient = found[0][1] if len(found) == 1 else None
            if gradient is None:
                gradient = accumulate(tensor, [contribution for contribution, _ in found])
            axes, terms = derive(
                self.parts.get(tensor, tensor), gradient, lambda read: read in self.active
            )
            for term in (part for whole in terms for part in _solvable(whole, axes)):
                self._contribute(term.tensor, functools.partial(gather, term, axes))

    def _gradient_of_input(self, tensor: te.Tensor) -> te.Tensor:
        found = self.contributions.get(tensor, [])
        if not found:
            dtype = str(tensor.dtype)
            return te.compute(
                tensor.shape, lambda *at: tirx.const(0, dtype), name=f"grad_{tensor.op.name}"
            )
        return accumulate(tensor, [contribution for contribution, _ in found])


class _explained:  # noqa: N801
    """Say of which tensor it is that something cannot be derived."""

    def __init__(self, tensor: te.Tensor) -> None:
        self._name = tensor.op.name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, NotDifferentiable):
            raise NotDifferentiable(
                f"'{self._name}' cannot be derived: {error}. Give the function's gradient yourself."
            ) from None


def _solvable(term: Term, axes: Sequence[Unknown]) -> list[Term]:
    """Return a term as one or more whose indices can be inverted."""
    try:
        check(term, axes, _targets(term.tensor))
    except NotDifferentiable:
        parts = cases(term)
        if len(parts) == 1:
            raise
        return [solvable for part in parts for solvable in _solvable(part, axes)]
    return [term]


def _targets(tensor: te.Tensor) -> list[tirx.Var]:
    return [
        tirx.Var(f"j{i}", str(extent.ty) if "int" in str(extent.ty) else "int32")
        for i, extent in enumerate(tensor.shape)
    ]


def accumulate(tensor: te.Tensor, contributions: Sequence[Contribution]) -> te.Tensor:
    """Return the gradient with respect to a tensor: the sum of all contributions."""
    name, dtype = f"grad_{tensor.op.name}", str(tensor.dtype)
    parts = []
    for i, contribution in enumerate(contributions):
        targets = _targets(tensor)
        found = contribution(targets)
        if found.free:
            stage_name = name if len(contributions) == 1 else f"{name}_{i}"
            order = _order(tensor, targets, found.value)
            if order is not None:
                parts.append(_transposed(tensor, contribution, order, f"{stage_name}_transposed"))
                continue
            total = _stage(tensor.shape, contribution, stage_name)
            if len(contributions) == 1 and str(total.dtype) == dtype:
                return total
            contribution = _element_of(total)
        parts.append(contribution)

    def element(*at: Any) -> Any:
        values = [contribution(at).value for contribution in parts]
        widest = max((str(value.ty) for value in values), key=_width)
        return nodes.cast(
            functools.reduce(nodes.add, (nodes.cast(value, widest) for value in values)), dtype
        )

    return te.compute(tensor.shape, element, name=name)


def _order(tensor: te.Tensor, targets: Sequence[tirx.Var], value: Any) -> list[int] | None:
    """Return an order of axes in which a sum of products is faster, None if it is fine as it is.

    Schedules make vectors of the last axis. That of a convolution's filter may be 3 long, and along
    that of an image every second element has another part of the filter where strides are 2.
    """
    if not isinstance(value, prim.Mul) or not tensor.shape:
        return None
    digits = nodes.in_remainders(value)
    sizes = [
        0 if any(target.same_as(digit) for digit in digits) else nodes.size_of(extent)
        for target, extent in zip(targets, tensor.shape, strict=True)
    ]
    if None in sizes or sizes[-1] >= _NARROW or max(sizes) < 2 * _NARROW:
        return None
    longest = max(range(len(sizes)), key=lambda i: sizes[i])
    return [*(i for i in range(len(sizes)) if i != longest), longest]


def _transposed(
    tensor: te.Tensor, contribution: Contribution, order: list[int], name: str
) -> Contribution:
    """Return a contribution that is computed with the axes in another order."""

    def original(at: Sequence[Any]) -> Gathered:
        return contribution([at[order.index(i)] for i in range(len(order))])

    total = _stage([tensor.shape[i] for i in order], original, name)
    return lambda at: Gathered(total(*(at[i] for i in order)), [])


def _stage(shape: Sequence[Any], contribution: Contribution, name: str) -> te.Tensor:
    return te.compute(shape, lambda *at: contribution(at).total(), name=name)


def _element_of(tensor: te.Tensor) -> Contribution:
    return lambda at: Gathered(tensor(*at), [])


def _width(dtype: str) -> int:
    return int("".join(filter(str.isdigit, dtype)) or 0)
