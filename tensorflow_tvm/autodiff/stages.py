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
"""What the reads of one tensor's stage contribute to the gradients of what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import ir, te, tirx
from tvm.ir import prim

from tensorflow_tvm.autodiff import nodes
from tensorflow_tvm.autodiff.errors import NotDifferentiable
from tensorflow_tvm.autodiff.expressions import Term, terms_of
from tensorflow_tvm.autodiff.indices import Ranges, Unknown
from tensorflow_tvm.autodiff.nodes import const, mul, select, zero


def derive(
    tensor: te.Tensor, gradient: te.Tensor, is_active: Callable[[te.Tensor], bool]
) -> tuple[list[Unknown], list[Term]]:
    """Return what reads contribute, and the axes of which the terms speak.

    Parameters
    ----------
    tensor : te.Tensor
        What is computed.
    gradient : te.Tensor
        The gradient with respect to it, of its shape.
    is_active : callable
        Which tensors' gradients are asked for.

    Raises
    ------
    NotDifferentiable
        If there is no rule for how it is computed.
    """
    op = tensor.op
    if not isinstance(op, te.ComputeOp):
        what = "a packed or external function" if isinstance(op, te.ExternOp) else "a scan"
        raise NotDifferentiable(f"it is computed by {what}")
    axes = [Unknown(axis.var, axis.dom.extent) for axis in op.axis]
    body = op.body[tensor.value_index]
    indices = [axis.var for axis in axes]
    upstream = nodes.load(gradient, indices)
    if not isinstance(body, tirx.Reduce):
        # The tensor's own element is at hand, where its derivative is in terms of it.
        value = None
        is_function = isinstance(body, ir.Call) and nodes.name_of(body) != "if_then_else"
        if is_function or isinstance(body, prim.Div):
            value = nodes.load(tensor, indices)
        return axes, terms_of(body, upstream, [], is_active, value)
    if nodes.number_of(body.condition) != 1:
        raise NotDifferentiable("its reduction has a condition (where=), which TVM ignores")
    reduced, source = _from_zero(body, axes)
    every = [*axes, *reduced]
    kind = _kind_of(body)
    if any(nodes.loads(value) for value in body.init) or (body.init and kind is prim.Mul):
        raise NotDifferentiable("its reduction has an initial value")
    if kind in (prim.Max, prim.Min):
        source, upstream = _extreme(tensor, reduced, upstream, source)
    elif kind is prim.Mul:
        upstream = _product(tensor, reduced, upstream, source)
    elif kind is not prim.Add:
        raise NotDifferentiable("its reduction is none of sum, max, min and product")
    return every, terms_of(source, upstream, [], is_active)


def _from_zero(body: tirx.Reduce, own: Sequence[Unknown]) -> tuple[list[Unknown], Any]:
    """Return a reduction's axes, made to start at 0, and what is reduced, in terms of them."""
    reduced, moved = [], {}
    ranges = Ranges()
    for axis in own:
        ranges.bind(axis.var, axis.extent)
    for axis in body.axis:
        start, extent = ranges.simplify(axis.dom.min), ranges.simplify(axis.dom.extent)
        if nodes.loads(start) or nodes.loads(extent):
            raise NotDifferentiable("what its reduction goes over comes from data")
        if any(nodes.uses(extent, axis.var) for axis in own):
            raise NotDifferentiable(
                f"how much it reduces along {axis.var.name} depends on the element"
            )
        variable = axis.var
        if nodes.number_of(start) != 0:
            variable = tirx.Var(axis.var.name, str(axis.var.ty))
            moved[axis.var] = variable + start
        reduced.append(Unknown(variable, extent))
    source = body.source[body.value_index]
    return reduced, _with(source, moved) if moved else source


def _kind_of(body: tirx.Reduce) -> type | None:
    """Return the operator that a reduction applies; None if it is no single one."""
    combiner = body.combiner
    if len(combiner.result) != 1:
        return None
    (result,), (left,), (right,) = combiner.result, combiner.lhs, combiner.rhs
    if type(result) not in (prim.Add, prim.Mul, prim.Max, prim.Min):
        return None
    operands = (result.a, result.b)
    for x, y in ((left, right), (right, left)):
        if operands[0].same_as(x) and operands[1].same_as(y):
            return type(result)
    return None


