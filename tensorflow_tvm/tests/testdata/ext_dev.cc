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

// Two devices of TVM's type ext_dev, on the host, that are as unlike it as a device can be: their
// addresses are none of the host's, work is done when a stream is waited for and not before, and
// copies do not wait for work. Misuse throws, or is written down where that would be too late.

#include <tvm/ffi/error.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/reflection/registry.h>
#include <tvm/runtime/device_api.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kDevices = 2;
// Of no address on x86-64: who reads or writes there crashes.
constexpr uintptr_t kMark = uintptr_t{1} << 62;

/// A kernel that waits to run, and the thread whose call enqueued it.
struct Work {
  std::thread::id caller;
  std::function<void()> kernel;
};

struct State {
  std::recursive_mutex mutex;
  std::map<void*, size_t> live[kDevices];
  std::deque<Work> work[kDevices];
  std::string fails;
  std::string misuse;
  std::vector<void*> streams;
  int64_t copies = 0;
};

State& state() {
  static State* state = new State();
  return *state;
}

void FailIf(const char* what) {
  if (state().fails != what) return;
  state().fails.clear();
  if (std::string(what) == "allocate") TVM_FFI_THROW(MemoryError) << "ext_dev: no memory";
  TVM_FFI_THROW(InternalError) << "ext_dev: " << what << " failed";
}

void* Host(void* address) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(address) & ~kMark);
}

/// Throws unless `bytes` bytes at `address` + `offset` are one allocation's.
char* Checked(int device, void* address, size_t offset, size_t bytes) {
  auto it = state().live[device].find(address);
  TVM_FFI_ICHECK(it != state().live[device].end()) << "ext_dev: no memory of device " << device;
  TVM_FFI_ICHECK_LE(offset + bytes, it->second) << "ext_dev: behind the end";
  return static_cast<char*>(Host(address)) + offset;
}

class ExtDev final : public tvm::runtime::DeviceAPI {
 public:
  void SetDevice(DLDevice device) final {}

  void GetAttr(DLDevice device, tvm::runtime::DeviceAttrKind kind, tvm::ffi::Any* value) final {
    if (kind == tvm::runtime::kExist) *value = device.device_id < kDevices ? 1 : 0;
  }

  void* AllocDataSpace(DLDevice device, size_t bytes, size_t alignment, DLDataType) final {
    std::lock_guard<std::recursive_mutex> lock(state().mutex);
    FailIf("allocate");
    if (bytes == 0) return nullptr;  // as CUDA does
    void* host = aligned_alloc(64, (bytes + 127) / 64 * 64);
    std::memset(host, 0xee, bytes);
    void* address = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(host) | kMark);
    state().live[device.device_id][address] = bytes;
    return address;
  }

  void FreeDataSpace(DLDevice device, void* address) final {
    std::lock_guard<std::recursive_mutex> lock(state().mutex);
    // What other calls have enqueued meanwhile uses memory of their own.
    for (const Work& work : state().work[device.device_id]) {
      if (work.caller == std::this_thread::get_id()) state().misuse += "freed while in use; ";
    }
    if (state().live[device.device_id].erase(address) == 0) state().misuse += "freed twice; ";
    free(Host(address));
  }

  void StreamSync(DLDevice device, TVMStreamHandle stream) final {
    std::lock_guard<std::recursive_mutex> lock(state().mutex);
    FailIf("wait");
    std::deque<Work>& work = state().work[device.device_id];
    for (; !work.empty(); work.pop_front()) work.front().kernel();
  }

 protected:
  void CopyDataFromTo(const void* from, size_t from_offset, void* to, size_t to_offset,
                      size_t bytes, DLDevice from_device, DLDevice to_device, DLDataType,
                      TVMStreamHandle stream) final {
    std::lock_guard<std::recursive_mutex> lock(state().mutex);
    FailIf("copy");
    if (stream != nullptr) state().misuse += "copied on another stream; ";
    ++state().copies;
    const auto at = [bytes](DLDevice device, const void* data, size_t offset) {
      void* address = const_cast<void*>(data);
      return device.device_type == kDLCPU ? static_cast<char*>(address) + offset
                                          : Checked(device.device_id, address, offset, bytes);
    };
    std::memcpy(at(to_device, to, to_offset), at(from_device, from, from_offset), bytes);
  }
};

}  // namespace

extern "C" {

/// Where the device's memory at `address` is on the host, for kernels.
__attribute__((visibility("default"))) void* ExtDevMemory(int device, void* address,
                                                          int64_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(state().mutex);
  return Checked(device, address, 0, bytes);
}

/// Enqueues a kernel on the stream that TVM code has to use.
__attribute__((visibility("default"))) void ExtDevEnqueue(int device,
                                                          std::function<void()>* kernel) {
  std::lock_guard<std::recursive_mutex> lock(state().mutex);
  state().streams.push_back(TVMFFIEnvGetStream(kDLExtDev, device));
  state().work[device].push_back({std::this_thread::get_id(), std::move(*kernel)});
}

/// Lets the next "allocate", "copy" or "wait" fail.
__attribute__((visibility("default"))) void ExtDevFail(const char* what) { state().fails = what; }

__attribute__((visibility("default"))) int64_t ExtDevLive() {
  std::lock_guard<std::recursive_mutex> lock(state().mutex);
  return state().live[0].size() + state().live[1].size();
}

__attribute__((visibility("default"))) int64_t ExtDevCopies() { return state().copies; }

__attribute__((visibility("default"))) const char* ExtDevMisuse() {
  for (void* stream : state().streams) {
    if (stream != nullptr) state().misuse += "launched on another stream; ";
  }
  return state().misuse.c_str();
}
}

TVM_FFI_STATIC_INIT_BLOCK() {
  tvm::ffi::reflection::GlobalDef().def("device_api.ext_dev", [] {
    return static_cast<void*>(static_cast<tvm::runtime::DeviceAPI*>(new ExtDev()));
  });
}
