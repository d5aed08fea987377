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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_DIMS_H_
#define TENSORFLOW_TVM_CC_RUNTIME_DIMS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace tensorflow_tvm {

/// The most dimensions that TensorFlow's classes of shapes hold.
constexpr int kMostDimensions = 254;

/// Checks that TensorFlow and XLA can hold a tensor of these sizes, of which -1 is unknown if
/// `may_be_unknown`. TensorFlow's classes of shapes end the process on what they cannot hold, XLA's
/// read null.
///
/// Sizes that do not fit in 64 bits are refused beside a size of 0 as well: whoever multiplies them
/// in another order gets an overflow. `bits` is the width of an element.
absl::Status CheckDims(absl::Span<const int64_t> dims, int bits, bool may_be_unknown = false);

/// The sizes for a message, "[2,3]": the first of them, where there are very many.
std::string DimsToString(absl::Span<const int64_t> dims);

/// Fills in the strides of a contiguous tensor, in elements. `dims` may be any.
inline void FillStrides(const int64_t* dims, int rank, int64_t* strides) {
  uint64_t stride = 1;  // without a sign: where there is a size of 0, the others may overflow
  for (int i = rank - 1; i >= 0; --i) {
    strides[i] = static_cast<int64_t>(stride);
    stride *= static_cast<uint64_t>(dims[i]);
  }
}

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_DIMS_H_
