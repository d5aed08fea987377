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
"""From TVM source to functions that TensorFlow can call, and to libraries."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import tensorflow as tf

from tensorflow_tvm import op_library, versions
from tensorflow_tvm.module import Module


def build(
    obj: Any,
    target: Any = "host",
    name: str | None = None,
    *,
    libm: bool = False,
    gradient: Any = None,
) -> Module:
    """Compile TVM functions and load them.

    What has been compiled before, with the same TVM, is taken from a cache on disk.

    Parameters
    ----------
    obj
        What to compile: TE tensors, of which those that are computed become outputs and the
        placeholders inputs; a `tirx.PrimFunc`; an `IRModule` of those or of Relax functions; a
        `Schedule`; or a dict from names to those. A function without a schedule gets one; one that
        has one keeps it.
    target : str, dict, tvm.target.Target or list of two, optional
        What to compile for: ``"host"``, this machine's processor, or what TVM takes: ``"llvm"``,
        ``"cuda"``, ``{"kind": "llvm", "mcpu": "skylake"}``. For CUDA, ``"arch"`` may be a list of
        architectures, and nvcc is needed. A list of one target for processors and one for CUDA,
        such as ``["host", "cuda"]``, makes a library for both.
    name : str, optional
        What to call the function, where `obj` is one. By default its own name, ``"main"`` for TE
        tensors.
    libm : bool, optional
        Take exp, log, tanh, sigmoid, erf, sin and cos of float32 from the C library, one number at
        a time. By default functions without a schedule get forms of ours, which are vectors, and at
        most 2.5 units in the last place off.
    gradient : str, Gradient or dict, optional
        The functions' gradients. ``"auto"`` derives one for each, which has to be given as TE
        tensors or as a Relax function. A dict has ``"auto"``, the name of another function of
        `obj`, or a `Gradient` for each function that gets one.

    Returns
    -------
    Module

    Raises
    ------
    ValueError
        If TVM cannot compile it, with TVM's message; or the target is not known, or for CUDA and
        there is no nvcc; or a gradient cannot be derived.
    TypeError
        If `obj` is nothing that can be compiled.
    ImportError
        If apache-tvm is not installed.

    Examples
    --------
    >>> import tensorflow as tf
    >>> import tensorflow_tvm as tftvm
    >>> from tvm import te
    >>> n = te.var("n")
    >>> x = te.placeholder((n,), "float32", name="x")
    >>> y = te.compute((n,), lambda i: x[i] * 2.0, name="y")
    >>> module = tftvm.build([x, y], name="double")
    >>> print(module.signature("double"))
    (x: float32[n]) -> (y: float32[n])
    >>> module["double"](tf.constant([1.0, 2.0])).numpy()
    array([2., 4.], dtype=float32)
    """
    functions, links = compiler().with_gradients(obj, name, gradient)
    content, what = compiler().compile_library(functions, target, None, libm, links=links)
    return Module(content, name=what)


def export_library(
    obj: Any,
    path: str | os.PathLike,
    target: Any = "host",
    name: str | None = None,
    *,
    libm: bool = False,
    gradient: Any = None,
) -> None:
    """Compile TVM functions into a shared library that `Module` loads, signatures included.

    Parameters
    ----------
    obj, target, name, libm, gradient
        See `build`.
    path : str or os.PathLike
        Where to write the library, on any file system that TensorFlow knows.

    Raises
    ------
    ValueError, TypeError, ImportError
        See `build`.
    tf.errors.OpError
        If the file cannot be written.

    Examples
    --------
    >>> import tensorflow_tvm as tftvm
    >>> from tvm import te
    >>> x = te.placeholder((4,), "float32", name="x")
    >>> y = te.compute((4,), lambda i: x[i] * 2.0, name="y")
    >>> tftvm.export_library({"double": [x, y]}, "double.so", target="llvm")
    >>> tftvm.Module("double.so").functions
    ('double',)
    """
    functions, links = compiler().with_gradients(obj, name, gradient)
    content, _ = compiler().compile_library(functions, target, None, libm, links=links)
    with tf.io.gfile.GFile(os.fspath(path), "wb") as file:
        file.write(content)


def compiler() -> ModuleType:
    """Return the module that compiles: importing it imports TVM's compiler."""
    try:
        import tvm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Compiling needs apache-tvm, which cannot be imported: {error}. Install it: pip "
            f"install apache-tvm=={versions.TVM} apache-tvm-ffi=={versions.TVM_FFI_TO_COMPILE}"
        ) from error
    op_library.check_tvm_ffi(
        f"=={versions.TVM_FFI_TO_COMPILE}", f"Compiling with apache-tvm {versions.TVM}"
    )
    from tensorflow_tvm import compiler as module

    return module
