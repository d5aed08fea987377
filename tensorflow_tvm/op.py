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
"""Python functions on TE tensors, as TensorFlow ops that are compiled when first called."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import operator
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tensorflow_tvm.build import compiler
from tensorflow_tvm.dimensions import UNKNOWN, parse_shape, symbols
from tensorflow_tvm.function import Function
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.library import Library
from tensorflow_tvm.op_library import has_xla
from tensorflow_tvm.signature import ANY_DTYPE, Argument

_executing_eagerly = tf.executing_eagerly
_logger = logging.getLogger("tensorflow_tvm")
_MANY_BUILDS = 16
_INT32_MAX = 2**31 - 1


def op(
    function: Callable | None = None,
    *,
    shapes: Sequence[str] | None = None,
    target: Any = "host",
    stateful: bool = False,
    libm: bool = False,
    gradient: Any = None,
    gradient_from: Callable | None = None,
) -> Any:
    """Make a TensorFlow op of a Python function on TE tensors.

    The function is compiled when it is called with tensors of new dtypes or shapes, and the result
    is kept in memory and on disk. Its positional parameters are tensors; those with a default and
    keyword-only ones are attrs, Python values that are constants to the compiler.

    Parameters
    ----------
    function : callable
        Takes TE placeholders and returns a `te.Tensor`, or a tuple of several.
    shapes : sequence of str, optional
        The shape of each tensor that the function takes, as in ``["n d", "d"]``: one compiled
        function for all sizes that the symbols can have. By default there is one for each shape,
        which TVM can make faster; dimensions that are not known while a graph is built can have any
        size.
    target : str, dict or tvm.target.Target, optional
        What to compile for, see `build`.
    stateful : bool, optional
        See `Module.func`.
    libm : bool, optional
        See `build`.
    gradient : str, callable or Gradient, optional
        ``"auto"`` derives the function's gradient. Or a Python function on TE tensors, called with
        the inputs, the outputs, the gradients of the outputs, and the attrs by name; it returns
        the gradient of each input of floating point. A `Gradient` says otherwise. A dict has
        those for the function, by its name, and for its gradient, by that and ``_grad``.
    gradient_from : callable, optional
        A TensorFlow function that computes the same, to be differentiated by TensorFlow.

    Returns
    -------
    Op
        To be called like `function`, on tensors.

    Raises
    ------
    TypeError, ValueError
        If `function` or `shapes` is not as described.

    Examples
    --------
    >>> import tensorflow as tf
    >>> import tensorflow_tvm as tftvm
    >>> from tvm import te
    >>> @tftvm.op(shapes=["n d", "d"])
    ... def scale(x, w, factor=1.0):
    ...     return te.compute(x.shape, lambda i, j: x[i, j] * w[j] * factor)
    >>> scale(tf.ones([1, 2]), tf.constant([3.0, 4.0]), factor=2.0).numpy()
    array([[6., 8.]], dtype=float32)
    """
    if function is None:
        return lambda function: Op(
            function, shapes, target, stateful, libm, gradient, gradient_from
        )
    return Op(function, shapes, target, stateful, libm, gradient, gradient_from)


class Op:
    """A Python function on TE tensors, as a TensorFlow op. `op` makes one.

    Called on TE tensors, within another, it is that Python function.
    """

    def __init__(
        self,
        function: Callable,
        shapes: Sequence[str] | None = None,
        target: Any = "host",
        stateful: bool = False,
        libm: bool = False,
        gradient: Any = None,
        gradient_from: Callable | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"tensorflow_tvm.op is for functions, given {function!r}.")
        functools.update_wrapper(self, function)
        # An argument of a tf.function that has this is passed as what it wraps.
        del self.__wrapped__
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)
        self._function = function
        # In a library names are ASCII; a lambda has none.
        self._name = re.sub(r"\W", "_", self.__name__, flags=re.ASCII).strip("_") or "op"
        if self._name[0].isdigit():
            self._name = f"op_{self._name}"
        self._target = target
        self._stateful = stateful
        self._libm = libm
        self._gradient = self._parse_gradient(gradient)
        # Adds the gradient in Python, if there is one, to a compiled function.
        self._add_gradient: Callable[[Function], Function] | None = None
        if gradient_from is not None:
            if not callable(gradient_from):
                raise TypeError(
                    f"{self._context}: gradient_from must be a TensorFlow function that computes "
                    f"the same, given {gradient_from!r}."
                )
            if gradient is not None:
                raise ValueError(f"{self._context}: give gradient= or gradient_from=, not both.")
            self._add_gradient = operator.methodcaller("with_gradient_from", gradient_from)
        self._parameters = self.__signature__ = inspect.signature(function)
        self._tensors = [
            parameter.name
            for parameter in self._parameters.parameters.values()
            if _is_tensor(parameter)
        ]
        if self._tensors[:1] == ["self"]:
            raise TypeError(
                f"{self._context} is a method of a class, whose 'self' is no tensor. Make the op "
                "of a function, or of an object's method: tftvm.op(instance.method)."
            )
        self._variadic = any(
            parameter.kind is inspect.Parameter.VAR_POSITIONAL
            for parameter in self._parameters.parameters.values()
        )
        self._shapes = None if shapes is None else self._parse_shapes(shapes)
        self._shapes_text = shapes
        # The `StoredFunctions` of an op that was loaded without its Python function.
        self.stored: Any = None
        self._forget()

    def _forget(self) -> None:
        """Begin without anything compiled."""
        self._lock = threading.Lock()
        self._built: dict[Any, Function] = {}
        self._compiled: dict[Any, list[tuple[str, Any]]] = {}
        self._specs: dict[Any, tuple[tuple[tf.TensorSpec, ...], dict[str, Any]]] = {}
        self._called: dict[Any, Function] = {}  # eagerly, with tensors only
        self._warned = False

    def with_gradient(self, function: Callable[..., Any]) -> Op:
        """Return this op with a gradient that is written in Python, see `Function.with_gradient`.

        Parameters
        ----------
        function : callable
            Called with the inputs, the outputs and the gradients of the outputs, which are
            TensorFlow's tensors.

        Returns
        -------
        Op
        """
        if not callable(function):
            raise TypeError(f"{self._context}: expected a gradient in Python, given {function!r}.")
        result = object.__new__(Op)
        result.__dict__.update(self.__dict__)
        result._gradient = None
        result._add_gradient = operator.methodcaller("with_gradient", function)
        result._forget()
        return result

    def __reduce__(self) -> str | tuple[Any, ...]:
        from tensorflow_tvm import op_config  # which imports this module

        # A decorated function has the name of what it has become.
        if op_config.find(self.__module__, self.__qualname__) is self:
            return self.__qualname__
        if self.stored is not None and not self.has_gradient_in_python:
            return Op.from_config, (self.stored.config,)
        return _restore, (
            (
                self._function,
                self._shapes_text,
                self._target,
                self._stateful,
                self._libm,
                self._gradient,
            ),
            self._add_gradient,
        )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs, as values that JSON can hold.

        That is the op's name, where Keras has it registered. Otherwise it is what the op has been
        compiled to, for any number of samples (the first dimension of inputs), and its module and
        name, where it can be found by those.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            If the op can be found by no name, and has not been called, or has a gradient in
            Python, so that it cannot be stored as what it has been compiled to.

        Examples
        --------
        >>> import json
        >>> import tensorflow as tf
        >>> import tensorflow_tvm as tftvm
        >>> from tvm import te
        >>> double = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[i] * 2))
        >>> y = double(tf.constant([1.0, 2.0]))
        >>> again = tftvm.Op.from_config(json.loads(json.dumps(double.get_config())))
        >>> again(tf.constant([1.0, 2.0, 3.0])).numpy()
        array([2., 4., 6.], dtype=float32)
        """
        from tensorflow_tvm import op_config

        return op_config.to_config(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return the op of which `get_config` returned `config`.

        It is what Keras has registered, or among its custom objects, by the op's name; or the op of
        that name of a module that has been imported; or an op that calls what had been compiled.
        **The last loads libraries, which are programs**: they run with the rights of this process.

        Parameters
        ----------
        config : dict

        Returns
        -------
        Op
            Or whatever has been registered by its name.

        Raises
        ------
        ValueError
            If it is nothing that `get_config` returns, or is stored by name and not found.
        tf.errors.OpError
            If a library cannot be loaded here.
        """
        from tensorflow_tvm import op_config

        return op_config.from_config(config)

    def __copy__(self) -> Op:
        return self  # what it has compiled is better shared

    def __deepcopy__(self, memo: dict[int, Any]) -> Op:
        return self

    def __repr__(self) -> str:
        return f"<tensorflow_tvm.Op '{self.__name__}{self._parameters}'>"

    @property
    def compiles_under_xla(self) -> bool:
        """Whether XLA can compile calls."""
        return has_xla

    def __call__(self, /, *inputs: Any, name: str | None = None, **attrs: Any) -> Any:
        """Call the function on tensors.

        Parameters
        ----------
        *inputs : tensor-like
            As the function takes them.
        name : str, optional
            A name for the op.
        **attrs
            Values for its attrs.

        Returns
        -------
        tf.Tensor or tuple of tf.Tensor
            As the function returns them.

        Raises
        ------
        ValueError
            If TVM cannot compile the function for such tensors, or their shapes contradict
            `shapes`.
        TypeError
            If the arguments are not those of the function.
        tf.errors.InvalidArgumentError
            If the tensors' shapes contradict `shapes`, or it would read outside of one.
        """
        # The short way, for tensors of dtypes and shapes that an eager call has had.
        if not attrs:
            function = self._called.get(self._quick_key(inputs))
            if function is not None:
                return function(*inputs, name=name)
        return self._call_with_care(inputs, name, attrs)

    # AutoGraph has nothing to convert here.
    @tf.autograph.experimental.do_not_convert
    def _call_with_care(
        self, inputs: tuple[Any, ...], name: str | None, attrs: dict[str, Any]
    ) -> Any:
        if any(type(value).__module__.startswith("tvm.te") for value in inputs):
            return self._function(*inputs, **attrs)  # within another op
        is_plain = not attrs and _executing_eagerly() and len(inputs) == len(self._tensors)
        values, attrs = self._bind(inputs, attrs)
        tensors = []
        for index, value in enumerate(values):
            try:
                tensors.append(tf.convert_to_tensor(value))
            except (TypeError, ValueError) as error:
                raise type(error)(
                    f"{self._context}: '{self._tensor_name(index)}' cannot be made a tensor: "
                    f"expected a tensor, array, number or list of numbers, given "
                    f"{type(value).__name__}: {error}"
                ) from None
        function = self.function_for_call(tensors, attrs)
        if is_plain:
            self._called[self._quick_key(tensors)] = function
        return function(*tensors, name=name)

    def _quick_key(self, inputs: Sequence[Any]) -> Any:
        """Return what tells apart calls without attrs; None where they must be looked at closer."""
        try:
            if self._shapes is not None:
                return tuple([x.dtype for x in inputs])
            return tuple([(x.dtype, *x.shape) for x in inputs])
        except (AttributeError, TypeError, ValueError):
            return None  # not all are tensors

    def function_for(self, *inputs: Any, **attrs: Any) -> Function:
        """Return the compiled function for tensors of certain dtypes and shapes.

        Parameters
        ----------
        *inputs : tf.Tensor or tf.TensorSpec
            As the op is called with. Dimensions that a spec does not know can have any size.
        **attrs
            Values for its attrs, which are constants of the function.

        Returns
        -------
        Function

        Raises
        ------
        TypeError, ValueError
            As calls do.

        Examples
        --------
        >>> import tensorflow as tf
        >>> import tensorflow_tvm as tftvm
        >>> from tvm import te
        >>> @tftvm.op
        ... def double(x):
        ...     return te.compute(x.shape, lambda i: x[i] * 2)
        >>> double.function_for(tf.TensorSpec([None])).signature.outputs[0].dtype
        'float32'
        """
        specs, attrs = self._bind(inputs, attrs)
        return self.function_for_call(specs, attrs)

    def calls(self) -> list[tuple[tuple[tf.TensorSpec, ...], dict[str, Any], Function]]:
        """Return what it has been compiled for: specs, attrs, and the function of each."""
        with self._lock:
            return [(*self._specs[key], function) for key, function in self._built.items()]

    @property
    def inputs(self) -> tuple[Argument, ...] | None:
        """What is known of the tensors that it takes; None if it takes any number."""
        if self._shapes is None and self._variadic:
            return None
        shapes = self._shapes or [None] * len(self._tensors)
        return tuple(
            Argument("input", self._tensor_name(i), ANY_DTYPE, shape)
            for i, shape in enumerate(shapes)
        )

    @property
    def shapes(self) -> Sequence[str] | None:
        """The shapes that `op` was given."""
        return self._shapes_text

    @property
    def has_gradient_in_python(self) -> bool:
        """Whether TensorFlow computes its gradient, in Python."""
        return self._add_gradient is not None

    @property
    def target(self) -> Any:
        """What it is compiled for, see `build`."""
        return self._target

    @property
    def libm(self) -> bool:
        """Whether it takes functions such as exp from the C library, see `build`."""
        return self._libm

    @property
    def compiled(self) -> tuple[tuple[str, Any], ...]:
        """What has been compiled: name and signature of each, gradients included, and itself."""
        return tuple(entry for entries in self._compiled.values() for entry in entries)

    def recompile(self) -> None:
        """Compile anew when called next; graphs that have been traced keep what they have."""
        with self._lock:
            self._built.clear()
            self._called.clear()

    @property
    def _context(self) -> str:
        return f"TVM op '{self.__name__}'"

    def _tensor_name(self, index: int) -> str:
        if index < len(self._tensors):
            return self._tensors[index]
        variadic = next(
            parameter.name
            for parameter in self._parameters.parameters.values()
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL
        )
        return f"{variadic}_{index - len(self._tensors)}"

    def _bind(
        self, inputs: tuple[Any, ...], attrs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Split a call's arguments into tensors and attrs."""
        try:
            bound = self._parameters.bind(*inputs, **attrs)
        except TypeError as error:
            raise TypeError(
                f"{self._context}: {error}; it takes {self.__name__}{self._parameters}."
            ) from None
        bound.apply_defaults()
        tensors: list[Any] = []
        rest: dict[str, Any] = {}
        for parameter in self._parameters.parameters.values():
            value = bound.arguments[parameter.name]
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                tensors.extend(value)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                rest.update(value)
            elif _is_tensor(parameter):
                tensors.append(value)
            else:
                rest[parameter.name] = value
        if not tensors:
            raise TypeError(f"{self._context} takes no tensors; expected at least one.")
        return tensors, rest

    def function_for_call(self, tensors: Sequence[Any], attrs: Mapping[str, Any]) -> Function:
        """Return the compiled function for tensors, or specs of those, and all attrs by name."""
        if self._shapes is None:
            shapes: list[Any] = [self._static_shape(x, i) for i, x in enumerate(tensors)]
            key: tuple[Any, ...] = tuple(
                (x.dtype, *shape) for x, shape in zip(tensors, shapes, strict=True)
            )
        else:
            shapes = self._shapes
            if len(tensors) != len(shapes):
                raise TypeError(
                    f"{self._context}: shapes= is for {len(shapes)} tensors, and it was called "
                    f"with {len(tensors)}."
                )
            key = tuple(x.dtype for x in tensors)
        if attrs:
            key = (*key, *((name, self._key_of(name, value)) for name, value in attrs.items()))
        function = self._built.get(key)
        if function is None:
            with self._lock:
                function = self._built.get(key)
                if function is None:
                    if self.stored is not None:
                        function = self.stored.function_for(tensors, attrs, self._context)
                        if self._add_gradient is not None:
                            function = self._add_gradient(function)
                    else:
                        function, self._compiled[key] = self._build(tensors, shapes, attrs)
                    self._specs[key] = (_specs(tensors, shapes), dict(attrs))
                    self._built[key] = function
                    self._warn_of_many_builds()
        return function

    def _static_shape(self, tensor: tf.Tensor, index: int) -> tuple[int | None, ...]:
        if tensor.shape.rank is None:
            raise ValueError(
                f"{self._context}: the rank of '{self._tensor_name(index)}' is not known here. "
                "Give its shape to tf.ensure_shape, to a TensorSpec, or shapes= to tftvm.op."
            )
        # TVM compiles no empty loops, and counts in 32 bits.
        return tuple(
            None if size == 0 or (size or 0) > _INT32_MAX else size for size in tensor.shape
        )

    def _key_of(self, name: str, value: Any) -> Any:
        if isinstance(value, (tf.Tensor, tf.Variable)):
            raise TypeError(
                f"{self._context}: attr '{name}' is a tensor; expected a Python value, which is a "
                "constant to the compiler. What changes from call to call has to be an input: a "
                "positional parameter without a default."
            )
        if isinstance(value, (list, tuple)):
            return (type(value), *(self._key_of(name, element) for element in value))
        if isinstance(value, float):
            return float, value.hex()  # 0.0 == -0.0
        try:
            hash(value)
        except TypeError:
            raise TypeError(
                f"{self._context}: attr '{name}' is {value!r}; expected a number, string, tuple or "
                "another value that can be hashed."
            ) from None
        return type(value), value

    def _build(
        self, tensors: list[tf.Tensor], shapes: list[Any], attrs: dict[str, Any]
    ) -> tuple[Function, list[tuple[str, Any]]]:
        """Return the compiled function, and its entries in `compiled`."""
        compiler_ = compiler()
        with compiler_.explain_failure(self._where):
            placeholders = compiler_.placeholders(
                [self._tensor_name(i) for i in range(len(tensors))],
                [x.dtype.name for x in tensors],
                shapes,
            )
            results = compiler_.check_results(self._run(placeholders, attrs), placeholders)
            functions, links = compiler_.with_gradients(
                [*placeholders, *results], self._name, self._gradient_with(attrs, self._gradient)
            )
        content, _ = compiler_.compile_library(
            functions, self._target, None, self._libm, self._where, links
        )
        device = "gpu" if compiler_.is_gpu(self._target) else None
        library = Library(content, None, self._name)
        result = Function(library, self._name, target_device=device, stateful=self._stateful)
        entries = [
            (f"{name}{library.metadata(name).signature}", function)
            for name, function in functions.items()
        ]
        return result if self._add_gradient is None else self._add_gradient(result), entries

    def _parse_gradient(self, gradient: Any) -> Gradient | dict[str, Gradient | None] | None:
        if gradient is None or isinstance(gradient, Gradient):
            return gradient
        if isinstance(gradient, Mapping):
            return {name: self._parse_gradient(value) for name, value in gradient.items()}
        if gradient == "auto" or (callable(gradient) and not isinstance(gradient, (Function, Op))):
            return Gradient(gradient)
        raise TypeError(
            f"{self._context}: gradient must be 'auto', a Python function on TE tensors or a "
            f"tensorflow_tvm.Gradient, given {gradient!r}. A TensorFlow function goes to "
            "gradient_from= or with_gradient."
        )

    def _gradient_with(self, attrs: dict[str, Any], gradient: Any) -> Any:
        """Return the gradient for values of attrs."""
        if isinstance(gradient, Mapping):
            return {name: self._gradient_with(attrs, value) for name, value in gradient.items()}
        if attrs and gradient is not None and callable(gradient.function):
            function = functools.partial(gradient.function, **attrs)
            return dataclasses.replace(gradient, function=function)
        return gradient

    def _run(self, placeholders: list[Any], attrs: dict[str, Any]) -> Any:
        """Call the function as it was called, with placeholders for tensors."""
        positional: list[Any] = []
        keywords = dict(attrs)
        rest = iter(placeholders)
        for parameter in self._parameters.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                positional.extend(rest)
            elif _is_tensor(parameter):
                positional.append(next(rest))
            elif self._variadic and parameter.kind in (
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            ):
                positional.append(keywords.pop(parameter.name))
        return self._function(*positional, **keywords)

    @property
    def _where(self) -> str:
        code = getattr(inspect.unwrap(self._function), "__code__", None)
        place = f" ({code.co_filename}, line {code.co_firstlineno})" if code else ""
        return f"Cannot build TVM op '{self.__name__}'{place}"

    def _warn_of_many_builds(self) -> None:
        if len(self._built) < _MANY_BUILDS or self._shapes is not None or self._warned:
            return
        self._warned = True
        _logger.warning(
            "%s has been compiled for %d shapes, dtypes or attrs. Compile it once for all sizes: "
            'tensorflow_tvm.op(shapes=[…]), for example shapes=["n d", "d"].',
            self._context,
            len(self._built),
        )

    def _parse_shapes(self, shapes: Sequence[str]) -> list[tuple[int | str, ...]]:
        if isinstance(shapes, str) or not isinstance(shapes, Sequence):
            raise TypeError(
                f"{self._context}: shapes must be a list of strings such as ['n d', 'd'], given "
                f"{shapes!r}."
            )
        if len(shapes) != len(self._tensors) and not self._variadic:
            raise ValueError(
                f"{self._context}: shapes has {len(shapes)} entries, and the function takes "
                f"{len(self._tensors)} tensors: {', '.join(self._tensors) or 'none'}."
            )
        parsed = []
        for text in shapes:
            if not isinstance(text, str):
                raise TypeError(
                    f"{self._context}: shapes must be a list of strings such as ['n d', 'd'], "
                    f"given {text!r}."
                )
            try:
                parsed.append(parse_shape(text))
            except ValueError as error:
                raise ValueError(f"{self._context}: shapes: {error}") from None
        bare = {dim for shape in parsed for dim in shape}
        for shape, text in zip(parsed, shapes, strict=True):
            for dim in shape:
                if dim == UNKNOWN:
                    raise ValueError(
                        f"{self._context}: shapes: '?' in {text!r}; name the dimension instead."
                    )
                for symbol in symbols(dim) - bare:
                    raise ValueError(
                        f"{self._context}: shapes: symbol '{symbol}' in {text!r} is nowhere a "
                        "whole dimension."
                    )
        return parsed


def _specs(tensors: Sequence[Any], shapes: Sequence[Any]) -> tuple[tf.TensorSpec, ...]:
    return tuple(
        tf.TensorSpec([dim if isinstance(dim, int) else None for dim in shape], x.dtype)
        for x, shape in zip(tensors, shapes, strict=True)
    )


def _restore(arguments: tuple[Any, ...], add_gradient: Any) -> Op:
    result = Op(*arguments)
    result._add_gradient = add_gradient
    return result


def _is_tensor(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty and parameter.kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
