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
"""Modules, functions and ops as configs and pickles."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python


def _square(name="x"):
    n = te.var("n")
    x = te.placeholder((n,), "float32", name=name)
    return x, te.compute((n,), lambda i: x[i] * x[i], name="y")


def _square_grad():
    n = te.var("n")
    x, y, dy = (te.placeholder((n,), "float32", name=name) for name in ("x", "y", "dy"))
    return [x, y, dy, te.compute((n,), lambda i: 2.0 * x[i] * dy[i], name="dx")]


@pytest.fixture(scope="module")
def module():
    """`square`, with its gradient `square_grad` in the same library, and unlinked `square_2`."""
    functions = {
        "square": list(_square()),
        "square_grad": _square_grad(),
        "square_2": list(_square("x2")),
    }
    return tftvm.build(functions, gradient={"square": "square_grad"})


def _again(function):
    return tftvm.Function.from_config(json.loads(json.dumps(function.get_config())))


def _gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


def test_function_with_the_gradient_that_its_library_names(module):
    again = _again(module["square"])
    np.testing.assert_allclose(again(tf.constant([3.0])), [9.0])
    np.testing.assert_allclose(_gradient(again, [3.0]), [6.0])
    assert str(again.signature) == str(module["square"].signature)


def test_gradient_by_name_and_from_the_same_module_store_the_library_once(module):
    for gradient in ("square_grad", module["square_grad"]):
        function = module.func("square_2", gradient=gradient)
        config = function.get_config()
        assert len(config["libraries"]) == 1
        np.testing.assert_allclose(_gradient(_again(function), [3.0]), [6.0])


def test_nested_gradients_of_other_libraries(module):
    other = tftvm.build([*_square_grad()], name="other_grad")
    n = te.var("n")
    x, y, dy, dx, ddx = (
        te.placeholder((n,), "float32", name=name) for name in ("x", "y", "dy", "dx", "ddx")
    )
    second = [
        *(x, dy, ddx),
        te.compute((n,), lambda i: 2.0 * dy[i] * ddx[i], name="a"),
        te.compute((n,), lambda i: 2.0 * x[i] * ddx[i], name="b"),
    ]
    second = tftvm.build(second, name="second")["second"]
    first = other.func(
        "other_grad", gradient=tftvm.Gradient(second, ["args.0", "args.2", "grads"], wrt=[0, 2])
    )
    function = _again(module.func("square_2", gradient=first))
    assert len(function.get_config()["libraries"]) == 3
    x = tf.constant([3.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        dx = inner.gradient(y, x)
    np.testing.assert_allclose(dx, [6.0])
    np.testing.assert_allclose(outer.gradient(dx, x), [2.0])


def test_all_that_func_is_told(addone_path):
    module = tftvm.Module(addone_path)
    function = module.func(
        "addone",
        output_shape=np.array([2]),
        output_dtype=[tf.float32],
        target_device="cpu:0",
        memory_align=128,
        stateful=True,
        arg_spec=["args", "rets"],
    )
    again = _again(function)
    assert again.told["output_shape"] == ([(2,)], False)
    assert again.told["output_dtype"] == ([tf.float32], True)
    assert again.told["target_device"] == "cpu:0"
    assert again.told["memory_align"] == 128
    assert again.told["arg_spec"] == ["args", "rets"]
    assert again.stateful
    (y,) = again(tf.constant([1.0, 2.0]))
    np.testing.assert_allclose(y, [2.0, 3.0])
    with_signature = module.func("addone", signature="(x: float32[n]) -> (y: float32[n])")
    assert _again(with_signature).signature == with_signature.signature
    symbolic = module.func(
        "addone", output_shape="[n]", signature="(x: float32[n]) -> (y: float32[...])"
    )
    assert _again(symbolic).signature == symbolic.signature
    several = module.func("addone", output_shape=[tf.TensorShape([2])])
    assert _again(several).told["output_shape"] == ([(2,)], True)
    known = module.func("addone", output_shape=tf.constant([2]))
    assert _again(known).told["output_shape"] == ([(2,)], False)


def test_what_cannot_be_stored(module, addone_path):
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None])
        function = tftvm.Module(addone_path).func("addone", output_shape=tf.shape(x))
    with pytest.raises(ValueError, match="'addone' of library 'addone.so' has a tensor as output"):
        function.get_config()
    with pytest.raises(TypeError, match="Cannot pickle: TVM function 'addone'.* tensor"):
        pickle.dumps(function)
    function = module["square_2"].with_gradient(lambda x, y, dy: 2.0 * x * dy)
    with pytest.raises(ValueError, match="gradient in Python, which cannot be stored. Give a TVM"):
        function.get_config()
    assert copy.deepcopy(function) is function


def test_a_gradient_in_python_does_not_leak_into_the_function_that_it_was_given_to(module):
    module["square_2"].with_gradient(lambda x, y, dy: dy)
    assert module["square_2"].get_config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: None, "given NoneType"),
        (lambda config: {"a": 1}, r"given \['a'\]"),
        (lambda config: {**config, "format": 2}, "has format 2, and this version .* reads format"),
        (lambda config: {**config, "libraries": []}, "is damaged: IndexError"),
        (lambda config: {**config, "function": {"name": "f"}}, "is damaged: KeyError"),
        (lambda config: {**config, "libraries": [{"content": "§"}]}, "is damaged|contain only"),
        (
            lambda config: {**config, "libraries": [{**config["libraries"][0], "content": "AAAA"}]},
            "is damaged: error",
        ),
    ],
)
def test_wrong_configs(module, change, message):
    with pytest.raises(ValueError, match=message):
        tftvm.Function.from_config(change(module["square"].get_config()))


def test_a_library_that_is_not_the_one_that_was_stored(module):
    config = module["square"].get_config()
    config["libraries"][0]["digest"] = "sha256:" + "0" * 64
    with pytest.raises(tf.errors.InvalidArgumentError, match="sha256"):
        tftvm.Function.from_config(config)


def test_pickles(module):
    again = pickle.loads(pickle.dumps(module))
    assert (again.digest, again.name) == (module.digest, module.name)
    assert copy.copy(module) is module and copy.deepcopy(module) is module
    function = pickle.loads(pickle.dumps(module["square"]))
    np.testing.assert_allclose(_gradient(function, [3.0]), [6.0])
    assert copy.copy(function) is function


def test_in_another_process_without_the_file(module, tmp_path):
    libraries.export(libraries.elementwise("addone", lambda x: x + 1.0), tmp_path / "addone.so")
    function = tftvm.Module(tmp_path / "addone.so")["addone"]
    (tmp_path / "function.json").write_text(json.dumps(function.get_config()))
    (tmp_path / "square.pickle").write_bytes(pickle.dumps(module["square"]))
    (tmp_path / "addone.so").unlink()
    output = check_python(
        """
        import json, pickle, sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        with open(sys.argv[1] + "/function.json") as file:
            print(tftvm.Function.from_config(json.load(file))(tf.constant([1.0])).numpy())
        with open(sys.argv[1] + "/square.pickle", "rb") as file:
            print(pickle.load(file)(tf.constant([3.0])).numpy())
        """,
        str(tmp_path),
    )
    assert output.split() == ["[2.]", "[9.]"]


def _double(x):
    return topi.multiply(x, tvm.tirx.const(2, x.dtype))


@tftvm.op(shapes=["n"], gradient=lambda x, y, dy: _double(dy))
def decorated(x):
    """An op that has its function's name."""
    return _double(x)


