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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_CALLEE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_CALLEE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tensorflow_tvm {

/// What the op calls, and how. All of it travels in one attribute, as a JSON object: each attribute
/// of an op costs every eager call some 5 % of a built-in op's time.
struct Callee {
  /// The library's identity: "sha256:" and the digest of its bytes in hexadecimal.
  std::string digest;

  /// The function's name in the library.
  std::string function;

  /// What messages call the library.
  std::string library_name = "library";

  /// The function expects tensors at multiples of so many bytes.
  int64_t memory_align = 64;

  /// The shape of each output where it is known beforehand, else empty.
  std::vector<std::vector<int64_t>> output_shapes;

  /// Parses `json`. All but `digest` and `function` may be missing. An unknown key is an error: the
  /// graph that holds it asks for something that this version cannot do.
  static absl::StatusOr<Callee> Parse(const std::string& json);
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_CALLEE_H_
