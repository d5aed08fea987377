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
"""The benchmark of concurrent calls: that it runs, not what it finds."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).absolute().parents[2] / "benchmarks"


@pytest.fixture
def concurrency(monkeypatch):
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("concurrency", FOLDER / "concurrency.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "concurrency", module)  # dataclasses looks there
    spec.loader.exec_module(module)
    return module


def test_quick_run_writes_figures(concurrency, tmp_path, capsys):
    path = tmp_path / "concurrency.json"
    assert concurrency.main(["--quick", "--output", str(path)]) == 0
    rows = json.loads(path.read_text())["results"]
    works, rivals = concurrency.WORK, concurrency.RIVALS
    assert len(rows) == 2 * (len(works) * len(rivals) + len(concurrency.SMALL) * 2)
    for row in rows:
        assert row["calls_per_second"]["median"] > 0 and row["threads"] > 0
        assert row["affinity_kept"] or row["case"] == concurrency.TVM_POOL
    table = concurrency.markdown(rows)
    assert table in capsys.readouterr().out
    assert all(f"**{row['group']}**" in table and f"| {row['case']} |" in table for row in rows)


def test_throughput_is_compared_with_fewer_callers(concurrency):
    cases = [concurrency.Case("work", "rival", callers) for callers in (1, 2, 4)]
    for case, rate in zip(cases, (100.0, 80.0, 90.0), strict=True):
        case.seen.append(
            {"calls_per_second": rate, "cpu_microseconds": 1.0, "threads": 7, "affinity_kept": True}
        )
    rows = concurrency.results(cases)
    assert [row["of_best"] for row in rows] == [None, 0.8, 0.9]
