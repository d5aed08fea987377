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
"""Relax's operators: which can be built, their values, and what is said of the others."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import relax, te, tirx, topi
from tvm.relax import op as R
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm import packed_calls, prim_functions, schedules

X = np.random.default_rng(0).permutation(20).reshape(4, 5).astype("float32") / 7 - 1
N, M = (tirx.Var(name, "int64") for name in "nm")


def relax_module(function, *types) -> tvm.IRModule:
    """Return a module with "main", of tensors that have these shapes and dtypes."""
    builder = relax.BlockBuilder()
    parameters = [
        relax.Var(f"x{i}", relax.TensorType(shape, dtype)) for i, (shape, dtype) in enumerate(types)
    ]
    with builder.function("main", parameters):
        with builder.dataflow():
            result = builder.emit_output(function(*parameters))
        builder.emit_func_output(result)
    return builder.get()


def build(function, *types, **options) -> tftvm.Function:
    return tftvm.build(relax_module(function, *types), **options)["main"]


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def descending(x, axis):
    return -np.sort(-x, axis)


SORTS_AND_SCANS = {
    "cumsum": (lambda x: R.cumsum(x, axis=1), lambda x: np.cumsum(x, 1)),
    "cumsum of rows": (lambda x: R.cumsum(x, axis=0), lambda x: np.cumsum(x, 0)),
    "cumsum, flat": (lambda x: R.cumsum(x), np.cumsum),
    "exclusive": (
        lambda x: R.cumsum(x, axis=-1, exclusive=True),
        lambda x: np.cumsum(x, 1) - x,
    ),
    "in float64": (
        lambda x: R.cumsum(x, axis=1, dtype="float64"),
        lambda x: np.cumsum(x, 1, dtype="float64"),
    ),
    "cumprod": (lambda x: R.cumprod(x, axis=1), lambda x: np.cumprod(x, 1)),
    "sort": (lambda x: R.sort(x, axis=1), lambda x: np.sort(x, 1)),
    "sort, descending": (
        lambda x: R.sort(x, axis=0, descending=True),
        lambda x: descending(x, 0),
    ),
    "argsort": (lambda x: R.argsort(x, axis=1), lambda x: np.argsort(x, 1)),
    "argsort in int64": (
        lambda x: R.argsort(x, axis=0, descending=True, dtype="int64"),
        lambda x: np.argsort(-x, 0),
    ),
    "topk": (
        lambda x: R.topk(x, k=2, axis=1),
        lambda x: (descending(x, 1)[:, :2], np.argsort(-x, 1)[:, :2]),
    ),
    "least k": (
        lambda x: R.topk(x, k=2, axis=0, ret_type="indices", largest=False),
        lambda x: np.argsort(x, 0)[:2],
    ),
    "median": (
        lambda x: R.median(x, axis=[1]),
        lambda x: (np.median(x, 1), np.argsort(x, 1)[:, 2]),
    ),
    "amid others": (
        lambda x: R.divide(
            R.cumsum(R.nn.softmax(R.sort(x, axis=1), axis=1), axis=1),
            R.sum(R.abs(x), axis=1, keepdims=True),
        ),
        lambda x: np.cumsum(softmax(np.sort(x, 1)), 1) / np.abs(x).sum(1, keepdims=True),
    ),
    "one after another": (
        lambda x: R.add(R.sort(R.negative(R.sort(x, axis=1)), axis=0), R.cumsum(x, axis=0)),
        lambda x: np.sort(-np.sort(x, 1), 0) + np.cumsum(x, 0),
    ),
    "flattened, and summed": (
        lambda x: R.sum(R.cumsum(R.sort(R.reshape(x, (-1,)), axis=0), axis=0)),
        lambda x: np.cumsum(np.sort(x.reshape(-1))).sum(),
    ),
}


def check(actual, expected):
    for ours, theirs in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 5), (N, M)], ids=["known", "symbols"])
@pytest.mark.parametrize("name", SORTS_AND_SCANS)
def test_sorts_and_scans(name, shape):
    ours, theirs = SORTS_AND_SCANS[name]
    check(build(ours, (shape, "float32"))(X), theirs(X))


def test_they_run_wherever_ops_do(run):
    ours, theirs = SORTS_AND_SCANS["amid others"]
    check(run(build(ours, ((N, M), "float32")), X), theirs(X))


@pytest.mark.parametrize("name", ["cumsum", "cumsum of rows", "cumsum, flat", "exclusive",
                                  "cumprod", "sort", "argsort", "one after another",
                                  "flattened, and summed"])  # fmt: skip
def test_nothing_to_sort_or_scan(name):
    ours, theirs = SORTS_AND_SCANS[name]
    function = build(ours, ((N, M), "float32"))
    for shape in [(0, 0), (0, 3), (3, 0), (1, 1), (3, 1), (2, 3)]:
        x = np.random.default_rng(1).normal(size=shape).astype("float32")
        check(function(x), theirs(x))


def test_gradient_of_a_scan(run):
    function = build(lambda x: R.exp(R.cumsum(x, axis=1)), ((N, M), "float32"), gradient="auto")

    def gradient(function):
        def call(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return call

    reference = gradient(lambda x: tf.exp(tf.cumsum(x, 1)))
    np.testing.assert_allclose(run(gradient(function), X), reference(tf.constant(X)), rtol=1e-4)


def test_a_sort_has_no_gradient():
    with pytest.raises(ValueError, match=r"Relax's gradient pass says: .*relax\.sort"):
        build(lambda x: R.sort(x), ((4, 5), "float32"), gradient="auto")


def test_topk_of_fewer():
    """TVM's topk leaves what it does not find as it was."""
    message = "topk with k=3 needs at least as many elements along axis 1, which has"
    function = build(lambda x: R.topk(x, k=3, axis=1), ((N, M), "float32"))
    assert function(X)[0].shape == (4, 3)
    for width in (0, 2):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{message} m"):
            function(X[:, :width])
    x = te.placeholder((4, 2), "float32", name="x")
    with pytest.raises(ValueError, match=f"{message} 2"):
        tftvm.build([x, *topi.topk(x, 3, 1)])


