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
"""Shapes that TensorFlow's or XLA's classes cannot hold: an error, where they end the process."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

_INT32 = 2**31 - 1
_SOURCE = """
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/tvm_ffi.h>
#include <cstring>
#include <vector>
namespace ffi = tvm::ffi;
using ffi::Tensor;
using ffi::TensorView;

namespace {
void copy(TensorView x, TensorView y) {
  std::memcpy(y.data_ptr(), x.data_ptr(), x.numel() * sizeof(float));
}
Tensor Make(const std::vector<int64_t>& shape) {
  return Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ffi::ShapeView(shape.data(), shape.size()),
                              DLDataType{kDLFloat, 32, 1}, DLDevice{kDLCPU, 0});
}
Tensor return_254(TensorView x) {
  Tensor y = Make(std::vector<int64_t>(254, 1));
  *static_cast<float*>(y.data_ptr()) = 7;
  return y;
}
Tensor return_255(TensorView x) { return Make(std::vector<int64_t>(255, 1)); }
Tensor return_10000(TensorView x) { return Make(std::vector<int64_t>(10000, 1)); }
Tensor return_0_first(TensorView x) { return Make({0, int64_t{1} << 62, 4}); }
Tensor return_0_last(TensorView x) { return Make({int64_t{1} << 62, 4, 0}); }
Tensor return_large(TensorView x) { return Make({2147483647, 0, 2147483647}); }
}  // namespace
TVM_FFI_DLL_EXPORT_TYPED_FUNC(copy, copy);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(return_254, return_254);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(return_255, return_255);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(return_10000, return_10000);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(return_0_first, return_0_first);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(return_0_last, return_0_last);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(return_large, return_large);
"""

_SHAPES = {
    "rank_255": [1] * 255,
    "rank_300": [0] * 300,
    "int32": [_INT32, _INT32, 0],  # its elements fit in 64 bits, its bytes do not
    "int32_middle": [_INT32, 0, _INT32],
    "int64": [2**62, 4, 0],
    "0_first": [0, 2**62, 4],
    "negative": [-5, 0],
    "minus_1": [-1, 0],
}
_TOO_LARGE = "more than 2^63-1 bytes|too large for a tensor"
_MESSAGES = {
    "rank_255": "at most 254",
    "rank_300": "at most 254",
    "negative": "negative",
    "minus_1": "negative",
}

# Calls a function in each way, and prints how that ends. A graph is made with a shape that can be,
# and then changed where it is to hold one that Python refuses beforehand.
_PROGRAM = """
import json, sys
import numpy as np
import tensorflow as tf
import tensorflow_tvm as tftvm

tf1 = tf.compat.v1
module = tftvm.Module(sys.argv[1])
shapes = json.loads(sys.argv[2])
spec = tf.TensorSpec([None], tf.float32)


def flat(y, name=None):
    return tf.reshape(y, [-1], name)  # NumPy has no tensors of more than 64 dimensions


def signature(shape):
    return "(x: float32[n]) -> (y: float32[%s])" % ",".join(map(str, shape))


def changed(graph_def, shape, by):
    nodes = [n for f in graph_def.library.function for n in f.node_def] + list(graph_def.node)
    for node in nodes:
        node.attr.pop("_output_shapes", None)
        if node.op == "TVM>DSOOp":
            callee = json.loads(node.attr["callee"].s)
            del callee["output_shapes"]
            callee[by] = [shape] if by == "output_shapes" else signature(shape)
            node.attr["callee"].s = json.dumps(callee).encode()
    return graph_def


def imported(graph_def, x, y):
    with tf.Graph().as_default(), tf1.Session() as session:
        (y,) = tf.import_graph_def(graph_def, return_elements=[y], name="")
        return session.run(y, {x: np.float32([1])})


def graph_def(shape, by):
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None], name="x")
        flat(module.func("copy", output_shape=[1])(x), name="y")
    return imported(changed(graph.as_graph_def(), shape, by), "x:0", "y:0")


def function_def(shape, by):
    copy = module.func("copy", output_shape=[1])
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None], name="x")
        inner = tf.function(copy, input_signature=[spec])
        flat(inner(x), name="y")
    return imported(changed(graph.as_graph_def(), shape, by), "x:0", "y:0")


def session(shape):
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None])
        shape = tf.constant(shape, tf.int64) * tf.size(x, tf.int64)
        return session.run(flat(module.func("copy", output_shape=shape)(x)), {x: np.float32([1])})


def tensor(x, shape, known):
    shape = tf.constant(shape, tf.int64)
    if not known:
        shape *= tf.size(x, tf.int64)
    return flat(module.func("copy", output_shape=shape)(x))


