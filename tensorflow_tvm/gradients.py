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
"""Gradients: which function gives one, what it is called with, and the op's registered gradient.

The op says in its attribute ``callee`` which function of which library gives its gradient. So the
gradient is where the op is: in a tape, in a graph, in a saved model that another process loads.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tensorflow_tvm import gradient_key
from tensorflow_tvm.op_library import ops
from tensorflow_tvm.signature import ANY_DTYPE, Argument, Signature

# Inputs, outputs, gradients of the floating-point outputs, and attrs, to gradients of the inputs.
PythonGradient = Callable[[Sequence[Any], Sequence[Any], Sequence[Any], dict[str, Any]], Any]

_KINDS = ("args", "rets", "grads")
_ENTRY = re.compile(r"(args|rets|grads)(?:\.(\d+))?")
_WAYS = (
    "Give a TVM function for it (gradient= of Module.func, tftvm.build or tftvm.op; for TE "
    'functions gradient="auto" derives one), a Python function (Function.with_gradient), or a '
    "TensorFlow function that computes the same (gradient_from=)"
)


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Which function gives a function's gradient, and what it is called with.

    Attributes
    ----------
    function : str, Function or callable
        The gradient: a function of the same library by name, a `Function` of any library or, for
        `tensorflow_tvm.op`, a Python function on TE tensors. It returns the gradients of the
        inputs in `wrt`, each shaped like its input.
    takes : sequence of str, optional
        What it is called with, in order: ``"args"`` stands for all inputs, ``"rets"`` for all
        outputs, ``"grads"`` for the gradients of all floating-point outputs; ``"args.0"``,
        ``"rets.0"`` and ``"grads.0"`` for those of one input or output. By default all three.
    wrt : sequence of int, optional
        The inputs that it returns gradients of, by index. By default all of floating point. The
        others have none.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> tftvm.Gradient("scale_grad", takes=["args.1", "grads"], wrt=[0])
    Gradient(function='scale_grad', takes=('args.1', 'grads'), wrt=(0,))
    """

    function: Any
    takes: Sequence[str] = _KINDS
    wrt: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.takes, str) or not isinstance(self.takes, Sequence):
            raise TypeError(
                f"takes must be a list of 'args', 'rets' and 'grads', given {self.takes!r}."
            )
        for entry in self.takes:
            if not isinstance(entry, str) or _ENTRY.fullmatch(entry) is None:
                raise ValueError(
                    f"takes has {entry!r}; expected 'args', 'rets' and 'grads', for all inputs, "
                    "outputs and gradients of outputs, or 'args.0' and the like for one."
                )
        object.__setattr__(self, "takes", tuple(self.takes))
        if self.wrt is None:
            return
        wrt = tuple(self.wrt) if isinstance(self.wrt, Sequence) else (self.wrt,)
        for index in wrt:
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise ValueError(f"wrt must be a list of inputs by index, given {self.wrt!r}.")
        if not wrt or len(set(wrt)) < len(wrt):
            raise ValueError(f"wrt must list at least one input, each once, given {self.wrt!r}.")
        object.__setattr__(self, "wrt", wrt)

    def arguments(
        self, inputs: Sequence[Any], outputs: Sequence[Any], floating: Sequence[bool]
    ) -> list[tuple[str, int]]:
        """Return what the gradient takes, each by kind and index.

        Parameters
        ----------
        inputs, outputs : sequence
            Of the function itself; only their number counts.
        floating : sequence of bool
            Which outputs are of floating point, and so have gradients.

        Raises
        ------
        ValueError
            If there is no such input or output.
        """
        of_kind = {
            "args": range(len(inputs)),
            "rets": range(len(outputs)),
            "grads": [i for i, is_floating in enumerate(floating) if is_floating],
        }
        taken: list[tuple[str, int]] = []
        for entry in self.takes:
            kind, index = _ENTRY.fullmatch(entry).groups()
            if index is None:
                taken.extend((kind, i) for i in of_kind[kind])
            elif int(index) in of_kind[kind]:
                taken.append((kind, int(index)))
            else:
                raise ValueError(
                    f"takes has '{entry}', and the function has {len(inputs)} inputs and "
                    f"{len(outputs)} outputs, of which {sum(floating)} are of floating point."
                )
        return taken

    def differentiated(self, dtypes: Sequence[tf.DType]) -> tuple[int, ...]:
        """Return the inputs that have gradients, by index, given all inputs' dtypes."""
        if self.wrt is None:
            return tuple(i for i, dtype in enumerate(dtypes) if dtype.is_floating)
        for index in self.wrt:
            if index >= len(dtypes):
                raise ValueError(f"wrt has {index}, and the function has {len(dtypes)} inputs.")
            if not dtypes[index].is_floating:
                raise ValueError(
                    f"wrt has {index}, and input {index} is {dtypes[index].name}; only inputs of "
                    "floating point have gradients."
                )
        return tuple(self.wrt)