def _again(
    tensor: te.Tensor, reduced: Sequence[Unknown], name: str, reduce: Callable, source: Callable
) -> te.Tensor:
    """Return a reduction over the same axes as a tensor's own, of ``source(indices, axes)``."""
    axes = [te.reduce_axis((0, axis.extent), axis.var.name) for axis in reduced]

    def element(*indices: Any) -> Any:
        ours = dict(zip((axis.var for axis in tensor.op.axis), indices, strict=True))
        ours.update(zip((axis.var for axis in reduced), (a.var for a in axes), strict=True))
        return reduce(source(indices, ours), axis=axes)

    return te.compute(tensor.shape, element, name=name)


def _with(expression: Any, values: dict[tirx.Var, Any]) -> Any:
    return nodes.substitute(expression, values, lambda index: index)


def _multiply(value: Any, axis: Sequence[Any]) -> Any:
    reducer = te.comm_reducer(lambda a, b: a * b, lambda dtype: tirx.const(1, dtype))
    return reducer(value, axis=list(axis))


def _extreme(
    tensor: te.Tensor, reduced: Sequence[Unknown], upstream: Any, source: Any
) -> tuple[Any, Any]:
    """Return the source of a maximum, and its gradient: those that are largest share it."""
    name = tensor.op.name
    indices = [axis.var for axis in tensor.op.axis]

    def equal(at: Sequence[Any], ours: dict[tirx.Var, Any]) -> Any:
        return tirx.EQ(_with(source, ours), nodes.load(tensor, list(at)))

    # In float32, as halves count to 2048 only.
    wide = tirx.const(1, "float64" if str(source.ty) == "float64" else "float32")
    count = _again(
        tensor,
        reduced,
        f"{name}_ties",
        te.sum,
        lambda at, ours: select(equal(at, ours), wide, zero(wide)),
    )
    gradient = upstream.args[0]
    share = te.compute(
        tensor.shape,
        lambda *at: nodes.cast(
            tirx.div(nodes.cast(nodes.load(gradient, list(at)), str(wide.ty)), count(*at)),
            str(source.ty),
        ),
        name=f"{name}_share",
    )
    result = nodes.load(tensor, indices)
    chosen = tirx.EQ(source, result)
    # None is equal to NaN, and so each has its share of 0 / 0, as in TensorFlow.
    rest = select(nodes.is_nan(result), result, zero(source))
    return source, select(chosen, nodes.load(share, indices), rest)


def _product(tensor: te.Tensor, reduced: Sequence[Unknown], upstream: Any, source: Any) -> Any:
    """Return the gradient of a product's factors: the product of the others, zeros or not.

    In float64, since the whole product may be too small or too large for narrower numbers where
    that of the others is not.
    """
    name, dtype, wide = tensor.op.name, str(source.ty), "float64"
    indices = [axis.var for axis in tensor.op.axis]
    one = const(1, source)

    def is_zero(value: Any) -> Any:
        return tirx.EQ(value, zero(value))

    def without_zero(value: Any) -> Any:
        return nodes.cast(select(is_zero(value), one, value), wide)

    def zeros(at: Sequence[Any], ours: dict[tirx.Var, Any]) -> Any:
        return select(is_zero(_with(source, ours)), one, zero(one))

    def others(at: Sequence[Any], ours: dict[tirx.Var, Any]) -> Any:
        return without_zero(_with(source, ours))

    count = nodes.load(_again(tensor, reduced, f"{name}_zeros", te.sum, zeros), indices)
    product = nodes.load(_again(tensor, reduced, f"{name}_others", _multiply, others), indices)
    if_zero = select(count <= one, nodes.cast(product, dtype), zero(one))
    quotient = nodes.cast(tirx.div(product, without_zero(source)), dtype)
    if_not = select(count < one, quotient, zero(one))
    return mul(upstream, select(is_zero(source), if_zero, if_not))
