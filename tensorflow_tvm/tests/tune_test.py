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
"""tensorflow_tvm.tune: what it finds, stores and refuses."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tvm
from tvm import te, tirx, topi
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm import prim_functions, schedules, targets

ROOT = Path(__file__).absolute().parents[2]
SHAPES = [(512, 32), (500, 32)]

# The default schedule of distances is several times slower than what a search finds.
SOURCE = """
import tensorflow as tf
from tvm import te

x = te.placeholder((512, 32), "float32", name="x")
y = te.placeholder((500, 32), "float32", name="y")
k = te.reduce_axis((0, 32), name="k")
distances = te.compute((512, 500), lambda i, j: te.sum(te.abs(x[i, k] - y[j, k]), axis=k))
FUNCTIONS = {"distances": [x, y, distances]}
REFERENCES = {"distances": lambda x, y: tf.reduce_sum(tf.abs(x[:, None] - y), axis=2)}
"""


def distances_of(x: te.Tensor, y: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, x.shape[1]), name="k")
    shape = (x.shape[0], y.shape[0])
    return te.compute(shape, lambda i, j: te.sum(te.abs(x[i, k] - y[j, k]), axis=k), name="sum")


def distances() -> list[te.Tensor]:
    x, y = (te.placeholder(s, "float32", name=n) for s, n in zip(SHAPES, "xy", strict=True))
    return [x, y, distances_of(x, y)]


def reference(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.abs(x[:, None] - y), axis=2)


def product(size: int = 32) -> list[te.Tensor]:
    x, y = (te.placeholder((size, size), "float32", name=name) for name in "xy")
    return [x, y, topi.matmul(x, y)]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Let no test find what another, or the user, has tuned."""
    from tensorflow_tvm.tuning import database

    monkeypatch.setenv("TENSORFLOW_TVM_TUNING_DIR", str(tmp_path / "tuned"))
    monkeypatch.setattr(database, "_given", [])
    monkeypatch.setattr(database, "_warned", set())
    return tmp_path / "tuned"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> tuple[Path, tftvm.Tuning]:
    """Distances, tuned once: the folder and the result."""
    folder = tmp_path_factory.mktemp("tuned")
    tuning = tftvm.tune(
        distances(), trials=8, name="l1", reference=reference, database=folder, verbose=False
    )
    return folder, tuning


@pytest.fixture
def use_tuned(tuned, monkeypatch) -> Path:
    monkeypatch.setenv("TENSORFLOW_TVM_TUNING_DIR", str(tuned[0]))
    return tuned[0]


def test_result(tuned):
    folder, tuning = tuned
    (result,) = tuning
    assert isinstance(tuning, tftvm.Tuning) and isinstance(result, tftvm.TuningResult)
    assert result.function == "l1"
    assert result.trials == len(result.history) == 8
    assert all(value is None or value > 0 for value in result.history)
    assert result.default > 0 and result.tuned > 0 and result.reference > 0
    assert result.path is not None and Path(result.path).parent == folder
    assert result.speedup == result.default / result.tuned > 1
    table = str(tuning)
    assert "l1" in table and f"{result.speedup:.2f}" in table and table.endswith("stored")


def test_entry_says_what_it_is_of(tuned):
    document = json.loads(Path(tuned[1][0].path).read_text())
    assert document["function"] == "l1" and document["trials"] == 8
    assert document["versions"]["apache-tvm"] == tvm.__version__
    assert json.loads(document["target"])["kind"] == "llvm"


def test_build_uses_it(use_tuned):
    assert "tuned: " in str(tftvm.explain(distances()))
    x, y = (tf.random.stateless_normal(shape, [1, 2]) for shape in SHAPES)
    function = tftvm.build(distances(), name="l1")["l1"]
    np.testing.assert_allclose(function(x, y), reference(x, y), rtol=1e-5)
    np.testing.assert_allclose(tf.function(function)(x, y), reference(x, y), rtol=1e-5)


