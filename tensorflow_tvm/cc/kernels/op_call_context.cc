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

#include "tensorflow_tvm/cc/kernels/op_call_context.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tensorflow_tvm {
namespace {

using tensorflow::Tensor;
using tensorflow::TensorShape;

/// A tensor as tvm-ffi holds it: it frees this, and with it its share of the memory.
struct AllocatedTensor {
  DLManagedTensorVersioned managed = {};
  std::vector<int64_t> dims_and_strides;
  Tensor bytes;
};

/// The size of a tensor in bytes; false if it is none that can be allocated.
bool SizeInBytes(const DLTensor& tensor, int64_t* bytes) {
  if (tensor.ndim < 0 || tensor.dtype.lanes != 1 || tensor.dtype.bits % 8 != 0) return false;
  int64_t size = tensor.dtype.bits / 8;
  for (int i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] < 0 || __builtin_mul_overflow(size, tensor.shape[i], &size)) return false;
  }
  *bytes = size;
  return true;
}

}  // namespace

int OpCallContext::MaxParallelism() {
  // The stream to launch on is known to the op's own thread only.
  if (ctx_->op_device_context() != nullptr) return 1;
  const auto* workers = ctx_->device()->tensorflow_cpu_worker_threads();
  if (workers == nullptr) return 1;
  return std::min(workers->num_threads, tensorflow::GetPerThreadMaxParallelism());
}

void OpCallContext::Schedule(std::function<void()> task) {
  ctx_->device()->tensorflow_cpu_worker_threads()->workers->Schedule(std::move(task));
}

void* OpCallContext::AllocateDeviceWorkspace(uint64_t bytes) {
  Tensor workspace;
  if (bytes > uint64_t{std::numeric_limits<int64_t>::max()} ||
      !ctx_->allocate_temp(tensorflow::DT_UINT8, TensorShape({static_cast<int64_t>(bytes)}),
                           &workspace)
           .ok()) {
    return nullptr;
  }
  void* data = workspace.data();
  std::lock_guard<std::mutex> lock(mutex_);
  workspaces_.push_back(std::move(workspace));
  return data;
}

absl::Status OpCallContext::AllocateTensor(const DLTensor& prototype,
                                           DLManagedTensorVersioned** out) {
  int64_t size = 0;
  if (!SizeInBytes(prototype, &size)) {
    return absl::InvalidArgumentError("a tensor of such a shape or dtype cannot be allocated");
  }
  tensorflow::AllocatorAttributes where;
  if (prototype.device.device_type == kDLCPU) {
    where.set_on_host(true);
  } else if (prototype.device.device_type != device_.device_type ||
             prototype.device.device_id != device_.device_id) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a tensor on device ", prototype.device.device_type, ":", prototype.device.device_id,
        " was asked for; the op runs on ", device_.device_type, ":", device_.device_id));
  }
  auto tensor = std::make_unique<AllocatedTensor>();
  TF_RETURN_IF_ERROR(
      ctx_->allocate_temp(tensorflow::DT_UINT8, TensorShape({size}), &tensor->bytes, where));
  const int rank = prototype.ndim;
  tensor->dims_and_strides.resize(2 * rank);
  int64_t* dims = tensor->dims_and_strides.data();
  int64_t* strides = dims + rank;
  int64_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    dims[i] = prototype.shape[i];
    strides[i] = stride;
    stride *= dims[i];
  }
  tensor->managed.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
  tensor->managed.manager_ctx = tensor.get();
  tensor->managed.deleter = [](DLManagedTensorVersioned* managed) {
    delete static_cast<AllocatedTensor*>(managed->manager_ctx);
  };
  tensor->managed.dl_tensor =
      DLTensor{tensor->bytes.data(), prototype.device, rank, prototype.dtype, dims, strides,
               /*byte_offset=*/0};
  {
    std::lock_guard<std::mutex> lock(mutex_);
    allocated_.push_back(tensor->bytes);
  }
  *out = &tensor.release()->managed;
  return absl::OkStatus();
}

bool OpCallContext::TakeTensor(const void* data, Tensor* bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (Tensor& tensor : allocated_) {
    if (tensor.data() != data || data == nullptr) continue;
    *bytes = std::move(tensor);
    tensor = Tensor();
    return true;
  }
  return false;
}

}  // namespace tensorflow_tvm
