"""configure.py: what it finds, what it refuses, what it writes."""

import os
import pathlib
import sys

import pytest

import configure


@pytest.fixture
def facts(tmp_path):
    """What a healthy Python answers."""
    found = {
        "python.path": "/venv/bin/python",
        "python.version": "3.11.2",
        "tensorflow.version": "2.21.0",
        "tensorflow.cxxflags": "-D_GLIBCXX_USE_CXX11_ABI=1 --std=c++17",
        "tensorflow.cuda": "",
        "tvm_ffi.version": configure.TVM_FFI,
        "tvm.version": configure.TVM,
    }
    for package in ("tensorflow", "tvm_ffi", "tvm"):
        for folder in ("include", "lib"):
            path = tmp_path / package / folder
            path.mkdir(parents=True)
            found[f"{package}.{folder}"] = str(path)
    return found


@pytest.fixture
def toolkit(tmp_path):
    """A folder that looks like a CUDA toolkit."""
    header = tmp_path / "cuda" / "include" / "cuda.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define CUDA_VERSION 12050\n")
    return header.parent.parent


def test_probe_of_this_python():
    facts = configure.probe(sys.executable)
    configure.check(facts)
    assert facts["python.path"] == os.path.abspath(sys.executable)
    assert pathlib.Path(facts["tensorflow.include"], "tensorflow/core/framework/op.h").exists()
    assert pathlib.Path(facts["tvm_ffi.include"], "tvm/ffi/c_api.h").exists()
    assert pathlib.Path(facts["tvm_ffi.lib"], "libtvm_ffi.so").exists()
    assert "-D_GLIBCXX_USE_CXX11_ABI=" in facts["tensorflow.cxxflags"]


def test_healthy_environment(facts):
    configure.check(facts)


def test_tvm_is_needed_to_compile_kernels_only(facts):
    for key in [key for key in facts if key.startswith("tvm.")]:
        del facts[key]
    configure.check(facts)
    assert "not found" in configure.table(facts)


@pytest.mark.parametrize(
    ("key", "version", "named"),
    [
        ("tensorflow", "2.20.0", "TensorFlow 2.20.0; it has to be 2.21.*"),
        ("tensorflow", "2.210.0", "TensorFlow 2.210.0"),
        ("tvm_ffi", "0.1.15.post2", "apache-tvm-ffi 0.1.15.post2; it has to be 0.1.14.post1"),
        ("tvm", "0.28.0", "apache-tvm 0.28.0; it has to be 0.27.0.post1"),
    ],
)
def test_wrong_version(facts, key, version, named):
    facts[f"{key}.version"] = version
    with pytest.raises(configure.ConfigureError) as raised:
        configure.check(facts)
    assert named in str(raised.value)
    assert "pip install -r requirements.txt" in str(raised.value)


@pytest.mark.parametrize("key", ["tensorflow", "tvm_ffi"])
def test_missing_package(facts, key):
    del facts[f"{key}.version"]
    with pytest.raises(configure.ConfigureError, match="is not installed in /venv/bin/python"):
        configure.check(facts)


def test_package_that_does_not_import(facts):
    facts["tensorflow.error"] = "ImportError: libfoo.so: no such file"
    with pytest.raises(configure.ConfigureError, match="does not work .* libfoo.so"):
        configure.check(facts)


def test_broken_installation(facts):
    os.rmdir(facts["tensorflow.include"])
    with pytest.raises(configure.ConfigureError, match="include is missing"):
        configure.check(facts)


def test_no_such_python():
    with pytest.raises(configure.ConfigureError, match="/no/python is not a Python"):
        configure.probe("/no/python")


def test_python_that_fails():
    with pytest.raises(configure.ConfigureError, match="could not be probed"):
        configure.probe("false")


def test_cuda_by_flag(toolkit):
    assert configure.find_cuda(str(toolkit), None) == {
        "cuda.version": "12.5",
        "cuda.include": str(toolkit / "include"),
    }


def test_nvcc_is_told_to_bazel(facts, toolkit):
    nvcc = toolkit / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.touch()
    facts |= configure.find_cuda(str(toolkit), None)
    assert f"--test_env=CUDACXX={nvcc}" in configure.rc_text(facts)
    assert str(nvcc) in configure.table(facts)


def test_cuda_by_flag_that_is_wrong(tmp_path):
    with pytest.raises(configure.ConfigureError, match="no include/cuda.h there"):
        configure.find_cuda(str(tmp_path), None)


def test_cuda_by_environment(toolkit, monkeypatch):
    monkeypatch.setenv("CUDA_HOME", str(toolkit))
    assert configure.find_cuda(None, None)["cuda.version"] == "12.5"


def _nothing_around(monkeypatch):
    """No toolkit in the environment, on PATH or in /usr/local."""
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setattr(configure.shutil, "which", lambda program: None)
    is_file = pathlib.Path.is_file
    usual = "/usr/local/cuda/"
    monkeypatch.setattr(
        pathlib.Path, "is_file", lambda path: not str(path).startswith(usual) and is_file(path)
    )


def test_cuda_of_the_nvcc_on_path(toolkit, monkeypatch):
    nvcc = toolkit / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.touch()
    _nothing_around(monkeypatch)
    monkeypatch.setattr(configure.shutil, "which", lambda program: str(nvcc))
    assert configure.find_cuda(None, None)["cuda.nvcc"] == str(nvcc)


def test_cuda_of_python_packages(toolkit, monkeypatch):
    _nothing_around(monkeypatch)
    toolkit.rename(toolkit.parent / "cu13")
    found = configure.find_cuda(None, str(toolkit.parent))
    assert found["cuda.include"] == str(toolkit.parent / "cu13" / "include")


def test_cuda_is_optional(facts, tmp_path, monkeypatch):
    _nothing_around(monkeypatch)
    assert configure.find_cuda(None, str(tmp_path)) == {}
    assert "(optional)" in configure.table(facts)
    assert "CUDACXX" not in configure.rc_text(facts)


def test_main_writes_one_file_and_repeats_itself(facts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configure, "ROOT", tmp_path / "root")
    monkeypatch.setattr(configure, "probe", lambda python: facts)
    (tmp_path / "root").mkdir()
    assert configure.main(["--python=x"]) == 0
    (rc,) = (tmp_path / "root").iterdir()
    text = rc.read_text()
    assert rc.name == configure.RC
    assert f"# fact: tensorflow.include={facts['tensorflow.include']}\n" in text
    assert "build --test_env=PATH=/venv/bin:" in text
    assert "2.21.0 (CPU)" in capsys.readouterr().out
    assert configure.main(["--python=x"]) == 0
    assert rc.read_text() == text


def test_main_writes_nothing_for_a_wrong_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configure, "ROOT", tmp_path)
    assert configure.main(["--python=/no/python"]) == 1
    assert "configure.py: /no/python is not a Python" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
