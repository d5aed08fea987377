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
"""The wheel: what is in it, and that it runs where there is no checkout."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest

import tensorflow_tvm as tftvm
from tensorflow_tvm import op_library, versions

ROOT = Path(__file__).absolute().parents[2]
PACKAGE = ROOT / "tensorflow_tvm"
LIBRARIES = ("_tvm_dso_doctor.so", "_tvm_dso_ops.so", "_tvm_dso_xla.so")


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """Run a program that finds nothing of this checkout by itself; return what it prints."""
    process = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert process.returncode == 0, f"{process.stdout[-2000:]}\n{process.stderr[-4000:]}"
    return process.stdout


def make_wheel(folder: Path, **environment: str) -> Path:
    """Make the wheel as `bazel run //tools:wheel` does."""
    tool = ROOT / "tools" / "make_wheel.py"
    path = Path(run(sys.executable, tool, "--output", folder, **environment).splitlines()[-1])
    assert path.parent == folder
    return path


def pip(python: Path, *arguments: object) -> str:
    """Run pip, without a network, for another Python."""
    common = ["--disable-pip-version-check", "--no-input", "--python", python]
    return run(sys.executable, "-m", "pip", *common, *arguments)


def install(folder: Path, wheel: Path) -> tuple[Path, Path]:
    """Install a wheel into a new virtual environment; return its Python and site-packages."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    pip(python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    [site] = folder.glob("lib/python3*/site-packages")
    return python, site


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "TEST_SRCDIR" not in os.environ:
        built = ROOT / "bazel-bin" / "tensorflow_tvm" / "relocatable" / "_tvm_dso_ops.so"
        if not built.exists():
            pytest.skip("./bazelw build //tensorflow_tvm:relocatable_ops has not been run")
    return make_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A virtual environment with the wheel, beside links to what this Python has."""
    python, site = install(tmp_path_factory.mktemp("environment"), wheel)
    here = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0]).parent
    for path in here.iterdir():
        if not path.name.startswith(("tensorflow_tvm", "__pycache__")):
            (site / path.name).symlink_to(path)
    return python, site


def dist_info(folder: Path) -> importlib.metadata.Distribution:
    """Return what a folder says of the distribution that is in it."""
    [path] = folder.glob("tensorflow_tvm-*.dist-info")
    return importlib.metadata.Distribution.at(path)


def test_name_and_tags(wheel, unpacked):
    assert wheel.name == f"tensorflow_tvm-{tftvm.__version__}-cp311-cp311-linux_x86_64.whl"
    lines = dist_info(unpacked).read_text("WHEEL").splitlines()
    assert "Root-Is-Purelib: false" in lines
    assert [line for line in lines if line.startswith("Tag")] == ["Tag: cp311-cp311-linux_x86_64"]


def test_metadata(unpacked):
    distribution = dist_info(unpacked)
    metadata = distribution.metadata
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert distribution.version == tftvm.__version__
    assert metadata["Name"] == project["name"]
    assert metadata["Summary"] == project["description"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.12,>=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert metadata.get_payload().strip() == readme.strip()

    extras = {"tensorflow", "tensorflow-cpu", "compiler", "cuda"}
    assert (
        set(metadata.get_all("Provides-Extra")) == extras == set(project["optional-dependencies"])
    )
    required = [requirement.replace(" ", "") for requirement in distribution.requires]
    assert {r for r in required if ";" not in r} == {_sorted(r) for r in project["dependencies"]}
    for extra, requirements in project["optional-dependencies"].items():
        marker = f';extra=="{extra}"'
        found = {r.removesuffix(marker) for r in required if r.endswith(marker)}
        assert found == {_sorted(requirement) for requirement in requirements}


def _sorted(requirement: str) -> str:
    name, version = re.fullmatch(r"([\w.-]+?)([<>=].*)?", requirement).groups()
    return name + ",".join(sorted((version or "").split(",")))


def test_metadata_has_the_bounds_that_are_checked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert f"apache-tvm-ffi{versions.TVM_FFI}" in project["dependencies"]
    assert extras["compiler"] == [
        f"apache-tvm=={versions.TVM}",
        f"apache-tvm-ffi=={versions.TVM_FFI_TO_COMPILE}",
    ]
    major, minor, _ = op_library.built_for(op_library.find()).split(".")
    assert versions.TENSORFLOW == f"{major}.{minor}"
    for name in ("tensorflow", "tensorflow-cpu"):
        bound = f"{name}>={major}.{minor},<{major}.{int(minor) + 1}"
        assert extras[name] == [bound]


def test_contents(unpacked):
    [metadata] = unpacked.glob("*.dist-info")
    assert {path.name for path in unpacked.iterdir()} == {"tensorflow_tvm", metadata.name}
    found = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    sources = {path.relative_to(ROOT) for path in PACKAGE.rglob("*.py")}
    tests = {path for path in sources if "tests" in path.parts}
    assert tests and len(sources - tests) > 50
    others = {Path("tensorflow_tvm", name) for name in (*LIBRARIES, "py.typed")}
    ours = {path for path in found if path.parts[0] == "tensorflow_tvm"}
    assert ours == (sources - tests) | others
    license = metadata / "licenses" / "LICENSE"
    assert license.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_record(unpacked):
    [metadata] = unpacked.glob("*.dist-info")
    rows = [line.rsplit(",", 2) for line in (metadata / "RECORD").read_text().splitlines()]
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {name for name, _, _ in rows} == files
    for name, digest, size in rows:
        if name == f"{metadata.name}/RECORD":
            assert (digest, size) == ("", "")
            continue
        content = (unpacked / name).read_bytes()
        found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={found}", str(len(content)))


def test_the_same_files_make_the_same_bytes(wheel, tmp_path):
    again = make_wheel(tmp_path / "again", TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    assert again.read_bytes() == wheel.read_bytes()
    # Neither may have the time at which it was made.
    with zipfile.ZipFile(wheel) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_the_libraries_are_linked_to(unpacked, installed):
    _, site = installed
    for name in ("_tvm_dso_ops.so", "_tvm_dso_xla.so"):
        dynamic = run("readelf", "--dynamic", "--wide", unpacked / "tensorflow_tvm" / name)
        [path] = re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", dynamic)
        assert path == "$ORIGIN:$ORIGIN/../tensorflow:$ORIGIN/../tvm_ffi/lib"
        # As the dynamic loader sees it in a process that has loaded nothing yet.
        needed = run("ldd", site / "tensorflow_tvm" / name)
        assert "not found" not in needed
        for library, folder in [
            ("libtensorflow_framework.so.2", "tensorflow"),
            ("libtvm_ffi.so", "tvm_ffi/lib"),
        ]:
            [found] = re.findall(rf"{re.escape(library)} => (\S+)", needed)
            assert os.path.samefile(found, site / folder / library)


def test_the_dynamic_loader_alone_loads_them(installed):
    python, site = installed
    code = "import ctypes, sys; [ctypes.CDLL(path) for path in sys.argv[1:]]; print('loaded')"
    paths = [site / "tensorflow_tvm" / name for name in ("_tvm_dso_ops.so", "_tvm_dso_xla.so")]
    assert run(python, "-S", "-c", code, *paths) == "loaded\n"


def test_it_is_what_is_imported(installed, tmp_path):
    python, site = installed
    code = "import tensorflow_tvm as t; print(t.__file__, t.sysconfig.get_lib_path(), sep='\\n')"
    files = run(python, "-c", code, cwd=tmp_path).splitlines()
    package = site / "tensorflow_tvm"
    assert files == [str(package / "__init__.py"), str(package / "_tvm_dso_ops.so")]
    assert "tensorflow-tvm" not in pip(python, "check").lower()


def test_quickstart(installed, tmp_path):
    shutil.copyfile(ROOT / "examples" / "quickstart.py", tmp_path / "quickstart.py")
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "data")
    printed = run(installed[0], "quickstart.py", "--output", "edges.png", cwd=tmp_path)
    assert "edges       Session" in printed
    assert (tmp_path / "edges.png").stat().st_size > 10_000


def test_cpp_functions(installed, tmp_path):
    """Also by tvm-ffi's compiler alone, as the process has no TVM."""
    for name in ("main.py", "functions.cc"):
        shutil.copyfile(ROOT / "examples" / "tvm_ffi_cpp" / name, tmp_path / name)
    code = "import runpy, sys; sys.modules['tvm'] = None; runpy.run_path('main.py', {}, '__main__')"
    # It compiles in a folder of its own; what tvm-ffi caches stays here.
    printed = run(installed[0], "-c", code, cwd=tmp_path, HOME=str(tmp_path))
    assert "nonzero  tf.data      same" in printed


