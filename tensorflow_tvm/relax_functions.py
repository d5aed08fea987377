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
"""Relax functions as PrimFuncs, and their gradients. Needs apache-tvm.

A Relax function of operators on tensors becomes one PrimFunc, and no program of Relax's virtual
machine: it is then built, scheduled and called like any other. The gradient is that of Relax's own
pass, for the function times the gradients of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tvm
from tvm import relax, tirx

from tensorflow_tvm.relax_lowering import (
    MAIN,
    bindings,
    lower,
    names,
    sentence,
    to_blame,
    unknown_shape,
    without_main,
)
from tensorflow_tvm.written_tensors import OUTPUT_COUNT


def find(source: Any, name: str) -> tuple[relax.Function, tvm.IRModule] | None:
    """Return the Relax function `name` of a module, or its only one, and the module."""
    if not isinstance(source, tvm.IRModule):
        return None
    found = {v.name_hint: f for v, f in source.functions.items() if isinstance(f, relax.Function)}
    function = next(iter(found.values())) if len(found) == 1 else found.get(name)
    return None if function is None else (function, source)


def called_by(module: tvm.IRModule) -> set[str]:
    """Return the names of the functions that a module's Relax functions call."""
    functions = [f for f in module.functions.values() if isinstance(f, relax.Function)]
    return {
        variable.name_hint
        for function in functions
        for variable in relax.analysis.all_global_vars(function)
    }


def to_prim_func(function: relax.Function, module: tvm.IRModule) -> tirx.PrimFunc:
    """Return a Relax function as one PrimFunc, outputs last.

    Parameters
    ----------
    function : relax.Function
        Of tensors to a tensor, or to a tuple of tensors.
    module : tvm.IRModule
        Which has the PrimFuncs that it calls.

    Raises
    ------
    ValueError
        If it is more than operators on tensors.
    """
    for parameter in function.params:
        if not _is_tensor(parameter.ty):
            raise ValueError(
                f"its parameter '{parameter.name}' is a {parameter.ty}; expected a tensor whose "
                "shape is known"
            )
    outputs = _output_types(function)
    given = _with_main(module, function)
    whole = lower(given)
    part = whole[MAIN].without_attr("global_symbol").with_attr("Primitive", True)
    builder = relax.BlockBuilder(without_main(whole))
    variable = builder.add_func(part, "part")
    parameters = [relax.Var(parameter.name, parameter.ty) for parameter in part.params]
    with builder.function(MAIN, parameters):
        with builder.dataflow():
            result = builder.emit_output(relax.Call(variable, parameters))
        builder.emit_func_output(result)
    found = None
    said = ""
    try:
        fused = relax.transform.FuseTIR()(builder.get())
        found = fused[variable.name_hint] if variable.name_hint in names(fused) else None
    except Exception as error:
        said = f"; TVM says: {sentence(error)}"
    if not isinstance(found, tirx.PrimFunc):
        blame = to_blame(given)
        raise ValueError(
            "it cannot be made one function, as those of operators on tensors can, without control "
            f"flow{blame and ': '}{blame}{said}"
        )
    result = _with_all_parameters(found, part)
    if len(result.params) != len(function.params) + len(outputs):
        raise ValueError(
            "operator relax.call_tir_inplace gives the memory of one of its inputs to its output, "
            "and an op must leave its inputs as they are. Use relax.call_tir"
        )
    return result.with_attr(OUTPUT_COUNT, len(outputs))


def _with_all_parameters(function: tirx.PrimFunc, part: relax.Function) -> tirx.PrimFunc:
    """Return what FuseTIR made of `part` with the parameters that it drops, being unused."""
    read: set[relax.Var] = set()
    relax.analysis.post_order_visit(
        part.body, lambda node: read.add(node) if isinstance(node, relax.Var) else None
    )
    kept = iter(function.params)
    parameters = [
        next(kept)
        if parameter in read
        else tirx.decl_buffer(
            list(parameter.ty.shape.values), str(parameter.ty.dtype), parameter.name
        )
        for parameter in part.params
    ]
    return tirx.PrimFunc([*parameters, *kept], function.body, function.ret_type, function.attrs)


