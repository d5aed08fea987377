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

#include "tensorflow_tvm/cc/kernels/tvm_device_call.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow_tvm/cc/runtime/managed_tensor.h"

namespace tensorflow_tvm {

TvmDeviceCall::~TvmDeviceCall() {
  if (!may_be_busy_) return;  // else a call that failed left the device at work
  absl::Status status = device_.Synchronize();
  if (!status.ok()) LOG(ERROR) << "A TVM function's call failed, and then: " << status.message();
}

absl::StatusOr<char*> TvmDeviceCall::Allocate(int64_t bytes) {
  absl::StatusOr<tvm::ffi::Tensor> memory = device_.Allocate(bytes);
  if (!memory.ok()) return memory.status();
  char* data = static_cast<char*>(memory->data_ptr());
  std::lock_guard<std::mutex> lock(mutex_);
  memory_->push_back(*std::move(memory));
  return data;
}

absl::StatusOr<char*> TvmDeviceCall::CopyIn(const char* data, int64_t bytes) {
  absl::StatusOr<char*> memory = Allocate(bytes);
  if (!memory.ok() || bytes == 0) return memory;
  if (absl::Status s = device_.CopyIn(data, *memory, bytes); !s.ok()) return s;
  return memory;
}

absl::Status TvmDeviceCall::CopyOut(const void* from, uint64_t offset, char* to, int64_t bytes) {
  if (may_be_busy_) {
    if (absl::Status s = device_.Synchronize(); !s.ok()) return s;
    may_be_busy_ = false;
  }
  return bytes == 0 ? absl::OkStatus() : device_.CopyOut(from, offset, to, bytes);
}

void* TvmDeviceCall::AllocateDeviceWorkspace(uint64_t bytes) {
  if (bytes > uint64_t{std::numeric_limits<int64_t>::max()}) return nullptr;
  absl::StatusOr<char*> workspace = Allocate(static_cast<int64_t>(bytes));
  return workspace.ok() ? *workspace : nullptr;
}

absl::Status TvmDeviceCall::AllocateTensor(const DLTensor& prototype,
                                           DLManagedTensorVersioned** out) {
  const DLDevice device = device_.device();
  if (prototype.device.device_type != device.device_type ||
      prototype.device.device_id != device.device_id) {
    return OpCallContext::AllocateTensor(prototype, out);  // the host's, or an error
  }
  int64_t bytes = 0;
  if (!SizeInBytes(prototype, &bytes)) {
    return absl::InvalidArgumentError("a tensor of such a shape or dtype cannot be allocated");
  }
  absl::StatusOr<char*> data = Allocate(bytes);
  if (!data.ok()) return data.status();
  DLTensor view = prototype;
  view.data = *data;
  *out = NewManagedTensor(view, memory_);
  return absl::OkStatus();
}

}  // namespace tensorflow_tvm
