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

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_tvm/cc/runtime/call_scope.h"

namespace tensorflow_tvm {

/// Lends a TensorFlow op's threads and memory to the TVM function that it calls.
class OpCallContext final : public CallContext {
 public:
  /// `device` is where the op runs.
  OpCallContext(tensorflow::OpKernelContext* ctx, DLDevice device) : ctx_(ctx), device_(device) {}

  int MaxParallelism() override;
  void Schedule(std::function<void()> task) override;
  void* AllocateDeviceWorkspace(uint64_t bytes) override;
  absl::Status AllocateTensor(const DLTensor& prototype, DLManagedTensorVersioned** out) override;

  /// The bytes of the tensor that AllocateTensor made at `data`, once; false if there is none.
  bool TakeTensor(const void* data, tensorflow::Tensor* bytes);

 private:
  tensorflow::OpKernelContext* const ctx_;
  const DLDevice device_;
  std::mutex mutex_;
  std::vector<tensorflow::Tensor> workspaces_;  // guarded by mutex_
  std::vector<tensorflow::Tensor> allocated_;   // guarded by mutex_
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_KERNELS_OP_CALL_CONTEXT_H_
