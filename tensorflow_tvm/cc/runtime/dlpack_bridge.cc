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

#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"

#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tensorflow_tvm {
namespace {

absl::Status Refuse(tensorflow::DataType dtype, absl::string_view why) {
  const std::string& name = tensorflow::DataType_Name(dtype);
  return absl::InvalidArgumentError(
      absl::StrCat("dtype ", absl::AsciiStrToLower(absl::StripPrefix(name, "DT_")),
                   " cannot be passed to TVM: ", why));
}

}  // namespace

absl::StatusOr<DLDataType> ToDLDataType(tensorflow::DataType dtype) {
  switch (dtype) {
    case tensorflow::DT_HALF:
      return DLDataType{kDLFloat, 16, 1};
    case tensorflow::DT_FLOAT:
      return DLDataType{kDLFloat, 32, 1};
    case tensorflow::DT_DOUBLE:
      return DLDataType{kDLFloat, 64, 1};
    case tensorflow::DT_BFLOAT16:
      return DLDataType{kDLBfloat, 16, 1};
    case tensorflow::DT_FLOAT8_E4M3FN:
      return DLDataType{kDLFloat8_e4m3fn, 8, 1};
    case tensorflow::DT_FLOAT8_E5M2:
      return DLDataType{kDLFloat8_e5m2, 8, 1};
    case tensorflow::DT_INT8:
      return DLDataType{kDLInt, 8, 1};
    case tensorflow::DT_INT16:
      return DLDataType{kDLInt, 16, 1};
    case tensorflow::DT_INT32:
      return DLDataType{kDLInt, 32, 1};
    case tensorflow::DT_INT64:
      return DLDataType{kDLInt, 64, 1};
    case tensorflow::DT_UINT8:
      return DLDataType{kDLUInt, 8, 1};
    case tensorflow::DT_UINT16:
      return DLDataType{kDLUInt, 16, 1};
    case tensorflow::DT_UINT32:
      return DLDataType{kDLUInt, 32, 1};
    case tensorflow::DT_UINT64:
      return DLDataType{kDLUInt, 64, 1};
    case tensorflow::DT_BOOL:
      return DLDataType{kDLBool, 8, 1};
    case tensorflow::DT_STRING:
      return Refuse(dtype,
                    "a string tensor has no flat memory; tf.io.decode_raw makes bytes of it");
    case tensorflow::DT_RESOURCE:
    case tensorflow::DT_VARIANT:
      return Refuse(dtype, "it is a handle without elements; pass the tensor that it stands for");
    case tensorflow::DT_COMPLEX64:
    case tensorflow::DT_COMPLEX128:
      return Refuse(dtype,
                    "TVM has no complex numbers; pass tf.math.real(x) and tf.math.imag(x) as two "
                    "tensors");
    case tensorflow::DT_INT4:
    case tensorflow::DT_UINT4:
    case tensorflow::DT_INT2:
    case tensorflow::DT_UINT2:
      return Refuse(dtype,
                    "TensorFlow stores one such number a byte and TVM packs them; pass int8 or "
                    "uint8");
    case tensorflow::DT_QINT8:
    case tensorflow::DT_QUINT8:
    case tensorflow::DT_QINT16:
    case tensorflow::DT_QUINT16:
    case tensorflow::DT_QINT32:
      return Refuse(dtype, "it is a quantised type; tf.bitcast it to the integer of its width");
    default:
      return Refuse(dtype, "TVM has no such type");
  }
}

absl::StatusOr<DLDataType> DLDataTypeFromName(absl::string_view name) {
  // TensorFlow's own names differ where C has one: "float" for float32.
  static constexpr std::pair<absl::string_view, DLDataType> kNames[] = {
      {"bool", {kDLBool, 8, 1}},
      {"int8", {kDLInt, 8, 1}},
      {"int16", {kDLInt, 16, 1}},
      {"int32", {kDLInt, 32, 1}},
      {"int64", {kDLInt, 64, 1}},
      {"uint8", {kDLUInt, 8, 1}},
      {"uint16", {kDLUInt, 16, 1}},
      {"uint32", {kDLUInt, 32, 1}},
      {"uint64", {kDLUInt, 64, 1}},
      {"float16", {kDLFloat, 16, 1}},
      {"bfloat16", {kDLBfloat, 16, 1}},
      {"float32", {kDLFloat, 32, 1}},
      {"float64", {kDLFloat, 64, 1}},
      {"float8_e4m3fn", {kDLFloat8_e4m3fn, 8, 1}},
      {"float8_e5m2", {kDLFloat8_e5m2, 8, 1}},
  };
  for (const auto& [known, dtype] : kNames) {
    if (known == name) return dtype;
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown dtype '", name, "'"));
}

absl::InlinedVector<int64_t, 8> ReadDims(const tensorflow::Tensor& vector) {
  // Read as bytes: Tensor::flat() ends the process on memory that is not aligned.
  const char* data = vector.tensor_data().data();
  absl::InlinedVector<int64_t, 8> dims(vector.NumElements());
  for (size_t i = 0; i < dims.size(); ++i) {
    if (vector.dtype() == tensorflow::DT_INT32) {
      int32_t dim;
      std::memcpy(&dim, data + i * sizeof(dim), sizeof(dim));
      dims[i] = dim;
    } else {
      std::memcpy(&dims[i], data + i * sizeof(int64_t), sizeof(int64_t));
    }
  }
  return dims;
}

}  // namespace tensorflow_tvm
