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
"""Ops and functions in Keras models: as activations, losses and the like, saved and loaded."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer, Weight
from tensorflow_tvm.tests.subprocesses import run_python

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3)).astype(np.float32)
LABELS = np.arange(8) % 4
Y = np.eye(4, dtype=np.float32)[LABELS]


def _mish(x):
    return te.compute(x.shape, lambda *i: x(*i) * te.tanh(te.log(1.0 + te.exp(x(*i)))))


def _cross_entropy(y, p, power=1.0):
    k = te.reduce_axis((0, p.shape[1]), "k")
    one = te.compute(p.shape, lambda i, j: tvm.tirx.max(p[i, j], 1e-7), name="one")
    return te.compute(
        (p.shape[0],),
        lambda i: te.sum(-y[i, k] * te.power(1.0 - one[i, k], power) * te.log(one[i, k]), axis=k),
    )


@tftvm.op(shapes=["rows columns"], gradient="auto")
def cubes(w):
    """A regularizer."""
    i, j = te.reduce_axis((0, w.shape[0]), "i"), te.reduce_axis((0, w.shape[1]), "j")
    return te.compute((), lambda: te.sum(te.abs(w[i, j]) * w[i, j] * w[i, j] * 0.1, axis=[i, j]))


@tftvm.op
def half_identity(shape, dtype="float32"):
    """An initializer, of one shape."""
    return te.compute((3, 4), lambda i, j: te.if_then_else(i == j, 1.0, 0.5).astype(dtype))


@tftvm.op(shapes=["rows columns"])
def not_negative(w):
    """A constraint."""
    return te.compute(w.shape, lambda i, j: tvm.tirx.max(w[i, j], 0.0))


def mish_in_tensorflow(x):
    return x * tf.tanh(tf.math.log(1.0 + tf.exp(x)))


def cross_entropy_in_tensorflow(y, p, power=1.0):
    p = tf.maximum(p, 1e-7)
    return tf.reduce_sum(-y * tf.pow(1.0 - p, power) * tf.math.log(p), axis=-1)


def cubes_in_tensorflow(w):
    return 0.1 * tf.reduce_sum(tf.abs(w) ** 3)


# At the top of this module, where they are found by name.
mish_op = tftvm.op(gradient="auto")(_mish)
registered = keras.saving.register_keras_serializable("keras_saving_test", "mish")(
    tftvm.op(_mish, gradient_from=mish_in_tensorflow)
)


@tftvm.op(gradient="auto")
def mish(x):
    """An activation that is found by its name."""
    return _mish(x)


class Ops:
    """A place for ops in a module."""

    double = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[i] * 2.0))


@tftvm.op(shapes=["n d"], gradient="auto")
def never_called(x):
    """An op that is found by its name, and that nobody calls."""
    return te.compute(x.shape, lambda i, j: x[i, j] * 2.0)


def local_ops():
    """Return ops that no module has: of local functions and of a lambda."""

    @tftvm.op(gradient="auto")
    def cross_entropy(y, p, power=2.0):
        return _cross_entropy(y, p, power)

    @tftvm.op(gradient="auto")
    def activation(x):
        return _mish(x)

    return cross_entropy, activation, tftvm.op(lambda x: _mish(x), gradient="auto")


CROSS_ENTROPY, ACTIVATION, LAMBDA = local_ops()


@pytest.fixture(scope="module")
def module():
    """Functions of a library: an activation and a loss."""
    n, d = te.var("n"), te.var("d")
    x, y, p = (te.placeholder((n, d), "float32", name=name) for name in "xyp")
    functions = {"mish": [x, _mish(x)], "cross_entropy": [y, p, _cross_entropy(y, p)]}
    return tftvm.build(functions, gradient="auto")


def _model(activation=ACTIVATION, **options):
    model = keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(4, activation=activation, **options),
            keras.layers.Softmax(),
        ]
    )
    return model


def _everything():
    """A model that has ops wherever Keras takes functions, trained."""
    model = _model(
        kernel_regularizer=cubes,
        kernel_initializer=half_identity,
        kernel_constraint=not_negative,
    )
    inputs = keras.Input([3])
    hidden = keras.layers.Activation(LAMBDA)(model.layers[0](inputs))
    outputs = keras.layers.Softmax()(keras.layers.Lambda(ACTIVATION)(hidden))
    model = keras.Model(inputs, outputs)
    metric = keras.metrics.MeanMetricWrapper(CROSS_ENTROPY, name="harder", power=3.0)
    model.compile("sgd", CROSS_ENTROPY, metrics=[CROSS_ENTROPY, metric, "accuracy"])
    model.fit(X, Y, verbose=0)
    return model


@pytest.fixture(scope="module")
def everything():
    return _everything()


# What ops are used for.


def _trained(activation, loss, regularizer, y=Y, **options):
    """Return the history and the weights of a model that is trained a little."""
    keras.utils.set_random_seed(0)
    model = _model(activation, kernel_regularizer=regularizer)
    model.compile(keras.optimizers.SGD(0.5), loss, metrics=[loss], **options)
    history = model.fit(X, y, epochs=2, verbose=0, sample_weight=np.arange(8.0) / 4.0).history
    return list(history.values()), model.get_weights()


def test_training_is_that_of_tensorflow():
    ours = _trained(ACTIVATION, CROSS_ENTROPY, cubes)
    theirs = _trained(
        mish_in_tensorflow,
        lambda y, p: cross_entropy_in_tensorflow(y, p, 2.0),
        cubes_in_tensorflow,
    )
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), ours, theirs)


def test_training_with_functions_of_a_library(module):
    ours = _trained(module["mish"], module["cross_entropy"], cubes)
    theirs = _trained(mish_in_tensorflow, cross_entropy_in_tensorflow, cubes_in_tensorflow)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), ours, theirs)


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_training_eagerly_and_under_xla(options):
    ours = _trained(ACTIVATION, CROSS_ENTROPY, cubes, **options)
    theirs = _trained(ACTIVATION, CROSS_ENTROPY, cubes)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), ours, theirs)


def test_the_gradient_of_a_loss_of_keras():
    """Keras's own losses look for the logits that its softmax hangs on its result."""
    function = CROSS_ENTROPY.function_for(
        tf.TensorSpec([None, 4]), tf.TensorSpec([None, 4]), power=0.0
    )
    reference = keras.losses.categorical_crossentropy
    losses = [function.with_gradient_from(reference), reference]
    ours, theirs = (_trained("softmax", loss, None)[1] for loss in losses)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), ours, theirs)


