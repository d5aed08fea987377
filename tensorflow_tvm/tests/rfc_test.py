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
"""The two walk-throughs of the RFC that founded this project, in TF1 sessions and beyond."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries

tf1 = tf.compat.v1


@pytest.fixture(scope="module")
def vector_add_path(tmp_path_factory):
    return libraries.export(
        libraries.elementwise("vector_add", lambda x, y: x + y, inputs=2),
        tmp_path_factory.mktemp("lib") / "vector_add.so",
    )


def test_addone_with_output_shape_in_session(addone_path):
    module = tftvm.Module(addone_path)
    addone = module.func("addone", output_shape=[2])
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf.device("/cpu:0"):
            placeholder = tf1.placeholder("float32", shape=[2])
            result = session.run(addone(placeholder), feed_dict={placeholder: [1.0, 2.0]})
    np.testing.assert_array_equal(result, np.float32([2.0, 3.0]))


def test_addone_by_name_with_unknown_shape_in_session(addone_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf.device("/cpu:0"):
            placeholder = tf1.placeholder("float32")
            addone = tftvm.Module(addone_path)["addone"]
            y = addone(placeholder)
            assert y.shape.rank is None
            for value in [[1.0, 2.0], [], np.arange(100.0)]:
                np.testing.assert_array_equal(
                    session.run(y, feed_dict={placeholder: value}),
                    np.asarray(value, np.float32) + 1,
                )


def test_vector_add_with_shape_tensor_in_session(vector_add_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        left = tf1.placeholder("float32", shape=[4])
        right = tf1.placeholder("float32", shape=[4])
        feed_dict = {left: [1.0, 2.0, 3.0, 4.0], right: [5.0, 6.0, 7.0, 8.0]}
        module = tftvm.Module(vector_add_path)
        add = module.func("vector_add", output_shape=tf.shape(left), output_dtype="float")
        with tf.device("/cpu:0"):
            y = add(left, right)
            assert y.shape == [4] and y.dtype == tf.float32
            np.testing.assert_array_equal(
                session.run(y, feed_dict), np.float32([6.0, 8.0, 10.0, 12.0])
            )


def test_addone_in_every_execution(run, addone_path):
    x = np.linspace(-3, 3, 37, dtype=np.float32)
    np.testing.assert_array_equal(run(tftvm.Module(addone_path)["addone"], x), x + np.float32(1))


def test_vector_add_in_every_execution(run, vector_add_path):
    module = tftvm.Module(vector_add_path)
    left = np.random.default_rng(1).normal(size=1001).astype(np.float32)
    right = np.random.default_rng(2).normal(size=1001).astype(np.float32)

    def add(x, y):
        return module.func("vector_add", output_shape=tf.shape(x), output_dtype="float")(x, y)

    np.testing.assert_array_equal(run(add, left, right), left + right)


def test_c_target(run, tmp_path):
    path = libraries.export(
        libraries.elementwise("addone", lambda x: x + 1.0), tmp_path / "addone_c.so", target="c"
    )
    x = np.float32([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(run(tftvm.Module(path)["addone"], x), x + 1)
