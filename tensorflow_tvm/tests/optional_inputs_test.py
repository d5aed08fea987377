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
"""Inputs that a call may leave out: Optional tensors of C++ functions."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_tvm as tftvm
from tensorflow_tvm.op_library import has_xla
from tensorflow_tvm.tests.subprocesses import check_python

_SOURCE = r"""
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/tvm_ffi.h>
#include <cstring>
using namespace tvm::ffi;

using Maybe = Optional<TensorView>;

static float* F(TensorView x) { return static_cast<float*>(x.data_ptr()); }
static float Get(const Maybe& x, int64_t i) { return x.has_value() ? F(*x)[i] : 0.f; }

void AddBias(TensorView x, Maybe bias, TensorView y) {
  for (int64_t i = 0; i < x.numel(); ++i) F(y)[i] = F(x)[i] + Get(bias, i);
}

void AddBiasGrad(TensorView x, TensorView b, TensorView y, TensorView dy, TensorView dx,
                 TensorView db) {
  for (int64_t i = 0; i < x.numel(); ++i) F(dx)[i] = F(db)[i] = F(dy)[i];
}

void Mix(Maybe a, int64_t k, TensorView x, TensorView y, Maybe b) {
  for (int64_t i = 0; i < x.numel(); ++i) {
    F(y)[i] = 100 * Get(a, i) + k * F(x)[i] + 10 * Get(b, i);
  }
}

void Count(Maybe a, Maybe b, TensorView y) { F(y)[0] = a.has_value() + 2 * b.has_value(); }

Tensor First(Optional<Tensor> a, Tensor x) {
  Tensor from = a.has_value() ? *a : x;
  Tensor y = Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, from.shape(), from.dtype(), from.device());
  std::memcpy(y.data_ptr(), from.data_ptr(), from.numel() * sizeof(float));
  return y;
}

void OptionalNumber(TensorView x, Optional<int64_t> k, TensorView y) { F(y)[0] = *k; }

