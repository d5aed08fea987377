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
"""Keras layers that call TVM functions."""

from __future__ import annotations

import copy
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm import layers
from tensorflow_tvm.layers import TVMLayer, Weight
from tensorflow_tvm.tests.subprocesses import check_python


def _dense():
    n, d, u = te.var("n"), te.var("d"), te.var("u")
    x = te.placeholder((n, d), "float32", name="x")
    w = te.placeholder((d, u), "float32", name="w")
    b = te.placeholder((u,), "float32", name="b")
    k = te.reduce_axis((0, d), name="k")
    product = te.compute((n, u), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="product")
    return [x, w, b, te.compute((n, u), lambda i, j: product[i, j] + b[j], name="y")]


def _sum_and_difference():
    n, d = te.var("n"), te.var("d")
    left, right = (te.placeholder((n, d), "float32", name=name) for name in ("left", "right"))
    total = te.compute((n, d), lambda i, j: left[i, j] + right[i, j], name="total")
    rest = te.compute((n, d), lambda i, j: left[i, j] - right[i, j], name="rest")
    return [left, right, total, rest]


def _dense_grad(x, w, b, dy):
    (n, u), d = dy.shape, x.shape[1]
    i, j, k = (
        te.reduce_axis((0, size), name=name) for size, name in ((n, "i"), (u, "j"), (n, "k"))
    )
    return (
        te.compute((n, d), lambda r, c: te.sum(dy[r, j] * w[c, j], axis=j), name="dx"),
        te.compute((d, u), lambda r, c: te.sum(x[i, r] * dy[i, c], axis=i), name="dw"),
        te.compute((u,), lambda c: te.sum(dy[k, c], axis=k), name="db"),
    )


def _both_grad(total, rest):
    return (
        te.compute(total.shape, lambda i, j: total[i, j] + rest[i, j]),
        te.compute(total.shape, lambda i, j: total[i, j] - rest[i, j]),
    )


def _lookup():
    n, m, d = te.var("n"), te.var("m"), te.var("d")
    ids = te.placeholder((n,), "int32", name="ids")
    table = te.placeholder((m, d), "float32", name="table")
    return [ids, table, te.compute((n, d), lambda i, j: table[ids[i], j], name="rows")]


@pytest.fixture(scope="module")
def module():
    functions = {"dense": _dense(), "both": _sum_and_difference(), "lookup": _lookup()}
    gradients = {
        "dense": tftvm.Gradient(_dense_grad, takes=["args", "grads"]),
        "both": tftvm.Gradient(_both_grad, takes=["grads"]),
    }
    return tftvm.build(functions, gradient=gradients)


def _scale(x, w):
    return te.compute(x.shape, lambda i, j: x[i, j] * w[j])


def _scale_grad(x, w, y, dy):
    k = te.reduce_axis((0, x.shape[0]), name="k")
    return (
        te.compute(x.shape, lambda i, j: dy[i, j] * w[j]),
        te.compute(w.shape, lambda j: te.sum(dy[k, j] * x[k, j], axis=k)),
    )


scale = tftvm.op(_scale, shapes=["n d", "d"], gradient=_scale_grad)


