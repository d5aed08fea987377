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

#include "tensorflow_tvm/cc/runtime/tvm_device.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tensorflow_tvm/cc/runtime/library.h"
#include "tvm/ffi/container/shape.h"
#include "tvm/ffi/error.h"
#include "tvm/ffi/function.h"
#include "tvm/ffi/optional.h"
#include "tvm/ffi/string.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

constexpr DLDataType kByte = {kDLUInt, 8, 1};
constexpr char kApiPrefix[] = "device_api.";
constexpr int kExist = 0;  // of TVM's attributes of devices: whether it is there

// The TVM runtime's own names. Those whose memory is the host's, or its affair, are left out.
constexpr std::pair<absl::string_view, DLDeviceType> kNames[] = {
    {"cuda", kDLCUDA},     {"opencl", kDLOpenCL},   {"vulkan", kDLVulkan},  {"metal", kDLMetal},
    {"vpi", kDLVPI},       {"rocm", kDLROCM},       {"ext_dev", kDLExtDev}, {"oneapi", kDLOneAPI},
    {"webgpu", kDLWebGPU}, {"hexagon", kDLHexagon}, {"trn", kDLTrn},
};

absl::string_view NameOfType(DLDeviceType type) {
  for (const auto& [name, known] : kNames) {
    if (known == type) return name;
  }
  return "unknown";
}

/// Calls a function that the TVM runtime registers.
template <typename... Args>
absl::StatusOr<ffi::Any> CallRuntime(const char* name, Args&&... args) {
  try {
    return ffi::Any(ffi::Function::GetGlobalRequired(name)(std::forward<Args>(args)...));
  } catch (const ffi::Error& error) {
    const bool no_memory = error.kind() == "MemoryError";
    return absl::Status(
        no_memory ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
        absl::StrCat(error.kind(), ": ", error.message()));
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

/// What the runtime registers devices for, for messages.
std::string KnownDevices() {
  std::vector<std::string> names;
  try {
    for (const ffi::String& name : ffi::Function::ListGlobalNames()) {
      absl::string_view device(name.data(), name.size());
      if (absl::ConsumePrefix(&device, kApiPrefix) && device != "rpc") names.emplace_back(device);
    }
  } catch (const std::exception&) {  // then there is nothing to say
  }
  std::sort(names.begin(), names.end());
  return names.empty() ? "none" : absl::StrJoin(names, ", ");
}

absl::Status Said(const absl::Status& status, absl::string_view what, DLDevice device) {
  return absl::Status(status.code(),
                      absl::StrCat(what, TvmDeviceName(device), ": ", status.message()));
}

/// So many bytes on `device`.
struct Bytes {
  Bytes(DLDevice device, const void* data, uint64_t offset, int64_t size) : size(size) {
    tensor = DLTensor{const_cast<void*>(data), device, 1, kByte, &this->size, nullptr, offset};
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  int64_t size;
  DLTensor tensor;
};

}  // namespace

absl::StatusOr<DLDevice> TvmDeviceFromName(absl::string_view name) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(absl::AsciiStrToLower(name), absl::MaxSplits(':', 1));
  int index = 0;
  const bool has_index = absl::StrContains(name, ':');
  if (!has_index || (absl::SimpleAtoi(parts.second, &index) && index >= 0)) {
    for (const auto& [known, type] : kNames) {
      if (parts.first == known) return DLDevice{type, index};
    }
  }
  std::vector<absl::string_view> names;
  for (const auto& known : kNames) names.push_back(known.first);
  return absl::InvalidArgumentError(absl::StrCat("unknown TVM device '", name, "'; expected ",
                                                 absl::StrJoin(names, ", "),
                                                 ", with an optional index as in 'opencl:1'"));
}

std::string TvmDeviceName(DLDevice device) {
  return absl::StrCat(NameOfType(device.device_type), ":", device.device_id);
}

absl::StatusOr<TvmDevice> TvmDevice::Open(DLDevice device) {
  if (absl::Status s = EnsureTvmRuntime(); !s.ok()) {
    return absl::Status(s.code(), absl::StrCat("it is to run on TVM's device ",
                                               TvmDeviceName(device), ", and ", s.message()));
  }
  absl::StatusOr<ffi::Any> there = CallRuntime(
      "runtime.GetDeviceAttr", static_cast<int>(device.device_type), device.device_id, kExist);
  if (!there.ok()) return Said(there.status(), "cannot look for device ", device);
  if (there->as<int64_t>().value_or(0) != 0) return TvmDevice(device);
  const absl::string_view type = NameOfType(device.device_type);
  if (ffi::Function::GetGlobal(absl::StrCat(kApiPrefix, type)).has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "it is to run on TVM's device ", TvmDeviceName(device), ", which is not there: the TVM ",
        "runtime knows such devices, and has none of this index. Plug it in, or give another "
        "target_device"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "it is to run on TVM's device ", TvmDeviceName(device),
      ", and the TVM runtime of this "
      "process was built without ",
      type, "; it has: ", KnownDevices(), ". Install a TVM runtime that was built with ", type,
      ", or give another target_device"));
}

absl::StatusOr<ffi::Tensor> TvmDevice::Allocate(int64_t bytes) const {
  // Generated code refuses null, which may be what an allocation of nothing gives.
  bytes = std::max<int64_t>(bytes, 1);
  absl::StatusOr<ffi::Any> memory =
      CallRuntime("runtime.TVMTensorAllocWithScope", ffi::Shape({bytes}), kByte, device_,
                  ffi::Optional<ffi::String>());
  std::string what = absl::StrCat("cannot allocate ", bytes, " bytes on device ");
  if (!memory.ok()) return Said(memory.status(), what, device_);
  auto tensor = memory->as<ffi::Tensor>();
  if (!tensor.has_value() || tensor->data_ptr() == nullptr) {
    return Said(absl::ResourceExhaustedError("it gives none"), what, device_);
  }
  return *std::move(tensor);
}

absl::Status TvmDevice::CopyIn(const void* from, void* to, int64_t bytes) const {
  Bytes target(device_, to, 0, bytes);
  const absl::Status status =
      CallRuntime("runtime.TVMTensorCopyFromBytes", &target.tensor, const_cast<void*>(from), bytes)
          .status();
  return status.ok() ? status : Said(status, "cannot copy to device ", device_);
}

absl::Status TvmDevice::CopyOut(const void* from, uint64_t offset, void* to, int64_t bytes) const {
  Bytes source(device_, from, offset, bytes);
  const absl::Status status =
      CallRuntime("runtime.TVMTensorCopyToBytes", &source.tensor, to, bytes).status();
  return status.ok() ? status : Said(status, "cannot copy from device ", device_);
}

absl::Status TvmDevice::Synchronize() const {
  const absl::Status status =
      CallRuntime("runtime.Device_StreamSync", device_, int64_t{0}).status();
  return status.ok() ? status : Said(status, "cannot wait for device ", device_);
}

}  // namespace tensorflow_tvm
