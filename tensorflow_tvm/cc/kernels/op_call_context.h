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

#ifndef TENSORFLOW_TVM_CC_KERNELS_OP_CALL_CONTEXT_H_
#define TENSORFLOW_TVM_CC_KERNELS_OP_CALL_CONTEXT_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_tvm/cc/runtime/call_scope.h"

namespace tensorflow_tvm {

/// Lends a TensorFlow op's threads and memory to the TVM function that it calls.
class OpCallContext : public CallContext {
 public:
  /// `device` is where the function runs.
  OpCallContext(tensorflow::OpKernelContext* ctx, DLDevice device) : ctx_(ctx), device_(device) {}

  /// Waits for what it has scheduled on a pool that is not the process's own.
  virtual ~OpCallContext();

  int MaxParallelism() override;
  void Schedule(std::function<void()> task) override;
  void* AllocateDeviceWorkspace(uint64_t bytes) override;
  absl::Status AllocateTensor(const DLTensor& prototype, DLManagedTensorVersioned** out) override;
  absl::StatusOr<tvm::ffi::Tensor> MakeOwned(const DLTensor& view, bool is_input,
                                             int index) override;
  std::string Place() override;

  /// Temporary memory at a multiple of `alignment` bytes, for the op's own thread.
  absl::StatusOr<char*> AllocateAligned(int64_t bytes, int64_t alignment);

  /// What tensors have to hold that the function may keep, besides TensorFlow's.
  virtual std::shared_ptr<void> memory() { return nullptr; }

  /// The bytes of the tensor that AllocateTensor made at `data`; null if there is none.
  const tensorflow::Tensor* FindTensor(const void* data);

  /// The same, but only once, and only if nobody holds the tensor any more.
  const tensorflow::Tensor* TakeTensor(const void* data);

 private:
  tensorflow::OpKernelContext* const ctx_;
  const DLDevice device_;
  std::atomic<bool> has_to_wait_{false};
  absl::InlinedVector<tensorflow::Tensor, 1> aligned_;

  std::mutex mutex_;
  int scheduled_ = 0;                           // guarded by mutex_; not run yet
  std::condition_variable none_is_scheduled_;
  std::vector<tensorflow::Tensor> workspaces_;  // guarded by mutex_

  struct Allocated {
    tensorflow::Tensor bytes;
    std::weak_ptr<void> holders;
    bool taken = false;
  };
  /// With mutex_ held.
  Allocated* Find(const void* data);
  std::list<Allocated> allocated_;  // guarded by mutex_; elements stay where they are
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_KERNELS_OP_CALL_CONTEXT_H_