def _array(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def _dense_layer(module, units=4, **kwargs):
    return TVMLayer(
        module["dense"],
        weights=["w", Weight("b", initializer="zeros")],
        sizes={"u": units},
        **kwargs,
    )


def _model(module):
    inputs = keras.Input([3])
    return keras.Model(inputs, keras.layers.Dense(1)(_dense_layer(module)(inputs)))


def _again(layer):
    return TVMLayer.from_config(json.loads(json.dumps(layer.get_config())))


# Models.


def test_it_computes_and_trains_like_keras(module):
    x, y = _array(32, 3), _array(32, 1)
    ours = _model(module)
    inputs = keras.Input([3])
    theirs = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(4)(inputs)))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    for jit_compile in ("auto", False):
        for model in (ours, theirs):
            model.compile("sgd", "mse", jit_compile=jit_compile)
            # The last batch is a shorter one.
            model.fit(x, y, batch_size=9, epochs=2, shuffle=False, verbose=0)
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_sequential_models_and_eager_ones(module):
    model = keras.Sequential([_dense_layer(module), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(_array(8, 3), _array(8, 1), verbose=0)
    assert model.layers[0].weights[0].shape == (3, 4)


def test_subclassed_models(module):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = _dense_layer(module)
            self.second = keras.layers.Dense(1)

        def call(self, x):
            return self.second(self.first(x))

    model = Model()
    model.compile("sgd", "mse")
    model.fit(_array(8, 3), _array(8, 1), verbose=0)
    assert len(model.trainable_weights) == 4


@pytest.mark.parametrize("steps", [5, None])
def test_time_distributed(module, steps):
    inputs = keras.Input([steps, 3])
    layer = _dense_layer(module)
    model = keras.Model(inputs, keras.layers.TimeDistributed(layer)(inputs))
    assert model.output_shape == (None, steps, 4)
    x = _array(2, 5, 3)
    expected = x @ layer.weights[0].numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)
    model.compile("sgd", "mse")
    model.fit(x, expected, verbose=0)


def test_clone_model_and_copies(module):
    model = _model(module)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    x = _array(2, 3)
    np.testing.assert_array_equal(clone(x), model(x))
    layer = copy.deepcopy(model.layers[1])
    np.testing.assert_array_equal(layer(x), model.layers[1](x))


def test_regularizers_constraints_and_trainable_flags(module):
    layer = TVMLayer(
        module["dense"],
        weights=[
            Weight("w", ["d", 4], "ones", keras.regularizers.L2(0.5), "non_neg"),
            Weight("b", initializer=keras.initializers.Constant(2.0), trainable=False),
        ],
    )
    for same in (layer, _again(layer)):
        np.testing.assert_allclose(same(np.ones((1, 3), np.float32)), [[5.0] * 4])
        assert [w.name for w in same.trainable_weights] == ["w"]
        assert [w.name for w in same.non_trainable_weights] == ["b"]
        np.testing.assert_allclose(same.losses, [6.0])
        assert isinstance(same.weights[0].constraint, keras.constraints.NonNeg)


# Inputs and outputs.


def test_lists_and_dicts_of_inputs_and_several_outputs(module):
    left, right = keras.Input([2], name="left"), keras.Input([2], name="right")
    layer = TVMLayer(module["both"])
    x, y = _array(4, 2), np.ones((4, 2), np.float32)
    from_list = keras.Model([left, right], layer([left, right]))
    from_dict = keras.Model({"right": right, "left": left}, layer({"right": right, "left": left}))
    for model, data in ((from_list, [x, y]), (from_dict, {"right": y, "left": x})):
        assert [output.shape for output in model.outputs] == [(None, 2)] * 2
        total, rest = model.predict(data, verbose=0)
        np.testing.assert_allclose(total, x + y)
        np.testing.assert_allclose(rest, x - y)
        model.compile("sgd", ["mse", "mse"])
        model.fit(data, (x, y), verbose=0)
    assert layer.compute_output_shape([(None, 2), (None, 2)]) == [(None, 2)] * 2
    assert layer.compute_output_shape({"left": (8, 2), "right": (8, 2)}) == [(8, 2)] * 2


def test_integers_stay_integers(module):
    layer = TVMLayer(module["lookup"], weights=[Weight("table", [7, 2])])
    ids = keras.Input([], dtype="int32")
    rows = layer(ids)
    assert (rows.shape, rows.dtype) == ((None, 2), "float32")
    np.testing.assert_array_equal(layer(tf.constant([3, 1])), layer.weights[0].numpy()[[3, 1]])


def test_attrs_and_weights_that_are_not_the_last_inputs():
    @tftvm.op(shapes=["d", "n d"])
    def weighted(w, x, power=1):
        return te.compute(x.shape, lambda i, j: x[i, j] * te.power(w[j], float(power)))

    layer = TVMLayer(weighted, [Weight("w", initializer="ones")], attrs={"power": 2})
    layer.build((None, 3))
    layer.set_weights([np.float32([1, 2, 3])])
    x = _array(2, 3)
    np.testing.assert_allclose(layer(x), x * [1, 4, 9], rtol=1e-4)
    again = _again(layer)
    again.build((None, 3))
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(again(x), x * [1, 4, 9], rtol=1e-4)


def test_without_a_signature(addone_path):
    layer = TVMLayer(tftvm.Module(addone_path)["addone"])
    assert layer(keras.Input([])).shape == (None,)
    np.testing.assert_allclose(layer(tf.constant([1.0])), [2.0])
    assert layer.compute_output_shape((5,)) == (5,)
    open_shape = tftvm.Module(addone_path).func(
        "addone", signature="(x: float32[n]) -> (y: float32[...])", arg_spec=["args"]
    )
    with pytest.raises(ValueError, match="the rank of its output is not known. Give its function"):
        TVMLayer(open_shape)(keras.Input([]))
    with pytest.raises(ValueError, match="does not say what its inputs are called"):
        layer({"x": tf.constant([1.0])})


# Shapes of weights.


def last_of(shape):
    """A weight's shape."""
    return [shape[-1]]


@keras.saving.register_keras_serializable("layers_test")
def registered_last_of(shape):
    """A weight's shape."""
    return [shape[-1]]


@pytest.mark.parametrize(
    "shape",
    [None, "d", ["d"], ["2*d-d"], [3], last_of, registered_last_of, lambda shape: shape[1:]],
    ids=str,
)
@pytest.mark.filterwarnings("error:.*lambda")
def test_shapes_of_weights(shape):
    layer = TVMLayer(scale, [Weight("w", shape)])
    assert layer(tf.ones([2, 3])).shape == (2, 3)
    assert layer.weights[0].shape == (3,)
    again = _again(layer)
    assert again(tf.ones([5, 3])).shape == (5, 3)


def test_shapes_that_are_functions():
    layer = TVMLayer(scale, [Weight("w", registered_last_of)])
    config = layer._described[0].get_config(None)
    assert Weight.from_config(json.loads(json.dumps(config))).shape is registered_last_of
    with pytest.raises(ValueError, match="'w' is a Python function, which cannot be stored before"):
        Weight("w", last_of).get_config(None)


def test_a_function_gets_shapes_as_the_layer_gets_tensors(module):
    seen = []

    def shape(shapes):
        seen.append(shapes)
        return [2]

    layer = TVMLayer(scale, [Weight("w", shape)])
    layer(tf.ones([4, 2]))
    assert seen == [(4, 2)]


@pytest.mark.parametrize(
    ("weights", "sizes", "message"),
    [
        (["w", "b"], {}, r"weight 'w': its shape is \[d, u\], and the shapes of .* say n=2, d=3"),
        (
            ["w", "b"],
            {"d": 4, "u": 1},
            r"input 'x' has shape \(2, 3\), expected x: float32\[n, d\]",
        ),
        (
            [Weight("w", [5, "u"]), "b"],
            {"u": 1},
            r"weight 'w' has shape \(5, 1\).* 5 where 3 \(d\)",
        ),
        ([Weight("w", [3]), "b"], {"u": 1}, "its rank is 1 and must be 2"),
        (
            [Weight("w", ["d", 2]), Weight("b", [3])],
            {},
            r"weight 'b' has shape \(3,\).* there is 3 where 2 \(u\) is expected",
        ),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_contradictions_between_shapes(module, weights, sizes, message, symbolic):
    layer = TVMLayer(module["dense"], weights, sizes)
    x = keras.Input(batch_shape=(2, 3)) if symbolic else tf.ones([2, 3])
    with pytest.raises(ValueError, match=f"Layer 'tvm_layer.*{message}"):
        layer(x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (lambda f: [lambda x: x], TypeError, "expected a tensorflow_tvm.Function or a tensorflow"),
        (lambda f: [f, "w"], TypeError, "weights must be a list, given 'w'"),
        (lambda f: [f, [3]], TypeError, "name of a weight as a string, given 3"),
        (lambda f: [f, ["w", "c"]], ValueError, "there is none for weight 'c'"),
        (lambda f: [f, list("wxbc")], ValueError, "has 4 weights, and its function takes 3 inputs"),
        (lambda f: [f, [Weight("w", 3)]], TypeError, "its shape must be a list of integers"),
        (lambda f: [f, [Weight("w", [2.5, 1])]], TypeError, "its shape must be a list of integers"),
        (lambda f: [f, [Weight("w", dtype="float31")]], TypeError, "'w': dtype must be a dtype"),
        (lambda f: [f, ["w", "w"]], ValueError, "Layer 'tvm_layer.*two weights are called 'w'"),
        (
            lambda f: [f, ["w", "b"], {"zz": 5}],
            ValueError,
            "Layer 'tvm_layer.*sizes has 'zz', and the shapes .* have the symbols n, d, u. Corr",
        ),
        (lambda f: [f, ["w", "b"], 3], TypeError, "Layer 'tvm_layer.*sizes must be a dict from sy"),
        (
            lambda f: [f, ["w", "b"], {"u": 2.5}],
            ValueError,
            "Layer 'tvm_layer.*sizes says that u is 2.5; expected an integer of at least 0",
        ),
        (lambda f: [f, ["w", "b"], {"u": -1}], ValueError, "sizes says that u is -1; expected an"),
        (lambda f: [f, ["w", "b"], {"u": True}], ValueError, "sizes says that u is True; expected"),
        (lambda f: [f, ["w", "b"], {}, 3], TypeError, "Layer 'tvm_layer.*attrs must be a dict"),
        (
            lambda f: [f, [Weight("w", dtype="int32"), "b"]],
            ValueError,
            r"Layer 'tvm_layer.*weight 'w' has dtype int32, and its function takes w: float32\[d",
        ),
    ],
)
def test_wrong_arguments(module, arguments, error, message):
    with pytest.raises(error, match=message):
        TVMLayer(*arguments(module["dense"]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda f: {}, r"TVMLayer: expected a layer's config, .* given \[\]"),
        (lambda f: {"name": "a", "weights": []}, r"Layer 'a': .* given \['name', 'weights'\]"),
        (lambda f: 3, "TVMLayer: expected a layer's config, .* given int"),
        (lambda f: {"function": {}, "weights": []}, "Expected a function's config"),
        (lambda f: {"function": f, "weights": [{}]}, "Expected a weight's config"),
    ],
)
def test_configs_that_are_none(module, config, message):
    with pytest.raises(ValueError, match=message):
        TVMLayer.from_config(config(module["dense"].get_config()))


def test_sizes_that_are_numpy_integers_and_symbols_of_weights(module):
    layer = TVMLayer(
        module["dense"],
        [Weight("w", ["d", "2*units"]), Weight("b")],
        sizes={"units": np.int64(2)},
    )
    assert layer(tf.ones([2, 3])).shape == (2, 4)
    assert _again(layer)(tf.ones([2, 3])).shape == (2, 4)
    layer = TVMLayer(module["dense"], [Weight("w", ["d", "d-5"]), Weight("b")])
    with pytest.raises(ValueError, match=r"Layer 'tvm_layer.*weight 'w'.* negative size, -2 \(d-5"):
        layer(tf.ones([2, 3]))


@pytest.mark.parametrize("built", [False, True])
def test_inputs_that_are_none(module, built):
    x = tf.ones([1, 2])
    one, two = TVMLayer(scale, ["w"]), TVMLayer(module["both"])
    if built:
        one(x)
        two([x, x])
    with pytest.raises(ValueError, match="Layer 'tvm_layer.*: its input is None, expected a tens"):
        one(None)
    with pytest.raises(ValueError, match="Layer 'tvm_layer.*: input 1 is None, expected a tensor"):
        two([x, None])
    with pytest.raises(ValueError, match="Layer 'tvm_layer.*: input 'left' is None, expected a t"):
        two({"left": None, "right": x})


def test_an_op_is_called_without_deprecation_notices():
    # TensorFlow gives each notice once in a process.
    output = check_python(
        """
        import tensorflow as tf
        from tensorflow_tvm.layers import TVMLayer
        from tensorflow_tvm.tests.layers_test import scale
        said = []
        tf.get_logger().addFilter(lambda record: said.append(record.getMessage()))
        layer = TVMLayer(scale, ["w"])
        layer(tf.ones([2, 3]))
        layer(tf.ones([4, 3]))
        print("said", said)
        """
    )
    assert output.splitlines()[-1] == "said []"


def test_wrong_inputs(module):
    layer = TVMLayer(module["both"])
    with pytest.raises(ValueError, match="called with 1 inputs; expected 2: left: float32"):
        layer(tf.ones([1, 2]))
    with pytest.raises(ValueError, match="a dict of left, wrong; expected left, right"):
        layer({"left": tf.ones([1, 2]), "wrong": tf.ones([1, 2])})
    with pytest.raises(ValueError, match="needs a shape, which the function does not say"):
        TVMLayer(tftvm.op(_scale), ["w"])(tf.ones([1, 2]))


# Dtypes.


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_function_gets_the_dtypes_of_its_signature(module, policy):
    seen = []
    function = module["dense"].with_gradient_from(
        lambda x, w, b: seen.append({x.dtype, w.dtype, b.dtype}) or x @ w + b
    )
    layer = TVMLayer(function, ["w", "b"], {"u": 4}, dtype=policy)
    compute = layer.compute_dtype
    assert layer(keras.Input([3])).dtype == compute
    x = tf.Variable(_array(2, 3))
    with tf.GradientTape() as tape:
        y = layer(x)
    gradients = tape.gradient(y, [x, *(weight.value for weight in layer.weights)])
    assert y.dtype == compute
    assert {weight.dtype for weight in layer.weights} == {layer.variable_dtype}
    assert seen == [{tf.float32}]
    np.testing.assert_allclose(gradients[2], [2.0] * 4, rtol=1e-2)
    # The input is not rounded to 16 bits on its way.
    expected = x.numpy() @ layer.weights[0].numpy() + layer.weights[1].numpy()
    np.testing.assert_allclose(
        y, tf.cast(expected, compute), rtol=1e-2 if "16" in compute else 1e-5
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "float64"])
def test_an_op_computes_in_the_compute_dtype(policy):
    layer = TVMLayer(scale, [Weight("w", initializer="ones")], dtype=policy)
    compute = layer.compute_dtype
    outputs = layer(keras.Input([3]))
    assert outputs.dtype == compute
    assert layer.weights[0].dtype == layer.variable_dtype
    with tf.GradientTape() as tape:
        y = layer(_array(2, 3))
    assert y.dtype == compute
    gradient = tape.gradient(y, layer.weights[0].value)
    assert gradient.dtype == layer.variable_dtype
    np.testing.assert_allclose(gradient, _array(2, 3).sum(axis=0), rtol=1e-2)
    assert _again(layer).function.signature.inputs[0].dtype == compute


