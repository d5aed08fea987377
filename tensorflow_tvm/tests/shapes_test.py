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
"""Output shapes in all their forms, unusual shapes, alignment and devices."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import run_python

tf1 = tf.compat.v1

_TOO_LARGE = "elements in 32 bits, so that at most 2147483647"


def _pad(rank):
    """`pad<rank>`: float32 of any shape -> float32 of any shape, cropped or filled up with 7."""
    source = [te.var(f"n{i}") for i in range(rank)]
    target = [te.var(f"m{i}") for i in range(rank)]
    x = te.placeholder(source, "float32", name="x")

    def element(*index):
        inside = tvm.tirx.all(*(i < n for i, n in zip(index, source, strict=True)))
        return te.if_then_else(inside, x(*index), tvm.tirx.const(7, "float32"))

    return libraries.prim_func(f"pad{rank}", [x, te.compute(target, element, name="y")])


def _pad_in_numpy(x, shape):
    y = np.full(shape, 7, np.float32)
    overlap = tuple(slice(min(n, m)) for n, m in zip(x.shape, shape, strict=True))
    y[overlap] = x[overlap]
    return y


def _split():
    """`split`: float32[n, m] -> x and -x, float32 of any two shapes, filled up with 7."""
    shapes = [[te.var(f"{name}{i}") for i in range(2)] for name in "nab"]
    x = te.placeholder(shapes[0], "float32", name="x")

    def output(name, shape, sign):
        def element(i, j):
            inside = tvm.tirx.all(i < shapes[0][0], j < shapes[0][1])
            return te.if_then_else(inside, x[i, j] * sign, tvm.tirx.const(7, "float32"))

        return te.compute(shape, element, name=name)

    outputs = [output("a", shapes[1], 1.0), output("b", shapes[2], -1.0)]
    return libraries.prim_func("split", [x, *outputs])


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    functions = [
        _pad(1),
        _pad(2),
        _split(),
        *(libraries.elementwise(f"add{r}", lambda x: x + 1.0, rank=r) for r in range(9)),
        libraries.elementwise("not_int8", lambda x: ~x, dtype="int8", rank=2),
    ]
    return tftvm.Module(libraries.export(functions, tmp_path_factory.mktemp("lib") / "shapes.so"))


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Make functions that return the addresses of their arguments' data, the result's included."""
    path = libraries.compile_cc(libraries.PROBES, tmp_path_factory.mktemp("lib") / "probes.so")
    module = tftvm.Module(path)

    def make(inputs, **kwargs):
        return module.func("addresses", [inputs + 1], tf.int64, **kwargs)

    return make


def _misaligned(values, offset=4):
    """A tensor whose data lies `offset` bytes past a multiple of 4096."""
    memory = np.zeros(values.nbytes + 8192, np.uint8)
    start = -memory.ctypes.data % 4096 + offset
    array = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    array[...] = values
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


# Forms of the shape [4, 5], given x of shape [2, 3].
_FORMS = {
    "list": lambda x: [4, 5],
    "tuple": lambda x: (4, 5),
    "TensorShape": lambda x: tf.TensorShape([4, 5]),
    "Dimensions": lambda x: list(tf1.Dimension(n) for n in (4, 5)),
    "string": lambda x: "[4, 5]",
    "string_without_brackets": lambda x: "4, 5",
    "string_with_spaces": lambda x: " 4 5 ",
    "array": lambda x: np.array([4, 5]),
    "int32_array": lambda x: np.int32([4, 5]),
    "uint8_array": lambda x: np.uint8([4, 5]),
    "numpy_integers": lambda x: [np.int64(4), np.uint8(5)],
    "constant": lambda x: tf.constant([4, 5]),
    "int64_constant": lambda x: tf.constant([4, 5], tf.int64),
    "shape": lambda x: tf.shape(x) + 2,
    "int64_shape": lambda x: tf.shape(x, out_type=tf.int64) + 2,
    "mixed": lambda x: [4, tf.shape(x)[1] + 2],
    "mixed_tuple": lambda x: (tf.shape(x)[0] * 2, 5),
    "mixed_int64": lambda x: [tf.shape(x, tf.int64)[0] + 2, 5],
    "mixed_int32_and_int64": lambda x: [tf.shape(x, tf.int64)[0] + 2, tf.shape(x)[1] + 2],
    "mixed_with_constant": lambda x: [tf.constant(4), tf.shape(x)[1] + 2],
    "mixed_with_numpy": lambda x: [np.int16(4), tf.shape(x)[1] + 2],
    "concat": lambda x: tf.concat([[4], tf.shape(x)[1:] + 2], axis=0),
}


