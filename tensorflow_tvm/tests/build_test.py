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
"""`build` and `export_library`: what they take, make and keep, and how they fail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
import tvm
import tvm_ffi
from tvm import relax, s_tir, te, tirx, topi
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests.subprocesses import check_python


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def targets(monkeypatch):
    """The targets of all that TVM is asked to compile."""
    found = []
    compile_ = tvm.compile

    def spy(module, target, *args, **kwargs):
        found.append(target)
        return compile_(module, target, *args, **kwargs)

    monkeypatch.setattr(tvm, "compile", spy)
    return found


def _tensors(factor=2.0, shape=None, name="x"):
    """`x` and `x * factor`: float32[n], if no shape is given."""
    x = te.placeholder(shape or (te.var("n"),), "float32", name=name)
    return [x, te.compute(x.shape, lambda *i: x(*i) * factor, name="y")]


def _prim_func(factor=2.0, symbol=None):
    function = te.create_prim_func(_tensors(factor))
    return function.with_attr("global_symbol", symbol) if symbol else function


@T.prim_func(s_tir=True)
def affine(
    x_: T.handle, slope: T.float32, shift: T.int64, positive: T.bool, y_: T.handle
):  # an op's attrs between its tensors
    n = T.int64()
    x = T.match_buffer(x_, (n,), "float32")
    y = T.match_buffer(y_, (n,), "float32")
    for i in range(n):
        with T.sblock("affine"):
            v = T.axis.spatial(n, i)
            y[v] = T.if_then_else(
                positive,
                T.max(x[v] * slope + T.Cast("float32", shift), T.float32(0)),
                x[v] * slope + T.Cast("float32", shift),
            )


def _check(function, factor=2.0):
    x = np.float32([1, -2, 3])
    np.testing.assert_array_equal(function(x), x * np.float32(factor))


# What can be built.


def test_tensors_become_main():
    module = tftvm.build(_tensors())
    assert module.functions == ("main",)
    assert module.name == "main"
    assert str(module.signature("main")) == "(x: float32[n]) -> (y: float32[n])"
    _check(module["main"])


@pytest.mark.parametrize("name", ["double", "_", "int", "main", "exp", "malloc", "x"])
def test_name(name):
    module = tftvm.build(_tensors(), name=name)
    assert module.functions == (name,)
    _check(module[name])


def test_placeholders_are_found():
    x, y = _tensors()
    for given in (y, [y], (y,), [y, x]):
        assert str(tftvm.build(given).signature("main")) == "(x: float32[n]) -> (y: float32[n])"


def test_order_of_placeholders_is_kept():
    n = te.var("n")
    a, b, c = (te.placeholder((n,), "float32", name=name) for name in "abc")
    y = te.compute((n,), lambda i: a[i] - b[i] * c[i], name="y")
    values = dict(zip("abc", np.float32([[5, 6], [2, 3], [4, 1]]), strict=True))
    expected = values["a"] - values["b"] * values["c"]
    for given, order in [
        ([a, b, c, y], "abc"),
        ([c, y, a, b], "cab"),
        ([y, b], "bac"),
        ([b, y, c], "bca"),
        ([y], "abc"),
    ]:
        module = tftvm.build(given)
        assert [argument.name for argument in module.signature("main").inputs] == list(order)
        result = module["main"](*(values[name] for name in order))
        np.testing.assert_array_equal(result, expected)


def test_placeholder_that_nothing_reads():
    x, y = _tensors()
    z = te.placeholder((3,), "int32", name="z")
    module = tftvm.build([z, x, y])
    assert str(module.signature("main")) == "(z: int32[3], x: float32[n]) -> (y: float32[n])"
    np.testing.assert_array_equal(module["main"]([1, 2, 3], [5.0]), [10])


def test_outputs_that_are_computed_from_each_other():
    x, y = _tensors()
    z = te.compute(y.shape, lambda i: y[i] + 1.0, name="z")
    module = tftvm.build([z, y])
    assert str(module.signature("main")) == "(x: float32[n]) -> (z: float32[n], y: float32[n])"
    first, second = module["main"]([1.0, 2.0])
    np.testing.assert_array_equal(first, [3, 5])
    np.testing.assert_array_equal(second, [2, 4])


def test_tensors_of_one_name():
    n = te.var("n")
    a, b = (te.placeholder((n,), "float32", name="n") for _ in range(2))
    module = tftvm.build([a, b, te.compute((n,), lambda i: a[i] - b[i], name="n")])
    assert len({argument.name for argument in module.signature("main").arguments}) == 3
    np.testing.assert_array_equal(module["main"]([5.0, 6.0], [1.0, 2.0]), [4, 4])


def test_no_inputs():
    module = tftvm.build(te.compute((3,), lambda i: i * 2, name="even"))
    assert str(module.signature("main")) == "() -> (even: int32[3])"
    np.testing.assert_array_equal(module["main"](), [0, 2, 4])


def test_function_of_a_packed_function():
    """What such a function writes cannot be seen; that the tensor is computed can."""
    x = te.placeholder((2, 4), "float32", name="x")
    module = tftvm.build([x, topi.sort(x, axis=1)])
    (output,) = module.signature("main").outputs
    assert (output.dtype, output.shape) == ("float32", (2, 4))
    x = np.float32([[3, 1, 2, 0], [1, 4, 3, 2]])
    np.testing.assert_array_equal(module["main"](x), np.sort(x, axis=1))


def test_prim_func_with_attrs(run):
    module = tftvm.build(affine)
    assert module.functions == ("affine",)
    signature = "(x: float32[n], slope: float, shift: int, positive: bool) -> (y: float32[n])"
    assert str(module.signature("affine")) == signature
    function = module["affine"]
    x = np.float32([1, -2, 3])
    result = run(lambda x: function(x, slope=2.0, shift=-1, positive=False), x)
    np.testing.assert_array_equal(result, [1, -5, 5])
    result = run(lambda x: function(x, slope=2.0, shift=-1, positive=True), x)
    np.testing.assert_array_equal(result, [1, 0, 5])
    with pytest.raises(TypeError, match="without its attr 'shift: int'"):
        function(x, slope=2.0, positive=False)


_ADD = """
@T.prim_func(s_tir=True)
def add(x: T.Buffer((2,), "int64"), name: T.{dtype}, y: T.Buffer((2,), "int64")):
    for i in range(2):
        with T.sblock("add"):
            v = T.axis.spatial(2, i)
            y[v] = x[v] + T.Cast("int64", name)
