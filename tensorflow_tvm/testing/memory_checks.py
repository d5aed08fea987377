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
"""Checks of what happens to memory: inputs, outputs, alignment, and tensors without elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tvm_ffi

from tensorflow_tvm.testing import graph_walk
from tensorflow_tvm.testing import subject as subject_
from tensorflow_tvm.testing.comparison import EXACT, first_difference
from tensorflow_tvm.testing.execution_checks import call_reference, fill_free_memory
from tensorflow_tvm.testing.report import CheckFailed, NotAvailable, Skipped, first_line
from tensorflow_tvm.testing.subject import Subject, to_array, to_arrays

# What says that a shape is refused. InternalError and UnknownError say that something broke.
_REFUSALS = (
    ValueError,
    tf.errors.InvalidArgumentError,
    tf.errors.FailedPreconditionError,
    tf.errors.OutOfRangeError,
    tf.errors.UnimplementedError,
)


def inputs_unmodified(subject: Subject) -> None:
    """Check that neither an eager call nor a tf.function changes its inputs."""
    calls: list[tuple[str, Callable]] = [("an eager call", subject)]
    try:
        calls.append(("a tf.function", subject.function()))
    except Exception:  # noqa: S110
        pass  # another check says so
    for how, call in calls:
        tensors = subject.tensors()
        call(*tensors)
        for i, (tensor, array) in enumerate(zip(tensors, subject.arrays, strict=True)):
            difference = first_difference(array, to_array(tensor), EXACT)
            if difference is not None:
                raise CheckFailed(
                    f"after {how} input {i} {difference.text}.",
                    "TensorFlow may pass the same memory to other ops. Write into outputs only, "
                    "and copy an input that has to change.",
                    output=f"input {i}",
                    index=difference.index,
                    expected=difference.expected,
                    given=difference.given,
                )


def aliasing(subject: Subject) -> None:
    """Check that outputs have no memory of inputs, other outputs or other calls."""
    inputs = subject.tensors()
    outputs = subject(*inputs)
    others = subject(*subject.tensors())
    origins = _origins(subject)
    named = [(f"input {i}", tensor, ("input", i)) for i, tensor in enumerate(inputs)]
    for i, output in enumerate(outputs):
        here = (subject.output(i), output, origins[i])
        for name, tensor, origin in named:
            # TensorFlow's identity, reshape and so on share memory, and count who does.
            if _overlap(output, tensor) and (origin is None or origin != here[2]):
                raise CheckFailed(
                    f"{here[0]} has memory of {name}.",
                    "Copy it, so that the output has memory of its own. If it is shared on purpose "
                    "and counted by TensorFlow, skip=['aliasing'].",
                    output=here[0],
                )
        named.append(here)
        for j, tensor in enumerate(others):
            if _overlap(output, tensor) and not graph_walk.is_constant(origins[i]):
                raise CheckFailed(
                    f"{here[0]} has memory of {subject.output(j)} of another call.",
                    "Return new memory from each call, not a static buffer: the next call would "
                    "overwrite what TensorFlow still reads.",
                    output=here[0],
                )


def _origins(subject: Subject) -> list[graph_walk.Origin | None]:
    try:
        return graph_walk.origins(subject.function())
    except Exception:  # another check says so
        return [None] * len(subject.expected)


def _overlap(a: tf.Tensor, b: tf.Tensor) -> bool:
    (start, size), (other, other_size) = _memory(a), _memory(b)
    return bool(size and other_size) and start < other + other_size and other < start + size


def _memory(tensor: tf.Tensor) -> tuple[int, int]:
    """Return a tensor's address and its size in bytes; 0 where that is not to be had."""
    dtype = tensor.dtype
    known = dtype.is_floating or dtype.is_integer or dtype.is_bool or dtype.is_complex
    if not known or dtype.is_quantized or "int4" in dtype.name:
        return 0, 0  # DLPack aborts the process on strings
    try:
        capsule = tf.experimental.dlpack.to_dlpack(tensor)
        address = tvm_ffi.from_dlpack(capsule, require_alignment=0).data_ptr()
    except (BufferError, RuntimeError, TypeError, tf.errors.OpError):
        return 0, 0
    return address, tensor.shape.num_elements() * dtype.size