SAVE = """
import sys
import tensorflow as tf
import tensorflow_tvm as tftvm
from tvm import te

n = te.var("n")
x = te.placeholder((n,), "float32", name="x")
tftvm.export_library({"double": [x, te.compute((n,), lambda i: x[i] * 2.0)]}, "double.so")
double = tftvm.Module("double.so")["double"]

class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, x):
        return double(x)

tf.saved_model.save(Model(), "model")
"""

LOAD = """
import sys
sys.modules["tvm"] = None
import tensorflow as tf
import tensorflow_tvm
print(tf.saved_model.load("model")(tf.constant([1.0, 2.5])).numpy())
"""


@pytest.fixture(scope="module")
def saved(installed, tmp_path_factory) -> Path:
    """A folder with a library and a model, made by the installed package."""
    folder = tmp_path_factory.mktemp("saved")
    run(installed[0], "-c", SAVE, cwd=folder, TENSORFLOW_TVM_CACHE_DIR="")
    return folder


def test_saved_model(installed, saved):
    assert run(installed[0], "-c", LOAD, cwd=saved) == "[2. 5.]\n"


def test_command_line(installed, saved):
    printed = run(installed[0], "-m", "tensorflow_tvm", "inspect", "double.so", cwd=saved)
    assert re.search(r"double +\(x: float32\[n\]\) -> ", printed)


