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

#include "tensorflow_tvm/cc/runtime/call_options.h"

#include "absl/status/status.h"
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

absl::Status Check(const CallOptions& options) {
  const int64_t align = options.memory_align;
  if (align <= 0 || align > kLargestAlignment || (align & (align - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory_align must be a power of two between 1 and ", kLargestAlignment,
                     " bytes, given ", align));
  }
  return absl::OkStatus();
}

void Read(const ffi::json::Object& object, CallOptions* options) {
  for (const auto& [key_any, value] : object) {
    const std::string key = key_any.cast<ffi::String>();
    if (key == "library_name") {
      options->library_name = value.cast<ffi::String>();
    } else if (key == "memory_align") {
      options->memory_align = value.cast<int64_t>();
    } else if (key == "output_shapes") {
      for (const ffi::Any& shape : value.cast<ffi::json::Array>()) {
        std::vector<int64_t>& dims = options->output_shapes.emplace_back();
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

absl::StatusOr<CallOptions> CallOptions::Parse(const std::string& json) {
  CallOptions options;
  if (!json.empty()) {
    try {
      Read(ffi::json::Parse(json).cast<ffi::json::Object>(), &options);
    } catch (const ffi::Error& error) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute 'options' of a TVM op cannot be read: ", error.message()));
    }
  }
  if (absl::Status s = Check(options); !s.ok()) return s;
  if (options.memory_align < kLeastAlignment) options.memory_align = kLeastAlignment;
  return options;
}

}  // namespace tensorflow_tvm
