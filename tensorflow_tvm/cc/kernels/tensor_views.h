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

#ifndef TENSORFLOW_TVM_CC_KERNELS_TENSOR_VIEWS_H_
#define TENSORFLOW_TVM_CC_KERNELS_TENSOR_VIEWS_H_

#include <cstdint>

#include "absl/container/fixed_array.h"
#include "absl/types/span.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow_tvm/cc/runtime/dims.h"

namespace tensorflow_tvm {

/// DLPack views of an op's tensors, made on the stack.
class TensorViews {
 public:
  /// For `count` tensors whose ranks add up to `total_rank`: views point into this, so it must not
  /// grow.
  TensorViews(int count, int total_rank, DLDevice device)
      : device_(device),
        tensors_(count),
        dimensions_(2 * total_rank),
        next_tensor_(tensors_.data()),
        next_(dimensions_.data()) {}

  TensorViews(const TensorViews&) = delete;
  TensorViews& operator=(const TensorViews&) = delete;

  void Add(const tensorflow::TensorShape& shape, DLDataType dtype, void* data) {
    const int rank = shape.dims();
    int64_t* const dims = next_;
    int64_t* const strides = dims + rank;
    next_ = strides + rank;
    for (int i = 0; i < rank; ++i) dims[i] = shape.dim_size(i);
    FillStrides(dims, rank, strides);
    *next_tensor_++ = DLTensor{data, device_, rank, dtype, dims, strides, /*byte_offset=*/0};
  }

  absl::Span<DLTensor> tensors() { return absl::MakeSpan(tensors_.data(), tensors_.size()); }

 private:
  const DLDevice device_;
  // Not InlinedVector, which would fill in what is written anyway.
  absl::FixedArray<DLTensor, 8> tensors_;
  absl::FixedArray<int64_t, 64> dimensions_;
  DLTensor* next_tensor_;
  int64_t* next_;
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_KERNELS_TENSOR_VIEWS_H_
