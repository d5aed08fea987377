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

// A library of one function, by tvm-ffi's C interface, for `python -m tensorflow_tvm doctor` to run
// where there is no compiler.

#include <cstdint>

#include "tvm/ffi/c_api.h"

/// addone(x, y) of two vectors of float32: y = x + 1.
extern "C" __attribute__((visibility("default"))) int __tvm_ffi_addone(void*, const TVMFFIAny* args,
                                                                       int32_t num_args,
                                                                       TVMFFIAny* result) {
  if (num_args != 2 || args[0].type_index != kTVMFFIDLTensorPtr ||
      args[1].type_index != kTVMFFIDLTensorPtr) {
    TVMFFIErrorSetRaisedFromCStr("TypeError", "addone takes two tensors");
    return -1;
  }
  const auto* x = static_cast<const DLTensor*>(args[0].v_ptr);
  const auto* y = static_cast<const DLTensor*>(args[1].v_ptr);
  for (int64_t i = 0; i < x->shape[0]; ++i) {
    static_cast<float*>(y->data)[i] = static_cast<const float*>(x->data)[i] + 1.0f;
  }
  result->type_index = kTVMFFINone;
  result->v_int64 = 0;
  return 0;
}
