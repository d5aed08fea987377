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
"""The benchmark of what a call costs: that it runs, not what it finds."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).absolute().parents[2] / "benchmarks"


@pytest.fixture
def overhead(monkeypatch):
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("overhead", FOLDER / "overhead.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "overhead", module)  # dataclasses looks there
    spec.loader.exec_module(module)
    return module


def test_quick_run_writes_figures(overhead, tmp_path, capsys):
    path = tmp_path / "overhead.json"
    assert overhead.main(["--quick", "--output", str(path)]) == 0
    document = json.loads(path.read_text())
    assert document["versions"]["tensorflow_tvm"]
    assert document["cpu"] and document["date"] and document["flags"]["repetitions"] == 3
    rows = document["results"]
    groups = {row["group"] for row in rows}
    assert len(groups) == 3
    for row in rows:
        figures = row["microseconds"]
        assert 0 < figures["min"] <= figures["p25"] <= figures["median"] <= figures["p75"]
        if "rival" in row:
            assert any(r["case"] == row["rival"] and r["group"] == row["group"] for r in rows)
            assert row["ratio"]["median"] > 0
    assert {row["bar"] for row in rows if row.get("bar")} == {1.0, 1.2}
    printed = capsys.readouterr().out
    assert all(row["case"] in printed for row in rows)


def test_ratios_are_taken_within_a_repetition(overhead):
    rival = overhead.Case("rival", "group", print, times=[1.0, 10.0, 2.0])
    case = overhead.Case("case", "group", print, rival="rival", bar=1.0, times=[2.0, 20.0, 4.0])
    row = overhead.results([rival, case])[1]
    assert row["ratio"] == {"min": 2.0, "p25": 2.0, "median": 2.0, "p75": 2.0}
    assert row["microseconds"]["median"] == 4e6


@pytest.mark.parametrize("arguments, status", [(["--check"], 1), ([], 0)])
def test_check_fails_over_the_bar(overhead, monkeypatch, capsys, arguments, status):
    rival = overhead.Case("rival", "group", lambda: None)
    case = overhead.Case("case", "group", lambda: sum(range(1000)), rival="rival", bar=1.0)
    monkeypatch.setattr(overhead, "make_cases", lambda *_: [rival, case])
    assert overhead.main(["--quick", *arguments]) == status
    assert "over its bar" in capsys.readouterr().err


def test_ops_that_tensorflow_drops_are_noticed(overhead):
    x = overhead.tf.constant([1.0, 2.0, 3.0])
    kept = overhead.count_ops(lambda x, y: overhead.tf.raw_ops.AddV2(x=x, y=y), x, x)
    assert kept["AddV2"] == 1
    dropped = overhead.count_ops(lambda x, y: overhead.tf.identity(x), x, x)
    assert "AddV2" not in dropped


def test_figures_in_the_readme_are_the_ones_measured(overhead):
    rows = json.loads((FOLDER / "results" / "overhead.json").read_text())["results"]
    assert overhead.markdown(rows) in (FOLDER.parent / "README.md").read_text(encoding="utf-8")