"""


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [
        ("int8", -128, 127),
        ("int16", -(2**15), 2**15 - 1),
        ("int32", -(2**31), 2**31 - 1),
        ("int64", -(2**63), 2**63 - 1),
        ("uint8", 0, 255),
        ("uint16", 0, 2**16 - 1),
        ("uint32", 0, 2**32 - 1),
        ("uint64", 0, 2**63 - 1),
    ],
)
def test_attrs_of_every_width(run, dtype, least, most):
    # An op's own keyword is called 'name', so that the attr has to be called something else.
    function = tftvm.build(tvm.script.from_source(_ADD.format(dtype=dtype)))["add"]
    assert str(function.signature) == "(x: int64[2], _name: int) -> (y: int64[2])"
    for value in (least, 0, 5, most):
        result = run(lambda x, value=value: function(x, _name=value), np.int64([0, 0]))
        np.testing.assert_array_equal(result, [value, value])
    for value in (least - 1, most + 1):
        if not -(2**63) <= value < 2**63:
            continue  # as for all attrs
        message = f"attr '_?name' must fit in {dtype}: from {least} to {most}\n.*_name={value}"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            run(lambda x, value=value: function(x, _name=value), np.int64([0, 0]))


def test_prim_func_by_its_name_and_by_another():
    assert tftvm.build(_prim_func(symbol="twice")).functions == ("twice",)
    assert tftvm.build(_prim_func(symbol="twice"), name="double").functions == ("double",)
    _check(tftvm.build({"double": _prim_func(symbol="twice")})["double"])


def test_loops_without_blocks():
    @T.prim_func(s_tir=True)
    def fill(x: T.Buffer((2, 3), "int32"), y: T.Buffer((3, 2), "int32")):
        for i, j in T.grid(3, 2):
            y[i, j] = x[j, i] * 10

    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    np.testing.assert_array_equal(tftvm.build(fill)["fill"](x), x.T * 10)


def test_outputs_alone():
    @T.prim_func(s_tir=True)
    def ones(x: T.Buffer((4,), "float32")):
        for i in range(4):
            x[i] = 1.0

    module = tftvm.build(ones)
    assert str(module.signature("ones")) == "() -> (x: float32[4])"
    np.testing.assert_array_equal(module["ones"](), np.ones(4))


def test_module_of_several_functions():
    functions = {"double": _prim_func(2.0, "double"), "triple": _prim_func(3.0, "triple")}
    module = tftvm.build(tvm.IRModule(functions))
    assert sorted(module.functions) == ["double", "triple"]
    for name, factor in (("double", 2), ("triple", 3)):
        assert str(module.signature(name)) == "(x: float32[n]) -> (y: float32[n])"
        _check(module[name], factor)


def test_module_of_functions_from_te():
    """`te.create_prim_func` calls each of them main; the module says what they are called."""
    module = tftvm.build(tvm.IRModule({"double": _prim_func(2.0), "triple": _prim_func(3.0)}))
    assert sorted(module.functions) == ["double", "triple"]
    _check(module["double"], 2)
    _check(module["triple"], 3)


def test_module_of_one_function_by_name():
    module = tvm.IRModule({"double": _prim_func(symbol="double")})
    assert tftvm.build(module, name="twice").functions == ("twice",)
    assert tftvm.build({"twice": module}).functions == ("twice",)


def test_schedule():
    schedule = s_tir.Schedule(_prim_func(symbol="double"))
    schedule.parallel(schedule.get_loops("y")[0])
    for module in (tftvm.build(schedule), tftvm.build({"double": schedule})):
        assert module.functions == ("double",)
        _check(module["double"])
    assert tftvm.build(schedule, name="twice").functions == ("twice",)


def test_dict_of_all_kinds(tmp_path):
    given = {
        "tensors": _tensors(2.0),
        "tensor": _tensors(3.0)[1],
        "prim_func": _prim_func(4.0),
        "module": tvm.IRModule({"other": _prim_func(5.0)}),
        "schedule": s_tir.Schedule(_prim_func(6.0)),
    }
    tftvm.export_library(given, tmp_path / "all.so", target="llvm")
    for module in (tftvm.build(given), tftvm.Module(tmp_path / "all.so")):
        assert sorted(module.functions) == sorted(given)
        for factor, name in enumerate(given, 2):
            _check(module[name], factor)


@pytest.mark.parametrize(
    "size",
    [
        lambda n: n + 1,
        lambda n: n * 2,
        lambda n: tirx.floordiv(n, 2),
        lambda n: tirx.floordiv(n + 2, 3),
        lambda n: tirx.truncdiv(n, 2),
        lambda n: tirx.floormod(n, 3),
        lambda n: tirx.min(n, 4),
        lambda n: tirx.max(n - 5, 2),
        lambda n: (n + 1) * (n + 2) - n * 3,
    ],
    ids=["n+1", "2*n", "n//2", "(n+2)//3", "n/2", "n%3", "min", "max", "product"],
)
def test_sizes_that_are_computed(size):
    x, _ = _tensors()
    y = te.compute((size(x.shape[0]),), lambda i: i, name="y")
    function = tftvm.build([x, y])["main"]
    for n in (0, 1, 4, 9):
        evaluated = size(tirx.IntImm("int32", n))
        expected = int(tvm.sym.Analyzer().simplify(evaluated))
        np.testing.assert_array_equal(function(tf.zeros([n])), np.arange(expected))


# Signatures in libraries.


def test_signature_is_in_the_library(tmp_path):
    path = tmp_path / "affine.so"
    tftvm.export_library({"affine": affine, "double": _tensors()}, path)
    library = tvm_ffi.load_module(str(path))
    metadata = library.get_function_metadata("affine")
    signature = "(x: float32[n], slope: float, shift: int, positive: bool) -> (y: float32[n])"
    assert metadata["tensorflow_tvm"]["signature"] == signature
    assert "ffi.Function" in metadata["type_schema"]
    assert str(tftvm.Module(path).signature("affine")) == signature
    other = library.get_function_metadata("double")["tensorflow_tvm"]["signature"]
    assert other == str(tftvm.Module(path).signature("double"))


def test_library_in_a_process_without_tvm(tmp_path):
    path = tmp_path / "double.so"
    tftvm.export_library({"double": _tensors()}, path, target="llvm")
    printed = check_python(
        """
        import sys
        sys.modules["tvm"] = None
        import tensorflow_tvm as tftvm
        print(tftvm.Module(sys.argv[1])["double"]([1.0, 2.0]).numpy())
        try:
            tftvm.build([])
        except ImportError as error:
            print(error)
        """,
        path,
    )
    assert printed.startswith("[2. 4.]\nCompiling needs apache-tvm, which cannot be imported")
    assert "pip install apache-tvm" in printed


@pytest.mark.parametrize("as_string", [True, False])
def test_export_replaces_a_file(tmp_path, as_string):
    path = tmp_path / "double.so"
    path.write_text("something else, which is longer than nothing")
    tftvm.export_library(_tensors(), str(path) if as_string else path, name="double")
    _check(tftvm.Module(path)["double"])


def test_export_where_nothing_can_be_written(tmp_path):
    with pytest.raises(tf.errors.NotFoundError):
        tftvm.export_library(_tensors(), tmp_path / "none" / "double.so")


# Targets.


def test_host_is_this_processor(cache, targets):
    tftvm.build(_tensors())
    tftvm.export_library(_tensors(3.0), cache / "triple.so")
    assert [target.kind.name for target in targets] == ["llvm", "llvm"]
    for target in targets:
        assert str(target.attrs["mcpu"]) == tvm.target.codegen.llvm_get_system_cpu()
        assert int(target.attrs["num-cores"]) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "target",
    [
        "host",
        "llvm",
        "c",
        {"kind": "llvm"},
        {"kind": "llvm", "mcpu": "x86-64-v2"},
        tvm.target.Target("llvm"),
    ],
    ids=str,
)
def test_targets(cache, targets, target):
    _check(tftvm.build(_tensors(), target)["main"])
    (compiled,) = targets
    kind = target.kind.name if isinstance(target, tvm.target.Target) else str(target)
    assert compiled.kind.name == ("c" if kind == "c" else "llvm")
    if isinstance(target, dict) and "mcpu" in target:
        assert str(compiled.attrs["mcpu"]) == target["mcpu"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nonsense", "target 'nonsense' is not known.*'host', llvm, c, cuda"),
        ("", "target '' is not known"),
        ("llvm -mcpu=skylake", "is not known.*no longer supported.*{'kind': 'llvm', 'mcpu'"),
        ({"foo": 1}, 'is not known.*"kind" is not found'),
        ({"kind": "llvm", "mcpu": "z80"}, "LLVM knows no processor 'z80'.*target='host' is that"),
        ("vulkan", "for no device that TensorFlow has, .*possible are llvm, c, cuda"),
        ("opencl", "for no device that TensorFlow has"),
        ({"kind": "llvm", "mattr": ["+nonsense"]}, "LLVM knows no feature '\\+nonsense'"),
        ({"kind": "llvm", "mattr": ["avx2"]}, "LLVM knows no feature 'avx2'"),
    ],
)
def test_targets_that_cannot_be(target, message):
    with pytest.raises(ValueError, match=message) as caught:
        tftvm.build(_tensors(), target)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("target", [None, 5, b"llvm", {"llvm"}], ids=repr)
def test_what_is_no_target(target):
    with pytest.raises(
        TypeError, match="target must be 'host', the name of a TVM target or a dict"
    ):
        tftvm.build(_tensors(), target)


# The cache.


def _libraries(cache):
    return sorted(file.name for file in cache.iterdir())


def _processor_of_another_kind():
    """A processor that LLVM knows, and what it has and this one has not."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = next(line for line in file if line.startswith("flags")).split()
    processors = {"bdver4": ("fma4", "fma4"), "sapphirerapids": ("amx-tile", "amx_tile")}
    return next((cpu, name) for cpu, (name, flag) in processors.items() if flag not in flags)


