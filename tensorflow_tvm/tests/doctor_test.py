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
"""The doctor: each problem is brought about, and has to be found and come with its cure."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tvm_ffi

import tensorflow_tvm as tftvm
from tensorflow_tvm import __main__ as command_line
from tensorflow_tvm import doctor

PACKAGE = Path(tftvm.__file__).parent
LIBRARIES = Path(tftvm.sysconfig.get_lib_path()).parent
# What its user may have set is not for the tests.
SETTINGS = [
    "LD_PRELOAD",
    "OMP_NUM_THREADS",
    "TENSORFLOW_TVM_LIBRARY_ROOTS",
    "TENSORFLOW_TVM_THREADPOOL",
    "TENSORFLOW_TVM_TRUSTED_DIGESTS",
    "TF_NUM_INTRAOP_THREADS",
    "TVM_NUM_THREADS",
]


def run_doctor(
    folder: Path, *arguments: str, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess:
    """Run the doctor with a cache in `folder`, and modules in `path` before all others."""
    environ = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environ["TENSORFLOW_TVM_CACHE_DIR"] = str(folder / "cache")
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path or ""), *sys.path]))
    return subprocess.run(
        [sys.executable, "-m", "tensorflow_tvm", "doctor", *arguments],
        env={**environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def report(folder: Path, path: Path | None = None, **environment: str) -> dict[str, dict]:
    """Return the rows of the doctor's report by name, and check the report itself."""
    process = run_doctor(folder, "--json", path=path, **environment)
    found = json.loads(process.stdout)  # nothing else may be printed there
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"])
    for row in found["rows"]:
        assert (row["problem"] is None) == (row["cure"] is None)
        assert row["value"]
    healthy = not any(row["problem"] for row in found["rows"])
    assert found["healthy"] == healthy
    assert process.returncode == (0 if healthy else 1), process.stderr
    return rows


def problems(rows: dict[str, dict]) -> dict[str, str]:
    """Return what is wrong, by the name of the row."""
    return {name: row["problem"] for name, row in rows.items() if row["problem"]}


def copy_package(folder: Path, *libraries: str) -> Path:
    """Copy the package, with some of its libraries; return the folder that it is in."""
    ignored = shutil.ignore_patterns("*.so", "tests", "cc", "__pycache__")
    shutil.copytree(PACKAGE, folder / "tensorflow_tvm", ignore=ignored)
    for library in libraries:
        shutil.copyfile(LIBRARIES / library, folder / "tensorflow_tvm" / library)
    return folder


