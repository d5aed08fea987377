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
"""The kinds of steps of random functions."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_tvm.tests.fuzz import expressions
from tensorflow_tvm.tests.fuzz.expressions import is_float
from tensorflow_tvm.tests.fuzz.functions import Value
from tensorflow_tvm.tests.fuzz.steps import Builder, Kinds, read


def _is_number(size: str) -> bool:
    return size.isdigit()


def _plus(size: str, amount: int) -> str:
    if _is_number(size):
        return str(int(size) + amount)
    return f"({size} {'+' if amount >= 0 else '-'} {abs(amount)})"


def _times(size: str, amount: int) -> str:
    return str(int(size) * amount) if _is_number(size) else f"({size} * {amount})"


def _over(size: str, amount: int) -> str:
    return str(int(size) // amount) if _is_number(size) else f"te.floordiv({size}, {amount})"


def _elements(b: Builder) -> None:
    x = b.value()
    same = [v for v in b.values if v.shape == x.shape and v.name != x.name and v.role == "data"]
    others = b.rng.sample(same, min(len(same), b.rng.choice([0, 1, 2])))
    if not others and b.rng.random() < 0.4:
        others = [b.input(b.dtype(), x.shape)]
    leaves = [(read(v), v.dtype) for v in (x, *others)]
    dtype = x.dtype if b.rng.random() < 0.8 else b.dtype()
    body = b.expressions(leaves, len(x.shape)).value(dtype, b.rng.choice([1, 2, 2, 3]))
    b.compute("elements", dtype, x.shape, body)


def _broadcast(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    rank = len(x.shape)
    axes = sorted(b.rng.sample(range(rank), b.rng.randint(1, rank)))
    if all(len(x.shape[axis]) == 1 for axis in axes):  # symbols or small constants
        y = b.input(b.dtype(), tuple(x.shape[axis] for axis in axes))
    else:
        axes = axes[:1]
        y = b.value(lambda v: v.shape == (x.shape[axes[0]],), rank=1)
        if y.shape != (x.shape[axes[0]],):
            return
    indices = [f"i{axis}" for axis in axes]
    leaves = [(read(x), x.dtype), (read(y, indices), y.dtype)]
    body = b.expressions(leaves, rank).value(x.dtype, 2)
    b.compute("broadcast", x.dtype, x.shape, body)


def _reduce(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype != "bool")
    rank = len(x.shape)
    count = b.rng.choice([1, 1, 2, rank]) if rank > 1 else 1
    reduced = sorted(b.rng.sample(range(rank), count))
    kept = [axis for axis in range(rank) if axis not in reduced]
    axes, indices = [], [""] * rank
    for axis in reduced:
        name, line = b.axis(x.shape[axis])
        axes.append((name, line, x.shape[axis]))
        indices[axis] = name
    for at, axis in enumerate(kept):
        indices[axis] = f"i{at}"
    shape = [x.shape[axis] for axis in kept]
    element = read(x, indices)
    if b.rng.random() < 0.5:
        element = b.expressions([(element, x.dtype)], len(kept)).value(x.dtype, 1)
    names = ", ".join(name for name, _, _ in axes)
    kinds = ["te.sum", "te.max", "te.min"]
    if not is_float(x.dtype):
        kinds += ["xor", "product"]
    elif x.dtype in ("float32", "float64"):
        kinds += ["product", "logsumexp"]
    kind = b.rng.choice(kinds)
    before = []
    if not kind.startswith("te."):
        reducer = b.name("reducer")
        before = [f"{reducer} = te.comm_reducer({_REDUCERS[kind]}, name='{kind}')"]
        kind = reducer
    b.compute("reduce", x.dtype, shape, f"{kind}({element}, axis=[{names}])", axes, before)


_REDUCERS = {
    "xor": "lambda p, q: p ^ q, lambda dtype: tirx.const(0, dtype)",
    "product": "lambda p, q: p * q, lambda dtype: tirx.const(1, dtype)",
    "logsumexp": "lambda p, q: tirx.max(p, q) + te.log(te.exp(tirx.min(p, q) - tirx.max(p, q)) "
    "+ 1.0), lambda dtype: tirx.const(-100.0, dtype)",
}


def _arg_reduce(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype not in ("bool", "bfloat16"))
    axis = b.rng.randrange(len(x.shape))
    shape = [size for at, size in enumerate(x.shape) if at != axis]
    if b.rng.random() < 0.5 or x.dtype not in ("float32", "float64", "int32", "int64"):
        name = b.rng.choice(["argmax", "argmin"])
        b.operator("topi_arg", "int32", shape, f"topi.{name}({x.name}, axis={axis})", x.shape)
        return
    reducer = b.name("reducer")
    name, line = b.axis(x.shape[axis])
    indices = [f"i{at - (at > axis)}" for at in range(len(x.shape))]
    indices[axis] = name
    lines = [
        line,
        f"{reducer} = te.comm_reducer(lambda p, q: (tirx.Select(p[1] >= q[1], p[0], q[0]), "
        "tirx.Select(p[1] >= q[1], p[1], q[1])), lambda d, e: (tirx.const(-1, d), "
        f"te.min_value(e)), name='arg')",
    ]
    sizes = "".join(f"{size}, " for size in shape)
    parameters = ", ".join(f"i{at}" for at in range(len(shape)))
    first, second = (Value(b.name(), dtype, tuple(shape)) for dtype in ("int32", x.dtype))
    lines.append(
        f"{first.name}, {second.name} = te.compute(({sizes}), lambda {parameters}: "
        f"{reducer}(({name}, {read(x, indices)}), axis={name}), name='{first.name}')".replace(
            "lambda :", "lambda:"
        )
    )
    b.add("arg_reduce", lines, [first, second], x.shape)


def _topi_reduce(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype != "bool")
    axis = b.rng.randrange(len(x.shape))
    keep = b.rng.random() < 0.4
    shape = [size for at, size in enumerate(x.shape) if at != axis]
    if keep:
        shape.insert(axis, "1")
    name = b.rng.choice(["sum", "max", "min", "prod"])
    call = f"topi.{name}({x.name}, axis={axis}, keepdims={keep})"
    b.operator("topi_reduce", x.dtype, shape, call, x.shape)


def _slice(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    axis = b.rng.randrange(len(x.shape))
    amount = b.rng.choice([1, 2, 3, 5])
    offset = b.rng.choice([0, amount, amount, 1])
    offset = min(offset, amount) if b.rng.random() < 0.9 else amount + 1
    shape = list(x.shape)
    shape[axis] = _plus(shape[axis], -amount)
    if _is_number(x.shape[axis]) and int(x.shape[axis]) < amount:
        return
    indices = [f"i{at}" for at in range(len(shape))]
    indices[axis] += f" + {offset}"
    element = read(x, indices)
    if b.rng.random() < 0.3:
        element = b.expressions([(element, x.dtype)], len(shape)).value(x.dtype, 1)
    b.compute("slice", x.dtype, shape, element)


def _pad(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    axis = b.rng.randrange(len(x.shape))
    before, after = b.rng.choice([0, 1, 2, 3]), b.rng.choice([0, 1, 2])
    shape = list(x.shape)
    shape[axis] = _plus(shape[axis], before + after)
    indices = [f"i{at}" for at in range(len(shape))]
    indices[axis] += f" - {before}"
    condition = f"tirx.all(i{axis} >= {before}, i{axis} < {_plus(x.shape[axis], before)})"
    zero = expressions.constant(b.rng, x.dtype)
    choose = b.rng.choice(["tirx.if_then_else", "tirx.if_then_else", "tirx.Select"])
    b.compute("pad", x.dtype, shape, f"{choose}({condition}, {read(x, indices)}, {zero})")


def _concat(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    same = [v for v in b.values if v.shape == x.shape and v.dtype == x.dtype]
    y = b.rng.choice(same)
    axis = b.rng.randrange(len(x.shape))
    shape = list(x.shape)
    shape[axis] = _times(shape[axis], 2)
    if b.rng.random() < 0.5:
        call = f"topi.concatenate([{x.name}, {y.name}], axis={axis})"
        b.operator("topi_concatenate", x.dtype, shape, call)
        return
    indices = [f"i{at}" for at in range(len(shape))]
    indices[axis] += f" - {x.shape[axis]}"
    condition = f"i{axis} < {x.shape[axis]}"
    body = f"tirx.if_then_else({condition}, {read(x)}, {read(y, indices)})"
    b.compute("concat", x.dtype, shape, body)


def _stride(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    axis = b.rng.randrange(len(x.shape))
    stride = b.rng.choice([2, 3])
    shape = list(x.shape)
    indices = [f"i{at}" for at in range(len(shape))]
    size = shape[axis]
    if b.rng.random() < 0.5:
        shape[axis] = _plus(_over(_plus(size, -1), stride), 1)
        indices[axis] = f"i{axis} * {stride}"
        b.compute("stride", x.dtype, shape, read(x, indices))
        return
    shape[axis] = _plus(_times(_plus(size, -1), stride), 1)
    indices[axis] = f"te.floordiv(i{axis}, {stride})"
    condition = f"te.floormod(i{axis}, {stride}) == 0"
    zero = f'tirx.const(0, "{x.dtype}")'
    b.compute(
        "dilate", x.dtype, shape, f"tirx.if_then_else({condition}, {read(x, indices)}, {zero})"
    )


def _convolution(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype != "bool")
    axis = len(x.shape) - 1
    size = b.rng.choice([*b.symbols, "2", "3"])
    w = b.input(x.dtype, (size,))
    name, line = b.axis(size)
    shape = [*x.shape[:axis], f"({x.shape[axis]} - {size} + 1)"]
    if _is_number(x.shape[axis]) and _is_number(size):
        if int(x.shape[axis]) < int(size):
            return
        shape[axis] = str(int(x.shape[axis]) - int(size) + 1)
    indices = [*(f"i{at}" for at in range(axis)), f"i{axis} + {name}"]
    body = f"te.sum({read(x, indices)} * {w.name}({name}), axis={name})"
    b.compute("convolution", x.dtype, shape, body, [(name, line, size)])


def _pool(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype != "bool")
    axis = b.rng.randrange(len(x.shape))
    window, stride = b.rng.choice([(2, 2), (3, 1), (3, 2), (2, 3)])
    if _is_number(x.shape[axis]) and int(x.shape[axis]) < window:
        return
    shape = list(x.shape)
    shape[axis] = _plus(_over(_plus(shape[axis], -window), stride), 1)
    name, line = b.axis(str(window))
    indices = [f"i{at}" for at in range(len(shape))]
    indices[axis] = f"i{axis} * {stride} + {name}"
    kind = b.rng.choice(["te.max", "te.min", "te.sum"])
    body = f"{kind}({read(x, indices)}, axis={name})"
    b.compute("pool", x.dtype, shape, body, [(name, line, str(window))])


def _matmul(b: Builder) -> None:
    x = b.value(lambda v: len(v.shape) == 2 and v.dtype != "bool", rank=2)
    columns = b.size()
    inner = x.shape[1]
    if inner in b.symbols or _is_number(inner):
        y = b.input(x.dtype, (inner, columns))
    else:
        y = b.value(lambda v: len(v.shape) == 2 and v.shape[0] == inner and v.dtype == x.dtype)
        if len(y.shape) != 2 or y.shape[0] != inner or y.dtype != x.dtype:
            return
    name, line = b.axis(inner)
    body = f"te.sum({read(x, ['i0', name])} * {read(y, [name, 'i1'])}, axis={name})"
    b.compute("matmul", x.dtype, (x.shape[0], y.shape[1]), body, [(name, line, inner)])


def _index_input(b: Builder, rank: int = 1) -> Value:
    found = [v for v in b.values if v.role == "index" and len(v.shape) == rank]
    if found and b.rng.random() < 0.4:
        return b.rng.choice(found)
    dtype = b.rng.choice(["int32", "int32", "int64", "int64", "int8", "uint8"])
    return b.input(dtype, tuple(b.size() for _ in range(rank)), "index")


def _index_text(b: Builder, index: Value, indices: Sequence[str]) -> str:
    text = read(index, indices)
    form = b.rng.random()
    if form < 0.5:
        return text
    wide = f'({text}).astype("{b.rng.choice(["int32", "int64"])}")'
    return b.rng.choice([wide, f"({wide} + 1)", f"({wide} * 2)", f"({text} - {text} + {text})"])


def _gather(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    index = _index_input(b)
    axis = b.rng.randrange(len(x.shape))
    shape = list(x.shape)
    shape[axis] = index.shape[0]
    indices = [f"i{at}" for at in range(len(shape))]
    indices[axis] = _index_text(b, index, [f"i{axis}"])
    b.compute("gather", x.dtype, shape, read(x, indices))


def _take(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    index = _index_input(b)
    if index.dtype not in ("int32", "int64"):
        return
    axis = b.rng.randrange(len(x.shape))
    mode = b.rng.choice(["clip", "wrap", "fast"])
    shape = [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]]
    call = f'topi.take({x.name}, {index.name}, axis={axis}, mode="{mode}")'
    b.operator("topi_take", x.dtype, shape, call)


def _computed_index(b: Builder, index: Value) -> str:
    """Return the name of an index tensor, or of one that is computed from it."""
    if b.rng.random() < 0.5:
        return index.name
    form = b.rng.choice(["{} + 1", "{} * 2", "{} - 1"]).format(read(index))
    return b.compute("index", index.dtype, index.shape, form).name


def _scatter(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype != "bool")
    kind = b.rng.choice(["scatter_elements", "scatter_nd", "index_put"])
    index = _index_input(b, 2 if kind == "scatter_nd" else 1)
    if index.dtype not in ("int32", "int64"):
        return
    if kind != "scatter_nd" and len(x.shape) > 1:
        x = b.value(lambda v: v.dtype != "bool", rank=1)
        if x.dtype == "bool":
            return
    count = index.shape[-1]
    if kind == "scatter_nd":
        if not all(size in b.symbols or _is_number(size) for size in x.shape[1:]):
            return
        index = b.input(index.dtype, ("1", count), "index")
        updates = b.input(x.dtype, (count, *x.shape[1:]))
    else:
        updates = b.input(x.dtype, (count,))
    update = updates.name
    if b.rng.random() < 0.4:
        body = f"{read(updates)} + {read(updates)}"
        update = b.compute("updates", x.dtype, updates.shape, body).name
    chosen = _computed_index(b, index)
    if kind == "scatter_elements":
        mode = b.rng.choice(["update", "add", "mul", "min", "max"])
        call = f'topi.scatter_elements({x.name}, {chosen}, {update}, 0, "{mode}")'
    elif kind == "scatter_nd":
        call = f'topi.scatter_nd({x.name}, {chosen}, {update}, "{b.rng.choice(["update", "add"])}")'
    else:
        call = f"topi.index_put({x.name}, [{chosen}], {update}, {b.rng.random() < 0.5})"
    b.operator("topi_" + kind, x.dtype, x.shape, call, [count, *x.shape[1:]])


def _cumulate(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype != "bool")
    axis = b.rng.randrange(len(x.shape))
    name = b.rng.choice(["cumsum", "cumprod"])
    exclusive = b.rng.choice(["False", "True"])
    call = f'topi.{name}({x.name}, axis={axis}, dtype="{x.dtype}", exclusive={exclusive})'
    b.operator("topi_" + name, x.dtype, x.shape, call)


def _transpose(b: Builder) -> None:
    x = b.value(lambda v: len(v.shape) > 1, rank=b.rng.choice([2, 3, None]))
    order = list(range(len(x.shape)))
    b.rng.shuffle(order)
    if b.rng.random() < 0.4:
        call = f"topi.transpose({x.name}, {tuple(order)})"
        b.operator("topi_transpose", x.dtype, [x.shape[axis] for axis in order], call)
        return
    indices = [""] * len(order)
    for at, axis in enumerate(order):
        indices[axis] = f"i{at}"
    b.compute("transpose", x.dtype, [x.shape[axis] for axis in order], read(x, indices))


def _reshape(b: Builder) -> None:
    x = b.value(lambda v: len(v.shape) > 1, rank=b.rng.choice([2, 3, None]))
    if len(x.shape) < 2:
        return
    axis = b.rng.randrange(len(x.shape) - 1)
    inner = x.shape[axis + 1]
    shape = [*x.shape[:axis], f"({x.shape[axis]} * {inner})", *x.shape[axis + 2 :]]
    indices = [f"i{at - (at > axis)}" for at in range(len(x.shape))]
    indices[axis] = f"te.floordiv(i{axis}, {inner})"
    indices[axis + 1] = f"te.floormod(i{axis}, {inner})"
    b.compute("reshape", x.dtype, shape, read(x, indices))


def _split(b: Builder) -> None:
    x = b.value(lambda v: v.shape and len(v.shape) < 5)
    if not x.shape or len(x.shape) >= 5:
        return
    axis = b.rng.randrange(len(x.shape))
    size = x.shape[axis]
    # TVM makes 1 of a // a, whatever a is.
    inner = b.rng.choice(["2", "3", *(symbol for symbol in b.symbols if symbol not in size)])
    outer = (
        f"te.floordiv({size}, {inner})"
        if not _is_number(size + inner)
        else str(int(size) // int(inner))
    )
    shape = [*x.shape[:axis], outer, inner, *x.shape[axis + 1 :]]
    indices = [f"i{at + (at > axis)}" for at in range(len(x.shape))]
    indices[axis] = f"i{axis} * {inner} + i{axis + 1}"
    b.compute("split", x.dtype, shape, read(x, indices))


def _by_sizes(b: Builder) -> None:
    """Read by quotients and remainders of sizes."""
    x = b.value(lambda v: v.shape)
    axis = b.rng.randrange(len(x.shape))
    size = x.shape[axis]
    symbol = b.rng.choice([symbol for symbol in b.symbols if symbol not in size] or ["2"])
    shape = list(x.shape)
    indices = [f"i{at}" for at in range(len(shape))]
    shape[axis], indices[axis] = b.rng.choice(
        [
            (size, f"te.floormod(i{axis} + {symbol}, {size})"),
            (f"({size} * {symbol})", f"te.floordiv(i{axis}, {symbol})"),
            (f"({size} * 2)", f"te.floormod(i{axis}, {size})"),
            (size, f"{size} - 1 - i{axis}"),
            (f"({size} - {symbol})", f"i{axis} + {symbol}"),
            (f"te.floormod({size}, {symbol})", f"i{axis}"),
            (size, f"te.floordiv(i{axis} * {symbol}, {size})"),
        ]
    )
    b.compute("by_sizes", x.dtype, shape, read(x, indices))


def _from_nothing(b: Builder) -> None:
    """Compute a tensor of sizes and indices alone."""
    rank = b.rng.choice([1, 2])
    first = b.rng.choice(b.symbols)
    second = b.rng.choice([symbol for symbol in b.symbols if symbol != first] or ["2"])
    sizes = [first, f"({first} - {b.rng.choice([1, 2, 3])})", f"({first} - {second})"]
    sizes += [f"({first} * {second})", f"te.floordiv({first}, {second})", "3"]
    shape = [b.rng.choice(sizes) for _ in range(rank)]
    dtype = b.dtype()
    other = b.rng.choice(b.symbols)
    leaves = [(f"te.floordiv(i0 * 3, {other})", "int32"), (f"te.floormod(i0, {other})", "int32")]
    leaves += [(f"(i0 + {other})", "int32")]
    b.compute("from_nothing", dtype, shape, b.expressions(leaves, rank).value(dtype, 2))


def _expand(b: Builder) -> None:
    x = b.value(lambda v: v.shape)
    axis = b.rng.randrange(len(x.shape))
    count = b.rng.choice([2, 3])
    shape = list(x.shape)
    shape[axis] = _times(shape[axis], count)
    if b.rng.random() < 0.5:
        counts = tuple(count if at == axis else 1 for at in range(len(shape)))
        call = f"topi.tile({x.name}, {counts})"
        b.operator("topi_tile", x.dtype, shape, call)
    else:
        b.operator("topi_repeat", x.dtype, shape, f"topi.repeat({x.name}, {count}, {axis})")


def _window_product(b: Builder) -> None:
    """Compute a tensor of a shape whose sizes may both be negative, and reduce it."""
    x = b.value(lambda v: len(v.shape) == 2, rank=2)
    if x.dtype == "bool":
        return
    p, q = b.rng.choice([1, 2, 3]), b.rng.choice([1, 2, 3])
    if any(_is_number(size) and int(size) < 3 for size in x.shape):
        return
    shape = (_plus(x.shape[0], -p), _plus(x.shape[1], -q))
    b.compute("window", x.dtype, shape, read(x, [f"i0 + {p}", f"i1 + {q}"]))


def _topi_elements(b: Builder) -> None:
    x = b.value(lambda v: v.dtype in ("float32", "float64", "int32"))
    if x.dtype not in ("float32", "float64", "int32"):
        return
    names = ["topi.clip({}, -1.0, 1.0)", "topi.sign({})", "topi.nn.relu({})", "topi.negative({})"]
    if is_float(x.dtype):
        names += ["topi.nn.leaky_relu({}, 0.25)", "topi.exp({})", "topi.tanh({})", "topi.rsqrt({})"]
    b.operator("topi_elements", x.dtype, x.shape, b.rng.choice(names).format(x.name))


def _softmax(b: Builder) -> None:
    x = b.value(lambda v: v.shape and v.dtype in ("float32", "float64"))
    if x.dtype not in ("float32", "float64"):
        return
    axis = b.rng.randrange(len(x.shape))
    b.operator("topi_softmax", x.dtype, x.shape, f"topi.nn.softmax({x.name}, axis={axis})")


KINDS: Kinds = {
    "elements": (_elements, 5),
    "broadcast": (_broadcast, 2),
    "reduce": (_reduce, 3),
    "arg_reduce": (_arg_reduce, 1),
    "topi_reduce": (_topi_reduce, 1),
    "slice": (_slice, 2),
    "pad": (_pad, 1.5),
    "concat": (_concat, 1),
    "stride": (_stride, 1.5),
    "convolution": (_convolution, 1.5),
    "pool": (_pool, 1.5),
    "matmul": (_matmul, 1),
    "gather": (_gather, 2),
    "take": (_take, 1),
    "scatter": (_scatter, 2),
    "cumulate": (_cumulate, 0.7),
    "transpose": (_transpose, 1),
    "reshape": (_reshape, 1),
    "split": (_split, 1),
    "by_sizes": (_by_sizes, 1.5),
    "from_nothing": (_from_nothing, 1),
    "expand": (_expand, 0.7),
    "window": (_window_product, 0.7),
    "topi_elements": (_topi_elements, 1),
    "softmax": (_softmax, 0.5),
}
