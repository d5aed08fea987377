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
"""Graphs and libraries that nobody would write by accident, and the process survives."""

from __future__ import annotations

import ast
import json

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

tf1 = tf.compat.v1

ODD_SYMBOLS = """
#include <tvm/ffi/c_api.h>
#include <stdexcept>
extern "C" {
int __tvm_ffi_data = 7;
thread_local int __tvm_ffi_tls = 7;
int __tvm_ffi_f(void*, const TVMFFIAny*, int, TVMFFIAny*) { return 0; }
int __tvm_ffi_throw_error(void*, const TVMFFIAny*, int, TVMFFIAny*) {
  throw std::runtime_error("thrown on purpose");
}
int __tvm_ffi_throw_number(void*, const TVMFFIAny*, int, TVMFFIAny*) { throw 1; }
int __tvm_ffi_fail_silently(void*, const TVMFFIAny*, int, TVMFFIAny*) { return -1; }
}
"""


@pytest.fixture(scope="module")
def odd_path(tmp_path_factory):
    return libraries.compile_cc(ODD_SYMBOLS, tmp_path_factory.mktemp("lib") / "odd.so")


@pytest.fixture
def node(addone_path):
    """A graph with one placeholder, x, and one TVM op, y, to be changed by the test."""
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [2], name="x")
        tftvm.Module(addone_path).func("addone", output_shape=tf.shape(x))(x, name="y")
    return graph.as_graph_def()


def _run(graph_def):
    with tf.Graph().as_default(), tf1.Session() as session:
        (y,) = tf.import_graph_def(graph_def, return_elements=["y:0"], name="")
        return session.run(y, {"x:0": np.float32([1.0, 2.0])})


def _attr(graph_def):
    return next(node for node in graph_def.node if node.name == "y").attr


def test_the_graph_as_it_is(node):
    np.testing.assert_array_equal(_run(node), [2.0, 3.0])


def test_fewer_shapes_than_outputs(node):
    _attr(node)["Tout"].list.type.extend([tf.float32.as_datatype_enum] * 7)
    with pytest.raises(
        ValueError, match="'addone' of library 'addone.so': expected 8 output shapes, given 1"
    ):
        _run(node)


@pytest.mark.parametrize(
    ("callee", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("", "cannot be read"),
        ("{}", "must give"),
        ('{"digest": "sha256:0", "function": "f", "later": 1}', "unknown key 'later'"),
    ],
)
def test_callee_that_cannot_be_read(node, callee, message):
    _attr(node)["callee"].s = callee.encode()
    with pytest.raises(ValueError, match=message):
        _run(node)


def test_function_that_is_not_there(node):
    callee = json.loads(_attr(node)["callee"].s)
    _attr(node)["callee"].s = json.dumps({**callee, "function": "adone"}).encode()
    with pytest.raises(tf.errors.NotFoundError, match="'addone.so' has no function 'adone'"):
        _run(node)


def test_more_than_one_library(node):
    """The first is the function's; others are those of gradients."""
    y = next(node for node in node.node if node.name == "y")
    y.attr["NL"].i = 2
    y.input.insert(2, y.input[0])
    with pytest.raises(ValueError, match="uint8|type"):
        _run(node)
    y.input[2] = y.input[1]
    np.testing.assert_array_equal(_run(node), [2.0, 3.0])


@pytest.mark.parametrize("name", ["data", "tls", "_library_ctx", "f\0g", ""])
def test_symbols_that_are_no_functions(odd_path, name):
    module = tftvm.Module(odd_path)
    assert module.functions == ("f", "fail_silently", "throw_error", "throw_number")
    with pytest.raises(tf.errors.NotFoundError, match="'odd.so' has no function"):
        module[name]


def test_slot_that_cannot_be_written(tmp_path):
    source = """
    extern "C" {
    extern void* const __TVMBackendParallelLaunch = nullptr;  // read-only, unlike TVM's
    int __tvm_ffi_f(void*, const void*, int, void*) { return 0; }
    }
    """
    path = libraries.compile_cc(source, tmp_path / "slot.so")
    with pytest.raises(tf.errors.InvalidArgumentError, match="no pointer that can be written"):
        tftvm.Module(path)


