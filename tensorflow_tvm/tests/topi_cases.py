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
"""The operators of tvm.topi that topi_sweep_test.py runs, with references in NumPy or TensorFlow.

FAMILIES has those that work, and BROKEN those on which TVM 0.27 itself fails, with what it says.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tvm
from numpy.lib.stride_tricks import sliding_window_view
from tvm import te, tirx, topi

# What symbolic dimensions are at run time; other dimensions are compiled in.
SIZES = {"n": 7, "m": 13, "k": 5}

FLOATS = ("float32", "float64")
HALF = ("float32", "float16")
NUMBERS = ("float32", "int32")
INTEGERS = ("int32", "int64")
BOOL = ("bool",)

# The tolerance of an operator that computes float64 with constants or values of float32.
SINGLE = 2e-5


@dataclasses.dataclass(frozen=True)
class Input:
    """A placeholder and its values. A dtype of None is the one that is swept."""

    shape: tuple[int | str, ...]
    values: Callable[[np.random.Generator, tuple[int, ...], np.dtype], np.ndarray]
    dtype: str | None = None


def some(*shape: int | str, low: float = -3, high: float = 3, dtype: str | None = None) -> Input:
    """Random values between `low` and `high`."""

    def values(random: np.random.Generator, size: tuple[int, ...], np_dtype: np.dtype):
        if np_dtype.kind == "b":
            return random.random(size) < 0.5
        if np_dtype.kind in "iu":
            smallest = max(low, 0) if np_dtype.kind == "u" else low
            return random.integers(int(smallest), int(high), size, endpoint=True).astype(np_dtype)
        return random.uniform(low, high, size).astype(np_dtype)

    return Input(shape, values, dtype)


def index(*shape: int | str, below: int, dtype: str = "int32") -> Input:
    """Random indices."""
    return some(*shape, low=0, high=below - 1, dtype=dtype)


def fixed(values: Any, dtype: str | None = None) -> Input:
    """These values."""
    array = np.asarray(values)
    return Input(array.shape, lambda _, __, np_dtype: array.astype(np_dtype), dtype)


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


@dataclasses.dataclass(frozen=True)
class Case:
    """An operator, how it is called and what it should give.

    `call` gets the operator and placeholders (or the dtype where there are none) and returns TE
    tensors; `reference` gets arrays, floats as float64, and returns arrays. `out` are the outputs'
    dtypes, None being the swept one. `view` picks what is compared. Of a broken case, `error` is
    what TVM says; with `crashes`, it ends the process.
    """

    name: str
    inputs: tuple[Input, ...]
    reference: Callable | None
    call: Callable
    dtypes: tuple[str, ...]
    out: tuple[str | None, ...]
    tolerance: float | None
    view: Callable | None
    error: str | None
    crashes: bool

    @property
    def operator(self) -> str:
        """The operator's name in tvm.topi; a case's own may have a suffix."""
        return self.name.partition("/")[0]

    def tensors(self, dtype: str) -> list[te.Tensor]:
        """Return placeholders and outputs."""
        dims = {name: te.var(name) for name in SIZES}
        placeholders = [
            te.placeholder([dims.get(d, d) for d in x.shape], x.dtype or dtype, name=f"x{i}")
            for i, x in enumerate(self.inputs)
        ]
        with tvm.target.Target("llvm"):  # nn.conv2d_NCHWc asks for it
            outputs = self.call(operator(self.operator), *(placeholders or [dtype]))
        return [*placeholders, *([outputs] if isinstance(outputs, te.Tensor) else outputs)]

    def arrays(self, dtype: str) -> list[np.ndarray]:
        """Return values for the placeholders, the same every time."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [
            x.values(random, tuple(SIZES.get(d, d) for d in x.shape), np.dtype(x.dtype or dtype))
            for x in self.inputs
        ]

    def expected(self, dtype: str) -> list[np.ndarray]:
        """Return what the operator should give for these values."""
        outputs = self.reference(*map(_wide, self.arrays(dtype)))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return [
            np.asarray(y).astype(out or dtype) for y, out in zip(outputs, self.out, strict=True)
        ]

    @property
    def symbolic(self) -> bool:
        """Whether a dimension of the inputs is symbolic."""
        return any(isinstance(d, str) for x in self.inputs for d in x.shape)


def operator(name: str) -> Callable:
    """Return the function of tvm.topi of that name."""
    return functools.reduce(getattr, name.split("."), topi)


def case(
    name: str,
    inputs: Input | list[Input],
    reference: Callable | None = None,
    call: Callable | None = None,
    *,
    dtypes: tuple[str, ...] = FLOATS,
    out: str | None | tuple[str | None, ...] = None,
    tolerance: float | None = None,
    view: Callable | None = None,
    error: str | None = None,
    crashes: bool = False,
    **attributes: Any,
) -> Case:
    """Make a case; without `call` it calls the operator on the placeholders and `attributes`."""
    return Case(
        name,
        (inputs,) if isinstance(inputs, Input) else tuple(inputs),
        reference,
        call or (lambda operator, *placeholders: operator(*placeholders, **attributes)),
        dtypes,
        out if isinstance(out, tuple) else (out,),
        tolerance,
        view,
        error,
        crashes,
    )


# References that NumPy has no function for. Images and filters are channels first here.


def _convolve(x, w, strides=1, padding=0, dilation=1, groups=1):
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0)] * 2 + [(padding, padding)] * rank)
    extents = [(k - 1) * dilation + 1 for k in w.shape[2:]]
    windows = sliding_window_view(x, extents, axis=tuple(range(2, x.ndim)))
    windows = windows[(..., *[slice(None, None, strides)] * rank, *[slice(None)] * rank)]
    windows = windows[(..., *[slice(None, None, dilation)] * rank)]
    axes = [1, *range(2 + rank, 2 + 2 * rank)]
    parts = [
        np.tensordot(a, b, axes=(axes, list(range(1, 2 + rank))))
        for a, b in zip(np.split(windows, groups, 1), np.split(w, groups, 0), strict=True)
    ]
    return np.moveaxis(np.concatenate(parts, -1), -1, 1)


def _convolve_last(x, w, **options):
    """Convolve NHWC by HWIO."""
    y = _convolve(np.moveaxis(x, -1, 1), np.moveaxis(w, (-1, -2), (0, 1)), **options)
    return np.moveaxis(y, 1, -1)


def _deconvolve(x, w, strides=1, padding=0, output_padding=0, groups=1):
    """Transposed convolution by [in, out / groups, ...]: each element of x adds its own filter."""
    sizes = [
        (n - 1) * strides + k + output_padding
        for n, k in zip(x.shape[2:], w.shape[2:], strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[1] * groups, *sizes))
    for offsets in itertools.product(*map(range, w.shape[2:])):
        at = [slice(o, o + strides * n, strides) for o, n in zip(offsets, x.shape[2:], strict=True)]
        terms = [
            np.moveaxis(np.tensordot(a, b[(..., *offsets)], axes=([1], [0])), -1, 1)
            for a, b in zip(np.split(x, groups, 1), np.split(w, groups, 0), strict=True)
        ]
        y[(..., *at)] += np.concatenate(terms, 1)
    return y[(..., *[slice(padding, n - padding) for n in sizes])]


def _unpack(x):
    """Turn NCHWc to NCHW."""
    return np.moveaxis(x, -1, 2).reshape(x.shape[0], -1, *x.shape[2:4])