def test_doctor(installed, tmp_path):
    python, site = installed
    cache = tmp_path / "cache"
    report = json.loads(
        run(
            *(python, "-m", "tensorflow_tvm", "doctor", "--json"),
            cwd=tmp_path,
            TENSORFLOW_TVM_CACHE_DIR=str(cache),
        )
    )
    assert report["healthy"]
    rows = {row["name"]: row["value"] for row in report["rows"]}
    assert rows["tensorflow_tvm"] == f"{tftvm.__version__}  {site / 'tensorflow_tvm'}"
    assert str(site / "tensorflow_tvm" / "_tvm_dso_ops.so") in rows["op library"]
    assert "under XLA" in rows["op"]
    assert "which ran" in rows["compiler"]


def test_what_importing_it_brings(installed, tmp_path):
    code = """
    import sys
    import tensorflow
    before = {*sys.modules}
    import tensorflow_tvm
    new = {name.partition(".")[0] for name in {*sys.modules} - before}
    print(*sorted(new - {*sys.stdlib_module_names}))
    print(*sorted(name for name in sys.modules if name.startswith("tensorflow_tvm.")))
    """
    printed = run(installed[0], "-c", textwrap.dedent(code), cwd=tmp_path)
    packages, modules = printed.splitlines()
    # No compiler, and nothing of tuning, which take a second or more. What TensorFlow makes of an
    # op library is a module that is called like a digest.
    named = {name for name in packages.split() if not re.fullmatch("[0-9a-f]{40}", name)}
    assert named <= {"packaging", "tensorflow_tvm", "tvm_ffi"}
    for name in ("compiler", "device_code", "doctor", "schedules", "targets", "tuning.session"):
        assert f"tensorflow_tvm.{name}" not in modules.split()
        assert importlib.util.find_spec(f"tensorflow_tvm.{name}")


def test_uninstalled_it_leaves_nothing(wheel, tmp_path):
    python, site = install(tmp_path / "environment", wheel)
    assert (site / "tensorflow_tvm" / "__init__.py").is_file()
    pip(python, "uninstall", "--yes", "tensorflow-tvm")
    assert list(site.iterdir()) == []
