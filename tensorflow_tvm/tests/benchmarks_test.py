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
"""The benchmarks as a whole: that they run, and what is made of their figures."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap

import numpy as np
import pytest

from benchmarks import compile_time, main, measure, plots, saved_models, scaling
from benchmarks.measure import Case
from benchmarks.workloads import main as workloads
from benchmarks.workloads.workload import Workload

MACHINE = {"flops": 50e9, "bandwidth": 20e9}
PNG = b"\x89PNG"


def workload(**changed) -> Workload:
    """A workload that doubles two numbers."""
    known = {
        "name": "double",
        "title": "doubling of 2 numbers",
        "make_inputs": lambda generator: [generator.standard_normal(2, dtype=np.float32)],
        "ours": lambda x: x + x,
        "rivals": {"x * 2": lambda x: x * 2.0},
        "flops": 10 * 10**9,
        "bytes": 16 * 10**9,
    }
    return Workload(**(known | changed))


def row(threads: int = 1, **times: float) -> dict:
    """What is made of made-up times, three each."""
    names = {"ours": ("ours", "TensorFlow"), "plain": ("x", "TensorFlow"), "xla": ("x", "XLA")}
    cases = [Case(*names[key], print, times=[value] * 3) for key, value in times.items()]
    return {"threads": threads, **workloads.row_of(workload(), cases, {}, MACHINE)}


@pytest.fixture
def results(tmp_path):
    """A folder with made-up results of workloads, and with what scaling and overhead may find."""
    arguments = argparse.Namespace(repetitions=3)
    times = {"TensorFlow": [4e-6, 5e-6, 6e-6], "TVM": [2e-6, 2e-6, 3e-6]}
    cases = [Case(name, "add one, 1 K", print, times=value) for name, value in times.items()]
    cases[1].rival = "TensorFlow"
    grown = [
        {"function": "add one", "elements": size, **found}
        for size in (1024, 2048)
        for found in measure.results(cases)
    ]
    rows = [row(1, ours=1.0, plain=8.0, xla=2.0), row(2, ours=1.0, plain=2.0)]
    calls = [
        {
            "group": "small op, eager",
            "case": case,
            "callers": callers,
            "calls_per_second": {"p25": rate - 1.0, "median": rate, "p75": rate + 1.0},
            "cpu_microseconds": {"median": 10.0},
            "of_best": None,
            "threads": 10,
            "affinity_kept": True,
        }
        for case, rate in (("TensorFlow", 100.0), ("TVM", 50.0))
        for callers in (1, 2)
    ]
    folder = tmp_path / "results"
    folder.mkdir()
    for name, figures in (
        ("workloads", rows),
        ("scaling", grown),
        ("overhead", measure.results(cases)),
        ("concurrency", calls),
    ):
        measure.write(str(folder / f"{name}.json"), figures, arguments, (0.0, 0.0, 0.0))
    return folder


def change(folder, name, edit):
    """Edit a file of results."""
    path = folder / f"{name}.json"
    document = json.loads(path.read_text())
    edit(document["results"])
    path.write_text(json.dumps(document))


def test_ratios_and_shares():
    found = row(ours=1.0, plain=8.0, xla=2.0)
    assert found["TensorFlow / ours"]["median"] == 8.0
    assert found["XLA / ours"]["median"] == 2.0
    assert found["best / ours"]["median"] == 2.0
    assert found["shares"] == {"flops": 0.2, "bandwidth": 0.8}
    assert "XLA / ours" not in row(ours=1.0, plain=8.0)


def test_ratios_are_of_the_fastest_form_and_within_a_repetition():
    cases = [
        Case("ours", "TensorFlow", print, times=[1.0, 10.0, 2.0]),
        Case("slow", "TensorFlow", print, times=[90.0]),  # left out of further repetitions
        Case("fast", "TensorFlow", print, times=[4.0, 40.0, 8.0]),
        Case("ours", "XLA", print, times=[0.1, 0.1, 0.1]),
    ]
    found = workloads.row_of(workload(), cases, {("fast", "XLA"): "no"}, MACHINE)
    assert found["TensorFlow / ours"] == {"min": 4.0, "p25": 4.0, "median": 4.0, "p75": 4.0}
    assert found["forms"] == {"TensorFlow": "fast"}
    ways = {(way["name"], way["engine"]): way for way in found["ways"]}
    assert ways["slow", "TensorFlow"]["repetitions"] == 1
    assert ways["fast", "XLA"]["refused"] == "no"
    assert ways["ours", "XLA"]["microseconds"]["median"] == 1e5


def test_summary_has_geometric_means():
    rows = [
        row(ours=1.0, plain=2.0, xla=0.5),
        row(ours=1.0, plain=8.0),
        row(2, ours=1.0, plain=3.0),
    ]
    one, two = workloads.summaries(rows)
    assert one["TensorFlow / ours"] == pytest.approx(4.0)
    assert one["best / ours"] == pytest.approx(2.0)
    assert (one["least"], one["workloads"]) == (0.5, 2)
    assert (two["threads"], two["TensorFlow / ours"]) == (2, 3.0)
    table = workloads.markdown(rows)
    assert "| 1 core | 2 | 4.00 | 2.00 | 0.50 | doubling of 2 numbers | 50 | 20.0 |" in table
    assert "refused" not in table


def test_a_rival_that_computes_something_else_is_refused():
    wrong = workload(rivals={"x * 3": lambda x: x * 3.0})
    with pytest.raises(AssertionError, match=r"(?s)'x \* 3' computes something else.*Mismatched"):
        workloads.cases_of(wrong)


def test_what_xla_refuses_is_written_down():
    tf = workloads.tf
    by_numpy = {"NumPy": lambda x: tf.numpy_function(lambda x: x + x, [x], tf.float32)}
    cases, refused = workloads.cases_of(workload(rivals=by_numpy))
    assert [(case.name, case.group) for case in cases] == [
        ("ours", "TensorFlow"),
        ("NumPy", "TensorFlow"),
        ("ours", "XLA"),
    ]
    assert "PyFunc" in refused["NumPy", "XLA"] and "\n" not in refused["NumPy", "XLA"]


def test_slow_cases_are_called_once_and_capped():
    calls = []
    slow = Case("slow", "", lambda: calls.append(0))
    slow.timed, slow.call = True, lambda: calls.append(0) or 1.0
    fast = Case("fast", "", lambda: None)
    measure.take_turns([slow, fast], 5, seconds=0.0, cap=2.5)
    assert (len(slow.times), len(fast.times)) == (3, 5)
    assert len(calls) == 4  # one to see how long it takes


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package of two workloads. One has a rival that takes very long under XLA."""
    folder = tmp_path / "some_workloads"
    folder.mkdir()
    (folder / "__init__.py").touch()
    source = textwrap.dedent(
        """
        import time
        import numpy as np
        from benchmarks.workloads.workload import Workload

        calls = []

        def slow(x):
            calls.append(x)  # as a graph first
            time.sleep(100 if len(calls) > 1 else 0)
            return x * 2.0

        workload = Workload(
            "NAME", "NAME of 8 numbers", lambda generator: [generator.random(8, np.float32)],
            lambda x: x + x, {"x * 2": lambda x: x * 2.0, "slow": slow}, 8, 64,
        )
        """
    )
    for name in ("double", "other"):
        (folder / f"{name}.py").write_text(source.replace("NAME", name))
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_workloads_are_found(package):
    assert [found.name for found in workloads.find(package)] == ["double", "other"]
    assert [found.name for found in workloads.find(package, ["other"])] == ["other"]
    with pytest.raises(SystemExit, match="no workload triple; there are double, other"):
        workloads.find(package, ["triple"])