def test_a_library_for_another_processor_is_refused(tmp_path):
    cpu, feature = _processor_of_another_kind()
    for target, kept in (
        ({"kind": "llvm", "mcpu": cpu}, False),
        ({"kind": "llvm", "mattr": [f"+{feature}"]}, False),
        ("host", True),
        ("llvm", True),
    ):
        path = tmp_path / "library.so"
        tftvm.export_library(_tensors(), path, target=target, name="addone")
        if kept:
            assert tftvm.Module(path)["addone"]([1.0]).numpy() == [2.0]
            continue
        expected = f"compiled for processors that have .*{feature}.*, which this one has not"
        with pytest.raises(tf.errors.FailedPreconditionError, match=expected):
            tftvm.Module(path)


def test_second_build_is_not_compiled(cache, targets):
    _check(tftvm.build(_tensors())["main"])
    (library,) = _libraries(cache)
    assert library.endswith(".so")
    _check(tftvm.build(_tensors())["main"])
    tftvm.export_library(_tensors(), cache.parent / "exported.so")
    _check(tftvm.Module(cache.parent / "exported.so")["main"])
    assert len(targets) == 1
    assert _libraries(cache) == [library]


def test_whatever_matters_makes_another_build(cache, targets):
    schedule = s_tir.Schedule(_prim_func())
    schedule.parallel(schedule.get_loops("y")[0])
    builds = [
        lambda: tftvm.build(_tensors()),
        lambda: tftvm.build(_tensors(3.0)),
        lambda: tftvm.build(_tensors(), name="other"),
        lambda: tftvm.build(_tensors(name="z")),
        lambda: tftvm.build(_tensors(shape=(3,))),
        lambda: tftvm.build(_tensors(), "llvm"),
        lambda: tftvm.build(_tensors(), {"kind": "llvm", "mcpu": "x86-64-v2"}),
        lambda: tftvm.build(schedule),
        lambda: tftvm.build({"main": _tensors(), "other": _tensors()}),
    ]
    digests = [build().digest for build in builds]
    assert len(targets) == len(builds)
    assert len(_libraries(cache)) == len(builds)
    assert [build().digest for build in builds] == digests
    assert len(targets) == len(builds)


