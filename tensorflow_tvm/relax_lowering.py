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
"""Relax operators as calls of PrimFuncs, which FuseTIR can make one of. Needs apache-tvm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import relax, s_tir, te, tirx, topi
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm_ffi.structural import structural_mutate

from tensorflow_tvm.written_tensors import is_tensor

MAIN = "main"
_HARMLESS = ("relax.call_tir", "relax.null_value")
_ROOT = "root"
_PACKED = ("relax.call_dps_packed", "relax.call_pure_packed", "relax.call_inplace_packed")


def lower(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module whose "main" calls PrimFuncs alone, as far as TVM can lower its operators.

    Each PrimFunc has the shapes of its call, and parameters without offsets, alignments and layouts
    of their own: FuseTIR makes one buffer of a function's output and the next one's input, which
    has to have one type, and does not replace the sizes in layouts.

    Raises
    ------
    ValueError
        If TVM fails, or a constant cannot be compiled in.
    """
    module = _simplified(module)
    try:
        lowered = _lower_operators(module)
    except Exception as error:
        operator = _culprit(module) or "its operators"
        raise ValueError(f"TVM cannot lower {operator}: {sentence(error)}") from None
    return _with_plain_calls(lowered)


def to_blame(module: tvm.IRModule) -> str:
    """Return what in "main" FuseTIR cannot take once it is lowered, and what to do, or nothing."""
    module = _simplified(module)
    operator = _culprit(module)
    if operator:
        return (
            f"{operator} is not lowered to a function on tensors. Build what precedes and what "
            "follows it, each as a function"
        )
    for binding in bindings(module[MAIN]):
        if isinstance(binding, relax.MatchCast):
            return f"its match_cast of '{binding.var.name}' is checked when it runs"
        if isinstance(binding.value, relax.If):
            return "it has an If. Compute both sides, and choose by relax.where"
    return ""


def unknown_shape(function: relax.Function) -> str:
    """Return which operator of a function computes a shape that is not known, or nothing."""
    for binding in bindings(function):
        types = [binding.var.ty]
        if isinstance(types[0], tvm.ir.TupleType):
            types = list(types[0].fields)
        for type_ in types:
            is_tensor_type = isinstance(type_, relax.TensorType)
            if is_tensor_type and not isinstance(type_.shape, relax.ShapeExpr):
                return _operator(binding.value)
            if isinstance(type_, relax.ShapeType) and type_.values is None:
                return _operator(binding.value)
    return ""


def bindings(function: relax.Function) -> list[Any]:
    """Return the bindings of a function."""
    if not isinstance(function.body, relax.SeqExpr):
        return []
    return [binding for block in function.body.blocks for binding in block.bindings]


def names(module: tvm.IRModule) -> list[str]:
    """Return the names of a module's functions."""
    return [variable.name_hint for variable in module.get_global_vars()]