class _Loss(keras.losses.Loss):
    """A loss with a reduction that calls a function."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", None]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_reductions_and_sample_weights(module, reduction, weighted):
    p = tf.nn.softmax(RNG.normal(size=(8, 4)).astype(np.float32))
    weights = np.arange(8.0) / 4.0 if weighted else None
    losses = [
        _Loss(function, reduction=reduction)(Y, p, weights)
        for function in (module["cross_entropy"], CROSS_ENTROPY)
    ]
    expected = [
        _Loss(
            lambda y, p, power=power: cross_entropy_in_tensorflow(y, p, power), reduction=reduction
        )(Y, p, weights)
        for power in (1.0, 2.0)
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_labels_are_floats_in_a_loss():
    """Keras casts labels to the loss's dtype, and an op casts back what are indices."""

    @tftvm.op(shapes=["n", "n c"], gradient=tftvm.Gradient("auto", wrt=[1]))
    def picked(y, p):
        k = te.reduce_axis((0, p.shape[1]), "k")
        chosen = te.compute(
            p.shape, lambda i, j: tvm.tirx.Select(y[i].astype("int32") == j, p[i, j], 0.0)
        )
        total = te.compute((p.shape[0],), lambda i: te.sum(chosen[i, k], axis=k))
        return te.compute((p.shape[0],), lambda i: -te.log(total[i]))

    losses = []
    for loss in (picked, "sparse_categorical_crossentropy"):
        keras.utils.set_random_seed(0)
        model = _model()
        model.compile("sgd", loss)
        for dtype in ("int64", "uint8", "float32"):
            losses.append(model.fit(X, LABELS.astype(dtype), verbose=0).history["loss"][0])
    assert [str(signature) for signature, _ in picked.compiled][0].startswith(
        "picked(y: float32[n]"
    )
    # The rank of integer labels is that of the predictions.
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-5)