def test_workloads_run(package, tmp_path, capfd):
    output = tmp_path / "figures.json"
    options = ["double", "--package", package, "--quick", "--output", str(output)]
    assert workloads.main([*options, "--compile-cap", "1"]) == 0
    document = json.loads(output.read_text())
    rows = document["results"]
    threads = [found["threads"] for found in rows]
    assert threads == sorted({1, len(os.sched_getaffinity(0))})
    assert threads == [total["threads"] for total in document["summary"]]
    for found in rows:
        assert found["microseconds"]["ours"]["median"] > 0
        assert found["peaks"]["flops"] > found["peaks"]["bandwidth"] > 1e8
        (refused,) = [way for way in found["ways"] if "refused" in way]
        assert (refused["name"], refused["engine"]) == ("slow", "XLA")
        assert refused["refused"] == "not compiled and run in 1 s"
    assert "| double of 8 numbers |" in capfd.readouterr().out


def test_a_workload_that_fails_does_not_stop_the_others(package, tmp_path, monkeypatch, capsys):
    found = {"double": {"failed": "why"}, "other": row(ours=1.0, plain=2.0)}
    monkeypatch.setattr(workloads, "measure_on", lambda cores, name, *_: found[name])
    output = tmp_path / "figures.json"
    assert workloads.main(["--package", package, "--output", str(output)]) == 1
    document = json.loads(output.read_text())
    assert document["failed"]["double of 8 numbers, 1 core"] == "why"
    assert {row["workload"] for row in document["results"]} == {"double"}
    assert "failed: double of 8 numbers" in capsys.readouterr().err


