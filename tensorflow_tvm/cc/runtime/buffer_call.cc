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

#include "tensorflow_tvm/cc/runtime/buffer_call.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tensorflow_tvm/cc/runtime/call_scope.h"
#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"
#include "tensorflow_tvm/cc/runtime/function_call.h"
#include "tensorflow_tvm/cc/runtime/managed_tensor.h"
#include "tensorflow_tvm/cc/runtime/stats.h"
#include "tensorflow_tvm/cc/runtime/stream_scope.h"
#include "tensorflow_tvm/cc/runtime/tvm_device.h"
#include "tvm/ffi/container/tensor.h"
#include "tvm/ffi/reflection/registry.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

absl::Span<const int64_t> DimsOf(const DLTensor& tensor) {
  return {tensor.shape, static_cast<size_t>(tensor.ndim)};
}

int64_t Bytes(const DLTensor& tensor) {
  int64_t bytes = 0;
  return SizeInBytes(tensor, &bytes) ? bytes : 0;
}

/// Memory of the host at a multiple of `alignment` bytes; null if there is none.
std::shared_ptr<void> AllocateHost(int64_t bytes, int64_t alignment) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, std::max<int64_t>(bytes, 1)) != 0) return nullptr;
  return std::shared_ptr<void>(memory, std::free);
}

/// What one call of a function lends it. Buffers are the caller's again when it returns: what the
/// function may keep is copied.
class BufferCallContext final : public CallContext {
 public:
  BufferCallContext(const BufferCall::Environment& environment, int64_t alignment)
      : environment_(environment), alignment_(alignment) {}

  int MaxParallelism() override { return environment_.max_parallelism; }
  void Schedule(std::function<void()> task) override { environment_.schedule(std::move(task)); }
  std::string Place() override {
    return environment_.device.device_type == kDLCPU ? "CPU by XLA" : "GPU by XLA";
  }

  void* AllocateDeviceWorkspace(uint64_t bytes) override {
    absl::StatusOr<TvmDevice> device = TvmDevice::Open(environment_.device);
    if (!device.ok()) return nullptr;
    absl::StatusOr<ffi::Tensor> memory = device->Allocate(static_cast<int64_t>(bytes));
    if (!memory.ok()) return nullptr;
    void* const data = memory->data_ptr();
    std::lock_guard<std::mutex> lock(mutex_);
    workspaces_.push_back(*std::move(memory));
    return data;
  }

  absl::Status AllocateTensor(const DLTensor& prototype, DLManagedTensorVersioned** out) override {
    int64_t bytes = 0;
    if (!SizeInBytes(prototype, &bytes)) {
      return absl::InvalidArgumentError("a tensor of such a shape or dtype cannot be allocated");
    }
    if (prototype.device.device_type != kDLCPU) {
      return absl::UnimplementedError(
          "a function that XLA calls on a GPU cannot allocate tensors there; leave out "
          "jit_compile=True");
    }
    DLTensor view = prototype;
    std::shared_ptr<void> memory = AllocateHost(bytes, alignment_);
    if (memory == nullptr) return absl::ResourceExhaustedError("no memory for a tensor");
    view.data = memory.get();
    *out = NewManagedTensor(view, std::move(memory));
    return absl::OkStatus();
  }

  absl::StatusOr<ffi::Tensor> MakeOwned(const DLTensor& view, bool is_input, int) override {
    DLManagedTensorVersioned* managed = nullptr;
    if (absl::Status s = AllocateTensor(view, &managed); !s.ok()) return s;
    if (is_input) {
      std::memcpy(managed->dl_tensor.data, view.data, Bytes(view));
    } else {
      copied_back_.push_back({managed->dl_tensor.data, view.data, Bytes(view)});
    }
    ffi::Tensor tensor = ffi::Tensor::FromDLPackVersioned(managed);
    owned_.push_back(tensor);
    return tensor;
  }

  /// Puts `tensor` where the function expects it, for the time of the call.
  absl::Status Align(DLTensor* tensor, bool is_input) {
    std::shared_ptr<void> memory = AllocateHost(Bytes(*tensor), alignment_);
    if (memory == nullptr) return absl::ResourceExhaustedError("no memory to align a tensor");
    Stats::Global().alignment_copies.fetch_add(1, std::memory_order_relaxed);
    Stats::Global().alignment_copied_bytes.fetch_add(Bytes(*tensor), std::memory_order_relaxed);
    if (is_input) {
      std::memcpy(memory.get(), tensor->data, Bytes(*tensor));
    } else {
      copied_back_.push_back({memory.get(), tensor->data, Bytes(*tensor)});
    }
    tensor->data = memory.get();
    aligned_.push_back(std::move(memory));
    return absl::OkStatus();
  }

  /// Fills in outputs that the function was given other memory for, the last first: an output may
  /// have been put elsewhere twice.
  void CopyBack() {
    for (auto copy = copied_back_.rbegin(); copy != copied_back_.rend(); ++copy) {
      std::memcpy(copy->to, copy->from, copy->bytes);
    }
  }