@pytest.mark.parametrize("form", _FORMS)
def test_forms_of_output_shape(run, module, form):
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    y = run(lambda x: module.func("pad2", output_shape=_FORMS[form](x))(x), x)
    np.testing.assert_array_equal(y, _pad_in_numpy(x, (4, 5)))


@pytest.mark.parametrize("first", _FORMS)
@pytest.mark.parametrize("second", ["list", "string", "shape", "int64_shape", "mixed"])
def test_forms_of_several_output_shapes(run, module, first, second):
    x = np.ones((2, 3), np.float32)

    def split(x):
        return module.func("split", output_shape=[_FORMS[first](x), _FORMS[second](x)])(x)

    a, b = run(split, x)
    np.testing.assert_array_equal(a, _pad_in_numpy(x, (4, 5)))
    np.testing.assert_array_equal(b, _pad_in_numpy(-x, (4, 5)))


def test_several_outputs_of_different_shapes(run, module):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for shapes in ([[1, 2], tf.TensorShape([3, 1])], ("1 2", np.array([3, 1]))):
        a, b = run(module.func("split", output_shape=shapes), x)
        np.testing.assert_array_equal(a, _pad_in_numpy(x, (1, 2)))
        np.testing.assert_array_equal(b, _pad_in_numpy(-x, (3, 1)))


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_eager_tensor_as_output_shape_everywhere(run, module, dtype):
    x = np.float32([[1, 2]])
    for shape in (tf.constant([3, 4], dtype), [3, tf.constant(4, dtype)]):
        y = run(module.func("pad2", output_shape=shape), x)
        np.testing.assert_array_equal(y, _pad_in_numpy(x, (3, 4)))


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_variable_as_output_shape_is_read_at_each_call(module, wrap, dtype):
    whole, part = tf.Variable([1, 1], dtype=dtype), tf.Variable(1, dtype=dtype)
    x = np.float32([[1, 2]])
    for variable, shape in ((whole, whole), (part, [2, part]), (part, (part, 5))):
        call = wrap(module.func("pad2", output_shape=shape))
        for value in (3, 1, 4):
            variable.assign(tf.fill(variable.shape, tf.cast(value, dtype)))
            expected = [int(n) for n in shape] if variable is part else [value, value]
            np.testing.assert_array_equal(call(tf.constant(x)), _pad_in_numpy(x, expected))


def test_shape_tensor_changes_between_calls(run, module):
    def pad(x, shape):
        return module.func("pad2", output_shape=shape, output_dtype="float32")(x)

    x = np.float32([[1, 2], [3, 4]])
    for shape in (np.int32([1, 5]), np.int64([3, 1])):
        np.testing.assert_array_equal(run(pad, x, shape), _pad_in_numpy(x, shape))


@pytest.mark.parametrize(
    "x, shape, expected",
    [
        ([None, 3], lambda x: tf.shape(x), [None, 3]),
        ([None, 3], lambda x: tf.shape(x, out_type=tf.int64), [None, 3]),
        ([2, 3], lambda x: tf.shape(x), [2, 3]),
        (None, lambda x: tf.shape(x), None),
        ([None, None], lambda x: tf.shape(x), [None, None]),
        ([None, 3], lambda x: None, [None, 3]),
        (None, lambda x: None, None),
        (None, lambda x: [4, 5], [4, 5]),
        (None, lambda x: "4 5", [4, 5]),
        (None, lambda x: tf.constant([4, 5]), [4, 5]),
        ([None, 3], lambda x: [tf.shape(x)[0], 5], [None, 5]),
        ([2, 3], lambda x: [tf.shape(x)[0], 5], [2, 5]),
        ([None, 3], lambda x: (tf.shape(x)[0] * 2, tf.shape(x)[1]), [None, 3]),
        ([None, 3], lambda x: [tf.shape(x, tf.int64)[0], tf.shape(x)[1]], [None, 3]),
        ([None, 3], lambda x: tf.concat([tf.shape(x)[:1], [7]], axis=0), [None, 7]),
        ([2, None], lambda x: tf.stack([tf.shape(x)[1], tf.shape(x)[0]]), [None, 2]),
        (None, lambda x: [tf.shape(x)[0], 5], [None, 5]),
    ],
)
def test_static_shapes(module, x, shape, expected):
    def pad(x):
        return module.func("pad2", output_shape=shape(x), output_dtype="float32")(x)

    def split(x):
        shapes = [[1, 2], shape(x)] if shape(x) is not None else None
        return module.func("split", output_shape=shapes, output_dtype=["float32"] * 2)(x)

    expected = tf.TensorShape(expected)
    traced = tf.function(pad).get_concrete_function(tf.TensorSpec(x))
    assert traced.outputs[0].shape.as_list() == expected.as_list() if expected.rank else True
    assert traced.outputs[0].shape.rank == expected.rank
    with tf.Graph().as_default():
        assert pad(tf1.placeholder("float32", x)).shape.rank == expected.rank
        second = split(tf1.placeholder("float32", x))[1]
        assert str(second.shape) == str(expected)


