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
"""Models are served from C++, without Python, by what a runtime folder holds."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tvm_ffi

from tensorflow_tvm.tests.subprocesses import check_python

ROOT = Path(__file__).absolute().parents[2]
TENSORFLOW = tf.sysconfig.get_lib()
DIGESTS = "TENSORFLOW_TVM_TRUSTED_DIGESTS"


def _built(path: str) -> Path:
    """Return where Bazel has left what it builds."""
    for folder in (ROOT, ROOT / "bazel-bin"):
        if (folder / path).is_file():
            return folder / path
    assert "TEST_SRCDIR" not in os.environ, f"Bazel did not build {path}"
    pytest.skip(f"Bazel makes {path}: ./bazelw test //tensorflow_tvm/tests:serving_test")


def _run(program, *args, env=None, cwd=None) -> subprocess.CompletedProcess:
    """Run a program with no other environment than `env`."""
    return subprocess.run(
        [str(program), *map(str, args)],
        env=env or {},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _failure(process: subprocess.CompletedProcess) -> str:
    """Return what a program said that had to fail with a message of its own."""
    assert process.returncode == 1, process.stderr[-4000:]
    assert re.search(r"^(serving_cpp|runtime_folder|usage): ", process.stderr, re.MULTILINE)
    return process.stderr


def _outputs(process: subprocess.CompletedProcess) -> dict[str, np.ndarray]:
    """Return the outputs that the serving program printed."""
    assert process.returncode == 0, process.stderr[-4000:]
    line = re.compile(r"^(\w+): Tensor<type: \w+ shape: \[([\d,]*)\] values: (.*)>$", re.MULTILINE)
    return {
        name: np.array(re.findall(r"[-+.\de]+", values), float).reshape(
            [int(size) for size in shape.split(",")]
        )
        for name, shape, values in line.findall(process.stdout)
    }


def _runtime_folder(*args) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, sys.path))
    return _run(
        sys.executable, ROOT / "tools" / "runtime_folder.py", *args, env={"PYTHONPATH": path}
    )


@pytest.fixture(scope="module")
def program():
    return _built("examples/serving_cpp/main")


@pytest.fixture(scope="module")
def static_program():
    return _built("examples/serving_cpp/main_static")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The example's models, "plain" and "ranked": their folders, and their weights."""
    path = ROOT / "examples" / "serving_cpp" / "make_model.py"
    spec = importlib.util.spec_from_file_location("make_model", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    folder = tmp_path_factory.mktemp("models")
    models = {}
    for name, args in {"plain": [], "ranked": ["--ranked"]}.items():
        assert example.main([str(folder / name), *args]) == 0
        model = tf.saved_model.load(str(folder / name))
        models[name] = (folder / name, model.w.numpy(), model.b.numpy())
    return models


@pytest.fixture(scope="module")
def runtime(models, tmp_path_factory):
    """Folders "plain" and "ranked" with what these models need, moved after they were made."""
    _built("tensorflow_tvm/relocatable/_tvm_dso_ops.so")
    made = tmp_path_factory.mktemp("made")
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    for name, (model, *_) in models.items():
        process = _runtime_folder(made / name, "--model", model)
        assert process.returncode == 0, process.stderr[-4000:]
    made.rename(moved)
    return {name: moved / name for name in models}


@pytest.fixture
def serve(program, models, runtime):
    """Serve a model from C++, by the op library of a runtime folder."""

    def serve(*args, model="plain", env=None):
        library = runtime[model] / "_tvm_dso_ops.so"
        return _run(
            program, f"--model={models[model][0]}", f"--op_library={library}", *args, env=env
        )

    return serve


NUMBERS = np.float32([0.5, -1.25, 2, 0.125, -0.75, 1, 3])
FEED = ["--numbers=" + ",".join(map(str, NUMBERS)), "--batch_size=4", "--batches=20"]


def _expected(model) -> np.ndarray:
    """Return the scores that a model has to give for what FEED feeds."""
    _, w, b = model
    x = np.resize(NUMBERS, [4, len(w)])
    return np.tanh(x.astype(float) @ w + b)


def test_scores_are_numpys(serve, models):
    outputs = _outputs(serve(*FEED))
    assert list(outputs) == ["scores"]
    np.testing.assert_allclose(outputs["scores"], _expected(models["plain"]), rtol=1e-4, atol=1e-5)


def test_a_library_that_sorts(serve, models):
    outputs = _outputs(serve(*FEED, model="ranked"))
    scores = _expected(models["ranked"])
    np.testing.assert_allclose(outputs["scores"], scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outputs["ranking"], np.argsort(-scores, axis=1))


def test_threads_agree_and_percentiles_are_printed(serve):
    process = serve("--threads=4", "--batches=400")
    assert process.returncode == 0, process.stderr[-4000:]
    assert "all threads gave the same" in process.stdout
    times = re.search(r"p50 (.*), p90 (.*), p99 (.*), max (.*)\n", process.stdout).groups()
    assert sorted(map(float, times)) == list(map(float, times)) and float(times[0]) > 0
    rates = re.search(r"400 batches of 32 from 4 threads in (.*) s: (.*) batches", process.stdout)
    assert float(rates[2]) == pytest.approx(400 / float(rates[1]), rel=0.1)


def test_threads_that_disagree_are_noticed(program, tmp_path):
    model = tf.Module()
    model.call = tf.function(
        lambda x: x + tf.random.uniform([]), input_signature=[tf.TensorSpec([None], name="x")]
    )
    tf.saved_model.save(model, str(tmp_path / "model"))
    process = _run(program, f"--model={tmp_path / 'model'}")
    assert "the same batch gave two different results" in _failure(process)


@pytest.mark.parametrize("model", ["plain", "ranked"])
def test_nothing_of_tvm_comes_from_elsewhere(serve, runtime, model, tmp_path):
    for name in ["libtvm_runtime.so", "libtvm_runtime_extra.so"]:  # of another version, say
        shutil.copy(runtime["ranked"] / name, tmp_path)
    process = serve(*FEED, model=model, env={"LD_DEBUG": "files", "LD_LIBRARY_PATH": str(tmp_path)})
    assert process.returncode == 0, process.stderr[-4000:]
    loaded = {Path(path) for path in re.findall(r"calling init: (\S+)", process.stderr)}
    ours = {path for path in loaded if path.name.startswith(("libtvm", "_tvm"))}
    assert {path.parent for path in ours} == {runtime[model]}
    names = {"_tvm_dso_ops.so", "libtvm_ffi.so"}
    if model == "ranked":
        names |= {"libtvm_runtime.so", "libtvm_runtime_extra.so"}
    # TVM's runtime for CUDA is tried, and loads where there is CUDA.
    assert {path.name for path in ours} - {"libtvm_runtime_cuda.so"} == names
    assert not any("python" in path.name for path in loaded)


def test_relative_path_of_the_op_library(program, models, runtime):
    model = f"--model={models['ranked'][0]}"
    process = _run(program, model, "--op_library=./_tvm_dso_ops.so", cwd=runtime["ranked"])
    assert process.returncode == 0, process.stderr[-4000:]


def test_op_library_in_site_packages(program, models, runtime, tmp_path):
    """It finds tvm-ffi and the TVM runtime as packages beside its own."""
    for package, names in {
        "tensorflow_tvm": ["_tvm_dso_ops.so"],
        "tvm_ffi/lib": ["libtvm_ffi.so"],
        "tvm/lib": ["libtvm_runtime.so", "libtvm_runtime_extra.so"],
    }.items():
        (tmp_path / package).mkdir(parents=True)
        for name in names:
            shutil.copy(runtime["ranked"] / name, tmp_path / package)
    library = f"--op_library={tmp_path / 'tensorflow_tvm' / '_tvm_dso_ops.so'}"
    assert "ranking" in _outputs(_run(program, f"--model={models['ranked'][0]}", library, *FEED))


def test_model_that_xla_compiles(program, static_program, models, runtime, tmp_path):
    inner = tf.saved_model.load(str(models["plain"][0]))
    compiled = tf.function(inner.signatures["serving_default"], jit_compile=True)
    model = tf.Module()
    model.inner = inner
    model.call = tf.function(
        lambda x: compiled(x=x), input_signature=[tf.TensorSpec([4, 64], name="x")]
    )
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=model.call)
    args = [f"--model={tmp_path / 'model'}", *FEED]
    ops, xla = (runtime["plain"] / name for name in ["_tvm_dso_ops.so", "_tvm_dso_xla.so"])
    expected = _expected(models["plain"])
    outputs = _outputs(_run(program, *args, f"--op_library={ops},{xla}"))
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-4, atol=1e-5)
    outputs = _outputs(_run(static_program, *args, f"--op_library={xla}"))
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-4, atol=1e-5)
    assert "No registered 'TVM>DSOOp'" in _failure(_run(program, *args, f"--op_library={ops}"))