# Saved and loaded.


def _check_same(again, model):
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    if model.compiled:
        np.testing.assert_allclose(
            again.evaluate(X[:5], Y[:5], verbose=0), model.evaluate(X[:5], Y[:5], verbose=0), 1e-6
        )


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_everything_is_saved_and_loaded(everything, suffix, tmp_path, monkeypatch):
    everything.save(tmp_path / f"model.{suffix}")
    _check_same(keras.models.load_model(tmp_path / f"model.{suffix}"), everything)


def test_another_process_needs_no_compiler(everything, module, tmp_path, check_without_tvm):
    functions = _model(module["mish"])
    functions.compile("sgd", module["cross_entropy"], metrics=[module["cross_entropy"]])
    functions.fit(X, Y, verbose=0)
    expected = {}
    for name, model in {"ops": everything, "functions": functions}.items():
        for suffix in ("keras", "h5"):
            model.save(tmp_path / f"{name}.{suffix}")
            expected[f"{name}.{suffix}"] = model.predict(X, verbose=0)
            expected[f"{name}.{suffix} evaluated"] = model.evaluate(X[:5], Y[:5], verbose=0)
    everything.export(tmp_path / "exported", verbose=False)
    tf.saved_model.save(everything, tmp_path / "saved")
    untrusted = local_ops()[1]
    untrusted(tf.ones([1, 7]))
    (tmp_path / "untrusted.json").write_text(json.dumps(_elsewhere(untrusted.get_config())))
    np.savez(tmp_path / "data", x=X, y=Y, **expected)
    check_without_tvm(
        """
        import json, os, sys
        import keras
        import numpy as np
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        os.chdir(sys.argv[1])
        data = np.load("data.npz")
        x, y = data["x"], data["y"]
        for name in ("ops", "functions"):
            for suffix in ("keras", "h5"):
                model = keras.models.load_model(f"{name}.{suffix}")
                expected = data[f"{name}.{suffix}"]
                # Another number of samples than any that it was called with.
                got = model.predict(np.concatenate([x] * 3), verbose=0)
                np.testing.assert_allclose(got, np.concatenate([expected] * 3), rtol=1e-6)
                got = model.evaluate(x[:5], y[:5], verbose=0)
                np.testing.assert_allclose(got, data[f"{name}.{suffix} evaluated"], rtol=1e-5)
            model = keras.models.load_model(f"{name}.keras")
            losses = model.fit(x, y, epochs=10, verbose=0).history["loss"]
            assert losses[-1] < losses[0]
            model.save("trained.keras")
            again = keras.models.load_model("trained.keras")
            np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
            assert keras.models.clone_model(again)(x).shape == (8, 4)

        exported, saved = tf.saved_model.load("exported"), tf.saved_model.load("saved")
        np.testing.assert_allclose(exported.serve(x), data["ops.keras"], rtol=1e-5)
        (served,) = saved.signatures["serving_default"](tf.constant(x)).values()
        np.testing.assert_allclose(served, data["ops.keras"], rtol=1e-5)

        # The libraries that may be loaded are as restricted as everywhere, in no safe mode either.
        os.environ["TENSORFLOW_TVM_TRUSTED_DIGESTS"] = ""
        keras.config.enable_unsafe_deserialization()
        with open("untrusted.json") as file:
            config = json.load(file)
        try:
            tftvm.Op.from_config(config)
        except tf.errors.PermissionDeniedError as error:
            assert "TENSORFLOW_TVM_TRUSTED_DIGESTS does not list its digest" in str(error)
        else:
            raise AssertionError("It was loaded.")
        """,
        str(tmp_path),
    )


