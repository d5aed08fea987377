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
"""Keras models that call TVM functions, saved and loaded without file and apache-tvm."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer


@pytest.fixture
def library(tmp_path):
    """The path of a library with `scale`, x[n, d] * w[d], and its gradient."""
    n, d = te.var("n"), te.var("d")
    x = te.placeholder((n, d), "float32", name="x")
    w = te.placeholder((d,), "float32", name="w")
    y = te.compute((n, d), lambda i, j: x[i, j] * w[j], name="y")
    path = tmp_path / "scale.so"
    tftvm.export_library({"scale": [x, w, y]}, path, "llvm", gradient="auto")
    return path


def _samples(folder, model):
    """Store samples and what the model makes of them."""
    x = np.random.default_rng(0).normal(size=[5, 3]).astype("float32")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", model.predict(x, verbose=0))


def _copies(folder, content):
    return sum(path.read_bytes().count(content) for path in Path(folder).rglob("*.*"))


def test_layers(library, tmp_path, check_without_tvm):
    inputs = keras.Input([3])
    outputs = inputs
    for i in range(10):
        scale = tftvm.Module(library)["scale"]
        initializer = keras.initializers.RandomUniform(0.9, 1.1, seed=i)
        weight = tftvm.layers.Weight("w", initializer=initializer)
        outputs = TVMLayer(scale, weights=[weight])(outputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(outputs))
    model.compile("sgd", "mse")
    content = library.read_bytes()
    _samples(tmp_path, model)
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    assert _copies(tmp_path / "exported", content) == 1
    tf.saved_model.save(model, str(tmp_path / "saved"))
    assert _copies(tmp_path / "saved", content) == 1
    library.unlink()
    check_without_tvm(
        """
        import os, sys
        import keras
        import numpy as np
        import tensorflow as tf
        import tensorflow_tvm
        os.chdir(sys.argv[1])
        x, y = np.load("x.npy"), np.load("y.npy")

        exported = tf.saved_model.load("exported")
        np.testing.assert_allclose(exported.serve(x), y, rtol=1e-5)
        layer = keras.layers.TFSMLayer("exported", call_endpoint="serve")
        model = keras.Sequential([keras.Input([3]), layer])
        np.testing.assert_allclose(model.predict(x, verbose=0), y, rtol=1e-5)
        saved = tf.saved_model.load("saved")
        (served,) = saved.signatures["serving_default"](tf.constant(x)).values()
        np.testing.assert_allclose(served, y, rtol=1e-5)

        model = keras.models.load_model("model.keras")
        np.testing.assert_allclose(model.predict(x, verbose=0), y, rtol=1e-5)
        before = model.get_weights()
        losses = model.fit(x, y + 1.0, epochs=20, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
        model.save("trained.keras")
        again = keras.models.load_model("trained.keras")
        np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
        model.export("exported_again", verbose=False)
        exported = tf.saved_model.load("exported_again")
        np.testing.assert_allclose(exported.serve(x), model.predict(x, verbose=0), rtol=1e-5)
        """,
        str(tmp_path),
    )
    assert _copies(tmp_path / "exported_again", content) == 1


def test_fine_tuning_what_was_exported(library, tmp_path, check_without_tvm):
    """Its layers are those of Keras's optimizers and losses, its weights of the SavedModel."""
    layer = TVMLayer(tftvm.Module(library)["scale"], weights=["w"])
    model = keras.Sequential([keras.Input([3]), layer, keras.layers.Dense(1)])
    _samples(tmp_path, model)
    model.export(tmp_path / "exported", verbose=False)
    np.save(tmp_path / "w.npy", layer.weights[0])
    np.save(tmp_path / "kernel.npy", model.layers[-1].kernel)
    library.unlink()
    check_without_tvm(
        """
        import os, sys
        import keras
        import numpy as np
        import tensorflow as tf
        import tensorflow_tvm
        os.chdir(sys.argv[1])
        x, y = np.load("x.npy"), np.load("y.npy") + 1.0
        exported = tf.saved_model.load("exported")
        shapes = sorted(tuple(v.shape) for v in exported.trainable_variables)
        assert shapes == [(1,), (3,), (3, 1)], shapes

        def train(call, variables):
            losses = []
            for _ in range(5):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean((call(x) - y) ** 2)
                for variable, gradient in zip(variables, tape.gradient(loss, variables)):
                    variable.assign_sub(0.1 * gradient)
                losses.append(float(loss))
            return losses

        w = tf.Variable(np.load("w.npy"))
        kernel, bias = tf.Variable(np.load("kernel.npy")), tf.Variable([0.0])
        expected = train(lambda x: (x * w) @ kernel + bias, [w, kernel, bias])
        losses = train(exported.serve, exported.trainable_variables)
        np.testing.assert_allclose(losses, expected, rtol=1e-4)
        assert losses[-1] < losses[0]
        """,
        str(tmp_path),
    )


def test_function_that_a_model_closes_over(library, tmp_path, check_without_tvm):
    scale = tftvm.Module(library)["scale"]

    class Model(keras.Model):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

        def call(self, x):
            return scale(x, self.w * 2.0)

    model = Model()
    _samples(tmp_path, model)
    model.export(tmp_path / "exported", verbose=False)
    library.unlink()
    check_without_tvm(
        """
        import os, sys
        import numpy as np
        import tensorflow as tf
        import tensorflow_tvm
        os.chdir(sys.argv[1])
        exported = tf.saved_model.load("exported")
        x = np.load("x.npy")
        np.testing.assert_array_equal(exported.serve(x), 2.0 * x)
        np.testing.assert_array_equal(exported.serve(x), np.load("y.npy"))
        """,
        str(tmp_path),
    )