def test_without_a_cache(monkeypatch, targets):
    monkeypatch.setenv("TENSORFLOW_TVM_CACHE_DIR", "")
    for _ in range(2):
        _check(tftvm.build(_tensors())["main"])
    assert len(targets) == 2


def test_failures_are_not_kept(cache, targets, monkeypatch):
    compile_ = tvm.compile

    def fail(*args, **kwargs):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(tvm, "compile", fail)
    with pytest.raises(ValueError, match="Cannot build TVM function 'main': on purpose"):
        tftvm.build(_tensors())
    assert _libraries(cache) == []
    monkeypatch.setattr(tvm, "compile", compile_)
    _check(tftvm.build(_tensors())["main"])


_OTHER_PROCESS = """
import sys
import numpy as np
import tensorflow_tvm as tftvm
import tvm
from tvm import te

def compile(*args, **kwargs):
    raise AssertionError("it is in the cache")

if sys.argv[1] == "cached":
    tvm.compile = compile

@tftvm.op
def double(x):
    return te.compute(x.shape, lambda i: x[i] * 2.0)

@tftvm.op(shapes=["n d", "d"])
def scale(x, w, factor=1.0):
    return te.compute(x.shape, lambda i, j: x[i, j] * w[j] * factor)

x = te.placeholder((te.var("n"),), "float32", name="x")
print(double([1.0, 2.0]).numpy().tolist())
print(scale([[1.0, 2.0]], [3.0, 4.0], factor=2.0).numpy().tolist())
print(tftvm.build(te.compute(x.shape, lambda i: x[i] + 1.0))["main"]([1.0]).numpy().tolist())
"""


