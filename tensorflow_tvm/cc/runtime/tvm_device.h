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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_TVM_DEVICE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_TVM_DEVICE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "dlpack/dlpack.h"
#include "tvm/ffi/container/tensor.h"

namespace tensorflow_tvm {

/// The device that text such as "opencl" or "ext_dev:1" names; InvalidArgument if it names none.
absl::StatusOr<DLDevice> TvmDeviceFromName(absl::string_view name);

/// The text that names `device`, with its index.
std::string TvmDeviceName(DLDevice device);

/// A device of the TVM runtime's, such as "opencl:0". All goes through functions that the runtime
/// registers with tvm-ffi, so that its headers are not needed, nor is its C++ interface relied on.
class TvmDevice {
 public:
  /// FailedPrecondition if there is no TVM runtime, or if it does not have the device. The runtime
  /// is loaded if it has not been.
  static absl::StatusOr<TvmDevice> Open(DLDevice device);

  DLDevice device() const { return device_; }

  /// Memory of at least one byte, which the tensor frees.
  absl::StatusOr<tvm::ffi::Tensor> Allocate(int64_t bytes) const;

  /// Copies to the device's memory at `to`, and waits until that is done.
  absl::Status CopyIn(const void* from, void* to, int64_t bytes) const;

  /// Copies from the device's memory, `offset` bytes after `from`, and waits until that is done.
  /// What `from` is, is the device's affair: it may be no address.
  absl::Status CopyOut(const void* from, uint64_t offset, void* to, int64_t bytes) const;

  /// Waits for all that has been enqueued on the default stream.
  absl::Status Synchronize() const;

 private:
  explicit TvmDevice(DLDevice device) : device_(device) {}

  DLDevice device_;
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_TVM_DEVICE_H_