@pytest.mark.parametrize(
    "way",
    [
        keras.models.clone_model,
        lambda model: keras.Model.from_config(model.get_config()),
        lambda model: keras.models.model_from_json(model.to_json()),
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(model)
        ),
    ],
    ids=["clone", "from_config", "json", "deepcopy", "pickle", "serialize_keras_object"],
)
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_copies(everything, way):
    again = way(everything)
    again.set_weights(everything.get_weights())
    again.compile(loss="mse")
    np.testing.assert_array_equal(again.predict(X, verbose=0), everything.predict(X, verbose=0))


@keras.saving.register_keras_serializable("keras_saving_test")
class Subclassed(keras.Model):
    """A model that is no graph of layers, with an op of its own."""

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.dense = keras.layers.Dense(4, activation=self.activation)

    def call(self, x):
        return self.activation(self.dense(x))

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
        }


@pytest.mark.parametrize(
    "op", [ACTIVATION, mish, registered], ids=["local", "module", "registered"]
)
def test_subclassed_and_nested_models(op, tmp_path):
    inputs = keras.Input([3])
    inner = keras.Sequential([keras.Input([4]), keras.layers.Activation(op)])
    model = keras.Model(inputs, inner(Subclassed(op)(inputs)))
    model.save(tmp_path / "model.keras")
    _check_same(keras.models.load_model(tmp_path / "model.keras"), model)


def test_dicts_of_losses_and_metrics(tmp_path):
    inputs = keras.Input([3])
    outputs = {name: keras.layers.Dense(4, "softmax", name=name)(inputs) for name in ("one", "two")}
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd",
        loss={"one": CROSS_ENTROPY, "two": "mse"},
        metrics={"two": [CROSS_ENTROPY]},
        weighted_metrics={"one": [CROSS_ENTROPY]},
    )
    labels = {"one": Y, "two": Y}
    model.fit(X, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    ours, theirs = (m.evaluate(X, labels, verbose=0, return_dict=True) for m in (again, model))
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-6)


def test_recurrent_layers(tmp_path):
    model = keras.Sequential([keras.Input([5, 3]), keras.layers.LSTM(4, activation=ACTIVATION)])
    reference = keras.Sequential(
        [keras.Input([5, 3]), keras.layers.LSTM(4, activation=mish_in_tensorflow)]
    )
    x = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    reference.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), reference(x), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_weights_of_a_layer_of_ours(module, tmp_path):
    scale = tftvm.op(
        lambda x, w: te.compute(x.shape, lambda i, j: x[i, j] * w[i % 3, j]),
        shapes=["n d", "k d"],
        gradient_from=lambda x, w: x,
    )
    function = scale.function_for(tf.TensorSpec([None] * 2), tf.TensorSpec([None] * 2))
    assert function.has_gradient_in_python  # nothing of it is stored but by name
    function = keras.saving.register_keras_serializable("keras_saving_test", "scale")(function)
    weight = Weight("w", ["k", "d"], half_identity, cubes, not_negative)
    layer = TVMLayer(function, [weight], {"k": 3})
    model = keras.Sequential([keras.Input([4]), layer])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(Y), model(Y))
    assert again.layers[0].function is function
    assert again.layers[0].weights[0].regularizer is cubes


# How ops are found.


def _again(obj, **options):
    text = json.dumps(keras.saving.serialize_keras_object(obj))
    return keras.saving.deserialize_keras_object(json.loads(text), **options)


@pytest.mark.parametrize("op", [mish, never_called, registered, cubes], ids=lambda op: op.__name__)
def test_by_name(op):
    assert _again(op) is op


def test_a_registered_op_is_stored_by_its_name_alone():
    config = registered.get_config()
    assert config["registered_name"] == "keras_saving_test>mish"
    assert "functions" not in config and "libraries" not in config


def test_an_attribute_of_a_class(monkeypatch):
    Ops.double(tf.ones([2]))
    assert _again(Ops.double) is Ops.double
    # By its name in another process as well, if it has the name of its function.
    monkeypatch.setattr(Ops, "<lambda>", Ops.double, raising=False)
    monkeypatch.setattr(Ops.double, "__qualname__", "Ops.<lambda>")
    config = Ops.double.get_config()
    assert (config["module"], config["qualname"]) == (__name__, "Ops.<lambda>")
    assert tftvm.Op.from_config(config) is Ops.double