def test_second_process_does_not_compile(cache):
    expected = "[2.0, 4.0]\n[[6.0, 16.0]]\n[2.0]\n"
    assert check_python(_OTHER_PROCESS, "empty") == expected
    libraries = _libraries(cache)
    assert len(libraries) == 3
    # There is no compiler either.
    env = {"PATH": "/nonexistent", "CXX": "", "PYTHONHASHSEED": "7"}
    assert check_python(_OTHER_PROCESS, "cached", env=env) == expected
    assert _libraries(cache) == libraries


@pytest.mark.parametrize("cxx", ["", "/nonexistent/g++"])
def test_no_compiler(cache, cxx):
    printed = check_python(
        """
        import os, sys
        os.environ.pop("CC", None)
        os.environ.pop("CXX", None)
        if sys.argv[1]:
            os.environ["CXX"] = sys.argv[1]
        import tensorflow_tvm as tftvm
        from tvm import te
        x = te.placeholder((4,), "float32", name="x")
        try:
            tftvm.build([x, te.compute((4,), lambda i: x[i])], name="copy")
        except Exception as error:
            print(type(error).__name__, error)
        """,
        cxx,
        env={"PATH": "/nonexistent"},
    )
    assert printed.startswith("ValueError Cannot build TVM function 'copy': ")
    assert len(printed.splitlines()) <= 3
    assert _libraries(cache) == []
    assert "install g++" in printed


