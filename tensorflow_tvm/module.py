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
"""TVM libraries and their functions, as TensorFlow ops."""

from __future__ import annotations

import contextlib
import difflib
import json
import operator
import os
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tensorflow_tvm import output_spec
from tensorflow_tvm.library import Library
from tensorflow_tvm.op_library import ops

_executing_eagerly = tf.executing_eagerly
_NOTHING: list[Any] = []
_DEFAULT_ALIGNMENT = 64
_LARGEST_ALIGNMENT = 2 << 20


class Module:
    """A library compiled by TVM, or by another compiler that speaks tvm-ffi.

    The library is read once and known by its content from then on: two modules with the same
    content share one loaded copy, and a file that changes later does not change a module.

    Parameters
    ----------
    library : str, os.PathLike or bytes
        The shared library: a path, on any file system that TensorFlow knows, or its content.
        Loading it runs its code with the rights of this process.
    digest : str, optional
        ``"sha256:"`` and the digest that the library must have, in hexadecimal.

    Attributes
    ----------
    functions : tuple of str
        Names of the functions that the library exports.
    name : str
        What messages call the library: its file's name.
    digest : str
        ``"sha256:"`` and the digest of the library's content.

    Raises
    ------
    tf.errors.NotFoundError
        If there is no such file.
    tf.errors.InvalidArgumentError
        If it is no library that can be loaded here, or has another digest.
    tf.errors.FailedPreconditionError
        If it needs the TVM runtime and that is not installed.

    Examples
    --------
    >>> import tensorflow as tf
    >>> import tensorflow_tvm as tftvm
    >>> module = tftvm.Module("addone.so")
    >>> module.functions
    ('addone',)
    >>> module["addone"](tf.constant([1.0, 2.0])).numpy()
    array([2., 3.], dtype=float32)
    """

    def __init__(self, library: str | os.PathLike | bytes, digest: str | None = None) -> None:
        self._library = Library(library, digest)

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions that the library exports."""
        return self._library.functions

    @property
    def name(self) -> str:
        """What messages call the library."""
        return self._library.name

    @property
    def digest(self) -> str:
        """The digest of the library's content."""
        return self._library.digest

    def __getitem__(self, name: str) -> Function:
        """Return the function `name`, with one output of the first input's shape and dtype."""
        return self.func(name)

    def __contains__(self, name: object) -> bool:
        """Whether the library exports a function `name`."""
        return name in self.functions

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the functions."""
        return iter(self.functions)

    def __len__(self) -> int:
        """Return how many functions the library exports."""
        return len(self.functions)

    def __repr__(self) -> str:
        return f"<tensorflow_tvm.Module '{self.name}' functions={list(self.functions)}>"

    def func(
        self,
        name: str,
        output_shape: Any = None,
        output_dtype: Any = None,
        target_device: str | None = None,
        memory_align: int = _DEFAULT_ALIGNMENT,
        stateful: bool = False,
    ) -> Function:
        """Return a function of the library.

        Parameters
        ----------
        name : str
            The function's name.
        output_shape : optional
            The output's shape: a list or tuple of integers and scalar integer tensors, a
            `tf.TensorShape`, a string such as ``"[2, 3]"``, or an integer vector tensor such as
            ``tf.shape(x)``; for several outputs a list of those. By default that of the first
            input.
        output_dtype : optional
            The output's dtype: what `tf.as_dtype` takes; for several outputs a list of those. By
            default that of the first input. One shape or dtype given for several outputs holds for
            all.
        target_device : str, optional
            Where the function runs: ``"cpu"``, ``"gpu"`` or ``"cuda"``, with an optional index as
            in ``"cuda:1"``, or any TensorFlow device string. By default where TensorFlow places it.
        memory_align : int, optional
            The function expects tensors at multiples of so many bytes, a power of two. Tensors that
            lie elsewhere are copied. TVM's code never expects less than 64, and so it is at least
            that.
        stateful : bool, optional
            Whether the function has side effects or draws random numbers, so that TensorFlow must
            neither merge nor drop nor precompute its calls.

        Returns
        -------
        Function

        Raises
        ------
        tf.errors.NotFoundError
            If the library has no such function.
        TypeError, ValueError
            If an argument is wrong.

        Examples
        --------
        >>> import tensorflow as tf
        >>> import tensorflow_tvm as tftvm
        >>> x = tf.constant([1.0, 2.0])
        >>> addone = tftvm.Module("addone.so").func(
        ...     "addone", output_shape=tf.shape(x), output_dtype="float"
        ... )
        >>> addone(x).numpy()
        array([2., 3.], dtype=float32)
        """
        if not isinstance(name, str):
            raise TypeError(f"Expected the name of a function as a string, given {name!r}.")
        try:
            self._library.check_function(name)
        except tf.errors.NotFoundError as error:
            close = difflib.get_close_matches(name, self.functions, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise tf.errors.NotFoundError(None, None, error.message + hint) from None
        return Function(
            self._library, name, output_shape, output_dtype, target_device, memory_align, stateful
        )


class Function:
    """A function of a TVM library: call it on tensors. `Module.func` makes one.

    It works eagerly, in `tf.function` and in TF1 graphs, which then carry the library with them.
    """

    def __init__(
        self,
        library: Library,
        name: str,
        output_shape: Any,
        output_dtype: Any,
        target_device: str | None,
        memory_align: int,
        stateful: bool,
    ) -> None:
        self.name = name
        self._library = library
        self._context = f"TVM function '{name}' of library '{library.name}'"
        self._device = _parse_device(target_device, self._context)
        self._op = ops.tvm_stateful_dso_op if stateful else ops.tvm_dso_op

        shapes, several_shapes = output_spec.parse_shapes(output_shape, self._context)
        dtypes, several_dtypes = output_spec.parse_dtypes(output_dtype, self._context)
        self._several = several_shapes or several_dtypes
        self._count = max(len(shapes or [0]), len(dtypes or [0]))
        if several_shapes and several_dtypes and len(shapes) != len(dtypes):
            raise ValueError(
                f"{self._context}: output_shape gives {len(shapes)} outputs and output_dtype "
                f"{len(dtypes)}; expected as many of each."
            )
        # None where the first input's is taken.
        self._shapes = shapes and (shapes if len(shapes) == self._count else shapes * self._count)
        self._dtypes = dtypes and (dtypes if len(dtypes) == self._count else dtypes * self._count)
        # What the op takes: a dtype's number is read faster than a tf.DType.
        self._dtype_numbers = dtypes and [dtype.as_datatype_enum for dtype in self._dtypes]
        # The first input's dtype at the last eager call, and the numbers of the outputs' dtypes.
        self._last_dtype: tuple[tf.DType | None, list[int]] = (None, _NOTHING)

        callee: dict[str, Any] = {
            "digest": library.digest,
            "function": name,
            "library_name": library.name,
        }
        memory_align = _check_alignment(memory_align, self._context)
        if memory_align != _DEFAULT_ALIGNMENT:
            callee["memory_align"] = memory_align
        # An eager call's attributes are read and hashed each time, so this is short; and every
        # distinct one makes a kernel that TensorFlow keeps, so shapes are passed as tensors.
        self._eager_callee = json.dumps(callee, separators=(",", ":"))
        self._static = shapes is not None and all(map(output_spec.is_static, shapes))
        if self._static:
            callee["output_shapes"] = self._shapes
        self._graph_callee = json.dumps(callee)
        # What eager calls pass as output shapes; None until it is known, or if it varies.
        self._eager_shapes: list[tf.Tensor] | None = _NOTHING if shapes is None else None
        self._device_is_there = False

    def __repr__(self) -> str:
        return f"<tensorflow_tvm.Function '{self.name}' of library '{self._library.name}'>"

    def __call__(self, *inputs: Any, name: str | None = None) -> Any:
        """Call the function.

        Parameters
        ----------
        *inputs : tensor-like
            What the function reads: tensors of any dtype that TVM knows (bool, integers, floats).
            They are passed without a copy.
        name : str, optional
            A name for the op.

        Returns
        -------
        tf.Tensor or tuple of tf.Tensor
            The output; a tuple where `Module.func` was given a list of shapes or dtypes.

        Raises
        ------
        tf.errors.InvalidArgumentError
            If the function refuses its arguments, or an output shape cannot be.
        TypeError, ValueError
            If an input cannot be made a tensor, or the graph being built contradicts itself.
        """
        if self._device is None:
            return self._call(inputs, name)
        # Graphs that no eager program runs may be meant for another machine.
        if not self._device_is_there and tf.compat.v1.executing_eagerly_outside_functions():
            _check_device(self._device, self._context)
            self._device_is_there = True
        with tf.device(self._device):
            return self._call(inputs, name)

    def _call(self, inputs: tuple[Any, ...], name: str | None) -> Any:
        # The short way, for eager calls on tensors: each step here is felt.
        if self._eager_shapes is not None and (inputs or self._shapes) and _executing_eagerly():
            try:
                numbers = self._dtype_numbers
                if numbers is None:
                    dtype, numbers = self._last_dtype
                    if inputs[0].dtype is not dtype:
                        dtype = inputs[0].dtype  # of a tensor or an array
                        numbers = [tf.as_dtype(dtype).as_datatype_enum] * self._count
                        self._last_dtype = dtype, numbers
                outputs = self._op(
                    inputs,
                    _NOTHING,
                    self._eager_shapes,
                    numbers,
                    self._eager_callee,
                    name,
                )
                return tuple(outputs) if self._several else outputs[0]
            except (TypeError, ValueError, AttributeError, IndexError):
                pass  # not all inputs are tensors, or there are none
        return self._call_with_care(inputs, name)

    # AutoGraph has nothing to convert here.
    @tf.autograph.experimental.do_not_convert
    def _call_with_care(self, inputs: tuple[Any, ...], name: str | None) -> Any:
        tensors = [self._convert(value, i) for i, value in enumerate(inputs)]
        if not tensors and (self._shapes is None or self._dtypes is None):
            raise ValueError(
                f"{self._context} was called without inputs, so that there is nothing to take the "
                "output's shape and dtype from. Give output_shape and output_dtype to Module.func."
            )
        if _executing_eagerly():
            libraries, callee = _NOTHING, self._eager_callee
            if self._shapes is None:
                shapes = _NOTHING
            else:
                with tf.device(None), tf.device("/cpu:0"):  # whatever the caller's device is
                    shapes = output_spec.to_tensors(self._shapes)
                if self._static:
                    self._eager_shapes = shapes
        else:
            libraries, callee = [self._library.constant()], self._graph_callee
            shapes = (
                _NOTHING
                if self._static or self._shapes is None
                else output_spec.to_tensors(self._shapes)
            )
            # A node's default name would be the op's.
            name = name or re.sub(r"[^A-Za-z0-9.]", "_", self.name).lstrip("_") or "tvm"
        outputs = self._op(
            tensors,
            libraries,
            shapes,
            self._dtype_numbers or [tensors[0].dtype.base_dtype.as_datatype_enum] * self._count,
            callee,
            name,
        )
        return tuple(outputs) if self._several else outputs[0]

    def _convert(self, value: Any, index: int) -> tf.Tensor:
        try:
            return tf.convert_to_tensor(value)
        except (TypeError, ValueError) as error:
            message = (
                f"{self._context}: input {index} cannot be made a tensor: expected a tensor, "
                f"array, number or list of numbers, given {type(value).__name__}: {error}"
            )
            raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None


def _parse_device(target_device: str | None, context: str) -> Any:
    """Turn `target_device` into what tf.device takes."""
    if target_device is None:
        return None
    if isinstance(target_device, str):
        short = re.fullmatch(r"(cpu|gpu|cuda)(:\d+)?", target_device, re.IGNORECASE)
        if short is not None:
            kind = "CPU" if short[1].lower() == "cpu" else "GPU"
            return f"/device:{kind}{short[2] or ':0'}"
        with contextlib.suppress(ValueError):
            spec = tf.DeviceSpec.from_string(target_device)
            known = spec.device_type in (None, "CPU", "GPU") and (spec.device_index or 0) >= 0
            if target_device and known:
                return spec.to_string()
    raise ValueError(
        f"{context}: unknown target_device {target_device!r}. Expected 'cpu', 'gpu' or 'cuda', "
        "with an optional index as in 'cuda:1', or a TensorFlow device string such as '/gpu:0'."
    )


def _check_device(device: str, context: str) -> None:
    """Refuse a device of this process that is not there: TensorFlow would take another, unasked."""
    wanted = tf.DeviceSpec.from_string(device)
    if wanted.job is not None or wanted.device_type is None:
        return
    there = [logical.name for logical in tf.config.list_logical_devices()]
    if f"/device:{wanted.device_type}:{wanted.device_index or 0}" not in there:
        raise ValueError(
            f"{context}: target_device {device} is not there. TensorFlow sees {', '.join(there)}."
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
