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
"""The example that trains a classifier of digits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).absolute().parents[2] / "examples" / "digits" / "main.py"


@pytest.fixture(scope="module")
def digits():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("digits", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_models_learn_the_same(digits, tmp_path, capsys):
    folder = tmp_path / "new"
    assert digits.main(["--output", str(folder), "--seeds", "2", "--epochs", "8"]) == 0
    printed = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [int(row[0]) for row in rows] == [0, 1]
    for _, theirs, ours, difference in rows:
        assert float(ours) > 93.0
        assert float(theirs) > 93.0
        assert abs(float(difference)) <= 0.5
    assert str(folder / "digits.png") in printed
    assert (folder / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_output_in_the_folder_where_bazel_was_started(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(digits, "compare", lambda *args: ([50.0], [50.4]))
    assert digits.main([]) == 0
    assert (tmp_path / "digits.png").is_file()


def test_a_difference_is_a_failure(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(digits, "compare", lambda *args: ([50.0], [50.6]))
    assert digits.main(["--output", str(tmp_path)]) == 1
    assert "differ by more than 0.5 points" in capsys.readouterr().err