TVM_FFI_DLL_EXPORT_TYPED_FUNC(add_bias, AddBias);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(add_bias_grad, AddBiasGrad);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(mix, Mix);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(count, Count);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(first, First);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(optional_number, OptionalNumber);
"""
_ADD_BIAS = "(x: float32[n], bias: float32[n]?) -> (y: float32[n])"
_MIX = "(a: float32[n]?, k: int, x: float32[n], b: float32[...]?) -> (y: float32[n])"
_X, _B, _C = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
_RUNS_UNDER_XLA = pytest.mark.skipif(not has_xla, reason="built without XLA")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    if shutil.which("ninja") is None:  # which tvm-ffi compiles with; PyPI has it
        os.environ["PATH"] += os.pathsep + pytest.importorskip("ninja").BIN_DIR
    import tvm_ffi.cpp

    folder = tmp_path_factory.mktemp("lib")
    (folder / "optional.cc").write_text(_SOURCE)
    return tftvm.Module(
        tvm_ffi.cpp.build(
            "optional",
            sources=str(folder / "optional.cc"),
            extra_cflags=["-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1"],
            build_directory=str(folder),
        )
    )


@pytest.fixture(scope="module")
def mix(module):
    return module.func("mix", signature=_MIX)


def test_what_the_library_says(module, capsys):
    said = {name: str(module.signature(name)) for name in ("add_bias", "mix", "first")}
    assert said == {
        "add_bias": "(arg0: any[...], arg1: any[...]?, arg2: any[...]) -> ()",
        "mix": "(arg0: any[...]?, arg1: int, arg2: any[...], arg3: any[...], arg4: any[...]?)"
        " -> ()",
        "first": "(arg0: any[...]?, arg1: any[...]) -> (ret0: any[...])",
    }
    assert module.signature("optional_number") is None
    # The last tensor that is not optional is taken for the output.
    mix = module["mix"]
    expected = "(arg0: any[...]?, arg1: int, arg2: any[...], arg4: any[...]?) -> (arg3: any[...])"
    assert str(mix.signature) == expected
    assert f"'mix{expected}'" in repr(mix)


@pytest.mark.parametrize("signature", [None, _ADD_BIAS])
def test_add_bias(run, module, signature):
    add_bias = module.func("add_bias", signature=signature)
    np.testing.assert_array_equal(run(lambda x, b: add_bias(x, b), _X, _B), _X + _B)
    for fn in (lambda x: add_bias(x, None), lambda x: add_bias(x)):
        np.testing.assert_array_equal(run(fn, _X), _X)
        np.testing.assert_array_equal(run(fn, np.float32([])), [])


@pytest.mark.parametrize("metadata", [True, False])
def test_anywhere_among_the_inputs(run, module, mix, metadata):
    if metadata:
        mix = module["mix"]
    k = {"k" if not metadata else "arg1": 2}
    tensors = (_B, _X, _C)
    for passed in ("axb", "ax", "xb", "x"):
        given = [tensor for name, tensor in zip("axb", tensors, strict=True) if name in passed]

        def fn(*tensors, passed=passed):
            rest = iter(tensors)
            return mix(*(next(rest) if name in passed else None for name in "axb"), **k)

        expected = 100 * ("a" in passed) * _B + 2 * _X + 10 * ("b" in passed) * _C
        np.testing.assert_array_equal(run(fn, *given), expected, passed)


def test_all_left_out(run, module):
    count = module.func("count", output_shape=[], output_dtype="float32")
    vector = count.signature.outputs[0]
    assert str(vector) == "arg2: any[...]"
    assert run(lambda x: count() + x, np.float32(0.0)) == 0
    assert run(lambda x: count(None, None) + x, np.float32(0.0)) == 0
    assert run(lambda x: count(x), np.float32(0.0)) == 1
    assert run(lambda x: count(None, x), np.float32(0.0)) == 2
    assert run(count, *np.float32([0.0, 0.0])) == 3
    with pytest.raises(ValueError, match="'count' of library 'optional.so' was called without inp"):
        module["count"](None, None)


def test_tensors_that_it_keeps_and_returns(run, module):
    first = module["first"]
    assert run(lambda x: first(None, x), _X).tolist() == _X.tolist()
    assert run(lambda a, x: first(a, x), _B, _X).tolist() == _B.tolist()


def test_autograph_and_python_values(module):
    add_bias = module.func("add_bias", signature=_ADD_BIAS)

    @tf.function
    def both(x, has_bias):
        bias = [1.0, 1.0, 1.0] if has_bias else None
        return add_bias(x, bias)

    assert both(_X, True).numpy().tolist() == (_X + 1).tolist()
    assert both(_X, False).numpy().tolist() == _X.tolist()
    assert add_bias([1, 2], None).numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("target_device", [None, "cpu"])
def test_calls_without_an_input_have_their_own_eager_call(module, target_device):
    add_bias = module.func("add_bias", target_device=target_device)
    shaped = module.func(
        "add_bias", output_shape=[3], output_dtype="float32", target_device=target_device
    )
    x = tf.constant(_X)
    for function in (add_bias, shaped):
        assert [function(x, None).numpy().tolist() for _ in range(3)] == [_X.tolist()] * 3
        assert [function(x).numpy().tolist() for _ in range(3)] == [_X.tolist()] * 3
        (variant,) = function._without.values()  # made once
        assert (variant._eager_call is not None) == (target_device is None)


@_RUNS_UNDER_XLA
def test_xla(mix):
    for a, b in ((_B, _C), (None, _C), (_B, None), (None, None)):
        fn = tf.function(lambda x, a=a, b=b: mix(a, x, b, k=3), jit_compile=True, autograph=False)
        expected = 3 * _X + sum(c * v for c, v in ((100, a), (10, b)) if v is not None)
        np.testing.assert_array_equal(fn(_X), expected)


def test_saved_model(module, mix, tmp_path):
    model = tf.Module()
    add_bias = module.func("add_bias", signature=_ADD_BIAS)
    model.call = tf.function(
        lambda x, b: (add_bias(x, b), add_bias(x, None), mix(None, x, b, k=2), mix(x, x, k=1)),
        input_signature=[tf.TensorSpec([None]), tf.TensorSpec([None])],
    )
    tf.saved_model.save(model, str(tmp_path))
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        model = tf.saved_model.load(sys.argv[1])
        call = model.call.concrete_functions[0]
        for result in model.call(tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0])):
            print(result.numpy().tolist())
        """,
        str(tmp_path),
    )
    expected = [[4.0, 6.0], [1.0, 2.0], [32.0, 44.0], [101.0, 202.0]]
    assert [json.loads(line) for line in output.splitlines()] == expected