@pytest.mark.parametrize(("name", "what"), [("sort", "calls 'tvm.contrib.sort.sort'"),
                                            ("cumsum", "has the parallel loop '.*'")])  # fmt: skip
def test_code_for_cpus_is_not_built_for_gpus(name, what):
    ours, _ = SORTS_AND_SCANS[name]
    (function,) = prim_functions.collect(relax_module(ours, ((4, 5), "float32"))).values()
    target = tvm.target.Target({"kind": "cuda", "arch": "sm_80"})
    with pytest.raises(ValueError, match=f"it {what}, which runs on CPUs only, and the target is"):
        packed_calls.check(schedules.apply(function, target), target)


def test_samples():
    types = [((N, M), "float32"), ((3, 1), "float32"), ((3, 1), "int64")]
    sample = build(R.multinomial_from_uniform, *types)
    probabilities = np.float32([[0.1, 0.2, 0.7], [0, 0, 1]])
    uniform, rows = np.float32([[0.05], [0.25], [0.5]]), np.int64([[0], [0], [1]])
    np.testing.assert_array_equal(sample(probabilities, uniform, rows), [[0], [1], [2]])


def test_ranges():
    function = build(lambda x: R.add(x, R.arange(1, 4, 1, "float32")), ((3,), "float32"))
    np.testing.assert_array_equal(function(np.zeros(3, "float32")), [1, 2, 3])


def test_inputs_and_results_that_are_several_outputs():
    def outputs(x, y):
        total = R.add(x, y)
        return relax.Tuple([x, total, total, y])

    function = build(outputs, ((N,), "float32"), ((N,), "float32"))
    x, y = np.float32([1, 2]), np.float32([3, 4])
    check(function(x, y), (x, x + y, x + y, y))


@T.prim_func(private=True, s_tir=True)
def plus_a_size(x_h: T.handle, size: T.int64, y_h: T.handle):
    n = T.int64()
    x = T.match_buffer(x_h, (n,), "float32", elem_offset=T.int64(), offset_factor=1)
    y = T.match_buffer(y_h, (n,), "float32")
    for i in range(n):
        with T.sblock("plus"):
            vi = T.axis.spatial(n, i)
            y[vi] = x[vi] + T.Cast("float32", size)


def test_a_function_that_is_called_with_a_size():
    builder = relax.BlockBuilder()
    x, y = (
        relax.Var(name, relax.TensorType((n,), "float32"))
        for name, n in zip("xy", (N, M), strict=True)
    )
    with builder.function("main", [x, y]):
        with builder.dataflow():
            function = builder.add_func(plus_a_size, "plus_a_size")
            given = builder.emit(R.exp(x))
            type_ = relax.TensorType((N,), "float32")
            called = builder.emit(relax.call_tir(function, [given, M], out_ty=type_))
            result = builder.emit_output(R.add(called, R.sum(y)))
        builder.emit_func_output(result)
    x, y = np.float32([0, 1]), np.float32([1, 2, 3])
    check(tftvm.build(builder.get())["main"](x, y), np.exp(x) + 3 + 6)


def test_a_function_that_calls_another():
    builder = relax.BlockBuilder()
    for name in ("g", "main"):
        x = relax.Var("x", relax.TensorType((N,), "float32"))
        with builder.function(name, [x]):
            with builder.dataflow():
                if name == "main":
                    x = builder.emit(relax.Call(builder.get().get_global_var("g"), [x]))
                result = builder.emit_output(R.exp(x))
            builder.emit_func_output(result)
    module = tftvm.build(builder.get())
    assert module.functions == ("main",)
    check(module["main"](np.float32([0, 1])), np.exp(np.exp(np.float32([0, 1]))))


def floats(*shape):
    return shape, "float32"