def test_training_in_mixed_precision(module):
    inputs = keras.Input([3])
    hidden = _dense_layer(module, dtype="mixed_bfloat16")(inputs)
    outputs = keras.layers.Dense(1, dtype="float32")(hidden)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    x = _array(64, 3)
    history = model.fit(x, x.sum(axis=1, keepdims=True), epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0]


# Configs, files, and SavedModels.


def test_a_saved_model_loads_in_another_process_without_the_library(tmp_path):
    gradient = {"dense": tftvm.Gradient(_dense_grad, takes=["args", "grads"])}
    tftvm.export_library({"dense": _dense()}, tmp_path / "dense.so", "llvm", gradient=gradient)
    model = _model(tftvm.Module(tmp_path / "dense.so"))
    (tmp_path / "dense.so").unlink()
    x = _array(4, 3)
    np.save(tmp_path / "x.npy", x)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    model.export(tmp_path / "exported", verbose=False)
    output = check_python(
        """
        import sys
        import keras
        import numpy as np
        import tensorflow as tf
        import tensorflow_tvm
        folder = sys.argv[1]
        x = np.load(folder + "/x.npy")
        model = keras.models.load_model(folder + "/model.keras")
        y = model.predict(x, verbose=0)
        np.save(folder + "/y.npy", y)
        model.set_weights([0 * w for w in model.get_weights()])
        model.load_weights(folder + "/model.weights.h5")
        assert (model.predict(x, verbose=0) == y).all()
        exported = tf.saved_model.load(folder + "/exported")
        np.testing.assert_allclose(exported.serve(x), y, rtol=1e-5)
        model.compile("sgd", "mse")
        model.fit(x, y + 1.0, verbose=0)
        print("tvm" in sys.modules)
        """,
        str(tmp_path),
    )
    assert output.split()[-1] == "False"  # no compiler was needed
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.predict(x, verbose=0), rtol=1e-6)


