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

// A fake GPU for TensorFlow: two devices of type "GPU", as a PluggableDevice, with the host's
// memory. What TensorFlow enqueues is done at once and written down.

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "tensorflow/c/experimental/stream_executor/stream_executor.h"
#include "tensorflow_tvm/tests/fake_gpu/record.h"

struct SP_Stream_st : FakeStream {};
struct SP_Event_st {};
struct SP_Timer_st {};

namespace {

constexpr int kDevices = 2;

template <typename Function>
Function InDriver(Function, const char* name) {
  // The fake driver is loaded before, for all to see.
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

/// Writes a call down. Fails if a test asked for it.
bool Call(const char* name, const SP_Device* device, SP_Stream stream = nullptr,
          TF_Status* status = nullptr) {
  static const auto call = InDriver(&FakeGpuCall, "FakeGpuCall");
  const bool fails = call(name, device->ordinal, stream, "") != 0;
  if (status != nullptr) {
    TF_SetStatus(status, fails ? TF_INTERNAL : TF_OK, fails ? "the fake GPU was asked to fail" : "");
  }
  return !fails;
}

void Allocate(const SP_Device* device, uint64_t size, int64_t, SP_DeviceMemoryBase* memory) {
  memory->struct_size = SP_DEVICE_MEMORY_BASE_STRUCT_SIZE;
  memory->opaque =
      Call("allocate", device) ? std::aligned_alloc(256, (size + 255) / 256 * 256) : nullptr;
  memory->size = memory->opaque == nullptr ? 0 : size;
}
void Deallocate(const SP_Device*, SP_DeviceMemoryBase* memory) { std::free(memory->opaque); }
void* AllocateHost(const SP_Device*, uint64_t size) {
  return std::aligned_alloc(64, (size + 63) / 64 * 64);  // TensorFlow checks
}
void DeallocateHost(const SP_Device*, void* memory) { std::free(memory); }
TF_Bool AllocatorStats(const SP_Device*, SP_AllocatorStats*) { return 0; }
TF_Bool MemoryUsage(const SP_Device*, int64_t* available, int64_t* total) {
  *available = *total = int64_t{1} << 30;
  return 1;
}

void CreateStream(const SP_Device* device, SP_Stream* stream, TF_Status* status) {
  static const auto create = InDriver(&FakeGpuNewStream, "FakeGpuNewStream");
  *stream = static_cast<SP_Stream>(create(device->ordinal));
  TF_SetStatus(status, TF_OK, "");
}
void DestroyStream(const SP_Device*, SP_Stream) {}
void StreamDependency(const SP_Device*, SP_Stream, SP_Stream, TF_Status* status) {
  TF_SetStatus(status, TF_OK, "");
}
void StreamStatus(const SP_Device*, SP_Stream, TF_Status* status) {
  TF_SetStatus(status, TF_OK, "");
}

void CreateEvent(const SP_Device*, SP_Event* event, TF_Status* status) {
  *event = new SP_Event_st;
  TF_SetStatus(status, TF_OK, "");
}
void DestroyEvent(const SP_Device*, SP_Event event) { delete event; }
SE_EventStatus EventStatus(const SP_Device*, SP_Event) { return SE_EVENT_COMPLETE; }
void RecordEvent(const SP_Device*, SP_Stream, SP_Event, TF_Status* status) {
  TF_SetStatus(status, TF_OK, "");
}
void WaitForEvent(const SP_Device*, SP_Stream, SP_Event, TF_Status* status) {
  TF_SetStatus(status, TF_OK, "");
}

void CreateTimer(const SP_Device*, SP_Timer* timer, TF_Status* status) {
  *timer = new SP_Timer_st;
  TF_SetStatus(status, TF_OK, "");
}
void DestroyTimer(const SP_Device*, SP_Timer timer) { delete timer; }
void Timer(const SP_Device*, SP_Stream, SP_Timer, TF_Status* status) {
  TF_SetStatus(status, TF_OK, "");
}
uint64_t Nanoseconds(SP_Timer) { return 0; }

void CopyToHost(const SP_Device* device, SP_Stream stream, void* to,
                const SP_DeviceMemoryBase* from, uint64_t size, TF_Status* status) {
  if (Call("memcpy_dtoh", device, stream, status)) std::memcpy(to, from->opaque, size);
}
void CopyToDevice(const SP_Device* device, SP_Stream stream, SP_DeviceMemoryBase* to,
                  const void* from, uint64_t size, TF_Status* status) {
  if (Call("memcpy_htod", device, stream, status)) std::memcpy(to->opaque, from, size);
}
void CopyInDevice(const SP_Device* device, SP_Stream stream, SP_DeviceMemoryBase* to,
                  const SP_DeviceMemoryBase* from, uint64_t size, TF_Status* status) {
  if (Call("memcpy_dtod", device, stream, status)) std::memcpy(to->opaque, from->opaque, size);
}
void SyncCopyToHost(const SP_Device* device, void* to, const SP_DeviceMemoryBase* from,
                    uint64_t size, TF_Status* status) {
  if (Call("sync_memcpy_dtoh", device, nullptr, status)) std::memcpy(to, from->opaque, size);
}
void SyncCopyToDevice(const SP_Device* device, SP_DeviceMemoryBase* to, const void* from,
                      uint64_t size, TF_Status* status) {
  if (Call("sync_memcpy_htod", device, nullptr, status)) std::memcpy(to->opaque, from, size);
}
void SyncCopyInDevice(const SP_Device* device, SP_DeviceMemoryBase* to,
                      const SP_DeviceMemoryBase* from, uint64_t size, TF_Status* status) {
  if (Call("sync_memcpy_dtod", device, nullptr, status)) {
    std::memcpy(to->opaque, from->opaque, size);
  }
}

void BlockForEvent(const SP_Device* device, SP_Event, TF_Status* status) {
  Call("block_host_for_event", device, nullptr, status);
}
void BlockUntilDone(const SP_Device* device, SP_Stream stream, TF_Status* status) {
  Call("block_host_until_done", device, stream, status);
}
void Synchronize(const SP_Device* device, TF_Status* status) {
  Call("synchronize_all_activity", device, nullptr, status);
}

void Zero(const SP_Device* device, SP_Stream stream, SP_DeviceMemoryBase* memory, uint64_t size,
          TF_Status* status) {
  if (Call("mem_zero", device, stream, status)) std::memset(memory->opaque, 0, size);
}
void Set(const SP_Device* device, SP_Stream stream, SP_DeviceMemoryBase* memory, uint8_t pattern,
         uint64_t size, TF_Status* status) {
  if (Call("memset", device, stream, status)) std::memset(memory->opaque, pattern, size);
}
void Set32(const SP_Device* device, SP_Stream stream, SP_DeviceMemoryBase* memory,
           uint32_t pattern, uint64_t size, TF_Status* status) {
  if (!Call("memset32", device, stream, status)) return;
  for (uint64_t i = 0; i < size / 4; ++i) static_cast<uint32_t*>(memory->opaque)[i] = pattern;
}

TF_Bool HostCallback(const SP_Device*, SP_Stream, SE_StatusCallbackFn callback, void* argument) {
  TF_Status* status = TF_NewStatus();
  callback(argument, status);
  TF_DeleteStatus(status);
  return 1;
}

void DeviceCount(const SP_Platform*, int* count, TF_Status* status) {
  *count = kDevices;
  TF_SetStatus(status, TF_OK, "");
}
void CreateDevice(const SP_Platform*, SE_CreateDeviceParams* params, TF_Status* status) {
  params->device->struct_size = SP_DEVICE_STRUCT_SIZE;
  params->device->ordinal = params->ordinal;
  params->device->hardware_name = "Fake GPU";
  params->device->device_vendor = "nobody";
  params->device->pci_bus_id = "0000:00:00.0";
  TF_SetStatus(status, TF_OK, "");
}
void DestroyDevice(const SP_Platform*, SP_Device*) {}
void CreateDeviceFns(const SP_Platform*, SE_CreateDeviceFnsParams* params, TF_Status* status) {
  params->device_fns->struct_size = SP_DEVICE_FNS_STRUCT_SIZE;
  TF_SetStatus(status, TF_OK, "");
}
void DestroyDeviceFns(const SP_Platform*, SP_DeviceFns*) {}
void CreateExecutor(const SP_Platform*, SE_CreateStreamExecutorParams* params, TF_Status* status) {
  SP_StreamExecutor* executor = params->stream_executor;
  executor->struct_size = SP_STREAMEXECUTOR_STRUCT_SIZE;
  executor->allocate = Allocate;
  executor->deallocate = Deallocate;
  executor->host_memory_allocate = AllocateHost;
  executor->host_memory_deallocate = DeallocateHost;
  executor->get_allocator_stats = AllocatorStats;
  executor->device_memory_usage = MemoryUsage;
  executor->create_stream = CreateStream;
  executor->destroy_stream = DestroyStream;
  executor->create_stream_dependency = StreamDependency;
  executor->get_stream_status = StreamStatus;
  executor->create_event = CreateEvent;
  executor->destroy_event = DestroyEvent;
  executor->get_event_status = EventStatus;
  executor->record_event = RecordEvent;
  executor->wait_for_event = WaitForEvent;
  executor->create_timer = CreateTimer;
  executor->destroy_timer = DestroyTimer;
  executor->start_timer = Timer;
  executor->stop_timer = Timer;
  executor->memcpy_dtoh = CopyToHost;
  executor->memcpy_htod = CopyToDevice;
  executor->memcpy_dtod = CopyInDevice;
  executor->sync_memcpy_dtoh = SyncCopyToHost;
  executor->sync_memcpy_htod = SyncCopyToDevice;
  executor->sync_memcpy_dtod = SyncCopyInDevice;
  executor->block_host_for_event = BlockForEvent;
  executor->block_host_until_done = BlockUntilDone;
  executor->synchronize_all_activity = Synchronize;
  executor->mem_zero = Zero;
  executor->memset = Set;
  executor->memset32 = Set32;
  executor->host_callback = HostCallback;
  TF_SetStatus(status, TF_OK, "");
}
void DestroyExecutor(const SP_Platform*, SP_StreamExecutor*) {}
void CreateTimerFns(const SP_Platform*, SP_TimerFns* fns, TF_Status* status) {
  fns->struct_size = SP_TIMER_FNS_STRUCT_SIZE;
  fns->nanoseconds = Nanoseconds;
  TF_SetStatus(status, TF_OK, "");
}
void DestroyTimerFns(const SP_Platform*, SP_TimerFns*) {}
void DestroyPlatform(SP_Platform*) {}
void DestroyPlatformFns(SP_PlatformFns*) {}

}  // namespace

extern "C" __attribute__((visibility("default"))) void SE_InitPlugin(
    SE_PlatformRegistrationParams* params, TF_Status* status) {
  params->struct_size = SE_PLATFORM_REGISTRATION_PARAMS_STRUCT_SIZE;
  params->major_version = SE_MAJOR;
  params->minor_version = SE_MINOR;
  params->patch_version = SE_PATCH;
  params->platform->struct_size = SP_PLATFORM_STRUCT_SIZE;
  params->platform->name = "FAKE";
  params->platform->type = "GPU";
  params->platform->supports_unified_memory = 0;
  params->platform->use_bfc_allocator = 1;
  params->platform->force_memory_growth = 1;
  params->destroy_platform = DestroyPlatform;
  params->destroy_platform_fns = DestroyPlatformFns;
  SP_PlatformFns* fns = params->platform_fns;
  fns->struct_size = SP_PLATFORM_FNS_STRUCT_SIZE;
  fns->get_device_count = DeviceCount;
  fns->create_device = CreateDevice;
  fns->destroy_device = DestroyDevice;
  fns->create_device_fns = CreateDeviceFns;
  fns->destroy_device_fns = DestroyDeviceFns;
  fns->create_stream_executor = CreateExecutor;
  fns->destroy_stream_executor = DestroyExecutor;
  fns->create_timer_fns = CreateTimerFns;
  fns->destroy_timer_fns = DestroyTimerFns;
  TF_SetStatus(status, TF_OK, "");
}