plain = tftvm.op(_double, shapes=["n"], gradient_from=tf.identity)


def test_ops_pickle_by_name_or_by_their_functions():
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    np.testing.assert_allclose(plain(tf.constant([2.0])), [4.0])
    again = pickle.loads(pickle.dumps(plain))
    assert again is not plain
    np.testing.assert_allclose(again(tf.constant([2.0])), [4.0])
    np.testing.assert_allclose(_gradient(again, [2.0]), [1.0])  # that of tf.identity
    with pytest.raises(tf.errors.InvalidArgumentError, match="its rank is 2"):
        again(tf.constant([[2.0]]))
    assert copy.deepcopy(plain) is plain
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        pickle.dumps(tftvm.op(lambda x: _double(x)))


def test_with_gradient_leaves_the_op_as_it_was():
    other = decorated.with_gradient(lambda x, y, dy: 7.0 * dy)
    np.testing.assert_allclose(_gradient(other, [2.0]), [7.0])
    np.testing.assert_allclose(_gradient(decorated, [2.0]), [2.0])


def test_the_function_that_an_op_has_compiled():
    function = decorated.function_for(tf.TensorSpec([None], tf.float32))
    assert function.signature.inputs[0].shape == ("n",)
    np.testing.assert_allclose(_gradient(_again(function), [2.0]), [2.0])
