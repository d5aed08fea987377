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
"""Building for CUDA on machines without a GPU: what is in the library, and the errors."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tvm import s_tir, te, topi

import tensorflow_tvm as tftvm
from tensorflow_tvm import device_code
from tensorflow_tvm.__main__ import main


@pytest.fixture(autouse=True)
def nvcc():
    if device_code.find_nvcc() is None:
        pytest.skip("no nvcc: install CUDA's toolkit or the packages of requirements.txt")


def _addone():
    n = te.var("n")
    x = te.placeholder((n,), "float32", name="x")
    return [x, te.compute((n,), lambda i: x[i] + 1.0, name="addone")]


def _built(obj, target, tmp_path, name="f"):
    path = tmp_path / "f.so"
    tftvm.export_library({name: obj}, path, target)
    return path.read_bytes()


def _packaged_nvcc():
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec else ()
    found = [Path(place) / "cu13/bin/nvcc" for place in places]
    return next((path for path in found if path.exists()), None)


def test_default_architectures(tmp_path):
    content = _built(_addone(), "cuda", tmp_path)
    found = set(device_code.architectures_in(content))
    assert (
        {"sm_80", "sm_86", "sm_89", "sm_90"}
        <= found
        <= {
            *device_code.DEFAULT_ARCHITECTURES,
            "compute_90",
            "compute_120",
        }
    )
    newest = max(int(name[3:]) for name in found if name.startswith("sm_"))
    assert f"compute_{newest}" in found
    assert b"__global__" not in content, "CUDA C is left for the runtime to compile"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"kind": "cuda", "arch": "sm_80"}, {"sm_80", "compute_80"}),
        ({"kind": "cuda", "arch": ["sm_90", "sm_75"]}, {"sm_75", "sm_90", "compute_90"}),
        ({"kind": "cuda", "arch": "sm_90a"}, {"sm_90"}),
        ("nvidia/nvidia-a100", {"sm_80", "compute_80"}),
    ],
    ids=str,
)
def test_explicit_architectures(tmp_path, target, expected):
    assert set(device_code.architectures_in(_built(_addone(), target, tmp_path))) == expected


def test_nvcc_of_the_python_package(tmp_path, monkeypatch):
    packaged = _packaged_nvcc()
    if packaged is None:
        pytest.skip("nvidia-cuda-nvcc is not installed")
    monkeypatch.setenv("CUDACXX", str(packaged))
    assert device_code.find_nvcc() == str(packaged)
    x = te.placeholder((64, 64), "float16", name="x")
    content = _built([x, topi.matmul(x, x)], {"kind": "cuda", "arch": "sm_80"}, tmp_path)
    assert "sm_80" in device_code.architectures_in(content)


def test_nvcc_that_is_named_comes_first(monkeypatch, tmp_path):
    names = []
    for name in ("CUDACXX", "CUDA_HOME"):
        path = tmp_path / name / "bin" / "nvcc"
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o700)
        names.append(str(path))
    monkeypatch.setenv("CUDACXX", names[0])
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "CUDA_HOME"))
    assert device_code.find_nvcc() == names[0]
    monkeypatch.delenv("CUDACXX")
    assert device_code.find_nvcc() == names[1]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "bool"])
def test_dtypes(tmp_path, dtype):
    n = te.var("n")
    x = te.placeholder((n,), dtype, name="x")
    _built([x, te.compute((n,), lambda i: x[i])], {"kind": "cuda", "arch": "sm_80"}, tmp_path)


def test_function_with_threads_bound_by_hand(tmp_path):
    schedule = s_tir.Schedule(te.create_prim_func(_addone()))
    (loop,) = schedule.get_loops(schedule.get_sblock("addone"))
    outer, inner = schedule.split(loop, [None, 64])
    schedule.bind(outer, "blockIdx.x")
    schedule.bind(inner, "threadIdx.x")
    content = _built(schedule, {"kind": "cuda", "arch": "sm_80"}, tmp_path)
    assert "sm_80" in device_code.architectures_in(content)


def test_functions_without_schedule(tmp_path):
    x = te.placeholder((128, 256), "float32", name="x")
    w = te.placeholder((256, 64), "float32", name="w")
    functions = {
        "matmul": [x, w, topi.matmul(x, w)],
        "sum": [x, topi.sum(x, axis=1)],
        "softmax": [x, topi.nn.softmax(x)],
        "transpose": [x, topi.transpose(x)],
    }
    path = tmp_path / "f.so"
    tftvm.export_library(functions, path, {"kind": "cuda", "arch": "sm_80"})
    assert "sm_80" in device_code.architectures_in(path.read_bytes())


def test_second_build_is_taken_from_the_cache(tmp_path, monkeypatch):
    target = {"kind": "cuda", "arch": "sm_86"}
    first = _built(_addone(), target, tmp_path)
    monkeypatch.setattr(device_code, "pack", None)
    assert _built(_addone(), target, tmp_path) == first
    with pytest.raises(ValueError, match="Cannot build"):
        _built(_addone(), {"kind": "cuda", "arch": "sm_89"}, tmp_path)


# Errors.


def test_no_nvcc(monkeypatch):
    monkeypatch.setattr(device_code, "find_nvcc", lambda: None)
    with pytest.raises(ValueError, match="needs NVIDIA's compiler.*tensorflow_tvm.cuda."):
        tftvm.build(_addone(), "cuda")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("sm_20", "does not compile for sm_20; it does for sm_"),
        (["sm_80", "sm_20"], "does not compile for sm_20; it does for sm_"),
        ("ampere", "arch has 'ampere'; expected a name such as 'sm_80'"),
        (["sm_80", 90], "arch has 90; expected a name such as 'sm_80'"),
        (80, "arch is 80; expected a name such as 'sm_80', or a list"),
        ([], r"arch is \[\]; expected"),
    ],
    ids=str,
)
def test_architectures_that_cannot_be(architecture, message):
    with pytest.raises(ValueError, match=message):
        tftvm.build(_addone(), {"kind": "cuda", "arch": architecture})


@pytest.mark.parametrize("script", ["exit 1", "echo", "echo sm_80"])
def test_broken_nvcc(monkeypatch, tmp_path, script):
    path = tmp_path / "nvcc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("CUDACXX", str(path))
    with pytest.raises(ValueError, match="nvcc"):
        tftvm.build(_addone(), {"kind": "cuda", "arch": "sm_80"})


def test_what_nvcc_refuses(monkeypatch, tmp_path):
    path = tmp_path / "nvcc"
    path.write_text(
        '#!/bin/sh\ncase "$1" in\n--version) echo release 1.0;;\n--list-gpu-code) echo sm_80;;\n'
        '*) echo "kernels.cu(7): error: no such thing" >&2; exit 2;;\nesac\n'
    )
    path.chmod(0o700)
    monkeypatch.setenv("CUDACXX", str(path))
    with pytest.raises(ValueError, match="Cannot build .*nvcc failed: .*no such thing"):
        tftvm.build(_addone(), {"kind": "cuda", "arch": "sm_80"})


# One file for both.


def test_library_for_both_runs_without_a_gpu(tmp_path):
    content = _built(_addone(), ["host", {"kind": "cuda", "arch": "sm_80"}], tmp_path)
    assert set(device_code.architectures_in(content)) == {"sm_80", "compute_80"}
    x = tf.constant([1.0, 2.0])
    np.testing.assert_array_equal(tftvm.Module(content)["f"](x), [2.0, 3.0])
    np.testing.assert_array_equal(
        tftvm.Module(content).func("f", target_device="cpu")(x), [2.0, 3.0]
    )


def test_inspect_shows_both(tmp_path, capsys):
    path = tmp_path / "f.so"
    targets = [{"kind": "cuda", "arch": "sm_80"}, "llvm"]
    tftvm.export_library({"addone": _addone()}, path, targets)
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "devices   CPU, CUDA" in text and "sm_80" in text
    assert main(["inspect", "--json", str(path)]) == 0
    description = json.loads(capsys.readouterr().out)
    assert description["functions"][0]["devices"] == ["cpu", "cuda"]
    assert set(description["cuda_architectures"]) == {"sm_80", "compute_80"}


def test_inspect_of_one_for_processors(tmp_path, capsys):
    path = tmp_path / "f.so"
    tftvm.export_library({"addone": _addone()}, path)
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "devices   CPU\n" in text and "CUDA" not in text


@pytest.mark.parametrize(
    "target", [[], ["host"], ["host", "llvm"], ["cuda", "cuda"], ["host", "cuda", "cuda"]], ids=str
)
def test_lists_of_targets_that_cannot_be(target):
    with pytest.raises(ValueError, match="one for processors and one for CUDA"):
        tftvm.build(_addone(), target)


def test_part_for_cuda_that_is_damaged(tmp_path):
    """It is not looked at on a processor, and its symbol's range is checked before it is."""
    content = _built(_addone(), ["llvm", {"kind": "cuda", "arch": "sm_80"}], tmp_path)
    start = content.index(b"\x7fELF", 1)
    damaged = content[:start] + b"garbage" + content[start + 7 :]
    np.testing.assert_array_equal(tftvm.Module(damaged)["f"](tf.constant([1.0])), [2.0])


def test_environment_is_left_alone(tmp_path):
    before = dict(os.environ)
    _built(_addone(), {"kind": "cuda", "arch": "sm_87"}, tmp_path)
    assert dict(os.environ) == before
