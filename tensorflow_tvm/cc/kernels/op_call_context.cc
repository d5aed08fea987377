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
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/platform/threadpool.h"
#include "tensorflow/core/platform/threadpool_interface.h"
#include "tensorflow/core/util/work_sharder.h"
#include "tensorflow_tvm/cc/runtime/managed_tensor.h"

namespace tensorflow_tvm {

using tensorflow::Tensor;
using tensorflow::TensorShape;

namespace {

/// Whether a pool is that of a request, or of a server that owns it.
bool IsForeign(const tensorflow::thread::ThreadPool& pool) {
  return dynamic_cast<tensorflow::thread::ThreadPoolInterface*>(pool.AsEigenThreadPool()) !=
         nullptr;
}

}  // namespace

int OpCallContext::MaxParallelism() {
  // The stream to launch on is known to the op's own thread only.
  if (ctx_->op_device_context() != nullptr) return 1;
  const auto* workers = ctx_->device()->tensorflow_cpu_worker_threads();
  if (workers == nullptr) return 1;
  return std::min(workers->num_threads, tensorflow::GetPerThreadMaxParallelism());
}

OpCallContext::~OpCallContext() {
  if (TF_PREDICT_TRUE(!has_to_wait_.load(std::memory_order_relaxed))) return;
  std::unique_lock<std::mutex> lock(mutex_);
  none_is_scheduled_.wait(lock, [this] { return scheduled_ == 0; });
}

void OpCallContext::Schedule(std::function<void()> task) {
  tensorflow::thread::ThreadPool* const pool =
      ctx_->device()->tensorflow_cpu_worker_threads()->workers;
  if (!IsForeign(*pool)) {
    pool->Schedule(std::move(task));
    return;
  }
  // Such a pool is given back, and may be gone, when the request is done: then nothing may be left
  // in it. (The process's own is not waited for: loops
  // end without their helpers, and after a fork there are none.)
  has_to_wait_.store(true, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++scheduled_;
  }
  pool->Schedule([this, task = std::move(task)] {
    task();
    std::lock_guard<std::mutex> lock(mutex_);
    if (--scheduled_ == 0) none_is_scheduled_.notify_one();
  });
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
  Tensor bytes;
  TF_RETURN_IF_ERROR(ctx_->allocate_temp(tensorflow::DT_UINT8, TensorShape({size}), &bytes, where));
  DLTensor view = prototype;
  view.data = bytes.data();
  auto holders = std::make_shared<Tensor>(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  allocated_.push_back({std::move(bytes), holders});
  *out = NewManagedTensor(view, std::move(holders));
  return absl::OkStatus();
}

absl::StatusOr<tvm::ffi::Tensor> OpCallContext::MakeOwned(const DLTensor& view, bool is_input,
                                                          int index) {
  struct Owners {
    Tensor tensor;
    absl::InlinedVector<Tensor, 1> aligned;  // the memory may be one of these
    std::shared_ptr<void> memory;
  };
  const Tensor& tensor = is_input ? ctx_->input(index) : *ctx_->mutable_output(index);
  return tvm::ffi::Tensor::FromDLPackVersioned(
      NewManagedTensor(view, std::make_shared<Owners>(Owners{tensor, aligned_, memory()})));
}

std::string OpCallContext::Place() { return ctx_->device()->name(); }

absl::StatusOr<char*> OpCallContext::AllocateAligned(int64_t bytes, int64_t alignment) {
  Tensor memory;
  TF_RETURN_IF_ERROR(
      ctx_->allocate_temp(tensorflow::DT_UINT8, TensorShape({bytes + alignment}), &memory));
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory.tensor_data().data());
  aligned_.push_back(std::move(memory));
  return reinterpret_cast<char*>((address + alignment - 1) & ~(alignment - 1));
}

OpCallContext::Allocated* OpCallContext::Find(const void* data) {
  for (Allocated& tensor : allocated_) {
    if (data != nullptr && tensor.bytes.data() == data) return &tensor;
  }
  return nullptr;
}

const Tensor* OpCallContext::FindTensor(const void* data) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Allocated* tensor = Find(data);
  return tensor == nullptr ? nullptr : &tensor->bytes;
}

const Tensor* OpCallContext::TakeTensor(const void* data) {
  std::lock_guard<std::mutex> lock(mutex_);
  Allocated* tensor = Find(data);
  if (tensor == nullptr || tensor->taken || !tensor->holders.expired()) return nullptr;
  tensor->taken = true;
  return &tensor->bytes;
}

}  // namespace tensorflow_tvm