def parse(gradient: Any, context: str) -> Gradient | None:
    """Return what the caller means by ``gradient=``."""
    if gradient is None or isinstance(gradient, Gradient):
        return gradient
    if isinstance(gradient, str) or hasattr(gradient, "to_callee"):
        return Gradient(gradient)
    raise TypeError(
        f"{context}: gradient must be the name of a function, a tensorflow_tvm.Function or a "
        f"tensorflow_tvm.Gradient, given {gradient!r}. For a Python function use with_gradient."
    )


def check(
    gradient: Gradient, ours: Signature | None, theirs: Signature | None, context: str, name: str
) -> None:
    """Check that the function `name` can be the gradient of one, as far as signatures say.

    Parameters
    ----------
    gradient
        How it is called.
    ours, theirs
        The signatures of the function itself and of its gradient.
    context, name
        What messages call the two.

    Raises
    ------
    ValueError
        If it cannot.
    """
    if ours is None:
        return
    dtypes = [_dtype(argument) for argument in ours.inputs]
    floating = [_dtype(argument).is_floating for argument in ours.outputs]
    try:
        taken = gradient.arguments(ours.inputs, ours.outputs, floating)
        given = gradient.differentiated(dtypes)
    except ValueError as error:
        raise ValueError(f"{context}: gradient '{name}': {error} It is {ours}.") from None
    if theirs is None:
        return
    tensors = {"args": ours.inputs, "rets": ours.outputs, "grads": ours.outputs}
    expected = [tensors[kind][i] for kind, i in taken]
    names = [f"{'gradient of ' if kind == 'grads' else ''}{tensors[kind][i]}" for kind, i in taken]
    known = {attr.name: attr.dtype for attr in ours.attrs}
    differentiated = ", ".join(ours.inputs[i].name for i in given) or "nothing"
    for what, wanted, found in (
        (f"takes {', '.join(names)}", expected, theirs.inputs),
        (
            f"returns the gradients of {differentiated}",
            [ours.inputs[i] for i in given],
            theirs.outputs,
        ),
    ):
        if len(wanted) != len(found) or not all(map(_may_be, wanted, found)):
            raise ValueError(
                f"{context}: its gradient '{name}' must be a function that {what}, and is "
                f"{theirs}. If it takes other things or differentiates fewer inputs, say so: "
                "tftvm.Gradient(…, takes=['args', 'rets', 'grads'], wrt=[0])."
            )
    for attr in theirs.attrs:
        if known.get(attr.name) != attr.dtype:
            raise ValueError(
                f"{context}: its gradient '{name}' takes the attr '{attr}', which the function "
                f"itself has not: {ours}. A gradient's attrs are those of its function."
            )


def _dtype(argument: Argument) -> tf.DType:
    # What is not known may be of floating point.
    return tf.float32 if argument.dtype == ANY_DTYPE else tf.as_dtype(argument.dtype)


