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
"""What a caller says of a function's outputs: all forms of `output_shape` and `output_dtype`."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tensorflow_tvm.dimensions import parse_shape
from tensorflow_tvm.signature import MOST_DIMENSIONS, Signature

# The shape of one output: its dimensions, where all are known when the function is made; a tensor,
# or a mix of integers and scalar tensors, to be read at each call; or integers and expressions of a
# signature's symbols.
Shape = tuple[Any, ...] | tf.Tensor

_INT64_MAX = 2**63 - 1


def parse_shapes(output_shape: Any, context: str) -> tuple[list[Shape] | None, bool]:
    """Split `output_shape` into one shape for each output.

    Parameters
    ----------
    output_shape
        See `Module.func`.
    context
        What error messages begin with.

    Returns
    -------
    shapes : list of shape, or None
        None if the outputs are shaped like the first input.
    several : bool
        Whether `output_shape` lists the shapes of several outputs, even if it lists one.
    """
    if output_shape is None:
        return None, False
    several = isinstance(output_shape, (list, tuple)) and any(map(_is_shape, output_shape))
    if not several:
        return [_parse_shape(output_shape, f"{context}: output_shape")], False
    return [
        _parse_shape(shape, f"{context}: output_shape of output {i}")
        for i, shape in enumerate(output_shape)
    ], True


def _is_shape(value: Any) -> bool:
    """Whether `value`, as an element of a list, is a shape and not a dimension."""
    if isinstance(value, (list, tuple, tf.TensorShape, str)):
        return True
    if isinstance(value, (tf.Tensor, tf.Variable, np.ndarray)):
        return len(value.shape) > 0 if isinstance(value, np.ndarray) else value.shape.rank == 1
    return False


def _parse_shape(shape: Any, what: str) -> Shape:
    if isinstance(shape, (tf.Tensor, tf.Variable)):
        _check_tensor(shape, what, rank=1)
        if not _is_known(shape):
            return shape
        shape = shape.numpy()
    if isinstance(shape, str):
        try:
            return _check_dimensions(list(parse_shape(shape)), what)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
    elif isinstance(shape, tf.TensorShape):
        if shape.rank is None:
            raise ValueError(
                f"{what}: the TensorShape has no known rank. Give the dimensions, or pass the "
                "shape as a tensor, for example tf.shape(x)."
            )
        shape = shape.as_list()
    elif isinstance(shape, np.ndarray):
        if shape.ndim != 1:
            raise ValueError(f"{what}: expected a vector, given an array of shape {shape.shape}.")
        shape = shape.tolist()
    elif not isinstance(shape, (list, tuple)):
        raise TypeError(
            f"{what}: expected a list, tuple, TensorShape, string or integer vector tensor, given "
            f"{shape!r}."
        )
    return _check_dimensions([_parse_dimension(dim, what) for dim in shape], what)


def _parse_dimension(dim: Any, what: str) -> Any:
    if isinstance(dim, (tf.Tensor, tf.Variable)):
        _check_tensor(dim, what, rank=0)
        return int(dim.numpy()) if _is_known(dim) else dim
    if dim is None or (isinstance(dim, tf.compat.v1.Dimension) and dim.value is None):
        raise ValueError(
            f"{what}: a dimension is unknown (None). Pass the shape as a tensor, for example "
            "tf.shape(x), or the dimension as a scalar tensor, for example tf.shape(x)[0]."
        )
    if isinstance(dim, tf.compat.v1.Dimension):
        dim = dim.value
    try:
        if isinstance(dim, (bool, np.bool_)):
            raise TypeError
        return operator.index(dim)
    except TypeError:
        raise TypeError(
            f"{what}: expected integers or scalar integer tensors as dimensions, given {dim!r}."
        ) from None


def _check_dimensions(dims: list[Any], what: str) -> Shape:
    if len(dims) > MOST_DIMENSIONS:
        raise ValueError(
            f"{what}: a tensor has at most {MOST_DIMENSIONS} dimensions, given {len(dims)}."
        )
    elements = 1
    for dim in dims:
        if not isinstance(dim, int):
            continue
        if dim < 0:
            raise ValueError(f"{what}: dimensions must not be negative, given {dims}.")
        # A size of 0 helps nobody who multiplies the others first, as TensorFlow does.
        elements *= max(dim, 1)
    if elements > _INT64_MAX:
        raise ValueError(f"{what}: {dims} is too large for a tensor.")
    return tuple(dims)


def _check_tensor(tensor: tf.Tensor | tf.Variable, what: str, rank: int) -> None:
    kind = "vector" if rank else "scalar"
    if tensor.dtype.base_dtype not in (tf.int32, tf.int64):
        raise TypeError(
            f"{what}: expected an int32 or int64 {kind}, given a tensor of dtype "
            f"{tensor.dtype.name}."
        )
    if tensor.shape.rank not in (None, rank):
        raise ValueError(
            f"{what}: expected an integer {kind}, given a tensor of shape {tensor.shape}."
        )


def _is_known(tensor: tf.Tensor | tf.Variable) -> bool:
    return not isinstance(tensor, tf.Variable) and hasattr(tensor, "numpy")


def add_to_signature(
    shapes: list[Shape] | None, signature: Signature | None, context: str
) -> tuple[list[Shape] | None, Signature | None]:
    """Move shapes that have symbols to the signature whose symbols they are.

    Returns
    -------
    shapes : list of shape, or None
        What is left for the op to be told.
    signature : Signature or None
        With the outputs' shapes.
    """
    symbolic = [shape for shape in shapes or () if isinstance(shape, tuple) and _symbols(shape)]
    if not symbolic:
        return shapes, signature
    text = f"[{', '.join(map(str, symbolic[0]))}]"
    if signature is None:
        raise ValueError(
            f"{context}: output_shape '{text}' has symbols, and no signature says what they stand "
            "for. Give numbers, a signature, or the shape as a tensor, for example tf.shape(x)."
        )
    outputs = []
    for output, shape in zip(signature.outputs, shapes, strict=False):
        if not is_static(shape) and shape not in symbolic:
            raise ValueError(f"{context}: output_shape mixes symbols, as in '{text}', and tensors.")
        if output.shape not in (None, shape):
            raise ValueError(
                f"{context}: output_shape '{text}' is not what the signature says: {signature}."
            )
        outputs.append(dataclasses.replace(output, shape=shape))
    taken = [argument for argument in signature.arguments if argument.role != "output"]
    try:
        return None, Signature((*taken, *outputs))
    except ValueError as error:
        raise ValueError(f"{context}: output_shape: {error}.") from None


def _symbols(shape: tuple[Any, ...]) -> bool:
    return any(isinstance(dim, str) for dim in shape)


def is_static(shape: Shape) -> bool:
    """Whether all dimensions are integers."""
    return isinstance(shape, tuple) and all(isinstance(dim, int) for dim in shape)


def to_tensors(shapes: Sequence[Shape], context: str) -> list[tf.Tensor]:
    """Return the shapes as integer vectors, all int32 or all int64.

    Raises
    ------
    ValueError
        If it is known already that no tensor can have one of them.
    """
    tensors = []
    for shape in shapes:
        if is_static(shape):
            tensors.append(tf.constant(shape, tf.int64))
        elif isinstance(shape, tuple):
            tensors.append(tf.stack([tf.cast(dim, tf.int64) for dim in shape]))
        else:
            tensors.append(tf.convert_to_tensor(shape))
    if not tf.executing_eagerly():
        for i, tensor in enumerate(tensors):
            known = tf.get_static_value(tensor)
            if known is not None and known.ndim == 1:
                _check_dimensions(known.tolist(), f"{context}: output_shape of output {i}")
    if any(tensor.dtype == tf.int64 for tensor in tensors):
        tensors = [tf.cast(tensor, tf.int64) for tensor in tensors]
    return tensors


def parse_dtypes(output_dtype: Any, context: str) -> tuple[list[tf.DType] | None, bool]:
    """Split `output_dtype` like `parse_shapes` does shapes."""
    if output_dtype is None:
        return None, False
    several = isinstance(output_dtype, (list, tuple))
    dtypes = []
    for dtype in output_dtype if several else [output_dtype]:
        try:
            dtypes.append(tf.as_dtype(dtype).base_dtype)
        except (TypeError, ValueError):
            raise TypeError(
                f"{context}: output_dtype: expected what tf.as_dtype takes, for example 'float32' "
                f"or tf.int8, given {dtype!r}."
            ) from None
    if not dtypes:
        raise ValueError(f"{context}: output_dtype is empty; a function has at least one output.")
    return dtypes, several