def test_progress_of_a_slow_build(cache, monkeypatch, capsys):
    """It says so after a second; the build goes on when the line has been seen."""
    seen = threading.Event()
    compile_ = tvm.compile

    class Stderr:
        text = ""

        def write(self, text):
            self.text += text
            if "compiling" in self.text and "\n" in self.text:
                seen.set()

        def flush(self):
            pass

    def wait(*args, **kwargs):
        assert seen.wait(60)
        return compile_(*args, **kwargs)

    stderr = Stderr()
    with monkeypatch.context() as patch:
        patch.setattr(tvm, "compile", wait)
        patch.setattr(sys, "stderr", stderr)
        tftvm.build({"double": _tensors(2.0), "triple": _tensors(3.0)}, "llvm")
    first, second = stderr.text.splitlines()
    assert first == "tensorflow_tvm: compiling double, triple for llvm …"
    assert second.startswith("tensorflow_tvm: compiled double, triple in ")
    assert second.endswith(" s")


def test_fast_builds_are_silent(cache, capfd):
    tftvm.build(_tensors())
    tftvm.build(_tensors())
    assert "tensorflow_tvm" not in capfd.readouterr().err


# Failures.


@pytest.mark.parametrize(
    "obj",
    [None, 5, "x", [], (), lambda x: x, np.ones(2), tf.ones(2), [5], [_tensors()[0], 5]],
    ids=lambda obj: type(obj).__name__,
)
def test_what_cannot_be_built(obj):
    expected = "expected TE tensors, a tirx.PrimFunc, an IRModule, a Schedule, or a dict from names"
    with pytest.raises(TypeError, match=f"Given {type(obj).__name__}; {expected}"):
        tftvm.build(obj)
    with pytest.raises(TypeError, match=f"'double' is {type(obj).__name__}; {expected}"):
        tftvm.build({"double": obj})


@pytest.mark.parametrize("empty", [{}, tvm.IRModule({})], ids=["dict", "IRModule"])
def test_no_functions(empty):
    with pytest.raises(ValueError, match="There is no function to compile"):
        tftvm.build(empty)


def test_only_placeholders():
    x, _ = _tensors()
    for given in (x, [x], {"f": [x]}):
        with pytest.raises(ValueError, match="All of the TE tensors are placeholders"):
            tftvm.build(given)