def _may_be(expected: Argument, found: Argument) -> bool:
    """Whether a tensor like `expected` can be passed, or returned, as `found`."""
    if ANY_DTYPE not in (expected.dtype, found.dtype) and expected.dtype != found.dtype:
        return False
    if expected.shape is None or found.shape is None:
        return True
    return len(expected.shape) == len(found.shape) and not any(
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(expected.shape, found.shape, strict=True)
    )


def to_callee(gradient: Gradient, libraries: list[Any]) -> dict[str, Any]:
    """Return what the op's attribute ``callee`` says of its gradient.

    Parameters
    ----------
    gradient
        Its `function` is a `Function`.
    libraries : list of Library
        Those that the op carries, its own first. Those that the gradient needs are added.
    """
    needed = gradient.function.libraries
    libraries.extend(library for library in needed if library not in libraries)
    said: dict[str, Any] = {
        "callee": gradient.function.to_callee(),
        "libraries": [libraries.index(library) for library in needed],
    }
    if gradient.function.stateful:
        said["stateful"] = True
    if not gradient.function.knows_shapes:
        said["shaped_like_inputs"] = True
    if gradient.takes != _KINDS:
        said["takes"] = gradient.takes
    if gradient.wrt is not None:
        said["wrt"] = gradient.wrt
    return said


@tf.RegisterGradient("TVM>DSOOp")
@tf.RegisterGradient("TVM>StatefulDSOOp")
def _gradient(op: tf.Operation, *output_gradients: Any) -> list[tf.Tensor | None]:
    callee = gradient_key.read_callee(op.get_attr("callee"))
    what = callee.what
    name = getattr(op, "name", None)  # an eager op has none
    floating = [output.dtype.is_floating for output in op.outputs]
    if not any(floating):
        return [None] * len(op.inputs)
    if callee.gradient is None:
        node = f" (op '{name}')" if name else ""
        if callee.leaves_out_inputs:
            raise LookupError(
                f"{what}{node} was called without all of its optional inputs, and a TVM function "
                "cannot be the gradient of such a call. Pass them; or give a Python function "
                "(Function.with_gradient) or a TensorFlow function that computes the same "
                "(gradient_from=), which are called with None for them. Or call tf.stop_gradient "
                "on it."
            )
        raise LookupError(f"{what}{node} has no gradient. {_WAYS}. Or call tf.stop_gradient on it.")
    library_count = op.get_attr("NL")
    count = len(op.inputs) - library_count - op.get_attr("NS")
    inputs, libraries = op.inputs[:count], op.inputs[count : count + library_count]
    outputs = op.outputs
    # An eager op holds no library; its outputs do, see `Function`.
    held = getattr(outputs[0], "_tvm_libraries", libraries)
    said = gradient_key.read_gradient(callee, len(held) if held else 2**31)
    try:
        gradient = Gradient(None, _KINDS if said.takes is None else said.takes, said.wrt)
        taken = gradient.arguments(inputs, outputs, floating)
        wrt = gradient.differentiated([tensor.dtype for tensor in inputs])
    except ValueError as error:
        raise ValueError(f"{what}: its gradient: {error}") from None
    if not wrt:
        return [None] * len(op.inputs)

    def take(kind: str, i: int) -> tf.Tensor:
        if kind == "grads":
            return _dense(output_gradients[i], outputs[i])
        return (inputs if kind == "args" else outputs)[i]

    needed = [held[i] for i in said.libraries] if held else []
    results = _call(
        said,
        [take(kind, i) for kind, i in taken],
        needed,
        [inputs[i] for i in wrt],
        callee.attrs,
        outputs[0].device,
        what,
    )
    if held is not libraries:  # an outer tape may be all that is left of the function
        results[0]._tvm_libraries = needed
    gradients: list[tf.Tensor | None] = [None] * len(op.inputs)
    for i, result in zip(wrt, results, strict=True):
        gradients[i] = result
    return gradients


