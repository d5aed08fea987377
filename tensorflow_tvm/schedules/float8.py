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
"""float8 on processors, exactly: TVM's own conversions go wrong with zeros and subnormal numbers.

Each operation is done in float32, and its result rounded to the nearest, of two equally near to the
even one, as ml_dtypes does it. No float32 in between is subnormal: TensorFlow's threads take those
for zeros. The conversions are operators until TVM has simplified what is around them, which would
take very long if they were written out in each other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np
from tvm import ir, s_tir, tirx
from tvm_ffi.structural import structural_mutate, structural_walk

from tensorflow_tvm.vectors import convert, let, like, register, select

_OPERATIONS = (
    *(tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Min, tirx.Max, tirx.FloorDiv, tirx.FloorMod),
    *(tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE),
)
_MOVES = ("if_then_else", "reinterpret", "likely")  # these compute nothing
# Bits of float32.
_INFINITY = 0x7F800000
_NAN = 0x7FC00000
_BIAS = 127


@dataclasses.dataclass(frozen=True)
class _Format:
    """A type of 8 bits: so many of them for the fraction, and what exponents are counted from."""

    dtype: str
    fraction: int
    bias: int
    infinity: int | None  # what follows the largest number
    nan: int

    @property
    def shift(self) -> int:
        return 23 - self.fraction

    @property
    def offset(self) -> int:
        """What makes exponents those of float32."""
        return (_BIAS - self.bias) << 23

    @property
    def normal(self) -> int:
        """The bits of the least normal number."""
        return 1 << self.fraction

    @property
    def step(self) -> int:
        """The exponent of the least subnormal number."""
        return 1 - self.bias - self.fraction


_FORMATS = {
    "float8_e4m3fn": _Format("float8_e4m3fn", 3, 7, None, 0x7F),
    "float8_e5m2": _Format("float8_e5m2", 2, 15, 0x7C, 0x7E),
}
# Of bits, and to bits.
_DECODE = {register(f"tensorflow_tvm.from_{name}"): f for name, f in _FORMATS.items()}
_ENCODE = {register(f"tensorflow_tvm.to_{name}"): f for name, f in _FORMATS.items()}


def rewrite(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return `function` with what it does with float8 written out."""
    if not _has_float8(function.body):
        return function
    handlers: list[Any] = [(kind, _operation) for kind in _OPERATIONS]
    handlers += [(tirx.Cast, _cast), (tirx.FloatImm, _constant), (ir.Call, _call)]
    body = structural_mutate(function.body, handlers)
    return function.with_body(_with_bytes(body))


def _has_float8(body: tirx.Stmt) -> bool:
    found: list[bool] = []
    structural_walk(body, [(ir.Expr, lambda node: found.append(_format_of(node) is not None))])
    return any(found)


def _with_bytes(body: tirx.Stmt) -> tirx.Stmt:
    """Return `body` with bytes in its own tensors: TVM would keep float32 in them."""
    bytes_of: dict[tirx.Var, tirx.Var] = {}

    def see_buffer(buffer: tirx.Var) -> None:
        if str(buffer.dtype) in _FORMATS:
            bytes_of[buffer] = tirx.decl_buffer(
                list(buffer.shape), "uint8", buffer.name, scope=buffer.scope()
            )

    def see_block(block: s_tir.SBlock) -> None:
        for buffer in block.alloc_buffers:
            see_buffer(buffer)

    structural_walk(
        body,
        [
            (tirx.AllocBuffer, lambda allocation: see_buffer(allocation.buffer)),
            (s_tir.SBlock, see_block),
        ],
    )

    def load(node: ir.TensorLoad, mutator: Any) -> Any:
        if node.source not in bytes_of:
            return mutator.default_mutate(node)
        indices = [mutator.mutate(index) for index in node.indices]
        return tirx.reinterpret(str(node.ty), tirx.BufferLoad(bytes_of[node.source], indices))

    def store(node: tirx.BufferStore, mutator: Any) -> Any:
        if node.buffer not in bytes_of:
            return mutator.default_mutate(node)
        value = tirx.reinterpret("uint8", mutator.mutate(node.value))
        indices = [mutator.mutate(index) for index in node.indices]
        return tirx.BufferStore(bytes_of[node.buffer], value, indices)

    def allocate(node: tirx.AllocBuffer, mutator: Any) -> Any:
        if node.buffer not in bytes_of:
            return mutator.default_mutate(node)
        return tirx.AllocBuffer(bytes_of[node.buffer])

    if not bytes_of:
        return body
    return structural_mutate(
        body,
        [
            (ir.TensorLoad, load),
            (tirx.BufferStore, store),
            (tirx.AllocBuffer, allocate),
            (tirx.Var, lambda variable, _: bytes_of.get(variable, variable)),
        ],
    )


def _format_of(expression: Any) -> _Format | None:
    return _FORMATS.get(str(getattr(expression, "ty", "")))


def _operation(node: Any, mutator: Any) -> Any:
    if _format_of(node.a) is None:
        return mutator.default_mutate(node)
    result = type(node)(_float32(node.a, mutator), _float32(node.b, mutator))
    return _encoded(result, _format_of(node))