def test_an_imported_graph_def(module):
    add_bias = module.func("add_bias", signature=_ADD_BIAS)
    with tf.Graph().as_default() as graph:
        add_bias(tf.compat.v1.placeholder(tf.float32, [None], "x"), None)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        (y,) = tf.import_graph_def(graph.as_graph_def(), return_elements=["add_bias:0"])
        assert y.shape.rank == 1
        assert session.run(y, {"import/x:0": _X}).tolist() == _X.tolist()


def test_config_and_pickle(module):
    add_bias = module.func("add_bias", signature=_ADD_BIAS)
    add_bias(_X, None)
    for again in (
        tftvm.Function.from_config(json.loads(json.dumps(add_bias.get_config()))),
        pickle.loads(pickle.dumps(add_bias)),
    ):
        assert str(again.signature) == _ADD_BIAS
        assert again(_X, None).numpy().tolist() == _X.tolist()


# Gradients.


def _gradients(fn, *values):
    variables = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        y = fn(*variables)
    return [None if dx is None else dx.numpy().tolist() for dx in tape.gradient(y, variables)]


_TENS, _ONES = [10.0] * 3, [1.0] * 3


def test_gradient_by_name(module):
    gradient = module.func(
        "add_bias_grad",
        signature="(x: float32[n], b: float32[n], y: float32[n], dy: float32[n]) -> "
        "(dx: float32[n], db: float32[n])",
    )
    add_bias = module.func("add_bias", signature=_ADD_BIAS, gradient=gradient)
    assert _gradients(lambda x, b: 10 * add_bias(x, b), _X, _B) == [_TENS, _TENS]
    error = (
        r"'add_bias' of library 'optional.so'.* was called without all of its optional inputs, and "
        r"a TVM function cannot be the gradient of such a call.*Function.with_gradient"
    )
    with pytest.raises(LookupError, match=error):
        _gradients(lambda x: add_bias(x, None), _X)
    with pytest.raises(LookupError, match=error):
        tf.function(lambda x: tf.gradients(add_bias(x), x), autograph=False)(_X)


@pytest.mark.parametrize("execute", [lambda fn: fn, tf.function])
def test_gradient_in_python(module, execute):
    seen = []

    def gradient(a, x, b, y, dy, k):
        seen.append([value is not None for value in (a, x, b)])
        return None if a is None else 100 * dy, k * dy, None if b is None else 10 * dy

    plain = module.func("mix", signature=_MIX)
    plain(None, _X, k=2)
    mix = plain.with_gradient(gradient)
    call = execute(lambda a, x: mix(a, x, None, k=2))
    assert _gradients(call, _B, _X) == [[100.0] * 3, [2.0] * 3]
    call = execute(lambda x, b: mix(None, x, b, k=2))
    assert _gradients(call, _X, _B) == [[2.0] * 3, [10.0] * 3]
    call = execute(lambda x: mix(None, x, k=2))
    assert _gradients(call, _X) == [[2.0] * 3]
    call = execute(lambda a, x, b: mix(a, x, b, k=2))
    assert _gradients(call, _B, _X, _C) == [[100.0] * 3, [2.0] * 3, [10.0] * 3]
    patterns = [[True, True, False], [False, True, True], [False, True, False], [True] * 3]
    assert [pattern for i, pattern in enumerate(seen) if i == 0 or pattern != seen[i - 1]] == (
        patterns
    )