@pytest.mark.parametrize("wrong", [[-2, 3], [4, -5]])
def test_static_shape_that_cannot_be_is_refused_while_tracing(module, wrong):
    def pad(x):
        return module.func("pad2", output_shape=tf.constant(wrong) + tf.zeros([2], tf.int32))(x)

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="(?i)dim|shape"):
        tf.function(pad)(tf.zeros([1, 1]))


@pytest.mark.parametrize("rank", range(9))
def test_ranks(run, module, rank):
    x = np.random.default_rng(rank).normal(size=[2, 1, 3, 1, 2, 1, 2, 3][:rank]).astype(np.float32)
    np.testing.assert_array_equal(run(module[f"add{rank}"], x), x + np.float32(1))


def test_scalar_with_given_shape(run, module):
    for shape in ([], (), "[]", "", tf.TensorShape([]), np.array([], np.int32)):
        y = run(module.func("add0", output_shape=shape), np.float32(3))
        assert y.shape == () and y == 4
    y = run(lambda x: module.func("add0", output_shape=tf.shape(x))(x), np.float32(3))
    assert y.shape == () and y == 4


@pytest.mark.parametrize("shape", [[0], [0, 3], [3, 0], [0, 0], [2, 0, 3], [1, 1, 1, 0]])
def test_empty_input_and_output(run, module, shape):
    y = run(module[f"add{len(shape)}"], np.zeros(shape, np.float32))
    assert y.shape == tuple(shape) and y.dtype == np.float32


@pytest.mark.parametrize(
    "source, target",
    [
        ([0], [3]),
        ([3], [0]),
        ([0], [0]),
        ([0, 2], [2, 3]),
        ([2, 0], [2, 3]),
        ([2, 3], [0, 3]),
        ([2, 3], [3, 0]),
        ([0, 0], [1, 1]),
    ],
)
@pytest.mark.parametrize("memory_align", [64, 4096, 2 << 20])
def test_empty_input_or_output(run, module, source, target, memory_align):
    x = np.ones(source, np.float32)
    pad = module.func(f"pad{len(source)}", output_shape=target, memory_align=memory_align)
    np.testing.assert_array_equal(run(pad, x), _pad_in_numpy(x, target))


def test_one_of_several_outputs_is_empty(run, module):
    x = np.ones((2, 3), np.float32)
    a, b = run(module.func("split", output_shape=[[0, 4], [2, 2]]), x)
    assert a.shape == (0, 4)
    np.testing.assert_array_equal(b, -x[:, :2])


