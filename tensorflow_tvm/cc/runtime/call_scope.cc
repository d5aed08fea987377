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

#include "tensorflow_tvm/cc/runtime/call_scope.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "absl/base/optimization.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/allocator.h"
#include "tvm/ffi/extra/c_env_api.h"

namespace tensorflow_tvm {
namespace {

using tvm::ffi::Object;
using tvm::ffi::ObjectPtr;
using tvm::ffi::details::ObjectUnsafe;

thread_local CallScope* current_scope = nullptr;

/// TVM's contract with a parallel loop's body (tvm/runtime/c_backend_api.h).
struct ParallelGroupEnv {
  void* sync_handle;
  int32_t num_task;
};
using ParallelBody = int (*)(int task_id, ParallelGroupEnv* env, void* closure_data);

/// Several tasks a thread, so that a thread which was slow to start or has uneven work is helped
/// out.
constexpr int kTasksPerThread = 4;

/// One parallel loop. Threads take tasks until none is left; the caller works too, and waits only
/// for tasks that have been taken. So a loop always ends, however busy the pool is and however deep
/// loops nest, and a helper that comes late finds nothing to do.
///
/// The caller and each helper hold it, by a count of their own: with std::shared_ptr each helper
/// would be too large for std::function to take without allocating.
class ParallelLoop {
 public:
  static ParallelLoop* New(ParallelBody body, void* closure_data, int num_task,
                           CallContext* context, int holders) {
    return new ParallelLoop(body, closure_data, num_task, context, holders);
  }

  void Release() {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void Work() {
    // Taken before the scope is opened: most helpers of a short loop come too late.
    int task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= num_task_) return;
    CallScope scope(context_);
    ParallelGroupEnv env{nullptr, num_task_};
    int done = 0;
    for (; task < num_task_; task = next_.fetch_add(1, std::memory_order_relaxed), ++done) {
      if (failed_.load(std::memory_order_relaxed)) continue;
      if (body_(task, &env, closure_data_) != 0) {
        SetError(TakeRaisedError());
      } else if (ObjectPtr<Object> nested = scope.TakeError()) {
        TakeRaisedError();  // which generated code left behind
        SetError(std::move(nested));
      }
    }
    if (unfinished_.fetch_sub(done, std::memory_order_acq_rel) == done) {
      std::lock_guard<std::mutex> lock(mutex_);
      finished_ = true;
      all_done_.notify_one();
    }
  }

  /// Waits for the tasks that other threads have taken; returns whether one failed.
  bool Wait(ObjectPtr<Object>* error) {
    std::unique_lock<std::mutex> lock(mutex_);
    all_done_.wait(lock, [this] { return finished_; });
    *error = std::move(error_);
    return failed_.load(std::memory_order_relaxed);
  }

 private:
  ParallelLoop(ParallelBody body, void* closure_data, int num_task, CallContext* context,
               int holders)
      : body_(body),
        closure_data_(closure_data),
        num_task_(num_task),
        context_(context),
        unfinished_(num_task),
        holders_(holders) {}
  ~ParallelLoop() = default;

  void SetError(ObjectPtr<Object> error) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!failed_.exchange(true)) error_ = std::move(error);
  }

  const ParallelBody body_;
  void* const closure_data_;
  const int num_task_;
  CallContext* const context_;  ///< may be gone when the last task is done
  std::atomic<int> next_{0};
  std::atomic<int> unfinished_;
  std::atomic<int> holders_;
  std::atomic<bool> failed_{false};
  // Not absl's: the thread sanitizer does not see into TensorFlow's library, where that is.
  std::mutex mutex_;
  std::condition_variable all_done_;
  bool finished_ = false;    // guarded by mutex_
  ObjectPtr<Object> error_;  // guarded by mutex_
};

int ReportParallelError(ObjectPtr<Object> error) {
  if (error == nullptr) {
    TVMFFIErrorSetRaisedFromCStr("InternalError", "a parallel loop failed without saying why");
    error = TakeRaisedError();
  }
  if (CallScope* scope = CallScope::Current()) scope->SetError(error);
  TVMFFIErrorSetRaised(ObjectUnsafe::GetHeader(error.get()));
  return -1;
}

int ParallelLaunch(ParallelBody body, void* closure_data, int num_task) {
  CallScope* scope = CallScope::Current();
  CallContext* context = scope == nullptr ? nullptr : scope->context();
  const int parallelism = context == nullptr ? 1 : std::max(1, context->MaxParallelism());
  if (num_task <= 0) num_task = parallelism == 1 ? 1 : parallelism * kTasksPerThread;
  if (parallelism == 1 || num_task == 1) {
    ParallelGroupEnv env{nullptr, num_task};
    for (int task = 0; task < num_task; ++task) {
      if (body(task, &env, closure_data) != 0) return ReportParallelError(TakeRaisedError());
    }
    return 0;
  }
  const int threads = std::min(parallelism, num_task);
  ParallelLoop* loop = ParallelLoop::New(body, closure_data, num_task, context, threads);
  for (int helper = 1; helper < threads; ++helper) {
    context->Schedule([loop] {
      loop->Work();
      loop->Release();
    });
  }
  loop->Work();
  ObjectPtr<Object> error;
  const bool failed = loop->Wait(&error);
  loop->Release();
  return failed ? ReportParallelError(std::move(error)) : 0;
}

