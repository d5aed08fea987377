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
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "dlpack/dlpack.h"
#include "tensorflow_tvm/cc/runtime/signature.h"
#include "tvm/ffi/any.h"

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

  /// The device of TVM's on which an op on the CPU is to call the function; where this is missing,
  /// the op's own.
  std::optional<DLDevice> device;

  /// What the function takes and gives, where that is known.
  std::optional<Signature> signature;

  /// The order of the function's arguments: "args" stands for all inputs and "args.0" for the
  /// first, "rets" likewise for outputs, "attrs.<name>" for an attr, "null" for an optional tensor
  /// that this call does not have. Without "rets" the function returns its outputs. Where this is
  /// missing, all inputs and then all outputs.
  std::optional<std::vector<std::string>> arg_spec;

  /// Inputs whose memory may be that of the first output too, as the function writes no element
  /// before it has read that element of them. For processors.
  std::vector<int> in_place;

  /// Whether the function is passed tensors that it may keep (ffi::Tensor), rather than views.
  bool owned_tensors = false;

  /// Values for the function's attrs, by name.
  std::vector<std::pair<std::string, tvm::ffi::Any>> attrs;

  /// Whether the function returns its outputs, rather than fill in those passed to it.
  bool returns_outputs() const;

  /// What the function is passed at one place.
  struct Argument {
    enum class Kind { kInput, kOutput, kAttr, kNull };
    Kind kind;
    int index;  ///< into the inputs, the outputs, or `attrs`; of no meaning to kNull
  };

  /// The arguments of a call with so many inputs and outputs, in order.
  absl::StatusOr<std::vector<Argument>> Arguments(int inputs, int outputs) const;

  /// Checks the number of tensors and their dtypes against the signature.
  absl::Status CheckTensors(absl::Span<const DLDataType> inputs,
                            absl::Span<const DLDataType> outputs) const;

  /// Parses `json`. All but `digest` and `function` may be missing. An unknown key is an error: the
  /// graph that holds it asks for something that this version cannot do.
  static absl::StatusOr<Callee> Parse(const std::string& json);

  /// The same. Where many nodes say the same, it is read once, and they share it.
  static absl::StatusOr<std::shared_ptr<const Callee>> Get(const std::string& json);
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_CALLEE_H_
