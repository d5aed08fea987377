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
"""Masks of Keras and `TVMLayer`."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.layers import TVMLayer

IDS = np.int32([[3, 1, 0, 0], [2, 0, 0, 0], [1, 2, 3, 1]])
MASK = IDS != 0


def _double(x):
    return te.compute(x.shape, lambda *i: x(*i) * 2.0)


double = tftvm.op(_double, shapes=["n t d"], gradient=lambda x, y, dy: _double(dy))


@tftvm.op(shapes=["n t d", "n t d"])
def parts(left, right):
    """Two outputs of two inputs."""
    total = te.compute(left.shape, lambda *i: left(*i) + right(*i), name="total")
    rest = te.compute(left.shape, lambda *i: left(*i) - right(*i), name="rest")
    return total, rest


def _model(middle):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([None], dtype="int32"),
            keras.layers.Embedding(4, 2, mask_zero=True),
            middle,
            keras.layers.LSTM(3),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


class Double(keras.layers.Layer):
    """The same in TensorFlow."""

    def __init__(self, supports_masking):
        super().__init__()
        self.supports_masking = supports_masking

    def call(self, x):
        return 2.0 * x


@pytest.mark.parametrize("supports_masking", [True, False])
@pytest.mark.filterwarnings("ignore:Layer '.*' .* was passed an input with a mask")
def test_what_comes_after_sees_the_mask(supports_masking, tmp_path):
    ours = _model(TVMLayer(double, supports_masking=supports_masking))
    theirs = _model(Double(supports_masking))
    y = np.arange(3, dtype=np.float32)[:, None]
    for model in (ours, theirs):
        model.fit(IDS, y, epochs=2, verbose=0)
    np.testing.assert_allclose(ours(IDS), theirs(IDS), rtol=1e-5)
    # Only with a mask the padding makes no difference.
    is_same = np.allclose(ours(IDS), ours(np.pad(IDS, ((0, 0), (0, 2)))), rtol=1e-5)
    assert is_same is supports_masking
    ours.save(tmp_path / "model.keras")
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(ours),
    ):
        assert again.layers[1].supports_masking is supports_masking
        again.set_weights(ours.get_weights())
        np.testing.assert_array_equal(again(IDS), ours(IDS))


def test_keras_warns_of_a_lost_mask():
    embedded = keras.layers.Embedding(4, 2, mask_zero=True)(IDS)
    with pytest.warns(UserWarning, match="does not support masking"):
        TVMLayer(double)(embedded)


def _masked(mask):
    x = tf.ones([*MASK.shape, 2])
    if mask is not None:
        x._keras_mask = tf.constant(mask)
    return x


def _mask_of(tensor):
    return getattr(tensor, "_keras_mask", None)


@pytest.mark.parametrize(
    "masks",
    [(MASK, None), (None, MASK), (MASK, ~MASK), (None, None)],
    ids=["first", "second", "both", "none"],
)
@pytest.mark.parametrize("kind", [list, dict])
def test_several_inputs_and_outputs(masks, kind):
    layer = TVMLayer(parts, supports_masking=True)
    inputs = [_masked(mask) for mask in masks]
    if kind is dict:
        inputs = {"right": inputs[1], "left": inputs[0]}
    expected = masks[0] if masks[0] is not None else masks[1]
    for output in layer(inputs):
        if expected is None:
            assert _mask_of(output) is None
        else:
            np.testing.assert_array_equal(_mask_of(output), expected)


def test_masks_in_functional_models():
    ids = keras.Input([None], dtype="int32")
    embedded = keras.layers.Embedding(4, 2, mask_zero=True)(ids)
    total, rest = TVMLayer(parts, supports_masking=True)([embedded, embedded])
    model = keras.Model(ids, [keras.layers.LSTM(3)(total), keras.layers.LSTM(3)(rest)])
    for a, b in zip(model(IDS), model(np.pad(IDS, ((0, 0), (0, 1)))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_the_config_has_it_and_older_ones_do_not():
    layer = TVMLayer(double, supports_masking=True)
    layer(tf.ones([1, 2, 3]))
    config = json.loads(json.dumps(layer.get_config()))
    assert TVMLayer.from_config(config).supports_masking is True
    del config["supports_masking"]
    assert TVMLayer.from_config(config).supports_masking is False
    with pytest.raises(
        TypeError, match="Layer 'tvm_layer.*: supports_masking must be True or False"
    ):
        TVMLayer(double, supports_masking="yes")


def test_a_layer_that_computes_its_own_mask():
    class Shorter(TVMLayer):
        def compute_mask(self, inputs, previous_mask):
            return previous_mask[:, :1]

    layer = Shorter(double)
    assert layer.supports_masking
    np.testing.assert_array_equal(_mask_of(layer(_masked(MASK))), MASK[:, :1])