def _call(
    said: gradient_key.GradientKey,
    arguments: list[tf.Tensor],
    libraries: list[Any],
    like: list[tf.Tensor],
    attrs: dict[str, Any],
    device: str,
    what: str,
) -> list[tf.Tensor]:
    """Call a gradient: its results are of the shapes and dtypes of `like`.

    `libraries` are tensors; eagerly objects of `Library`, its own first.
    """
    callee = dict(said.callee)
    if said.attr_names:
        callee["attrs"] = {name: attrs[name] for name in said.attr_names if name in attrs}
    shapes = []
    if said.shaped_like_inputs:
        shapes = [tf.shape(tensor, out_type=tf.int64) for tensor in like]
    make = ops.tvm_stateful_dso_op if said.stateful else ops.tvm_dso_op

    def call(libraries: list[tf.Tensor]) -> list[tf.Tensor]:
        return make(
            arguments,
            libraries,
            shapes,
            [tensor.dtype.as_datatype_enum for tensor in like],
            json.dumps(callee, separators=(",", ":")),
            None if tf.executing_eagerly() else node_name(said.function),
        )

    # Where the function itself ran, for its library is for that device.
    with tf.device(device or None):
        if libraries and not tf.is_tensor(libraries[0]):
            results = libraries[0].tensors.call_eagerly(call, what)
        else:
            results = call(libraries)
    for result, tensor in zip(results, like, strict=True):
        if not result.shape.is_compatible_with(tensor.shape):
            raise ValueError(
                f"{what}: its gradient '{said.function}' returned shape {result.shape} for an "
                f"input of shape {tensor.shape}; expected the input's shape."
            )
        if not tf.executing_eagerly():
            result.set_shape(tensor.shape)
    return results


def _dense(gradient: Any, output: tf.Tensor) -> tf.Tensor:
    """Return the gradient of an output as a tensor of its shape.

    TensorFlow has None for an output that is not used, and IndexedSlices for one that is gathered.
    """
    if gradient is None:
        return tf.zeros_like(output)
    if not isinstance(gradient, tf.IndexedSlices):
        return tf.convert_to_tensor(gradient)
    dense = tf.math.unsorted_segment_sum(gradient.values, gradient.indices, tf.shape(output)[0])
    if not tf.executing_eagerly():
        dense.set_shape(output.shape)
    return dense


def by_input(
    gradient: PythonGradient,
    inputs: Sequence[tf.Tensor],
    outputs: Any,
    dys: Sequence[tf.Tensor | tf.IndexedSlices | None],
    attrs: dict[str, Any],
    context: str,
) -> list[tf.Tensor | tf.IndexedSlices | None]:
    """Call a gradient in Python, and return one result for each input.

    It is called with tensors. IndexedSlices that it returns are passed on, as TensorFlow's ops do
    for large tables of which a call reads a few rows.

    Raises
    ------
    ValueError
        If it returns too few or too many, or one that is not shaped like its input.
    """
    outputs = tf.nest.flatten(outputs)
    dys = [
        _dense(dy, output)
        for dy, output in zip(dys, outputs, strict=True)
        if output.dtype.is_floating
    ]
    try:
        given = gradient(inputs, outputs, dys, attrs)
    except TypeError as error:
        raise TypeError(
            f"{context}: its gradient in Python, called with {len(inputs)} inputs, {len(outputs)} "
            f"outputs and {len(dys)} gradients of outputs, failed: {error}"
        ) from error
    given = list(given) if isinstance(given, (list, tuple)) else [given]
    floating = [i for i, tensor in enumerate(inputs) if tensor.dtype.is_floating]
    results: list[tf.Tensor | tf.IndexedSlices | None] = [None] * len(inputs)
    if len(given) not in (len(inputs), len(floating)):
        raise ValueError(
            f"{context}: its gradient returned {len(given)} values; expected one for each of its "
            f"{len(inputs)} inputs, None where there is none."
        )
    of = range(len(inputs)) if len(given) == len(inputs) else floating
    for i, value in zip(of, given, strict=True):
        if value is None or i not in floating:
            continue
        if isinstance(value, tf.IndexedSlices):
            indices = tf.convert_to_tensor(value.indices)
            shape = value.dense_shape
            if shape is None:
                shape = tf.shape(inputs[i], out_type=indices.dtype)
            shape = tf.convert_to_tensor(shape)
            value = tf.IndexedSlices(tf.convert_to_tensor(value.values), indices, shape)
        else:
            is_tensor = isinstance(value, (tf.Tensor, tf.Variable))
            value = tf.convert_to_tensor(value, None if is_tensor else inputs[i].dtype)
        if value.dtype != inputs[i].dtype:
            raise TypeError(
                f"{context}: its gradient returned {value.dtype.name} for input {i}, which is "
                f"{inputs[i].dtype.name}; expected the input's dtype: tf.cast it."
            )
        shapes = [value.shape]
        if isinstance(value, tf.IndexedSlices):
            shapes.append(tf.TensorShape([None]).concatenate(value.values.shape[1:]))
        for shape in shapes:
            if not shape.is_compatible_with(inputs[i].shape):
                raise ValueError(
                    f"{context}: its gradient returned shape {shape} for input {i}, of shape "
                    f"{inputs[i].shape}; expected the input's shape."
                )
        results[i] = value
    return results


