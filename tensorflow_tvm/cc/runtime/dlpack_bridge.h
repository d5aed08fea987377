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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_DLPACK_BRIDGE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_DLPACK_BRIDGE_H_

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/types.pb.h"

namespace tensorflow_tvm {

/// The DLPack type of a TensorFlow type; InvalidArgument with the reason where TVM cannot take it.
absl::StatusOr<DLDataType> ToDLDataType(tensorflow::DataType dtype);

/// The DLPack type that signatures call `name`, as in "float32".
absl::StatusOr<DLDataType> DLDataTypeFromName(absl::string_view name);

/// The sizes that a vector of int32 or int64 has.
absl::InlinedVector<int64_t, 8> ReadDims(const tensorflow::Tensor& vector);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_DLPACK_BRIDGE_H_
