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
"""Metadata of libraries and gradients of graphs that are damaged, or made to do harm."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import tensorflow_tvm as tftvm
from tensorflow_tvm.__main__ import main
from tensorflow_tvm.tests import libraries

tf1 = tf.compat.v1

_SIGNATURE = "(x: float32[n]) -> (y: float32[n])"
_SOURCE = r"""
#include <tvm/ffi/tvm_ffi.h>
#include <cstdlib>
#include <stdexcept>
#include <string>
namespace ffi = tvm::ffi;

extern "C" int __tvm_ffi_f(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  auto* x = static_cast<DLTensor*>(args[0].v_ptr);
  auto* y = static_cast<DLTensor*>(args[1].v_ptr);
  for (int64_t i = 0; i < x->shape[0]; ++i) {
    static_cast<float*>(y->data)[i] = static_cast<float*>(x->data)[i] + 1;
  }
  return 0;
}
extern "C" int __tvm_ffi_fails(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) {
  TVMFFIErrorSetRaisedFromCStr("ValueError", "said \xff badly");
  return -1;
}
extern "C" int __tvm_ffi_throws(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) {
  throw std::runtime_error("thrown \xff badly");
}
// Neither UTF-8, nor a name that can be asked for.
extern "C" int odd_name(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) asm("__tvm_ffi_\xff");
int odd_name(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) { return 0; }

// What it returns is in the environment, so that there need be one library only.
extern "C" int __tvm_ffi__metadata_f(void*, const TVMFFIAny*, int32_t, TVMFFIAny* result) {
  const std::string kind = getenv("METADATA_KIND");
  const std::string text = getenv("METADATA_TEXT");
  if (kind == "throw") throw std::runtime_error(text);
  if (kind == "throw number") throw 42;
  if (kind == "fail") {
    TVMFFIErrorSetRaisedFromCStr("ValueError", text.c_str());
    return -1;
  }
  if (kind == "fail silently") return -1;
  ffi::Any value;
  if (kind == "number") value = 42;
  if (kind == "tensor") value = ffi::Array<ffi::Any>{};
  if (kind == "text") value = ffi::String(text);
  *result = ffi::details::AnyUnsafe::MoveAnyToTVMFFIAny(std::move(value));
  return 0;
}
extern "C" int __tvm_ffi__metadata_fails = 7;  // tvm-ffi would call it
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return libraries.compile_cc(_SOURCE, tmp_path_factory.mktemp("lib") / "odd.so", "-std=c++17")


@pytest.fixture
def module(path, monkeypatch):
    """A library whose function f has the metadata that `module` is called with."""

    def make(text, kind="text"):
        monkeypatch.setenv("METADATA_KIND", kind)
        monkeypatch.setenv("METADATA_TEXT", text)
        return tftvm.Module(path)

    return make


def _own(**keys):
    return json.dumps({"tensorflow_tvm": {"signature": _SIGNATURE, **keys}})


def _gradient(**keys):
    return _own(gradient={"function": "f", "takes": ["grads"], "wrt": [0], **keys})


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("throw", "no \udcff text", r"threw an exception: no \\xff text"),
        ("throw number", "", "threw an exception"),
        ("fail", "no \udcff text", r"no \\xff text"),
        ("fail silently", "", "without saying why"),
        ("number", "", "returned int; expected a string"),
        ("none", "", "returned None; expected a string"),
        ("tensor", "", "returned ffi.Array; expected a string"),
        ("text", '{"tensorflow_tvm": "\udcff"}', "not UTF-8"),
        ("text", "[" * 1_000_000, "nested too deeply"),
        ("text", "{", "not JSON"),
        ("text", "[]", "must be an object"),
        ("text", '{"tensorflow_tvm": null}', "must be an object, given None"),
        ("text", '{"tensorflow_tvm": {}}', "its signature must be a string"),
        ("text", '{"tensorflow_tvm": {"signature": "(x"}}', "parse signature"),
        ("text", '{"type_schema": "[[["}', "not JSON"),
        ("text", json.dumps({"type_schema": "[" * 200_000}), "nested too deeply"),
        ("text", _own(in_place=[float("inf")]), "in_place must have integers .* given inf"),
        ("text", _own(in_place=[0]).replace("[0]", "[1e999]"), "in_place .* given inf"),
        ("text", _own(in_place=[10**30]), "in_place .* more than 64 bits"),
        ("text", _own(in_place=[1]), "in_place must have integers from 0 to 0 only, given 1"),
        ("text", _own(in_place="0"), "in_place must be a list of integers, given '0'"),
        ("text", _own(devices=7), "devices must be a list of strings, given 7"),
        ("text", _own(gradient=[]), "gradient must be an object"),
        ("text", _gradient(function=3), "function must be a string, given 3"),
        ("text", _gradient(function="\ud800"), "function is not Unicode"),
        ("text", _gradient(takes="grads"), "takes must be a list"),
        ("text", _gradient(takes=["x"]), "takes has 'x'"),
        ("text", _gradient(wrt=[float("nan")]), "wrt .* given nan"),
        ("text", _gradient(wrt=[]), "wrt must list at least one"),
        ("text", _gradient(wrt=[True]), "wrt .* given True"),
    ],
)
def test_damaged_metadata(module, kind, text, message):
    library = module(text, kind)
    for use in (library.signature, library.func):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=f"(?s)'odd.so' .* of function 'f'.*{message}"
        ):
            use("f")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"type_schema": 7}',
        '{"type_schema": "{\\"args\\": [1, [2]]}"}',
        '{"type_schema": "{\\"type\\": \\"newer\\"}"}',
        '{"other": NaN}',
        _own(later=[1]),
    ],
)
def test_metadata_that_is_another_matter(module, text):
    np.testing.assert_array_equal(module(text)["f"](tf.constant([1.0])), [2.0])