@pytest.mark.parametrize(
    "make, error, reason",
    [
        (lambda: [-1, 2], ValueError, "must not be negative"),
        (lambda: "2, -1", ValueError, "at character 4: a dimension cannot be negative"),
        (lambda: "2 -3", ValueError, "at character 1: a dimension cannot be negative"),
        (lambda: np.array([2, -1]), ValueError, "must not be negative"),
        (lambda: tf.constant([2, -1]), ValueError, "must not be negative"),
        (lambda: [tf.constant(-1), 2], ValueError, "must not be negative"),
        (lambda: [1.5, 2], TypeError, "expected integers.*1.5"),
        (lambda: ["1.5", 2], (TypeError, ValueError), "1.5"),
        (lambda: "1.5 2", ValueError, "at character 2: unexpected character '.'"),
        (lambda: np.array([2.0, 2.0]), TypeError, "expected integers.*2.0"),
        (lambda: [True, 2], TypeError, "expected integers.*True"),
        (lambda: np.array([True, False]), TypeError, "expected integers.*True"),
        (lambda: tf.constant([True]), TypeError, "dtype bool"),
        (lambda: tf.constant([2.0, 2.0]), TypeError, "dtype float32"),
        (lambda: tf.constant([2, 2], tf.int16), TypeError, "dtype int16"),
        (lambda: [2, tf.constant(2.0)], TypeError, "dtype float32"),
        (lambda: [None, 2], ValueError, "unknown.*tf.shape"),
        (lambda: tf.TensorShape([None, 2]), ValueError, "unknown.*tf.shape"),
        (lambda: tf.TensorShape(None), ValueError, "no known rank.*tf.shape"),
        (lambda: [tf1.Dimension(None), 2], ValueError, "unknown.*tf.shape"),
        (lambda: "n m", ValueError, r"'\[n, m\]' has symbols.*tf.shape"),
        (lambda: "[2, 2", ValueError, "at character 6: expected ',' or ']', found the end"),
        (lambda: "2x2", ValueError, r"'\[2, x2\]' has symbols.*tf.shape"),
        (lambda: 2, TypeError, "given 2"),
        (lambda: 2.5, TypeError, "given 2.5"),
        (lambda: {2, 3}, TypeError, "given {2, 3}"),
        (lambda: object(), TypeError, "given <object"),
        (lambda: tf.constant(2), ValueError, r"vector, given a tensor of shape \(\)"),
        (lambda: tf.constant([[2, 2]]), ValueError, r"vector, given a tensor of shape \(1, 2\)"),
        (lambda: tf.Variable([[2]]), ValueError, r"vector, given a tensor of shape \(1, 1\)"),
        (lambda: np.array([[2, 2]]), ValueError, r"vector, given an array of shape \(1, 2\)"),
        (lambda: np.array(2), ValueError, r"vector, given an array of shape \(\)"),
        (lambda: [2**63, 2], ValueError, "too large"),
        (lambda: [2**63, 0], ValueError, "too large"),
        (lambda: [2**62, 4], ValueError, "too large"),
        (lambda: "4611686018427387904 4", ValueError, "too large"),
        (lambda: [[2, 2], [2.5, 2]], TypeError, "output 1: expected integers.*2.5"),
        (lambda: [[2, 2], [None, 2]], ValueError, "output 1: .*unknown"),
        (lambda: [[2, 2], 3], (TypeError, ValueError), "output 1.*given 3"),
        (lambda: [[[2, 2]]], (TypeError, ValueError), "output 0: "),
    ],
)
def test_wrong_output_shapes(module, make, error, reason):
    with pytest.raises(error, match=f"(?s)'pad2'.*'shapes.so'.*output_shape.*{reason}"):
        module.func("pad2", output_shape=make())


@pytest.mark.parametrize(
    "shape, reason",
    [
        (np.int32([-1, 2]), r"output 0 cannot have shape \[-1,2\]"),
        (np.int64([2, -7]), r"output 0 cannot have shape \[2,-7\]"),
        (np.int64([2**62, 4]), r"output 0 cannot have shape \[4611686018427387904,4\]"),
        (np.int64([2**31, 1]), rf"output 0 has shape \[2147483648,1\].*{_TOO_LARGE}"),
        (np.int64([2**16, 2**15]), rf"output 0 has shape \[65536,32768\].*{_TOO_LARGE}"),
        (np.int32([2**16, 2**16]), rf"output 0 has shape \[65536,65536\].*{_TOO_LARGE}"),
        (np.int64([2**31, 0]), rf"output 0 has shape \[2147483648,0\].*{_TOO_LARGE}"),
        (np.int64([2**32 + 4, 0]), rf"output 0 has shape \[4294967300,0\].*{_TOO_LARGE}"),
        (np.int32([2, 2, 2]), r"y.ndim.*expected 2.*outputs \(float32\[2,2,2\]\)"),
        (np.int32([2]), r"y.ndim.*expected 2.*outputs \(float32\[2\]\)"),
        (np.int32([[2, 2]]), "shape of output 0 must be a vector|expected an integer vector"),
        (np.int32(2), "shape of output 0 must be a vector|expected an integer vector"),
    ],
)
def test_wrong_shape_tensors_at_run_time(run, module, shape, reason):
    def pad(x, shape):
        return module.func("pad2", output_shape=shape, output_dtype="float32")(x)

    # Where the value is known early, early is when it is refused.
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as raised:
        run(pad, np.ones((1, 1), np.float32), shape)
    assert "'pad2'" in str(raised.value) and "'shapes.so'" in str(raised.value)
    raised.match(f"(?s){reason}|must not be negative|too large")


