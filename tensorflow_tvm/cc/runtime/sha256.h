/* Copyright 2026 The tensorflow_tvm Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
==============================================================================*/

#ifndef TENSORFLOW_TVM_CC_RUNTIME_SHA256_H_
#define TENSORFLOW_TVM_CC_RUNTIME_SHA256_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tensorflow_tvm {

/// The SHA-256 digest of `bytes` in the form "sha256:<64 lower-case hexadecimal digits>".
std::string Sha256Digest(absl::string_view bytes);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_SHA256_H_