def write(path: Path, text: str) -> Path:
    """Write a file, in a folder that may not exist yet, and return the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path.parent


def test_a_healthy_installation(tmp_path):
    rows = report(tmp_path)
    assert problems(rows) == {}
    assert rows["tvm-ffi"]["value"].startswith(tvm_ffi.__version__)
    assert rows["tensorflow_tvm"]["value"].startswith(tftvm.__version__)
    assert str(Path(tftvm.sysconfig.get_lib_path()).name) in rows["op library"]["value"]
    assert rows["op"]["value"] == "ran eagerly, in tf.function, under XLA"
    assert "compiled a function, which ran" in rows["compiler"]["value"]
    assert "_GLIBCXX_USE_CXX11_ABI=" in rows["ABI flags"]["value"]
    assert str(tmp_path / "cache") in rows["cache"]["value"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_settings(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    rows = report(
        tmp_path,
        TENSORFLOW_TVM_THREADPOOL="mine",
        TVM_NUM_THREADS="many",
        OMP_NUM_THREADS="4,2",
        TENSORFLOW_TVM_TRUSTED_DIGESTS="abc",
        TENSORFLOW_TVM_LIBRARY_ROOTS="models",
        TMPDIR=str(tmp_path / "nowhere"),
    )
    found = problems(rows)
    assert "'mine', which is not known" in found.pop("threads")
    assert "'many'" in found.pop("TVM_NUM_THREADS")
    assert "neither a list of digests nor a file" in found.pop("TENSORFLOW_TVM_TRUSTED_DIGESTS")
    assert "give absolute paths" in found.pop("TENSORFLOW_TVM_LIBRARY_ROOTS")
    assert "mode 0777" in found.pop("cache")
    assert found == {}
    assert rows["OMP_NUM_THREADS"]["value"] == "4,2"
    # There are others.
    assert f"not {tmp_path / 'nowhere'}" in rows["temporary folder"]["value"]


def test_settings_that_allow_little_are_no_problem(tmp_path):
    rows = report(
        tmp_path,
        TENSORFLOW_TVM_THREADPOOL="tvm",
        TVM_NUM_THREADS="1",
        TENSORFLOW_TVM_TRUSTED_DIGESTS="0" * 64,
        TENSORFLOW_TVM_LIBRARY_ROOTS=str(tmp_path),
        TENSORFLOW_TVM_CACHE_DIR="",
    )
    assert problems(rows) == {}
    assert rows["TENSORFLOW_TVM_TRUSTED_DIGESTS"]["value"] == "0" * 64
    assert rows["threads"]["value"].startswith("TVM's own")
    assert "off" in rows["cache"]["value"]


def test_packages_that_cannot_be_imported(tmp_path):
    for name in ("tensorflow", "tvm_ffi"):
        write(tmp_path / "stubs" / f"{name}.py", f"raise ImportError('no {name} here')")
    rows = report(tmp_path, tmp_path / "stubs")
    found = problems(rows)
    assert "TensorFlow cannot be imported: ImportError: no tensorflow here" in found["TensorFlow"]
    assert "apache-tvm-ffi cannot be imported: ImportError: no tvm_ffi here" in found["tvm-ffi"]
    assert len(found) == 2
    assert "pip install 'tensorflow-cpu==2.21.*'" in rows["TensorFlow"]["cure"]
    assert "pip install apache-tvm-ffi==" in rows["tvm-ffi"]["cure"]
    assert rows["op library"]["value"] == rows["compiler"]["value"] == "not tried"


def test_a_package_that_takes_the_process_down(tmp_path):
    text = "import os, sys; print('going down', file=sys.stderr, flush=True); os.abort()"
    write(tmp_path / "stubs" / "tensorflow.py", text)
    found = problems(report(tmp_path, tmp_path / "stubs"))
    assert found == {"process": "import tensorflow ended the process by SIGABRT; going down"}


def test_two_copies_of_libtvm_ffi(tmp_path):
    installed = Path(tvm_ffi.__file__).parent / "lib" / "libtvm_ffi.so"
    copy = tmp_path / "libtvm_ffi.so"
    shutil.copyfile(installed, copy)
    rows = report(tmp_path, LD_PRELOAD=str(copy))
    assert "several copies" in rows["libtvm_ffi"]["problem"]
    assert str(copy) in rows["libtvm_ffi"]["value"]
    assert str(installed.resolve()) in rows["libtvm_ffi"]["value"]
    assert "import tvm_ffi ended the process by SIGABRT" in rows["process"]["problem"]


def test_tvm_ffi_of_another_version(tmp_path):
    write(tmp_path / "stubs" / "tvm_ffi.py", "__version__ = '0.1.9'")
    rows = report(tmp_path, tmp_path / "stubs")
    found = problems(rows)
    assert found == {
        "op library": "ImportError: tensorflow_tvm needs apache-tvm-ffi>=0.1.14.post1,<0.1.16, and "
        "apache-tvm-ffi 0.1.9 is installed."
    }
    assert "pip install 'apache-tvm-ffi>=0.1.14.post1,<0.1.16'" in rows["op library"]["cure"]


def test_tensorflow_of_another_version(tmp_path):
    package = copy_package(tmp_path / "copy", "_tvm_dso_ops.so") / "tensorflow_tvm"
    path = package / "_tvm_dso_ops.so"
    content = path.read_bytes()
    mark = b'tensorflow_tvm-build-info {"tensorflow": "2.2'
    assert content.count(mark) == 1
    path.write_bytes(content.replace(mark, mark[:-1] + b"9"))
    row = report(tmp_path, tmp_path / "copy")["op library"]
    assert "was built for TensorFlow 2.91" in row["problem"]
    assert "==2.91.*'; or in a checkout build it again" in row["cure"]


def test_without_op_library(tmp_path):
    row = report(tmp_path, copy_package(tmp_path / "copy"))["op library"]
    assert "_tvm_dso_ops.so has not been built" in row["problem"]
    assert "Install the wheel again, or in a checkout" in row["cure"]


def test_without_the_library_for_xla(tmp_path):
    path = copy_package(tmp_path / "copy", "_tvm_dso_ops.so", "_tvm_dso_doctor.so")
    rows = report(tmp_path, path)
    assert problems(rows) == {"XLA": "_tvm_dso_xla.so is not beside the op library"}
    assert rows["op"]["value"] == "ran eagerly, in tf.function"


def test_without_the_doctors_library(tmp_path):
    path = copy_package(tmp_path / "copy", "_tvm_dso_ops.so", "_tvm_dso_xla.so")
    found = problems(report(tmp_path, path))
    assert list(found) == ["op"]
    assert "there is no such file" in found["op"]


def test_without_tvm(tmp_path):
    text = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "tvm" else find_spec(name, *rest)
sys.modules["tvm"] = None
"""
    rows = report(tmp_path, write(tmp_path / "stubs" / "sitecustomize.py", text))
    assert problems(rows) == {}
    assert rows["op"]["value"] == "ran eagerly, in tf.function, under XLA"
    assert "pip install 'tensorflow_tvm[compiler]'" in rows["TVM"]["value"]


