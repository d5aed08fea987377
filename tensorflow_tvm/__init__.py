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
"""Run functions compiled by Apache TVM, or any tvm-ffi library, as TensorFlow ops."""

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

# The doctor has to run where the imports below fail. While Python looks for the module that -m
# names, which imports this file first, argv[0] is "-m".
if (
    sys.argv[:2] == ["-m", "doctor"]
    and sys.orig_argv[-len(sys.argv)].removeprefix("-m") == __name__
):
    from tensorflow_tvm import doctor

    sys.exit(doctor.main(sys.argv[2:]))

from tensorflow_tvm import sysconfig, testing
from tensorflow_tvm.build import build, export_library
from tensorflow_tvm.explain import BlockSchedule, Explanation, explain
from tensorflow_tvm.function import Function
from tensorflow_tvm.gradients import Gradient
from tensorflow_tvm.library import stats
from tensorflow_tvm.module import Module
from tensorflow_tvm.op import Op, op
from tensorflow_tvm.signature import Argument, Signature
from tensorflow_tvm.tune import Tuning, TuningResult, tune

__all__ = [
    "Argument",
    "BlockSchedule",
    "Explanation",
    "Function",
    "Gradient",
    "Module",
    "Op",
    "Signature",
    "Tuning",
    "TuningResult",
    "build",
    "explain",
    "export_library",
    "layers",
    "op",
    "stats",
    "sysconfig",
    "testing",
    "tune",
]


def __getattr__(name: str) -> ModuleType:
    if name == "layers":
        return importlib.import_module("tensorflow_tvm.layers")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


# TensorFlow brings Keras, except for TF_USE_LEGACY_KERAS. Once it is there, models that have
# layers of ours can be loaded.
if "keras" in sys.modules:
    from tensorflow_tvm import layers
