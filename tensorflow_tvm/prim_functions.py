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
"""What a caller wants compiled, as TVM's PrimFuncs with names and signatures. Needs apache-tvm."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, s_tir, te, tirx
from tvm_ffi.structural import structural_mutate

from tensorflow_tvm import relax_functions
from tensorflow_tvm.dimensions import fold
from tensorflow_tvm.guards import require
from tensorflow_tvm.schedules import mark_scheduled
from tensorflow_tvm.signature import DTYPES, Argument, Signature
from tensorflow_tvm.written_tensors import OUTPUT_COUNT, find_update, is_tensor, outputs_of

_EXPECTED = "TE tensors, a tirx.PrimFunc, an IRModule, a Schedule, or a dict from names to those"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN = ("_library_", "_metadata_", "_doc_", "_cubin_")  # after __tvm_ffi_, as its headers say
_RESERVED = ("min", "max", "name")  # functions of signatures; what names an op
_OPERATORS = {
    tvm.ir.prim.Add: "+",
    tvm.ir.prim.Sub: "-",
    tvm.ir.prim.Mul: "*",
    tvm.ir.prim.FloorDiv: "//",
    tvm.ir.prim.FloorMod: "%",
    # The same where nothing is negative, as sizes are.
    tvm.ir.prim.Div: "//",
    tvm.ir.prim.Mod: "%",
}


def collect(obj: Any, name: str | None = None) -> dict[str, tirx.PrimFunc]:
    """Return the functions that `obj` stands for, by name.

    Parameters
    ----------
    obj
        See `tensorflow_tvm.build`.
    name : str, optional
        What to call the function, if it is one.

    Raises
    ------
    TypeError, ValueError
        If it is nothing that can be compiled.
    """
    if isinstance(obj, Mapping):
        if name is not None:
            raise ValueError("name= is for one function; the keys of a dict are names already.")
        functions = {key: _one(key, value) for key, value in obj.items()}
    elif isinstance(obj, (tvm.IRModule, s_tir.Schedule)):
        functions = _of_module(obj)
        if name is not None:
            functions = {name: _one(name, obj)}
    else:
        function = _one(name, obj)
        functions = {_name_of(function) or "main" if name is None else name: function}
    if not functions:
        raise ValueError(f"There is no function to compile. Expected {_EXPECTED}.")
    for key in functions:
        if not isinstance(key, str) or _NAME.fullmatch(key) is None:
            raise ValueError(f"The name of a function must be an identifier, given {key!r}.")
        if key.startswith(_TAKEN):
            raise ValueError(
                f"A function cannot be called {key!r}: tvm-ffi keeps names that begin with "
                f"{', '.join(_TAKEN)} for what else a library has."
            )
    return functions


def _one(name: str | None, obj: Any) -> tirx.PrimFunc:
    if isinstance(obj, tirx.PrimFunc):
        return obj
    if isinstance(obj, (tvm.IRModule, s_tir.Schedule)):
        functions = _of_module(obj)
        if len(functions) != 1:
            raise ValueError(
                f"'{name}' stands for one function, and the module has {len(functions)}: "
                f"{', '.join(functions)}. Give the module by itself, or one of its functions."
            )
        return next(iter(functions.values()))
    tensors = [obj] if isinstance(obj, te.Tensor) else obj
    if (
        isinstance(tensors, (list, tuple))
        and tensors
        and all(isinstance(tensor, te.Tensor) for tensor in tensors)
    ):
        return from_tensors(tensors)
    what = f"'{name}' is " if name else "Given "
    raise TypeError(f"{what}{type(obj).__name__}; expected {_EXPECTED}.")


def _of_module(obj: tvm.IRModule | s_tir.Schedule) -> dict[str, tirx.PrimFunc]:
    module = obj.mod if isinstance(obj, s_tir.Schedule) else obj
    functions = {}
    parts = relax_functions.called_by(module)
    for variable, function in module.functions_items():
        if variable.name_hint in parts:
            continue
        if isinstance(function, relax.Function):
            try:
                function = relax_functions.to_prim_func(function, module)
                function = mark_scheduled(function, False)
            except ValueError as error:
                raise ValueError(f"Cannot build '{variable.name_hint}': {error}.") from None
        if not isinstance(function, tirx.PrimFunc):
            raise TypeError(
                f"Function '{variable.name_hint}' of the module is a {type(function).__name__}; "
                "only PrimFuncs and Relax functions can be compiled."
            )
        if isinstance(obj, s_tir.Schedule):
            function = mark_scheduled(function)
        name = _name_of(function) or variable.name_hint
        if name == "main":  # as TE calls every function
            name = variable.name_hint
        if name in functions:
            raise ValueError(
                f"Two functions of the module are called '{name}'; give them different names by "
                "with_attr('global_symbol', …)."
            )
        functions[name] = function
    return functions


def _name_of(function: tirx.PrimFunc) -> str | None:
    name = function.attrs.get("global_symbol", None) if function.attrs else None
    return str(name) if name else None


def from_tensors(tensors: Sequence[te.Tensor]) -> tirx.PrimFunc:
    """Return the function that computes those of `tensors` that are computed, see `split`."""
    inputs, outputs = split(tensors)
    function = mark_scheduled(te.create_prim_func([*inputs, *outputs]), False)
    # Which they are cannot be seen where a packed function writes them.
    return function.with_attr(OUTPUT_COUNT, len(outputs))


def split(tensors: Sequence[te.Tensor]) -> tuple[list[te.Tensor], list[te.Tensor]]:
    """Split TE tensors into inputs and outputs.

    Outputs are those that are computed. Inputs are the placeholders among `tensors`, in their
    order, and then those that the computation finds.
    """
    inputs: list[te.Tensor] = []
    outputs: list[te.Tensor] = []
    for tensor in tensors:
        if not _is_placeholder(tensor):
            # An output has memory of its own.
            outputs.append(_copy(tensor) if _has(outputs, tensor) else tensor)
        elif not _has(inputs, tensor):
            inputs.append(tensor)
    if not outputs:
        raise ValueError(
            "All of the TE tensors are placeholders; expected at least one that is computed."
        )
    seen: list[te.Tensor] = []
    stack = list(reversed(outputs))
    while stack:
        tensor = stack.pop()
        if _has(seen, tensor):
            continue
        seen.append(tensor)
        if _is_placeholder(tensor):
            if not _has(inputs, tensor):
                inputs.append(tensor)
        else:
            _check_reduction(tensor)
            stack.extend(reversed(list(tensor.op.input_tensors)))
    return inputs, outputs


def _check_reduction(tensor: te.Tensor) -> None:
    bodies = tensor.op.body if isinstance(tensor.op, te.ComputeOp) else ()
    for body in bodies:
        condition = getattr(body, "condition", None)
        if isinstance(body, tirx.Reduce) and not (
            isinstance(condition, tirx.IntImm) and condition.value
        ):
            raise ValueError(
                f"the reduction '{tensor.op.name}' has where={condition}, which TVM leaves out "
                "without a word. Choose inside the reduction: te.if_then_else(condition, value, 0)."
            )


def placeholders(
    names: Sequence[str], dtypes: Sequence[str], shapes: Sequence[Sequence[int | str | None]]
) -> list[te.Tensor]:
    """Return TE placeholders.

    Parameters
    ----------
    names, dtypes : sequence of str
        Of each tensor.
    shapes : sequence of sequence of int, str or None
        Of each tensor: integers, symbols and expressions of symbols as in signatures, or None for a
        dimension of any size.
    """
    sizes: dict[str, tirx.Var] = {}

    def size_of(symbol: str) -> tirx.Var:
        if symbol not in sizes:
            sizes[symbol] = te.var(symbol)
        return sizes[symbol]

    tensors = []
    for name, dtype, shape in zip(names, dtypes, shapes, strict=True):
        if dtype not in DTYPES:
            raise ValueError(f"'{name}' has dtype {dtype}; possible are {', '.join(DTYPES)}")
        dims = [
            te.var(f"{name}_{axis}") if dim is None else fold(dim, size_of, _FOLD)
            for axis, dim in enumerate(shape)
        ]
        tensors.append(te.placeholder(dims, dtype, name=name))
    return tensors


_FOLD = {
    "+": lambda a, b: a + b,
    "-": lambda a, b=None: -a if b is None else a - b,
    "*": lambda a, b: a * b,
    "//": tirx.floordiv,
    "%": tirx.floormod,
    "min": lambda *values: functools.reduce(tirx.min, values),
    "max": lambda *values: functools.reduce(tirx.max, values),
}


def check_results(results: Any, inputs: list[te.Tensor]) -> list[te.Tensor]:
    """Return what a function on TE tensors returned as tensors that can be outputs.

    Raises
    ------
    TypeError
        If it is no TE tensor, or tuple of those.
    """
    tensors = [results] if isinstance(results, te.Tensor) else results
    if not isinstance(tensors, (list, tuple, tvm_ffi.Array)) or not tensors:
        raise TypeError(f"it must return a te.Tensor or a tuple of those, returned {results!r}")
    outputs: list[te.Tensor] = []
    for tensor in tensors:
        if not isinstance(tensor, te.Tensor):
            raise TypeError(f"it must return TE tensors, returned {tensor!r} among them")
        if _has((*inputs, *outputs), tensor):
            # An output has memory of its own.
            tensor = _copy(tensor)
        outputs.append(tensor)
    return outputs


def _has(tensors: Sequence[te.Tensor], tensor: te.Tensor) -> bool:
    return any(tensor.same_as(other) for other in tensors)


def _copy(tensor: te.Tensor) -> te.Tensor:
    read = (lambda *index: tensor(*index)) if tensor.shape else (lambda: tensor())
    return te.compute(tensor.shape, read, name=f"{tensor.op.name}_copy")


def _is_placeholder(tensor: te.Tensor) -> bool:
    return isinstance(tensor.op, te.PlaceholderOp)


def signature_of(function: tirx.PrimFunc) -> Signature:
    """Return the signature of a function, see `describe`."""
    signature, _ = describe(function)
    return signature


def describe(function: tirx.PrimFunc) -> tuple[Signature, tuple[str, ...]]:
    """Return the signature of a function and the order of its arguments.

    Returns
    -------
    signature : Signature
        The tensors that the function writes are its outputs.
    arg_spec : tuple of str
        As in `Module.func`, one entry for each parameter.

    Raises
    ------
    ValueError
        If no signature can describe the function, or an op cannot call it.
    """
    written = outputs_of(function)
    names = _Names()
    arguments = []
    outputs = []
    arg_spec = []
    for parameter in function.params:
        name = names.of(parameter)
        if not is_tensor(parameter):
            arg_spec.append(f"attrs.{name}")
            arguments.append(Argument("attr", name, _attr_type(parameter)))
            continue
        dtype = str(parameter.dtype)
        if dtype not in DTYPES:
            raise ValueError(
                f"its argument '{name}' has dtype {dtype}; an op can take {', '.join(DTYPES)}"
            )
        shape = tuple(_dimension(size, names) for size in parameter.shape)
        if any(parameter.same_as(other) for other in written):
            arg_spec.append(f"rets.{len(outputs)}")
            outputs.append(Argument("output", name, dtype, shape))
        else:
            inputs = sum(argument.role == "input" for argument in arguments)
            arg_spec.append(f"args.{inputs}")
            arguments.append(Argument("input", name, dtype, shape))
    if not outputs:
        raise ValueError("it writes none of its arguments; an op needs an output")
    update = find_update(function, written)
    if update is not None:
        tensor, read = update
        raise ValueError(_update_message(tensor, names.of(tensor), read))
    _check_sizes(arguments, outputs)
    return Signature((*arguments, *outputs)), tuple(arg_spec)


def _update_message(tensor: tirx.Var, name: str, read: str) -> str:
    shape = ", ".join(map(str, tensor.shape)) + ("," if len(tensor.shape) == 1 else "")
    line = f'T.match_buffer({{0}}_handle, ({shape}), "{tensor.dtype}")'
    return (
        f"it changes '{name}' in place, and an op must leave its inputs as they are: it reads "
        f"{read} before it writes '{name}', and an output has no contents when the function "
        f"begins. Read one tensor and write another, which becomes the op's output:\n"
        f"    {name} = {line.format(name)}  # only read\n"
        f"    new_{name} = {line.format('new_' + name)}  # only written"
    )


def _check_sizes(arguments: Sequence[Argument], outputs: Sequence[Argument]) -> None:
    """Check that the sizes of outputs follow from those of inputs."""
    known = {size for argument in arguments for size in argument.shape or ()}
    for output in outputs:
        for size in output.shape:
            if isinstance(size, str) and _NAME.fullmatch(size) and size not in known:
                raise ValueError(
                    f"symbol '{size}' in '{output}' is no dimension of any input; an input must "
                    f"have it as a whole dimension. If the function changes '{output.name}' in "
                    f"place, let it read one tensor, '{output.name}', and write another, "
                    f"'new_{output.name}', all of it: an op leaves its inputs as they are"
                )


def _attr_type(parameter: tirx.Var) -> str:
    dtype = str(parameter.ty)
    if "bool" in dtype:
        return "bool"
    if "int" in dtype:
        return "int"
    if "float" in dtype:
        return "float"
    raise ValueError(f"its argument '{parameter.name}' is a {dtype}; expected a tensor or a number")


def widen_attrs(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Let `function` take its integer attrs in 64 bits, and refuse those that it has no room for.

    TVM's code drops the upper bits of what it is given.
    """
    parameters = []
    wide: dict[tirx.Var, tirx.Var] = {}
    conditions = []
    for parameter in function.params:
        dtype = "" if is_tensor(parameter) else str(parameter.ty)
        if "int" in dtype and dtype != "int64":
            wide[parameter] = tirx.Var(parameter.name, "int64")
            least, most = _range_of(dtype)
            condition = tirx.all(wide[parameter] >= least, wide[parameter] <= most)
            message = f"attr '{parameter.name}' must fit in {dtype}: from {least} to {most}"
            conditions.append((condition, message))
        parameters.append(wide.get(parameter, parameter))

    def see(variable: tirx.Var, mutator: Any) -> Any:
        return wide[variable].astype(str(variable.ty)) if variable in wide else variable

    if not wide:
        return function
    body = structural_mutate(function.body, [(tirx.Var, see)])
    widened = tirx.PrimFunc(parameters, body, function.ret_type, attrs=function.attrs)
    return require(widened, conditions)


