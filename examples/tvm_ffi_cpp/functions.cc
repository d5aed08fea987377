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

// Functions in plain C++. Nothing here knows of TensorFlow: the same library works wherever
// tvm-ffi does. What a function throws by TVM_FFI_THROW becomes an error of the framework.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/dtype.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

namespace ffi = tvm::ffi;

constexpr DLDataType kFloat32 = {kDLFloat, 32, 1};
constexpr DLDataType kInt64 = {kDLInt, 64, 1};

// Checks that `tensor` is what the functions below can read.
void CheckFloats(const char* name, ffi::TensorView tensor) {
  if (tensor.dtype() != kFloat32) {
    TVM_FFI_THROW(TypeError) << name << " has dtype " << ffi::DLDataTypeToString(tensor.dtype())
                             << "; expected float32";
  }
  TVM_FFI_CHECK(tensor.device().device_type == kDLCPU, ValueError) << name << " is not on the CPU";
  TVM_FFI_CHECK(tensor.IsContiguous(), ValueError) << name << " has gaps";
}

// y = x, but no less than `low` and no more than `high`. The caller allocates y.
void Clip(ffi::TensorView x, double low, double high, ffi::TensorView y) {
  CheckFloats("x", x);
  CheckFloats("y", y);
  TVM_FFI_CHECK(y.numel() == x.numel(), ValueError)
      << "y has " << y.numel() << " elements, and x has " << x.numel();
  if (!(low <= high)) {
    TVM_FFI_THROW(ValueError) << "low is " << low << "; expected at most high, " << high;
  }
  const float* from = static_cast<const float*>(x.data_ptr());
  std::transform(from, from + x.numel(), static_cast<float*>(y.data_ptr()), [&](float value) {
    return std::min(std::max(value, static_cast<float>(low)), static_cast<float>(high));
  });
}

// Where x is not zero: a row of indices for each such element. How many there are depends on the
// data, so that the function allocates its result, from the framework that calls it.
ffi::Tensor Nonzero(ffi::TensorView x) {
  CheckFloats("x", x);
  const float* data = static_cast<const float*>(x.data_ptr());
  std::vector<int64_t> found;
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (data[i] != 0) found.push_back(i);
  }
  const int64_t rank = x.ndim();
  const int64_t shape[] = {static_cast<int64_t>(found.size()), rank};
  ffi::Tensor result =
      ffi::Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ffi::ShapeView(shape, 2), kInt64, x.device());
  int64_t* row = static_cast<int64_t*>(result.data_ptr());
  for (int64_t flat : found) {
    for (int64_t axis = rank - 1; axis >= 0; --axis) {
      row[axis] = flat % x.size(axis);
      flat /= x.size(axis);
    }
    row += rank;
  }
  return result;
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(clip, Clip);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(nonzero, Nonzero);