def test_ops_of_one_process_are_the_same():
    for op in local_ops():
        assert _again(op) is op
    assert _again(mish_op) is mish_op  # the module has it by another name than its function's


def test_two_ops_of_one_name():
    ops = [
        tftvm.op(lambda x, factor=factor: te.compute(x.shape, lambda *i: x(*i) * factor))
        for factor in (2.0, 3.0)
    ]

    def make(factor):
        @tftvm.op
        def times(x):
            return te.compute(x.shape, lambda *i: x(*i) * factor)

        return times

    for op, factor in (*zip(ops, (2.0, 3.0), strict=True), (make(4.0), 4.0), (make(5.0), 5.0)):
        op(tf.ones([3]))
        config = op.get_config()
        np.testing.assert_array_equal(tftvm.Op.from_config(config)(tf.ones([3])), [factor] * 3)
        config = _elsewhere(config)
        np.testing.assert_array_equal(tftvm.Op.from_config(config)(tf.ones([3])), [factor] * 3)


def _elsewhere(config):
    """Return a config as another process sees it."""
    config = json.loads(json.dumps(config))
    config.pop("here", None)
    config.pop("module", None)
    return config


def test_custom_objects(tmp_path):
    model = _model(LAMBDA)
    model.save(tmp_path / "model.keras")
    other = tftvm.op(lambda x: te.compute(x.shape, lambda i, j: x[i, j] * 2.0))
    custom = {"<lambda>": other}
    path = tmp_path / "model.keras"
    assert keras.models.load_model(path, custom_objects=custom).layers[0].activation is other
    with keras.saving.custom_object_scope(custom):
        assert keras.models.clone_model(model).layers[0].activation is other
    assert _again(mish, custom_objects={"mish": other}) is other
    assert _again(registered, custom_objects={"keras_saving_test>mish": other}) is registered
    # A function in TensorFlow in place of the op.
    assert _again(mish, custom_objects={"mish": tf.tanh}) is tf.tanh


def test_what_a_file_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = {
        **never_called.get_config(),
        "name": "f",
        "module": "evil_module",
        "qualname": "f",
    }
    loaded = tftvm.Op.from_config(config)  # as what it was compiled to
    assert loaded.stored is not None
    del config["functions"]
    with pytest.raises(
        ValueError, match="'f' was stored as 'f' of module 'evil_module', which is n"
    ):
        tftvm.Op.from_config(config)
    assert "evil_module" not in sys.modules
    # Nor is anything else called that a module has by that name, or looks for.
    lazy = types.ModuleType("lazy_module")
    lazy.__getattr__ = lambda name: pytest.fail("looked for")
    lazy.run = print
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    for name in ("f", "run"):
        with pytest.raises(ValueError, match="of module 'lazy_module', which is not here"):
            tftvm.Op.from_config({**config, "module": "lazy_module", "qualname": name})


_PROGRAM = """
import sys
import keras
import tensorflow as tf
from tvm import te
import tensorflow_tvm as tftvm

def make(factor):
    @tftvm.op(gradient="auto")
    def times(x):
        return te.compute(x.shape, lambda *i: x(*i) * factor)
    return times

@tftvm.op(gradient="auto")
def double(x):
    return te.compute(x.shape, lambda *i: x(*i) * 2.0)

for i, op in enumerate((double, make(3.0))):
    model = keras.Sequential([keras.Input([2]), keras.layers.Activation(op)])
    model.save(f"{sys.argv[1]}/new{i}.keras")
    assert keras.models.load_model(f"{sys.argv[1]}/new{i}.keras").layers[0].activation is op
    model(tf.ones([1, 2]))
    model.save(f"{sys.argv[1]}/called{i}.keras")
"""


