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
"""The gradient of the op."""

from __future__ import annotations

import json
from typing import NoReturn

import tensorflow as tf


@tf.RegisterGradient("TVM>DSOOp")
@tf.RegisterGradient("TVM>StatefulDSOOp")
def _gradient(op: tf.Operation, *_: tf.Tensor) -> NoReturn:
    callee = json.loads(op.get_attr("callee"))
    raise LookupError(
        f"TVM function '{callee['function']}' of library '{callee['library_name']}' has no "
        "gradient. Call it inside a function decorated with tf.custom_gradient that gives one, or "
        "stop the gradient with tf.stop_gradient."
    )