def _pack(x, block):
    """Turn NCHW to NCHWc."""
    n, c, h, w = x.shape
    return np.moveaxis(x.reshape(n, c // block, block, h, w), 2, -1)


def _unpack_filter(w):
    """Turn OIHWio to OIHW."""
    a, b, h, v, i, o = w.shape
    return w.transpose(0, 5, 1, 4, 2, 3).reshape(a * o, b * i, h, v)


def _pool(x, kernel, strides, padding, reduce, axes):
    """Pool over `axes`; what is padded counts in means."""
    pad = [(0, 0)] * x.ndim
    for axis in axes:
        pad[axis] = (padding, padding)
    x = np.pad(x, pad, constant_values=-np.inf if reduce is np.max else 0)
    windows = sliding_window_view(x, [kernel] * len(axes), axis=axes)
    at = [slice(None, None, strides) if axis in axes else slice(None) for axis in range(x.ndim)]
    return reduce(windows[tuple(at)], axis=tuple(range(-len(axes), 0)))


def _adaptive_pool(x, sizes, reduce):
    """Pool each axis after the first two to so many elements, by windows that may overlap."""
    for axis, size in enumerate(sizes, 2):
        n = x.shape[axis]
        windows = [slice(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
        parts = [reduce(x[(slice(None),) * axis + (w,)], axis=axis) for w in windows]
        x = np.stack(parts, axis)
    return x


def _interpolate(x, axes, sizes):
    """Resize linearly, pixels being areas."""
    for axis, size in zip(axes, sizes, strict=True):
        n = x.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        low = np.minimum(np.floor(at).astype(int), n - 2)
        part = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        x = np.take(x, low, axis) * (1 - part) + np.take(x, low + 1, axis) * part
    return x


def _sample(image, y, x):
    """Read [channel, height, width] between pixels; beyond the image there are zeros."""
    _, height, width = image.shape
    result = 0.0
    for dy, dx in itertools.product((0, 1), repeat=2):
        yi, xi = np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx
        inside = (yi >= 0) & (yi < height) & (xi >= 0) & (xi < width)
        value = image[:, np.clip(yi, 0, height - 1), np.clip(xi, 0, width - 1)]
        result = result + value * inside * (1 - np.abs(y - yi)) * (1 - np.abs(x - xi))
    return result


def _grid_sample(data, grid):
    _, _, height, width = data.shape
    x, y = (grid[:, 0] + 1) * (width - 1) / 2, (grid[:, 1] + 1) * (height - 1) / 2
    return np.stack([_sample(data[n], y[n], x[n]) for n in range(len(data))])


def _affine_grid(matrices, height, width):
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.einsum("ndk,khw->ndhw", matrices, np.stack([x, y, np.ones_like(x)]))


def _deformable(data, offset, w):
    """Convolve with an offset for every element of every window; no padding."""
    _, _, kh, kw = w.shape
    _, _, height, width = offset.shape
    result = np.zeros((len(data), len(w), height, width))
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    for n, i, j in itertools.product(range(len(data)), range(kh), range(kw)):
        dy, dx = offset[n, 2 * (i * kw + j)], offset[n, 2 * (i * kw + j) + 1]
        y, x = rows + i + dy, columns + j + dx
        values = _sample(data[n], y, x) * ((y >= 0) & (x >= 0))
        result[n] += np.tensordot(w[:, :, i, j], values, axes=1)
    return result


def _correlate(a, b, reach):
    """Mean over channels of products of pixels up to `reach` apart."""
    n, _, height, width = a.shape
    steps = range(-reach, reach + 1)
    a, b = (np.pad(x, [(0, 0)] * 2 + [(reach, reach)] * 2) for x in (a, b))
    centre = a[:, :, reach : reach + height, reach : reach + width]
    return np.stack(
        [
            np.mean(
                centre * b[:, :, reach + dy : reach + dy + height, reach + dx : reach + dx + width],
                axis=1,
            )
            for dy, dx in itertools.product(steps, steps)
        ],
        axis=1,
    )


def _normalise(x, axes, epsilon=1e-5):
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def _along(values, axis, rank):
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def _batch_norm(x, gamma, beta, mean, variance):
    new_mean, new_variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    y = _normalise(x, (0, 2, 3)) * _along(gamma, 1, 4) + _along(beta, 1, 4)
    return y, 0.9 * mean + 0.1 * new_mean, 0.9 * variance + 0.1 * new_variance


def _group_norm(x, gamma, beta, groups):
    n, c, h, w = x.shape
    y = _normalise(x.reshape(n, groups, c // groups, h, w), (2, 3, 4)).reshape(x.shape)
    return y * _along(gamma, 1, 4) + _along(beta, 1, 4)


def _local_response_norm(x, size, alpha, beta, bias):
    padded = np.pad(x**2, [(0, 0), (size // 2, size // 2), (0, 0), (0, 0)])
    sums = sum(padded[:, i : i + x.shape[1]] for i in range(size))
    return x / (bias + alpha / size * sums) ** beta


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _one_at(data, at, updates, accumulate=False):
    data = data.copy()
    if accumulate:
        np.add.at(data, at, updates)
    else:
        data[at] = updates
    return data


def _put_along(data, indices, updates, axis):
    data = data.copy()
    np.put_along_axis(data, indices, updates, axis)
    return data


def _pack_bits(x, axis=-1):
    """Pack the signs of 32 elements into a uint32, the first on top."""
    packed = np.packbits(x, axis=axis)
    return packed.view(">u4").astype(np.uint32)


def _count_bits(x):
    return np.unpackbits(x.view(np.uint8)).reshape(*x.shape, 32).sum(-1)


def _iou(a, b):
    edges = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    common = max(edges[2] - edges[0], 0) * max(edges[3] - edges[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common)


def _suppress(boxes, scores, overlap, threshold):
    """Indices of the boxes that stay, best first."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] > threshold and all(_iou(boxes[i], boxes[j]) <= overlap for j in kept):
            kept.append(int(i))
    return kept


def _roi_align(image, rois, size, scale, ratio):
    """Mean of ratio x ratio samples of each of size x size bins."""
    result = []
    for batch, *corners in rois:
        x0, y0, x1, y1 = np.array(corners) * scale
        bin_h, bin_w = max(y1 - y0, 1.0) / size, max(x1 - x0, 1.0) / size
        steps = (np.arange(size * ratio) + 0.5) / ratio
        y = np.clip(y0 + steps * bin_h, 0, image.shape[2] - 1)
        x = np.clip(x0 + steps * bin_w, 0, image.shape[3] - 1)
        values = _sample(image[int(batch)], *np.meshgrid(y, x, indexing="ij"))
        result.append(values.reshape(-1, size, ratio, size, ratio).mean((2, 4)))
    return np.stack(result)


def _roi_pool(image, rois, size, scale):
    """Largest pixel of each of size x size bins."""
    _, channels, height, width = image.shape
    result = np.zeros((len(rois), channels, size, size))
    for r, roi in enumerate(rois):
        x0, y0, x1, y1 = np.floor(roi[1:] * scale + 0.5).astype(int)
        bins = [max(y1 - y0 + 1, 1) / size, max(x1 - x0 + 1, 1) / size]
        for i, j in itertools.product(range(size), repeat=2):
            top, left = (int(np.floor(k * b)) for k, b in zip((i, j), bins, strict=True))
            bottom, right = (int(np.ceil((k + 1) * b)) for k, b in zip((i, j), bins, strict=True))
            rows = slice(*np.clip([top + y0, bottom + y0], 0, height))
            columns = slice(*np.clip([left + x0, right + x0], 0, width))
            part = image[int(roi[0]), :, rows, columns]
            if part.size:
                result[r, :, i, j] = part.max((1, 2))
    return result


def _decode_boxes(classes, offsets, anchors):
    """Boxes as (top, left, bottom, right), and scores of 0.3 and more."""
    left, top, right, bottom = np.moveaxis(anchors, -1, 0)
    x, y, w, h = np.moveaxis(offsets.reshape(len(offsets), -1, 4), -1, 0)
    width, height = right - left, bottom - top
    x, y = x * 0.1 * width + (left + right) / 2, y * 0.1 * height + (top + bottom) / 2
    w, h = np.exp(0.2 * w) * width / 2, np.exp(0.2 * h) * height / 2
    scores = _softmax(np.moveaxis(classes, 1, -1))
    return (
        np.stack([y - h, x - w, y + h, x + w], -1),
        np.moveaxis(np.where(scores >= 0.3, scores, 0), -1, 1),
    )


def _to_winograd(w):
    """Transform a filter of 3 x 3 for tiles of 4 x 4, in TE."""
    _, _, g = topi.nn.winograd_transform_matrices(4, 3, str(w.dtype))
    y, x = (te.reduce_axis((0, 3)) for _ in range(2))
    return te.compute(
        (6, 6, w.shape[1], w.shape[0]),
        lambda i, j, c, o: te.sum(w[o, c, y, x] * g[i, y] * g[j, x], axis=[y, x]),
    )


# The tables. A case is one or two lines.
# fmt: off

_UNARY = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": tf.math.erf,
    "exp": np.exp,
    "floor": np.floor,
    "identity": np.positive,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "negative": np.negative,
    "nn.relu": tf.nn.relu,
    "round": np.round,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": tf.math.sigmoid,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
# Where they are defined, if not everywhere.
_DOMAINS = {
    **dict.fromkeys(("acos", "asin", "atanh"), (-0.95, 0.95)),
    **dict.fromkeys(("log", "log2", "log10", "rsqrt", "sqrt"), (0.1, 5)),
    "acosh": (1.1, 5),
    "tan": (-1.2, 1.2),
}
_SPECIAL = fixed([[0.0, -1.5, np.inf], [np.nan, -np.inf, 7.0]])

FAMILIES: dict[str, list[Case]] = {}

FAMILIES["elementwise"] = [
    *(
        case(
            name,
            some("n", "m", low=_DOMAINS.get(name, (-3, 3))[0], high=_DOMAINS.get(name, (-3, 3))[1]),
            reference,
            dtypes=("float32", "float64", "float16"),
        )
        for name, reference in _UNARY.items()
    ),
    case("abs/int", some("n", "m"), np.abs, dtypes=INTEGERS),
    case("cast", some("n", "m"), np.trunc, dtype="int32", out="int32"),
    case("ceil_log2", some("n", "m", low=1, high=2000), lambda x: np.ceil(np.log2(x)),
         lambda op, x: te.compute(x.shape, lambda *i: op(x(*i))), dtypes=INTEGERS),
    case("clip", some("n", "m"), lambda x: np.clip(x, -1, 2), dtypes=NUMBERS, a_min=-1, a_max=2),
    case("fast_erf", some("n", "m"), tf.math.erf, dtypes=HALF),
    case("fast_exp", some("n", "m"), np.exp),
    case("fast_tanh", some("n", "m"), np.tanh, dtypes=HALF),
    case("fixed_point_multiply", some("n", "m", low=-900, high=900),
         lambda x: ((x.astype(np.int64) << 1) * (3 << 28) + (1 << 30)) >> 31,
         dtypes=("int32",), multiplier=3 << 28, shift=1),
    case("fixed_point_multiply_per_axis",
         [some("n", "m", low=-900, high=900), fixed([1 << 29] * 13, "int32"),
          fixed([2] * 13, "int32"), fixed([3] * 13, "int32")],
         lambda x, y, left, right: ((x.astype(np.int64) << 2) * (1 << 29) + (1 << 33)) >> 34,
         lambda op, x, *rest: op(x, *rest, 1, 1, [1]), dtypes=("int32",)),
    case("isfinite", _SPECIAL, np.isfinite, dtypes=HALF, out="bool"),
    case("isinf", _SPECIAL, np.isinf, dtypes=HALF, out="bool"),
    case("isnan", _SPECIAL, np.isnan, dtypes=HALF, out="bool"),
    case("nn.leaky_relu", some("n", "m"), lambda x: np.where(x > 0, x, 0.1 * x), alpha=0.1),
    case("nn.prelu", [some("n", 3, "m"), some(3)],
         lambda x, slope: np.where(x > 0, x, x * slope[:, None])),
    case("nn.softplus", some("n", "m"), tf.math.softplus),
    case("reinterpret", some("n", "m"), lambda x: x.astype(np.float32).view(np.int32),
         dtypes=("float32",), dtype="int32", out="int32"),
    case("reinterpret/int", some("n", "m", low=1 << 20, high=1 << 30), lambda x: x.view(np.float32),
         dtypes=("int32",), dtype="float32", out="float32"),
]

FAMILIES["broadcast"] = [
    *(
        case(name, [some("n", "m"), some("m")], reference, dtypes=NUMBERS)
        for name, reference in {
            "add": np.add,
            "maximum": np.maximum,
            "minimum": np.minimum,
            "multiply": np.multiply,
            "subtract": np.subtract,
        }.items()
    ),
    *(
        case(name, [some("n", 1, low=-9, high=9), some("n", "m", low=1, high=5)], reference,
             dtypes=NUMBERS)
        for name, reference in {
            "floor_divide": np.floor_divide,
            "floor_mod": np.mod,
            "mod": np.fmod,
        }.items()
    ),
    case("atan2", [some("n", "m"), some("n", 1)], np.arctan2),
    case("divide", [some("n", "m"), some("m", low=1, high=5)], np.divide),
    case("divide/int", [some("n", "m", low=-20, high=20), some("m", low=1, high=5)],
         lambda x, y: np.trunc(x / y), dtypes=INTEGERS),
    case("log_add_exp", [some("n", "m"), some("m")], np.logaddexp),
    case("power", [some("n", "m", low=0.1, high=3), some("m")], np.power),
    *(
        case(name, [some("n", "m", low=-2, high=2), some("m", low=-2, high=2)], reference,
             dtypes=NUMBERS, out="bool")
        for name, reference in {
            "equal": np.equal,
            "greater": np.greater,
            "greater_equal": np.greater_equal,
            "less": np.less,
            "less_equal": np.less_equal,
            "not_equal": np.not_equal,
        }.items()
    ),
    case("logical_and", [some("n", "m"), some("m")], np.logical_and, dtypes=BOOL),
    case("logical_not", some("n", "m"), np.logical_not, dtypes=BOOL),
    case("logical_or", [some("n", "m"), some("m")], np.logical_or, dtypes=BOOL),
    case("logical_xor", [some("n", "m"), some("m")], np.logical_xor, dtypes=BOOL),
    *(
        case(name, [some("n", "m", low=-99, high=99), some("m", low=0, high=9)], reference,
             dtypes=("int32", "int64", "uint8"))
        for name, reference in {
            "bitwise_and": np.bitwise_and,
            "bitwise_or": np.bitwise_or,
            "bitwise_xor": np.bitwise_xor,
        }.items()
    ),
    case("bitwise_not", some("n", "m", low=-99, high=99), np.bitwise_not,
         dtypes=("int32", "int64", "uint8")),
    case("left_shift", [some("n", "m", low=0, high=99), some("m", low=0, high=9)], np.left_shift,
         dtypes=INTEGERS),
    case("right_shift", [some("n", "m", low=-99, high=99), some("m", low=0, high=9)],
         np.right_shift, dtypes=INTEGERS),
    case("broadcast_to", some("m"), lambda x: np.broadcast_to(x, (3, 7, 13)),
         lambda op, x: op(x, (3, 7, x.shape[0])), dtypes=("float32", "int32", "bool")),
    case("collapse_sum", some(5, "n", 3), lambda x: x.sum(0).sum(-1, keepdims=True),
         lambda op, x: op(x, (x.shape[1], 1))),
    case("elemwise_sum", [some("n", "m")] * 3, lambda x, y, z: x + y + z,
         lambda op, *x: op(x), dtypes=NUMBERS),
]

FAMILIES["reduction"] = [
    case("all", some("n", "m"), lambda x: x.all(0), dtypes=BOOL, axis=0),
    case("any", some("n", "m"), lambda x: x.any(1), dtypes=BOOL, axis=1),
    case("argmax", some("n", "m", "k"), lambda x: x.argmax(1), out="int32", axis=1),
    case("argmin", some("n", "m", "k"), lambda x: x.argmin(2), out="int32", axis=2),
    case("max", some("n", "m", low=-99, high=99), lambda x: x.max(-1), dtypes=NUMBERS, axis=-1),
    case("min", some("n", "m", low=-99, high=99), lambda x: x.min(), dtypes=NUMBERS),
    case("prod", some("n", "k"), lambda x: x.prod(1, keepdims=True), dtypes=NUMBERS, axis=1,
         keepdims=True),
    case("sum", some("n", "m", "k"), lambda x: x.sum((0, 2)), dtypes=(*FLOATS, "int32"),
         axis=(0, 2)),
    case("nn.softmax", some("n", "m"), tf.nn.softmax, dtypes=("float32", "float64", "float16")),
    case("nn.fast_softmax", some("n", "m"), tf.nn.softmax),
    case("nn.log_softmax", some("n", "m"), tf.nn.log_softmax),
    case("nn.softmax_common", some("n", "m"), tf.nn.softmax, axis=-1, use_fast_exp=False),
]

FAMILIES["creation"] = [
    case("arange", [], lambda: np.arange(3, 40, 3), lambda op, t: op(3, 40, 3, t), dtypes=NUMBERS),
    case("const_vector", [], lambda: np.array([3, 1, 4, 1, 5]),
         lambda op, t: op(np.array([3, 1, 4, 1, 5]).astype(t)), dtypes=NUMBERS),
    case("eye", [], lambda: np.eye(7, 13, 2), lambda op, t: op(7, 13, 2, t), dtypes=NUMBERS),
    case("full", [], lambda: np.full((7, 13), 3), lambda op, t: op((7, 13), t, 3),
         dtypes=NUMBERS),
    case("full_like", some("n", "m"), lambda x: np.full_like(x, 3), dtypes=NUMBERS, fill_value=3),
    case("hamming_window", [], lambda: np.hamming(13),
         lambda op, t: op(13, False, 0.54, 0.46, t)),
    case("shape", some("n", "m"), lambda x: np.array(x.shape), dtypes=NUMBERS, out="int32"),
    case("tensor_size", some("n", "m"), np.size, dtypes=NUMBERS, out="int32"),
]

FAMILIES["transform"] = [
    case("adv_index", [some("n", "m"), index("k", below=7), index("k", below=13)],
         lambda x, i, j: x[i, j], lambda op, x, *i: op(x, i), dtypes=NUMBERS),
    case("concatenate", [some("n", "m"), some("n", "k")], lambda *x: np.concatenate(x, 1),
         lambda op, *x: op(x, axis=1), dtypes=NUMBERS),
    case("dyn_tile", some(3, 5), lambda x: np.tile(x, (2, 3)),
         lambda op, x: op(x, (6, 15), 2), dtypes=NUMBERS),
    case("dynamic_strided_slice",
         [some(7, 13), fixed([1, 2], "int64"), fixed([7, 11], "int64"), fixed([2, 3], "int64")],
         lambda x, *_: x[1:7:2, 2:11:3], lambda op, x, *at: op(x, *at, (3, 3)), dtypes=NUMBERS),
    case("expand_dims", some("n", "m"), lambda x: x[:, None], dtypes=NUMBERS, axis=1),
    case("expand_like", [some("n"), some("n", "m")],
         lambda x, like: np.broadcast_to(x[:, None], like.shape), dtypes=NUMBERS, axis=[1]),
    case("flip", some("n", "m"), lambda x: x[:, ::-1], dtypes=NUMBERS, axis=1),
    case("gather", [some("n", "m"), index("n", "k", below=13)],
         lambda x, i: np.take_along_axis(x, i, 1), lambda op, x, i: op(x, 1, i), dtypes=NUMBERS),
    case("gather_nd", [some("n", "m", 3), index(2, "k", below=7)], lambda x, i: x[i[0], i[1]],
         dtypes=NUMBERS),
    case("index_tensor", [some("n", "m"), index("k", 1, below=7), index(1, 3, below=13)],
         lambda x, i, j: x[i, j], lambda op, x, *i: op(x, i), dtypes=NUMBERS),
    case("layout_transform", some(2, 8, 3, 5), lambda x: _pack(x, 4), dtypes=NUMBERS,
         src_layout="NCHW", dst_layout="NCHW4c"),
    case("matrix_set_diag", [some("k", 7, 9), some("k", 7)], tf.linalg.set_diag, dtypes=NUMBERS),
    case("meshgrid", [some("n"), some("m")], lambda *x: np.meshgrid(*x, indexing="ij"),
         lambda op, *x: op(x, "ij"), dtypes=NUMBERS, out=(None, None)),
    case("one_hot", some("n", "m", low=0, high=8), lambda i: np.eye(9)[i],
         lambda op, i: op(i, tirx.const(1, "float32"), tirx.const(0, "float32"), 9, -1, "float32"),
         dtypes=INTEGERS, out="float32"),
    case("repeat", some("n", "m"), lambda x: np.repeat(x, 3, 1), dtypes=NUMBERS, repeats=3, axis=1),
    case("reshape", some("n", 12), lambda x: x.reshape(-1, 3, 4),
         lambda op, x: op(x, (x.shape[0], 3, 4)), dtypes=("float32", "int32", "bool")),
    case("reverse_sequence", [some("n", "m"), index("n", below=13)],
         lambda x, i: tf.reverse_sequence(x, i, seq_axis=1), dtypes=NUMBERS),
    case("sequence_mask", [some("n", "m"), index("m", below=7)],
         lambda x, i: np.where(np.arange(7)[:, None] < i, x, 0), dtypes=NUMBERS),
    case("sliding_window", some(2, 9, 7),
         lambda x: sliding_window_view(x, (3, 3), (1, 2))[:, ::2], dtypes=NUMBERS, axis=1,
         window_shape=(3, 3), strides=(2, 1)),
    case("sparse_to_dense", [fixed([[0, 1], [2, 3], [6, 12]], "int32"), some(3)],
         lambda i, v: _one_at(np.zeros((7, 13)), tuple(i.T), v),
         lambda op, i, v: op(i, (7, 13), v), dtypes=NUMBERS),
    case("split", some("n", 9), lambda x: np.split(x, [2, 5], 1),
         lambda op, x: op(x, (2, 5), 1), dtypes=NUMBERS, out=(None,) * 3),
    case("squeeze", some("n", 1, "m"), lambda x: x[:, 0], dtypes=NUMBERS, axis=1),
    case("stack", [some("n", "m")] * 3, lambda *x: np.stack(x, 1), lambda op, *x: op(x, 1),
         dtypes=NUMBERS),
    case("strided_set",
         [some("n", "m"), some(3, 3), fixed([1, 2], "int32"), fixed([7, 11], "int32"),
          fixed([2, 3], "int32")],
         lambda x, v, *_: _one_at(x, (slice(1, 7, 2), slice(2, 11, 3)), v), dtypes=NUMBERS),
    case("strided_slice", some("n", 13), lambda x: x[:, 2:11:3],
         lambda op, x: op(x, [2], [11], [3], axes=[1]), dtypes=NUMBERS),
    case("take", [some("n", "m"), index("k", 2, below=13)], lambda x, i: x[:, i],
         dtypes=NUMBERS, axis=1),
    case("tile", some("n", "m"), lambda x: np.tile(x, (2, 3)), dtypes=NUMBERS, reps=(2, 3)),
    case("transpose", some("n", "m", "k"), lambda x: x.transpose(2, 0, 1), dtypes=NUMBERS,
         axes=(2, 0, 1)),
    case("trilu", some("k", "n", "m"), lambda x: np.triu(x, 1), dtypes=NUMBERS,
         k=tirx.const(1, "int32"), upper=True),
    case("unravel_index", [some("n", low=0, high=34), fixed([5, 7])],
         lambda i, _: np.stack(np.unravel_index(i, (5, 7))), dtypes=INTEGERS),
    case("where", [some("n", "m", dtype="bool"), some("n", "m"), some("m")], np.where,
         dtypes=NUMBERS),
    case("nn.space_to_batch_nd", some(2, 5, 8, "k"),
         lambda x: tf.space_to_batch(x, [2, 2], [[1, 0], [0, 2]]), dtypes=NUMBERS,
         call=lambda op, x: op(x, [2, 2], [1, 0], [0, 2], tirx.const(0, x.dtype))),
    case("nn.depth_to_space", some(2, 3, 5, 12), lambda x: tf.nn.depth_to_space(x, 2),
         dtypes=NUMBERS, block_size=2, layout="NHWC"),
    case("nn.space_to_depth", some(2, 6, 10, 3), lambda x: tf.nn.space_to_depth(x, 2),
         dtypes=NUMBERS, block_size=2, layout="NHWC"),
    case("nn.flatten", some("n", 3, 5), lambda x: x.reshape(7, 15), dtypes=NUMBERS),
    case("nn.dilate", some("n", "m"),
         lambda x: _one_at(np.zeros((13, 37)), (slice(None, None, 2), slice(None, None, 3)), x),
         dtypes=NUMBERS, strides=[2, 3]),
    case("nn.pad", some("n", "m"), lambda x: np.pad(x, [(1, 2), (0, 3)], constant_values=5),
         dtypes=NUMBERS, pad_before=[1, 0], pad_after=[2, 3], pad_value=5),
    *(
        case(f"nn.{name}", some("n", "m"),
             functools.partial(np.pad, pad_width=[(1, 2), (0, 3)], mode=mode), dtypes=NUMBERS,
             pad_before=[1, 0], pad_after=[2, 3])
        for name, mode in {
            "circular_pad": "wrap",
            "mirror_pad": "symmetric",
            "reflect_pad": "reflect",
            "replicate_pad": "edge",
        }.items()
    ),
    case("nn.fifo_buffer", [some(2, 5), some(7, 5)], lambda x, y: np.concatenate([y[2:], x]),
         dtypes=NUMBERS, axis=0),
    case("nn.unpack_NCHWc_to_nchw", some(2, 3, 5, 7, 4), _unpack,
         lambda op, x: op(x, x.dtype), dtypes=NUMBERS),
]

FAMILIES["scatter"] = [
    case("index_put", [some(7, 13), fixed([1, 5, 6], "int64"), fixed([2, 0, 12], "int64"), some(3)],
         lambda x, i, j, v: _one_at(x, (i, j), v), lambda op, x, i, j, v: op(x, (i, j), v),
         dtypes=NUMBERS),
    case("scatter_elements",
         [some("n", 13), fixed(np.arange(26).reshape(2, 13) % 7, "int64"), some(2, 13)],
         lambda x, i, v: _put_along(x, i, v, 0), dtypes=NUMBERS, axis=0),
    case("scatter_nd", [some("n", "m"), fixed([[1, 5, 1], [2, 0, 2]], "int64"), some(3)],
         lambda x, i, v: _one_at(x, tuple(i), v, accumulate=True), dtypes=NUMBERS, mode="add"),
    case("slice_scatter", [some("n", 13), some("n", 4)],
         lambda x, v: _one_at(x, (slice(None), slice(1, 13, 3)), v), dtypes=NUMBERS,
         start=1, end=13, step=3, axis=1),
]

FAMILIES["sort and scan"] = [
    case("argsort", some("n", "m"), lambda x: np.argsort(x, 1), out="int32", axis=1,
         dtype="int32"),
    case("cumprod", some("n", "k"), lambda x: np.cumprod(x, 1), axis=1),
    case("cumsum", some("n", "m"), lambda x: np.cumsum(x, 0), dtypes=NUMBERS, axis=0),
    case("scanop", some("n", "m"), lambda x: np.maximum.accumulate(x, 1), dtypes=NUMBERS,
         call=lambda op, x: op(x, te.max, tirx.min_value(x.dtype), "running_max", axis=1)),
    case("searchsorted", [fixed([-2, -1, 0, 1, 2]), some("n", "m", low=-3, high=3)],
         np.searchsorted, dtypes=NUMBERS, out="int64"),
    case("sort", some("n", "m", low=-99, high=99), lambda x: np.sort(x, 0), dtypes=NUMBERS,
         axis=0),
    case("topk", some("n", "m"), lambda x: tuple(tf.math.top_k(x, 4)), out=(None, "int32"), k=4,
         dtype="int32"),
    case("dft", [some("n", 13), some("n", 13)],
         lambda x, y: (np.fft.fft(x + 1j * y).real, np.fft.fft(x + 1j * y).imag),
         out=(None, None), tolerance=SINGLE, inverse=False),
    case("stft", [some(2, 31), some(8, low=0.1, high=1)],
         lambda x, w: np.stack(
             [f(np.fft.rfft(sliding_window_view(x, 8, 1)[:, ::4] * w)) for f in (np.real, np.imag)],
             -1).transpose(0, 2, 1, 3),
         tolerance=SINGLE, n_fft=8, hop_length=4, win_length=8,
         call=lambda op, x, w: op(x, 8, 4, 8, w, False, True, (2, 5, 6, 2))),
]

FAMILIES["linear algebra"] = [
    case("einsum", [some("n", "m", "k"), some("k", "m")],
         lambda x, y: np.einsum("nmk,km->nk", x, y),
         lambda op, *x: op("nmk,km->nk", *x)),
    case("matmul", [some("n", "m"), some("k", "m")], lambda x, y: x @ y.T, dtypes=NUMBERS,
         transp_b=True),
    case("tensordot", [some("n", "m", 3), some("m", 3, "k")], np.tensordot, axes=2),
    case("nn.batch_matmul", [some(3, "n", "m"), some(3, "k", "m")],
         lambda x, y: x @ y.transpose(0, 2, 1)),
    case("nn.dense", [some("n", "m"), some("k", "m"), some("k")], lambda x, y, z: x @ y.T + z),
    case("nn.matmul", [some("n", "m"), some("m", "k"), some("k")], lambda x, y, z: x @ y + z,
         dtypes=("float32", "float64", "float16")),
    case("nn.binary_dense", [some(7, 3, low=0, high=9999), some(5, 3, low=0, high=9999)],
         lambda x, y: 96 - 2 * _count_bits(x[:, None] ^ y[None]).sum(-1), dtypes=("uint32",),
         out="float32"),
    case("nn.binarize_pack", some(7, 64), lambda x: _pack_bits(x >= 0), dtypes=NUMBERS,
         out="uint32"),
    case("nn.bitpack", some(7, 64, low=0, high=1), lambda x: _pack_bits(x != 0)[:, None],
         lambda op, x: op(x, 1, 1, 1, "uint32"), dtypes=("int32", "uint8"), out="uint32"),
    case("nn.bitserial_dense", [some(7, 32, low=0, high=3), some(5, 32, low=0, high=1)],
         lambda x, w: x @ w.T, dtypes=("int32", "int16"), out="int16", data_bits=2, weight_bits=1,
         unipolar=False),
]

FAMILIES["normalisation"] = [
    case("nn.batch_norm",
         [some(3, 5, 7, 4), some(5), some(5), some(5), some(5, low=1, high=2)], _batch_norm,
         lambda op, *x: op(*x, training=True), out=(None,) * 3),
    case("nn.group_norm", [some("n", 6, 4, 5), some(6), some(6)],
         functools.partial(_group_norm, groups=3), dtypes=HALF, num_groups=3, channel_axis=1,
         axes=[2, 3]),
    case("nn.instance_norm", [some("n", 6, 4, 5), some(6), some(6)],
         lambda x, g, b: _normalise(x, (2, 3)) * _along(g, 1, 4) + _along(b, 1, 4),
         dtypes=HALF, channel_axis=1, axis=[2, 3]),
    case("nn.layer_norm", [some("n", "m"), some("m"), some("m")],
         lambda x, g, b: _normalise(x, -1) * g + b, dtypes=HALF, axis=[1]),
    case("nn.rms_norm", [some("n", "m"), some("m")],
         lambda x, w: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w, tolerance=SINGLE,
         axis=[1]),
    case("nn.lrn", some(2, 7, 4, 5), functools.partial(
        _local_response_norm, size=3, alpha=0.1, beta=0.75, bias=2), tolerance=SINGLE, size=3,
         alpha=0.1),
    case("nn.nll_loss", [some("n", 5, low=-3, high=0), index("n", below=5), some(5, low=1, high=2)],
         lambda p, t, w: -np.sum(w[t] * p[np.arange(7), t]) / np.sum(w[t]),
         lambda op, *x: op(*x, "mean", -100)),
    case("nn.scale_shift_nchw", [some("n", 3, 4, 5), some(3), some(3)],
         lambda x, a, b: x * _along(a, 1, 4) + _along(b, 1, 4)),
    case("nn.scale_shift_nchwc", [some("n", 3, 4, 5, 2), some(3, 2), some(3, 2)],
         lambda x, a, b: x * a[:, None, None] + b[:, None, None]),
    case("nn.scale_shift_nhwc", [some("n", 3, 4, "m"), some("m"), some("m")],
         lambda x, a, b: x * a + b),
    case("nn.simulated_quantize", [some("n", "m"), fixed([0.05]), fixed([3], "int32")],
         lambda x, s, z: np.clip(np.round(x / s) + z, -128, 127),
         lambda op, x, *scale: op(x, tirx.const(1, "int32"), *scale)),
    case("nn.simulated_dequantize",
         [some("n", "m", low=-99, high=99), fixed([0.05]), fixed([3], "int32")],
         lambda x, s, z: (x - z) * s,
         lambda op, x, *scale: op(x, tirx.const(1, "int32"), *scale)),
]

_IMAGE = some(2, 4, 9, 7)
_FILTER = some(6, 4, 3, 3)

FAMILIES["convolution"] = [
    case("nn.conv", [_IMAGE, _FILTER], functools.partial(_convolve, padding=1, strides=2),
         stride=2, padding=1, dilation=1, groups=1, data_layout="NCHW"),
    case("nn.conv1d", [some("n", 4, 13), some(6, 4, 3)], functools.partial(_convolve, dilation=2),
         dilation=2),
    case("nn.conv1d_ncw", [some("n", 4, 13), some(6, 4, 3)],
         functools.partial(_convolve, strides=2), strides=2),
    case("nn.conv1d_nwc", [some("n", 13, 4), some(3, 4, 6)],
         lambda x, w: tf.nn.conv1d(x, w, 1, "VALID")),
    case("nn.group_conv1d_ncw", [some("n", 4, 13), some(6, 2, 3)],
         functools.partial(_convolve, groups=2), groups=2),
    case("nn.group_conv1d_nwc", [some("n", 13, 4), some(3, 2, 6)],
         functools.partial(_convolve_last, groups=2), groups=2),
    case("nn.conv1d_transpose_ncw", [some("n", 4, 9), some(4, 6, 3)],
         functools.partial(_deconvolve, strides=2, padding=1, output_padding=1),
         lambda op, x, w: op(x, w, 2, 1, x.dtype, (1,))),
    case("nn.group_conv1d_transpose_ncw", [some("n", 4, 9), some(4, 3, 3)],
         functools.partial(_deconvolve, strides=2, groups=2),
         lambda op, x, w: op(x, w, 2, 0, x.dtype, (0,), 2)),
    case("nn.conv2d", [_IMAGE, _FILTER], functools.partial(_convolve, padding=1),
         strides=1, padding=1, dilation=1),
    case("nn.conv2d_nchw", [_IMAGE, _FILTER], functools.partial(_convolve, strides=2),
         stride=2, padding=0, dilation=1),
    case("nn.conv2d_nhwc", [some("n", 9, 7, 4), some(3, 3, 4, 6)],
         lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"),
         lambda op, x, w: op(x, w, 1, "SAME", 1, x.dtype)),
    case("nn.conv2d_hwcn", [some(9, 7, 4, 2), some(3, 3, 4, 6)],
         lambda x, w: np.moveaxis(_convolve_last(np.moveaxis(x, -1, 0), w), 0, -1),
         stride=1, padding=0, dilation=1),
    case("nn.conv2d_NCHWc", [some(2, 2, 9, 7, 2), some(3, 2, 3, 3, 2, 2)],
         lambda x, w: _pack(_convolve(_unpack(x), _unpack_filter(w), padding=1), 2),
         lambda op, x, w: op(x, w, 1, 1, 1, "NCHW2c", "NCHW2c", x.dtype)),
    case("nn.conv2d_NCHWc_OIHWo", [some(2, 2, 9, 7, 2), some(3, 4, 3, 3, 2)],
         lambda x, w: _pack(
             _convolve(_unpack(x), w.transpose(0, 4, 1, 2, 3).reshape(6, 4, 3, 3)), 2),
         lambda op, x, w: op(x, w, 1, 0, 1, "NCHW2c", "NCHW2c", x.dtype)),
    case("nn.conv2d_NCHWc_int8", [some(2, 2, 9, 7, 4), some(3, 2, 3, 3, 1, 2, 4, dtype="int8")],
         lambda x, w: _pack(_convolve(
             _unpack(x).astype(int),
             w.transpose(0, 5, 1, 4, 6, 2, 3).reshape(6, 8, 3, 3).astype(int)), 2),
         lambda op, x, w: op(x, w, 1, 0, 1, "NCHW4c", "NCHW2c"), dtypes=("int8", "uint8"),
         out="int32"),
    case("nn.group_conv2d_nchw", [_IMAGE, some(6, 2, 3, 3)],
         functools.partial(_convolve, groups=2), stride=1, padding=0, dilation=1, groups=2),
    case("nn.group_conv2d_nhwc", [some(2, 9, 7, 4), some(3, 3, 2, 6)],
         functools.partial(_convolve_last, groups=2), stride=1, padding=0, dilation=1, groups=2),
    case("nn.conv2d_transpose_nchw", [some(2, 4, 5, 3), some(4, 6, 3, 3)],
         functools.partial(_deconvolve, strides=2, padding=1, output_padding=1),
         lambda op, x, w: op(x, w, (2, 2), (1, 1), x.dtype, (1, 1))),
    case("nn.group_conv2d_transpose_nchw", [some(2, 4, 5, 3), some(4, 3, 3, 3)],
         functools.partial(_deconvolve, strides=2, groups=2),
         lambda op, x, w: op(x, w, (2, 2), (0, 0), x.dtype, (0, 0), 2)),
    case("nn.declaration_conv2d_transpose_impl", [some(2, 4, 5, 3), some(4, 6, 3, 3)],
         functools.partial(_deconvolve, strides=2, padding=1),
         lambda op, x, w: op(x, w, (2, 2), (1, 1), x.dtype, (0, 0))),
    # Winograd's tiles must fill the image: what hangs over is read from beyond its end.
    case("nn.conv2d_winograd_nchw", [some(2, 4, 8, 8), _FILTER],
         functools.partial(_convolve, padding=1),
         lambda op, x, w: op(x, w, 1, 1, 1, str(x.dtype)), tolerance=1e-4),
    case("nn.conv2d_winograd_nhwc", [some(2, 8, 8, 4), some(3, 3, 4, 6)],
         functools.partial(_convolve_last, padding=1),
         lambda op, x, w: op(x, w, 1, 1, 1, str(x.dtype)), tolerance=1e-4),
    case("nn.conv2d_winograd_nchw_without_weight_transform", [some(2, 4, 8, 8), _FILTER],
         functools.partial(_convolve, padding=1),
         lambda op, x, w: op(x, _to_winograd(w), 1, 1, 1, str(x.dtype)), tolerance=1e-4),
    case("nn.conv3d_ncdhw", [some(2, 4, 6, 5, 7), some(6, 4, 3, 3, 3)],
         functools.partial(_convolve, padding=1), stride=1, padding=1, dilation=1, groups=1),
    case("nn.conv3d_ndhwc", [some(2, 6, 5, 7, 4), some(3, 3, 3, 4, 6)],
         lambda x, w: tf.nn.conv3d(x, w, [1] * 5, "VALID"),
         lambda op, x, w: op(x, w, 1, 0, 1, 1, x.dtype)),
    case("nn.conv3d_transpose_ncdhw", [some(2, 4, 3, 2, 4), some(4, 6, 3, 3, 3)],
         functools.partial(_deconvolve, strides=2, padding=1, output_padding=1),
         lambda op, x, w: op(x, w, (2,) * 3, (1,) * 3, x.dtype, (1,) * 3)),
    case("nn.group_conv3d_transpose_ncdhw", [some(2, 4, 3, 2, 4), some(4, 3, 3, 3, 3)],
         functools.partial(_deconvolve, strides=2, groups=2),
         lambda op, x, w: op(x, w, (2,) * 3, (0,) * 3, x.dtype, (0,) * 3, 2)),
    case("nn.declaration_conv3d_transpose_impl", [some(2, 4, 3, 2, 4), some(4, 6, 3, 3, 3)],
         functools.partial(_deconvolve, strides=2),
         lambda op, x, w: op(x, w, (2,) * 3, (0,) * 3, x.dtype, (0,) * 3)),
    case("nn.depthwise_conv2d_nchw", [_IMAGE, some(4, 2, 3, 3)],
         lambda x, w: _convolve(x, w.reshape(8, 1, 3, 3), groups=4), stride=1, padding=0,
         dilation=1),
    case("nn.depthwise_conv2d_nhwc", [some(2, 9, 7, 4), some(3, 3, 4, 2)],
         lambda x, w: tf.nn.depthwise_conv2d(x, w, [1] * 4, "SAME"), stride=1, padding="SAME",
         dilation=1),
    case("nn.depthwise_conv2d_backward_input_nhwc", [some(3, 3, 4, 2), some(2, 7, 5, 8)],
         lambda w, g: tf.nn.depthwise_conv2d_backprop_input((2, 9, 7, 4), w, g, [1] * 4, "VALID"),
         oshape=(2, 7, 5, 8), ishape=(2, 9, 7, 4), stride=1, padding=0),
    case("nn.depthwise_conv2d_backward_weight_nhwc", [some(2, 9, 7, 4), some(2, 7, 5, 8)],
         lambda x, g: tf.nn.depthwise_conv2d_backprop_filter(
             x, (3, 3, 4, 2), g, [1] * 4, "VALID"),
         oshape=(2, 7, 5, 8), fshape=(3, 3, 4, 2), stride=1, padding=0),
    case("nn.bitserial_conv2d_nchw",
         [some(1, 32, 6, 5, low=0, high=3), some(4, 32, 3, 3, low=0, high=1)], _convolve,
         dtypes=("int32", "int16"), out="int16", stride=1, padding=[0] * 4, activation_bits=2,
         weight_bits=1, unipolar=False),
    case("nn.bitserial_conv2d_nhwc",
         [some(1, 6, 5, 32, low=0, high=3), some(3, 3, 32, 4, low=0, high=1)], _convolve_last,
         dtypes=("int32", "int16"), out="int16", stride=1, padding=[0] * 4, activation_bits=2,
         weight_bits=1, unipolar=False),
    case("nn.correlation_nchw", [some(2, 3, 6, 5)] * 2, functools.partial(_correlate, reach=2),
         kernel_size=1, max_displacement=2, stride1=1, stride2=1, padding=2, is_multiply=True),
    case("nn.deformable_conv2d_nchw",
         [_IMAGE, some(2, 18, 7, 5, low=-1.5, high=1.5), _FILTER], _deformable,
         lambda op, *x: op(*x, 1, 0, 1, 1, 1, x[0].dtype)),
    case("nn.deformable_conv2d_nhwc",
         [some(2, 9, 7, 4), some(2, 7, 5, 18, low=-1.5, high=1.5), some(3, 3, 4, 6)],
         lambda x, o, w: np.moveaxis(_deformable(
             np.moveaxis(x, -1, 1), np.moveaxis(o, -1, 1), w.transpose(3, 2, 0, 1)), 1, -1),
         lambda op, *x: op(*x, 1, 0, 1, 1, 1, x[0].dtype)),
]

FAMILIES["pooling"] = [
    case("nn.adaptive_pool", some("n", 3, 8, 7),
         functools.partial(_adaptive_pool, sizes=(3, 4), reduce=np.mean), output_size=(3, 4),
         pool_type="avg"),
    case("nn.adaptive_pool1d", some("n", 3, 8),
         functools.partial(_adaptive_pool, sizes=(3,), reduce=np.max), output_size=(3,),
         pool_type="max"),
    case("nn.adaptive_pool3d", some(2, 3, 4, 5, 7),
         functools.partial(_adaptive_pool, sizes=(3, 2, 3), reduce=np.mean),
         output_size=(3, 2, 3), pool_type="avg"),
    case("nn.global_pool", some("n", 3, "m", "k"), lambda x: x.mean((2, 3), keepdims=True),
         pool_type="avg"),
    case("nn.pool1d", some("n", 3, 9),
         functools.partial(_pool, kernel=3, strides=2, padding=1, reduce=np.mean, axes=(2,)),
         kernel=[3], stride=[2], dilation=[1], padding=[1, 1], pool_type="avg"),
    case("nn.pool2d", some("n", 9, 7, 3),
         lambda x: tf.nn.max_pool2d(tf.constant(x), 3, 2, "VALID"),
         kernel=[3, 3], stride=[2, 2], dilation=[1, 1], padding=[0] * 4, pool_type="max",
         layout="NHWC"),
    case("nn.pool3d", some(2, 3, 5, 6, 7),
         functools.partial(_pool, kernel=3, strides=1, padding=1, reduce=np.max, axes=(2, 3, 4)),
         kernel=[3] * 3, stride=[1] * 3, dilation=[1] * 3, padding=[1] * 6, pool_type="max"),
    case("nn.pool_grad", [some(2, 4, 3, 3), some(2, 9, 7, 3)],
         lambda g, x: tf.raw_ops.AvgPoolGrad(
             orig_input_shape=(2, 9, 7, 3), grad=g, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1],
             padding="VALID"),
         kernel=[3, 3], stride=[2, 2], padding=[0] * 4, pool_type="avg", layout="NHWC"),
]

FAMILIES["image"] = [
    case("image.affine_grid", some("n", 2, 3), lambda m: _affine_grid(m, 5, 7), tolerance=SINGLE,
         target_shape=(5, 7)),
    case("image.crop_and_resize",
         [some(2, 9, 7, 3), fixed([[0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]], "float32"),
          fixed([1, 0], "int32")],
         lambda x, boxes, i: tf.image.crop_and_resize(x, boxes, i, (4, 5)), tolerance=SINGLE,
         crop_size=(4, 5), layout="NHWC", extrapolation_value=0.0),
    case("image.dilation2d_nchw", [_IMAGE, some(4, 3, 3)],
         lambda x, w: np.moveaxis(tf.nn.dilation2d(
             np.moveaxis(x, 1, -1), np.moveaxis(w, 0, -1), [1] * 4, "VALID", "NHWC", [1] * 4),
             -1, 1),
         stride=1, padding=0, dilations=1),
    case("image.dilation2d_nhwc", [some(2, 9, 7, 4), some(3, 3, 4)],
         lambda x, w: tf.nn.dilation2d(x, w, [1, 2, 2, 1], "VALID", "NHWC", [1] * 4),
         stride=2, padding=0, dilations=1),
    case("image.grid_sample", [some(2, 3, 9, 7), some(2, 2, "n", "k", low=-1.1, high=1.1)],
         _grid_sample),
    case("image.resize1d", some("n", 3, 7), lambda x: _interpolate(x, [2], [13]), tolerance=SINGLE,
         roi=(0.0,) * 2, size=(13,)),
    case("image.resize2d", some("n", 9, 7, 3), lambda x: tf.image.resize(x, (13, 5)),
         tolerance=SINGLE, roi=(0.0,) * 4, size=(13, 5), layout="NHWC"),
    case("image.resize3d", some(2, 3, 5, 4, 6),
         lambda x: _interpolate(x, [2, 3, 4], [7, 9, 5]), tolerance=SINGLE,
         roi=(0.0,) * 6, size=(7, 9, 5)),
    case("nn.upsampling", some("n", 3, 5, 4), lambda x: x.repeat(2, 2).repeat(3, 3),
         tolerance=SINGLE, scale_h=2, scale_w=3),
    case("nn.upsampling3d", some(2, 3, 3, 4, 5), lambda x: x.repeat(2, 2).repeat(2, 3).repeat(2, 4),
         tolerance=SINGLE, scale_d=2, scale_h=2, scale_w=2,
         coordinate_transformation_mode="asymmetric"),
]

_BOXES = [[0, 0, 4, 4], [0.5, 0, 4.5, 4], [5, 5, 9, 9], [5, 5.5, 9, 9.5], [1, 6, 3, 8]]
_SCORES = [[0.9, 0.8, 0.3, 0.7, 0.05], [0.2, 0.6, 0.5, 0.1, 0.4]]
# Class, score and corners of each.
_DETECTIONS = fixed([[[0, s, *b] for s, b in zip(_SCORES[0], _BOXES, strict=True)]])
_ROIS = fixed([[0, 0, 1, 6, 7], [1, 2, 0, 5, 8], [0, 3, 3, 4, 4]])

FAMILIES["vision"] = [
    case("vision.all_class_non_max_suppression", [fixed([_BOXES]), fixed([_SCORES])],
         lambda boxes, scores: (
             [[0, c, i] for c in (0, 1) for i in _suppress(boxes[0], scores[0, c], 0.5, 0.15)],
             [sum(len(_suppress(boxes[0], scores[0, c], 0.5, 0.15)) for c in (0, 1))]),
         lambda op, *x: op(*x, tirx.const(5, "int32"), 0.5, 0.15), dtypes=("float32",),
         out=("int64", "int64"), view=lambda rows, total: (rows[: total[0]], total)),
    case("vision.get_valid_counts", _DETECTIONS,
         lambda x: ([3], [[*x[0, [0, 1, 3]], *[[-1] * 6] * 2]], [[0, 1, 3, -1, -1]]),
         out=("int32", None, "int32"), score_threshold=0.5),
    case("vision.non_max_suppression",
         [_DETECTIONS, fixed([5], "int32"), fixed([[0, 1, 2, 3, 4]], "int32")],
         lambda x, *_: (
             [(kept := _suppress(x[0, :, 2:], x[0, :, 1], 0.5, 0)) + [-1] * (5 - len(kept))],
             [[len(kept)]]),
         dtypes=("float32",), out=("int32", "int32")),
    case("vision.multibox_transform_loc", [some(2, 3, 4), some(2, 16), some(1, 4, 4)],
         _decode_boxes,
         out=(None, None), variances=(0.1, 0.1, 0.2, 0.2), threshold=0.3),
    case("vision.roi_align", [some(2, 3, 9, 8), _ROIS],
         lambda x, r: _roi_align(x, r, 3, 0.7, 2), pooled_size=3, spatial_scale=0.7,
         sample_ratio=2),
    case("vision.roi_align_nchw", [some(2, 3, 9, 8), _ROIS],
         lambda x, r: _roi_align(x, r, 2, 1.0, 3), pooled_size=2, spatial_scale=1.0, mode="avg",
         sample_ratio=3),
    case("vision.roi_align_nhwc", [some(2, 9, 8, 3), _ROIS],
         lambda x, r: np.moveaxis(_roi_align(np.moveaxis(x, -1, 1), r, 2, 1.0, 3), 1, -1),
         pooled_size=2, spatial_scale=1.0, mode="avg", sample_ratio=3),
    case("vision.roi_pool", [some(2, 3, 9, 8), _ROIS], lambda x, r: _roi_pool(x, r, 3, 0.5),
         pooled_size=3, spatial_scale=0.5),
    case("vision.roi_pool_nchw", [some(2, 3, 9, 8), _ROIS], lambda x, r: _roi_pool(x, r, 2, 1.0),
         pooled_size=2, spatial_scale=1.0),
]

# What TVM 0.27 itself cannot do. Each is run all the same and must still fail so.
BROKEN = [
    # These do not know float64.
    *(
        case(f"nn.{name}", [some(7, 4, 5), some(4), some(4)], call=call, dtypes=("float64",),
             error="only support float32 and float16")
        for name, call in {
            "group_norm": lambda op, *x: op(*x, 2, 1, [2]),
            "instance_norm": lambda op, *x: op(*x, 1, [2]),
            "layer_norm": lambda op, *x: op(*x, [1]),
        }.items()
    ),
    case("vision.all_class_non_max_suppression", [fixed([_BOXES]), fixed([_SCORES])],
         call=lambda op, *x: op(*x, tirx.const(5, "int32"), 0.5, 0.15), dtypes=("float64",),
         error="mismatched types"),
    case("vision.non_max_suppression",
         [_DETECTIONS, fixed([5], "int32"), fixed([[0, 1, 2, 3, 4]], "int32")],
         dtypes=("float64",), error="Currently only supports input dtype to be float32"),
    # It takes TVM's process down, whatever its arguments.
    case("nn.batch_to_space_nd", some(8, 3, 5, 2), block_shape=[2, 2], crop_begin_list=[0, 0],
         crop_end_list=[0, 0], dtypes=("float32",), error="Cannot find type info",
         crashes=True),
    # Its module lacks an import.
    case("nn.dense_pack", [some(7, 13), some(3, 13, 4)],
         error="name 'get_const_tuple' is not defined"),
    # A stub for a template that is gone.
    case("nn.depthwise_conv2d_NCHWc", [some(2, 2, 9, 7, 2), some(2, 1, 3, 3, 1, 2)],
         call=lambda op, x, w: op(x, w, 1, 0, 1, "NCHW2c", "NCHW2c"), error="missing register"),
    # create_prim_func knows no te.scan.
    case("nn.lstm", [some(3, 2, 5), some(16, 5), some(16, 4)], dtypes=("float32",),
         error="Unsupported Operation: te.ScanOp"),
    # They pass a dtype to a memoised function that takes strings.
    case("nn.conv2d_winograd_weight_transform", _FILTER, tile_size=2, error="AssertionError"),
    case("nn.conv3d_winograd_weight_transform", some(3, 2, 3, 3, 3), tile_size=2,
         error="AssertionError"),
    # Weights transformed beforehand belong to a flow that is gone.
    case("nn.conv2d_winograd_nhwc_without_weight_transform",
         [some(2, 8, 8, 4), some(6, 6, 6, 4)],
         call=lambda op, x, w: op(x, w, 1, 1, 1, str(x.dtype)), error="LEGACY-FLOW triggered"),
    # It allocates buffers where the IR builder takes none any more.
    case("sparse_reshape",
         [fixed([[0, 0, 0], [0, 1, 0], [1, 2, 3]]), fixed([2, 3, 4]), fixed([9, -1])],
         new_sparse_indices_shape=(3, 2), new_shape_shape=(2,), dtypes=INTEGERS,
         error="Builder.result has already been set"),
]
# fmt: on

# Public functions that are no operators: of shapes, layouts and indices, and steps of operators.
NOT_OPERATORS = {
    *("binary_search", "get_const_tuple", "make_idx", "within_index"),
    *(f"image.get_{rank}d_{what}" for rank in (1, 2, 3) for what in ("indices", "pixel")),
    *(f"image.{name}" for name in ("get_closest_index", "get_inx", "nchw_pack_layout")),
    *("image.can_convert_multiply_to_intdiv", "image.nchw_xc_layout"),
    *(f"nn.get_pad_tuple{rank}" for rank in ("", "1d", "3d", "_generic")),
    *("nn.equal_const_int", "nn.get_const_int", "nn.get_padded_shape", "nn.simplify"),
    *("nn.conv2d_transpose_nchw_preprocess", "nn.conv3d_transpose_ncdhw_preprocess"),
    *("nn.winograd_transform_matrices", "vision.binary_search", "vision.run_all_class_nms"),
    *("vision.collect_selected_indices", "vision.collect_selected_indices_and_scores"),
}


def count() -> tuple[int, int]:
    """Return how many operators are swept, and how many TVM itself cannot run at all."""
    swept = {c.operator for cases in FAMILIES.values() for c in cases}
    return len(swept), len({c.operator for c in BROKEN} - swept)


def public() -> set[str]:
    """Return the names of the public functions of tvm.topi and its parts for the CPU, each once."""
    names: dict[Callable, str] = {}
    for part in ("", "nn.", "image.", "vision."):
        module = operator(part[:-1]) if part else topi
        for name, value in inspect.getmembers(module, inspect.isfunction):
            if not name.startswith("_") and value.__module__.startswith("tvm.topi"):
                names.setdefault(value, part + name)
    return set(names.values())
