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
"""The example that the README begins with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import tensorflow as tf

PATH = Path(__file__).absolute().parents[2] / "examples" / "quickstart.py"


@pytest.fixture
def quickstart():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("quickstart", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_agree_and_the_picture_is_written(quickstart, tmp_path, capsys):
    path = tmp_path / "edges.png"
    assert quickstart.main(["--output", str(path)]) == 0
    printed = capsys.readouterr().out
    for function in ["addone", "vector_add", "edges"]:
        for where in ["eager", "tf.function", "Session"]:
            assert f"{function:<12}{where}" in printed
    assert str(path) in printed
    edges = tf.io.decode_png(path.read_bytes())
    picture = tf.io.decode_jpeg(quickstart.PICTURE.read_bytes())
    assert edges.shape == picture.shape
    assert 5 < tf.reduce_mean(tf.cast(edges, tf.float32)) < 100


def test_output_in_the_folder_where_bazel_was_started(quickstart, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(quickstart, "compare", lambda *args: True)
    assert quickstart.main(["--output", "edges.png"]) == 0
    assert (tmp_path / "edges.png").is_file()


def test_a_new_file_by_default(quickstart, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "compare", lambda *args: True)
    assert quickstart.main([]) == 0
    path = Path(capsys.readouterr().out.strip().rsplit(" ", 1)[1])
    assert path.is_file()
    path.unlink()
    path.parent.rmdir()


def test_a_mismatch_is_a_failure(quickstart, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(quickstart, "TOLERANCE", -1.0)
    assert quickstart.main(["--output", str(tmp_path / "edges.png")]) == 1
    assert "differ" in capsys.readouterr().err


def test_compare_sees_wrong_values_and_shapes(quickstart, capsys):
    x = tf.constant([1.0, 2.0])
    assert quickstart.compare("same", tf.identity, tf.identity, x)
    assert not quickstart.compare("value", tf.identity, lambda x: x + 0.5, x)
    assert not quickstart.compare("shape", tf.identity, lambda x: x[:1] * [[1.0], [2.0]], x)
    assert not quickstart.compare("nan", tf.identity, lambda x: x * float("nan"), x)