def misaligned(subject: Subject, wanted: bool | None) -> None:
    """Check that inputs at addresses that are no multiples of 64 give the same."""
    if wanted is None:
        # Needed here only, and it would be a circle at import.
        from tensorflow_tvm.function import Function
        from tensorflow_tvm.op import Op

        wanted = isinstance(subject.f, (Function, Op))
    if not wanted:
        raise Skipped("TensorFlow's own ops end the process; misaligned=True checks it")
    try:
        tensors = [_misalign(array) for array in subject.arrays]
    except (BufferError, TypeError, tf.errors.OpError) as error:
        raise NotAvailable(f"no misaligned tensors can be made: {first_line(error)}") from None
    if not any(array.size for array in subject.arrays):
        raise Skipped("no input has an element")
    calls: list[tuple[str, Callable]] = [("eagerly", subject)]
    try:
        calls.append(("in a tf.function", subject.function()))
    except Exception:  # noqa: S110
        pass  # another check says so
    for how, call in calls:
        subject.compare(
            to_arrays(call(*tensors)),
            f"{how} with inputs 4 or 8 bytes off a multiple of 64",
            "Read inputs element by element, or copy those whose address is no multiple of what "
            "vector instructions need.",
        )


def _misalign(array: np.ndarray) -> tf.Tensor:
    dtype = tf.as_dtype(array.dtype)
    # DLPack by NumPy knows none of the dtypes that NumPy itself does not know.
    plain = array.view(np.uint16) if dtype == tf.bfloat16 else array
    offset = max(4, plain.itemsize)
    memory = np.zeros(plain.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    shifted = memory[start : start + plain.nbytes].view(plain.dtype).reshape(plain.shape)
    shifted[...] = plain
    tensor = tf.experimental.dlpack.from_dlpack(shifted.__dlpack__())
    return tensor if tensor.dtype == dtype else tf.bitcast(tensor, dtype)


def zero_size(subject: Subject, reference: Callable | None) -> None:
    """Check that dimensions of size 0 give what they should, or a clear error."""
    subject.need_dimensions()
    refused: list[str] = []
    variants = _zero_variants([array.shape for array in subject.arrays])
    for shapes in variants:
        arrays = [
            array[tuple(slice(0, size) for size in shape)]
            for array, shape in zip(subject.arrays, shapes, strict=True)
        ]
        how = f"with inputs of shapes {', '.join(map(str, shapes))}"
        if not subject.takes(arrays):
            refused.append(f"{how[5:]}: the tf.function has another input_signature")
            continue
        try:
            expected = subject.eager(arrays)
        except (*_REFUSALS, TypeError) as error:
            # What a tf.function with an input_signature says.
            if isinstance(error, TypeError) and "TensorSpec" not in str(error):
                raise
            refused.append(f"{how[5:]}: {first_line(error)}")
            continue
        _check_zero_size(subject, arrays, expected, how, reference)
    if len(refused) == len(variants):
        raise NotAvailable(f"it refuses {refused[0]}")


def _zero_variants(shapes: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Return shapes with zeros: one size everywhere, leading dimensions, single dimensions."""
    sizes = sorted({size for shape in shapes for size in shape if size})
    variants = [[tuple(0 if n == size else n for n in s) for s in shapes] for size in sizes]
    variants.append([(0, *s[1:]) if s else s for s in shapes])
    for i, shape in enumerate(shapes):
        for axis in range(len(shape)):
            changed = (*shape[:axis], 0, *shape[axis + 1 :])
            variants.append([*shapes[:i], changed, *shapes[i + 1 :]])
    return [variant for i, variant in enumerate(variants) if variant not in variants[:i]]


def _check_zero_size(
    subject: Subject,
    arrays: list[np.ndarray],
    expected: list[np.ndarray],
    how: str,
    reference: Callable | None,
) -> None:
    advice = (
        "Write the outputs even where an input has no elements: a sum over nothing is 0. Or refuse "
        "such inputs with a ValueError or tf.errors.InvalidArgumentError."
    )
    if not subject.stateful:
        for value in (0, 85):
            fill_free_memory(expected, value)
            subject.compare(
                subject.eager(arrays), f"in a second eager call {how}", advice, expected
            )
        if reference is not None:
            try:
                wanted = call_reference(subject, reference, arrays)
            except Exception:
                wanted = None  # it takes no such shapes
            if wanted is not None:
                subject.compare(
                    expected, f"as the reference gives {how}", advice, wanted, dtypes=False
                )
    try:
        function = subject.function(subject_.UNKNOWN)
    except Exception:  # another check says so
        return
    tensors = subject.tensors(arrays)
    subject.compare(
        to_arrays(function(*tensors)),
        f"as in an eager call, in a tf.function {how}",
        advice,
        expected,
    )
    try:
        specs = tf.function(subject.__call__).get_concrete_function(*tensors).structured_outputs
    except _REFUSALS:
        return  # a graph that knows the sizes is refused, which is clear as well
    for i, (spec, array) in enumerate(zip(specs, expected, strict=True)):
        if not spec.shape.is_compatible_with(array.shape):
            raise CheckFailed(
                f"{subject.output(i)} has the static shape {spec.shape} in a tf.function {how}, "
                f"expected one that fits the shape {array.shape} that it has when it runs.",
                advice,
                output=subject.output(i),
                expected=array.shape,
                given=spec.shape,
            )
