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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_CALL_SCOPE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_CALL_SCOPE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dlpack/dlpack.h"
#include "tvm/ffi/c_api.h"
#include "tvm/ffi/container/tensor.h"
#include "tvm/ffi/object.h"

namespace tensorflow_tvm {

/// What the caller of a TVM function lends to the code it calls. Thread-safe.
class CallContext {
 public:
  virtual ~CallContext() = default;

  /// How many threads, the caller's included, one parallel loop may use. At least 1.
  virtual int MaxParallelism() = 0;

  /// Runs `task` on the caller's thread pool, at any later time.
  virtual void Schedule(std::function<void()> task) = 0;

  /// Memory on an accelerator that stays valid until the end of the call; null if there is none.
  virtual void* AllocateDeviceWorkspace(uint64_t bytes) = 0;

  /// A tensor of `prototype`'s dtype, shape and device, which its deleter frees.
  virtual absl::Status AllocateTensor(const DLTensor& prototype,
                                      DLManagedTensorVersioned** out) = 0;

  /// A tensor that the code may keep as long as it likes, in the memory of `view`: what input or
  /// output `index` is passed as.
  virtual absl::StatusOr<tvm::ffi::Tensor> MakeOwned(const DLTensor& view, bool is_input,
                                                     int index) = 0;

  /// What messages call the place where this runs.
  virtual std::string Place() = 0;
};

/// Stands before a workspace in host memory: a link of the list of those that a scope owns.
struct HostWorkspace {
  HostWorkspace* previous = nullptr;
  HostWorkspace* next = nullptr;

  void Unlink() {
    if (previous != nullptr) previous->next = next;
    if (next != nullptr) next->previous = previous;
  }
};

/// Makes `context` that of the TVM code which this thread calls; scopes nest. Tensors that such
/// code asks of its environment (TVMFFIEnvTensorAlloc) come from the context too, if
/// `lends_tensors`.
class CallScope {
 public:
  explicit CallScope(CallContext* context, bool lends_tensors = true);
  ~CallScope();

  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  /// The innermost scope of this thread, or null.
  static CallScope* Current();

  CallContext* context() const { return context_; }

  /// Keeps the first error that a parallel loop reports: generated code ignores what the launcher
  /// returns, so that its caller has to ask here.
  void SetError(tvm::ffi::ObjectPtr<tvm::ffi::Object> error);
  tvm::ffi::ObjectPtr<tvm::ffi::Object> TakeError() { return std::move(error_); }

  /// Lets the scope free `workspace` at its end, unless the code has done so before. Code frees a
  /// workspace in the scope, and so on the thread, in which it has allocated it.
  void Add(HostWorkspace* workspace);

 private:
  CallContext* const context_;
  CallScope* const previous_;
  const bool lends_tensors_;
  DLPackManagedTensorAllocator previous_allocator_ = nullptr;
  tvm::ffi::ObjectPtr<tvm::ffi::Object> error_;
  HostWorkspace workspaces_;  ///< the list's head
};

/// The error that this thread's last failing tvm-ffi call raised; null if there is none.
tvm::ffi::ObjectPtr<tvm::ffi::Object> TakeRaisedError();

/// The address of our implementation of the TVM runtime function `name` (TVMBackendParallelLaunch,
/// TVMBackendAllocWorkspace, TVMBackendFreeWorkspace), or null. They work through
/// CallScope::Current().
void* FindBackendFunction(const char* name);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_CALL_SCOPE_H_
