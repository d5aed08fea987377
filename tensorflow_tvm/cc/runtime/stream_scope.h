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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_STREAM_SCOPE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_STREAM_SCOPE_H_

#include "dlpack/dlpack.h"
#include "tvm/ffi/extra/c_env_api.h"

namespace tensorflow_tvm {

/// Makes `stream` the one on which TVM code called by this thread works on `device`, and afterwards
/// restores the one before, also when there was none.
class StreamScope {
 public:
  StreamScope(DLDevice device, void* stream) : device_(device) {
    TVMFFIEnvSetStream(device_.device_type, device_.device_id, stream, &previous_);
  }
  ~StreamScope() { TVMFFIEnvSetStream(device_.device_type, device_.device_id, previous_, nullptr); }

  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  const DLDevice device_;
  TVMFFIStreamHandle previous_ = nullptr;
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_STREAM_SCOPE_H_