def test_op_library_that_is_preloaded(program, models, runtime):
    """As servers do that have no option for it."""
    env = {"LD_PRELOAD": str(runtime["ranked"] / "_tvm_dso_ops.so"), "LD_LIBRARY_PATH": TENSORFLOW}
    outputs = _outputs(_run(program, f"--model={models['ranked'][0]}", *FEED, env=env))
    scores = _expected(models["ranked"])
    np.testing.assert_array_equal(outputs["ranking"], np.argsort(-scores, axis=1))


def test_op_that_is_linked_in(static_program, models):
    outputs = _outputs(_run(static_program, f"--model={models['plain'][0]}", *FEED))
    np.testing.assert_allclose(outputs["scores"], _expected(models["plain"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH", "LD_PRELOAD"])
def test_op_that_is_linked_in_and_a_library_that_sorts(static_program, models, runtime, variable):
    """The TVM runtime is found beside libtvm_ffi, wherever that comes from."""
    folder = runtime["ranked"]
    value = folder if variable == "LD_LIBRARY_PATH" else folder / "libtvm_ffi.so"
    model = f"--model={models['ranked'][0]}"
    outputs = _outputs(_run(static_program, model, *FEED, env={variable: str(value)}))
    scores = _expected(models["ranked"])
    np.testing.assert_array_equal(outputs["ranking"], np.argsort(-scores, axis=1))


def test_op_that_is_linked_in_and_loaded(static_program, models, runtime):
    library = f"--op_library={runtime['plain'] / '_tvm_dso_ops.so'}"
    process = _run(static_program, f"--model={models['plain'][0]}", library)
    assert process.returncode != 0
    assert "ALREADY_EXISTS: Op with name TVM>DSOOp" in process.stderr


def test_c_api(models, runtime):
    """What the bindings for Java and Go call, in a process that has not imported TensorFlow."""
    output = check_python(
        """
        import ctypes, sys
        cc, library, model = sys.argv[1:]
        tf = ctypes.CDLL(cc)
        for name in ("NewStatus", "LoadLibrary", "NewSessionOptions", "NewGraph",
                     "LoadSessionFromSavedModel", "GraphOperationByName", "AllocateTensor",
                     "TensorData", "Message"):
            getattr(tf, "TF_" + name).restype = ctypes.c_void_p
        tf.TF_Message.restype = ctypes.c_char_p
        pointer = ctypes.c_void_p

        class Output(ctypes.Structure):
            _fields_ = [("operation", pointer), ("index", ctypes.c_int)]

        status = pointer(tf.TF_NewStatus())

        def check():
            if tf.TF_GetCode(status):
                sys.exit(tf.TF_Message(status))

        tf.TF_LoadLibrary(library.encode(), status)
        check()
        graph = pointer(tf.TF_NewGraph())
        session = pointer(tf.TF_LoadSessionFromSavedModel(
            pointer(tf.TF_NewSessionOptions()), None, model.encode(),
            (ctypes.c_char_p * 1)(b"serve"), 1, graph, None, status))
        check()

        def output(name):
            return Output(tf.TF_GraphOperationByName(graph, name), 0)

        rows, features, classes = 4, 64, 5
        dims = (ctypes.c_int64 * 2)(rows, features)
        x = pointer(tf.TF_AllocateTensor(1, dims, 2, ctypes.c_size_t(4 * rows * features)))
        data = ctypes.cast(tf.TF_TensorData(x), ctypes.POINTER(ctypes.c_float))
        for i in range(rows * features):
            data[i] = 1.0
        y = pointer()
        tf.TF_SessionRun(
            session, None, ctypes.byref(output(b"serving_default_x")), ctypes.byref(x), 1,
            ctypes.byref(output(b"StatefulPartitionedCall")), ctypes.byref(y), 1, None, 0, None,
            status)
        check()
        scores = ctypes.cast(tf.TF_TensorData(y), ctypes.POINTER(ctypes.c_float))
        print([scores[i] for i in range(rows * classes)], "tensorflow" in sys.modules)
        """,
        Path(TENSORFLOW) / "libtensorflow_cc.so.2",
        runtime["plain"] / "_tvm_dso_ops.so",
        models["plain"][0],
    )
    _, w, b = models["plain"]
    scores, imported = output.strip().rsplit(" ", 1)
    np.testing.assert_allclose(
        np.reshape(json.loads(scores), [4, -1]),
        np.tile(np.tanh(w.sum(axis=0) + b), [4, 1]),
        rtol=1e-4,
    )
    assert imported == "False"


def test_commands_of_the_page(models, runtime, tmp_path):
    """The page says how to compile the program without Bazel."""
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```sh\n([^`]*\bg\+\+ [^`]*)```", page)
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (tmp_path / "main.cc").write_bytes((ROOT / "examples/serving_cpp/main.cc").read_bytes())
    command = command.replace("examples/serving_cpp/main.cc", "main.cc")
    compiled = _run("/bin/bash", "-ec", command, env=env, cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stderr[-4000:]
    (binary,) = (file for file in tmp_path.iterdir() if file.suffix != ".cc")
    library = f"--op_library={runtime['plain'] / '_tvm_dso_ops.so'}"
    outputs = _outputs(_run(binary, f"--model={models['plain'][0]}", library, *FEED))
    np.testing.assert_allclose(outputs["scores"], _expected(models["plain"]), rtol=1e-4, atol=1e-5)


def test_cpp_of_the_page_compiles():
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```cpp\n(.*?)```", page, re.DOTALL)
    includes, _, statements = code.partition("\n\n")
    compiled = subprocess.run(
        ["g++", "-fsyntax-only", "-w", *tf.sysconfig.get_compile_flags(), "-x", "c++", "-"],
        input=f"{includes}\nint main() {{ {statements} }}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr[-4000:]


def test_op_library_alone(program, models, runtime, tmp_path):
    library = shutil.copy(runtime["plain"] / "_tvm_dso_ops.so", tmp_path)
    failure = _failure(_run(program, f"--model={models['plain'][0]}", f"--op_library={library}"))
    assert "cannot load the op library: libtvm_ffi.so: cannot open shared object file" in failure


def test_wrong_arguments(program, models, serve, tmp_path):
    model = f"--model={models['plain'][0]}"
    failure = _failure(_run(program, model, f"--op_library={tmp_path / 'no.so'}"))
    assert "cannot load the op library" in failure and str(tmp_path / "no.so") in failure
    failure = _failure(_run(program, f"--model={tmp_path / 'no model'}"))
    assert f"cannot load the model {tmp_path / 'no model'}: Could not find SavedModel" in failure
    assert "Op type not registered 'TVM>DSOOp'" in _failure(_run(program, model))
    assert "--model=FOLDER is missing" in _failure(_run(program))
    assert "must be at least 1" in _failure(serve("--threads=0"))
    assert "--numbers has 'x'" in _failure(serve("--numbers=1,x"))
    assert "usage:" in _failure(serve("--thread=2"))


def test_model_that_was_tampered_with(program, models, runtime, tmp_path):
    model = Path(shutil.copytree(models["plain"][0], tmp_path / "model"))
    content = bytearray((model / "saved_model.pb").read_bytes())
    content[content.index(b"\x7fELF") + 4000] ^= 1
    (model / "saved_model.pb").write_bytes(content)
    library = f"--op_library={runtime['plain'] / '_tvm_dso_ops.so'}"
    assert "its content has been changed or damaged" in _failure(
        _run(program, f"--model={model}", library)
    )


def test_model_that_is_not_trusted(serve, models):
    failure = _failure(serve(env={DIGESTS: ""}))
    assert f"{DIGESTS} does not list its digest, sha256:" in failure
    assert "PERMISSION_DENIED" in failure
    (digest,) = re.findall("its digest, (sha256:[0-9a-f]{64})", failure)[:1]
    assert serve(env={DIGESTS: digest}).returncode == 0


def test_sorting_without_the_tvm_runtime(program, models, runtime):
    library = f"--op_library={runtime['plain'] / '_tvm_dso_ops.so'}"
    failure = _failure(_run(program, f"--model={models['ranked'][0]}", library))
    assert "The TVM runtime, which may have it, is not installed" in failure
    assert "put it beside the op library" in failure


@pytest.mark.parametrize("model", ["plain", "ranked"])
def test_manifest(runtime, model):
    folder = runtime[model]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {
        file.name: {
            "size": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in folder.glob("*.so")
    }
    names = {"_tvm_dso_ops.so", "_tvm_dso_xla.so", "libtvm_ffi.so"}
    assert names <= set(manifest["files"])
    assert ("libtvm_runtime.so" in manifest["files"]) == (model == "ranked")
    assert ("libtvm_runtime_extra.so" in manifest["files"]) == (model == "ranked")
    assert manifest["versions"]["tensorflow"] == tf.__version__
    assert manifest["versions"]["apache-tvm-ffi"] == tvm_ffi.__version__
    assert ("apache-tvm" in manifest["versions"]) == (model == "ranked")
    here = [int(part) for part in os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")]
    assert [2, 17] <= [int(part) for part in manifest["needs"]["glibc"].split(".")] <= here


def test_runtime_folder_refuses(models, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "is neither empty nor a folder that this has made: give a new one" in _failure(
        _runtime_folder(tmp_path / "full")
    )
    process = _runtime_folder(tmp_path / "new", "--model", tmp_path)
    assert f"{tmp_path} is not a SavedModel" in _failure(process)
    assert not (tmp_path / "new").exists()


def test_a_runtime_folder_may_be_made_anew(tmp_path):
    folder = tmp_path / "new"
    assert _runtime_folder(folder, "--tvm-runtime").returncode == 0
    assert _runtime_folder(folder).returncode == 0
    assert not (folder / "libtvm_runtime.so").exists() and (folder / "libtvm_ffi.so").exists()
    (folder / "notes").touch()
    assert "give a new one" in _failure(_runtime_folder(folder))
    assert (folder / "notes").exists()


def test_tvm_runtime_where_it_is_asked_for(tmp_path):
    process = _runtime_folder(tmp_path / "new", "--tvm-runtime")
    assert process.returncode == 0, process.stderr[-4000:]
    assert str(tmp_path / "new" / "libtvm_runtime.so") in process.stdout.split("\n")
