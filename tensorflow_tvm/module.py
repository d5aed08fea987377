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
"""TVM libraries."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from tensorflow_tvm import gradients, stored_json
from tensorflow_tvm.function import Function
from tensorflow_tvm.library import Library
from tensorflow_tvm.signature import Signature


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
    name : str, optional
        What messages call the library. By default its file's name.

    Attributes
    ----------
    functions : tuple of str
        Names of the functions that the library exports.
    name : str
        What messages call the library.
    digest : str
        ``"sha256:"`` and the digest of the library's content.
    size : int
        The size of the library in bytes.

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

    def __init__(
        self,
        library: str | os.PathLike | bytes,
        digest: str | None = None,
        name: str | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Expected the name of a library as a string, given {name!r}.")
        if name is not None and not stored_json.is_text(name):
            raise ValueError(f"Expected the name of a library in Unicode, given {name!r}.")
        self._library = Library(library, digest, name)

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

    @property
    def size(self) -> int:
        """The size of the library in bytes."""
        return self._library.size

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

    def __reduce__(self) -> tuple[Any, ...]:
        return Module, (self._library.content(), self.digest, self.name)

    def __copy__(self) -> Module:
        return self  # nothing about it ever changes

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        return self

    def func(
        self,
        name: str,
        output_shape: Any = None,
        output_dtype: Any = None,
        target_device: str | None = None,
        memory_align: int = 64,
        stateful: bool = False,
        signature: Signature | str | None = None,
        arg_spec: Sequence[str] | None = None,
        gradient: str | Function | gradients.Gradient | None = None,
        gradient_from: Callable[..., Any] | None = None,
    ) -> Function:
        """Return a function of the library.

        Parameters
        ----------
        name : str
            The function's name.
        output_shape : optional
            The output's shape: a list or tuple of integers and scalar integer tensors, a
            `tf.TensorShape`, a string such as ``"[2, 3]"``, or an integer vector tensor such as
            ``tf.shape(x)``; for several outputs a list of those. By default what the signature
            says, else that of the first input.
        output_dtype : optional
            The output's dtype: what `tf.as_dtype` takes; for several outputs a list of those. By
            default what the signature says, else that of the first input. One shape or dtype given
            for several outputs holds for all.
        target_device : str, optional
            Where the function runs: ``"cpu"``, ``"gpu"`` or ``"cuda"``, with an optional index as
            in ``"cuda:1"``, or any TensorFlow device string. By default where TensorFlow places it.
            A device that only TVM knows, such as ``"opencl"`` or ``"ext_dev:1"``, is reached from
            the CPU: tensors are copied there and back.
        memory_align : int, optional
            The function expects tensors at multiples of so many bytes, a power of two. Tensors that
            lie elsewhere are copied. TVM's code never expects less than 64, and so it is at least
            that.
        stateful : bool, optional
            Whether the function has side effects or draws random numbers, so that TensorFlow must
            neither merge nor drop nor precompute its calls.
        signature : str or Signature, optional
            What the function takes and gives, as in ``"(x: float32[n]) -> (y: float32[n])"``. By
            default what the library says, see `signature`.
        arg_spec : list of str, optional
            The order of the function's arguments: ``"args"`` stands for all inputs, ``"rets"`` for
            all outputs, ``"attrs.<name>"`` for an attr (``"args.0"`` and ``"rets.0"`` for one
            tensor). Without ``"rets"`` the function returns its outputs, and their shapes may
            depend on data. By default what the library says, else the signature's order, else
            ``["args", "rets"]``.
        gradient : str, Function or Gradient, optional
            The function that gives this one's gradient: the name of another of the library, or a
            `Function` of any. It takes the inputs, the outputs and the gradients of the outputs,
            and returns the gradients of the inputs; a `Gradient` says otherwise. By default what
            the library says, see `build`.
        gradient_from : callable, optional
            A TensorFlow function that computes the same, to be differentiated instead. See
            `Function.with_gradient_from`.

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
        self._check_name(name)
        context = f"TVM function '{name}' of library '{self.name}'"
        if gradient is not None and gradient_from is not None:
            raise ValueError(f"{context}: expected gradient= or gradient_from=, given both.")
        function = Function(
            self._library,
            name,
            output_shape,
            output_dtype,
            target_device,
            memory_align,
            stateful,
            signature,
            arg_spec,
            gradients.parse(gradient, context),
        )
        return function if gradient_from is None else function.with_gradient_from(gradient_from)

    def signature(self, name: str) -> Signature | None:
        """Return what a function takes and gives, where its library says so.

        Libraries made by `build` and `export_library` say all. A library compiled from C++ with
        tvm-ffi's metadata says the number and kinds of arguments, so that dtypes are ``any`` and
        shapes ``...``; where such a function fills in its outputs, they are listed as inputs, since
        the library does not tell them apart.

        Parameters
        ----------
        name : str
            The function's name.

        Returns
        -------
        Signature or None
            None if the library says nothing.

        Raises
        ------
        tf.errors.NotFoundError
            If the library has no such function.

        Examples
        --------
        >>> import tensorflow_tvm as tftvm
        >>> print(tftvm.Module("addone.so").signature("addone"))
        None
        """
        self._check_name(name)
        return self._library.metadata(name).signature

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"Expected the name of a function as a string, given {name!r}.")
        if not stored_json.is_text(name):
            raise ValueError(f"Expected the name of a function in Unicode, given {name!r}.")
        try:
            self._library.check_function(name)
        except tf.errors.NotFoundError as error:
            close = difflib.get_close_matches(name, self.functions, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise tf.errors.NotFoundError(None, None, error.message + hint) from None