def test_more_dimensions_than_tensorflow_has(tmp_path):
    """TensorFlow's own shape functions end the process there."""
    path = tmp_path / "lib.so"
    libraries.export(libraries.elementwise("addone", lambda x: x + 1.0), path)
    done = run_python(
        """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_tvm as tftvm

module = tftvm.Module(sys.argv[1])
shape = np.ones([255], np.int64)

def call(x, shape):
    return module.func("addone", shape, "float32")(x)

def in_session():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        session.run(call(tf.ones([1]), tf.constant(shape)))

for run in (
    lambda: call(tf.ones([1]), shape),
    lambda: tf.function(call)(tf.ones([1]), shape),
    lambda: tf.function(lambda x: call(x, shape))(tf.ones([1])),
    lambda: tf.function(call)(tf.ones([1]), tf.constant(shape)),
    lambda: tf.function(lambda x: call(x, tf.constant(shape)))(tf.ones([1])),
    in_session,
):
    try:
        run()
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        print("refused" if "addone" in str(error) else error)
""",
        path,
    )
    assert (done.returncode, done.stdout) == (0, "refused\n" * 6), done.stderr


@pytest.mark.parametrize("shape", [[2**31, 1], [2**16, 2**15], [2**31, 0]])
def test_output_over_32_bits_is_refused_before_it_is_allocated(run, module, shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s)'pad2'.*{_TOO_LARGE}"):
        run(module.func("pad2", output_shape=shape), np.ones((1, 1), np.float32))


@pytest.mark.parametrize("shape", [[2**31, 0], [0, 2**32 + 4]])
def test_input_over_32_bits_is_refused(run, module, shape):
    for output_shape in (None, [1, 1]):
        function = module.func("not_int8", output_shape=output_shape)
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s)'not_int8'.*{_TOO_LARGE}"):
            run(function, np.zeros(shape, np.int8))