def test_an_op_is_stored_as_what_has_been_compiled():
    op = tftvm.op(_scale, gradient=_scale_grad)  # for each shape
    layer = TVMLayer(op, [Weight("w", last_of, "ones")])
    assert layer.compute_output_shape((None, 3)) == (None, 3)
    with pytest.raises(ValueError, match="has not been. Call the layer first, give it a functi"):
        layer.get_config()
    layer(tf.ones([2, 3]))
    again = _again(layer)
    x = _array(7, 3)  # another number of samples
    np.testing.assert_allclose(again(x), x)
    assert again.weights[0].shape == (3,)
    with tf.GradientTape() as tape:
        y = again(x)
    np.testing.assert_allclose(tape.gradient(y, again.weights[0].value), x.sum(axis=0), rtol=1e-5)
    layer = TVMLayer(op.with_gradient(lambda x, w, y, dy: [dy, None]), [Weight("w", last_of)])
    layer(tf.ones([2, 3]))
    with pytest.raises(ValueError, match="a gradient in Python, which cannot be stored"):
        layer.get_config()


def test_a_layer_of_somebody_else_holds_a_function(module):
    @keras.saving.register_keras_serializable("layers_test")
    class Both(keras.layers.Layer):
        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)
            self.function = function

        def call(self, x):
            return self.function(x, x)[0]

        def get_config(self):
            function = keras.saving.serialize_keras_object(self.function)
            return {**super().get_config(), "function": function}

        @classmethod
        def from_config(cls, config):
            function = keras.saving.deserialize_keras_object(config.pop("function"))
            return cls(function, **config)

    layer = Both(module["both"])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_allclose(again(tf.ones([1, 2])), [[2.0, 2.0]])


def test_the_submodule_and_the_attribute_are_the_same():
    assert tftvm.layers is layers
    assert "layers" in tftvm.__all__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        tftvm.nothing  # noqa: B018


def test_importing_does_not_bring_the_compiler():
    code = "import sys, tensorflow_tvm; print(tensorflow_tvm.layers.TVMLayer, 'tvm' in sys.modules)"
    assert check_python(code).split()[-1] == "False"


def test_another_backend_is_refused(module, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="Keras runs on jax. Set KERAS_BACKEND=tensorflow"):
        TVMLayer(module["dense"])
