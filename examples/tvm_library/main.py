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
"""Call functions that Bazel has compiled: `./bazelw run //examples/tvm_library:main`."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

import tensorflow_tvm as tftvm


def main() -> None:
    """Print what the library has, and results."""
    module = tftvm.Module(Path(__file__).parent / "kernels.so")
    for name in module:
        print(f"{name}{module.signature(name)}")
    x = tf.constant([1.0, 2.0, 4.0, 8.0])
    print("running mean:", module["running_mean"](x, decay=0.5).numpy())
    print("dot product:", module["dot"](x, x).numpy())


if __name__ == "__main__":
    main()
