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
"""Calls of compiled functions without TensorFlow, with guard pages around all memory."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tvm_ffi

from tensorflow_tvm.tests import libraries

_FILLS = (0xCB, 0x3D)
# Of tvm-ffi's values.
_INT, _FLOAT, _DL_TENSOR = 1, 3, 7
_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "bool": 6}
_SLOTS = {
    "__TVMBackendAllocWorkspace": "guarded_workspace",
    "__TVMBackendFreeWorkspace": "guarded_free_workspace",
    "__TVMBackendParallelLaunch": "guarded_launch",
}


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Any(ctypes.Structure):
    _fields_ = [
        ("type_index", ctypes.c_int32),
        ("padding", ctypes.c_uint32),
        ("value", ctypes.c_uint64),
    ]


@dataclasses.dataclass
class Result:
    """What a call did.

    Attributes
    ----------
    outputs : list of numpy.ndarray
    error : str
        What it failed with; "" if it did not.
    violations : list of str
        What it must not have done.
    """

    outputs: list[np.ndarray]
    error: str
    violations: list[str]


def numpy_dtype(dtype: str) -> np.dtype:
    """Return NumPy's dtype of a name."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(dtype)


def compile_helper(folder: Path) -> None:
    """Compile what `load_helper` loads; once for all processes."""
    source = Path(__file__).with_name("guarded.cc").read_text()
    libraries.compile_cc(source, folder / "guarded.so", "-O1")


