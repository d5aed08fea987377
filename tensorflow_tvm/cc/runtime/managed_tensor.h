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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_MANAGED_TENSOR_H_
#define TENSORFLOW_TVM_CC_RUNTIME_MANAGED_TENSOR_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "dlpack/dlpack.h"
#include "tensorflow_tvm/cc/runtime/dims.h"

namespace tensorflow_tvm {

/// Makes a tensor that others may hold as long as they like: of `view`'s dtype, shape, device and
/// memory, which `owner` keeps alive. Its deleter lets go of that.
inline DLManagedTensorVersioned* NewManagedTensor(const DLTensor& view,
                                                  std::shared_ptr<void> owner) {
  struct Holder {
    DLManagedTensorVersioned managed = {};
    std::vector<int64_t> dims_and_strides;
    std::shared_ptr<void> owner;
  };
  auto* holder = new Holder();
  holder->owner = std::move(owner);
  const int rank = view.ndim;
  holder->dims_and_strides.resize(2 * rank);
  int64_t* dims = holder->dims_and_strides.data();
  int64_t* strides = dims + rank;
  std::copy_n(view.shape, rank, dims);
  FillStrides(dims, rank, strides);
  holder->managed.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
  holder->managed.manager_ctx = holder;
  holder->managed.deleter = [](DLManagedTensorVersioned* managed) {
    delete static_cast<Holder*>(managed->manager_ctx);
  };
  holder->managed.dl_tensor =
      DLTensor{view.data, view.device, rank, view.dtype, dims, strides, /*byte_offset=*/0};
  return &holder->managed;
}

/// The size of a tensor in bytes; false if it is none that can be allocated.
inline bool SizeInBytes(const DLTensor& tensor, int64_t* bytes) {
  if (tensor.ndim < 0 || tensor.dtype.lanes != 1 || tensor.dtype.bits % 8 != 0) return false;
  int64_t size = tensor.dtype.bits / 8;
  for (int i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] < 0 || __builtin_mul_overflow(size, tensor.shape[i], &size)) return false;
  }
  *bytes = size;
  return true;
}

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_MANAGED_TENSOR_H_
