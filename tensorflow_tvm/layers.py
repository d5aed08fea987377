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
"""Keras layers that call TVM functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tensorflow_tvm import layer_shapes, serialization
from tensorflow_tvm.function import Function
from tensorflow_tvm.layer_weight import Weight
from tensorflow_tvm.op import Op
from tensorflow_tvm.signature import ANY_DTYPE, Argument

__all__ = ["TVMLayer", "Weight"]

# Layers of others, losses and the like can have functions and ops in their configs, too.
keras.saving.register_keras_serializable("tensorflow_tvm")(Function)
keras.saving.register_keras_serializable("tensorflow_tvm")(Op)


@keras.saving.register_keras_serializable("tensorflow_tvm")
class TVMLayer(keras.layers.Layer):
    """A Keras layer that calls a TVM function on its inputs and its weights.

    It takes one tensor, or a list or a dict of several, and returns what the function does. Floats
    are cast to what the function's signature says, or to the layer's compute dtype where that says
    nothing; what comes out is cast to the compute dtype.

    A saved layer holds the function's library. **A library is a program**, and loading such a
    model runs it, with Keras's `safe_mode` as well: load only what you trust.

    Parameters
    ----------
    function : Function or Op
        What to call. To be trained, it needs a gradient.
    weights : sequence of str or Weight, optional
        What the function takes besides the inputs: those of its inputs that are called so, else
        those after the layer's inputs. A string is a `Weight` of that name.
    sizes : dict of str to int, optional
        Sizes of the signature's symbols that do not follow from the inputs' shapes.
    attrs : dict, optional
        Values for the function's attrs.
    supports_masking : bool, optional
        Whether the layer passes masks on: each output gets the mask of the first input that has
        one. Otherwise Keras warns that a mask is lost.
    **kwargs
        For `keras.layers.Layer`: name, dtype, trainable, activity_regularizer.

    Raises
    ------
    TypeError, ValueError
        If the function cannot be called so.
    RuntimeError
        If Keras runs on another backend than TensorFlow.

    Examples
    --------
    >>> import tensorflow as tf
    >>> import tensorflow_tvm as tftvm
    >>> from tvm import te
    >>> @tftvm.op(shapes=["n d", "d"])
    ... def scale(x, w):
    ...     return te.compute(x.shape, lambda i, j: x[i, j] * w[j])
    >>> layer = tftvm.layers.TVMLayer(scale, weights=[tftvm.layers.Weight("w", initializer="ones")])
    >>> layer(tf.ones([2, 3])).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        function: Function | Op,
        weights: Sequence[str | Weight] = (),
        sizes: Mapping[str, int] | None = None,
        attrs: Mapping[str, Any] | None = None,
        supports_masking: bool = False,
        **kwargs: Any,
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                f"TVMLayer needs Keras's TensorFlow backend, and Keras runs on "
                f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow in the environment."
            )
        # What is cast, and to what, follows from the function's signature.
        super().__init__(autocast=False, **kwargs)
        context = f"Layer '{self.name}'"
        if not isinstance(function, (Function, Op)):
            raise TypeError(
                f"{context}: expected a tensorflow_tvm.Function or a tensorflow_tvm.op, given "
                f"{function!r}."
            )
        if isinstance(weights, (str, Weight)) or not isinstance(weights, Sequence):
            raise TypeError(f"{context}: weights must be a list, given {weights!r}.")
        if not isinstance(supports_masking, bool):
            raise TypeError(
                f"{context}: supports_masking must be True or False, given {supports_masking!r}."
            )
        self.function = function
        # Keras's own rule for subclasses that have a compute_mask of their own.
        self.supports_masking = (
            supports_masking or type(self).compute_mask is not TVMLayer.compute_mask
        )
        self.supports_jit = function.compiles_under_xla
        if attrs is not None and not isinstance(attrs, Mapping):
            raise TypeError(
                f"{context}: attrs must be a dict from names to values, given {attrs!r}."
            )
        # Tuples, which Keras does not wrap.
        self._described = tuple(w if isinstance(w, Weight) else Weight(w) for w in weights)
        self._attrs = tuple((attrs or {}).items())
        self._arguments = _arguments_of(function)
        self._places = layer_shapes.split(
            self._arguments, [weight.name for weight in self._described], context
        )
        shapes = [argument.shape for argument in self._arguments or ()]
        for weight in self._described:
            if not callable(weight.shape):
                shapes.append(layer_shapes.parse_weight_shape(weight.shape, context))
        self._sizes = tuple(layer_shapes.check_sizes(sizes, shapes, context).items())
        self._check_dtypes(context)
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        self._called_with: tuple[tf.TensorSpec, ...] | None = None
        self._output_count: int | None = None  # where the function returns a tuple

    def build(self, input_shape: Any) -> None:
        """Make the weights, given the shape of the input, or a list or dict of those."""
        self._refuse_none(input_shape, _is_list(input_shape))
        self._shapes = self._weight_shapes(input_shape)
        self._own = [
            self.add_weight(
                shape=shape,
                initializer=weight.initializer,
                dtype=self._variable_dtype(i),
                trainable=weight.trainable,
                autocast=False,
                regularizer=weight.regularizer,
                constraint=weight.constraint,
                name=weight.name,
            )
            for i, (weight, shape) in enumerate(zip(self._described, self._shapes, strict=True))
        ]

    def call(self, inputs: Any) -> Any:
        """Call the function on tensors."""
        self._refuse_none(inputs, isinstance(inputs, (list, tuple)))
        return self._apply(self._flat(inputs), self._own)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Return the mask of each output: that of the first input that has one."""
        masks = previous_mask
        if isinstance(masks, Mapping):
            masks = self._flat(masks)
        elif not isinstance(masks, (list, tuple)):
            masks = [masks]
        mask = next((mask for mask in masks if mask is not None), None)
        return mask if self._output_count is None else (mask,) * self._output_count

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return what `call` returns, as KerasTensors."""
        tensors = self._flat(inputs)
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        shapes = self._weight_shapes(_map(inputs, lambda tensor: tuple(tensor.shape)))
        for i, shape in enumerate(shapes):
            specs.append(tf.TensorSpec(shape, self._variable_dtype(i)))
        count = len(tensors)
        traced = tf.function(
            lambda *values: self._apply(list(values[:count]), list(values[count:])),
            autograph=False,
        ).get_concrete_function(*specs)
        return _map(traced.structured_outputs, self._to_keras_tensor)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of what `call` returns, or a list of those, given its input's."""
        shapes = self._flat(input_shape)
        dtypes = [self._input_dtype(i) for i in range(len(shapes))]
        tensors = [keras.KerasTensor(s, dtype=d) for s, d in zip(shapes, dtypes, strict=True)]
        inputs: Any = tensors if _is_list(input_shape) else tensors[0]
        if isinstance(input_shape, Mapping):
            inputs = dict(zip(self._input_names(), tensors, strict=True))
        outputs = self.compute_output_spec(inputs)
        if isinstance(outputs, (list, tuple)):
            return [tuple(output.shape) for output in outputs]
        return tuple(outputs.shape)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs, the function's library included.

        Raises
        ------
        ValueError
            If the function cannot be stored, see `Function.get_config`; or it is an op that is
            not registered with Keras, and the layer has not been called, so that nothing says what
            to compile it for.
        """
        function, sizes, attrs = self.function, dict(self._sizes), dict(self._attrs)
        shapes = self._shapes or [None] * len(self._described)
        if isinstance(function, Op) and serialization.registered_name(function) is None:
            if self._called_with is None or self._shapes is None:
                raise ValueError(
                    f"Layer '{self.name}' calls {function!r}, which is compiled when it is called, "
                    "and has not been. Call the layer first, give it a function of "
                    "tensorflow_tvm.build, or register the op: "
                    "keras.saving.register_keras_serializable."
                )
            function = function.function_for(*self._called_with, **attrs)
            sizes, attrs = {}, {}
        weights = [w.get_config(s) for w, s in zip(self._described, shapes, strict=True)]
        if function is not self.function:
            for weight, shape in zip(weights, shapes, strict=True):
                weight["shape"] = list(shape)  # the op's symbols have other names now
        return {
            **super().get_config(),
            "function": function.get_config(),
            "weights": weights,
            "sizes": sizes,
            "attrs": attrs,
            "supports_masking": self.supports_masking,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TVMLayer:
        """Make a layer of what `get_config` returned. It loads the library, which is a program.

        Raises
        ------
        ValueError
            If it is nothing that `get_config` returns.
        """
        if not isinstance(config, Mapping) or not {"function", "weights"} <= set(config):
            name = f"Layer '{config['name']}'" if _has(config, "name") else "TVMLayer"
            raise ValueError(
                f"{name}: expected a layer's config, as TVMLayer.get_config returns it, with "
                "'function' and 'weights' in it, given "
                f"{sorted(config) if isinstance(config, Mapping) else type(config).__name__}."
            )
        config = dict(config)
        # Only an op that is registered with Keras is stored as one.
        kind = Op if _has(config["function"], "name") else Function
        config["function"] = kind.from_config(config["function"])
        config["weights"] = [Weight.from_config(weight) for weight in config["weights"]]
        return cls(**config)

    def _check_dtypes(self, context: str) -> None:
        """Raise ValueError if a weight's dtype is not cast to what the function takes."""
        if self._places is None:
            return
        for i, weight in zip(self._places[1], self._described, strict=True):
            argument = self._arguments[i]
            if weight.dtype is None or argument.dtype == ANY_DTYPE:
                continue
            given, expected = tf.as_dtype(weight.dtype), tf.as_dtype(argument.dtype)
            if given != expected and not (given.is_floating and expected.is_floating):
                what = "a dtype of floating point" if expected.is_floating else expected.name
                raise ValueError(
                    f"{context}: weight '{weight.name}' has dtype {given.name}, and its function "
                    f"takes {argument}. Give {what}, or leave the weight's dtype out."
                )

    def _refuse_none(self, inputs: Any, listed: bool) -> None:
        """Raise ValueError if one of the inputs, or of their shapes, is None."""
        if isinstance(inputs, Mapping):
            items = [(f"input '{key}'", value) for key, value in inputs.items()]
        elif listed:
            items = [(f"input {i}", value) for i, value in enumerate(inputs)]
        else:
            items = [("its input", inputs)]
        for what, value in items:
            if value is None:
                raise ValueError(
                    f"Layer '{self.name}': {what} is None, expected a tensor. A layer has no "
                    "inputs that can be left out: call it with all of them."
                )

    def _apply(self, inputs: list[Any], weights: Sequence[Any]) -> Any:
        if self._places is None:
            values = [*inputs, *weights]
        else:
            at = dict(zip(self._places[0], inputs, strict=True))
            at.update(zip(self._places[1], weights, strict=True))
            values = [at[i] for i in range(len(at))]
        tensors = [self._cast(value, self._dtype(i)) for i, value in enumerate(values)]
        if isinstance(self.function, Op):
            self._remember(tensors, len(inputs))
        outputs = self.function(*tensors, **dict(self._attrs))
        self._output_count = len(outputs) if isinstance(outputs, tuple) else None
        return _map(outputs, lambda tensor: self._cast(tensor, self.compute_dtype))

    def _cast(self, value: Any, dtype: str) -> tf.Tensor:
        tensor = tf.convert_to_tensor(value)
        wanted = tf.as_dtype(dtype)
        if tensor.dtype.is_floating and wanted.is_floating and tensor.dtype != wanted:
            return tf.cast(tensor, wanted)
        return tensor

    def _dtype(self, i: int) -> str:
        """Return what input `i` of the function is cast to, if it is of floating point."""
        if self._arguments is not None and self._arguments[i].dtype != ANY_DTYPE:
            return self._arguments[i].dtype
        return self.compute_dtype

    def _input_dtype(self, i: int) -> str:
        place = i if self._places is None else self._places[0][i]
        if self._called_with is not None:
            return self._called_with[place].dtype.name
        return self._dtype(place)

    def _variable_dtype(self, i: int) -> str:
        if self._described[i].dtype is not None:
            return tf.as_dtype(self._described[i].dtype).name
        said = self.variable_dtype if self._places is None else self._dtype(self._places[1][i])
        return self.variable_dtype if tf.as_dtype(said).is_floating else said

    def _remember(self, tensors: list[tf.Tensor], inputs: int) -> None:
        """Note what an op is called with, for `get_config`: any number of samples."""
        first = range(inputs) if self._places is None else self._places[0]
        specs = []
        for i, tensor in enumerate(tensors):
            dims = tensor.shape.as_list()
            if i in first and dims:
                dims[0] = None
            specs.append(tf.TensorSpec(dims, tensor.dtype))
        before = self._called_with
        if before is not None and all(
            a.dtype == b.dtype for a, b in zip(before, specs, strict=True)
        ):
            specs = [
                a.most_specific_common_supertype([b]) for a, b in zip(before, specs, strict=True)
            ]
        if before is None or tuple(specs) != before:
            self._called_with = tuple(specs)

    def _input_names(self) -> list[str]:
        if self._places is None:
            raise ValueError(
                f"Layer '{self.name}' was called with a dict, and its function does not say what "
                "its inputs are called. Call it with a list, or give the function a signature."
            )
        return [self._arguments[i].name for i in self._places[0]]

    def _flat(self, inputs: Any) -> list[Any]:
        """Return tensors, or shapes, in the order in which the function takes them."""
        if isinstance(inputs, Mapping):
            names = self._input_names()
            if set(inputs) != set(names):
                raise ValueError(
                    f"Layer '{self.name}' was called with a dict of {', '.join(inputs)}; expected "
                    f"{', '.join(names)}, as its function's inputs are called."
                )
            return [inputs[name] for name in names]
        flat = list(inputs) if _is_list(inputs) else [inputs]
        if self._places is not None and len(flat) != len(self._places[0]):
            expected = [str(self._arguments[i]) for i in self._places[0]]
            raise ValueError(
                f"Layer '{self.name}' was called with {len(flat)} inputs; expected "
                f"{len(expected)}: {', '.join(expected)}."
            )
        return flat

    def _weight_shapes(self, input_shape: Any) -> tuple[tuple[int, ...], ...]:
        sizes = dict(self._sizes)
        context = f"Layer '{self.name}'"
        if self._places is not None:
            arguments = [self._arguments[i] for i in self._places[0]]
            shapes = self._flat(input_shape)
            for _ in range(2):  # an expression may come before its symbols
                for argument, shape in zip(arguments, shapes, strict=True):
                    layer_shapes.bind(argument, shape, sizes, f"{context}: input '{argument.name}'")
        resolved: dict[int, tuple[int, ...]] = {}
        # Those that say their shape first: they may say of what size the others are.
        for i, weight in sorted(enumerate(self._described), key=lambda item: item[1].shape is None):
            what = f"{context}: weight '{weight.name}'"
            argument = None if self._places is None else self._arguments[self._places[1][i]]
            said = weight.shape
            if callable(said):
                said = tuple(said(_map(input_shape, tuple)))
            said = layer_shapes.parse_weight_shape(said, what)
            if said is None and (argument is None or argument.shape is None):
                raise ValueError(
                    f"{what} needs a shape, which the function does not say: "
                    f"Weight('{weight.name}', shape=[…])."
                )
            resolved[i] = layer_shapes.resolve(
                argument.shape if said is None else said, sizes, what
            )
            if argument is not None:
                layer_shapes.bind(argument, resolved[i], sizes, what)
        return tuple(resolved[i] for i in range(len(resolved)))

    def _to_keras_tensor(self, spec: Any) -> keras.KerasTensor:
        if spec.shape.rank is None:
            raise ValueError(
                f"Layer '{self.name}': the rank of its output is not known. Give its function a "
                "signature, or output_shape."
            )
        return keras.KerasTensor(tuple(spec.shape), dtype=spec.dtype.name)


def _arguments_of(function: Function | Op) -> tuple[Argument, ...] | None:
    if isinstance(function, Op):
        return function.inputs
    return None if function.signature is None else function.signature.inputs


def _has(config: Any, key: str) -> bool:
    return isinstance(config, Mapping) and key in config


def _is_list(value: Any) -> bool:
    """Whether `value` lists tensors or shapes, and is no shape itself."""
    return isinstance(value, (list, tuple)) and not all(
        dim is None or isinstance(dim, int) for dim in value
    )


def _map(structure: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to the tensors, or shapes, in a list, a dict or alone."""
    if isinstance(structure, Mapping):
        return {key: function(value) for key, value in structure.items()}
    if _is_list(structure):
        return type(structure)(function(value) for value in structure)
    return function(structure)
