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
"""Libraries that are missing, damaged, foreign or changed: an error that helps, never a crash."""

from __future__ import annotations

import gc
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tvm_ffi

import tensorflow_tvm as tftvm
from tensorflow_tvm import op_library, versions
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import run_python

_FUNCTION = 'extern "C" int __tvm_ffi_f(void*, const void*, int, void*) { return 0; }\n'

# Loads argv[1], damaged in each way that argv[2] lists, and prints how that ends. A line there is
# a size to cut to, or "offset:value" pairs. With a third argument nothing gets as far as to the
# dynamic loader, since no file can be written for it.
_LOAD_DAMAGED = """
import resource
import sys
import tensorflow as tf
import tensorflow_tvm as tftvm

content = open(sys.argv[1], "rb").read()
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for line in open(sys.argv[2]):
    print(line.strip(), end=" | ", flush=True)
    if ":" in line:
        damaged = bytearray(content)
        for pair in line.split():
            offset, value = map(int, pair.split(":"))
            damaged[offset] = value
    else:
        damaged = content[: int(line)]
    try:
        tftvm.Module(bytes(damaged))
        print("loaded")
    except tf.errors.OpError as error:
        print(type(error).__name__, error.message.replace(chr(10), " "))
"""


def _raises(error, *parts):
    return pytest.raises(error, match="(?s)" + ".*".join(parts))


def _refused(*parts):
    return _raises(tf.errors.InvalidArgumentError, *parts)


def _patched(path, target, offset, value):
    content = bytearray(Path(path).read_bytes())
    content[offset : offset + len(value)] = value
    target.write_bytes(content)
    return target


def _load_damaged(path, cases, tmp_path, *options):
    """Return how loading ends for each of `cases`, described at _LOAD_DAMAGED."""
    (tmp_path / "cases.txt").write_text("\n".join(map(str, cases)))
    done = run_python(_LOAD_DAMAGED, path, tmp_path / "cases.txt", *options)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"ended with {done.returncode} at {lines[-1:]}: {done.stderr}"
    assert len(lines) == len(cases)
    return [line.split(" | ", 1)[1] for line in lines]


def _headers(path):
    """The content, and where in it the ELF header, program headers and dynamic segment are."""
    content = Path(path).read_bytes()
    offset = struct.unpack_from("<Q", content, 32)[0]
    size, count = struct.unpack_from("<HH", content, 54)
    ranges = [range(64), range(offset, offset + size * count)]
    for i in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", content, offset + size * i)
        if kind == 2:  # PT_DYNAMIC
            ranges.append(range(start, start + length))
    return content, ranges


def _flip(content, offset, bit):
    return f"{offset}:{content[offset] ^ 1 << bit}"


def _addone(path, increment):
    return libraries.export(libraries.elementwise("addone", lambda x: x + float(increment)), path)


def _loaded():
    gc.collect()
    return tftvm.stats()["libraries"]


@pytest.mark.parametrize(
    "make",
    [
        str,
        Path,
        lambda path: Path(path).read_bytes(),
        lambda path: bytearray(Path(path).read_bytes()),
        lambda path: memoryview(Path(path).read_bytes()),
    ],
    ids=["str", "Path", "bytes", "bytearray", "memoryview"],
)
def test_forms_of_a_library(addone_path, make):
    module = tftvm.Module(make(addone_path))
    assert module.functions == ("addone",)
    np.testing.assert_array_equal(module["addone"]([1.0]), [2])


def test_missing_file(tmp_path, monkeypatch):
    with _raises(tf.errors.NotFoundError, "/none.so': there is no such file", "Give the path"):
        tftvm.Module(tmp_path / "none.so")
    with _raises(tf.errors.NotFoundError, "/none/lib.so': there is no such file"):
        tftvm.Module(tmp_path / "none" / "lib.so")
    monkeypatch.chdir(tmp_path)
    with _raises(tf.errors.NotFoundError, "'none.so': there is no such file", f"in.*{tmp_path}"):
        tftvm.Module("none.so")
    (tmp_path / "dangling.so").symlink_to("none.so")
    with _raises(tf.errors.NotFoundError, "'dangling.so': there is no such file"):
        tftvm.Module("dangling.so")


