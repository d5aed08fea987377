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
"""The benchmark of schedules: that it runs, and what it makes of its figures."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import Case

SCRIPT = Path(__file__).absolute().parents[2] / "benchmarks" / "schedules.py"


@pytest.fixture(scope="module")
def schedules():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("schedules_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses looks there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_quick_run_writes_figures(schedules, tmp_path, capfd):
    output, plot = tmp_path / "figures.json", tmp_path / "plot.svg"
    options = ["--quick", "--only", "add one", "--output", str(output), "--plot", str(plot)]
    assert schedules.main(options) == 0
    document = json.loads(output.read_text())
    assert document["versions"]["tensorflow_tvm"]
    rows = document["results"]
    assert {row["kernel"] for row in rows} == {"add one, 16 K"}
    for row in rows:
        assert set(row["microseconds"]) == set(schedules.SIDES)
        assert 0 < row["share"]
        assert row["TensorFlow / default"]["median"] > 0
        assert row["TensorFlow / tuned"]["median"] > 0
    assert {str(row["threads"]) for row in rows} == set(document["flags"]["peaks"])
    assert "| add one, 16 K |" in capfd.readouterr().out
    assert plot.read_text().lstrip().startswith("<?xml")


def test_the_best_form_counts(schedules):
    kernel = schedules.Kernel("k", [], print, {}, operations=10)
    times = {
        "as written": 8.0,
        "default": 2.0,
        "tuned": 1.0,
        "TensorFlow: a": 6.0,
        "TensorFlow: b": 4.0,
        "XLA: a": 1.0,
        "XLA: b": 3.0,
    }
    cases = [Case(name, "k", print, times=[value] * 3) for name, value in times.items()]
    row = schedules.row_of(kernel, cases, 7, {"flops": 50.0, "bandwidth": 1.0})
    assert row["TensorFlow / default"]["median"] == 2.0
    assert row["TensorFlow / tuned"]["median"] == 4.0
    assert row["XLA / default"]["median"] == 0.5
    assert row["as written / default"] == 4.0
    assert row["forms"] == {"TensorFlow": "b", "XLA": "a"}
    assert row["share"] == 0.1
    untuned = [case for case in cases if case.name != "tuned"]
    row = schedules.row_of(kernel, untuned, 7, {"flops": 50.0, "bandwidth": 1.0})
    assert row["TensorFlow / tuned"]["median"] == row["TensorFlow / default"]["median"] == 2.0


def test_wrong_kernels_are_not_timed(schedules):
    kernel = schedules.Kernel(
        "wrong", [(4,)], lambda x: schedules.topi.add(x, 1.0), {"-": lambda x: x - 1.0}
    )
    with pytest.raises(AssertionError, match="Not equal"):
        schedules.cases_of(kernel)


def test_every_kernel_is_right(schedules):
    for kernel in [*schedules.elementwise_kernels(1 << 15), *schedules.large_kernels()[:1]]:
        cases, size = schedules.cases_of(kernel)
        assert {case.name.partition(":")[0] for case in cases} == {*schedules.SIDES} - {"tuned"}
        assert size == sum(4 * np.prod(s) for s in kernel.shapes) + cases[0].call().numpy().nbytes


def test_table_of_the_documentation_is_of_the_results(schedules):
    root = SCRIPT.parents[1]
    rows = json.loads((root / "benchmarks/results/schedules.json").read_text())["results"]
    table = schedules.markdown(schedules.in_documentation(rows))
    assert len(table.splitlines()) == 2 + 2 * (1 + 19)
    assert table in (root / "docs/schedules.md").read_text()


def test_help(schedules):
    process = subprocess.run(
        [sys.executable, SCRIPT, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert "--repetitions" in process.stdout
