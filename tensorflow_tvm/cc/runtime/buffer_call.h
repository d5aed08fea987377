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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_BUFFER_CALL_H_
#define TENSORFLOW_TVM_CC_RUNTIME_BUFFER_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/types.pb.h"

namespace tensorflow_tvm {

/// The sizes of a tensor.
using Dims = absl::InlinedVector<int64_t, 8>;

/// A TVM function that is called on plain buffers, where there is no TensorFlow op to call it: in
/// what XLA compiles. It is all that the XLA library knows of this one, which it is not linked
/// with: it finds `Factory` among tvm-ffi's global functions. Thread-safe.
class BufferCall {
 public:
  virtual ~BufferCall() = default;

  /// What messages call the function.
  virtual std::string Name() const = 0;

  /// The shapes of the outputs, given those of the inputs, and those that the caller says of the
  /// outputs, of which there may be none.
  virtual absl::StatusOr<std::vector<Dims>> OutputShapes(absl::Span<const Dims> inputs,
                                                         absl::Span<const Dims> given) const = 0;

  /// What a call is lent.
  struct Environment {
    DLDevice device;
    void* stream = nullptr;  ///< of a GPU
    int max_parallelism = 1;
    absl::FunctionRef<void(std::function<void()>)> schedule;
    /// The bytes of the function's library, in memory of `device`; null where there are none.
    const absl::string_view* library = nullptr;
  };

  /// Calls the function on contiguous tensors, whose shapes are those that OutputShapes gives, and
  /// whose dtypes are known without their saying so.
  virtual absl::Status Run(absl::Span<DLTensor> inputs, absl::Span<DLTensor> outputs,
                           const Environment& environment) = 0;

  /// Makes one; `callee` is what the op's attribute of that name holds.
  using Factory = absl::StatusOr<std::unique_ptr<BufferCall>> (*)(
      const std::string& callee, absl::Span<const tensorflow::DataType> inputs,
      absl::Span<const tensorflow::DataType> outputs);

  /// The global function that returns a Factory, as a void*.
  static constexpr char kFactory[] = "tensorflow_tvm.buffer_call_factory";
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_BUFFER_CALL_H_
