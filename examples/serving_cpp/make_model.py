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
"""Make a SavedModel for main.cc to serve: a small classifier, whose layers are TVM functions."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tvm import te, topi

import tensorflow_tvm as tftvm

FEATURES, CLASSES = 64, 5


def scores() -> list[te.Tensor]:
    """Return x, w, b and tanh(x·w + b), for any number of rows."""
    n = te.var("n")
    x = te.placeholder((n, FEATURES), "float32", name="x")
    w = te.placeholder((FEATURES, CLASSES), "float32", name="w")
    b = te.placeholder((CLASSES,), "float32", name="b")
    k = te.reduce_axis((0, FEATURES), name="k")
    products = te.compute((n, CLASSES), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k))
    return [x, w, b, te.compute((n, CLASSES), lambda i, j: te.tanh(products[i, j] + b[j]))]


def ranking() -> list[te.Tensor]:
    """Return scores and, for each row, the classes from the highest score to the lowest.

    TVM sorts by a function of its runtime, which libtvm_runtime_extra.so has.
    """
    n = te.var("n")
    x = te.placeholder((n, CLASSES), "float32", name="x")
    return [x, topi.argsort(x, axis=1, is_ascend=False, dtype="int32")]


class Classifier(tf.Module):
    """The scores of classes and, with `ranked`, their ranking.

    Parameters
    ----------
    ranked : bool
        Whether to rank them, for which the TVM runtime is needed.
    """

    def __init__(self, ranked: bool) -> None:
        super().__init__()
        functions = {"scores": scores()} | ({"ranking": ranking()} if ranked else {})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "classifier.so"
            tftvm.export_library(functions, path, target="llvm")
            self._library = tftvm.Module(path)  # it keeps what it has read: the file may go
        # In place of training.
        random = np.random.default_rng(0)
        self.w = tf.Variable(random.normal(size=[FEATURES, CLASSES]).astype("float32") / 8)
        self.b = tf.Variable(random.normal(size=[CLASSES]).astype("float32"))

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], name="x")])
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        result = {"scores": self._library["scores"](x, self.w, self.b)}
        if "ranking" in self._library:
            result["ranking"] = self._library["ranking"](result["scores"])
        return result


def main(argv: list[str] | None = None) -> int:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the folder to write")
    parser.add_argument("--ranked", action="store_true", help="rank the classes too, by sorting")
    options = parser.parse_args(argv)
    # `bazel run` starts programs in a folder of its own.
    model = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), options.model)
    tf.saved_model.save(Classifier(options.ranked), model)
    print(f"The model is in {model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