def test_metadata_that_is_not_a_function(module):
    library = module("")
    message = "'odd.so' cannot give the metadata of function 'fails': its symbol is not a function"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library["fails"]


def test_names_that_are_not_utf8(module):
    assert module("").functions == ("f", "fails", "throws")


def test_names_that_utf8_cannot_hold(module, path):
    with pytest.raises(ValueError, match="name of a function in Unicode"):
        module("")["\ud800"]
    with pytest.raises(ValueError, match="name of a library in Unicode"):
        tftvm.Module(path, name="\ud800")


def test_messages_that_are_not_utf8(run, tmp_path):
    source = _SOURCE.replace('extern "C" int __tvm_ffi__metadata_fails = 7;', "")
    library = tftvm.Module(libraries.compile_cc(source, tmp_path / "odd.so", "-std=c++17"))
    x = np.float32([1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"'fails' .*said \\xff badly"):
        run(library["fails"], x)
    with pytest.raises(tf.errors.InternalError, match=r"'throws' .*thrown \\xff badly"):
        run(library["throws"], x)


# Graphs.


@pytest.fixture(scope="module")
def square():
    """x * x * k, an attr; its gradient takes that too."""
    from tvm import te, tirx

    n = te.var("n")
    x, dy = (te.placeholder((n,), name=name) for name in ("x", "dy"))
    k = tirx.Var("k", "float32")
    y = te.compute((n,), lambda i: x[i] * x[i] * k, name="y")
    dx = te.compute((n,), lambda i: 2.0 * x[i] * k * dy[i], name="dx")
    return tftvm.build(
        {
            "square": te.create_prim_func([x, k, y]),
            "square_grad": te.create_prim_func([x, k, dy, dx]),
        }
    ).func("square", gradient=tftvm.Gradient("square_grad", takes=["args", "grads"], wrt=[0]))


@pytest.fixture
def gradient_of(square):
    """Import a graph that calls `square`, its `callee` changed, and differentiate it."""
    with tf.Graph().as_default() as graph:
        square(tf1.placeholder(tf.float32, [2], name="x"), k=3.0, name="y")
    graph_def = graph.as_graph_def()
    [node] = [node for node in graph_def.node if node.op == "TVM>DSOOp"]

    def differentiate(change):
        callee = json.loads(node.attr["callee"].s)
        text = change(callee)
        node.attr["callee"].s = text if isinstance(text, bytes) else json.dumps(callee).encode()
        with tf.Graph().as_default(), tf1.Session() as session:
            x, y = tf.import_graph_def(graph_def, return_elements=["x:0", "y:0"], name="")
            [dx] = tf1.gradients(y, x)
            return session.run(dx, {x: np.float32([1, 2])})

    return differentiate


def test_the_gradient_as_it_is(gradient_of):
    np.testing.assert_array_equal(gradient_of(lambda callee: None), [6.0, 12.0])


def _nested(callee):
    for _ in range(70):
        callee["gradient"] = {"callee": {"gradient": callee["gradient"]}}


def _set(path, value):
    """Return a change of the entry of `callee` at a path such as "gradient.wrt"."""

    def change(callee):
        *parents, last = path.split(".")
        for parent in parents:
            callee = callee[parent]
        callee[last] = value

    return change


def _remove(path):
    def change(callee):
        *parents, last = path.split(".")
        for parent in parents:
            callee = callee[parent]
        del callee[last]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("gradient", []), "Cannot convert from type"),
        (_set("gradient", "square_grad"), "Cannot convert from type"),
        (_set("gradient", {}), "its callee must be an object, given None"),
        (_set("gradient.callee", 7), "its callee must be an object, given 7"),
        (_set("gradient.callee", {}), "the gradient's function must be a string"),
        (_set("gradient.callee.function", None), "the gradient's function must be a string"),
        (_set("gradient.callee.arg_spec", 7), "its arg_spec must be a list of strings, given 7"),
        (_set("gradient.callee.arg_spec", [7]), "arg_spec must be a string, given 7"),
        (_set("gradient.callee.digest", "sha256:0"), "changed or damaged"),
        (_remove("gradient.callee.digest"), 'must give "digest"'),
        (_remove("gradient.libraries"), "its libraries must be a list of integers, given None"),
        (_set("gradient.libraries", "0"), "its libraries must be a list of integers, given '0'"),
        (_set("gradient.libraries", [1]), "integers from 0 to 0 only, given 1"),
        (_set("gradient.libraries", [-1]), "integers from 0 to 0 only, given -1"),
        (_set("gradient.libraries", [0.0]), "integers from 0 to 0 only, given 0.0"),
        (_set("gradient.libraries", [float("inf")]), "integers from 0 to 0 only, given inf"),
        (_set("gradient.libraries", [2**80]), "an integer of more than 64 bits|given 1.2"),
        (_set("gradient.stateful", 1), "its stateful must be true or false"),
        (_set("gradient.shaped_like_inputs", "no"), "shaped_like_inputs must be true or false"),
        (_set("gradient.takes", "grads"), "takes must be a list of strings, given 'grads'"),
        (_set("gradient.takes", [0]), "an entry of takes must be a string, given 0"),
        (_set("gradient.takes", ["args.7"]), "takes has 'args.7'"),
        (_set("gradient.takes", ["x" * 10**6]), "takes has 'x"),
        (_set("gradient.takes", []), "expected .* inputs, given 0"),
        (_set("gradient.wrt", 0), "wrt must be a list of integers, given 0"),
        (_set("gradient.wrt", [float("nan")]), "wrt .* given nan"),
        (_set("gradient.wrt", [0, 0]), "each once"),
        (_set("gradient.wrt", [7]), "wrt has 7, and the function has 1 inputs"),
        (_set("gradient.later", 1), "unknown key 'later'"),
        (_set("gradient.callee.later", 1), "unknown key 'later'"),
        (_set("gradient.\ud800", 1), "surrogate"),
        (_nested, "nested too deeply"),
        (
            lambda callee: (
                json.dumps(callee).replace("grads", "gr\udcff").encode("utf-8", "surrogateescape")
            ),
            "not UTF-8",
        ),
        (_set("attrs", []), "Cannot convert from type"),
        (_set("in_place", [2**40]), "in_place has 1099511627776"),
        (_set("in_place", [-1]), "in_place has -1"),
    ],
)
def test_damaged_gradient(gradient_of, change, message):
    # What cannot be read at all does not say whose it is; the beginning of it is shown.
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError),
        match=f"(?s)square.*({message})|({message}).*square",
    ):
        gradient_of(change)


def test_infinite_attrs_are_attrs(gradient_of):
    assert np.isinf(gradient_of(_set("attrs", {"k": float("inf")}))).all()


def test_gradient_without_a_library_name(gradient_of):
    """Graphs may leave it out."""
    np.testing.assert_array_equal(gradient_of(_remove("library_name")), [6.0, 12.0])


@pytest.mark.parametrize(
    ("callee", "message"),
    [
        (b"\xff", "it is not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "it must be an object"),
        (b'{"function": "f"}', "digest must be a string, given None"),
        (b'{"digest": ["d"], "function": "f"}', "digest must be a string, given a list"),
        (b'{"digest": "d", "function": "f", "gradient": 7}', "gradient must be an object"),
        (b'{"digest": "d", "function": "f", "gradient": {}}', "gradient's callee must be"),
    ],
)
def test_models_that_are_inspected(tmp_path, capsys, callee, message):
    model = SavedModel()
    node = model.meta_graphs.add().graph_def.node.add(name="y", op="TVM>DSOOp")
    node.attr["callee"].s = callee
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert main(["inspect", str(tmp_path)]) == 1
    assert re.search(f"of node 'y' cannot be read: .*{message}", capsys.readouterr().err)