def _cast(node: tirx.Cast, mutator: Any) -> Any:
    if _format_of(node) is None and _format_of(node.value) is None:
        return mutator.default_mutate(node)
    value = _float32(node.value, mutator)
    target = _format_of(node)
    return value.astype(str(node.ty)) if target is None else _encoded(value, target)


def _constant(node: tirx.FloatImm, mutator: Any) -> Any:
    target = _format_of(node)
    if target is None:
        return node
    bits = _nearest(node.value, target).view(np.uint8)
    return tirx.reinterpret(target.dtype, tirx.const(int(bits), "uint8"))


def _nearest(value: float, target: _Format) -> np.ndarray:
    return np.array(value, np.float32).astype(getattr(ml_dtypes, target.dtype))


def _call(node: ir.Call, mutator: Any) -> Any:
    name = getattr(node.op, "name", "")
    takes = any(_format_of(argument) is not None for argument in node.args)
    if name.rpartition(".")[2] in _MOVES or not takes:
        return mutator.default_mutate(node)
    arguments = [_float32(argument, mutator) for argument in node.args]
    target = _format_of(node)
    dtype = "float32" if target is not None else str(node.ty)
    return _encoded(tirx.call_intrin(dtype, name, *arguments), target)


def _int(value: int) -> Any:
    return tirx.const(value - (1 << 32) if value >= 1 << 31 else value, "int32")


def _power(exponent: int) -> Any:
    return tirx.const(2.0**exponent, "float32")


def _float32(node: Any, mutator: Any) -> Any:
    """Return a float8 as float32; anything else as its type."""
    source = _format_of(node)
    if source is None:
        return mutator.mutate(node)
    if isinstance(node, tirx.FloatImm):
        return tirx.const(float(_nearest(node.value, source)), "float32")
    bits = tirx.reinterpret("uint8", mutator.mutate(node))
    return tirx.call_intrin("float32", f"tensorflow_tvm.from_{source.dtype}", bits)


def _encoded(value: Any, target: _Format | None) -> Any:
    """Return a number as float8; as it is without a target."""
    if target is None:
        return value
    name = f"tensorflow_tvm.to_{target.dtype}"
    bits = tirx.call_intrin("uint8", name, value.astype("float32"))
    return tirx.reinterpret(target.dtype, bits)


def lower(call: ir.Call) -> Any:
    """Return what computes a conversion; None if the call is none."""
    name = getattr(call.op, "name", "")
    if name in _DECODE:
        source = _DECODE[name]
        return let(convert(call.args[0], "int32"), lambda bits: _decode(bits, source))
    if name in _ENCODE:
        target = _ENCODE[name]
        bits = tirx.reinterpret(like("int32", call), call.args[0])
        return let(bits, lambda bits: _encode(bits, target))
    return None


def _decode(bits: Any, source: _Format) -> Any:
    """Return the float32 of the bits of a float8."""

    def of_magnitude(magnitude: Any) -> Any:
        # In two factors, since TVM's C code has seven digits of each number.
        half = source.step // 2
        small = convert(magnitude, "float32") * _power(half) * _power(source.step - half)
        result = select(
            magnitude >= _int(source.normal),
            (magnitude << _int(source.shift)) + _int(source.offset),
            _bits(small),
        )
        if source.infinity is not None:
            is_infinite = (magnitude == _int(source.infinity)).asobject()
            result = select(is_infinite, _int(_INFINITY), result)
        largest = source.nan - 1 if source.infinity is None else source.infinity
        result = select(magnitude > _int(largest), _int(_NAN), result)
        result = result | ((bits & _int(0x80)) << _int(24))
        return tirx.reinterpret(like("float32", bits), result)

    return let(bits & _int(0x7F), of_magnitude)


def _encode(bits: Any, target: _Format) -> Any:
    """Return the bits of the float8 next to the float32 that has `bits`."""

    def of_magnitude(magnitude: Any) -> Any:
        half, shift = _int((1 << (target.shift - 1)) - 1), _int(target.shift)
        limited = tirx.min(magnitude, _int(_INFINITY))
        large = ((limited - _int(target.offset)) + half + ((limited >> shift) & _int(1))) >> shift
        large = tirx.min(large, _int(target.nan if target.infinity is None else target.infinity))
        # Adding a number whose last bit is the least subnormal one rounds to those.
        exponent = 23 + target.step
        adder_bits = _int((_BIAS + exponent) << 23)
        added = tirx.reinterpret(like("float32", bits), magnitude) + _power(exponent)
        least = _int((_BIAS + 1 - target.bias) << 23)
        result = select(magnitude < least, _bits(added) - adder_bits, large)
        result = select(magnitude > _int(_INFINITY), _int(target.nan), result)
        return convert(result | ((bits >> _int(24)) & _int(0x80)), "uint8")

    return let(bits & _int(0x7FFFFFFF), of_magnitude)


def _bits(value: Any) -> Any:
    return tirx.reinterpret(like("int32", value), value)
