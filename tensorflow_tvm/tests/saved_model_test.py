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
"""Graphs carry the libraries they call: they run in fresh processes, without file and apache-tvm.

Such a process has tensorflow, apache-tvm-ffi and this package; see `check_without_tvm`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tvm import te, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm.__main__ import main
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import run_python

VECTOR = tf.TensorSpec([None], tf.float32, name="x")


@pytest.fixture
def library(tmp_path):
    """The path of a library that the test may delete."""
    functions = [
        libraries.elementwise("addone", lambda x: x + 1.0),
        libraries.elementwise("double", lambda x: x * 2.0),
    ]
    return libraries.export(functions, tmp_path / "library.so")


def _save(function, folder, *specs, **options):
    """Save a model whose `call` is `function`, and move it to another folder, which is returned."""
    model = tf.Module()
    model.call = tf.function(function, input_signature=specs or [VECTOR], **options)
    tf.saved_model.save(model, f"{folder}_as_saved")
    return shutil.move(f"{folder}_as_saved", str(folder))


def _copies(folder, content):
    return sum(path.read_bytes().count(content) for path in Path(folder).rglob("*.*"))


def test_saved_model_of_a_bare_function(library, tmp_path, check_without_tvm):
    addone = tftvm.Module(library)["addone"]
    folder = _save(lambda x: addone(x), tmp_path / "model")
    os.remove(library)
    output = check_without_tvm(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        loaded = tf.saved_model.load(sys.argv[1])
        print(loaded.call(tf.constant([1.0, 2.0])).numpy().tolist())
        """,
        folder,
    )
    assert output.strip() == "[2.0, 3.0]"


def test_what_was_loaded_is_saved_again_and_again(library, tmp_path, check_without_tvm):
    # A gradient in Python, which no node holds, and which is not that of x + 1.
    addone = tftvm.Module(library)["addone"].with_gradient(lambda x, y, dy: 5.0 * dy)
    content = Path(library).read_bytes()
    folder = _save(lambda x: addone(x), tmp_path / "model0")
    os.remove(library)
    for i in range(1, 3):
        folder_again = str(tmp_path / f"model{i}")
        output = check_without_tvm(
            """
            import sys
            import tensorflow as tf
            import tensorflow_tvm
            loaded = tf.saved_model.load(sys.argv[1])
            if sys.argv[3] == "called":
                loaded.call(tf.constant([0.0]))
            tf.saved_model.save(loaded, sys.argv[2])
            again = tf.saved_model.load(sys.argv[2])
            x = tf.constant([3.0])
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = again.call(x)
            print(y.numpy().tolist(), tape.gradient(y, x).numpy().tolist())
            """,
            folder,
            folder_again,
            "called" if i == 1 else "as it was",
        )
        assert output.strip() == "[4.0] [5.0]"
        shutil.rmtree(folder)
        folder = folder_again
        assert _copies(folder, content) == 1


def test_a_process_that_has_not_the_op_says_so(library, tmp_path):
    addone = tftvm.Module(library)["addone"]
    folder = _save(lambda x: addone(x), tmp_path / "model")
    process = run_python(
        "import sys, tensorflow as tf; tf.saved_model.load(sys.argv[1])",
        folder,
    )
    assert process.returncode == 1
    assert "Op type not registered 'TVM>DSOOp'" in process.stderr


