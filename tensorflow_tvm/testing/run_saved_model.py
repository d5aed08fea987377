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
"""Runs a SavedModel of `check_op` in a process of its own.

    run_saved_model.py <folder> <dtype of each input>

The folder has the model in `model/`, inputs in `input_<i>`, and gets outputs as `output_<i>`.
"""

from __future__ import annotations

import os
import sys

import tensorflow as tf


def main(folder: str, dtypes: list[str]) -> None:
    """Run the model once."""
    inputs = [
        tf.io.parse_tensor(tf.io.read_file(os.path.join(folder, f"input_{i}")), dtype)
        for i, dtype in enumerate(dtypes)
    ]
    model = tf.saved_model.load(os.path.join(folder, "model"))
    for i, output in enumerate(model.call(*inputs)):
        tf.io.write_file(os.path.join(folder, f"output_{i}"), tf.io.serialize_tensor(output))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
