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

#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/log/check.h"
#include "dlpack/dlpack.h"
#include "tvm/ffi/error.h"

namespace tensorflow_tvm {
namespace {

/// TVM's side of the contract.
struct GroupEnv {
  void* sync_handle;
  int32_t num_task;
};
using Body = int (*)(int, GroupEnv*, void*);
using Launch = int (*)(Body, void*, int);

int RunLoop(Body body, void* data, int num_task = 0) {
  return reinterpret_cast<Launch>(FindBackendFunction("TVMBackendParallelLaunch"))(body, data,
                                                                                   num_task);
}

/// Runs each scheduled task in a thread of its own.
class ThreadContext final : public CallContext {
 public:
  explicit ThreadContext(int parallelism) : parallelism_(parallelism) {}
  ~ThreadContext() override {
    for (std::thread& thread : threads_) thread.join();
  }
  int MaxParallelism() override { return parallelism_; }
  void Schedule(std::function<void()> task) override {
    std::lock_guard<std::mutex> lock(mutex_);
    threads_.emplace_back(std::move(task));
  }
  absl::Status AllocateTensor(const DLTensor&, DLManagedTensorVersioned**) override {
    return absl::UnimplementedError("no tensors here");
  }
  absl::StatusOr<tvm::ffi::Tensor> MakeOwned(const DLTensor&, bool, int) override {
    return absl::UnimplementedError("no tensors here");
  }
  std::string Place() override { return "here"; }
  void* AllocateDeviceWorkspace(uint64_t) override { return nullptr; }

 private:
  const int parallelism_;
  std::mutex mutex_;
  std::deque<std::thread> threads_;
};

/// A pool so busy that it runs tasks only when it is told to.
class BusyContext final : public CallContext {
 public:
  int MaxParallelism() override { return 4; }
  void Schedule(std::function<void()> task) override { tasks.push_back(std::move(task)); }
  absl::Status AllocateTensor(const DLTensor&, DLManagedTensorVersioned**) override {
    return absl::UnimplementedError("no tensors here");
  }
  absl::StatusOr<tvm::ffi::Tensor> MakeOwned(const DLTensor&, bool, int) override {
    return absl::UnimplementedError("no tensors here");
  }
  std::string Place() override { return "here"; }
  void* AllocateDeviceWorkspace(uint64_t) override { return &device_memory; }