@pytest.mark.parametrize(
    "target", ["llvm", {"kind": "llvm", "mcpu": "haswell", "num-cores": 3}, "c"]
)
def test_another_target_does_not_get_it(use_tuned, target):
    assert "tuned" not in str(tftvm.explain(distances(), target))


def test_another_function_does_not_get_it(use_tuned):
    x, y, result = distances()
    root = te.compute(result.shape, lambda *i: te.sqrt(result(*i)), name="root")
    assert "tuned" not in str(tftvm.explain([x, y, root]))


def test_another_version_does_not_get_it(use_tuned, monkeypatch):
    monkeypatch.setattr(tvm, "__version__", "0.27.1")
    assert "tuned" not in str(tftvm.explain(distances()))


def test_name_does_not_matter(use_tuned):
    assert "tuned: " in str(tftvm.explain(distances(), name="something_else"))
    function = te.create_prim_func(distances())
    assert "tuned: " in str(tftvm.explain({"l1": function}))


def test_database_is_looked_into_by_this_process(tuned, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    name = Path(tuned[1][0].path).name
    (folder / name).write_text(Path(tuned[1][0].path).read_text())
    assert "tuned" not in str(tftvm.explain(distances()))
    tftvm.tune(product(), trials=1, database=folder, verbose=False)
    assert "tuned: " in str(tftvm.explain(distances()))


def test_empty_variable_switches_it_off(tuned, monkeypatch):
    monkeypatch.setenv("TENSORFLOW_TVM_TUNING_DIR", "")
    assert "tuned" not in str(tftvm.explain(distances()))
    with pytest.raises(ValueError, match="nowhere to store.*database="):
        tftvm.tune(product(), trials=1, verbose=False)


def test_several_folders(use_tuned, monkeypatch, tmp_path):
    monkeypatch.setenv("TENSORFLOW_TVM_TUNING_DIR", f"{tmp_path / 'none'}:{use_tuned}")
    assert "tuned: " in str(tftvm.explain(distances()))


@pytest.mark.parametrize("content", ["", "{", '{"seconds": 3}', "null", "no trace"])
def test_damaged_entry_is_not_used(tuned, own_folder, content, caplog):
    path = Path(tuned[1][0].path)
    if content == "no trace":
        document = json.loads(path.read_text())
        document["trace"][0][0] = ["NoSuchStep", [], [], []]
        content = json.dumps(document)
    own_folder.mkdir()
    (own_folder / path.name).write_text(content)
    with caplog.at_level(logging.WARNING, "tensorflow_tvm"):
        for _ in range(2):
            assert "tuned" not in str(tftvm.explain(distances()))
    assert caplog.text.count("cannot be used") == 1 and path.name in caplog.text


def test_op_is_compiled_anew(own_folder):
    @tftvm.op
    def l1(x, y):
        return distances_of(x, y)

    with pytest.raises(ValueError, match="'l1' has not been compiled.*Call it"):
        tftvm.tune(l1)
    x, y = (tf.random.stateless_normal(shape, [1, 2]) for shape in SHAPES)
    before = l1(x, y)
    (result,) = tftvm.tune(l1, trials=8, verbose=False)
    assert result.function.startswith("l1(x: float32[512, 32]")
    assert result.path is not None and Path(result.path).parent == own_folder
    assert "tuned: " in str(tftvm.explain(l1))
    np.testing.assert_allclose(l1(x, y), before, rtol=1e-5)


def test_what_is_not_faster_is_not_stored(own_folder):
    (result,) = tuning = tftvm.tune(product(256), trials=1, verbose=False)
    assert result.path is None and result.speedup == 1 and not list(own_folder.iterdir())
    assert str(tuning).endswith("the default stays")


def test_several_functions_and_dtypes():
    i = te.placeholder((40, 30), "int32", name="i")
    b = te.placeholder((40,), "bfloat16", name="b")
    functions = {
        "ints": [i, te.compute((40,), lambda j: i[j, 3] * 2, name="o")],
        "bfloats": [b, te.compute((40,), lambda j: b[j] + b[0], name="o")],
        "exp": [b, te.compute((40,), lambda j: te.exp(b[j].astype("float32")), name="o")],
    }
    results = tftvm.tune(functions, trials=1, verbose=False)
    assert [result.function for result in results] == list(functions)
    assert all(None not in result.history for result in results), results


def test_budget_of_seconds():
    (result,) = tftvm.tune(product(), trials=10_000, seconds=0.01, verbose=False)
    assert result.trials < 100 and result.default > 0


def test_interrupt_keeps_what_was_found():
    def interrupting(x, y):
        signal.raise_signal(signal.SIGINT)
        return x @ y

    before = signal.getsignal(signal.SIGINT)
    (result,) = tftvm.tune(product(), trials=64, reference=interrupting, verbose=False)
    assert result.trials < 64 and result.default > 0 and result.reference > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_progress(capfd):
    tftvm.tune(product(), trials=2, reference=tf.matmul, name="mm")
    lines = capfd.readouterr().err.splitlines()
    assert any("tuning mm: 2 of 2 trials; best kernel" in line for line in lines), lines
    assert any("TensorFlow's op" in line and "left" in line for line in lines), lines
    assert "tuning mm: 2 trials: " in lines[-1], lines


def test_plot(tuned, tmp_path):
    tuned[1].plot(tmp_path / "tuning.svg")
    assert "trial" in (tmp_path / "tuning.svg").read_text()
    with pytest.raises(ValueError, match="nothing to plot"):
        tftvm.Tuning().plot(tmp_path / "none.svg")


@T.prim_func(s_tir=True)
def scaled(x: T.Buffer((4,), "float32"), k: T.int32, y: T.Buffer((4,), "float32")):
    for i in range(4):
        with T.sblock("y"):
            v = T.axis.spatial(4, i)
            y[v] = x[v] * T.Cast("float32", k)


def symbolic() -> list[te.Tensor]:
    x = te.placeholder((te.var("n"),), "float32", name="x")
    return [x, te.compute(x.shape, lambda i: x[i] + 1.0, name="y")]


def output_first() -> tvm.tirx.PrimFunc:
    x = te.placeholder((4,), "float32", name="x")
    return te.create_prim_func([te.compute((4,), lambda i: x[i] + 1.0, name="y"), x])


def scheduled() -> tvm.s_tir.Schedule:
    return tvm.s_tir.Schedule(te.create_prim_func(product()))


@pytest.mark.parametrize(
    ("obj", "options", "error", "message"),
    [
        (symbolic(), {"name": "f"}, ValueError, "Cannot tune 'f': its sizes n are not known"),
        (scheduled(), {}, ValueError, "Cannot tune 'main': its author has scheduled it"),
        (scaled, {}, ValueError, "Cannot tune 'scaled': it takes the attrs k"),
        (output_first(), {}, ValueError, "Cannot tune 'main': an input comes after an output"),
        (3, {}, TypeError, "Given int; expected TE tensors"),
        (product(), {"trials": 0}, ValueError, "trials must be an integer of at least 1, given 0"),
        (product(), {"trials": 2.5}, ValueError, "trials must be an integer"),
        (product(), {"seconds": -1}, ValueError, "seconds must be a number above 0, or None"),
        (product(), {"seconds": "1"}, ValueError, "seconds must be a number above 0, or None"),
        (product(), {"seed": -1}, ValueError, "seed must be an integer of at least 0, given -1"),
        (product(), {"target": "c"}, ValueError, "target 'c' cannot be tuned for"),
        (product(), {"target": "vax"}, ValueError, "target 'vax' is not known"),
        (product(), {"reference": 3}, TypeError, "reference must be a function on tensors"),
        (product(), {"reference": {"f": abs}}, ValueError, "reference has 'f', and .* main"),
        (
            {"f": product(), "g": product()},
            {"reference": tf.matmul},
            ValueError,
            "reference is one function, and 2 are tuned: f, g",
        ),
        (
            product(),
            {"reference": lambda x, y: x[0]},
            ValueError,
            r"reference returns \(float32\[32\]\), and the function is",
        ),
        (
            product(),
            {"reference": lambda x: x},
            ValueError,
            "Cannot tune 'main': reference failed on tensors",
        ),
        (product(), {"database": __file__}, ValueError, "Cannot store tuned schedules in"),
    ],
)
def test_mistakes(obj, options, error, message):
    with pytest.raises(error, match=message):
        tftvm.tune(obj, **{"trials": 1, "verbose": False, **options})


def test_processor_that_this_is_not():
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor can run what others cannot")
    target = {"kind": "llvm", "mcpu": "skylake-avx512"}
    with pytest.raises(ValueError, match="cannot be measured on this machine: it crashed: SIGILL"):
        tftvm.tune(product(64), target, trials=1, verbose=False)


def test_missing_xgboost(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match="pip install xgboost-cpu"):
        tftvm.tune(product(), trials=1, verbose=False)


@T.prim_func(s_tir=True)
def good(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
    for i in range(4):
        y[i] = x[i]


@T.prim_func(s_tir=True)
def wrong(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
    for i in range(4):
        y[i] = x[i] + T.float32(1)


@T.prim_func(s_tir=True)
def unwritten(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
    for i in range(3):
        y[i] = x[i]


@T.prim_func(s_tir=True)
def outside(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
    for i in range(4):
        y[i] = x[i]
    y[5] = T.float32(1)


@T.prim_func(s_tir=True)
def crashing(x: T.Buffer((4,), "float32"), y: T.Buffer((4,), "float32")):
    T.evaluate(T.call_extern("void", "abort"))
    for i in range(4):
        y[i] = x[i]


def test_bad_schedules_do_no_harm():
    from tensorflow_tvm.tuning.measure import Measurer

    with Measurer(good, 1, targets.host(), 0, lambda: False) as measurer:
        assert measurer.default > 0
        for function, message in (
            (wrong, "output 0 differs"),
            (unwritten, "output 0 differs"),
            (outside, "outside its tensors"),
            (crashing, "crashed: SIGABRT"),
        ):
            with pytest.raises(ValueError, match=message):
                measurer.measure(function, 1.0)
            assert measurer.measure(good, 1.0) > 0


def test_command_line(tmp_path):
    source = tmp_path / "kernels.py"
    source.write_text(SOURCE)
    plot = tmp_path / "p.svg"
    options = ["--trials=8", f"--plot={plot}"]
    process = run("-m", "tensorflow_tvm", "tune", source, "distances", *options)
    assert process.returncode == 0, process.stderr
    assert "distances" in process.stdout and "stored" in process.stdout, process.stdout
    assert "8 of 8 trials" in process.stderr, process.stderr
    assert plot.exists()

    # The tool behind the Bazel rule uses it if it is told to, and only then.
    libraries = []
    for tuned in ([], sorted((tmp_path / "tuned").glob("*.json"))):
        libraries.append(tmp_path / f"{len(tuned)}.so")
        tool = ROOT / "tools" / "tvm_library.py"
        process = run(tool, source, f"--output={libraries[-1]}", "--tuned", *tuned)
        assert process.returncode == 0, process.stderr
    assert libraries[0].read_bytes() != libraries[1].read_bytes()


def test_command_line_mistakes(tmp_path):
    source = tmp_path / "kernels.py"
    source.write_text(SOURCE)
    process = run("-m", "tensorflow_tvm", "tune", source, "angles")
    assert process.returncode == 1
    assert "there is no function 'angles'; there are distances" in process.stderr, process.stderr
    process = run("-m", "tensorflow_tvm", "tune", tmp_path / "none.py")
    assert process.returncode == 1 and "none.py" in process.stderr, process.stderr


def test_schedule_of_entry_is_that_of_the_candidate(use_tuned):
    """What is applied for users is a schedule, and still the same function."""
    (function,) = prim_functions.collect(distances()).values()
    scheduled = schedules.apply(function, targets.host())
    assert schedules.is_scheduled(scheduled)
    assert isinstance(scheduled, tirx.PrimFunc)
    assert str(prim_functions.signature_of(scheduled)) == str(prim_functions.signature_of(function))
