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

#include "tensorflow_tvm/cc/runtime/dims.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tensorflow_tvm {

std::string DimsToString(absl::Span<const int64_t> dims) {
  constexpr size_t kMostShown = 32;
  return absl::StrCat("[", absl::StrJoin(dims.subspan(0, kMostShown), ","),
                      dims.size() > kMostShown ? ",…]" : "]");
}

absl::Status CheckDims(absl::Span<const int64_t> dims, int bits, bool may_be_unknown) {
  if (dims.size() > kMostDimensions) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tensor has at most ", kMostDimensions, " dimensions, given ", dims.size()));
  }
  int64_t bytes = (bits + 7) / 8;
  bool fits = true;
  for (size_t i = 0; i < dims.size(); ++i) {
    const bool unknown = dims[i] == -1 && may_be_unknown;
    if (dims[i] < 0 && !unknown) {
      return absl::InvalidArgumentError(
          absl::StrCat("dimension ", i, " is ", dims[i], ", and none can be negative"));
    }
    if (dims[i] > 0) fits = fits && !__builtin_mul_overflow(bytes, dims[i], &bytes);
  }
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "its dimensions, without those of 0, make more than 2^63-1 bytes, which no tensor can have");
}

}  // namespace tensorflow_tvm