 private:
  struct Copy {
    const void* from;
    void* to;
    int64_t bytes;
  };

  const BufferCall::Environment& environment_;
  const int64_t alignment_;
  std::vector<std::shared_ptr<void>> aligned_;
  std::vector<ffi::Tensor> owned_;
  std::vector<Copy> copied_back_;
  std::mutex mutex_;
  std::vector<ffi::Tensor> workspaces_;  // guarded by mutex_
};

class BufferCallImpl final : public BufferCall {
 public:
  static absl::StatusOr<std::unique_ptr<BufferCall>> Make(
      const std::string& callee, absl::Span<const tensorflow::DataType> inputs,
      absl::Span<const tensorflow::DataType> outputs) {
    auto call = std::make_unique<BufferCallImpl>();
    if (absl::Status s = call->Init(callee, inputs, outputs); !s.ok()) return s;
    return call;
  }

  std::string Name() const override { return call_.Name(); }

  absl::StatusOr<std::vector<Dims>> OutputShapes(absl::Span<const Dims> inputs,
                                                 absl::Span<const Dims> given) const override {
    std::optional<SymbolValues> symbols;
    std::vector<DLTensor> tensors;
    for (const Dims& dims : inputs) {
      if (absl::Status s = call_.CheckSize(dims, "input", tensors.size()); !s.ok()) return s;
      DLTensor& tensor = tensors.emplace_back();
      tensor.ndim = static_cast<int>(dims.size());
      tensor.shape = const_cast<int64_t*>(dims.data());
    }
    if (call_.signature() != nullptr) {
      symbols.emplace(*call_.signature());
      if (absl::Status s = call_.BindInputs(tensors, &*symbols); !s.ok()) return s;
    }
    const std::vector<std::vector<int64_t>>& known = call_.callee().output_shapes;
    std::vector<Dims> shapes;
    for (size_t i = 0; i < call_.output_dtypes().size(); ++i) {
      std::optional<Dims> said;
      if (!given.empty()) said = given[i];
      if (given.empty() && i < known.size()) said.emplace(known[i].begin(), known[i].end());
      Dims& shape = shapes.emplace_back();
      const TensorSpec* spec = call_.SpecOf(i);
      if (spec != nullptr && !(call_.returns_outputs() && IsOpen(*spec, *symbols))) {
        if (absl::Status s = call_.OutputDims(i, *symbols, &shape); !s.ok()) return s;
        if (said.has_value() && *said != shape) {
          return absl::InvalidArgumentError(
              absl::StrCat(Name(), ": output_shape says that output ", i, " has shape [",
                           absl::StrJoin(*said, ","), "], and the signature says ", spec->text,
                           " = [", absl::StrJoin(shape, ","), "]"));
        }
      } else if (said.has_value()) {
        shape = *said;
      } else if (!inputs.empty() && !call_.returns_outputs()) {
        shape = inputs[0];
      } else {
        return absl::UnimplementedError(absl::StrCat(
            Name(), ": XLA has to know the shape of output ", i,
            " when it compiles. Say it: output_shape= or signature= of Module.func"));
      }
      if (absl::Status s = call_.CheckSize(shape, "output", i); !s.ok()) return s;
    }
    return shapes;
  }

  absl::Status Run(absl::Span<DLTensor> inputs, absl::Span<DLTensor> outputs,
                   const Environment& environment) override {
    for (size_t i = 0; i < inputs.size(); ++i) inputs[i].dtype = call_.input_dtypes()[i];
    for (size_t i = 0; i < outputs.size(); ++i) outputs[i].dtype = call_.output_dtypes()[i];
    const bool on_cpu = environment.device.device_type == kDLCPU;
    std::optional<StreamScope> stream;
    if (!on_cpu) stream.emplace(environment.device, environment.stream);
    LibraryFunction function;
    LibraryPtr owner;
    std::string copied;
    const auto read = [&]() { return LibraryBytes(environment, &copied); };
    const FunctionCall::BytesReader bytes = read;
    absl::Status status = call_.Find(environment.device.device_type,
                                     environment.library == nullptr ? nullptr : &bytes, &function,
                                     &owner);
    if (!status.ok()) return status;

    BufferCallContext context(environment, call_.callee().memory_align);
    if (call_.returns_outputs() || call_.callee().owned_tensors) {
      if (!on_cpu) {
        return absl::UnimplementedError(absl::StrCat(
            Name(), " takes tensors that it may keep, or returns some, which XLA has none of on a "
                    "GPU; leave out jit_compile=True"));
      }
    }
    // No accelerator can launch an empty grid.
    const auto empty = [](const DLTensor& tensor) { return Bytes(tensor) == 0; };
    if (!on_cpu && std::all_of(outputs.begin(), outputs.end(), empty)) return absl::OkStatus();
    for (absl::Span<DLTensor> tensors : {inputs, outputs}) {
      for (DLTensor& tensor : tensors) {
        if (Bytes(tensor) == 0) {
          tensor.data = no_data;
        } else if ((reinterpret_cast<uintptr_t>(tensor.data) &
                    (call_.callee().memory_align - 1)) != 0) {
          if (!on_cpu) return Misaligned();
          absl::Status s = context.Align(&tensor, tensors.data() == inputs.data());
          if (!s.ok()) return s;
        }
      }
    }
    ffi::Any result;
    if (!call_.returns_outputs()) {
      status = call_.Invoke(function, &context, inputs, outputs, &result);
      if (status.ok()) context.CopyBack();
      return status;
    }
    status = call_.Invoke(function, &context, inputs, {}, &result);
    if (!status.ok()) return status;
    return TakeReturned(std::move(result), inputs, outputs, environment.device);
  }

