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
"""Gradients of functions that are built: derived, written on TE tensors, or named.

Needs apache-tvm. What comes out is one more function for each gradient, and which function's
gradient it is. The library then says so itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tvm
from tvm import te, tirx

from tensorflow_tvm import gradients, prim_functions, relax_functions
from tensorflow_tvm.autodiff import differentiate
from tensorflow_tvm.gradients import Gradient

_AUTO = "auto"


def with_gradients(
    obj: Any, name: str | None, gradient: Any
) -> tuple[dict[str, tirx.PrimFunc], dict[str, Gradient]]:
    """Return the functions that `obj` stands for, and which of them are gradients of which.

    Parameters
    ----------
    obj, name, gradient
        See `tensorflow_tvm.build`.

    Returns
    -------
    functions : dict of str to tirx.PrimFunc
        The gradient of a function ``f`` that has none yet is called ``f_grad``.
    links : dict of str to Gradient
        By the name of the function whose gradient it is; `Gradient.function` is a name.

    Raises
    ------
    ValueError, TypeError
        If there is no such function, or its gradient cannot be derived.
    """
    functions = prim_functions.collect(obj, name)
    sources = dict(obj) if isinstance(obj, Mapping) else dict.fromkeys(functions, obj)
    wanted = dict(gradient) if isinstance(gradient, Mapping) else dict.fromkeys(functions, gradient)
    links: dict[str, Gradient] = {}
    while wanted:
        # A gradient's own gradient comes after it.
        key = next((key for key in wanted if key in functions), None)
        if key is None:
            raise ValueError(
                f"gradient= is for function '{next(iter(wanted))}', and there is none. The "
                f"functions are {', '.join(functions)}."
            )
        link = _parse(wanted.pop(key), key)
        if link is None:
            continue
        verb = "derive" if link.function == _AUTO else "build"
        what = f"Cannot {verb} the gradient of TVM function '{key}'"
        if link.function == _AUTO or callable(link.function):
            new = f"{key}_grad"
            if new in functions:
                raise ValueError(f"{what}: there is a function '{new}' already; call it otherwise.")
            if link.function == _AUTO and not _has_gradient(functions[key]):
                continue
            try:
                sources[new], link = _make(sources[key], key, link)
                functions[new] = _one(sources[new])
            except ValueError as error:
                raise ValueError(f"{what}: {error}") from None
            link = dataclasses.replace(link, function=new)
        links[key] = link
    _check(functions, links)
    return functions, links


def _parse(value: Any, key: str) -> Gradient | None:
    """Return what the caller says of one function's gradient."""
    if value is None:
        return None
    link = value if isinstance(value, Gradient) else Gradient(value)
    if not isinstance(link.function, str) and (
        not callable(link.function) or hasattr(link.function, "to_callee")
    ):
        raise TypeError(
            f"gradient= of '{key}' must be 'auto', the name of another function, a Python function "
            f"on TE tensors, or a tensorflow_tvm.Gradient of one of those, given {value!r}."
        )
    if link.function == _AUTO and link.takes != Gradient(_AUTO).takes:
        raise ValueError(
            f"gradient= of '{key}' says takes={list(link.takes)}, and a derived gradient takes "
            "what it needs. Leave takes= out."
        )
    return link


def _has_gradient(function: tirx.PrimFunc) -> bool:
    """Whether a function has inputs and outputs of floating point: others have no gradient."""
    signature = prim_functions.signature_of(function)
    return all(
        any(tf.as_dtype(argument.dtype).is_floating for argument in arguments)
        for arguments in (signature.inputs, signature.outputs)
    )


def _one(source: Any) -> tirx.PrimFunc:
    relaxed = relax_functions.find(source, "")
    if relaxed is not None:
        return relax_functions.to_prim_func(*relaxed)
    return prim_functions.from_tensors(source)


def _make(source: Any, name: str, link: Gradient) -> tuple[Any, Gradient]:
    """Return the gradient of the function `name`, for TVM to build, and what it takes."""
    relaxed = relax_functions.find(source, name)
    if relaxed is not None and link.function == _AUTO:
        function, module = relaxed
        function, wrt = relax_functions.differentiate(function, link.wrt)
        others = {v: f for v, f in module.functions.items() if isinstance(f, tirx.PrimFunc)}
        gradient = tvm.IRModule({**others, tvm.ir.GlobalVar(f"{name}_grad"): function})
        return gradient, Gradient(None, ("args", "grads"), wrt)
    tensors = [source] if isinstance(source, te.Tensor) else source
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, te.Tensor) for t in tensors):
        raise ValueError(
            "it is a PrimFunc, and only functions of TE tensors and Relax "
            "functions can be looked into. Name a function for it: gradient={'f': 'f_grad'}."
        )
    make = _derive if link.function == _AUTO else _write
    return make(list(tensors), link)


def _derive(tensors: list[te.Tensor], link: Gradient) -> tuple[list[te.Tensor], Gradient]:
    inputs, outputs = prim_functions.split(tensors)
    derivative = differentiate(inputs, outputs)
    results = list(derivative.input_gradients)
    wrt = tuple(derivative.input_indices)
    if link.wrt is not None:
        missing = [i for i in link.wrt if i not in wrt]
        if missing:
            raise ValueError(f"wrt has {missing[0]}, which is no input of floating point.")
        results = [results[wrt.index(i)] for i in link.wrt]
    taken = [*inputs, *derivative.grad_placeholders]
    return [*taken, *prim_functions.check_results(results, taken)], Gradient(
        None, ("args", "grads"), link.wrt
    )


def _write(tensors: list[te.Tensor], link: Gradient) -> tuple[list[te.Tensor], Gradient]:
    """Run a Python function on TE tensors that gives the gradient."""
    inputs, outputs = prim_functions.split(tensors)
    floating = [tf.as_dtype(output.dtype).is_floating for output in outputs]
    names = {"rets": "{}", "grads": "grad_{}"}
    taken = []
    for kind, i in link.arguments(inputs, outputs, floating):
        like = (inputs if kind == "args" else outputs)[i]
        if kind == "args":
            taken.append(like)
        else:
            label = names[kind].format(like.op.name)
            taken.append(te.placeholder(like.shape, like.dtype, name=label))
    results = link.function(*taken)
    return [*taken, *prim_functions.check_results(results, taken)], link


def _check(functions: Mapping[str, tirx.PrimFunc], links: Mapping[str, Gradient]) -> None:
    for key, link in links.items():
        context = f"TVM function '{key}'"
        if link.function not in functions:
            raise ValueError(
                f"{context}: its gradient is said to be '{link.function}', and the functions are "
                f"{', '.join(functions)}."
            )
        seen = [key]
        while (following := links.get(seen[-1])) is not None:
            if following.function in seen:
                raise ValueError(f"{context} is by its gradients' gradients its own gradient.")
            seen.append(following.function)
        ours, theirs = (prim_functions.signature_of(functions[f]) for f in (key, link.function))
        gradients.check(link, ours, theirs, context, link.function)