constexpr size_t kWorkspaceAlignment = tensorflow::Allocator::kAllocatorAlignment;

/// TensorFlow's allocator for processors keeps large pieces of memory for the next call, where
/// malloc() would get them from the kernel each time, page by page. It aligns to as much as TVM
/// promises generated code.
void* AllocateHostWorkspace(uint64_t bytes) {
  static_assert(sizeof(HostWorkspace) <= kWorkspaceAlignment);
  if (bytes > std::numeric_limits<uint64_t>::max() - kWorkspaceAlignment) return nullptr;
  void* memory = tensorflow::cpu_allocator()->AllocateRaw(kWorkspaceAlignment,
                                                          kWorkspaceAlignment + bytes);
  if (memory == nullptr) return nullptr;
  auto* workspace = new (memory) HostWorkspace;
  if (CallScope* scope = CallScope::Current()) scope->Add(workspace);
  return static_cast<char*>(memory) + kWorkspaceAlignment;
}

void FreeHostWorkspace(void* data) {
  auto* workspace =
      reinterpret_cast<HostWorkspace*>(static_cast<char*>(data) - kWorkspaceAlignment);
  workspace->Unlink();
  tensorflow::cpu_allocator()->DeallocateRaw(workspace);
}

void* AllocWorkspace(int device_type, int device_id, uint64_t bytes, int, int) {
  void* workspace = nullptr;
  if (device_type == kDLCPU) {
    workspace = AllocateHostWorkspace(bytes);
  } else if (CallScope* scope = CallScope::Current()) {
    workspace = scope->context()->AllocateDeviceWorkspace(bytes);
  }
  if (workspace == nullptr) {
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "no memory for a TVM function's workspace");
  }
  return workspace;
}

int AllocateTensor(DLTensor* prototype, DLManagedTensorVersioned** out, void* error_context,
                   void (*set_error)(void* context, const char* kind, const char* message)) {
  CallScope* scope = CallScope::Current();
  const absl::Status status =
      scope == nullptr ? absl::InternalError("no TVM function is being called by this thread")
                       : scope->context()->AllocateTensor(*prototype, out);
  if (status.ok()) return 0;
  set_error(error_context, absl::IsResourceExhausted(status) ? "MemoryError" : "ValueError",
            std::string(status.message()).c_str());
  return -1;
}

int FreeWorkspace(int device_type, int device_id, void* workspace) {
  // A device's workspace lives until the call ends.
  if (device_type == kDLCPU && workspace != nullptr) FreeHostWorkspace(workspace);
  return 0;
}

}  // namespace

CallScope::CallScope(CallContext* context, bool lends_tensors)
    : context_(context), previous_(current_scope), lends_tensors_(lends_tensors) {
  current_scope = this;
  if (!lends_tensors_) return;
  TVMFFIEnvSetDLPackManagedTensorAllocator(AllocateTensor, /*write_to_global_context=*/0,
                                           &previous_allocator_);
}

CallScope::~CallScope() {
  current_scope = previous_;
  // Code that fails returns without freeing what it has allocated.
  while (ABSL_PREDICT_FALSE(workspaces_.next != nullptr)) {
    HostWorkspace* left = workspaces_.next;
    left->Unlink();
    tensorflow::cpu_allocator()->DeallocateRaw(left);
  }
  if (!lends_tensors_) return;
  TVMFFIEnvSetDLPackManagedTensorAllocator(previous_allocator_, /*write_to_global_context=*/0,
                                           nullptr);
}

CallScope* CallScope::Current() { return current_scope; }

void CallScope::Add(HostWorkspace* workspace) {
  workspace->previous = &workspaces_;
  workspace->next = workspaces_.next;
  if (workspace->next != nullptr) workspace->next->previous = workspace;
  workspaces_.next = workspace;
}

void CallScope::SetError(ObjectPtr<Object> error) {
  if (error_ == nullptr) error_ = std::move(error);
}

ObjectPtr<Object> TakeRaisedError() {
  TVMFFIObjectHandle error = nullptr;
  TVMFFIErrorMoveFromRaised(&error);
  return ObjectUnsafe::ObjectPtrFromOwned<Object>(static_cast<TVMFFIObject*>(error));
}

void* FindBackendFunction(const char* name) {
  if (std::strcmp(name, "TVMBackendParallelLaunch") == 0) {
    return reinterpret_cast<void*>(&ParallelLaunch);
  }
  if (std::strcmp(name, "TVMBackendAllocWorkspace") == 0) {
    return reinterpret_cast<void*>(&AllocWorkspace);
  }
  if (std::strcmp(name, "TVMBackendFreeWorkspace") == 0) {
    return reinterpret_cast<void*>(&FreeWorkspace);
  }
  return nullptr;
}

}  // namespace tensorflow_tvm
