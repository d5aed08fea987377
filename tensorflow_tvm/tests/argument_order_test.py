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
"""Functions that are built and take their arguments in an order of their own."""

# No `from __future__ import annotations`: TVMScript reads annotations.

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
import tvm_ffi
from tvm import te
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm import calling, metadata
from tensorflow_tvm.__main__ import main


@T.prim_func(s_tir=True)
def scaled(x_h: T.handle, y_h: T.handle, k: T.float32):
    n = T.int32()
    x = T.match_buffer(x_h, (n,), "float32")
    y = T.match_buffer(y_h, (n,), "float32")
    for i in range(n):
        y[i] = x[i] * k


@T.prim_func(s_tir=True)
def scaled_grad(dx_h: T.handle, k: T.float32, dy_h: T.handle):
    n = T.int32()
    dx = T.match_buffer(dx_h, (n,), "float32")
    dy = T.match_buffer(dy_h, (n,), "float32")
    for i in range(n):
        dx[i] = dy[i] * k


@T.prim_func(s_tir=True)
def mixed(
    shift: T.int32,
    sums_h: T.handle,
    x_h: T.handle,
    factor: T.float32,
    products_h: T.handle,
    w_h: T.handle,
    negate: T.bool,
):
    n = T.int32()
    m = T.int32()
    sums = T.match_buffer(sums_h, (n,), "float32")
    x = T.match_buffer(x_h, (n,), "float32", elem_offset=T.int32(), offset_factor=1)
    products = T.match_buffer(products_h, (m, n), "float32")
    w = T.match_buffer(w_h, (m,), "float32", strides=(T.int32(),))
    for i in range(n):
        sums[i] = T.if_then_else(negate, -x[i], x[i]) + T.Cast("float32", shift)
    for j, i in T.grid(m, n):
        products[j, i] = x[i] * w[j] * factor


MIXED_ORDER = (
    "attrs.shift", "rets.0", "args.0", "attrs.factor", "rets.1", "args.1", "attrs.negate"
)  # fmt: skip
FUNCTIONS = {"scaled": scaled, "scaled_grad": scaled_grad, "mixed": mixed}
GRADIENT = {"scaled": tftvm.Gradient("scaled_grad", takes=["grads"])}
X, W = np.float32([1, 2, 4]), np.float32([10, 20])
ATTRS = {"shift": 5, "factor": 0.5, "negate": True}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("orders") / "orders.so"
    tftvm.export_library(FUNCTIONS, path, gradient=GRADIENT)
    return str(path)


@pytest.fixture(scope="module")
def module(path) -> tftvm.Module:
    return tftvm.Module(path)


def _compile(fn):
    return lambda *arrays: tf.function(fn, jit_compile=True, autograph=False)(*arrays)


def _check_mixed(function):
    sums, products = function(X, W)
    np.testing.assert_array_equal(sums, 5 - X)
    np.testing.assert_array_equal(products, W[:, None] * X * 0.5)


def test_signatures(module):
    assert str(module.signature("scaled")) == "(x: float32[n], k: float) -> (y: float32[n])"
    assert str(module.signature("mixed")) == (
        "(shift: int, x: float32[n], factor: float, w: float32[m], negate: bool) -> "
        "(sums: float32[n], products: float32[m, n])"
    )


def test_values(run, module):
    np.testing.assert_array_equal(run(lambda x: module["scaled"](x, k=3.0), X), 3 * X)
    _check_mixed(lambda *given: run(lambda *x: module["mixed"](*x, **ATTRS), *given))


def test_what_is_built_and_called_at_once():
    built = tftvm.build(FUNCTIONS)
    _check_mixed(lambda *given: built["mixed"](*given, **ATTRS))


def test_xla(module):
    np.testing.assert_array_equal(_compile(lambda x: module["scaled"](x, k=3.0))(X), 3 * X)
    _check_mixed(_compile(lambda *x: module["mixed"](*x, **ATTRS)))


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient(module, compiled):
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = module["scaled"](x, k=3.0)
        return tape.gradient(y, x, output_gradients=tf.constant([1.0, 2.0, 3.0]))

    fn = _compile(gradient) if compiled else gradient
    np.testing.assert_array_equal(fn(tf.constant(X)), [3, 6, 9])