def test_library_that_needs_the_runtime_says_so(tmp_path, folders_without_tvm):
    x = te.placeholder((te.var("n"), 16), "float32", name="x")
    argsort = libraries.prim_func("argsort", [x, topi.argsort(x, axis=1, dtype="int32")])
    path = libraries.export(argsort, tmp_path / "argsort.so")
    argsort = tftvm.Module(path).func("argsort", output_dtype="int32")
    matrix = tf.TensorSpec([None, 16])
    sorting = _save(lambda x: argsort(x), tmp_path / "sorting", matrix)
    # What its tasks wait at for each other is TVM's.
    barrier = 'extern "C" { void* __TVMBackendParallelBarrier = nullptr; }'
    path = libraries.compile_cc(libraries.PROBES + barrier, tmp_path / "waiting.so")
    count = tftvm.Module(path).func("count", output_shape=[1], output_dtype="int64", stateful=True)
    waiting = _save(lambda x: count(x), tmp_path / "waiting", matrix)
    code = """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        x = tf.constant([[float(15 - i) for i in range(16)]])
        for folder in sys.argv[1:]:
            loaded = tf.saved_model.load(folder)
            try:
                print(loaded.call(x).numpy().tolist())
            except tf.errors.OpError as error:
                print(type(error).__name__, error.message.replace(chr(10), " "))
        print("libtvm_runtime" in open("/proc/self/maps").read())
        """
    for path, there in ((None, True), (folders_without_tvm, False)):
        process = run_python(code, sorting, waiting, path=path)
        assert process.returncode == 0, process.stderr[-4000:]
        *lines, has_runtime = process.stdout.splitlines()
        assert has_runtime == str(there)
        if there:
            assert lines == [str([list(range(15, -1, -1))]), "[1]"]
            continue
        assert lines[0].startswith("FailedPreconditionError")
        assert "'argsort' of library 'argsort.so'" in lines[0]
        assert (
            "The TVM runtime, which may have it, is not installed: pip install 'tensorflow_tvm[comp"
            in lines[0]
        )
        assert lines[1].startswith("FailedPreconditionError")
        assert "Cannot load library 'waiting.so': the TVM runtime (libtvm_runtime.so)" in lines[1]
        assert "Install it: pip install 'tensorflow_tvm[compiler]'" in lines[1]


class _Scale(tf.Module):
    """Multiplies by a variable."""

    def __init__(self, multiply, size):
        super().__init__()
        self.w = tf.Variable(tf.ones([size]))
        self._multiply = multiply

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def call(self, x):
        return self._multiply(x, self.w)


def _multiply(path):
    """Compile x * w and its gradient."""
    n = te.var("n")
    x, w, y, dy = (te.placeholder((n,), name=name) for name in ("x", "w", "y", "dy"))
    multiply = [x, w, te.compute((n,), lambda i: x[i] * w[i], name="z")]
    dx = te.compute((n,), lambda i: w[i] * dy[i], name="dx")
    dw = te.compute((n,), lambda i: x[i] * dy[i], name="dw")
    gradient = [x, w, y, dy, dx, dw]
    tftvm.export_library({"multiply": multiply, "gradient": gradient}, path, "llvm")
    return tftvm.Module(path)


@pytest.mark.parametrize("in_another_library", [False, True])
def test_fine_tuning(in_another_library, tmp_path, check_without_tvm):
    path = tmp_path / "library.so"
    module = _multiply(path)
    gradient = "gradient"
    if in_another_library:
        gradient = tftvm.Module(path.read_bytes() + b"another")["gradient"]
    model = _Scale(module.func("multiply", gradient=gradient), 4)
    folder = str(tmp_path / "model")
    tf.saved_model.save(model, folder)
    assert _copies(folder, path.read_bytes()) == 1 + in_another_library
    path.unlink()
    trained, losses = [1.0] * 4, []
    for _ in range(2):  # the second process goes on where the first has stopped
        output = check_without_tvm(
            """
            import json, sys
            import numpy as np
            import tensorflow as tf
            import tensorflow_tvm
            generator = np.random.default_rng(0)
            xs = generator.normal(size=[8, 4]).astype("float32")
            ys = xs * np.float32([3.0, -1.0, 0.5, 2.0])

            def train(call, w):
                losses = []
                for x, y in zip(xs, ys):
                    with tf.GradientTape() as tape:
                        loss = tf.reduce_mean((call(tf.constant(x)) - y) ** 2)
                    w.assign_sub(0.5 * tape.gradient(loss, w))
                    losses.append(float(loss))
                return losses

            model = tf.saved_model.load(sys.argv[1])
            w = tf.Variable(model.w)
            before = w.numpy().tolist()
            losses = train(model.call, model.w)
            np.testing.assert_allclose(losses, train(lambda x: x * w, w), rtol=1e-4)
            np.testing.assert_allclose(model.w, w, rtol=1e-4)
            tf.saved_model.save(model, sys.argv[2])
            print(json.dumps([before, losses, model.w.numpy().tolist()]))
            """,
            folder,
            f"{folder}_again",
        )
        before, losses_now, after = json.loads(output)
        assert before == trained
        trained = after
        losses += losses_now
        folder += "_again"
    assert losses[-1] < losses[0] / 10