def test_gradient_of_a_reference(module):
    add_bias = module.func(
        "add_bias",
        signature=_ADD_BIAS,
        gradient_from=lambda x, bias: x * 1.0 if bias is None else x + bias,
    )
    assert _gradients(lambda x: 10 * add_bias(x, None), _X) == [_TENS]
    assert _gradients(lambda x, b: 10 * add_bias(x, b), _X, _B) == [_TENS, _TENS]
    assert _gradients(lambda x: add_bias(x), _X) == [_ONES]


# Errors.


def test_none_for_an_input_that_is_not_optional(run, module, mix):
    with pytest.raises(ValueError, match=r"input 'x' is None, and is not optional; .*\[n\]\?'"):
        run(lambda b: module.func("add_bias", signature=_ADD_BIAS)(None, b), _B)
    with pytest.raises(ValueError, match=r"input 'x' is None, and is not optional"):
        run(lambda b: mix(None, None, b, k=1), _B)
    plain = module.func("add_bias", arg_spec=["args", "rets"], signature=_ADD_BIAS.replace("?", ""))
    with pytest.raises(ValueError, match=r"input 'bias' is None, and is not optional.*Its sig"):
        run(lambda x: plain(x, None), _X)
    unknown = module.func("optional_number")
    with pytest.raises(ValueError, match=r"input 1 is None, .*not known: give signature= with a q"):
        run(lambda x: unknown(x, None), _X)
    with pytest.raises(ValueError, match=r"input 'x' is None, and is not optional"):
        run(lambda x: mix.with_gradient(lambda *_, **__: None)(x, None, x, k=1), _X)


def test_too_few_and_too_many(module, mix):
    add_bias = module["add_bias"]
    for inputs in ((), (_X, _X, _X), (_X, None, None)):
        with pytest.raises(ValueError, match=f"called with {len(inputs)} inputs; expected 2: its"):
            add_bias(*inputs)
    with pytest.raises(ValueError, match=r"called with 1 inputs; expected 3: its .*b: float32\["):
        mix(_X, k=1)


def test_what_is_passed_is_checked(module, mix):
    add_bias = module.func("add_bias", signature=_ADD_BIAS)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"expected bias: float32\[n\]\?: n is"
    ):
        add_bias(_X, _B[:2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="input 'b' has dtype int32"):
        mix(None, _X, tf.constant([1, 2, 3]), k=1)


def test_symbols_of_an_input_that_is_left_out(run, module):
    longer = module.func(
        "add_bias", signature="(x: float32[2*m], bias: float32[m]?) -> (y: float32[2])"
    )
    with pytest.raises(ValueError, match=r"'bias: float32\[m\]\?' is left out, .*'m' of 'x: float"):
        run(lambda x: longer(x, None), _X)
    sized = module.func(
        "add_bias", signature="(x: float32[n], bias: float32[m]?) -> (y: float32[m])"
    )
    with pytest.raises(ValueError, match=r"'bias: float32\[m\]\?' is left out, .*'m' of 'y: float"):
        run(lambda x: sized(x), _X)
    assert run(lambda x, b: sized(x, b), _X, _B).tolist() == (_X + _B).tolist()
    own = module.func("add_bias", signature="(x: float32[n], b: float32[m]?) -> (y: float32[n])")
    assert run(lambda x: own(x), _X).tolist() == _X.tolist()


def test_a_signature_that_says_more_than_the_library(module):
    with pytest.raises(ValueError, match=r"input 'x: float32\[n\]\?' is optional, and its library"):
        module.func("add_bias", signature=_ADD_BIAS.replace("x: float32[n]", "x: float32[n]?"))
