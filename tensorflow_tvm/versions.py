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
"""The versions that this package works with; pyproject.toml has the same, and a test compares them.

It imports nothing, so that it can be read where something is missing.
"""

TENSORFLOW = "2.21"  # minor versions: op libraries work with the one they were built for
TVM_FFI = ">=0.1.14.post1,<0.1.16"  # to run libraries: docs/installation.md says what was tried
# To compile. With a newer tvm-ffi, this TVM crashes.
TVM = "0.27.0.post1"
TVM_FFI_TO_COMPILE = "0.1.14.post1"

INSTALL_TENSORFLOW = (
    f"pip install 'tensorflow-cpu=={TENSORFLOW}.*', or for GPUs "
    f"'tensorflow[and-cuda]=={TENSORFLOW}.*'"
)
INSTALL_TVM_FFI = f"pip install apache-tvm-ffi=={TVM_FFI_TO_COMPILE}"
