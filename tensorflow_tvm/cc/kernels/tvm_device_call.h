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

#ifndef TENSORFLOW_TVM_CC_KERNELS_TVM_DEVICE_CALL_H_
#define TENSORFLOW_TVM_CC_KERNELS_TVM_DEVICE_CALL_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensorflow_tvm/cc/kernels/op_call_context.h"
#include "tensorflow_tvm/cc/runtime/stream_scope.h"
#include "tensorflow_tvm/cc/runtime/tvm_device.h"
#include "tvm/ffi/container/tensor.h"

namespace tensorflow_tvm {

/// A call of a function on a device that TensorFlow does not know, by an op on the CPU: its
/// tensors are copied there and back. What it has allocated is freed with it, once the device no
/// longer works on it, unless the function keeps tensors.
class TvmDeviceCall final : public OpCallContext {
 public:
  TvmDeviceCall(tensorflow::OpKernelContext* ctx, TvmDevice device)
      : OpCallContext(ctx, device.device()), device_(device), stream_(device.device(), nullptr) {}
  ~TvmDeviceCall();

  void* AllocateDeviceWorkspace(uint64_t bytes) override;
  absl::Status AllocateTensor(const DLTensor& prototype, DLManagedTensorVersioned** out) override;
  std::shared_ptr<void> memory() override { return memory_; }

  /// Memory on the device.
  absl::StatusOr<char*> Allocate(int64_t bytes);

  /// The same, with a copy of `bytes` bytes at `data`.
  absl::StatusOr<char*> CopyIn(const char* data, int64_t bytes);

  /// Copies what is `offset` bytes after `from` on the device, when the device has done its work.
  absl::Status CopyOut(const void* from, uint64_t offset, char* to, int64_t bytes);

 private:
  const TvmDevice device_;
  const StreamScope stream_;  ///< the default one, on which the runtime copies
  bool may_be_busy_ = true;
  std::mutex mutex_;
  /// Shared with the tensors that the function may keep.
  std::shared_ptr<std::vector<tvm::ffi::Tensor>> memory_ =
      std::make_shared<std::vector<tvm::ffi::Tensor>>();  // guarded by mutex_
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_KERNELS_TVM_DEVICE_CALL_H_
