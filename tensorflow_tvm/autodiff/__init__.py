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
"""Derivatives of what TE computes: te tensors in, te tensors out. Needs apache-tvm.

differentiation.py goes through the tensors from the outputs back to the inputs; stages.py turns
each into its reads, and what an element that is read adds to the gradient; expressions.py derives
scalar expressions; gather.py collects these contributions for each element that was read, for which
indices.py inverts the map from elements to indices.
"""

from __future__ import annotations

from tensorflow_tvm.autodiff.differentiation import Derivative, differentiate
from tensorflow_tvm.autodiff.errors import NotDifferentiable

__all__ = ["Derivative", "NotDifferentiable", "differentiate"]