def test_function_that_is_no_prim_func():
    @tvm.script.ir_module
    class module:  # noqa: N801
        @T.prim_func(s_tir=True)
        def f(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
            for i in range(4):
                y[i] = x[i]

    assert tftvm.build(module).functions == ("f",)
    module["g"] = relax.ExternFunc("g")
    with pytest.raises(TypeError, match="Function 'g' of the module is a .*; only PrimFuncs"):
        tftvm.build(module)


@pytest.mark.parametrize("name", ["f-1", "1a", "a b", "größe", "a.b", 5], ids=str)
def test_names_that_are_no_identifiers(name):
    with pytest.raises(ValueError, match="name of a function must be an identifier, given "):
        tftvm.build({name: _tensors()})
    if isinstance(name, str):
        with pytest.raises(ValueError, match="name of a function must be an identifier, given "):
            tftvm.build(_tensors(), name=name)


@pytest.mark.parametrize("name", ["_library_ctx", "_library_bin", "_metadata_f", "_doc_f"])
def test_names_that_tvm_ffi_keeps(name):
    with pytest.raises(ValueError, match=f"cannot be called '{name}': tvm-ffi keeps names"):
        tftvm.build({name: _tensors()})
    assert tftvm.build({"_lib": _tensors()}).functions == ("_lib",)


def test_name_for_several():
    with pytest.raises(ValueError, match="the keys of a dict are names already"):
        tftvm.build({"double": _tensors()}, name="twice")
    module = tvm.IRModule({"a": _prim_func(2.0, "a"), "b": _prim_func(3.0, "b")})
    with pytest.raises(ValueError, match="'f' stands for one function, and the module has 2: a, b"):
        tftvm.build(module, name="f")
    with pytest.raises(ValueError, match="'f' stands for one function, and the module has 2: a, b"):
        tftvm.build({"f": module})


@pytest.mark.parametrize("dtype", ["int4", "float8_e3m4", "float4_e2m1fn"])
def test_dtype_that_no_op_can_take(dtype):
    x = te.placeholder((4,), dtype, name="x")
    with pytest.raises(ValueError, match=f"'x' has dtype {dtype}; an op can take bool, int8") as e:
        tftvm.build([x, te.compute((4,), lambda i: x[i])])
    assert str(e.value).startswith("Cannot build TVM function 'main': its argument")


def test_sizes_that_no_input_tells():
    n = te.var("n")
    message = "symbol 'n' in .* is no dimension of any input"
    with pytest.raises(ValueError, match=message):
        tftvm.build(te.compute((n,), lambda i: i))
    x = te.placeholder((n * 2,), "float32", name="x")
    with pytest.raises(ValueError, match=message):
        tftvm.build(te.compute((n,), lambda i: x[i]))


def test_size_that_no_signature_can_say():
    x = te.placeholder((te.var("n"),), "float32", name="x")
    shape = (tirx.if_then_else(x.shape[0] > 2, x.shape[0], 1),)
    with pytest.raises(ValueError, match="a signature cannot say the size .*it can say integers"):
        tftvm.build(te.compute(shape, lambda i: i))


def test_function_that_writes_nothing():
    @T.prim_func(s_tir=True)
    def nothing(x: T.Buffer((4,), "float32")):
        T.evaluate(0)

    with pytest.raises(ValueError, match="function 'nothing': it writes none of its arguments"):
        tftvm.build(nothing)


def test_function_that_changes_its_input():
    @T.prim_func(s_tir=True)
    def increment(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
        for i in range(4):
            x[i] = x[i] + 1.0
            y[i] = x[i]

    with pytest.raises(ValueError, match="'x'"):
        tftvm.build(increment)


def test_the_function_that_fails_is_named():
    bad = te.placeholder((4,), "int4", name="bad")
    with pytest.raises(ValueError, match="Cannot build TVM function 'second': "):
        tftvm.build({"first": _tensors(), "second": te.compute((4,), lambda i: bad[i])})


def _check_message(message):
    assert "Traceback" not in message
    assert "Stack trace" not in message
    assert ".cc" not in message
    assert len(message.splitlines()) <= 13


def test_failure_of_tvm(cache):
    schedule = s_tir.Schedule(_prim_func())
    schedule.unroll(schedule.get_loops("y")[0])
    with pytest.raises(ValueError) as caught:
        tftvm.build(schedule, name="broken")
    message = str(caught.value)
    assert message.startswith("Cannot build TVM function 'broken': ")
    assert "Cannot unroll non-constant loop" in message
    _check_message(message)


def test_long_messages_are_cut(cache, monkeypatch):
    def fail(*args, **kwargs):
        lines = [f"line {i}" for i in range(40)]
        raise RuntimeError("\n".join([*lines, "Stack trace:", "  0: tvm::secret()"]))

    monkeypatch.setattr(tvm, "compile", fail)
    with pytest.raises(ValueError) as caught:
        tftvm.build(_tensors(), name="broken")
    message = str(caught.value)
    assert message.startswith("Cannot build TVM function 'broken': line 0\nline 1\n")
    assert "line 20" not in message
    _check_message(message)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("marker", ["Traceback (most recent call last):", "Stack trace:"])
def test_traces_are_cut(cache, monkeypatch, marker):
    def fail(*args, **kwargs):
        raise RuntimeError(f"what went wrong\n{marker}\n  somewhere.cc")

    monkeypatch.setattr(tvm, "compile", fail)
    with pytest.raises(ValueError) as caught:
        tftvm.build(_tensors())
    assert str(caught.value).startswith("Cannot build TVM function 'main': what went wrong")
    _check_message(str(caught.value))


def test_failure_of_the_c_compiler(cache, monkeypatch):
    def fail(*args, **kwargs):
        raise subprocess.CalledProcessError(1, "g++", stderr="no space left")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ValueError, match="the C compiler failed: no space left"):
        tftvm.build(_tensors())


def test_conditions_that_tvm_leaves_out():
    x = te.placeholder((8,), "float32", name="x")
    k = te.reduce_axis((0, 8), name="k")
    y = te.compute((1,), lambda i: te.sum(x[k], axis=k, where=k < 3), name="y")
    with pytest.raises(ValueError, match="the reduction 'y' has where=k < 3, which TVM leaves out"):
        tftvm.build([x, y], name="f")