def test_bare_name_is_a_file_in_the_current_folder(addone_path, tmp_path, monkeypatch):
    shutil.copy(addone_path, tmp_path / "here.so")
    monkeypatch.chdir(tmp_path)
    for name in ("here.so", "./here.so", Path("here.so")):
        np.testing.assert_array_equal(tftvm.Module(name)["addone"]([1.0]), [2])


def test_folder(tmp_path):
    with _refused(f"'{tmp_path}': it is a folder"):
        tftvm.Module(tmp_path)


def test_file_in_a_file(addone_path):
    with _raises(
        (tf.errors.NotFoundError, tf.errors.FailedPreconditionError), "Cannot load library"
    ):
        tftvm.Module(os.path.join(addone_path, "lib.so"))


@pytest.mark.parametrize(
    "path, error", [("", ValueError), (None, TypeError), (3, TypeError), (["lib.so"], TypeError)]
)
def test_what_is_no_path(path, error):
    with _raises(error, "Expected", "library", f"given {path!r}|given {type(path).__name__}"):
        tftvm.Module(path)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "it is empty"),
        (b"\n", "it is not a shared library"),
        (b"def addone(x): return x + 1\n" * 99, "it is not a shared library"),
        (b"\x7fELF", "it is (not a shared library|truncated)"),
        (b"\x7fELF\x02\x01\x01" + bytes(9), "it is truncated"),
        (b"\x7fELF\x02\x01\x01" + bytes(57), "it is "),
        (b"\xff" * 9999, "it is not a shared library"),
    ],
)
def test_what_is_no_library(tmp_path, content, reason):
    (tmp_path / "bad.so").write_bytes(content)
    with _refused("Cannot load library 'bad.so'", reason):
        tftvm.Module(tmp_path / "bad.so")
    with _refused("Cannot load library '<bytes>'", reason):
        tftvm.Module(content)