def test_wrong_shapes_of_inputs(run, tmp_path):
    add = libraries.elementwise("add", lambda x, y: x + y, inputs=2)
    module = tftvm.Module(libraries.export(add, tmp_path / "lib.so"))
    for shapes, reason in (
        ([[2], [3]], "x1.shape"),
        ([[2, 2], [2, 2]], "x0.ndim"),
        ([[], []], "x0.ndim"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            run(module["add"], *(np.ones(shape, np.float32) for shape in shapes))
        given = ", ".join("float32[" + ",".join(map(str, shape)) + "]" for shape in shapes)
        for part in ("'add'", "'lib.so'", reason, f"inputs ({given})"):
            assert part in raised.value.message, part
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)y.shape.*outputs \(float32\[3"):
        run(module.func("add", output_shape=[3]), *np.ones((2, 2), np.float32))


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_output_shapes(run, module, count):
    function = module.func("split", output_shape=[[2, 2]] * count)
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)'split'.*Expected 3 arguments"):
        run(function, np.ones((2, 2), np.float32))


@pytest.mark.parametrize("memory_align", [1, 2, 16, 64, 128, 4096, 1 << 20, 2 << 20])
def test_memory_align(run, module, addresses, memory_align):
    x, y = np.ones((3, 5), np.float32), np.ones(7, np.int8)
    np.testing.assert_array_equal(run(module.func("add2", memory_align=memory_align), x), x + 1)
    assert not (run(addresses(2, memory_align=memory_align), x, y) % max(64, memory_align)).any()


def test_memory_align_may_be_a_numpy_integer(module):
    np.testing.assert_array_equal(module.func("add1", memory_align=np.int64(128))([1.0]), [2])


@pytest.mark.parametrize(
    "memory_align, error",
    [
        *((value, ValueError) for value in (0, -1, -64, 3, 96, 4 << 20, 1 << 62, 1 << 80)),
        *((value, TypeError) for value in (1.5, 64.0, True, "64", None, [64])),
    ],
)
def test_wrong_memory_align(module, memory_align, error):
    with pytest.raises(error, match="(?s)'add1'.*'shapes.so'.*memory_align must be") as raised:
        module.func("add1", memory_align=memory_align)
    assert str(raised.value).endswith(f"given {memory_align!r}.")


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("offset", [4, 16, 32, 60])
def test_misaligned_input_is_copied_and_counted(module, addresses, wrap, offset):
    values = np.random.default_rng(offset).normal(size=1003).astype(np.float32)
    x = _misaligned(values, offset)
    before = tftvm.stats()
    for _ in range(2):
        np.testing.assert_array_equal(wrap(module["add1"])(x), values + np.float32(1))
    after = tftvm.stats()
    assert after["alignment_copies"] - before["alignment_copies"] == 2
    assert after["alignment_copied_bytes"] - before["alignment_copied_bytes"] == 2 * values.nbytes
    np.testing.assert_array_equal(x, values)
    assert not (wrap(addresses(2))(x, x).numpy() % 64).any()


def test_aligned_tensors_are_not_copied(run, module, addresses):
    before = tftvm.stats()
    run(module["add1"], np.ones(1003, np.float32))
    run(module["add2"], np.ones((0, 3), np.float32))
    assert tftvm.stats() == before
    x = _misaligned(np.ones(5, np.float32), 64)
    assert addresses(1)(x)[0] % 4096 == 64
    assert tftvm.stats() == before


def test_misaligned_shape_tensor(module):
    for dtype in (np.int32, np.int64):
        shape = _misaligned(np.array([3, 4], dtype), 8)
        pad = tf.function(lambda x, s: module.func("pad2", s, "float32")(x))
        np.testing.assert_array_equal(pad(tf.ones([3, 4]), shape), np.ones((3, 4)))


@pytest.mark.parametrize("memory_align", [64, 4096])
def test_inputs_are_not_modified_and_outputs_are_not_inputs(run, module, addresses, memory_align):
    x = np.arange(15, dtype=np.float32).reshape(3, 5)

    def call(x):
        x = x * 1.0  # a temporary, which TensorFlow may reuse
        return x, module.func("add2", memory_align=memory_align)(x)

    kept, y = run(call, x)
    np.testing.assert_array_equal(kept, x)
    np.testing.assert_array_equal(y, x + 1)
    function = addresses(1, memory_align=memory_align)
    source, target = run(lambda x: function(x + 1), np.zeros(2, np.int64))
    assert source != target


_CPU = ["cpu", "cpu:0", "/cpu:0", "CPU:0", "CPU", "/CPU:0", "/device:CPU:0", None]


@pytest.mark.parametrize("target_device", [*_CPU, "/job:localhost/replica:0/task:0/device:CPU:0"])
def test_target_device(run, module, target_device):
    function = module.func("add1", target_device=target_device)
    if not (target_device or "").startswith("/job"):  # TF1 sessions have another task
        np.testing.assert_array_equal(run(function, np.float32([1])), [2])
    assert tf.DeviceSpec.from_string(function(tf.zeros([1])).device).device_type == "CPU"
    with tf.Graph().as_default():
        device = function(tf.zeros([1])).device
        expected = "" if target_device is None else "/device:CPU:0"
        assert device.endswith(expected) and bool(device) == bool(expected)


def test_target_device_holds_against_device_scope(module):
    function = module.func("add1", target_device="cpu")
    with tf.Graph().as_default(), tf.device("/gpu:3"):
        assert function(tf.zeros([1])).device == "/device:CPU:0"
        assert module["add1"](tf.zeros([1])).device == "/device:GPU:3"


@pytest.mark.parametrize(
    "target_device",
    ["tpu9", "", 3, "openc", "opencl:x", "cpu:", "cpu:x", "cpu:-1", "gpu0", " cpu", "/cpu:0:1"],
)
def test_unknown_target_device(module, target_device):
    with pytest.raises(ValueError, match="(?s)'add1'.*'shapes.so'.*target_device") as raised:
        module.func("add1", target_device=target_device)
    assert repr(target_device) in str(raised.value) and "'cuda:1'" in str(raised.value)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
@pytest.mark.parametrize("target_device", ["gpu", "cuda", "cuda:1", "/gpu:0", "cpu:7"])
def test_target_device_that_is_not_there(module, target_device):
    """TensorFlow would place the op elsewhere without a word; but who names a device means it."""
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="(?is)add1.*[gc]pu"):
        module.func("add1", target_device=target_device)(tf.zeros([1]))
