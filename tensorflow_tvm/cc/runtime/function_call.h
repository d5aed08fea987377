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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_FUNCTION_CALL_H_
#define TENSORFLOW_TVM_CC_RUNTIME_FUNCTION_CALL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "dlpack/dlpack.h"
#include "tensorflow_tvm/cc/runtime/buffer_call.h"
#include "tensorflow_tvm/cc/runtime/call_scope.h"
#include "tensorflow_tvm/cc/runtime/callee.h"
#include "tensorflow_tvm/cc/runtime/library.h"
#include "tensorflow_tvm/cc/runtime/signature.h"
#include "tvm/ffi/any.h"
#include "tvm/ffi/container/tensor.h"

namespace tensorflow_tvm {

/// Where the data of a zero-size tensor is said to be: generated code refuses null.
extern char no_data[];

/// One use of a TVM function, as in a node of a graph: what it is called with, finding it, calling
/// it, and what is said when that fails. All that is left to its owner is where memory comes from.
/// Thread-safe once Init and SetDtypes have returned.
class FunctionCall {
 public:
  /// `callee` is what the op's attribute of that name holds.
  absl::Status Init(const std::string& callee);

  /// What the tensors are that the function is called with.
  absl::Status SetDtypes(absl::Span<const DLDataType> inputs,
                         absl::Span<const DLDataType> outputs);

  const Callee& callee() const { return *callee_; }

  /// Null where there is none.
  const Signature* signature() const { return signature_; }

  /// What the signature says of the shape of output `i`; null if nothing.
  const TensorSpec* SpecOf(size_t i) const {
    if (signature_ == nullptr || signature_->outputs()[i].any_shape) return nullptr;
    return &signature_->outputs()[i];
  }

  bool returns_outputs() const { return returns_outputs_; }
  absl::Span<const DLDataType> input_dtypes() const { return input_dtypes_; }
  absl::Span<const DLDataType> output_dtypes() const { return output_dtypes_; }

  /// What messages call the function.
  std::string Name() const;

  /// `status`, said of the function.
  absl::Status Named(const absl::Status& status) const;

  /// Gives the bytes of the function's library.
  using BytesReader = absl::FunctionRef<absl::StatusOr<absl::string_view>()>;

  /// The function, for devices of type `device`, which must be the same in all calls. The library
  /// stays while `owner` lives; with `bytes`, which is asked only if the library is not loaded, it
  /// stays while this lives. A failure is not remembered.
  absl::Status Find(DLDeviceType device, const BytesReader* bytes, LibraryFunction* function,
                    LibraryPtr* owner) {
    const Resolved* resolved = resolved_.load(std::memory_order_acquire);
    if (resolved == nullptr || !resolved->Acquire(owner)) {
      return Resolve(device, bytes, function, owner);
    }
    *function = resolved->function;
    return absl::OkStatus();
  }

  /// Checks the inputs' sizes against the signature, which there must be, and each other.
  absl::Status BindInputs(absl::Span<const DLTensor> inputs, SymbolValues* symbols) const;

  /// The sizes of output `i` by the signature, which must say them.
  absl::Status OutputDims(int i, const SymbolValues& symbols, Dims* dims) const;

  /// Checks that TensorFlow can hold input or output (`role`) `index` if it has these sizes.
  absl::Status CheckShape(absl::Span<const int64_t> dims, absl::string_view role, int index) const;

  /// The same, and that TVM functions can. Generated code counts elements in 32 bits: beyond that
  /// it reads and writes other memory.
  absl::Status CheckSize(absl::Span<const int64_t> dims, absl::string_view role, int index) const;

  /// Calls the function. Where it returns its outputs, none are passed, and `result` is for
  /// `TakeReturned`.
  absl::Status Invoke(const LibraryFunction& function, CallContext* context,
                      absl::Span<DLTensor> inputs, absl::Span<DLTensor> outputs,
                      tvm::ffi::Any* result) const;

  /// The tensors that the function returned, which are known to be of the outputs' dtypes, on
  /// `device`, contiguous, and of the shapes that the signature says.
  absl::Status TakeReturned(tvm::ffi::Any result, DLDevice device, const SymbolValues* symbols,
                            std::vector<tvm::ffi::Tensor>* tensors) const;

  /// The error of a returned output that `what` is said of.
  absl::Status RefuseReturned(int output, absl::string_view what) const;

 private:
  /// The function to call. Immutable once published.
  struct Resolved {
    LibraryFunction function;
    WeakLibraryPtr weak;
    LibraryPtr strong;  ///< null where the library has other owners

    /// Makes sure that the library stays until `owner` goes; false if it is gone.
    bool Acquire(LibraryPtr* owner) const {
      if (strong != nullptr) return true;
      *owner = weak.lock();
      return *owner != nullptr;
    }
  };

  absl::Status Resolve(DLDeviceType device, const BytesReader* bytes, LibraryFunction* function,
                       LibraryPtr* owner);

  absl::Status CheckReturned(int output, const tvm::ffi::Tensor& tensor, DLDevice device,
                             const SymbolValues* symbols) const;

  absl::Status CallError(CallContext* context, absl::Span<const DLTensor> inputs,
                         absl::Span<const DLTensor> outputs,
                         const tvm::ffi::ObjectPtr<tvm::ffi::Object>& error) const;

  // What every call reads comes first and close together: each node of a graph has one of these,
  // and in a large graph fetching it from memory is a good part of a small call's time.
  std::atomic<const Resolved*> resolved_{nullptr};
  Resolved first_;
  const Signature* signature_ = nullptr;
  bool returns_outputs_ = false;
  bool owned_tensors_ = false;
  absl::InlinedVector<DLDataType, 4> input_dtypes_;
  absl::InlinedVector<DLDataType, 4> output_dtypes_;
  absl::InlinedVector<Callee::Argument, 4> arguments_;

  std::shared_ptr<const Callee> callee_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Resolved>> later_;  // guarded by mutex_
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_FUNCTION_CALL_H_