def test_truncated_library(addone_path, tmp_path):
    size = os.path.getsize(addone_path)
    cuts = sorted({*range(200), *range(0, size, 41), size - 1})
    for size, ended in zip(cuts, _load_damaged(addone_path, cuts, tmp_path), strict=True):
        expected = "InvalidArgumentError Cannot load library '<bytes>': it is "
        assert ended.startswith(expected), (size, ended)
    whole = tmp_path / "cut.so"
    whole.write_bytes(Path(addone_path).read_bytes()[: size // 2])
    with _refused("'cut.so': it is truncated: its headers promise", f"the file has {size // 2}"):
        tftvm.Module(whole)


def test_flipped_bits_in_elf_header(addone_path, tmp_path):
    content, ranges = _headers(addone_path)
    cases = [_flip(content, offset, bit) for offset in ranges[0] for bit in range(8)]
    for case, ended in zip(cases, _load_damaged(addone_path, cases, tmp_path), strict=True):
        refused = "InvalidArgumentError Cannot load library '<bytes>': "
        assert ended == "loaded" or ended.startswith(refused), (case, ended)


@pytest.mark.parametrize("where", ["headers", "anywhere"])
def test_flipped_bits_before_the_loader_sees_them(addone_path, tmp_path, where):
    """Our own checks survive any damage; what passes them could still end the dynamic loader."""
    content, ranges = _headers(addone_path)
    if where == "headers":
        cases = [_flip(content, offset, bit) for r in ranges for offset in r for bit in range(8)]
    else:
        random = np.random.default_rng(20)
        cases = [
            " ".join(_flip(content, i, random.integers(8)) for i in random.choice(len(content), 40))
            for _ in range(3000)
        ]
    ended = _load_damaged(addone_path, cases, tmp_path, "without the loader")
    passed = ["cannot write a private copy" in how for how in ended]
    refused = [how.startswith("InvalidArgumentError Cannot load library") for how in ended]
    assert all(a != b for a, b in zip(passed, refused, strict=True))
    assert any(passed) and any(refused)


@pytest.mark.parametrize(
    "offset, value, reason",
    [
        (18, struct.pack("<H", 183), "it is built for AArch64, this process runs on x86-64"),
        (18, struct.pack("<H", 3), "it is built for 32-bit x86"),
        (18, struct.pack("<H", 40), "it is built for 32-bit Arm"),
        (18, struct.pack("<H", 243), "it is built for RISC-V"),
        (18, struct.pack("<H", 999), "it is built for machine number 999"),
        (4, b"\x01", "it is not a 64-bit little-endian library"),
        (5, b"\x02", "it is not a 64-bit little-endian library"),
        (16, struct.pack("<H", 1), "no shared library .an object file or a program"),
        (16, struct.pack("<H", 2), "no shared library .an object file or a program"),
        (16, struct.pack("<H", 4), "no shared library"),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the messages are those of x86-64")
def test_wrong_kind_of_library(addone_path, tmp_path, offset, value, reason):
    path = _patched(addone_path, tmp_path / "foreign.so", offset, value)
    with _refused("Cannot load library 'foreign.so'", reason):
        tftvm.Module(path)


@pytest.mark.parametrize(
    "kind, source, reason",
    [
        ("-c", _FUNCTION, r"no shared library .an object file.*export_library"),
        ("-no-pie", _FUNCTION + "int main() {}", r"no shared library .an object file or a program"),
        ("-pie", _FUNCTION + "int main() {}", "no TVM function|position-independent executable"),
        ("-shared", "int f() { return 1; }", "no TVM function .*__tvm_ffi_.*export_library"),
        ("-shared", "", "no TVM function"),
        (
            "-shared",
            _FUNCTION + 'extern "C" int TVMFFIFunctionCall() { return 0; }',
            "carries a copy of libtvm_ffi.*link it against libtvm_ffi.so instead",
        ),
    ],
)
def test_what_the_compiler_makes_else(tmp_path, kind, source, reason):
    path = libraries.compile_cc(source, tmp_path / "odd.so", kind=kind)
    with _refused("Cannot load library 'odd.so'", reason):
        tftvm.Module(path)


def test_exporting_program(tmp_path):
    path = libraries.compile_cc(
        _FUNCTION + "int main() {}", tmp_path / "odd.so", "-rdynamic", kind="-pie"
    )
    with _refused("Cannot load library 'odd.so'", "position-independent executable|a program"):
        tftvm.Module(path)


def test_undefined_symbol(tmp_path):
    source = _FUNCTION + 'extern "C" int no_such_helper(); int g() { return no_such_helper(); }'
    path = libraries.compile_cc(source, tmp_path / "odd.so")
    with _refused("Cannot load library 'odd.so'", "undefined symbol: no_such_helper"):
        tftvm.Module(path)


def test_missing_dependency(tmp_path):
    helper = libraries.compile_cc("int g() { return 1; }", tmp_path / "libgone_helper.so")
    source = _FUNCTION + "int g(); int h() { return g(); }"
    path = libraries.compile_cc(source, tmp_path / "odd.so", helper)
    os.remove(helper)
    with _refused("Cannot load library 'odd.so'", "libgone_helper.so"):
        tftvm.Module(path)


@pytest.mark.parametrize("name", ["tvm_ffi", "tvm_runtime"])
def test_runtime_libraries_are_refused(name):
    package, folder = ("tvm_ffi", "lib") if name == "tvm_ffi" else ("tvm", "lib")
    path = Path(sys.modules[package].__file__).parent / folder / f"lib{name}.so"
    before = Path("/proc/self/maps").read_text().count("memfd:")
    with _refused(f"Cannot load library 'lib{name}.so'", "copy of libtvm_ffi|no TVM function"):
        tftvm.Module(path)
    assert Path("/proc/self/maps").read_text().count("memfd:") == before
    assert tvm_ffi.get_global_func("tensorflow_tvm.stats") is not None


def test_refused_libraries_leave_nothing_behind(addone_path, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before, files = _loaded(), len(os.listdir("/proc/self/fd"))
    undefined = libraries.compile_cc(
        _FUNCTION + "int g(); int h() { return g(); }", tmp_path / "undefined.so"
    )
    for content in (b"", b"text", Path(undefined).read_bytes()):
        with pytest.raises(tf.errors.InvalidArgumentError):
            tftvm.Module(content)
    module = tftvm.Module(addone_path)
    assert [path.name for path in tmp_path.iterdir()] == ["undefined.so"]
    del module
    assert _loaded() == before
    assert len(os.listdir("/proc/self/fd")) == files


def test_digest(addone_path):
    module = tftvm.Module(addone_path)
    assert tftvm.Module(addone_path, digest=module.digest).digest == module.digest
    upper = "sha256:" + module.digest[7:].upper()
    assert tftvm.Module(addone_path, digest=upper).digest == module.digest
    other = "sha256:" + "0" * 64
    with _refused("addone.so", "changed or damaged", f"expected {other}", f"given {module.digest}"):
        tftvm.Module(addone_path, digest=other)


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "md5:0",
        "sha256:",
        "sha256:12",
        "sha256:" + "x" * 64,
        "sha256:" + "0" * 65,
        "0" * 64,
        3,
        b"sha256:",
    ],
)
def test_malformed_digest(addone_path, digest):
    with _raises((TypeError, ValueError), "sha256:", "given"):
        tftvm.Module(addone_path, digest=digest)


def test_missing_function(tmp_path):
    functions = [libraries.elementwise(name, lambda x: x + 1.0) for name in ("addone", "scale")]
    module = tftvm.Module(libraries.export(functions, tmp_path / "two.so"))
    for get in (module.__getitem__, lambda name: module.func(name, output_shape=[2])):
        with _raises(
            tf.errors.NotFoundError,
            "'two.so' has no function 'adone'",
            "addone, scale",
            "Did you mean 'addone'",
        ):
            get("adone")
        with pytest.raises(tf.errors.NotFoundError, match="'xyz'.*addone, scale") as raised:
            get("xyz")
        assert "Did you mean" not in raised.value.message
    for name in ("", "addone ", "__tvm_ffi_addone", "Addone"):
        with _raises(tf.errors.NotFoundError, f"no function '{name}'", "addone, scale"):
            module[name]
    for name in (None, 0, b"addone"):
        with _raises(TypeError, "name of a function", f"given {name!r}"):
            module[name]


def test_one_content_is_loaded_once(tmp_path):
    path = _addone(tmp_path / "a.so", 101)
    shutil.copy(path, tmp_path / "b.so")
    (tmp_path / "c.so").symlink_to("a.so")
    before = _loaded()
    modules = [tftvm.Module(tmp_path / name) for name in ("a.so", "b.so", "c.so")]
    modules.append(tftvm.Module(Path(path).read_bytes()))
    assert _loaded() == before + 1
    assert len({module.digest for module in modules}) == 1
    function = modules.pop()["addone"]
    modules.clear()
    assert _loaded() == before + 1
    np.testing.assert_array_equal(function([1.0]), [102])
    del function
    assert _loaded() == before


def test_one_function_name_in_two_libraries(run, tmp_path):
    one = tftvm.Module(_addone(tmp_path / "one.so", 1))["addone"]
    two = tftvm.Module(_addone(tmp_path / "two.so", 2))["addone"]
    x = np.float32([0, 5])
    a, b, both = run(lambda x: (one(x), two(x), one(two(x))), x)
    np.testing.assert_array_equal([a, b, both], [x + 1, x + 2, x + 3])


@pytest.mark.parametrize("in_place", [True, False])
def test_rewritten_file_gives_new_modules_new_code(run, tmp_path, in_place):
    path = tmp_path / "lib.so"
    _addone(path, 1)
    old = tftvm.Module(path)
    _addone(tmp_path / "new.so", 2)
    if in_place:
        path.write_bytes((tmp_path / "new.so").read_bytes())
    else:
        os.replace(tmp_path / "new.so", path)
    new = tftvm.Module(path)
    x = np.float32([1])
    for _ in range(2):
        np.testing.assert_array_equal(run(old["addone"], x), [2])
        np.testing.assert_array_equal(run(new["addone"], x), [3])
    assert old.digest != new.digest


@pytest.mark.parametrize(
    "change",
    [
        os.remove,
        lambda path: os.truncate(path, 0),
        lambda path: os.truncate(path, 100),
        lambda path: Path(path).write_bytes(bytes(99999)),
    ],
    ids=["deleted", "emptied", "truncated", "overwritten"],
)
def test_file_is_not_needed_once_the_module_is_made(run, tmp_path, change):
    module = tftvm.Module(_addone(tmp_path / "lib.so", 1))
    change(tmp_path / "lib.so")
    for _ in range(2):
        np.testing.assert_array_equal(run(module["addone"], np.float32([1])), [2])


def test_op_library_built_for_another_tensorflow(tmp_path):
    path = Path(tftvm.sysconfig.get_lib_path())
    op_library.check(path, tf.__version__)
    content = path.read_bytes()
    mark = b'tensorflow_tvm-build-info {"tensorflow": "'
    start = content.index(mark) + len(mark)
    version = content[start : content.index(b'"', start)]
    assert version.decode() == tf.__version__
    for given, fits in ((b"1.0" + b"0" * (len(version) - 3), False), (version[:-1] + b"9", True)):
        other = tmp_path / "ops.so"
        other.write_bytes(content[:start] + given + content[start + len(version) :])
        if fits:
            op_library.check(other, tf.__version__)
            continue
        with _raises(
            ImportError,
            f"{other} was built for TensorFlow {given.decode()}",
            f"TensorFlow {tf.__version__} is installed",
            "bazelw build",
        ):
            op_library.check(other, tf.__version__)


def test_what_is_no_op_library(addone_path, tmp_path):
    (tmp_path / "empty.so").write_bytes(b"")
    for path in (Path(addone_path), tmp_path / "empty.so"):
        with _raises(ImportError, f"{path} is not tensorflow_tvm's op library", "bazelw build"):
            op_library.check(path, tf.__version__)


def test_import_without_op_library(tmp_path):
    package = tmp_path / "tensorflow_tvm"
    shutil.copytree(
        Path(tftvm.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "tests", "cc")
    )
    code = "import sys; sys.path.insert(0, sys.argv[1]); import tensorflow_tvm"
    done = run_python(code, tmp_path)
    assert done.returncode == 1
    assert "ImportError: tensorflow_tvm's op library _tvm_dso_ops.so" in done.stderr
    assert "has not been built" in done.stderr
    assert "./bazelw build //tensorflow_tvm:ops" in done.stderr


@pytest.mark.parametrize(
    ("before", "messages"),
    [
        (
            "import tvm_ffi; tvm_ffi.__version__ = '0.2.0'",
            [
                "tensorflow_tvm needs apache-tvm-ffi>=0.1.14.post1,<0.1.16",
                "-ffi 0.2.0 is installed",
            ],
        ),
        (
            "import tensorflow; tensorflow.__version__ = '2.99.1'",
            [
                "was built for TensorFlow 2.",
                "TensorFlow 2.99.1 is installed",
                "pip install 'tensor",
            ],
        ),
        (
            "sys.modules['tensorflow'] = None",
            ["tensorflow_tvm needs TensorFlow, which cannot be imported", "'tensorflow-cpu==2."],
        ),
        (
            "sys.modules['tvm_ffi'] = None",
            ["needs the package apache-tvm-ffi, which cannot be imported", "pip install apache-t"],
        ),
    ],
    ids=["tvm-ffi", "TensorFlow", "no TensorFlow", "no tvm-ffi"],
)
def test_import_beside_what_it_cannot_run_with(before, messages):
    done = run_python(f"import sys\n{before}\nimport tensorflow_tvm")
    assert done.returncode == 1
    for message in messages:
        assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("0.1.13.post3", False),
        ("0.1.14.post0", False),
        ("0.1.14.post1", True),
        ("0.1.15.post2", True),
        ("0.1.15rc1", True),
        ("0.1.16.dev1", False),
        ("0.1.16", False),
    ],
)
def test_versions_of_tvm_ffi(version, fits, monkeypatch):
    monkeypatch.setattr(op_library.tvm_ffi, "__version__", version)
    if fits:
        op_library.check_tvm_ffi(versions.TVM_FFI, "It")
        return
    with _raises(ImportError, f"It needs apache-tvm-ffi{versions.TVM_FFI}", f"-ffi {version} is"):
        op_library.check_tvm_ffi(versions.TVM_FFI, "It")


def test_compiling_with_a_tvm_ffi_that_crashes_tvm(monkeypatch):
    monkeypatch.setattr(op_library.tvm_ffi, "__version__", "0.1.15.post2")
    with _raises(
        ImportError,
        "Compiling with apache-tvm 0.27.0.post1 needs apache-tvm-ffi==0.1.14.post1",
        "apache-tvm-ffi 0.1.15.post2 is installed",
    ):
        tftvm.build([])