 private:
  /// Whether a dimension of an output is known only when the function has returned it.
  static bool IsOpen(const TensorSpec& spec, const SymbolValues& symbols) {
    return std::any_of(spec.dims.begin(), spec.dims.end(), [&](const Dimension& dimension) {
      absl::StatusOr<int64_t> size = symbols.Evaluate(dimension, spec);
      return size.ok() && *size < 0;
    });
  }

  absl::Status Init(const std::string& callee, absl::Span<const tensorflow::DataType> inputs,
                    absl::Span<const tensorflow::DataType> outputs) {
    if (absl::Status s = call_.Init(callee); !s.ok()) return s;
    if (call_.callee().device.has_value()) {
      return absl::UnimplementedError(absl::StrCat(
          Name(), " is to run on TVM's device ", TvmDeviceName(*call_.callee().device),
          ", which XLA does not know; leave out jit_compile=True"));
    }
    std::vector<DLDataType> dtypes[2];
    for (int i = 0; i < 2; ++i) {
      for (tensorflow::DataType dtype : i == 0 ? inputs : outputs) {
        absl::StatusOr<DLDataType> converted = ToDLDataType(dtype);
        if (!converted.ok()) return call_.Named(converted.status());
        dtypes[i].push_back(*converted);
      }
    }
    return call_.SetDtypes(dtypes[0], dtypes[1]);
  }

  absl::StatusOr<absl::string_view> LibraryBytes(const Environment& environment,
                                                 std::string* copied) const {
    const absl::string_view library = *environment.library;
    if (environment.device.device_type == kDLCPU) return library;
    absl::StatusOr<TvmDevice> device = TvmDevice::Open(environment.device);
    if (!device.ok()) return device.status();
    if (absl::Status s = device->Synchronize(); !s.ok()) return s;
    copied->resize(library.size());
    absl::Status s = device->CopyOut(library.data(), 0, copied->data(), copied->size());
    if (!s.ok()) return s;
    return *copied;
  }

  absl::Status Misaligned() const {
    return absl::UnimplementedError(
        absl::StrCat(Name(), ": XLA has put a tensor at an address that is no multiple of ",
                     call_.callee().memory_align, " bytes; leave out jit_compile=True"));
  }

  absl::Status TakeReturned(ffi::Any result, absl::Span<DLTensor> inputs,
                            absl::Span<DLTensor> outputs, DLDevice device) const {
    std::optional<SymbolValues> symbols;
    if (call_.signature() != nullptr) {
      symbols.emplace(*call_.signature());
      if (absl::Status s = call_.BindInputs(inputs, &*symbols); !s.ok()) return s;
    }
    std::vector<ffi::Tensor> tensors;
    absl::Status status = call_.TakeReturned(std::move(result), device,
                                             symbols.has_value() ? &*symbols : nullptr, &tensors);
    if (!status.ok()) return status;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ffi::Tensor& tensor = tensors[i];
      const absl::Span<const int64_t> dims(tensor.shape().data(), tensor.shape().size());
      if (dims != DimsOf(outputs[i])) {
        return call_.RefuseReturned(
            i, absl::StrCat("has shape [", absl::StrJoin(dims, ","), "]; expected [",
                            absl::StrJoin(DimsOf(outputs[i]), ","),
                            "], which was known when XLA compiled"));
      }
      Stats::Global().output_copies.fetch_add(1, std::memory_order_relaxed);
      Stats::Global().output_copied_bytes.fetch_add(Bytes(outputs[i]), std::memory_order_relaxed);
      std::memcpy(outputs[i].data,
                  static_cast<const char*>(tensor.data_ptr()) + tensor.byte_offset(),
                  Bytes(outputs[i]));
    }
    return absl::OkStatus();
  }

  FunctionCall call_;
};

TVM_FFI_STATIC_INIT_BLOCK() {
  if (ffi::Function::GetGlobal(BufferCall::kFactory).has_value()) return;
  ffi::reflection::GlobalDef().def(BufferCall::kFactory, []() {
    return reinterpret_cast<void*>(static_cast<BufferCall::Factory>(&BufferCallImpl::Make));
  });
}

}  // namespace
}  // namespace tensorflow_tvm
