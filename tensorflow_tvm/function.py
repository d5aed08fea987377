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
"""A function of a TVM library: what it is called with, and the op that calls it."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tensorflow_tvm import calling, devices, eager_op, gradients, output_spec
from tensorflow_tvm.dimensions import UNKNOWN
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.library import Library
from tensorflow_tvm.op_library import has_xla, ops
from tensorflow_tvm.signature import ANY_DTYPE, Signature

_executing_eagerly = tf.executing_eagerly
_NOTHING: list[Any] = []
_DEFAULT_ALIGNMENT = 64
_LARGEST_ALIGNMENT = 2 << 20
_HIGHEST_ORDER = 4


class Function:
    """A function of a TVM library: call it on tensors. `Module.func` makes one.

    It works eagerly, in `tf.function` and in TF1 graphs, which then carry the library with them.

    Attributes
    ----------
    name : str
        The function's name in its library.
    signature : Signature or None
        What the function takes and gives, where that is known.
    stateful : bool
        Whether it has side effects.
    libraries : list of Library
        What graphs that call it carry: its own library, and then those of its gradients.
    told : dict
        What it was made with, as `get_config` needs it: shapes and dtypes of outputs are parsed.
    """

    def __init__(
        self,
        library: Library,
        name: str,
        output_shape: Any = None,
        output_dtype: Any = None,
        target_device: str | None = None,
        memory_align: int = _DEFAULT_ALIGNMENT,
        stateful: bool = False,
        signature: Signature | str | None = None,
        arg_spec: Sequence[str] | None = None,
        gradient: Gradient | None = None,
        order: int = 0,
    ) -> None:
        self.name = name
        self.__name__ = name  # which Keras and functools expect of a callable
        self.stateful = stateful
        self.libraries = [library]
        self._library = library
        self._context = f"TVM function '{name}' of library '{library.name}'"
        self._device, tvm_device = devices.parse(target_device, self._context)
        self._node_name = gradients.node_name(name)
        self._op = ops.tvm_stateful_dso_op if stateful else ops.tvm_dso_op

        shapes, several_shapes = output_spec.parse_shapes(output_shape, self._context)
        dtypes, several_dtypes = output_spec.parse_dtypes(output_dtype, self._context)
        if several_shapes and several_dtypes and len(shapes) != len(dtypes):
            raise ValueError(
                f"{self._context}: output_shape gives {len(shapes)} outputs and output_dtype "
                f"{len(dtypes)}; expected as many of each."
            )
        self.told: dict[str, Any] = {
            "output_shape": (shapes, several_shapes),
            "output_dtype": (dtypes, several_dtypes),
            "target_device": target_device,
            "memory_align": memory_align,
            "stateful": stateful,
            "signature": signature,
            "arg_spec": arg_spec,
            "gradient": gradient,
        }
        self._count = max(len(shapes or [0]), len(dtypes or [0]))
        said = library.metadata(name)
        convention = calling.resolve(said, signature, arg_spec, self._count, self._context)
        if convention.signature is not None:
            self._count = len(convention.signature.outputs)
            for what, given, several in (
                ("output_shape", shapes, several_shapes),
                ("output_dtype", dtypes, several_dtypes),
            ):
                _check_count(self._context, what, given, several, convention.signature)
        shapes, self.signature = output_spec.add_to_signature(
            shapes, convention.signature, self._context
        )
        self._convention = dataclasses.replace(convention, signature=self.signature)
        self._several = several_shapes or several_dtypes or self._count > 1
        # None where the first input's is taken.
        self._shapes = shapes and (shapes if len(shapes) == self._count else shapes * self._count)
        self._dtype_numbers = self._number_dtypes(dtypes)
        # Itself for calls that leave out optional inputs, by which ones these are.
        self._without: dict[tuple[int, ...], Function] = {}
        self._set_inputs()

        callee: dict[str, Any] = {
            "digest": library.digest,
            "function": name,
            "library_name": library.name,
        }
        memory_align = _check_alignment(memory_align, self._context)
        if memory_align != _DEFAULT_ALIGNMENT:
            callee["memory_align"] = memory_align
        if tvm_device is not None:
            callee["device"] = tvm_device
        callee.update(self._convention.callee_keys())
        if said.in_place:
            callee["in_place"] = said.in_place
        # What a library says may go round in circles.
        gradient = gradient or (said.gradient if order < _HIGHEST_ORDER else None)
        if gradient is not None:
            on = None if tvm_device is None else target_device
            gradient = self._link(gradient, memory_align, on, order)
            callee["gradient"] = gradients.to_callee(gradient, self.libraries)
        # An eager op holds no library. Its outputs do, so that a tape, which holds those, can call
        # the gradient when nobody has the function any more.
        self._has_gradient = gradient is not None
        self._gradient_in_python: gradients.PythonGradient | None = None
        self._set_callee(callee)
        self._device_is_there = False
        # Whether shapes and dtypes of all outputs are known without an input's.
        self._needs_no_input = self._dtype_numbers is not None and (
            self._shapes is not None or self._says_shapes
        )

    def _set_inputs(self) -> None:
        """Note what the signature says of the inputs."""
        inputs = self.signature.inputs if self.signature else ()
        # What each input must be: None where anything goes.
        self._input_dtypes = [
            None if argument.dtype == ANY_DTYPE else tf.as_dtype(argument.dtype)
            for argument in inputs
        ]
        self._has_optional_inputs = any(argument.optional for argument in inputs)

    def _set_callee(self, callee: dict[str, Any]) -> None:
        # An eager call's attributes are read and hashed each time, so this is short; and every
        # distinct one makes a kernel that TensorFlow keeps, so shapes are passed as tensors.
        self._eager_callee = callee
        shapes = self._shapes
        self._static = shapes is not None and all(map(output_spec.is_static, shapes))
        self._graph_callee = {**callee, "output_shapes": shapes} if self._static else callee
        self._eager_text = _to_text(self._eager_callee)
        self._graph_text = _to_text(self._graph_callee) if self._static else self._eager_text
        # None where something varies, or until it is known.
        self._eager_call: eager_op.Call | None = None
        if shapes is None and self._gradient_in_python is None:
            self._prepare_eager_call(_NOTHING)

    def _prepare_eager_call(self, shapes: list[tf.Tensor]) -> None:
        if self._convention.attrs or self._device is not None:
            return
        self._eager_call = eager_op.Call(
            "TVM>StatefulDSOOp" if self.stateful else "TVM>DSOOp",
            None if self.signature is None else len(self.signature.inputs),
            shapes,
            self._dtype_numbers,
            self._count,
            self._eager_text,
            self._several,
            self.libraries if self._has_gradient else None,
        )

    def _number_dtypes(self, dtypes: list[tf.DType] | None) -> list[int] | None:
        """Return the outputs' dtypes as the op takes them: a number is read faster than a tf.DType.

        None if one of them is the first input's.
        """
        known: list[tf.DType | None] = list(dtypes or [None])
        if len(known) != self._count:
            known *= self._count
        for i, output in enumerate(self.signature.outputs if self.signature else ()):
            if output.dtype == ANY_DTYPE:
                continue
            said = tf.as_dtype(output.dtype)
            if known[i] not in (None, said):
                raise ValueError(
                    f"{self._context}: output_dtype says that output '{output.name}' is "
                    f"{known[i].name}, and its signature says {said.name}. Leave output_dtype out; "
                    f"the signature is {self.signature}."
                )
            known[i] = said
        if None in known:
            if any(known):
                raise ValueError(
                    f"{self._context}: the signature {self.signature} does not say all outputs' "
                    "dtypes; give output_dtype."
                )
            return None
        return [dtype.as_datatype_enum for dtype in known]

    def _link(
        self, gradient: Gradient, memory_align: int, target_device: str | None, order: int
    ) -> Gradient:
        """Return `gradient` with a `Function` in place of a name, checked against this one."""
        function = gradient.function
        if isinstance(function, str):
            try:
                self._library.check_function(function)
            except tf.errors.NotFoundError as error:
                hint = (
                    ' "auto" is for tftvm.build, export_library and op, which can derive one.'
                    if function == "auto"
                    else ""
                )
                raise ValueError(
                    f"{self._context}: gradient '{function}': {error.message}{hint}"
                ) from None
            if function == self.name:
                raise ValueError(f"{self._context} cannot be its own gradient.")
            function = Function(
                self._library,
                function,
                target_device=target_device,
                memory_align=memory_align,
                order=order + 1,
            )
        if not isinstance(function, Function):
            raise TypeError(
                f"{self._context}: expected a gradient as the name of a function or as a "
                f"tensorflow_tvm.Function, given {function!r}."
            )
        gradients.check(gradient, self.signature, function.signature, self._context, function.name)
        return dataclasses.replace(gradient, function=function)

    @property
    def knows_shapes(self) -> bool:
        """Whether it is known what shapes the outputs have, given the inputs."""
        return self._static or self._says_shapes

    @property
    def compiles_under_xla(self) -> bool:
        """Whether XLA can compile calls: it has to know all sizes, and its buffers are its own."""
        if not has_xla or "device" in self._eager_callee:
            return False
        convention = self._convention
        if convention.owned_tensors or convention.returns_outputs:
            if tf.config.list_physical_devices("GPU"):
                return False
        return (
            not convention.returns_outputs
            or self._shapes is not None
            or (
                self.signature is not None
                and all(
                    output.shape is not None and UNKNOWN not in output.shape
                    for output in self.signature.outputs
                )
            )
        )

    @property
    def _says_shapes(self) -> bool:
        """Whether the function itself, or its signature, says what shapes the outputs have."""
        return self._convention.returns_outputs or (
            self.signature is not None
            and all(output.shape is not None for output in self.signature.outputs)
        )

    @property
    def has_gradient_in_python(self) -> bool:
        """Whether its gradient is a Python function."""
        return self._gradient_in_python is not None

    def to_callee(self) -> dict[str, Any]:
        """Return what an op has to know to call this as the gradient of its own function.

        Raises
        ------
        ValueError
            If that cannot be said beforehand.
        """
        if self._gradient_in_python is not None:
            raise ValueError(
                f"{self._context} has a gradient in Python, which an op cannot hold. Use "
                "with_gradient on the function whose gradient this is, too."
            )
        if self._shapes is not None and not self._static:
            raise ValueError(
                f"{self._context}: output_shape is a tensor, and this is a gradient, whose outputs "
                "are shaped like its function's inputs. Leave output_shape out."
            )
        if self._device is not None and "device" not in self._graph_callee:
            raise ValueError(
                f"{self._context}: target_device is {self._device}, and this is a gradient, which "
                "runs where its function ran. Leave target_device out."
            )
        return self._graph_callee

    def with_gradient(self, function: Callable[..., Any]) -> Function:
        """Return this function with a gradient that is written in Python.

        It works wherever `tf.custom_gradient` does, which makes it so. A gradient that is a TVM
        function is better given to `Module.func`: the op then knows it, in imported graphs too.

        Parameters
        ----------
        function : callable
            Called with the inputs, the outputs, and the gradients of the outputs. It returns the
            gradient of each input, None where there is none; those of inputs that are not of
            floating point may be left out. It may call TensorFlow and TVM functions. An optional
            input that a call leaves out is None, and so is its gradient.

        Returns
        -------
        Function

        Examples
        --------
        >>> import tensorflow as tf
        >>> import tensorflow_tvm as tftvm
        >>> addone = tftvm.Module("addone.so")["addone"].with_gradient(lambda x, y, dy: 2.0 * dy)
        >>> x = tf.constant([1.0, 2.0])
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = addone(x)
        >>> tape.gradient(y, x).numpy()
        array([2., 2.], dtype=float32)
        """
        if not callable(function):
            raise TypeError(
                f"{self._context}: expected a gradient as a function, given {function!r}."
            )
        return self._with_gradient(
            lambda inputs, outputs, dys, attrs: function(*inputs, *outputs, *dys, **attrs)
        )

    def with_gradient_from(self, reference: Callable[..., Any]) -> Function:
        """Return this function with the gradient of a TensorFlow function that computes the same.

        `reference` runs when a gradient is asked for, and is differentiated by TensorFlow.

        Parameters
        ----------
        reference : callable
            Takes and returns tensors like this function, and takes its attrs by name.

        Returns
        -------
        Function

        Examples
        --------
        >>> import tensorflow as tf
        >>> import tensorflow_tvm as tftvm
        >>> addone = tftvm.Module("addone.so")["addone"].with_gradient_from(lambda x: x + 1.0)
        >>> x = tf.constant([1.0, 2.0])
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = addone(x)
        >>> tape.gradient(y, x).numpy()
        array([1., 1.], dtype=float32)
        """
        if not callable(reference):
            raise TypeError(
                f"{self._context}: expected a TensorFlow function that computes the same, given "
                f"{reference!r}."
            )
        return self._with_gradient(
            lambda inputs, _, dys, attrs: gradients.of_reference(
                reference, inputs, dys, attrs, self._context
            )
        )

    def _with_gradient(self, gradient: gradients.PythonGradient | None) -> Function:
        result = object.__new__(type(self))
        result.__dict__.update(self.__dict__)
        result._gradient_in_python = gradient
        result._without = {}
        result._eager_call = None
        if gradient is None and self._shapes is None:
            result._prepare_eager_call(_NOTHING)
        return result

    def get_config(self) -> dict[str, Any]:
        """Return all that the function is, its library included, as values that JSON can hold.

        `from_config` makes the function of it again, in any process, without the library's file.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            If a part of it is no such value: a tensor as output_shape, or a gradient in Python.

        Notes
        -----
        A function that `keras.saving.register_keras_serializable` has registered is stored by that
        name alone.

        Examples
        --------
        >>> import json
        >>> import tensorflow_tvm as tftvm
        >>> text = json.dumps(tftvm.Module("addone.so")["addone"].get_config())
        >>> tftvm.Function.from_config(json.loads(text))
        <tensorflow_tvm.Function 'addone' of library 'addone.so'>
        """
        from tensorflow_tvm import serialization  # which imports this module

        name = serialization.registered_name(self)
        return serialization.to_config(self) if name is None else {"registered_name": name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Function:
        """Make a function of what `get_config` returned.

        **It loads a library, which is a program**: it runs with the rights of this process.

        Parameters
        ----------
        config : dict

        Returns
        -------
        Function

        Raises
        ------
        ValueError
            If it is nothing that `get_config` returns, or is not registered here by its name.
        tf.errors.OpError
            If its library cannot be loaded here.
        """
        from tensorflow_tvm import serialization

        return serialization.from_config(config)

    def __reduce__(self) -> tuple[Any, ...]:
        from tensorflow_tvm import serialization

        try:
            return Function.from_config, (serialization.to_config(self),)
        except ValueError as error:
            raise TypeError(f"Cannot pickle: {error}") from None

    def __copy__(self) -> Function:
        return self  # nothing about it ever changes

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        return self

    def __repr__(self) -> str:
        what = f"{self.name}{self.signature}" if self.signature else self.name
        return f"<tensorflow_tvm.Function '{what}' of library '{self._library.name}'>"

    def __call__(self, /, *inputs: Any, name: str | None = None, **attrs: Any) -> Any:
        """Call the function.

        Parameters
        ----------
        *inputs : tensor-like
            What the function reads: tensors of any dtype that TVM knows (bool, integers, floats).
            They are passed without a copy. None for an optional input leaves it out; at the end of
            the inputs, optional ones need not be passed.
        name : str, optional
            A name for the op.
        **attrs : int, float, bool, str or list of those
            Values that the function takes besides tensors, by the names that its signature or
            `arg_spec` has for them. They become part of the op: each distinct value makes a new
            one, so that what changes at every call belongs in a tensor.

        Returns
        -------
        tf.Tensor or tuple of tf.Tensor
            The output; a tuple where there are several, or where `Module.func` was given a list of
            shapes or dtypes.

        Raises
        ------
        tf.errors.InvalidArgumentError
            If the function refuses its arguments, or an output shape cannot be.
        TypeError, ValueError
            If an input cannot be made a tensor, an attr is missing or wrong, or the graph being
            built contradicts itself.
        """
        # The short way, for eager calls on tensors: each step here is felt.
        if self._eager_call is not None and not attrs:
            outputs = eager_op.execute(self._eager_call, inputs, name)
            if outputs is not None:
                return outputs
        if self._has_optional_inputs:
            left_out = self._convention.left_out(inputs, self._context)
            if left_out:
                given = [value for value in inputs if value is not None]
                return self._for_calls_without(left_out)(*given, name=name, **attrs)
        if self._gradient_in_python is not None:
            return self._call_with_gradient(self._gradient_in_python, inputs, name, attrs)
        if self._device is None:
            return self._call(inputs, name, attrs)
        # Graphs that no eager program runs may be meant for another machine.
        if not self._device_is_there and tf.compat.v1.executing_eagerly_outside_functions():
            devices.check(self._device, self._context)
            self._device_is_there = True
        with tf.device(self._device):
            return self._call(inputs, name, attrs)

    @tf.autograph.experimental.do_not_convert
    def _for_calls_without(self, left_out: tuple[int, ...]) -> Function:
        """Return this function without some optional inputs; it is passed null in their place."""
        result = self._without.get(left_out)
        if result is not None:
            return result
        result = object.__new__(type(self))
        result.__dict__.update(self.__dict__)
        result._convention = self._convention.without(left_out, self._context)
        result.signature = result._convention.signature
        result._set_inputs()
        # A gradient that is a TVM function takes and returns tensors for all inputs.
        result.libraries = self.libraries[:1]
        result._has_gradient = False
        if self._gradient_in_python is not None:
            result._gradient_in_python = gradients.without_inputs(
                self._gradient_in_python, left_out, len(self.signature.inputs)
            )
        callee = {**self._eager_callee, **result._convention.callee_keys()}
        for key in ("gradient", "in_place"):
            callee.pop(key, None)
        result._set_callee(callee)
        self._without[left_out] = result
        return result

    @tf.autograph.experimental.do_not_convert
    def _call_with_gradient(
        self,
        gradient: gradients.PythonGradient,
        inputs: tuple[Any, ...],
        name: str | None,
        attrs: dict[str, Any],
    ) -> Any:
        plain = self._with_gradient(None)

        @tf.custom_gradient
        def call(*tensors: tf.Tensor) -> Any:
            outputs = plain(*tensors, name=name, **attrs)

            def backward(*dys: tf.Tensor) -> list[tf.Tensor | None]:
                return gradients.by_input(gradient, tensors, outputs, dys, attrs, self._context)

            return outputs, backward

        return call(*(self._convert(value, i) for i, value in enumerate(inputs)))

    # AutoGraph has nothing to convert here.
    @tf.autograph.experimental.do_not_convert
    def _call(self, inputs: tuple[Any, ...], name: str | None, attrs: dict[str, Any]) -> Any:
        if self.signature is not None and len(inputs) != len(self.signature.inputs):
            calling.refuse_count(self.signature, len(inputs), self._context)
        tensors = [self._convert(value, i) for i, value in enumerate(inputs)]
        if not tensors and not self._needs_no_input:
            raise ValueError(
                f"{self._context} was called without inputs, so that there is nothing to take the "
                "output's shape and dtype from. Give output_shape and output_dtype to Module.func."
            )
        values = self._convention.attr_values(attrs, self._context)
        eagerly = _executing_eagerly()
        if eagerly:
            libraries, callee = _NOTHING, self._eager_callee
            if self._shapes is None:
                shapes = _NOTHING
            else:
                with tf.device(None), tf.device("/cpu:0"):  # whatever the caller's device is
                    shapes = output_spec.to_tensors(self._shapes, self._context)
                if self._static and self._gradient_in_python is None:
                    self._prepare_eager_call(shapes)
        else:
            libraries = [library.tensors.constant() for library in self.libraries]
            callee = self._graph_callee
            shapes = (
                _NOTHING
                if self._static or self._shapes is None
                else output_spec.to_tensors(self._shapes, self._context)
            )
            name = name or self._node_name
        if values:
            text = _to_text({**callee, "attrs": values})
        else:
            text = self._eager_text if callee is self._eager_callee else self._graph_text
        dtypes = self._dtype_numbers
        if dtypes is None:
            dtypes = [tensors[0].dtype.base_dtype.as_datatype_enum] * self._count

        def call(libraries: list[tf.Tensor]) -> list[tf.Tensor]:
            return self._op(tensors, libraries, shapes, dtypes, text, name)

        outputs = (
            self._library.tensors.call_eagerly(call, self._context) if eagerly else call(libraries)
        )
        if self._has_gradient and eagerly:
            outputs[0]._tvm_libraries = self.libraries
        return tuple(outputs) if self._several else outputs[0]

    def _convert(self, value: Any, index: int) -> tf.Tensor:
        if isinstance(value, tf.Tensor):
            return value
        if value is None:
            calling.refuse_none(self.signature, index, self._context)
        try:
            dtype = self._input_dtypes[index] if index < len(self._input_dtypes) else None
            if dtype is not None and not tf.is_tensor(value):
                return tf.convert_to_tensor(value, dtype)
            return tf.convert_to_tensor(value)
        except (TypeError, ValueError) as error:
            what = f"input {index}"
            if self.signature is not None:
                what += f" ({self.signature.inputs[index]})"
            message = (
                f"{self._context}: {what} cannot be made a tensor: expected a tensor, "
                f"array, number or list of numbers, given {type(value).__name__}: {error}"
            )
            raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None


def _to_text(callee: dict[str, Any]) -> str:
    return json.dumps(callee, separators=(",", ":"))


def _check_count(
    context: str, what: str, given: list[Any] | None, several: bool, signature: Signature
) -> None:
    expected = len(signature.outputs)
    if given is not None and len(given) != expected and (several or len(given) != 1):
        raise ValueError(
            f"{context}: {what} gives {len(given)} outputs, and the signature has {expected}: "
            f"{signature}."
        )


def _check_alignment(memory_align: Any, context: str) -> int:
    try:
        if isinstance(memory_align, bool):
            raise TypeError
        memory_align = operator.index(memory_align)
    except TypeError:
        raise TypeError(
            f"{context}: memory_align must be an integer, given {memory_align!r}."
        ) from None
    if not 0 < memory_align <= _LARGEST_ALIGNMENT or memory_align & (memory_align - 1):
        raise ValueError(
            f"{context}: memory_align must be a power of two between 1 and {_LARGEST_ALIGNMENT} "
            f"bytes, given {memory_align}."
        )
    return memory_align