def test_context_pointer_is_no_function(tmp_path):
    path = libraries.export(
        libraries.elementwise("addone", lambda x: x + 1.0), tmp_path / "c.so", target="c"
    )  # TVM's C code exports __tvm_ffi__library_ctx
    with pytest.raises(tf.errors.NotFoundError, match="'c.so' has no function '_library_ctx'"):
        tftvm.Module(path)["_library_ctx"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("throw_error", "threw an exception: thrown on purpose"),
        ("throw_number", "threw an exception"),
        ("fail_silently", "without saying why"),
    ],
)
def test_functions_that_break_the_rules(odd_path, function, message):
    call = tftvm.Module(odd_path)[function]
    with pytest.raises(tf.errors.InternalError, match=f"'{function}'.*{message}"):
        call(tf.constant([1.0]))


def test_message_names_the_module_that_was_asked(addone_path):
    with open(addone_path, "rb") as file:
        from_bytes = tftvm.Module(file.read())
    from_path = tftvm.Module(addone_path)
    for module, name in [(from_bytes, "<bytes>"), (from_path, "addone.so")]:
        with pytest.raises(tf.errors.NotFoundError, match=f"'{name}' has no function"):
            module["nope"]
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"of library '{name}'"):
            module["addone"](tf.constant([1]))


def test_a_library_that_registers_functions_stays(tmp_path):
    source = """
    #include <tvm/ffi/reflection/registry.h>
    TVM_FFI_STATIC_INIT_BLOCK() {
      tvm::ffi::reflection::GlobalDef().def("tensorflow_tvm_test.seven", []() { return 7; });
    }
    extern "C" int __tvm_ffi_f(void*, const TVMFFIAny*, int, TVMFFIAny*) { return 0; }
    """
    path = libraries.compile_cc(source, tmp_path / "registers.so", "-fno-gnu-unique")
    output = check_python(
        """
        import sys
        import tensorflow_tvm as tftvm
        import tvm_ffi
        for _ in range(3):
            tftvm.Module(sys.argv[1])
        print(tvm_ffi.get_global_func("tensorflow_tvm_test.seven")())
        """,
        path,
    )
    assert output.strip() == "7"


def test_op_library_loaded_again_from_elsewhere(tmp_path):
    output = check_python(
        """
        import shutil, sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        shutil.copy(tftvm.sysconfig.get_lib_path(), sys.argv[1])
        try:
            tf.load_op_library(sys.argv[1])
        except tf.errors.OpError:
            pass  # TensorFlow may refuse to register the ops again
        print(sorted(tftvm.stats()))
        """,
        str(tmp_path / "copy.so"),
    )
    assert ast.literal_eval(output) == sorted(tftvm.stats())


def test_library_constant_ignores_the_device_scope(addone_path):
    addone = tftvm.Module(addone_path)["addone"]
    with tf.Graph().as_default() as graph:
        with tf.device("/job:worker/task:3"):
            addone(tf1.placeholder(tf.float32, [None]))
    (constant,) = [op for op in graph.get_operations() if op.type == "Const"]
    assert "worker" not in constant.device


def test_missing_device_in_function(addone_path):
    addone = tftvm.Module(addone_path).func("addone", target_device="cpu:7")
    with pytest.raises(ValueError, match="cpu:7|CPU:7"):
        tf.function(addone)(tf.constant([1.0]))
    with tf.Graph().as_default():  # may be meant for another machine
        assert addone(tf1.placeholder(tf.float32, [2])).device.endswith("CPU:7")


def test_alias_of_another_function_is_not_called(addone_path):
    # TVM exports `main` beside the only function of a library; in a library compiled from Relax it
    # is a part of the Relax function of that name.
    module = tftvm.Module(addone_path)
    assert list(module) == ["addone"]
    assert "addone" in module and "main" not in module and len(module) == 1
    with pytest.raises(tf.errors.NotFoundError, match="has no function 'main'. It has: addone"):
        module["main"]