def without_main(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module without its "main"."""
    return tvm.IRModule(
        {variable: f for variable, f in module.functions.items() if variable.name_hint != MAIN}
    )


def sentence(error: Exception) -> str:
    """Return the first line of an error's message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().removesuffix(".")


def _simplified(module: tvm.IRModule) -> tvm.IRModule:
    for change in (
        relax.transform.InlinePrivateFunctions(),
        relax.transform.CanonicalizeBindings(),
        relax.transform.DeadCodeElimination([MAIN]),
    ):
        module = change(module)
    return module


def _operator(value: Any) -> str:
    """Return what a call calls, for messages."""
    if not isinstance(value, relax.Call):
        return ""
    name = _operator_name(value)
    if name in _PACKED:
        return f"operator {name} of the packed function '{value.args[0].global_symbol}'"
    if name:
        return f"operator {name}"
    if isinstance(value.op, relax.ExternFunc):
        return f"the packed function '{value.op.global_symbol}'"
    return f"the call of {value.op}"


def _operator_name(call: relax.Call) -> str:
    return call.op.name if isinstance(call.op, tvm.ir.Op) else ""


def _culprit(module: tvm.IRModule) -> str:
    """Return which operator TVM cannot lower to PrimFuncs, or nothing."""
    for binding in bindings(module[MAIN]):
        call = getattr(binding, "value", None)
        if not isinstance(call, relax.Call) or _operator_name(call) in _HARMLESS:
            continue
        builder = relax.BlockBuilder(without_main(module))
        try:
            with builder.function(MAIN, list(relax.analysis.free_vars(call))):
                builder.emit_func_output(builder.emit(call))
            lowered = _lower_operators(builder.get())
        except Exception:
            return _operator(call)
        if any(map(_is_obstacle, bindings(lowered[MAIN]))):
            return _operator(call)
    return ""


def _is_obstacle(binding: Any) -> bool:
    value = getattr(binding, "value", None)
    return isinstance(value, relax.Call) and _operator_name(value) not in _HARMLESS


def _lower_operators(module: tvm.IRModule) -> tvm.IRModule:
    """Lower operators as TVM's pipeline for CPUs does."""
    ranges = _Ranges(module)
    (variable,) = (v for v in module.get_global_vars() if v.name_hint == MAIN)
    ranges.builder_.update_func(variable, ranges.visit_expr(module[MAIN]))
    module = ranges.builder_.finalize()
    known = names(module)
    with tvm.target.Target("llvm"):
        module = relax.backend.DispatchSampling()(module)
        module = relax.backend.DispatchSortScan()(module)
    dispatched = {
        variable: _unless_empty(f)
        if isinstance(f, tirx.PrimFunc) and variable.name_hint not in known
        else f
        for variable, f in module.functions.items()
    }
    module = relax.transform.LegalizeOps()(tvm.IRModule(dispatched))
    module = relax.transform.CanonicalizeBindings()(module)
    return relax.transform.DeadCodeElimination([MAIN])(module)


@mutator
class _Ranges(PyExprMutator):
    """Lets ranges be computed, which TVM makes constants."""

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = super().visit_call_(call)
        if _operator_name(call) != "relax.arange":
            return call
        return self.builder_.call_te(topi.arange, *call.args, call.attrs.dtype)


def _unless_empty(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Let a function do nothing if its first input is empty: a scan writes its first element."""
    has_elements = tirx.all(*(size > 0 for size in function.params[0].shape))

    def see(block: s_tir.SBlock, mutator: Any) -> Any:
        if block.iter_vars or not isinstance(block.body, (tirx.For, tirx.SeqStmt)):
            return mutator.default_mutate(block)
        return s_tir.SBlock(
            block.iter_vars,
            block.reads,
            block.writes,
            block.name_hint,
            tirx.IfThenElse(has_elements, block.body, None),
            alloc_buffers=block.alloc_buffers,
        )

    return function.with_body(structural_mutate(function.body, [(s_tir.SBlock, see)]))


def _with_plain_calls(module: tvm.IRModule) -> tvm.IRModule:
    """Rebuild "main": its calls as `lower` says, and its outputs and constants computed.

    FuseTIR takes no constants, and no parameter as an output.
    """
    function = module[MAIN]
    builder = relax.BlockBuilder(without_main(module))
    tuples = {}

    def computed(value: Any) -> Any:
        return builder.emit_te(_constant(value)) if _is_constant(value) else value

    with builder.function(MAIN, list(function.params)):
        with builder.dataflow():
            for binding in bindings(function):
                value = getattr(binding, "value", None)
                if isinstance(value, relax.Tuple):
                    tuples[binding.var] = value
                if _is_constant(value):
                    binding = relax.VarBinding(binding.var, computed(value))
                if isinstance(value, relax.Call) and _operator_name(value) == "relax.call_tir":
                    name, passed = value.args
                    passed = [computed(argument) for argument in passed.fields]
                    plain = _specialized(module[name], passed, binding.var.ty)
                    passed = [p for p in passed if isinstance(p.ty, relax.TensorType)]
                    value = relax.Call(
                        value.op,
                        [builder.add_func(plain, name.name_hint), relax.Tuple(passed)],
                        value.attrs,
                        value.ty_args,
                    )
                    binding = relax.VarBinding(binding.var, builder.normalize(value))
                builder.emit_normalized(binding)
            result = function.body.body
            result = tuples.get(result, result)
            fields = list(result.fields) if isinstance(result, relax.Tuple) else [result]
            for i, field in enumerate(fields):
                taken = [*function.params, *fields[:i]]
                if any(field.same_as(other) for other in taken):
                    fields[i] = builder.emit_te(topi.identity, field)
                else:
                    fields[i] = computed(field)
            result = relax.Tuple(fields) if isinstance(result, relax.Tuple) else fields[0]
            result = builder.emit_output(result)
        builder.emit_func_output(result)
    return builder.get()


def _is_constant(value: Any) -> bool:
    return isinstance(value, tvm.ir.GenericConst)


def _constant(value: Any) -> Callable[[], te.Tensor]:
    """Return what computes a constant."""
    array = value.value.numpy()
    if array.size == 0 or (array != array.flat[0]).any():
        raise ValueError(
            f"it has a constant of shape {list(array.shape)}; expected a parameter instead, "
            "since only constants whose elements are all the same can be compiled in"
        )
    element = tirx.const(array.flat[0].item(), str(array.dtype))
    return lambda: te.compute(array.shape, lambda *_: element, name="constant")


def _specialized(function: tirx.PrimFunc, passed: Sequence[Any], result: Any) -> tirx.PrimFunc:
    """Return a function for the shapes and the numbers of one call."""
    results = list(result.fields) if isinstance(result, tvm.ir.TupleType) else [result]
    shapes = []
    values: dict[tirx.Var, Any] = {}
    for parameter, given in zip(function.params, [*passed, *results], strict=True):
        if not is_tensor(parameter):
            values[parameter] = given.astype(str(parameter.ty))
            continue
        actual = (given if isinstance(given, relax.TensorType) else given.ty).shape.values
        shape = [
            size if isinstance(size, tirx.IntImm) else dim.astype(str(size.ty))
            for size, dim in zip(parameter.shape, actual, strict=True)
        ]
        shapes.append(shape)
        # The others' sizes follow from those.
        if all(isinstance(size, (tirx.IntImm, tirx.Var)) for size in parameter.shape):
            values[parameter] = _buffer_like(parameter, shape)
    function = function.specialize(values)
    plain: dict[tirx.Var, Any] = {}
    for parameter, shape in zip(function.params, shapes, strict=True):
        plain[parameter] = tirx.decl_buffer(
            shape, str(parameter.dtype), parameter.name, layout=None
        )
        if isinstance(parameter.elem_offset, tirx.Var):
            plain[parameter.elem_offset] = _zero(parameter)

    def see(variable: tirx.Var, _: Any) -> Any:
        return plain.get(variable, variable)

    parameters = [plain[parameter] for parameter in function.params]
    body = _with_root(structural_mutate(function.body, [(tirx.Var, see)]))
    return tirx.PrimFunc(parameters, body, function.ret_type, function.attrs)


def _with_root(body: tirx.Stmt) -> tirx.Stmt:
    """Return a body whose first block is no step, since FuseTIR keeps what is in it alone."""
    if not isinstance(body, s_tir.SBlockRealize) or body.block.name_hint == _ROOT:
        return body
    root = s_tir.SBlock([], [], [], _ROOT, body)
    return s_tir.SBlockRealize([], tirx.const(True, "bool"), root)


def _buffer_like(parameter: tirx.Var, shape: Sequence[Any]) -> tirx.Var:
    return tirx.decl_buffer(
        shape,
        str(parameter.dtype),
        parameter.name,
        strides=list(parameter.strides),
        elem_offset=_zero(parameter),
        data_alignment=int(parameter.data_alignment),
        offset_factor=int(parameter.offset_factor),
        layout=None,
    )


def _zero(parameter: tirx.Var) -> Any:
    return tirx.const(0, str(parameter.elem_offset.ty))