def test_ops_of_programs(tmp_path, monkeypatch):
    process = run_python(_PROGRAM, str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert "'times' was saved before it was called, so that nothing is compiled" in process.stderr
    x = np.ones([3, 2], np.float32)
    for i, factor in enumerate((2.0, 3.0)):
        model = keras.models.load_model(tmp_path / f"called{i}.keras")
        np.testing.assert_array_equal(model(x), factor * x)
    with pytest.raises(TypeError, match="'double' was stored as 'double' of module '__main__', wh"):
        keras.models.load_model(tmp_path / "new0.keras")
    with pytest.raises(TypeError, match="'times' was stored by another process, which had not ca"):
        keras.models.load_model(tmp_path / "new1.keras")
    model = keras.models.load_model(tmp_path / "new1.keras", custom_objects={"times": mish})
    assert model.layers[0].activation is mish
    monkeypatch.setattr(sys.modules["__main__"], "double", mish, raising=False)
    for name in ("new0", "called0"):
        model = keras.models.load_model(tmp_path / f"{name}.keras")
        assert model.layers[0].activation is mish


# Ops without their Python functions.


@pytest.fixture(scope="module")
def loaded():
    """An op as another process loads it, called with vectors of two sizes and with two attrs."""
    n = tftvm.op(
        lambda x, w, factor=2.0: te.compute(x.shape, lambda i, j: x[i, j] * w[j] * factor),
        gradient="auto",
    )
    for x, w, attrs in (
        (tf.ones([2, 3]), tf.ones([3]), {}),
        (tf.ones([4, 3]), tf.ones([3]), {}),
        (tf.ones([2, 3], tf.float64), tf.ones([3], tf.float64), {"factor": 3.0}),
    ):
        n(x, w, **attrs)
    return tftvm.Op.from_config(_elsewhere(n.get_config()))


def test_an_op_without_its_python_function(loaded):
    x, w = np.ones([5, 3], np.float32), np.arange(3, dtype=np.float32)
    specs = [tf.TensorSpec([None, 3]), tf.TensorSpec([3])]
    for function in (loaded, tf.function(loaded, input_signature=specs)):
        inputs = [tf.constant(x), tf.constant(w)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
        np.testing.assert_allclose(y, x * w * 2.0)
        np.testing.assert_allclose(tape.gradient(y, inputs)[1], [10.0] * 3)


def test_sizes_dtypes_and_attrs_that_it_was_not_called_with(loaded):
    x, w = tf.ones([2, 3]), tf.ones([3])
    assert [argument.name for argument in loaded.inputs] == ["x", "w"]
    assert loaded(x[:0], w).shape == (0, 3)
    y = loaded(tf.ones([1, 3], tf.float64), tf.ones([3], tf.float64), factor=3.0)
    np.testing.assert_array_equal(y, [[3.0] * 3])
    known = r"for float32\[any, 3\], float32\[any\] and .* 2.0}; float64\[any, 3\], float64\[any\]"
    for inputs, attrs, given in (
        ([tf.ones([2, 4]), tf.ones([4])], {}, r"float32\[2, 4\], float32\[4\]"),
        ([x, w], {"factor": 3.0}, r'float32\[2, 3\], float32\[3\] and {"factor": 3.0}'),
        ([x, w], {"factor": np.float32(1)}, r"float32\[2, 3\], float32\[3\] and {'factor': .*1.0"),
        ([tf.ones([2, 3], tf.int32), w], {}, r"int32\[2, 3\], float32\[3\]"),
    ):
        message = f"without its Python function, .* {known}.*; it was called with {given}"
        with pytest.raises(ValueError, match=f"TVM op '<lambda>' was loaded {message}"):
            loaded(*inputs, **attrs)
    with pytest.raises(
        ValueError, match="without its Python function, so that it cannot be called"
    ):
        loaded(te.placeholder((2, 3)), te.placeholder((3,)))
    with pytest.raises(TypeError, match="missing a required argument: 'w'"):
        loaded(x)


def test_it_is_stored_again(loaded):
    assert loaded.get_config() is loaded.stored.config
    for again in (_again(loaded), pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        np.testing.assert_allclose(again(tf.ones([2, 3]), tf.ones([3])), 2.0 * np.ones([2, 3]))
    layer = TVMLayer(loaded, [Weight("w", [3])])
    layer(X)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    again(X)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(X), layer(X))
    with_gradient = loaded.with_gradient(lambda x, w, y, dy: [7.0 * dy, None])
    x = tf.ones([2, 3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = with_gradient(x, tf.ones([3]))
    np.testing.assert_array_equal(tape.gradient(y, x), 7.0 * np.ones([2, 3]))
    with pytest.raises(ValueError, match="cannot be saved: its gradient is in Python"):
        with_gradient.get_config()


@pytest.mark.parametrize("sizes", [[3, 5], range(2, 11)], ids=["few", "many"])
def test_calls_that_differ_in_sizes(sizes):
    op = tftvm.op(lambda x: te.compute(x.shape, lambda i: x[i] + 1.0))
    both = tftvm.op(lambda x: te.compute(x.shape, lambda i, j: x[i, j] + 1.0))
    for size in sizes:
        op(tf.ones([size]))
        both(tf.ones([size, size]))
    config = op.get_config()
    assert [described["inputs"] for described in config["functions"]] == [[["float32", [None]]]]
    assert len(config["libraries"]) == 1
    inputs = [described["inputs"] for described in both.get_config()["functions"]]
    if len(sizes) == 2:
        assert inputs == [[["float32", [None, 3]]], [["float32", [None, 5]]]]
    else:
        assert inputs == [[["float32", [None, None]]]]


def test_sizes_that_have_to_be_known():
    def unrolled(x):
        return te.compute(
            (1,), lambda _: sum((x[i] for i in range(int(x.shape[0]))), te.const(0.0))
        )

    op = tftvm.op(unrolled)
    for size in (2, 3):
        op(tf.ones([size]))
    loaded = tftvm.Op.from_config(_elsewhere(op.get_config()))
    for size in (2, 3):
        np.testing.assert_array_equal(loaded(tf.ones([size])), [size])
    with pytest.raises(
        ValueError, match=r"compiled to, for float32\[2\]; float32\[3\]; it was call"
    ):
        loaded(tf.ones([4]))


def _plus_one(x):
    return te.compute(x.shape, lambda *i: x(*i) + 1.0)


def test_several_outputs_and_any_number_of_inputs():
    op = tftvm.op(lambda *xs: tuple(_plus_one(x) for x in xs))
    op(tf.ones([2]), tf.zeros([3]))
    loaded = tftvm.Op.from_config(_elsewhere(op.get_config()))
    a, b = loaded(tf.ones([4]), tf.zeros([1]))
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([2.0] * 4, [1.0])


def test_an_op_with_shapes_is_compiled_when_it_is_saved():
    op = tftvm.op(lambda x: te.compute(x.shape, lambda i, j: x[i, j] + 1.0), shapes=["n 3"])
    loaded = tftvm.Op.from_config(_elsewhere(op.get_config()))
    np.testing.assert_array_equal(loaded(tf.zeros([2, 3])), np.ones([2, 3]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected .*3"):
        loaded(tf.zeros([2, 4]))


# What cannot be saved, or loaded.


def test_what_is_refused_when_it_is_saved(module, tmp_path):
    python = ACTIVATION.with_gradient(lambda x, y, dy: dy)
    reference = tftvm.op(_mish, gradient_from=mish_in_tensorflow)
    for op, name in ((python, "activation"), (reference, "_mish")):
        model = _model(op)
        model(X)
        with pytest.raises(
            ValueError,
            match=rf"TVM op '{name}' cannot be saved: its gradient is in Python .*No module has it "
            rf"as '.*{name}'.*register_keras_serializable\(\"my_package\", \"{name}\"\)",
        ):
            model.save(tmp_path / "model.keras")
        with pytest.raises(ValueError, match="its gradient is in Python"):
            keras.models.clone_model(model)
    function = module["mish"].with_gradient(lambda x, y, dy: dy)
    with pytest.raises(ValueError, match="'mish' of library .* gradient in Python, which cannot"):
        _model(function).save(tmp_path / "model.keras")
    attr = tftvm.op(lambda x, dtype=np.float32: te.compute(x.shape, lambda i: x[i].astype("int32")))
    attr(tf.ones([2]))
    with pytest.raises(
        ValueError, match="'<lambda>' cannot be saved: it has the attrs {'dtype': <c"
    ):
        attr.get_config()
    attr = tftvm.op(lambda x, dtype=np.float32: te.compute(x.shape, lambda i: x[i].astype("int32")))
    attr(tf.ones([2]), dtype="float32")
    with pytest.raises(
        ValueError, match="'<lambda>' cannot be saved: it has the attrs <class 'num"
    ):
        attr.get_config()


def test_what_cannot_be_stored_is_found_by_name(monkeypatch):
    op = tftvm.op(_mish, gradient_from=mish_in_tensorflow)
    op(tf.ones([2, 2]))
    monkeypatch.setattr(sys.modules[__name__], "_mish", op)
    assert _again(op) is op
    assert "functions" not in op.get_config()


def test_the_warning_is_given_once(caplog):
    op = local_ops()[1]
    with caplog.at_level(logging.WARNING, "tensorflow_tvm"):
        op.get_config()
        op.get_config()
        mish.get_config()
    (record,) = caplog.records
    assert "'activation' was saved before it was called" in record.message
    assert "local_ops.<locals>.activation" in record.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: None, "Expected an op's config, .* given NoneType"),
        (lambda config: {"name": "f"}, r"Expected an op's config, .* given \['name'\]"),
        (lambda config: {**config, "format": 2}, "op's config has format 2, and this version"),
        (lambda config: {**config, "name": []}, r"op's config is damaged: it has the names \[\]"),
        (
            lambda config: {**config, "registered_name": 3},
            "damaged: it has the names '<lambda>' and",
        ),
        (lambda config: {**config, "functions": 3}, "config of TVM op '<lambda>' is damaged"),
        (lambda config: {**config, "functions": [{}]}, "is damaged: KeyError"),
        (lambda config: {**config, "libraries": []}, "is damaged: IndexError"),
        (lambda config: {**config, "parameters": [{"name": "x", "kind": "?"}]}, "damaged: KeyErr"),
        (
            lambda config: {**config, "parameters": [{"name": "1", "kind": "KEYWORD_ONLY"}]},
            "damaged: TypeError.*parameters: '1' is not a valid",
        ),
        (
            lambda config: (
                {**config, "registered_name": "a>b", "functions": None} | {"functions": 1}
            ),
            "is damaged",
        ),
    ],
)
def test_wrong_configs(loaded, change, message):
    with pytest.raises(ValueError, match=message):
        tftvm.Op.from_config(change(loaded.get_config()))


def test_names_that_are_not_registered_here():
    config = {"format": 1, "name": "mish", "registered_name": "elsewhere>mish"}
    with pytest.raises(
        ValueError,
        match=r"'mish' was stored by the name 'elsewhere>mish', .*\. Import the module that regist"
        r".*custom_objects={'elsewhere>mish': …}",
    ):
        tftvm.Op.from_config(config)
    with pytest.raises(
        ValueError, match="function is stored by the name 'elsewhere>f', which is n"
    ):
        tftvm.Function.from_config({"registered_name": "elsewhere>f"})
    with pytest.raises(ValueError, match="function is stored by the name"):
        tftvm.Function.from_config({"registered_name": []})


# Functions.


def test_a_registered_function_is_stored_by_its_name(module):
    function = module["mish"].with_gradient_from(mish_in_tensorflow)
    assert function.__name__ == "mish"
    keras.saving.register_keras_serializable("keras_saving_functions")(function)
    assert function.get_config() == {"registered_name": "keras_saving_functions>mish"}
    assert _again(function) is function
    with pytest.raises(TypeError, match="Cannot pickle: .* gradient in Python"):
        pickle.dumps(function)  # which holds all of a function


def test_an_op_of_a_layer_is_found_by_its_registered_name():
    layer = TVMLayer(registered)
    again = keras.layers.deserialize(keras.layers.serialize(layer))  # before it is called, too
    assert again.function is registered
    np.testing.assert_allclose(again(X), mish_in_tensorflow(X), rtol=1e-5, atol=1e-6)