@functools.cache
def load_helper(folder: Path) -> ctypes.CDLL:
    """Load the helper into this process."""
    ctypes.CDLL(tvm_ffi.libinfo.find_libtvm_ffi(), ctypes.RTLD_GLOBAL)
    helper = ctypes.CDLL(os.fspath(folder / "guarded.so"), ctypes.RTLD_GLOBAL)
    helper.guarded_allocate.restype = ctypes.c_void_p
    helper.guarded_allocate.argtypes = [ctypes.c_uint64, ctypes.c_char_p]
    helper.guarded_end.restype = ctypes.c_char_p
    helper.guarded_workspace_bytes.restype = ctypes.c_uint64
    helper.guarded_call.argtypes = [
        *(ctypes.c_void_p, ctypes.POINTER(_Any), ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    ]
    return helper


class GuardedLibrary:
    """A library whose functions are called with guarded memory only.

    Parameters
    ----------
    path : pathlib.Path
        The library. Its functions have no other user in this process.
    folder : pathlib.Path
        Where `compile_helper` has put the helper.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._helper = load_helper(folder)
        self._module = tvm_ffi.load_module(os.fspath(path))  # fills the slots
        self._library = ctypes.CDLL(os.fspath(path))
        for slot, function in _SLOTS.items():
            try:
                address = ctypes.c_void_p.in_dll(self._library, slot)
            except ValueError:
                continue  # it does not need it
            address.value = ctypes.cast(getattr(self._helper, function), ctypes.c_void_p).value

    def call(
        self,
        name: str,
        inputs: Sequence[np.ndarray | int | float],
        outputs: Sequence[tuple[str, Sequence[int]]],
    ) -> Result:
        """Call a function twice, with memory that ends and with memory that begins at a guard page.

        Parameters
        ----------
        name : str
        inputs : sequence of numpy.ndarray, int or float
            Tensors and attrs.
        outputs : sequence of (str, sequence of int)
            Dtype and shape of each.
        """
        function = ctypes.cast(getattr(self._library, f"__tvm_ffi_{name}"), ctypes.c_void_p)
        first, second = (
            self._call_once(function, inputs, outputs, begins, byte)
            for begins, byte in enumerate(_FILLS)
        )
        violations = list(dict.fromkeys([*first.violations, *second.violations]))
        if first.error != second.error:
            violations.append(f"fails with {first.error!r}, and then with {second.error!r}")
        elif not first.error:
            for at, (one, other) in enumerate(zip(first.outputs, second.outputs, strict=True)):
                if message := _difference(one, other):
                    violations.append(f"{message} of output {at}, {list(one.shape)}")
        return Result(first.outputs, first.error, violations)

    def _call_once(
        self,
        function: ctypes.c_void_p,
        inputs: Sequence[np.ndarray | int | float],
        outputs: Sequence[tuple[str, Sequence[int]]],
        begins: int,
        byte: int,
    ) -> Result:
        helper = self._helper
        helper.guarded_begin(begins, byte)
        kept: list[object] = []
        arguments = (_Any * (len(inputs) + len(outputs)))()
        memory = []
        arrays = [array if isinstance(array, np.ndarray) else np.asarray(array) for array in inputs]
        specs = [(str(array.dtype), array.shape) for array in arrays]
        for at, (dtype, shape) in enumerate([*specs, *outputs]):
            if at < len(inputs) and not isinstance(inputs[at], np.ndarray):
                arguments[at] = _number(inputs[at])
                memory.append((0, 0))
                continue
            label = f"input {at}" if at < len(inputs) else f"output {at - len(inputs)}"
            size = numpy_dtype(dtype).itemsize * math.prod(shape)
            data = helper.guarded_allocate(size, label.encode())
            if data is None:
                raise MemoryError(f"{label} of {size} bytes")
            memory.append((data, size))
            if at < len(inputs):
                ctypes.memmove(data, arrays[at].tobytes(), size)
            tensor = _tensor(data, dtype, shape, kept)
            arguments[at].type_index = _DL_TENSOR
            arguments[at].value = ctypes.addressof(tensor)
        message = ctypes.create_string_buffer(4096)
        code = helper.guarded_call(function, arguments, len(arguments), message, len(message))
        violations = []
        for at, array in enumerate(arrays):
            if memory[at][0] and ctypes.string_at(*memory[at]) != array.tobytes():
                violations.append(f"changed input {at}")
        results = [
            np.frombuffer(ctypes.string_at(*where), numpy_dtype(dtype)).reshape(shape)
            for where, (dtype, shape) in zip(memory[len(inputs) :], outputs, strict=True)
        ]
        if outside := helper.guarded_end().decode():
            violations.append(outside)
        if helper.guarded_workspace_bytes() > 1 << 30:
            violations.append(f"asks for {helper.guarded_workspace_bytes()} bytes of workspace")
        error = message.value.decode(errors="replace") if code else ""
        return Result(results, error, violations)


def _number(value: int | float) -> _Any:
    if isinstance(value, float):
        return _Any(_FLOAT, 0, int.from_bytes(np.float64(value).tobytes(), "little"))
    return _Any(_INT, 0, value % 2**64)


def _tensor(data: int, dtype: str, shape: Sequence[int], kept: list[object]) -> _DLTensor:
    kind = dtype.rstrip("0123456789")
    sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    bits = 8 * numpy_dtype(dtype).itemsize
    tensor = _DLTensor(data, 1, 0, len(shape), _CODES[kind], bits, 1, sizes, None, 0)
    kept += [sizes, tensor]
    return tensor


def _difference(one: np.ndarray, other: np.ndarray) -> str:
    """Return what is wrong with two outputs of one function that were filled differently before."""
    if one.size == 0:
        return ""
    width = one.dtype.itemsize
    first, second = (
        np.frombuffer(array.tobytes(), np.uint8).reshape(-1, width) for array in (one, other)
    )
    different = (first != second).any(axis=1)
    if not different.any():
        return ""
    unwritten = (first == _FILLS[0]).all(axis=1) & (second == _FILLS[1]).all(axis=1)
    if unwritten.any():
        return f"does not write element {int(unwritten.argmax())}"
    at = int(different.argmax())
    nan = [np.isnan(array.reshape(-1)[at].astype("float64")) for array in (one, other)]
    if all(nan):
        return ""  # which NaN is not specified
    return f"depends on what memory held before: element {at}"