def test_tvm_that_does_not_work(tmp_path):
    write(tmp_path / "stubs" / "tvm" / "__init__.py", "raise ImportError('half a TVM')")
    write(tmp_path / "stubs" / "tvm" / "lib" / "libtvm_runtime.so", "no library")
    rows = report(tmp_path, tmp_path / "stubs")
    found = problems(rows)
    assert "libtvm_runtime.so" in found["TVM runtime"]
    assert "Compiling needs apache-tvm, which cannot be imported: half a TVM" in found["compiler"]
    assert set(found) == {"TVM runtime", "compiler"}
    assert "pip install apache-tvm==" in rows["compiler"]["cure"]


def test_no_temporary_folder(monkeypatch):
    def mkdtemp(dir: str, **_: str) -> str:
        raise OSError(30, "Read-only file system", dir)

    monkeypatch.setattr(doctor.tempfile, "mkdtemp", mkdtemp)
    folder, memory = doctor._temporary_folders()
    assert "no folder can be written to" in folder.problem
    assert "/tmp (Read-only file system)" in folder.value
    assert "TMPDIR" in folder.cure
    assert memory.problem is None


def test_no_memory_file(monkeypatch):
    def memfd_create(name: str, flags: int) -> int:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", memfd_create)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([0] * 10))
    *_, row = doctor._temporary_folders()
    assert "Operation not permitted" in row.value
    assert row.problem is None
    flags = [0] * 8 + [os.ST_NOEXEC, 0]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(flags))
    *_, row = doctor._temporary_folders()
    assert "nor a temporary folder that code may be run from" in row.problem


GPU = {
    "driver": {"there": True, "version": "13.0", "gpus": 1},
    "tensorflow": {"version": "2.21.0", "cuda": "12.5", "gpus": ["/physical_device:GPU:0"]},
    "package": {"nvcc": "/usr/local/cuda/bin/nvcc"},
    "cuda_runtime": {},
}


@pytest.mark.parametrize(
    ("change", "row", "text"),
    [
        ({}, None, None),
        ({"driver": {"there": False, "missing": "libcuda.so.1: no such file"}}, None, None),
        ({"driver": {"there": True, "missing": "no file"}}, "CUDA driver", "be used: no file"),
        ({"driver": {"there": True, "cuInit": 803}}, "CUDA driver", "cuInit returned 803"),
        ({"tensorflow": {**GPU["tensorflow"], "gpus": []}}, "TensorFlow's GPUs", "not see them"),
        ({"tensorflow": {**GPU["tensorflow"], "cuda": None}}, None, None),
        ({"cuda_runtime": {"error": "OSError: no libcudart.so.13"}}, "CUDA runtime", "libcudart"),
        ({"package": {"nvcc": None}}, None, None),
    ],
)
def test_gpus(change, row, text):
    found = {r.name: r.problem for r in doctor._cuda({**GPU, **change}) if r.problem}
    assert list(found) == ([row] if row else [])
    assert not text or text in found[row]


def test_tensorflow_twice(monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "2.21.0")
    [row] = [row for row in doctor._packages({}) if row.problem]
    assert "the files are a mixture" in row.problem
    assert "pip uninstall tensorflow tensorflow-cpu" in row.cure


def test_a_step_that_does_not_end(tmp_path, monkeypatch):
    write(tmp_path / "tvm_ffi.py", "import threading; threading.Event().wait()")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "_SECONDS", 2.0)
    results, row = doctor._probe()
    assert list(results) == ["copies"]
    assert row.problem.startswith("import tvm_ffi did not end within 2 seconds")


def test_table(monkeypatch, capsys):
    rows = [
        doctor.Row("Python", "3.11"),
        doctor.Row("cache", "/cache", "it is full", "Empty it"),
        doctor.Row("op", "does not work", "it failed", "Mend it"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: rows)
    assert command_line.main(["doctor"]) == 1
    assert capsys.readouterr().out == (
        "  Python  3.11\n"
        "! cache   /cache\n"
        "! op      does not work\n"
        "\nProblem 1: cache: it is full\nCure: Empty it\n"
        "\nProblem 2: op: it failed\nCure: Mend it\n"
        "\n2 problems found\n"
    )
    assert command_line.main(["doctor", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"healthy": False, "rows": [dataclasses.asdict(row) for row in rows]}
    del rows[1:]
    assert command_line.main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("\n0 problems found\n")


def test_wrong_usage(tmp_path):
    process = run_doctor(tmp_path, "--yaml")
    assert process.returncode == 2
    assert "usage: python -m tensorflow_tvm doctor" in process.stderr


def test_without_a_space_after_m(tmp_path):
    write(tmp_path / "stubs" / "tensorflow.py", "raise ImportError('none')")
    process = subprocess.run(
        [sys.executable, "-mtensorflow_tvm", "doctor", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "stubs"), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.startswith("usage: python -m tensorflow_tvm doctor")


def test_a_program_with_a_doctor_of_its_own(tmp_path):
    write(tmp_path / "clinic" / "__init__.py", "import tensorflow_tvm")
    write(tmp_path / "clinic" / "__main__.py", "import sys; print('clinic', *sys.argv[1:])")
    process = subprocess.run(
        [sys.executable, "-m", "clinic", "doctor"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == "clinic doctor\n"