def test_saved_model_in_a_tf1_session(tmp_path, check_without_tvm):
    path = tmp_path / "library.so"
    model = _Scale(_multiply(path).func("multiply", gradient="gradient"), 2)
    model.w.assign([3.0, 4.0])
    folder = str(tmp_path / "model")
    tf.saved_model.save(model, folder)
    path.unlink()
    output = check_without_tvm(
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
    assert output.strip() == "[3.0, 8.0]"


def _import_and_run(arguments, run):
    """Run a GraphDef, given its file and the name of what it computes, by `run(code, *args)`."""
    return run(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        graph_def = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            (y,) = tf.import_graph_def(graph_def, return_elements=[sys.argv[2]], name="")
            print(session.run(y, {"x:0": [1.0, 2.0]}).tolist())
        """,
        *arguments,
    )


def test_frozen_graph(tmp_path, check_without_tvm):
    path = tmp_path / "library.so"
    model = _Scale(_multiply(path)["multiply"], 2)
    model.w.assign([3.0, 4.0])
    content = path.read_bytes()
    frozen = convert_variables_to_constants_v2(model.call.get_concrete_function())
    graph_def = frozen.graph.as_graph_def()
    assert not [node for node in graph_def.node if node.op in ("VarHandleOp", "ReadVariableOp")]
    frozen_path = tmp_path / "frozen.pb"
    frozen_path.write_bytes(graph_def.SerializeToString())
    assert frozen_path.read_bytes().count(content) == 1
    path.unlink()
    arguments = [str(frozen_path), frozen.outputs[0].name]
    assert _import_and_run(arguments, check_without_tvm).strip() == "[3.0, 8.0]"


def test_bodies_of_loops_and_of_datasets(library, tmp_path, check_without_tvm):
    addone = tftvm.Module(library)["addone"]

    def call(x):
        y = tf.map_fn(lambda element: addone(element[None])[0], x)
        for _ in tf.range(3):
            y = addone(y)
        y = tf.cond(tf.reduce_sum(y) > 0, lambda: addone(y), lambda: y)
        total = tf.zeros([1])
        for element in tf.data.Dataset.from_tensor_slices(x).map(lambda x: addone(x[None])):
            total += element
        return y + total

    folder = _save(call, tmp_path / "model")
    function = tf.function(call, input_signature=[VECTOR])
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    path = tmp_path / "frozen.pb"
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    assert _copies(folder, Path(library).read_bytes()) == 1
    assert path.read_bytes().count(Path(library).read_bytes()) == 1
    os.remove(library)
    output = check_without_tvm(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        folder, path, name = sys.argv[1:]
        loaded = tf.saved_model.load(folder)
        print(loaded.call(tf.constant([1.0, 2.0])).numpy().tolist())
        graph_def = tf.compat.v1.GraphDef.FromString(open(path, "rb").read())
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            (y,) = tf.import_graph_def(graph_def, return_elements=[name], name="")
            print(session.run(y, {"x:0": [1.0, 2.0]}).tolist())
        """,
        folder,
        str(path),
        frozen.outputs[0].name,
    )
    assert output.splitlines() == [str([1.0 + 5.0 + 5.0, 2.0 + 5.0 + 5.0])] * 2


def test_graph_def(library, tmp_path, check_without_tvm):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.identity(tftvm.Module(library)["addone"](x), name="y")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    os.remove(library)
    assert _import_and_run([str(path), "y:0"], check_without_tvm).strip() == "[2.0, 3.0]"


def test_ten_functions_share_one_copy_of_the_bytes(library, tmp_path, check_without_tvm):
    content = Path(library).read_bytes()
    another_path = shutil.copy(library, tmp_path / "copy.so")
    # Each way to come by the same library: paths, bytes, configs.
    modules = [tftvm.Module(library), tftvm.Module(another_path), tftvm.Module(content)]
    functions = [module[name] for module in modules for name in ("addone", "double", "addone")]
    functions.append(tftvm.Function.from_config(functions[0].get_config()))
    assert len(functions) == 10
    model = tf.Module()
    model.calls = [tf.function(f, input_signature=[VECTOR], autograph=False) for f in functions]
    folder = tmp_path / "model"
    tf.saved_model.save(model, str(folder))
    assert _copies(folder, content) == 1
    assert _copies(folder, content[: len(content) // 2]) == 1
    os.remove(library)
    output = check_without_tvm(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        loaded = tf.saved_model.load(sys.argv[1])
        print(*[call(tf.constant([3.0])).numpy()[0] for call in loaded.calls])
        print(tftvm.stats()["libraries"])
        tf.saved_model.save(loaded, sys.argv[2])
        """,
        str(folder),
        str(tmp_path / "again"),
    )
    assert output.splitlines() == ["4.0 6.0 4.0 4.0 6.0 4.0 4.0 6.0 4.0 4.0", "1"]
    assert _copies(tmp_path / "again", content) == 1


def test_inspect_shows_the_libraries_of_a_model_and_loads_none(
    library, tmp_path, capsys, monkeypatch
):
    module = tftvm.Module(library)
    model = tf.Module()
    model.call = tf.function(lambda x: module["addone"](x), input_signature=[tf.TensorSpec([None])])
    folder = str(tmp_path / "model")
    tf.saved_model.save(model, folder)
    monkeypatch.setenv("TENSORFLOW_TVM_TRUSTED_DIGESTS", "")
    expected = {
        "library": "library.so",
        "digest": module.digest,
        "bytes": os.path.getsize(library),
        "functions": ["addone"],
    }
    assert main(["inspect", "--json", folder]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": folder, "libraries": [expected]}
    assert main(["inspect", folder]) == 0
    printed = capsys.readouterr().out
    assert f"digest     {module.digest}" in printed and "functions  addone" in printed

    file = tmp_path / "model" / "saved_model.pb"
    file.write_bytes(file.read_bytes().replace(b"\x7fELF", b"\x7fFLE"))
    assert main(["inspect", folder]) == 0
    assert "size       not in the model" in capsys.readouterr().out
    file.write_bytes(b"no model")
    assert main(["inspect", folder]) == 1
    assert f"{folder} is not a SavedModel" in capsys.readouterr().err


def test_one_constant_in_a_tf1_graph(library):
    module = tftvm.Module(library)
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        tftvm.Module(library)["double"](module["addone"](module["addone"](x)))
    constants = [node for node in graph.as_graph_def().node if node.op == "Const"]
    assert [node.attr["dtype"].type for node in constants] == [tf.uint8.as_datatype_enum]


def test_several_libraries_in_one_model(library, tmp_path, check_without_tvm):
    square = libraries.elementwise("square", lambda x: x * x)
    other = libraries.export(square, tmp_path / "square.so")
    addone, square = tftvm.Module(library)["addone"], tftvm.Module(other)["square"]
    folder = _save(lambda x: square(addone(x)), tmp_path / "model")
    contents = [Path(path).read_bytes() for path in (library, other)]
    assert [_copies(folder, content) for content in contents] == [1, 1]
    os.remove(library)
    os.remove(other)
    output = check_without_tvm(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        loaded = tf.saved_model.load(sys.argv[1])
        print(loaded.call(tf.constant([2.0])).numpy().tolist(), tftvm.stats()["libraries"])
        """,
        folder,
    )
    assert output.strip() == "[9.0] 2"


def test_other_filesystems_of_tensorflow(library, tmp_path, check_without_tvm):
    addone = tftvm.Module(library)["addone"]
    folder = _save(lambda x: addone(x), tmp_path / "model")
    output = check_without_tvm(
        """
        import gc, os, shutil, sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        library, folder = sys.argv[1:]
        for name in tf.io.gfile.glob([f"{folder}/*", f"{folder}/variables/*"]):
            if not tf.io.gfile.isdir(name):
                tf.io.gfile.copy(name, "ram://model" + name.removeprefix(folder))
        tf.io.gfile.copy(library, "ram://folder/library.so")
        shutil.rmtree(folder)
        os.remove(library)
        x = tf.constant([1.0])

        loaded = tf.saved_model.load("ram://model")
        print(loaded.call(x).numpy())
        tf.saved_model.save(loaded, "ram://again")
        del loaded
        gc.collect()
        assert tftvm.stats()["libraries"] == 0
        print(tf.saved_model.load("ram://again").call(x).numpy())
        gc.collect()
        assert tftvm.stats()["libraries"] == 0

        model = tf.Module()
        double = tftvm.Module("ram://folder/library.so")["double"]
        model.call = tf.function(lambda x: double(x), input_signature=[tf.TensorSpec([None])])
        tf.saved_model.save(model, "ram://double")
        tf.io.gfile.remove("ram://folder/library.so")
        del double, model
        gc.collect()
        assert tftvm.stats()["libraries"] == 0
        print(tf.saved_model.load("ram://double").call(x).numpy())
        """,
        library,
        folder,
    )
    assert output.splitlines() == ["[2.]", "[2.]", "[2.]"]


def test_nodes_hold_no_path(library):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        tftvm.Module(library).func("addone", output_shape=[2])(x)
    (node,) = [node for node in graph.as_graph_def().node if node.op == "TVM>DSOOp"]
    assert os.path.dirname(library) not in str(node)
    callee = json.loads(node.attr["callee"].s)
    assert callee["function"] == "addone"
    assert callee["digest"] == tftvm.Module(library).digest


def test_saved_models_hold_no_path(library, tmp_path):
    addone = tftvm.Module(library)["addone"]
    folder = _save(lambda x: addone(x), tmp_path / "model")
    assert b"/library.so" not in Path(folder, "saved_model.pb").read_bytes()


def test_library_of_100_mb(tmp_path, check_without_tvm):
    size = 100_000_000
    (tmp_path / "blob").write_bytes(np.random.default_rng(0).bytes(size))
    # It returns the last byte of its data.
    source = f"""
    #include <tvm/ffi/c_api.h>
    asm(".section .rodata; blob: .incbin \\"{tmp_path}/blob\\"; .previous");
    extern "C" const unsigned char blob[] __attribute__((visibility("hidden")));
    extern "C" int __tvm_ffi_last(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {{
      const auto* y = static_cast<const DLTensor*>(args[1].v_ptr);
      static_cast<float*>(y->data)[0] = blob[{size - 1}];
      return 0;
    }}
    """
    path = Path(libraries.compile_cc(source, tmp_path / "large.so"))
    (last,) = (tmp_path / "blob").read_bytes()[-1:]
    (tmp_path / "blob").unlink()
    assert path.stat().st_size > size
    functions = [tftvm.Module(path)["last"], tftvm.Module(path).func("last", output_shape=[1])]
    model = tf.Module()
    model.calls = [tf.function(f, input_signature=[VECTOR], autograph=False) for f in functions]
    folder = tmp_path / "model"
    tf.saved_model.save(model, str(folder))
    path.unlink()
    assert (folder / "saved_model.pb").stat().st_size < 1.01 * size
    output = check_without_tvm(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        loaded = tf.saved_model.load(sys.argv[1])
        print(*[int(call(tf.constant([0.0]))[0]) for call in loaded.calls])
        """,
        str(folder),
    )
    assert output.split() == [str(last)] * 2


# Bytes that are not those that were saved.


def _change(folder, change):
    """Replace the content of the library in a SavedModel, as somebody who knows its format can."""
    path = Path(folder, "saved_model.pb")
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    nodes = model.meta_graphs[0].graph_def.node
    (tensor,) = [
        node.attr["value"].tensor
        for node in nodes
        if node.op == "Const" and node.attr["dtype"].type == tf.uint8.as_datatype_enum
    ]
    content = change(tensor.tensor_content)
    tensor.tensor_content = content
    tensor.tensor_shape.dim[0].size = len(content)
    path.write_bytes(model.SerializeToString())


def _flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_changed_bytes_in_a_saved_model(library, jit_compile, tmp_path, check_without_tvm):
    addone = tftvm.Module(library)["addone"]
    specs = [tf.TensorSpec([2])]
    good = _save(lambda x: addone(x), tmp_path / "good", *specs, jit_compile=jit_compile)
    content = Path(library).read_bytes()
    minus = libraries.elementwise("addone", lambda x: x - 1.0)
    other = Path(libraries.export(minus, tmp_path / "other.so")).read_bytes()
    changes = {
        "first": lambda content: _flip(content, 0),
        "middle": lambda content: _flip(content, len(content) // 2),
        "last": lambda content: _flip(content, len(content) - 1),
        "truncated": lambda content: content[:-1],
        "half": lambda content: content[: len(content) // 2],
        "longer": lambda content: content + b"\0",
        "nothing": lambda content: b"",
        "other": lambda content: other,
    }
    for name, change in changes.items():
        _change(shutil.copytree(good, tmp_path / name), change)
    # As a disk does it, which knows nothing of the format.
    file = Path(shutil.copytree(good, tmp_path / "on_disk"), "saved_model.pb")
    saved = file.read_bytes()
    file.write_bytes(_flip(saved, saved.index(content) + len(content) // 2))
    names = [*changes, "on_disk"]
    output = check_without_tvm(
        """
        import os, sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        for name in sys.argv[2:]:
            loaded = tf.saved_model.load(os.path.join(sys.argv[1], name))
            try:
                print(loaded.call(tf.constant([1.0, 2.0])).numpy())
            except tf.errors.OpError as error:
                print(type(error).__name__, error.message.replace(chr(10), " "))
        """,
        str(tmp_path),
        *names,
        "good",
    )
    *lines, last = output.splitlines()
    assert len(lines) == len(names)
    assert last == "[2. 3.]"
    for name, line in zip(names, lines, strict=True):
        assert line.startswith("InvalidArgumentError"), (name, line)
        for part in (
            "Cannot load library 'library.so': its content has been changed or damaged: "
            f"expected {tftvm.Module(library).digest}, given sha256:",
            "Get the library or model again from its source",
        ):
            assert part in line, (name, line)


def test_saved_model_file_that_is_cut_off(library, tmp_path, check_without_tvm):
    addone = tftvm.Module(library)["addone"]
    folder = _save(lambda x: addone(x), tmp_path / "model")
    file = Path(folder, "saved_model.pb")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    output = check_without_tvm(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm
        try:
            tf.saved_model.load(sys.argv[1])
        except OSError as error:
            print(error)
        """,
        folder,
    )
    assert "Cannot parse file" in output and "saved_model.pb" in output


def test_changed_bytes_in_a_graph_def(library, tmp_path):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.identity(tftvm.Module(library)["addone"](x), name="y")
    graph_def = graph.as_graph_def()
    (constant,) = [node for node in graph_def.node if node.op == "Const"]
    tensor = constant.attr["value"].tensor
    tensor.tensor_content = _flip(tensor.tensor_content, len(tensor.tensor_content) // 2)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph_def.SerializeToString())
    # In a process of its own: one that has the library already uses that.
    process = _import_and_run([str(path), "y:0"], run_python)
    assert process.returncode == 1
    assert "InvalidArgumentError" in process.stderr
    assert "its content has been changed or damaged: expected sha256:" in process.stderr