@pytest.mark.parametrize("check, status", [([], 0), (["--check"], 1)])
def test_targets_are_checked(package, monkeypatch, capsys, check, status):
    slow = row(ours=1.0, plain=0.5)
    monkeypatch.setattr(workloads, "measure_on", lambda *_: slow)
    assert workloads.main(["other", "--package", package, *check]) == status
    assert "under its target: 0.5 of 1.0, least, 1 core" in capsys.readouterr().err


def test_saved_models_runs(tmp_path, capsys):
    output = tmp_path / "saved_models.json"
    options = ["--megabytes", "1", "--repetitions", "1", "--output", str(output)]
    assert saved_models.main(options) == 0
    rows = json.loads(output.read_text())["results"]
    assert [row["case"] for row in rows] == [saved_models.OURS, saved_models.RIVAL]
    for row in rows:
        assert all(row[key] > 0 for key in saved_models.TIMES)
        assert 1.0 < row["files"] < 1.2
    assert saved_models.markdown(rows) in capsys.readouterr().out


def test_scaling_runs(tmp_path, capsys):
    output = tmp_path / "scaling.json"
    assert scaling.main(["--quick", "--output", str(output)]) == 0
    rows = json.loads(output.read_text())["results"]
    assert {found["function"] for found in rows if "function" in found} == set(scaling.FUNCTIONS)
    assert {found["elements"] for found in rows if "elements" in found} == set(scaling.SIZES[:2])
    assert {found.get("bar") for found in rows if "nodes" in found["group"]} == {None, 1.5}
    assert scaling.markdown(rows) in capsys.readouterr().out
    plots.draw("scaling", rows, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("well", [True, False])
def test_benchmarks_run_and_make_a_summary(results, tmp_path, monkeypatch, capfd, well):
    script = tmp_path / "fake.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import shutil, sys
            print("working", file=sys.stderr)
            given = dict(option.split("=") for option in sys.argv[1:])
            assert given["--repetitions"] == "5"
            shutil.copy({str(results / "workloads.json")!r}, given["--output"])
            sys.exit({0 if well else 3})
            """
        )
    )
    monkeypatch.setattr(main, "available", lambda: {"workloads": script})
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    output = tmp_path / "new"
    assert main.main(["--output", "new", "--repetitions", "5"]) == (0 if well else 1)
    assert {path.name for path in output.iterdir()} == {
        "workloads.json",
        "workloads.png",
        "summary.md",
    }
    assert "doubling of 2 numbers" in (output / "summary.md").read_text()
    assert (output / "workloads.png").read_bytes().startswith(PNG)
    error = capfd.readouterr().err
    assert "1 of 1" in error and ("workloads failed" in error) != well
    assert ("working" in error) != well  # what it said is shown if it failed


def test_all_benchmarks_are_known():
    paths = main.available()
    assert {"overhead", "schedules", "workloads", "scaling"} <= set(paths)
    with pytest.raises(SystemExit, match="There is no speed; there are overhead"):
        main.chosen(["speed"])
    assert list(main.chosen(["scaling", "overhead"])) == ["overhead", "scaling"]


def test_results_are_drawn_and_put_into_a_page(results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin scaling -->\nold\n<!-- end scaling -->\nb\n")
    options = ["--plot-only", "--output", str(results), "--markdown", str(page)]
    assert main.main(options) == 0
    for name in plots.DRAWN:
        assert (results / f"{name}.png").read_bytes().startswith(PNG)
    text = page.read_text()
    assert text.startswith("a\n<!-- begin scaling -->\n![scaling](results/scaling.png)\n")
    assert text.endswith("<!-- end scaling -->\nb\n") and "old" not in text
    assert "| 1 K | 2 | 0.50 |" in text
    assert main.fill_in(page, results) == text


def test_compare_finds_what_became_slower(results, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(results, old)
    options = ["--plot-only", "--output", str(results), "--compare", str(old)]
    assert main.main(options) == 0
    assert "8 figures of" in capsys.readouterr().out
    slower = row(1, ours=1.2, plain=8.0, xla=2.0)
    change(results, "workloads", lambda rows: rows.__setitem__(0, slower))
    assert main.main(options) == 1
    printed = capsys.readouterr().out
    assert "2 are slower" in printed
    assert "+20% workloads: 1 threads, double, ours / TensorFlow: 0.125 (" in printed
    assert main.main([*options, "--threshold", "0.25"]) == 0
    assert main.main([*options[:-1], str(old / "scaling.json")]) == 0
    change(
        results, "concurrency", lambda rows: rows[3]["calls_per_second"].update(median=40, p75=41)
    )
    assert main.main([*options[:-1], str(old / "concurrency.json")]) == 1
    expected = "+25% concurrency: small op, eager, 2 callers, TVM / TensorFlow: 2 (1.94 to 2.06)"
    assert expected in capsys.readouterr().out
    # What is only within the spread is none.
    change(results, "scaling", lambda rows: rows[1]["ratio"].update(median=0.6))
    assert main.main([*options[:-1], str(old / "scaling.json")]) == 0


def test_compare_with_something_else_fails(results, tmp_path):
    options = ["--plot-only", "--output", str(results), "--compare"]
    with pytest.raises(SystemExit, match="has no results"):
        main.main([*options, str(tmp_path / "nothing")])
    old = tmp_path / "old"
    shutil.copytree(results, old)
    for name in main.BENCHMARKS:
        if (old / f"{name}.json").exists():
            change(old, name, lambda rows: rows.clear())
    assert main.main([*options, str(old)]) == 1


def test_pages_have_the_results_that_are_committed():
    root = main.HERE.parent
    page = root / "docs" / "performance.md"
    assert main.fill_in(page, root / "benchmarks" / "results") == page.read_text(encoding="utf-8")


def test_compile_time():
    """What is refused has no times; what takes too long is named."""
    times = {"slow": (6.0, 1.0), "many times": (3.0, 0.1), "fine": (1.0, 0.5)}
    rows = [
        compile_time.row_of(
            name, "random", {compile_time.OURS: [ours], compile_time.RIVAL: [plain]}
        )
        for name, (ours, plain) in times.items()
    ]
    refused = {compile_time.OURS: ["ValueError: no"], compile_time.RIVAL: [0.1]}
    rows.append(compile_time.row_of("refused", "random", refused))
    rows.append(
        compile_time.row_of(
            "alone", "known", {compile_time.OURS: [2.0], compile_time.RIVAL: ["InternalError"]}
        )
    )
    assert compile_time.misses(rows) == ["slow: 6.0 s", "many times: 30 times tvm.compile"]
    table = compile_time.markdown(rows)
    assert table.startswith("3 random functions; 1 more are refused.\n")
    assert "| slow | 6.00 | 1.00 | 6.0 |" in table
    assert "| alone | 2.00 | | |" in table
