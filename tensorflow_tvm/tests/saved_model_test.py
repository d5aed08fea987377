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
"""Graphs carry the libraries they call: they run in fresh processes, without the file."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python


@pytest.fixture
def library(tmp_path):
    """The path of a library that the test may delete."""
    functions = [
        libraries.elementwise("addone", lambda x: x + 1.0),
        libraries.elementwise("double", lambda x: x * 2.0),
    ]
    return libraries.export(functions, tmp_path / "library.so")


def test_saved_model_of_a_bare_function(library, tmp_path):
    addone = tftvm.Module(library)["addone"]
    module = tf.Module()
    module.call = tf.function(lambda x: addone(x), input_signature=[tf.TensorSpec([None])])
    folder = str(tmp_path / "model")
    tf.saved_model.save(module, folder)
    os.remove(library)
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        loaded = tf.saved_model.load(sys.argv[1])
        print(loaded.call(tf.constant([1.0, 2.0])).numpy().tolist())
        tf.saved_model.save(loaded, sys.argv[1] + "_again")
        again = tf.saved_model.load(sys.argv[1] + "_again")
        print(again.call(tf.constant([3.0])).numpy().tolist())
        """,
        folder,
    )
    assert output.split("\n")[:2] == ["[2.0, 3.0]", "[4.0]"]


def test_saved_model_in_a_tf1_session(library, tmp_path):
    addone = tftvm.Module(library)["addone"]
    module = tf.Module()
    module.call = tf.function(
        lambda x: addone(x), input_signature=[tf.TensorSpec([None], name="x")]
    )
    folder = str(tmp_path / "model")
    tf.saved_model.save(module, folder)
    os.remove(library)
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
            signature = meta.signature_def["serving_default"]
            (x,) = signature.inputs.values()
            (y,) = signature.outputs.values()
            print(session.run(y.name, {x.name: [1.0, 2.0]}).tolist())
        """,
        folder,
    )
    assert output.strip() == "[2.0, 3.0]"


def test_graph_def_in_a_fresh_process(library, tmp_path):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.identity(tftvm.Module(library)["addone"](x), name="y")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    os.remove(library)
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        graph_def = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            (y,) = tf.import_graph_def(graph_def, return_elements=["y:0"], name="")
            print(session.run(y, {"x:0": [1.0, 2.0]}).tolist())
        """,
        str(path),
    )
    assert output.strip() == "[2.0, 3.0]"


def test_two_functions_share_one_copy_of_the_bytes(library, tmp_path):
    module = tftvm.Module(library)
    model = tf.Module()
    signature = [tf.TensorSpec([None])]
    model.one = tf.function(lambda x: module["addone"](x), input_signature=signature)
    model.two = tf.function(
        lambda x: module["double"](module["addone"](x)), input_signature=signature
    )
    folder = tmp_path / "model"
    tf.saved_model.save(model, str(folder))
    with open(library, "rb") as file:
        content = file.read()
    assert (
        sum(path.read_bytes().count(content) for path in folder.rglob("*") if path.is_file()) == 1
    )
    loaded = tf.saved_model.load(str(folder))
    np.testing.assert_array_equal(loaded.two(tf.constant([1.0])), [4.0])


def test_one_constant_in_a_tf1_graph(library):
    module = tftvm.Module(library)
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        module["double"](module["addone"](module["addone"](x)))
    constants = [node for node in graph.as_graph_def().node if node.op == "Const"]
    assert [node.attr["dtype"].type for node in constants] == [tf.uint8.as_datatype_enum]


def test_nodes_hold_no_path(library):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        tftvm.Module(library).func("addone", output_shape=[2])(x)
    (node,) = [node for node in graph.as_graph_def().node if node.op == "TVM>DSOOp"]
    assert os.path.dirname(library) not in str(node)
    callee = json.loads(node.attr["callee"].s)
    assert callee["function"] == "addone"
    assert callee["digest"] == tftvm.Module(library).digest


def test_changed_bytes_are_refused(library):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.identity(tftvm.Module(library)["addone"](x), name="y")
    graph_def = graph.as_graph_def()
    (constant,) = [node for node in graph_def.node if node.op == "Const"]
    content = bytearray(constant.attr["value"].tensor.tensor_content)
    content[len(content) // 2] ^= 1
    constant.attr["value"].tensor.tensor_content = bytes(content)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        (y,) = tf.import_graph_def(graph_def, return_elements=["y:0"], name="")
        with pytest.raises(tf.errors.InvalidArgumentError, match="changed or damaged"):
            session.run(y, {"x:0": [1.0]})
