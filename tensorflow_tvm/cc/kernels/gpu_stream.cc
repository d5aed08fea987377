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

#include "tensorflow_tvm/cc/kernels/gpu_stream.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/c/experimental/stream_executor/stream_executor_internal.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"

namespace tensorflow_tvm {

absl::StatusOr<GpuStream> StreamOf(tensorflow::OpKernelContext* ctx) {
  stream_executor::Stream* stream = ctx->op_device_context()->stream();
  int ordinal = stream->parent()->device_ordinal();
  void* handle = stream->platform_specific_handle().stream;
  // A device that a plugin brings has neither: its stream is what the plugin made.
  if (auto* plugged = dynamic_cast<stream_executor::CStream*>(stream)) {
    handle = plugged->Handle();
    const auto* info = ctx->device()->tensorflow_accelerator_device_info();
    ordinal = info == nullptr ? -1 : info->gpu_id;
  }
  if (ordinal < 0) {
    return absl::InternalError(
        absl::StrCat("Device ", ctx->device()->name(), " does not say which GPU it is."));
  }
  return GpuStream{DLDevice{kDLCUDA, ordinal}, handle};
}

}  // namespace tensorflow_tvm