def without_inputs(
    gradient: PythonGradient, left_out: Sequence[int], input_count: int
) -> PythonGradient:
    """Return a gradient in Python for calls that leave out these inputs: it has None for them."""

    def call(inputs: Sequence[Any], outputs: Any, dys: Any, attrs: dict[str, Any]) -> Any:
        tensors = iter(inputs)
        every = [None if i in left_out else next(tensors) for i in range(input_count)]
        given = gradient(every, outputs, dys, attrs)
        if not isinstance(given, (list, tuple)):
            return given
        floating = [i for i, x in enumerate(every) if x is None or x.dtype.is_floating]
        places = floating if len(given) == len(floating) else range(input_count)
        if len(given) != len(places):
            return given
        values = dict(zip(places, given, strict=True))
        return [values.get(i) for i in range(input_count) if i not in left_out]

    return call


def of_reference(
    reference: Callable[..., Any],
    inputs: Sequence[tf.Tensor | None],
    dys: Sequence[tf.Tensor],
    attrs: dict[str, Any],
    context: str,
) -> list[tf.Tensor | tf.IndexedSlices | None]:
    """Differentiate a TensorFlow function with respect to the inputs that are not None."""
    # Without what Keras hangs on tensors: of probabilities that have their logits with them, its
    # losses differentiate those.
    inputs = [None if tensor is None else tf.identity(tensor) for tensor in inputs]
    given = [tensor for tensor in inputs if tensor is not None]
    with tf.GradientTape() as tape:
        for tensor in given:
            if tensor.dtype.is_floating:
                tape.watch(tensor)
        outputs = tf.nest.flatten(reference(*inputs, **attrs))
    outputs = [output for output in map(tf.convert_to_tensor, outputs) if output.dtype.is_floating]
    if len(outputs) != len(dys):
        raise ValueError(
            f"{context}: gradient_from= returned {len(outputs)} floating-point outputs; expected "
            f"{len(dys)}, as the function itself has."
        )
    for i, (output, dy) in enumerate(zip(outputs, dys, strict=True)):
        if output.dtype != dy.dtype or not output.shape.is_compatible_with(dy.shape):
            raise ValueError(
                f"{context}: gradient_from= returned {output.dtype.name}{output.shape} as output "
                f"{i}; expected {dy.dtype.name}{dy.shape}, as the function itself has. It must "
                "compute the same."
            )
    return tape.gradient(outputs, given, output_gradients=list(dys))


def node_name(function: str) -> str:
    """Return a name for a node that calls `function`: by default it would be the op's."""
    return re.sub(r"[^A-Za-z0-9.]", "_", function).lstrip("_") or "tvm"