TENSOR = relax.TensorType((3,), "float32")
REFUSED = {
    "relax.ewise_fma": (R.ewise_fma, [floats(3)] * 3),
    "relax.nn.attention_var_len": (
        R.nn.attention_var_len,
        [*[floats(1, 4, 2, 8)] * 3, *[((2,), "int32")] * 2, *[((), "int32")] * 2],
    ),
    "relax.vision.all_class_non_max_suppression": (
        R.vision.all_class_non_max_suppression,
        [floats(1, 5, 4), floats(1, 2, 5), ((1,), "int64"), floats(1), floats(1)],
    ),
    "relax.nonzero": (R.nonzero, [floats(3, 4)]),
    "relax.unique": (R.unique, [floats(5)]),
    "relax.dynamic_strided_slice": (
        R.dynamic_strided_slice,
        [floats(4, 3), *[((2,), "int64")] * 3],
    ),
    "relax.ccl.allreduce": (lambda x: R.ccl.allreduce(x, "sum"), [floats(3)]),
    "relax.memory.view": (lambda x: R.memory.view(x, (4, 3)), [floats(3, 4)]),
    "relax.builtin.stop_lift_params": (R.builtin.stop_lift_params, [floats(3)]),
    "relax.call_dps_packed of the packed function 'my.packed'": (
        lambda x: R.call_dps_packed("my.packed", R.exp(x), TENSOR),
        [floats(3)],
    ),
    "the packed function 'my.extern'": (
        lambda x: relax.Call(relax.ExternFunc("my.extern"), [x], ty_args=[TENSOR]),
        [floats(3)],
    ),
    "match_cast of": (lambda x: R.exp(_cast(x)), [((N,), "float32")]),
}


def _cast(x):
    return relax.BlockBuilder.current().match_cast(x, TENSOR)


@pytest.mark.parametrize("what", REFUSED)
def test_refusals_name_the_operator(what):
    function, types = REFUSED[what]
    with pytest.raises(ValueError, match=f"^Cannot build 'main': .*{what}"):
        build(function, *types)


def test_a_call_that_gives_its_input_away():
    @T.prim_func(private=True, s_tir=True)
    def increment(x: T.Buffer((T.int64(3),), "float32")):
        for i in range(3):
            with T.sblock("add"):
                vi = T.axis.spatial(3, i)
                x[vi] = x[vi] + T.float32(1)

    builder = relax.BlockBuilder()
    x, y = (relax.Var(name, TENSOR) for name in "xy")
    with builder.function("main", [x, y]):
        with builder.dataflow():
            function = builder.add_func(increment, "increment")
            result = builder.emit_output(R.call_tir_inplace(function, [x], [0], TENSOR))
        builder.emit_func_output(result)
    with pytest.raises(ValueError, match=r"operator relax\.call_tir_inplace gives the memory of"):
        tftvm.build(builder.get())


# A sample of those that are not tested elsewhere.
BUILT = {
    "adaptive_avg_pool2d": (lambda x: R.nn.adaptive_avg_pool2d(x, (2, 2)), [floats(1, 2, 8, 8)]),
    "attention": (lambda q: R.nn.attention(q, q, q), [floats(1, 4, 2, 8)]),
    "batch_norm": (lambda x, *v: R.nn.batch_norm(x, *v, 1), [floats(2, 3), *[floats(3)] * 4]),
    "einsum": (lambda a, b: R.einsum((a, b), "ij,jk->ik"), [floats(3, 4), floats(4, 5)]),
    "gather_nd": (R.gather_nd, [floats(4, 3), ((2, 1), "int64")]),
    "get_valid_counts": (lambda x: R.vision.get_valid_counts(x, 0.5), [floats(1, 5, 6)]),
    "grid_sample": (R.image.grid_sample, [floats(1, 3, 4, 4), floats(1, 2, 5, 5)]),
    "group_norm": (lambda x, w: R.nn.group_norm(x, w, w, 2, 1, [2]), [floats(2, 4, 3), floats(4)]),
    "hamming_window": (
        lambda x: R.add(x, R.hamming_window(4, True, 0.5, 0.4, "float32")),
        [floats(4)],
    ),
    "max_pool3d": (lambda x: R.nn.max_pool3d(x, 2), [floats(1, 2, 4, 4, 4)]),
    "meshgrid": (lambda a, b: R.meshgrid((a, b), "ij"), [floats(3), floats(4)]),
    "one_hot": (lambda i: R.one_hot(i, 1.0, 0.0, 4, -1), [((3,), "int64")]),
    "quantize": (
        lambda x, s, z: R.quantize(x, s, z, 0, "int8"),
        [floats(3, 4), floats(3), ((3,), "int8")],
    ),
    "shape_to_tensor": (lambda x: R.shape_to_tensor(R.shape_of(x)), [floats(3, 4)]),
    "take_backward": (
        lambda g, x, i: R.grad.take_backward(g, x, i, 0),
        [floats(2, 3), floats(4, 3), ((2,), "int64")],
    ),
    "variance": (lambda x: R.variance(x, axis=1), [floats(3, 4)]),
}


@pytest.mark.parametrize("name", BUILT)
def test_others_become_one_function(name):
    function, types = BUILT[name]
    (one,) = prim_functions.collect(relax_module(function, *types)).values()
    signature = prim_functions.signature_of(one)
    assert [argument.shape for argument in signature.inputs] == [shape for shape, _ in types]