def test_saved_model(module, tmp_path, check_without_tvm):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([None])])
        def __call__(self, x, w):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = module["scaled"](x, k=3.0)
            return (*module["mixed"](x, w, **ATTRS), tape.gradient(y, x))

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "model"))
    code = """
    import sys
    import numpy as np
    import tensorflow as tf
    import tensorflow_tvm

    model = tf.saved_model.load(sys.argv[1])
    x, w = np.float32([1, 2, 4]), np.float32([10, 20])
    sums, products, gradient = model(x, w)
    np.testing.assert_array_equal(sums, 5 - x)
    np.testing.assert_array_equal(products, w[:, None] * x * 0.5)
    np.testing.assert_array_equal(gradient, [3, 3, 3])
    """
    check_without_tvm(code, str(tmp_path / "model"))


def test_graph_def(module):
    graph = tf.Graph()
    with graph.as_default():
        x, w = (tf.compat.v1.placeholder(tf.float32, [None], name) for name in "xw")
        outputs = [tensor.name for tensor in module["mixed"](x, w, **ATTRS)]
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph.as_graph_def(), name="")
        with tf.compat.v1.Session(graph=imported) as session:
            _check_mixed(
                lambda *given: session.run(outputs, dict(zip(["x:0", "w:0"], given, strict=True)))
            )


def test_config(module):
    function = tftvm.Function.from_config(module["mixed"].get_config())
    _check_mixed(lambda *given: function(*given, **ATTRS))


def test_check_op(module):
    tftvm.testing.check_op(
        module["mixed"],
        [X, W],
        attrs=ATTRS,
        reference=lambda x, w: (5.0 - x, w[:, None] * x * 0.5),
        gradients=False,
        skip=["new_process"],
    )


def test_inspect(path, capsys):
    assert main(["inspect", "--json", path]) == 0
    described = {f["name"]: f for f in json.loads(capsys.readouterr().out)["functions"]}
    assert tuple(described["mixed"]["arg_spec"]) == MIXED_ORDER
    assert described["scaled_grad"]["arg_spec"] == ["rets.0", "attrs.k", "args.0"]
    assert main(["inspect", path]) == 0
    assert "(x: float32[n], k: float) -> (y: float32[n])" in capsys.readouterr().out


def test_what_tvm_ffi_reads(path):
    """The types in tvm-ffi's own metadata are in the function's order."""
    library = tvm_ffi.load_module(path)
    schema = json.loads(library.get_function_metadata("mixed")["type_schema"])
    types = [entry["type"] for entry in schema["args"]]
    tensor = "DLTensor*"
    assert types == ["None", "int", tensor, tensor, "float", tensor, tensor, "bool"]


@pytest.mark.parametrize(
    "damaged", [[], ["args"], ["args", "rets", "attrs.q"], ["rets.1", "args"], "args", {"x": 1}, 5]
)
def test_damaged_metadata(damaged):
    said = metadata.Said(tftvm.Signature.parse("(x: float32[n], k: int) -> (y: float32[n])"),
                         None, (), ("args.0", "attrs.k", "rets.0"))  # fmt: skip
    text = json.loads(metadata.write(said, ["cpu"]))
    text["tensorflow_tvm"]["arg_spec"] = damaged
    with pytest.raises(ValueError, match="arg_spec"):
        calling.resolve(metadata.read(json.dumps(text)), None, None, 1, "Function 'f'")


def test_another_order_contradicts_the_library(module):
    signature = module.signature("mixed")
    said = module.func("mixed", signature=signature, arg_spec=list(MIXED_ORDER))
    _check_mixed(lambda *given: said(*given, **ATTRS))
    other = ["args", "rets", *(entry for entry in MIXED_ORDER if "attrs" in entry)]
    with pytest.raises(
        ValueError, match="its library says that it takes .*'attrs.shift', 'rets.0'"
    ):
        module.func("mixed", arg_spec=other)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_every_order_of_three(order):
    """Of an input, an output and an intermediate result that is an output too."""
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    y = te.compute((n,), lambda i: x[i] + 1.0, name="y")
    z = te.compute((n,), lambda i: y[i] * x[i], name="z")
    tensors = [x, y, z]
    function = tftvm.build(te.create_prim_func([tensors[i] for i in order]), name="f")["f"]
    expected = {"y": X + 1, "z": (X + 1) * X}
    for output, result in zip(function.signature.outputs, function(X), strict=True):
        np.testing.assert_array_equal(result, expected[output.name])
