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

#ifndef TENSORFLOW_TVM_CC_KERNELS_GPU_STREAM_H_
#define TENSORFLOW_TVM_CC_KERNELS_GPU_STREAM_H_

#include "absl/status/statusor.h"
#include "dlpack/dlpack.h"

namespace tensorflow {
class OpKernelContext;
}

namespace tensorflow_tvm {

/// A GPU and one of its streams, as TVM knows them.
struct GpuStream {
  DLDevice device;
  void* handle;
};

/// The stream that an op on a GPU enqueues its work on. In a file of its own, so that a change of
/// the kernel need not compile StreamExecutor's headers again.
absl::StatusOr<GpuStream> StreamOf(tensorflow::OpKernelContext* ctx);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_KERNELS_GPU_STREAM_H_