  std::vector<std::function<void()>> tasks;
  char device_memory = 0;
};

struct Counts {
  std::atomic<int> calls[1000] = {};
  std::atomic<int> num_task{0};
};

int Count(int task, GroupEnv* env, void* data) {
  auto* counts = static_cast<Counts*>(data);
  counts->calls[task].fetch_add(1);
  counts->num_task = env->num_task;
  return 0;
}

void ExpectEachOnce(const Counts& counts, int num_task) {
  CHECK_EQ(counts.num_task.load(), num_task);
  for (int i = 0; i < 1000; ++i) CHECK_EQ(counts.calls[i].load(), i < num_task ? 1 : 0) << i;
}

void TestEachTaskRunsOnce() {
  for (int parallelism : {1, 2, 7}) {
    for (int num_task : {1, 2, 3, 1000}) {
      ThreadContext context(parallelism);
      CallScope scope(&context);
      Counts counts;
      CHECK_EQ(RunLoop(&Count, &counts, num_task), 0);
      ExpectEachOnce(counts, num_task);
    }
  }
}

void TestTheCallerSaysHowManyThreads() {
  {
    ThreadContext context(1);
    CallScope scope(&context);
    Counts counts;
    CHECK_EQ(RunLoop(&Count, &counts), 0);
    ExpectEachOnce(counts, 1);
  }
  Counts counts;  // without a scope: serial
  CHECK_EQ(RunLoop(&Count, &counts), 0);
  ExpectEachOnce(counts, 1);
}

void TestABusyPoolDoesNotStopALoop() {
  BusyContext context;
  {
    CallScope scope(&context);
    Counts counts;
    CHECK_EQ(RunLoop(&Count, &counts, 8), 0);
    ExpectEachOnce(counts, 8);
  }
  CHECK_EQ(context.tasks.size(), 3u);
  for (auto& task : context.tasks) task();  // too late, and harmless
}

int FailAtThree(int task, GroupEnv*, void*) {
  if (task != 3) return 0;
  TVMFFIErrorSetRaisedFromCStr("ValueError", "task three failed");
  return -1;
}

void TestAnErrorOfAnyTaskIsKept() {
  for (int parallelism : {1, 4}) {
    ThreadContext context(parallelism);
    CallScope scope(&context);
    CHECK_EQ(RunLoop(&FailAtThree, nullptr, 100), -1);
    tvm::ffi::ObjectPtr<tvm::ffi::Object> error = scope.TakeError();
    CHECK(error != nullptr);
    const auto* details = static_cast<const tvm::ffi::ErrorObj*>(error.get());
    CHECK_EQ(std::string(details->message.data, details->message.size), "task three failed");
    CHECK(scope.TakeError() == nullptr);
    CHECK(TakeRaisedError() != nullptr);  // raised as well, for code that asks
  }
}

int FailSilently(int, GroupEnv*, void*) { return -1; }

void TestAnErrorWithoutAMessage() {
  ThreadContext context(2);
  CallScope scope(&context);
  CHECK_EQ(RunLoop(&FailSilently, nullptr, 2), -1);
  CHECK(scope.TakeError() != nullptr);
}

int RunInnerLoop(int task, GroupEnv*, void* data) {
  return RunLoop(&Count, static_cast<Counts*>(data) + task, 50);
}

int RunFailingInnerLoop(int, GroupEnv*, void*) {
  RunLoop(&FailAtThree, nullptr, 10);
  return 0;  // as generated code does
}

void TestLoopsNest() {
  ThreadContext context(3);
  CallScope scope(&context);
  std::vector<Counts> counts(5);
  CHECK_EQ(RunLoop(&RunInnerLoop, counts.data(), 5), 0);
  for (const Counts& inner : counts) ExpectEachOnce(inner, 50);
  CHECK_EQ(RunLoop(&RunFailingInnerLoop, nullptr, 5), -1);
  CHECK(scope.TakeError() != nullptr);
}

void TestScopesNest() {
  BusyContext outer_context, inner_context;
  CHECK(CallScope::Current() == nullptr);
  {
    CallScope outer(&outer_context);
    {
      CallScope inner(&inner_context);
      CHECK(CallScope::Current() == &inner);
    }
    CHECK(CallScope::Current() == &outer);
  }
  CHECK(CallScope::Current() == nullptr);
}

void TestWorkspace() {
  using Alloc = void* (*)(int, int, uint64_t, int, int);
  using Free = int (*)(int, int, void*);
  auto alloc = reinterpret_cast<Alloc>(FindBackendFunction("TVMBackendAllocWorkspace"));
  auto release = reinterpret_cast<Free>(FindBackendFunction("TVMBackendFreeWorkspace"));
  for (uint64_t bytes : {0, 1, 1 << 20}) {
    void* workspace = alloc(kDLCPU, 0, bytes, kDLFloat, 32);
    CHECK(workspace != nullptr);
    CHECK_EQ(reinterpret_cast<uintptr_t>(workspace) % 64, 0u);
    CHECK_EQ(release(kDLCPU, 0, workspace), 0);
  }
  CHECK(alloc(kDLCPU, 0, UINT64_MAX / 2, kDLFloat, 32) == nullptr);
  CHECK(TakeRaisedError() != nullptr);

  CHECK(alloc(kDLCUDA, 0, 16, kDLFloat, 32) == nullptr);  // nobody lends device memory
  BusyContext context;
  CallScope scope(&context);
  CHECK(alloc(kDLCUDA, 0, 16, kDLFloat, 32) == &context.device_memory);
  CHECK_EQ(release(kDLCUDA, 0, &context.device_memory), 0);
}

void TestWorkspacesOfCodeThatFailsAreFreed() {
  using Alloc = void* (*)(int, int, uint64_t, int, int);
  using Free = int (*)(int, int, void*);
  auto alloc = reinterpret_cast<Alloc>(FindBackendFunction("TVMBackendAllocWorkspace"));
  auto release = reinterpret_cast<Free>(FindBackendFunction("TVMBackendFreeWorkspace"));
  constexpr size_t kBytes = size_t{64} << 20;
  BusyContext context;
  // The allocator keeps what is freed for the next call: so the second call takes no more.
  size_t after_first = 0;
  for (int call = 0; call < 20; ++call) {
    {
      CallScope scope(&context);
      void* workspaces[3];
      for (void*& workspace : workspaces) {
        workspace = alloc(kDLCPU, 0, kBytes, kDLFloat, 32);
        CHECK(workspace != nullptr);
        std::memset(workspace, 0xFF, 1000);
      }
      for (int i = 0; i < 3; ++i) {
        if (i != call % 4) CHECK_EQ(release(kDLCPU, 0, workspaces[i]), 0);
      }
    }
    const size_t mapped = mallinfo2().hblkhd;
    if (call == 0) after_first = mapped;
    CHECK_LE(mapped, after_first + kBytes / 2) << call;
  }
}

}  // namespace
}  // namespace tensorflow_tvm

int main() {
  using namespace tensorflow_tvm;  // NOLINT: a test's main
  TestEachTaskRunsOnce();
  TestTheCallerSaysHowManyThreads();
  TestABusyPoolDoesNotStopALoop();
  TestAnErrorOfAnyTaskIsKept();
  TestAnErrorWithoutAMessage();
  TestLoopsNest();
  TestScopesNest();
  TestWorkspace();
  TestWorkspacesOfCodeThatFailsAreFreed();
  CHECK(FindBackendFunction("TVMBackendParallelBarrier") == nullptr);
  return 0;
}
