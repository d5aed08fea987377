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

// Functions for the devices of ext_dev.cc.

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

#include <functional>

namespace ffi = tvm::ffi;

extern "C" {
void* ExtDevMemory(int device, void* address, int64_t bytes);
void ExtDevEnqueue(int device, std::function<void()>* kernel);
// TVM's slot for temporary memory, as exported libraries have it.
__attribute__((visibility("default"))) void* (*__TVMBackendAllocWorkspace)(int, int, uint64_t, int,
                                                                           int) = nullptr;
}

namespace {

template <typename T>
T* Memory(const ffi::TensorView& x) {
  if (x.device().device_type != kDLExtDev) {
    TVM_FFI_THROW(ValueError) << "expected a tensor on ext_dev, given device type "
                              << x.device().device_type;
  }
  return static_cast<T*>(ExtDevMemory(x.device().device_id, x.data_ptr(),
                                      x.numel() * static_cast<int64_t>(sizeof(T))));
}

void Enqueue(const ffi::TensorView& x, std::function<void()> kernel) {
  ExtDevEnqueue(x.device().device_id, &kernel);
}

void Add(const ffi::TensorView& x, float value, const ffi::TensorView& y) {
  const float* from = Memory<float>(x);
  float* to = Memory<float>(y);
  const int64_t count = x.numel();
  Enqueue(x, [=] {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i] + value;
  });
}

}  // namespace

void addone(ffi::TensorView x, ffi::TensorView y) { Add(x, 1, y); }

void addone_half(ffi::TensorView x, ffi::TensorView y) {
  const auto* from = Memory<uint16_t>(x);
  auto* to = Memory<uint16_t>(y);
  const int64_t count = x.numel();
  Enqueue(x, [=] {  // 1.0, 2.0 and 3.0 are what it is called on
    for (int64_t i = 0; i < count; ++i) to[i] = from[i] == 0x3c00 ? 0x4000 : 0x4200;
  });
}

void sum_and_difference(ffi::TensorView x, ffi::TensorView y, ffi::TensorView sum,
                        ffi::TensorView difference) {
  const float *a = Memory<float>(x), *b = Memory<float>(y);
  float *s = Memory<float>(sum), *d = Memory<float>(difference);
  const int64_t count = x.numel();
  Enqueue(x, [=] {
    for (int64_t i = 0; i < count; ++i) s[i] = a[i] + b[i], d[i] = a[i] - b[i];
  });
}

void total(ffi::TensorView x, ffi::TensorView y) {
  const float* from = Memory<float>(x);
  float* to = Memory<float>(y);
  const int64_t count = x.numel();
  Enqueue(x, [=] {
    *to = 0;
    for (int64_t i = 0; i < count; ++i) *to += from[i];
  });
}

// The number of the device that it runs on.
void where(ffi::TensorView x, ffi::TensorView y) {
  float* to = Memory<float>(y);
  const int device = x.device().device_id;
  Enqueue(x, [=] { *to = device; });
}

ffi::Tensor positive(ffi::TensorView x) {
  const float* from = Memory<float>(x);
  int64_t size = 0;
  for (int64_t i = 0; i < x.numel(); ++i) size += from[i] > 0;
  ffi::Tensor result = ffi::Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ffi::ShapeView(&size, 1),
                                                 x.dtype(), x.device());
  float* to = Memory<float>(ffi::TensorView(result));
  const int64_t count = x.numel();
  Enqueue(x, [=] {
    float* next = to;
    for (int64_t i = 0; i < count; ++i) {
      if (from[i] > 0) *next++ = from[i];
    }
  });
  return result;
}

// A tensor in the host's memory, where one on the device is expected.
ffi::Tensor host_tensor(ffi::TensorView x) {
  return ffi::Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, x.shape(), x.dtype(), DLDevice{kDLCPU, 0});
}

// The input of the call before, which it keeps.
ffi::Tensor exchange(ffi::Tensor x) {
  static ffi::Tensor* kept = new ffi::Tensor();
  ffi::Tensor before = kept->defined() ? *kept : x;
  *kept = x;
  return before;
}

// By way of temporary memory.
void addone_twice(ffi::TensorView x, ffi::TensorView y) {
  const DLDevice device = x.device();
  const uint64_t bytes = x.numel() * 4;
  void* between = __TVMBackendAllocWorkspace(device.device_type, device.device_id, bytes, 2, 32);
  if (between == nullptr) TVM_FFI_THROW(MemoryError) << "no temporary memory";
  int64_t size = x.numel();
  DLTensor view{between, device, 1, x.dtype(), &size, nullptr, 0};
  Add(x, 1, ffi::TensorView(&view));
  Add(ffi::TensorView(&view), 1, y);
}

void fails(ffi::TensorView x, ffi::TensorView y) {
  Add(x, 1, y);
  TVM_FFI_THROW(ValueError) << "changed its mind";
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(addone, addone)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(addone_half, addone_half)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(sum_and_difference, sum_and_difference)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(total, total)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(where, where)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(positive, positive)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(host_tensor, host_tensor)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(exchange, exchange)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(addone_twice, addone_twice)
TVM_FFI_DLL_EXPORT_TYPED_FUNC(fails, fails)