x = tf.ones([1])
ways = {
    "list": lambda s: flat(module.func("copy", output_shape=s)(x)),
    "signature": lambda s: flat(module.func("copy", signature=signature(s))(x)),
    "tensor": lambda s: tensor(x, s, True),
    "function, known": lambda s: tf.function(lambda x: tensor(x, s, True))(x),
    "function, computed": lambda s: tf.function(
        lambda x: tensor(x, s, False), input_signature=[spec]
    )(x),
    "XLA, known": lambda s: tf.function(lambda x: tensor(x, s, True), jit_compile=True)(x),
    "XLA, computed": lambda s: tf.function(lambda x: tensor(x, s, False), jit_compile=True)(x),
    "session": session,
    "GraphDef, shapes": lambda s: graph_def(s, "output_shapes"),
    "GraphDef, signature": lambda s: graph_def(s, "signature"),
    "FunctionDef, shapes": lambda s: function_def(s, "output_shapes"),
    "FunctionDef, signature": lambda s: function_def(s, "signature"),
}
for way, call in ways.items():
    for name, shape in shapes.items():
        print(repr((way, name)), end=": ", flush=True)
        try:
            print(repr(np.asarray(call(shape)).shape), flush=True)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            print(repr(f"refused: {error}"), flush=True)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return libraries.compile_cc(_SOURCE, tmp_path_factory.mktemp("lib") / "cc.so", "-std=c++17")


@pytest.fixture(scope="module")
def outcomes(path):
    """How each call ends, by way and shape: in a process of its own, which it might end."""
    shapes = {**_SHAPES, "rank_254": [1] * 254}
    output = check_python(_PROGRAM, path, repr(shapes).replace("'", '"'))
    return ast.literal_eval("{" + ",".join(output.splitlines()) + "}")


@pytest.mark.parametrize("name", _SHAPES)
def test_shapes_that_cannot_be(outcomes, name):
    of_this = {way: outcome for (way, shape), outcome in outcomes.items() if shape == name}
    assert len(of_this) == 12
    words = _MESSAGES.get(name, _TOO_LARGE).split("|")
    for way, outcome in of_this.items():
        if (name, way) == (
            "negative",
            "XLA, computed",
        ):  # which TensorFlow folds and refuses
            assert "refused: Invalid value in tensor used for shape: -5" in outcome
            continue
        assert "refused: " in outcome and any(word in outcome for word in words), (way, outcome)
        if way != "signature":  # which Python reads before it knows whose it is
            assert "'copy'" in outcome and "cc.so" in outcome, (way, outcome)


def test_the_highest_rank(outcomes, path, run):
    of_this = [outcome for (_, name), outcome in outcomes.items() if name == "rank_254"]
    assert of_this == [(1,)] * 12
    module = tftvm.Module(path)

    def copy(x):
        x = tf.expand_dims(tf.reshape(x, [1] * 253), 0)  # tf.reshape makes no more
        return tf.reshape(module["copy"](x), [-1])

    x = np.float32([3])
    np.testing.assert_array_equal(run(copy, x), x)
    np.testing.assert_array_equal(tf.function(copy, jit_compile=True)(x), x)


def test_returned_shapes_that_cannot_be(path, run):
    module = tftvm.Module(path)
    x = np.float32([1])

    def returned(name):
        function = module.func(f"return_{name}", arg_spec=["args"])
        return run(lambda x: tf.reshape(function(x), [-1]), x)

    np.testing.assert_array_equal(returned("254"), [7])
    for name, message in {
        "255": "'return_255' of library 'cc.so': .*at most 254 dimensions, given 255",
        "10000": "'return_10000' of library 'cc.so': .*at most 254 dimensions, given 10000",
        "0_first": "'return_0_first' of library 'cc.so': .*more than 2.63-1 bytes",
        "0_last": "'return_0_last' of library 'cc.so' .*of such a shape.* cannot be allocated",
        "large": "'return_large' of library 'cc.so': .*more than 2.63-1 bytes",
    }.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            returned(name)


def test_signatures_of_too_many_dimensions():
    dims = ", ".join(["n"] * 255)
    tftvm.Signature.parse(f"(x: float32[{dims[3:]}]) -> (y: float32[n])")
    for text in (f"(x: float32[{dims}]) -> ()", f"(x: float32[n]) -> (y: float32[{dims}])"):
        with pytest.raises(ValueError, match="at most 254 dimensions, found 255"):
            tftvm.Signature.parse(text)
    argument = tftvm.Signature.parse("(x: any[n]) -> ()").arguments[0]
    with pytest.raises(ValueError, match="'x' has 300 dimensions; a tensor has at most 254"):
        tftvm.Signature((type(argument)("input", "x", "any", (1,) * 300),))