def differentiate(
    function: relax.Function, wrt: Sequence[int] | None
) -> tuple[relax.Function, tuple[int, ...]]:
    """Return the function that takes inputs and outputs' gradients and gives inputs' gradients.

    Parameters
    ----------
    function : relax.Function
        Of Relax's operators.
    wrt : sequence of int, optional
        The inputs whose gradients are wanted. By default those of floating point.

    Returns
    -------
    function : relax.Function
    wrt : tuple of int

    Raises
    ------
    ValueError
        If an operator has no gradient.
    """
    function = relax.utils.copy_with_new_vars(function)
    if wrt is None:
        wrt = [i for i, parameter in enumerate(function.params) if _is_floating(parameter.ty)]
    outputs = _output_types(function)
    wanted = [i for i, output in enumerate(outputs) if _is_floating(output)]
    if not wrt or not wanted:
        raise ValueError("it has no inputs, or no outputs, of floating point")
    grads = [relax.Var(f"grad_{i}" if len(outputs) > 1 else "grad", outputs[i]) for i in wanted]
    builder = relax.BlockBuilder()
    with builder.function(MAIN, [*function.params, *grads]):
        with builder.dataflow():
            _emit(builder, function)
            result = function.body.body
            results = [result] if len(outputs) == 1 else [result[i] for i in wanted]
            products = [
                relax.op.sum(relax.op.multiply(value, grad))
                for value, grad in zip(results, grads, strict=True)
            ]
            total = products[0]
            for product in products[1:]:
                total = relax.op.add(total, product)
            loss = builder.emit_output(total)
        builder.emit_func_output(loss)
    module = builder.get()
    parameters = [module[MAIN].params[i] for i in wrt]
    try:
        module = relax.transform.Gradient(MAIN, require_grads=parameters)(module)
    except Exception as error:
        raise ValueError(f"Relax's gradient pass says: {sentence(error)}") from None
    adjoint = relax.utils.copy_with_new_vars(module[f"{MAIN}_adjoint"])
    builder = relax.BlockBuilder()
    with builder.function(MAIN, list(adjoint.params)):
        with builder.dataflow():
            _emit(builder, adjoint)
            _, gradients = adjoint.body.body.fields
            output = gradients.fields[0] if len(wrt) == 1 else gradients
            result = builder.emit_output(output)
        builder.emit_func_output(result)
    return builder.get()[MAIN], tuple(wrt)


def _emit(builder: relax.BlockBuilder, function: relax.Function) -> None:
    for binding in bindings(function):
        builder.emit_normalized(binding)


def _with_main(module: tvm.IRModule, function: relax.Function) -> tvm.IRModule:
    """Return `function` as "main", and what it can call."""
    # Those that are private are inlined.
    others = {
        variable: other.without_attr("global_symbol")
        if isinstance(other, relax.Function)
        else other
        for variable, other in module.functions.items()
        if variable.name_hint != MAIN and not other.same_as(function)
    }
    result = tvm.IRModule(others)
    result[MAIN] = function.with_attr("global_symbol", MAIN)
    return result


def _output_types(function: relax.Function) -> list[Any]:
    returned = function.ret_ty
    types = list(returned.fields) if isinstance(returned, tvm.ir.TupleType) else [returned]
    for type_ in types:
        if not _is_tensor(type_):
            blame = unknown_shape(function)
            raise ValueError(
                f"it returns a {type_}; expected a tensor whose shape is known, or a tuple of such"
                + (f". The shape that {blame} computes is not known" if blame else "")
            )
    return types


def _is_tensor(type_: Any) -> bool:
    return isinstance(type_, relax.TensorType) and type_.shape is not None


def _is_floating(type_: Any) -> bool:
    return tf.as_dtype(str(type_.dtype)).is_floating