def _range_of(dtype: str) -> tuple[int, int]:
    """Return the least and the largest value of an integer dtype that 64 bits with a sign hold."""
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    if dtype.startswith("u"):
        return 0, 2 ** min(bits, 63) - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


class _Names:
    """Different names for different variables, whatever their author called them."""

    def __init__(self) -> None:
        self._names: list[tuple[tirx.Var, str]] = []

    def of(self, variable: tirx.Var) -> str:
        for known, name in self._names:
            if known.same_as(variable):
                return name
        base = re.sub(r"\W", "_", variable.name, flags=re.ASCII)
        if _NAME.fullmatch(base) is None or base in _RESERVED:
            base = f"_{base}"
        taken = {name for _, name in self._names}
        name, count = base, 0
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        self._names.append((variable, name))
        return name


def _dimension(size: Any, names: _Names) -> int | str:
    if isinstance(size, int):
        return size
    if isinstance(size, tirx.IntImm):
        return int(size.value)
    return _text(size, names)


def _text(expression: Any, names: _Names) -> str:
    if isinstance(expression, tirx.IntImm):
        return str(expression.value)
    if isinstance(expression, tirx.Var):
        return names.of(expression)
    if isinstance(expression, tirx.Cast):
        return _text(expression.value, names)
    operator = _OPERATORS.get(type(expression))
    if operator is not None:
        return f"({_text(expression.a, names)}{operator}{_text(expression.b, names)})"
    for kind, function in ((tirx.Min, "min"), (tirx.Max, "max")):
        if isinstance(expression, kind):
            return f"{function}({_text(expression.a, names)}, {_text(expression.b, names)})"
    raise ValueError(
        f"a signature cannot say the size {expression}; it can say integers, symbols, and + - * // "
        "% min max of those"
    )
