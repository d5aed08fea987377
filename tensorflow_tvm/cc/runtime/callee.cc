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

#include "tensorflow_tvm/cc/runtime/callee.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tvm/ffi/container/array.h"
#include "tvm/ffi/container/map.h"
#include "tvm/ffi/error.h"
#include "tvm/ffi/extra/json.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

/// TVM generates vector code for data at such addresses whatever its caller says.
constexpr int64_t kLeastAlignment = 64;
constexpr int64_t kLargestAlignment = 2 << 20;  // a huge page

absl::Status Check(const Callee& callee) {
  if (callee.digest.empty() || callee.function.empty()) {
    return absl::InvalidArgumentError(
        "attribute 'callee' of a TVM op must give \"digest\" and \"function\"");
  }
  const int64_t align = callee.memory_align;
  if (align <= 0 || align > kLargestAlignment || (align & (align - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory_align must be a power of two between 1 and ", kLargestAlignment,
                     " bytes, given ", align));
  }
  return absl::OkStatus();
}

constexpr int kDeepestNesting = 8;

/// How deep brackets nest, or more: those inside strings are counted as well.
int NestingOf(absl::string_view json) {
  int depth = 0;
  int deepest = 0;
  for (char c : json) {
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  return deepest;
}

void Read(const ffi::json::Object& object, Callee* callee) {
  for (const auto& [key_any, value] : object) {
    const std::string key = key_any.cast<ffi::String>();
    if (key == "digest") {
      callee->digest = absl::AsciiStrToLower(std::string(value.cast<ffi::String>()));
    } else if (key == "function") {
      callee->function = value.cast<ffi::String>();
    } else if (key == "library_name") {
      callee->library_name = value.cast<ffi::String>();
    } else if (key == "memory_align") {
      callee->memory_align = value.cast<int64_t>();
    } else if (key == "output_shapes") {
      for (const ffi::Any& shape : value.cast<ffi::json::Array>()) {
        std::vector<int64_t>& dims = callee->output_shapes.emplace_back();
        for (const ffi::Any& dim : shape.cast<ffi::json::Array>()) {
          dims.push_back(dim.cast<int64_t>());
        }
      }
    } else {
      TVM_FFI_THROW(ValueError) << "unknown key '" << key
                                << "'; a newer tensorflow_tvm made this graph, install that one";
    }
  }
}

}  // namespace

absl::StatusOr<Callee> Callee::Parse(const std::string& json) {
  Callee callee;
  if (NestingOf(json) > kDeepestNesting) {  // the parser is recursive
    return absl::InvalidArgumentError("attribute 'callee' of a TVM op is nested too deeply");
  }
  try {
    Read(ffi::json::Parse(json).cast<ffi::json::Object>(), &callee);
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute 'callee' of a TVM op cannot be read: ", error.what(),
                     "; given: ", absl::string_view(json).substr(0, 200)));
  }
  if (absl::Status s = Check(callee); !s.ok()) return s;
  if (callee.memory_align < kLeastAlignment) callee.memory_align = kLeastAlignment;
  return callee;
}

}  // namespace tensorflow_tvm
